"""Primitives shared by encoder, fuser and decoder.

Shapes: B batch, C channels, H, W rows and columns, N = H * W, d = C / heads. All modules map (B, C, H, W) to (B, C',
H', W') and keep the channels-last memory layout: LayerNorm and attention read it as (B, H, W, C) without a copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lurefusion.choices import one_of
from lurefusion.models import export_forms, strips


def full_precision(x: Tensor) -> AbstractContextManager[Any]:
    """No autocast within, on the device of x."""
    kind = x.device.type
    # where there is none anyway an exported graph is spared a nested one
    on = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.autocast(kind, enabled=False) if on else nullcontext()


class LayerNorm2d(nn.Module):
    """Layer norm over the channels of every pixel (NAFNet); not GroupNorm(1, C), which would pool over pixels too."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,h,w), normalised over C at every pixel."""
        x_BHWC = x.permute(0, 2, 3, 1)
        # statistics in float32 also under autocast
        normed = F.layer_norm(x_BHWC.float(), (x.shape[1],), self.weight, self.bias, self.eps)
        return normed.to(x.dtype).permute(0, 3, 1, 2)

    def export_form(self) -> nn.Module:
        """See :mod:`lurefusion.models.export_forms`."""
        return export_forms.NormForm(self)


class PointwiseConv(nn.Conv2d):
    """1x1 convolution computed as one matrix product over channels-last pixels, which CPUs do several times faster."""

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,h,w) to (B,out,h,w)."""
        return F.linear(x.permute(0, 2, 3, 1), self.weight[:, :, 0, 0], self.bias).permute(0, 3, 1, 2)

    def export_form(self) -> nn.Module:
        """See :mod:`lurefusion.models.export_forms`."""
        return export_forms.convolution(self.weight, self.bias)


def conv1x1(in_channels: int, out_channels: int, bias: bool = False) -> PointwiseConv:
    """Pointwise convolution."""
    return PointwiseConv(in_channels, out_channels, 1, bias=bias)


def entering(
    part: str, channels: Sequence[int], widths: Sequence[int] | None
) -> tuple[nn.ModuleList | None, list[int]]:
    """1x1 convolutions from the latents' L_i to the `widths` in which a part of the model works, and these widths.

    None for `widths`: no convolutions, L_i. Raises ValueError where there are not as many widths as latents.
    """
    if widths is None:
        return None, list(channels)
    if len(widths) != len(channels):
        raise ValueError(f'{part}.widths has {len(widths)} entries for {len(channels)} latents of the image encoder')
    return nn.ModuleList(conv1x1(a, b, bias=True) for a, b in zip(channels, widths, strict=True)), list(widths)


def split_evenly(channels: int, num_heads: int) -> int:
    """Channels of a head; ValueError if `num_heads` does not divide them."""
    if channels % num_heads:
        raise ValueError(f'num_heads={num_heads} does not divide channels={channels}')
    return channels // num_heads


def depthwise3x3(channels: int, bias: bool = False) -> nn.Conv2d:
    """3x3 convolution of every channel by itself, zero padding."""
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=bias)


class NAFBlock(nn.Module):
    """Nonlinear-activation-free block (NAFNet, ECCV 2022): 7 C^2 + 33 C parameters, the identity at initialisation."""

    def __init__(self, channels: int, expand: int = 2) -> None:
        super().__init__()
        wide = channels * expand
        self.norm1 = LayerNorm2d(channels)
        self.conv1 = conv1x1(channels, wide, bias=True)
        self.conv2 = depthwise3x3(wide, bias=True)
        self.sca = conv1x1(wide // 2, wide // 2, bias=True)
        self.conv3 = conv1x1(wide // 2, channels, bias=True)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.norm2 = LayerNorm2d(channels)
        self.conv4 = conv1x1(channels, wide, bias=True)
        self.conv5 = conv1x1(wide // 2, channels, bias=True)
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,h,w) to (B,C,h,w)."""
        if strips.in_parts(x):
            return strips.naf(self, x)
        a, b = self.conv2(self.conv1(self.norm1(x))).chunk(2, dim=1)
        y = a * b
        # simplified channel attention: no sigmoid, no ReLU
        y = y * self.sca(y.mean(dim=(2, 3), keepdim=True))
        x = torch.addcmul(x, self.conv3(y), self.beta)
        a, b = self.conv4(self.norm2(x)).chunk(2, dim=1)
        return torch.addcmul(x, self.conv5(a * b), self.gamma)

    def export_form(self) -> nn.Module:
        """See :mod:`lurefusion.models.export_forms`."""
        return export_forms.NAFBlockForm(self)


