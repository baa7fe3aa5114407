"""Overlapping tiles for pictures that do not fit into memory at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def run_tiled(
    run: Callable[..., Tensor], images: Sequence[Tensor], tile: int = 640, overlap: int = 64, stride: int | None = None
) -> Tensor:
    """Apply `run` to overlapping tiles and blend with raised-cosine weights in float32.

    Statistics that a network takes over its whole input (channel attention, transposed attention) are taken per tile
    here, so that enhancement prompts may come out with another exposure from tile to tile; the overlap hides that, and
    :func:`lurefusion.runtime.passes.level_tiles` removes most of it. Prefer the whole picture wherever it fits: on a
    CPU, blocks computed part by part (:mod:`lurefusion.models.strips`) share these statistics without tiles, for about
    200 bytes a pixel.

    Args:
        run: Maps as many (N,C,h,w) tensors as there are `images` to one (N,3,h,w).
        images: Tensors of one size (N,C,H,W).
        tile: Side of a tile, a multiple of the network's last stride.
        overlap: Pixels shared by neighbours, less than half a tile.
        stride: Sides of tiles are multiples of it: they may be smaller than `tile`, and cover the picture evenly. None:
            all are of that size.

    Returns:
        (N,3,H,W) float32.
    """
    if not 0 < 2 * overlap < tile:
        raise ValueError(f'overlap must be positive and less than half a tile, got overlap={overlap}, tile={tile}')
    height, width = images[0].shape[-2:]
    total: Tensor | None = None
    weight_sum = torch.zeros(1, 1, height, width, device=images[0].device)
    for top, bottom in _spans(height, tile, overlap, stride):
        for left, right in _spans(width, tile, overlap, stride):
            out = run(*(x[..., top:bottom, left:right] for x in images)).float()
            if total is None:
                total = out.new_zeros(*out.shape[:-2], height, width)
            weight = _ramp(top, bottom, height, overlap, out)[:, None] * _ramp(left, right, width, overlap, out)
            total[..., top:bottom, left:right] += out * weight
            weight_sum[..., top:bottom, left:right] += weight
    return total / weight_sum


def _spans(length: int, tile: int, overlap: int, stride: int | None) -> list[tuple[int, int]]:
    if length <= tile:
        return [(0, length)]
    if stride is not None:
        # the same number of tiles, without the pixels that the last two would share
        count = -(-(length - overlap) // (tile - overlap))
        tile = min(-(-(length + (count - 1) * overlap) // (count * stride)) * stride, tile)
    starts = list(range(0, length - tile, tile - overlap)) + [length - tile]
    return [(start, start + tile) for start in starts]


def _ramp(start: int, stop: int, length: int, overlap: int, like: Tensor) -> Tensor:
    """1 inside, falling as a raised cosine over the overlap towards each inner border; never 0."""
    weight = like.new_ones(stop - start)
    slope = 0.5 - 0.5 * torch.cos(torch.pi * (torch.arange(overlap, device=like.device) + 0.5) / overlap)
    if start > 0:
        weight[:overlap] *= slope
    if stop < length:
        weight[-overlap:] *= slope.flip(0)
    return weight
