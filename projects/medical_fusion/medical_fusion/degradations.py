"""What scanners do to pictures: Rician noise of MRI, few counts of PET, SPECT and low-dose CT."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from lurefusion.datasets.degradations import Degradation
from lurefusion.ops.colour import rgb_to_ycbcr
from lurefusion.registry import DEGRADATIONS

Degraded = tuple[np.ndarray, dict[str, Any]]
Range = tuple[float, float]


def _range(name: str, value: Range, least: float) -> Range:
    low, high = value
    if not least <= low <= high:
        raise ValueError(f'{name} must be ascending and at least {least:g}, got {value}')
    return float(low), float(high)


@DEGRADATIONS.register_module()
class RicianNoise(Degradation):
    """x = sqrt((y + n_1)^2 + n_2^2), n ~ N(0, σ²): magnitude of a noisy complex signal (Gudbjartsson, MRM 1995).

    All channels get the same noise, so that grey stays grey.

    Args:
        sigma: σ, (low, high) in units of the full range.
    """

    task = 'rn'

    def __init__(self, sigma: Range = (0.03, 0.12)) -> None:
        self.sigma = _range('sigma', sigma, 0)

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> Degraded:
        """image (H,W,3) or (H,W) float32 in [0,1]."""
        sigma, seed = float(rng.uniform(*self.sigma)), int(rng.integers(2**31))
        real, imaginary = np.float32(sigma) * _planes(seed, 2, image)
        return np.hypot(image + real, imaginary), dict(sigma=sigma, noise_seed=seed)


@DEGRADATIONS.register_module()
class FewCounts(Degradation):
    """x = G_s * (y P(kY) / (kY)): Poisson counts of the luma Y with k at full brightness, then a smoothing filter.

    Every colour keeps its hue: the counts scale a pixel as a whole.

    Args:
        counts: k, (low, high); fewer is noisier.
        smooth: s, standard deviation of the Gaussian in pixels, (low, high).
    """

    task = 'fc'

    def __init__(self, counts: Range = (8, 40), smooth: Range = (0.6, 1.2)) -> None:
        self.counts = _range('counts', counts, 1)
        self.smooth = _range('smooth', smooth, 0.1)

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> Degraded:
        """image (H,W,3) or (H,W) float32 in [0,1]."""
        counts, smooth = float(rng.uniform(*self.counts)), float(rng.uniform(*self.smooth))
        seed = int(rng.integers(2**31))
        luma = image if image.ndim == 2 else rgb_to_ycbcr(*np.moveaxis(image, 2, 0))[0]
        expected = counts * luma.astype(np.float64)
        factor = np.random.default_rng(seed).poisson(expected) / np.maximum(expected, 1e-6)
        factor = factor.astype(np.float32)
        noisy = image * (factor[..., None] if image.ndim == 3 else factor)
        return cv2.GaussianBlur(noisy, (0, 0), smooth), dict(counts=counts, smooth=smooth, noise_seed=seed)


def _planes(seed: int, count: int, image: np.ndarray) -> np.ndarray:
    """(count, H, W) or (count, H, W, 1) standard normal."""
    noise = np.random.default_rng(seed).standard_normal((count, *image.shape[:2]), dtype=np.float32)
    return noise[..., None] if image.ndim == 3 else noise
