"""What layers become in a graph that other programs run: the same numbers, (B,C,H,W) throughout, convolutions as such.

PyTorch on a CPU is fastest with channels last and matrix products; ONNX Runtime has kernels for convolutions, and turns
every change of layout into a copy. A layer that has such a form returns it from its method `export_form`.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lurefusion.ops.pyramids import BINOMIAL


@torch.no_grad()
def export_form(network: nn.Module) -> nn.Module:
    """A copy of a network in which every part that declares an export form is in it; the network stays as it is."""
    return _converted(copy.deepcopy(network)).eval()


def _converted(part: nn.Module) -> nn.Module:
    declared = getattr(type(part), 'export_form', None)
    part = part if declared is None else declared(part)
    if isinstance(part, torch.jit.ScriptModule):
        return part
    for name, child in part.named_children():
        setattr(part, name, _converted(child))
    return part


def convolution(weight: Tensor, bias: Tensor | None, like: nn.Conv2d | None = None, groups: int = 1) -> nn.Conv2d:
    """A plain convolution of these values, with the padding of another; 1x1 without one."""
    size, padding = weight.shape[-2:], (0, 0) if like is None else like.padding
    conv = nn.Conv2d(weight.shape[1] * groups, len(weight), size, padding=padding, groups=groups, bias=bias is not None)
    conv.weight.copy_(weight)
    if bias is not None:
        conv.bias.copy_(bias)
    return conv


def halves(conv: nn.Conv2d) -> nn.ModuleList:
    """Two convolutions that make the first and the second half of the channels: nothing has to be cut apart later.

    Of a depthwise one, each takes the half of the channels that it makes.
    """
    weights = conv.weight.chunk(2)
    biases = (None, None) if conv.bias is None else conv.bias.chunk(2)
    groups = 1 if conv.groups == 1 else conv.groups // 2
    return nn.ModuleList(convolution(w, b, conv, groups) for w, b in zip(weights, biases, strict=True))


class NormForm(nn.Module):
    """Of `LayerNorm2d`: sums over channels, no change of layout."""

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(norm.weight.detach()[:, None, None].clone())
        self.bias = nn.Parameter(norm.bias.detach()[:, None, None].clone())
        self.eps = norm.eps

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,h,w)."""
        centred = x - x.mean(1, keepdim=True)
        variance = centred.square().mean(1, keepdim=True)
        return centred / (variance + self.eps).sqrt() * self.weight + self.bias


class NAFBlockForm(nn.Module):
    """Of `NAFBlock`: its halves apart, the scales of its residuals in the convolutions before them."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.norm1, self.norm2 = block.norm1, block.norm2
        self.enter, self.depthwise, self.sca = halves(block.conv1), halves(block.conv2), block.sca
        self.leave = _scaled(block.conv3, block.beta)
        self.enter2, self.leave2 = halves(block.conv4), _scaled(block.conv5, block.gamma)

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,h,w)."""
        h = self.norm1(x)
        y = self.depthwise[0](self.enter[0](h)) * self.depthwise[1](self.enter[1](h))
        x = x + self.leave(y * self.sca(y.mean(dim=(2, 3), keepdim=True)))
        h = self.norm2(x)
        return x + self.leave2(self.enter2[0](h) * self.enter2[1](h))


def _scaled(conv: nn.Conv2d, scale: Tensor) -> nn.Conv2d:
    scale = scale.flatten()
    return convolution(conv.weight * scale[:, None, None, None], None if conv.bias is None else conv.bias * scale)


