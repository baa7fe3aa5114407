"""Linear and edge-preserving filters of pictures and latents (N,C,H,W)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def pyramid_down(x: Tensor) -> Tensor:
    """(N,C,H,W) -> (N,C,ceil(H/2),ceil(W/2)): binomial 5x5 filter with mirrored borders, every second pixel."""
    channels = x.shape[1]
    taps = x.new_tensor(BINOMIAL)
    x = F.pad(x, (2, 2, 2, 2), mode='reflect')
    x = F.conv2d(x, taps.view(1, 1, 1, 5).expand(channels, 1, 1, 5), stride=(1, 2), groups=channels)
    return F.conv2d(x, taps.view(1, 1, 5, 1).expand(channels, 1, 5, 1), stride=(2, 1), groups=channels)


def pyramid_up(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(N,C,h,w) -> (N,C,*size), size 2h or 2h-1: zeros between the pixels, then the binomial filter times 4."""
    for dim in (-1, -2):
        length = x.shape[dim]
        # mirrored before the first pixel, repeated after the last, as image libraries do
        before = x.narrow(dim, min(1, length - 1), 1)
        padded = torch.cat([before, x, x.narrow(dim, length - 1, 1)], dim)
        left, centre, right = (padded.narrow(dim, i, length) for i in range(3))
        even, odd = (left + 6 * centre + right) / 8, (centre + right) / 2
        x = torch.stack([even, odd], dim if dim == -1 else -2).flatten(dim - 1, dim)
        x = x.narrow(dim, 0, size[dim])
    return x


def box_mean(x: Tensor, radius: int) -> Tensor:
    """Mean over (2 radius + 1)^2 pixels, (N,C,H,W) -> same; only pixels inside the image count."""
    size = 2 * radius + 1
    for kernel, padding in (((1, size), (0, radius)), ((size, 1), (radius, 0))):
        x = F.avg_pool2d(x, kernel, stride=1, padding=padding, count_include_pad=False)
    return x


def guided_filter(guide: Tensor, x: Tensor, radius: int, epsilon: float) -> Tensor:
    """Edge-preserving smoothing of x (N,C,H,W) along the edges of guide (N,C,H,W). Source: He et al., TPAMI 2013."""
    mean_g, mean_x = box_mean(guide, radius), box_mean(x, radius)
    variance = box_mean(guide * guide, radius) - mean_g * mean_g
    slope = (box_mean(guide * x, radius) - mean_g * mean_x) / (variance + epsilon)
    return box_mean(slope, radius) * guide + box_mean(mean_x - slope * mean_g, radius)
