"""What the metrics of fused pictures are computed from: 8-bit grey pictures and their shared local statistics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from lurefusion.ops.colour import LUMA

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


def filter_valid(image: Tensor, window: Sequence[float], step: int = 1) -> Tensor:
    """Separable correlation without padding, (..., H, W) -> (..., H-n+1, W-n+1), every `step`-th row and column of it.

    Shifted sums are several times faster than a double-precision convolution on a CPU.
    """
    for dim in (-1, -2):
        length = image.shape[dim] - len(window) + 1
        if dim == -1:
            shifted = [image[..., tap : tap + length : step] for tap in range(len(window))]
        else:
            shifted = [image[..., tap : tap + length : step, :] for tap in range(len(window))]
        image = shifted[0] * window[0]
        for view, weight in zip(shifted[1:], window[1:], strict=True):
            image.add_(view, alpha=weight)
    return image


def gaussian_window(size: int, sigma: float) -> list[float]:
    """Normalised Gaussian of `size` taps."""
    taps = [math.exp(-((i - (size - 1) / 2) ** 2) / (2 * sigma**2)) for i in range(size)]
    return [t / sum(taps) for t in taps]


class Window:
    """Local mean and variance of a picture, and covariance with others, under one window."""

    def __init__(self, image: Tensor, window: Sequence[float]) -> None:
        self.image, self.window = image, window
        self.mean = filter_valid(image, window)
        self.variance = filter_valid(image * image, window).addcmul_(self.mean, self.mean, value=-1)

    def covariance(self, other: Window) -> Tensor:
        both = filter_valid(self.image * other.image, self.window)
        return both.addcmul_(self.mean, other.mean, value=-1)


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
        self._windows: dict[tuple, list[tuple[Tensor, ...]]] = {}
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
            self._windows[key] = [
                (fused.mean, fused.variance, s.mean, s.variance, fused.covariance(s)) for s in sources
            ]
        return _ssim_terms(self._windows[key], data_range)

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


def sobel(image: Tensor, border: str = 'zeros') -> tuple[Tensor, Tensor]:
    """Horizontal and vertical Sobel derivatives of (B, H, W); outside are ``zeros`` or, ``replicate``, the border."""
    mode = 'constant' if pick('border', border, ('zeros', 'replicate')) == 'zeros' else 'replicate'
    x = F.pad(image[:, None], (1, 1, 1, 1), mode=mode)[:, 0]
    rows = x[:, :-2] + 2 * x[:, 1:-1] + x[:, 2:]
    cols = x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]
    return rows[..., 2:] - rows[..., :-2], cols[:, 2:] - cols[:, :-2]


def _ssim_terms(windows: list[tuple[Tensor, ...]], data_range: float) -> list[tuple[Tensor, Tensor]]:
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    terms = []
    for mean_f, var_f, mean_s, var_s, cov in windows:
        structure = (2 * cov + c2) / (var_f + var_s + c2)
        luminance = (2 * mean_f * mean_s + c1) / (mean_f.square() + mean_s.square() + c1)
        terms.append(((luminance * structure).mean((-2, -1)), structure.mean((-2, -1))))
    return terms


def pick(name: str, value: str, known: Sequence[str]) -> str:
    """`value`, if it is one of `known`; else ValueError."""
    if value not in known:
        raise ValueError(f'{name} must be one of {", ".join(map(repr, known))}; got {value!r}')
    return value