class GDFNForm(nn.Module):
    """Of `GDFN`: its halves apart."""

    def __init__(self, part: Any) -> None:
        super().__init__()
        self.enter, self.depthwise = halves(part.project_in), halves(part.dwconv)
        self.leave = part.project_out

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,h,w)."""
        a, b = (depthwise(enter(x)) for enter, depthwise in zip(self.enter, self.depthwise, strict=True))
        return self.leave(F.gelu(a) * b)


class TransposedAttentionForm(nn.Module):
    """Of `TransposedAttention`: rows are channels, as they lie in memory."""

    def __init__(self, part: Any) -> None:
        super().__init__()
        channels = part.project_out.out_channels
        tau = part.temperature.flatten().repeat_interleave(channels // part.num_heads)
        self.scale = nn.Parameter(part.sign * tau.detach()[:, None])
        self.blocked = nn.Parameter(torch.where(part.other_head, -3e4, 0.0))
        self.projection = nn.Parameter(part.project_out.weight.detach()[:, :, 0, 0].clone())

    def forward(self, q: Tensor, k: Tensor, v: Tensor, row_weight: Tensor | None = None) -> Tensor:
        """q, k, v: (B,C,H,W)."""
        q_BCN, k_BCN, v_BCN = (x.reshape(x.shape[0], x.shape[1], -1) for x in (q, k, v))
        q_norm = q_BCN.square().sum(2, keepdim=True).clamp_min(1e-12).sqrt()
        k_norm = k_BCN.square().sum(2, keepdim=True).clamp_min(1e-12).sqrt()
        logits = (
            torch.matmul(q_BCN, k_BCN.transpose(1, 2)) / (q_norm * k_norm.transpose(1, 2)) * self.scale + self.blocked
        )
        attention = logits.softmax(-1)
        if row_weight is not None:
            attention = attention * row_weight[:, :, None]
        return torch.matmul(self.projection @ attention, v_BCN).reshape(v.shape)


class L1PyramidForm(nn.Module):
    """Of `L1PyramidRule`: a branch of the graph ends the pyramid where a latent is too small for a further level."""

    def __init__(self, rule: Any) -> None:
        super().__init__()
        level: nn.Module = _Base(rule.radius, rule.base_power)
        for _ in range(rule.levels):
            level = _Level(level, rule.radius, rule.power, rule.base_power)
        self.scripted = torch.jit.script(level)

    def forward(self, z: list[Tensor]) -> Tensor:
        """Latents of one scale, M times (B,L,h,w), to (B,L,h,w)."""
        # the shape says how many sides there are, which a branch does not
        return self.scripted(torch.cat(z), len(z)).reshape(z[0].shape)


def weigh(z: Tensor, count: int, radius: int, power: float) -> Tensor:
    """Convex sum (B,L,h,w) of `count` latents, one after the other in z (count B,L,h,w), see `L1Rule`."""
    activity = z.abs().sum(1, keepdim=True)
    if radius > 0:
        padded = F.pad(activity, [radius, radius, radius, radius], mode='replicate')
        activity = F.avg_pool2d(padded, [2 * radius + 1, 2 * radius + 1], stride=[1, 1])
    activity = activity.reshape([count, -1, 1, z.shape[2], z.shape[3]])
    share = (activity + 1e-6) / (activity.amax(0, keepdim=True) + 1e-6)
    share = share**power
    weights = share / share.sum(0, keepdim=True)
    return (weights * z.reshape([count, -1, z.shape[1], z.shape[2], z.shape[3]])).sum(0)


class _Base(nn.Module):
    def __init__(self, radius: int, power: float) -> None:
        super().__init__()
        self.radius, self.power = radius, power

    def forward(self, z: Tensor, count: int) -> Tensor:
        return weigh(z, count, self.radius, self.power)


class _Level(nn.Module):
    """A band of the pyramid, and what is below it."""

    def __init__(self, below: nn.Module, radius: int, power: float, base_power: float) -> None:
        super().__init__()
        self.below = below
        self.radius, self.power, self.base_power = radius, power, base_power
        self.register_buffer('taps', torch.tensor(BINOMIAL))

    def forward(self, z: Tensor, count: int) -> Tensor:
        # as in the rule: the binomial filter mirrors two pixels at each border
        if min(z.shape[2], z.shape[3]) < 3:
            fused = weigh(z, count, self.radius, self.base_power)
        else:
            coarse = self.down(z)
            band = z - self.up(coarse, z)
            below = self.below(coarse, count)
            fused = weigh(band, count, self.radius, self.power) + self.up(below, z)
        return fused

    def down(self, z: Tensor) -> Tensor:
        channels = z.shape[1]
        rows = F.pad(z, [2, 2, 2, 2], mode='reflect')
        # planes one by one: the number of channels is not known here
        planes = rows.reshape([-1, 1, rows.shape[2], rows.shape[3]])
        planes = F.conv2d(planes, self.taps.reshape(1, 1, 1, 5), stride=[1, 2])
        planes = F.conv2d(planes, self.taps.reshape(1, 1, 5, 1), stride=[2, 1])
        return planes.reshape([-1, channels, planes.shape[2], planes.shape[3]])

    def up(self, x: Tensor, like: Tensor) -> Tensor:
        x = torch.cat([x[:, :, :, 1:2], x, x[:, :, :, -1:]], 3)
        left, centre, right = x[:, :, :, :-2], x[:, :, :, 1:-1], x[:, :, :, 2:]
        x = torch.stack([(left + 6 * centre + right) / 8, (centre + right) / 2], 4)
        x = x.reshape([x.shape[0], x.shape[1], x.shape[2], -1])[:, :, :, : like.shape[3]]
        x = torch.cat([x[:, :, 1:2], x, x[:, :, -1:]], 2)
        left, centre, right = x[:, :, :-2], x[:, :, 1:-1], x[:, :, 2:]
        x = torch.stack([(left + 6 * centre + right) / 8, (centre + right) / 2], 3)
        return x.reshape([x.shape[0], x.shape[1], -1, x.shape[4]])[:, :, : like.shape[2]]


class DetailForm(nn.Module):
    """Of `TextGuidedDetail`: a branch of the graph that is taken where the text asks for detail."""

    def __init__(self, part: Any) -> None:
        super().__init__()
        self.scripted = torch.jit.script(_Detail(part))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """x (B,3,H,W), c (B,text_dim)."""
        # the shape says how many sides there are, which a branch does not
        return self.scripted(x, c).reshape(x.shape)


class _Detail(nn.Module):
    def __init__(self, part: Any) -> None:
        super().__init__()
        self.gate, self.body, self.patch, self.scale = part.gate, part.body, part.patch, part.scale

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        gate = self.gate(c).clamp(0, 1).reshape([-1, 1, 1, 1])
        if bool(gate.max() > 0):
            padded = F.pad(x, [8, 8, 8, 8], mode='replicate')
            mean = F.avg_pool2d(F.avg_pool2d(padded, [17, 1], stride=[1, 1]), [1, 17], stride=[1, 1])
            blocks = F.pixel_unshuffle((x - mean) / self.scale, self.patch)
            out = x + gate * (self.scale * F.pixel_shuffle(self.body(blocks), self.patch))
        else:
            out = x
        return out
