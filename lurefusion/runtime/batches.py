"""Pictures to what a network takes, and back: the only owner of scaling, padding and their inverse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

MIN_SIDE = 8


def stack(
    role: str, images: Sequence[Tensor] | Tensor, device: torch.device | str = 'cpu', non_blocking: bool = False
) -> Tensor:
    """uint8 or float pictures of one size, (C,H,W) each or (N,C,H,W), to float32 (N,3,H,W) in [0,1], channels last.

    Raises:
        ValueError: If sizes differ, or pixels are neither uint8 nor float, leave [0, 1] or have not 1 or 3 channels; it
            names the role.
    """
    if not isinstance(images, Tensor):
        sizes = sorted({tuple(image.shape[-2:]) for image in images})
        if len(sizes) > 1:
            raise ValueError(f'{role!r}: one batch holds sizes {sizes}; crop to one size or use batch_size=1')
        images = torch.stack(list(images))
    images = images.to(device, non_blocking=non_blocking)
    if images.dtype == torch.uint8:
        images = images.float().div_(255)
    elif not images.is_floating_point():
        raise ValueError(f'{role!r}: expected uint8 or float images, got {images.dtype}')
    else:
        images = images.float()
        low, high = float(images.min()), float(images.max())
        if not (low >= -1e-4 and high <= 1 + 1e-4):
            raise ValueError(f'{role!r}: float images must lie in [0, 1], got [{low:.4g}, {high:.4g}]')
    if images.shape[1] not in (1, 3):
        raise ValueError(f'{role!r}: expected 1 or 3 channels (grey or RGB), got {images.shape[1]}')
    if images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    return images.contiguous(memory_format=torch.channels_last)


def common_size(shapes: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    """The (height, width) that all roles have.

    Raises:
        ValueError: If they differ, or a side is below 8 pixels.
    """
    if len(set(shapes.values())) > 1:
        raise ValueError(f'the images of one sample must have one size (height, width), got {dict(shapes)}')
    height, width = next(iter(shapes.values()))
    if min(height, width) < MIN_SIDE:
        raise ValueError(f'images must be at least {MIN_SIDE}x{MIN_SIDE} pixels, got {width}x{height} (width x height)')
    return height, width


def pad(x: Tensor, divisor: int) -> Tensor:
    """(N,C,H,W) to the next multiples of `divisor`, right and bottom.

    By reflection; by replication where a side is not longer than the pad.
    """
    bottom, right = -x.shape[-2] % divisor, -x.shape[-1] % divisor
    if not (bottom or right):
        return x
    mode = 'reflect' if bottom < x.shape[-2] and right < x.shape[-1] else 'replicate'
    return F.pad(x, (0, right, 0, bottom), mode=mode)


def unpad(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(..., H', W') without what :func:`pad` added to the original (height, width)."""
    height, width = size
    return x[..., :height, :width]
