"""What the sensor loses and adds: resolution, noise, stripes."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from lurefusion.choices import one_of
from lurefusion.datasets.degradations.base import (
    Degradation,
    Degraded,
    Range,
    draw,
    draw_seed,
    standard_normal,
    value_range,
)
from lurefusion.io.ranges import to_uint8, to_unit_range
from lurefusion.registry import DEGRADATIONS


@DEGRADATIONS.register_module()
class LowResolution(Degradation):
    """Reduced by a factor, rounded to 8 bits, and enlarged again by cubic interpolation to the original size.

    Sides that the factor does not divide are reduced to the next whole pixel, nothing is cropped.

    Args:
        scales: Factors, one of which is drawn.
        blur: Standard deviation of a Gaussian before the reduction, pixels; 0 for none.
        down: ``cubic`` with antialiasing, ``area`` (mean of each block), or ``random`` for either of them.
    """

    task = 'sr'

    def __init__(self, scales: int | Sequence[int] = (4, 8), blur: Range = 0.0, down: str = 'cubic') -> None:
        scales = (scales,) if isinstance(scales, int) else tuple(scales)
        if not scales or any(scale != int(scale) or scale < 2 for scale in scales):
            raise ValueError(f'scales must be whole numbers of at least 2, got {tuple(scales)}')
        self.scales = tuple(int(scale) for scale in scales)
        self.blur = value_range('blur', blur, 0)
        self.down = one_of('down', down, ('area', 'cubic', 'random'))

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> Degraded:
        scale = self.scales[int(rng.integers(len(self.scales)))]
        blur = draw(rng, self.blur)
        area = bool(rng.integers(2)) if self.down == 'random' else self.down == 'area'
        height, width = image.shape[:2]
        small = cv2.GaussianBlur(image, (0, 0), blur) if blur > 0 else image
        size = (-(-height // scale), -(-width // scale))
        small = cv2.resize(small, size[::-1], interpolation=cv2.INTER_AREA) if area else _cubic_down(small, size)
        small = to_unit_range(to_uint8(small))
        degraded = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        return degraded, dict(scale=scale, blur=blur, area=int(area))


def _cubic_down(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    # OpenCV's cubic interpolation does not widen its kernel when reducing, and aliases
    planes = torch.from_numpy(np.array(image, np.float32, ndmin=3)).reshape(*image.shape[:2], -1).permute(2, 0, 1)
    small = F.interpolate(planes[None], size=size, mode='bicubic', antialias=True, align_corners=False)[0]
    return small.permute(1, 2, 0).reshape(*size, *image.shape[2:]).numpy()


@DEGRADATIONS.register_module()
class Noise(Degradation):
    """x = y + n, n ~ N(0, σ² + a y): read and shot noise of a sensor that was given too little signal.

    Args:
        sigma: σ.
        shot: a.
    """

    task = 'ns'

    def __init__(self, sigma: Range = (0.02, 0.15), shot: Range = (0.0, 5e-3)) -> None:
        self.sigma = value_range('sigma', sigma, 0)
        self.shot = value_range('shot', shot, 0)

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> Degraded:
        sigma, shot, seed = draw(rng, self.sigma), draw(rng, self.shot), draw_seed(rng)
        deviation = np.sqrt(sigma**2 + shot * image)
        return image + deviation * standard_normal(image, seed), dict(sigma=sigma, shot=shot, noise_seed=seed)


@DEGRADATIONS.register_module()
class StripeNoise(Degradation):
    """x = (1 + g) y + o, with one g ~ N(0, γ²) and one o ~ N(0, σ²) a line: readout of an uncooled infrared array.

    Args:
        offset: σ.
        gain: γ.
        lines: ``columns`` (most cameras), ``rows``, or ``random`` for either of them.
    """

    task = 'st'

    def __init__(self, offset: Range = (0.01, 0.08), gain: Range = (0.0, 0.08), lines: str = 'columns') -> None:
        self.offset = value_range('offset', offset, 0)
        self.gain = value_range('gain', gain, 0)
        self.lines = one_of('lines', lines, ('columns', 'rows', 'random'))

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> Degraded:
        offset, gain, seed = draw(rng, self.offset), draw(rng, self.gain), draw_seed(rng)
        rows = bool(rng.integers(2)) if self.lines == 'random' else self.lines == 'rows'
        count = image.shape[0 if rows else 1]
        drawn = np.random.default_rng(seed).standard_normal((2, count), dtype=np.float32)
        shape = ((count, 1) if rows else (1, count)) + (1,) * (image.ndim - 2)
        gains, offsets = (part.reshape(shape) for part in drawn)
        degraded = (1 + gain * gains) * image + offset * offsets
        return degraded, dict(offset=offset, gain=gain, rows=int(rows), noise_seed=seed)
