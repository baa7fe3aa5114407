"""Fusion in the unified latent space: parameter-free rules and the learned cross-attention fuser (LURE, Eq. 6, 9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lurefusion.choices import one_of
from lurefusion.models import export_forms, strips
from lurefusion.models.layers import (
    GDFN,
    LayerNorm2d,
    TransposedAttention,
    conv1x1,
    depthwise3x3,
    entering,
    split_evenly,
)
from lurefusion.ops.pyramids import pyramid_down, pyramid_up
from lurefusion.registry import FUSERS, FUSION_RULES

ATTENTIONS = ('transposed', 'window')


class FusionRule(nn.Module):
    """Base of all rules: `forward(z: list over modalities of (B,L,h,w)) -> (B,L,h,w)`, without parameters."""


@FUSION_RULES.register_module(name='l1')
class L1Rule(FusionRule):
    """Weights by local activity (DenseFuse, TIP 2019): w_s ~ (mean of sum_ch |z_s| over a (2r+1)^2 window)^p; convex.

    Args:
        radius: r of the window; DenseFuse's paper has 1, its code 0.
        power: p; 1 in DenseFuse, 0 is the mean.
    """

    def __init__(self, radius: int = 1, power: float = 1.0) -> None:
        super().__init__()
        if radius < 0 or power < 0:
            raise ValueError(f'radius and power of the l1 rule must not be negative, got {radius} and {power}')
        self.radius = radius
        self.power = power

    def forward(self, z: list[Tensor]) -> Tensor:
        """Latents of one scale, M times (B,L,h,w), to (B,L,h,w)."""
        return self.weigh(z, self.power)

    def weigh(self, z: list[Tensor], power: float) -> Tensor:
        """The convex sum by activity to this power."""
        activity = torch.stack([s.abs().sum(1, keepdim=True) for s in z])
        r = self.radius
        if r:
            flat = F.pad(activity.flatten(0, 1), (r, r, r, r), mode='replicate')
            activity = F.avg_pool2d(flat, 2 * r + 1, stride=1).unflatten(0, activity.shape[:2])
        # as a share of the largest, no power underflows; the offset bounds its gradient where nothing is active
        share = ((activity + 1e-6) / (activity.amax(0, keepdim=True) + 1e-6)) ** power
        weights = share / share.sum(0, keepdim=True)
        return sum(w * s for w, s in zip(weights, z, strict=True))


@FUSION_RULES.register_module(name='l1_pyramid')
class L1PyramidRule(L1Rule):
    """The l1 rule in every band of a Laplacian pyramid of the latents (Burt and Kolczynski, ICCV 1993: salience).

    For latents that resemble a picture: their own l1 norm is its brightness, that of a band tells what there is to see.

    Args:
        radius: r of the window, in pixels of the band.
        power: p of the bands.
        levels: Bands; fewer where a latent is too small for them.
        base_power: p of what remains, the brightness of large areas; 0 is the mean.
    """

    def __init__(self, radius: int = 1, power: float = 1.0, levels: int = 4, base_power: float = 0.0) -> None:
        super().__init__(radius, power)
        if levels < 1 or base_power < 0:
            raise ValueError(
                f'the l1_pyramid rule needs levels >= 1 and base_power >= 0, got {levels} and {base_power}'
            )
        self.levels = levels
        self.base_power = base_power

    def forward(self, z: list[Tensor]) -> Tensor:
        """Latents of one scale, M times (B,L,h,w), to (B,L,h,w)."""
        bands, rest = [], torch.cat(z)
        for _ in range(self.levels):
            # the binomial filter mirrors two pixels at each border
            if min(rest.shape[-2:]) < 3:
                break
            coarse = pyramid_down(rest)
            bands.append(rest - pyramid_up(coarse, tuple(rest.shape[-2:])))
            rest = coarse
        fused = self.weigh(list(rest.chunk(len(z))), self.base_power)
        for band in reversed(bands):
            fused = self.weigh(list(band.chunk(len(z))), self.power) + pyramid_up(fused, tuple(band.shape[-2:]))
        return fused

    def export_form(self) -> nn.Module:
        """See :mod:`lurefusion.models.export_forms`."""
        return export_forms.L1PyramidForm(self)


@FUSION_RULES.register_module(name='mean')
class MeanRule(FusionRule):
    """(z_1 + ... + z_M) / M."""

    def forward(self, z: list[Tensor]) -> Tensor:
        """Latents of one scale, M times (B,L,h,w), to (B,L,h,w)."""
        return sum(z) / len(z)


@FUSION_RULES.register_module(name='sum')
class SumRule(FusionRule):
    """z_1 + ... + z_M, "addition" of DenseFuse; leaves the range that the decoder was trained on."""

    def forward(self, z: list[Tensor]) -> Tensor:
        """Latents of one scale, M times (B,L,h,w), to (B,L,h,w)."""
        return sum(z)


@FUSION_RULES.register_module(name='exp')
class ExpRule(FusionRule):
    """Per-pixel softmax of the channel sums (the attention of DenseFuse's PyTorch code), safe from overflow."""

    def forward(self, z: list[Tensor]) -> Tensor:
        """Latents of one scale, M times (B,L,h,w), to (B,L,h,w)."""
        weights = torch.stack([s.sum(1, keepdim=True) for s in z]).softmax(0)
        return sum(w * s for w, s in zip(weights, z, strict=True))


@FUSION_RULES.register_module(name='max')
class MaxRule(FusionRule):
    """Choose-max: of every coefficient the one of largest magnitude."""

    def forward(self, z: list[Tensor]) -> Tensor:
        """Latents of one scale, M times (B,L,h,w), to (B,L,h,w)."""
        stacked = torch.stack(z)
        return stacked.gather(0, stacked.abs().argmax(0, keepdim=True))[0]


@FUSION_RULES.register_module(name='none')
class NoRule(FusionRule):
    """Zero: the fuser has to learn everything (row "w/o Rule" of Table 6)."""

    def forward(self, z: list[Tensor]) -> Tensor:
        """Latents of one scale, M times (B,L,h,w), to zeros (B,L,h,w)."""
        return torch.zeros_like(z[0])


class Fuser(nn.Module):
    """Base of all fusers.

    Args:
        channels: L_i of the latents, fine to coarse.
        num_modalities: Number M of latent sets that come in.
    """

    def __init__(self, channels: Sequence[int], num_modalities: int = 2) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.num_modalities = num_modalities

    def forward(self, latents: list[list[Tensor]]) -> list[Tensor]:
        """List over modalities of lists over scales -> list over scales of (B,L_i,h_i,w_i)."""
        raise NotImplementedError


@FUSERS.register_module()
class RuleFuser(Fuser):
    """The rule alone, no parameters: what the unified space gives before stage 2."""

    def __init__(self, channels: Sequence[int], num_modalities: int = 2, rule: dict[str, Any] | str = 'l1') -> None:
        super().__init__(channels, num_modalities)
        self.rule = FUSION_RULES.build(rule)

    def forward(self, latents: list[list[Tensor]]) -> list[Tensor]:
        """M lists of latents (B,L_i,h_i,w_i), one a scale, to one such list."""
        return [_checked_rule(self.rule, list(z)) for z in zip(*latents, strict=True)]


class WindowAttention(nn.Module):
    """Spatial attention within 8x8 windows, with output projection: the alternative to `TransposedAttention`."""

    def __init__(self, channels: int, num_heads: int = 4, reverse: bool = False, window: int = 8) -> None:
        super().__init__()
        split_evenly(channels, num_heads)
        self.num_heads = num_heads
        self.window = window
        self.sign = -1.0 if reverse else 1.0
        self.project_out = conv1x1(channels, channels)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v (B,L,h,w), any h and w, to (B,L,h,w)."""
        height, width = q.shape[-2:]
        q, k, v = (self._windows(t) for t in (self.sign * q, k, v))
        out = F.scaled_dot_product_attention(q, k, v)
        return self.project_out(self._merge(out, height, width))

    def _windows(self, x: Tensor) -> Tensor:
        s = self.window
        x = F.pad(x, (0, -x.shape[-1] % s, 0, -x.shape[-2] % s), mode='replicate')
        b, c, h, w = x.shape
        x = x.reshape(b, self.num_heads, c // self.num_heads, h // s, s, w // s, s)
        return x.permute(0, 3, 5, 1, 4, 6, 2).reshape(-1, self.num_heads, s * s, c // self.num_heads)

    def _merge(self, x: Tensor, height: int, width: int) -> Tensor:
        s = self.window
        rows, columns = -(-height // s), -(-width // s)
        x = x.reshape(-1, rows, columns, self.num_heads, s, s, x.shape[-1]).permute(0, 3, 6, 1, 4, 2, 5)
        return x.reshape(x.shape[0], -1, rows * s, columns * s)[..., :height, :width]


class CrossBlock(nn.Module):
    """Every modality asks the others: s + attention(q_s, k_o, v_o), then GDFN; separate weights per modality.

    With more than two modalities, keys and values are the mean of the others'.
    """

    def __init__(
        self, channels: int, num_modalities: int, num_heads: int, ffn_ratio: float, attention: str, reverse: bool
    ) -> None:
        super().__init__()
        kind = TransposedAttention if attention == 'transposed' else WindowAttention

        def each(build: Any) -> nn.ModuleList:
            return nn.ModuleList(build() for _ in range(num_modalities))

        self.norm1 = each(lambda: LayerNorm2d(channels))
        self.q = each(lambda: nn.Sequential(conv1x1(channels, channels), depthwise3x3(channels)))
        self.kv = each(lambda: nn.Sequential(conv1x1(channels, 2 * channels), depthwise3x3(2 * channels)))
        self.attention = each(lambda: kind(channels, num_heads, reverse=reverse))
        self.norm2 = each(lambda: LayerNorm2d(channels))
        self.ffn = each(lambda: GDFN(channels, ffn_ratio))

    def forward(self, z: list[Tensor]) -> list[Tensor]:
        """Latents of one scale, M times (B,L,h,w), to as many."""
        if isinstance(self.attention[0], TransposedAttention) and strips.in_parts(z[0]):
            return strips.cross_block(self, z)
        h = [norm(s) for norm, s in zip(self.norm1, z, strict=True)]
        kv = [project(s) for project, s in zip(self.kv, h, strict=True)]
        out = []
        for i, s in enumerate(z):
            others = [kv[j] for j in range(len(z)) if j != i]
            k, v = (sum(others) / len(others) if len(others) > 1 else others[0]).chunk(2, dim=1)
            s = s + self.attention[i](self.q[i](h[i]), k, v)
            out.append(s + self.ffn[i](self.norm2[i](s)))
        return out


@FUSERS.register_module()
class CrossAttentionFuser(Fuser):
    """zero(F(Z_1, ..., Z_M)) + rule(Z_1, ..., Z_M) per scale (LURE, Eq. 6).

    The last 1x1 convolution starts at zero, so that training starts from the rule. No second factor in its path may
    start at zero: the product of two would never receive a gradient.

    Args:
        channels: L_i of the latents, fine to coarse.
        num_modalities: M >= 2.
        K_f: Cross-attention blocks of each scale (paper: 1, 1, 2, 2).
        num_heads: Attention heads (paper: 4).
        ffn_ratio: Hidden width of the GDFN over L_i.
        rule: Member of FUSION_RULES.
        attention: ``transposed`` (between channels, linear in pixels) or ``window`` (8x8 windows of pixels).
        reverse: Attend to what is uncorrelated (CrossFuse).
        zero_init: Start the last convolution at zero; None: only when there is a rule (without one, a zero output
            would leave the decoder a constant picture).
        widths: Channels in which a scale's blocks work; a 1x1 convolution leads there from L_i. None (paper): L_i.

    Raises:
        ValueError: If a list has another length than there are scales, or an option is unknown.
    """

    def __init__(
        self,
        channels: Sequence[int] = (16, 32, 64, 128),
        num_modalities: int = 2,
        K_f: Sequence[int] = (1, 1, 2, 2),
        num_heads: int = 4,
        ffn_ratio: float = 2.66,
        rule: dict[str, Any] | str = 'l1',
        attention: str = 'transposed',
        reverse: bool = False,
        zero_init: bool | None = None,
        widths: Sequence[int] | None = None,
    ) -> None:
        super().__init__(channels, num_modalities)
        if len(K_f) != len(channels):
            raise ValueError(f'fuser.K_f has {len(K_f)} entries for {len(channels)} latents of the image encoder')
        if num_modalities < 2:
            raise ValueError(f'cross attention needs at least two modalities, got {num_modalities}')
        one_of('attention', attention, ATTENTIONS)
        self.rule = FUSION_RULES.build(rule)
        self.enter, widths = entering('fuser', channels, widths)
        self.cross = nn.ModuleList(
            nn.ModuleList(CrossBlock(width, num_modalities, num_heads, ffn_ratio, attention, reverse) for _ in range(k))
            for width, k in zip(widths, K_f, strict=True)
        )
        self.merge = nn.ModuleList(conv1x1(num_modalities * width, width, bias=True) for width in widths)
        self.zero = nn.ModuleList(conv1x1(b, a, bias=True) for a, b in zip(channels, widths, strict=True))
        if zero_init is None:
            zero_init = not isinstance(self.rule, NoRule)
        if zero_init:
            for conv in self.zero:
                nn.init.zeros_(conv.weight)
                nn.init.zeros_(conv.bias)

    def forward(self, latents: list[list[Tensor]]) -> list[Tensor]:
        """M lists of latents (B,L_i,h_i,w_i), one a scale, to one such list."""
        out = []
        for i, z in enumerate(zip(*latents, strict=True)):
            # first: what it holds is freed before the blocks need as much
            ruled = _checked_rule(self.rule, list(z))
            mixed = list(z) if self.enter is None else [self.enter[i](s) for s in z]
            for block in self.cross[i]:
                mixed = block(mixed)
            out.append(self.zero[i](self.merge[i](torch.cat(mixed, dim=1))) + ruled)
        return out


def _checked_rule(rule: FusionRule, z: list[Tensor]) -> Tensor:
    fused = rule(z)
    if fused.shape != z[0].shape:
        raise ValueError(
            f'fusion rule {type(rule).__name__} returned {tuple(fused.shape)} for latents of {tuple(z[0].shape)}; '
            f'a rule keeps the shape'
        )
    return fused