class GDFN(nn.Module):
    """Gated depthwise feed-forward network (Restormer, CVPR 2022), hidden width int(ratio * C), without bias."""

    def __init__(self, channels: int, ratio: float = 2.66) -> None:
        super().__init__()
        hidden = int(ratio * channels)
        self.project_in = conv1x1(channels, 2 * hidden)
        self.dwconv = depthwise3x3(2 * hidden)
        self.project_out = conv1x1(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,h,w) to (B,C,h,w)."""
        a, b = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        return self.project_out(F.gelu(a) * b)

    def export_form(self) -> nn.Module:
        """See :mod:`lurefusion.models.export_forms`."""
        return export_forms.GDFNForm(self)


class TransposedAttention(nn.Module):
    """Attention between channels (MDTA, Restormer), linear in pixels, with the output projection folded in.

    softmax(tau * q^ k^T) has C/heads rows per head; q^ and k^ are L2-normalised over the N pixels. The heads are the
    diagonal blocks of one (C, C) matrix, so one product serves them all and no tensor is transposed in memory.

    Args:
        channels: C.
        num_heads: Must divide C.
        reverse: Negate the logits, which attends to what is uncorrelated (CrossFuse).
    """

    def __init__(self, channels: int, num_heads: int = 4, reverse: bool = False) -> None:
        super().__init__()
        depth = split_evenly(channels, num_heads)
        self.num_heads = num_heads
        self.sign = -1.0 if reverse else 1.0
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.project_out = conv1x1(channels, channels)
        head = torch.arange(channels) // depth
        self.register_buffer('other_head', head[:, None] != head[None, :], persistent=False)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, row_weight: Tensor | None = None) -> Tensor:
        """q, k, v: (B,C,H,W). `row_weight` (B,C) scales the rows of the attention's output before the projection."""
        attention = self.attention(q, k).to(v.dtype)
        if row_weight is not None:
            attention = attention * row_weight[:, :, None]
        # W (A v) = (W A) v: the two (C, C) factors are multiplied first
        mixing = self.project_out.weight[:, :, 0, 0].to(v.dtype) @ attention
        return torch.matmul(_tokens(v), mixing.mT).unflatten(1, v.shape[2:]).permute(0, 3, 1, 2)

    def attention(self, q: Tensor, k: Tensor) -> Tensor:
        """(B,C,C) softmax weights, zero outside the heads' diagonal blocks."""
        with full_precision(q):
            q_BNC, k_BNC = _tokens(q).float(), _tokens(k).float()
            # the norms are taken as scales of the product's rows and columns: q and k are never rewritten
            q_norm = q_BNC.square().sum(1).clamp_min(1e-12).sqrt()
            k_norm = k_BNC.square().sum(1).clamp_min(1e-12).sqrt()
            return self.weights(torch.matmul(q_BNC.mT, k_BNC), q_norm, k_norm)

    def weights(self, products: Tensor, q_norm: Tensor, k_norm: Tensor) -> Tensor:
        """Softmax weights (B,C,C) of q^T k (B,C,C), summed over the pixels, and of the norms of q and k (B,C)."""
        tau = self.temperature.float().flatten().repeat_interleave(products.shape[-1] // self.num_heads)
        logits = self.sign * tau[:, None] * (products / (q_norm[:, :, None] * k_norm[:, None, :]))
        return logits.masked_fill(self.other_head, float('-inf')).softmax(dim=-1)

    def export_form(self) -> nn.Module:
        """See :mod:`lurefusion.models.export_forms`."""
        return export_forms.TransposedAttentionForm(self)


def _tokens(x: Tensor) -> Tensor:
    """(B,C,H,W) as (B,N,C); a view when x is channels-last."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


class ModalityEmbedding(nn.Module):
    """Tells the features which modality they come from (LURE, Sec. 3).

    Args:
        channels: C.
        num_modalities: M.
        kind: ``add`` adds a learned vector, N(0, 0.02^2) at first; ``film`` scales and shifts, the identity at first;
            ``none`` does nothing.
    """

    KINDS = ('add', 'film', 'none')

    def __init__(self, channels: int, num_modalities: int = 2, kind: str = 'add') -> None:
        super().__init__()
        self.kind = one_of('modality_embedding', kind, self.KINDS)
        self.channels = channels
        if kind != 'none':
            self.table = nn.Embedding(num_modalities, channels if kind == 'add' else 2 * channels)
            nn.init.normal_(self.table.weight, std=0.02 if kind == 'add' else 0.0)

    @torch.no_grad()
    def let_pass(self, count: int) -> None:
        """Set the initial values so that the first `count` channels come out as they went in."""
        if self.kind != 'none':
            for part in self.table.weight.split(self.channels, dim=1):
                part[:, :count] = 0

    def forward(self, x: Tensor, m: Tensor) -> Tensor:
        """x (B,C,H,W), m (B,) int64 index of the modality."""
        if self.kind == 'none':
            return x
        e = self.table(m)[:, :, None, None].to(x.dtype)
        if self.kind == 'add':
            return x + e
        scale, shift = e.chunk(2, dim=1)
        return x * (1 + scale) + shift


class Upsample(nn.Module):
    """Twice the size at half the channels: 1x1 convolution C -> 2C and pixel shuffle (NAFNet)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = conv1x1(in_channels, 4 * out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,h,w) to (B,out,2h,2w)."""
        return F.pixel_shuffle(self.conv(x), 2).contiguous(memory_format=torch.channels_last)
