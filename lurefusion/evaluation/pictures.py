"""What the metrics of fused pictures are computed from: 8-bit grey pictures and their shared local statistics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from lurefusion.ops.colour import LUMA
from lurefusion.ops.ssim import Moments, moments, ssim_maps
from lurefusion.ops.windows import Window, gaussian_window

Sources = Sequence[Tensor] | Mapping[str, Tensor]


class TooSmallError(ValueError):
    """The picture is too small for the metric."""


def to_levels(image: Tensor) -> Tensor:
    """8-bit values, (B, 1|3, H, W) uint8 or floating in [0, 1] -> float64 integers in 0..255.

    Raises:
        TypeError: If `image` is no tensor, or neither uint8 nor floating.
        ValueError: If the shape differs, or a floating value is not finite or leaves [0, 1].
    """
    if not isinstance(image, Tensor):
        raise TypeError(f'expected a tensor (B, 1|3, H, W), got {type(image).__name__}')
    if image.ndim != 4 or image.shape[1] not in (1, 3) or 0 in image.shape:
        raise ValueError(f'expected a tensor (B, 1|3, H, W), got shape {tuple(image.shape)}')
    if image.is_floating_point():
        low, high = (float(v) for v in image.aminmax())
        if not (low >= 0 and high <= 1):
            raise ValueError(f'floating images must lie in [0, 1], got values from {low:g} to {high:g}')
        return (image.to(torch.float64) * 255).round_()
    if image.dtype == torch.uint8:
        return image.to(torch.float64)
    raise TypeError(f'expected uint8 or floating in [0, 1], got {image.dtype}')


def to_grey(image: Tensor) -> Tensor:
    """8-bit grey values, (B, 1|3, H, W) -> (B, H, W) float64 integers in 0..255; errors as :func:`to_levels`."""
    levels = to_levels(image)
    if image.shape[1] == 1:
        return levels[:, 0]
    weights = [round(1000 * w) for w in LUMA]
    # whole thousandths are exact, so that a half rounds alike on every device
    return ((weights[0] * levels[:, 0] + weights[1] * levels[:, 1] + weights[2] * levels[:, 2]) / 1000).round_()


class Pictures:
    """Fused pictures and their sources as 8-bit grey, with the intermediate results that several metrics share.

    Args:
        fused: (B, 1|3, H, W), uint8 or floating in [0, 1].
        sources: Tensors of the same B, H, W, as a sequence or a dict.

    Every metric of this package that takes sources, or the fused picture alone, accepts a `Pictures` in place of
    `fused` (then without `sources`), which saves computing the shared parts again.

    Attributes:
        fused: (B, H, W) float64 integers in 0..255.
        sources: Likewise, a list.
        given, named: Fused pictures and sources as they came.
    """

    def __init__(self, fused: Tensor, sources: Sources = ()) -> None:
        if isinstance(sources, Tensor):
            raise TypeError('sources must be a sequence or a dict of tensors, got one tensor')
        named = dict(sources) if isinstance(sources, Mapping) else dict(enumerate(sources))
        self.given, self.named = fused, named
        self.fused = to_grey(fused)
        self.sources = []
        for name, source in named.items():
            grey = to_grey(source)
            if grey.shape != self.fused.shape:
                raise ValueError(
                    f'source {name!r} has shape {tuple(source.shape)}, the fused image {tuple(fused.shape)}: '
                    f'batch, height and width must be equal'
                )
            self.sources.append(grey)
        self._windows: dict[tuple, list[Moments]] = {}
        self._levels: dict[tuple[int, str], list[Tensor]] = {}

    @staticmethod
    def of(fused: Tensor | Pictures, sources: Sources | None, least: int = 0) -> Pictures:
        """`fused` itself if it is a `Pictures`, else a new one; checks that there are at least `least` sources."""
        pictures = fused if isinstance(fused, Pictures) else Pictures(fused, sources if sources is not None else ())
        if len(pictures.sources) < least:
            raise ValueError(f'this metric needs at least {least} source image(s), got {len(pictures.sources)}')
        return pictures

    @property
    def size(self) -> tuple[int, int]:
        return self.fused.shape[-2], self.fused.shape[-1]

    def need_side(self, metric: str, side: int) -> None:
        if min(self.size) < side:
            height, width = self.size
            raise TooSmallError(f'{metric} needs images of at least {side}x{side} pixels, got {height}x{width}')

    @cached_property
    def centred(self) -> tuple[Tensor, list[Tensor]]:
        """Pictures minus their means."""
        fused, *sources = (x - x.mean((-2, -1), keepdim=True) for x in (self.fused, *self.sources))
        return fused, sources

    @cached_property
    def mse(self) -> Tensor:
        """Mean squared error against each source, (K, B)."""
        return torch.stack([(self.fused - s).square_().mean((-2, -1)) for s in self.sources])

    @cached_property
    def entropies(self) -> tuple[Tensor, Tensor]:
        """Entropy of F, (B,), and mutual information of F with each source, (K, B), in bits."""
        batch = len(self.fused)
        offset = torch.arange(batch, device=self.fused.device)[:, None, None]
        level = self.fused.long()
        fused = _entropy(torch.bincount((offset * 256 + level).flatten(), minlength=256 * batch).view(batch, 256))
        shared = []
        for source in self.sources:
            joint = torch.bincount(((offset * 256 + source.long()) * 256 + level).flatten(), minlength=65536 * batch)
            joint = joint.view(batch, 256, 256)
            shared.append(_entropy(joint.sum(2)) + fused - _entropy(joint.flatten(1)))
        return fused, torch.stack(shared) if shared else fused.new_zeros(0, batch)

    def ssim_terms(
        self, data_range: float, scale: int = 0, window: str = 'gaussian', odd: str = 'zeros'
    ) -> list[tuple[Tensor, Tensor]]:
        """Per source the means (B,) of luminance x contrast-structure and of contrast-structure at a scale."""
        key = (scale, window, odd if scale else '')
        if key not in self._windows:
            taps = gaussian_window(11, 1.5) if window == 'gaussian' else [1 / 7] * 7
            fused, *sources = (Window(x, taps) for x in self._level(scale, odd))
            self._windows[key] = [moments(fused, s) for s in sources]
        maps = (ssim_maps(local, data_range) for local in self._windows[key])
        return [(full.mean((-2, -1)), structure.mean((-2, -1))) for full, structure in maps]

    def _level(self, scale: int, odd: str) -> list[Tensor]:
        if scale == 0:
            return [self.fused, *self.sources]
        if (scale, odd) not in self._levels:
            self._levels[scale, odd] = [halve(x, odd) for x in self._level(scale - 1, odd)]
        return self._levels[scale, odd]


def halve(image: Tensor, odd: str = 'zeros') -> Tensor:
    """2x2 means, (B, H, W) -> (B, h, w); an odd side gets a border of zeros, a copy of its last line, or loses it."""
    height, width = (n % 2 for n in image.shape[-2:])
    image = image[:, None]
    if odd == 'replicate':
        image = F.pad(image, (0, width, 0, height), mode='replicate')
    return F.avg_pool2d(image, 2, padding=(height, width) if odd == 'zeros' else 0)[:, 0]


def _entropy(counts: Tensor) -> Tensor:
    p = counts.to(torch.float64) / counts.sum(-1, keepdim=True)
    return torch.special.entr(p).sum(-1) / math.log(2)
