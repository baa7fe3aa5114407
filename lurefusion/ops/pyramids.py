"""One step down and up a pyramid of pictures or latents (N,C,H,W)."""

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
        # picked one by one: a cut that drops the last would tie an exported graph to odd sizes, or to even ones
        position = torch.arange(size[dim], device=x.device)
        x = torch.cat([even, odd], dim).index_select(dim, position // 2 + position % 2 * length)
    return x
