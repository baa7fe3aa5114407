"""Local means under a window: Gaussian, box, and along the edges of a guide."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def gaussian_window(size: int, sigma: float) -> list[float]:
    """Normalised Gaussian of `size` taps."""
    taps = [math.exp(-((i - (size - 1) / 2) ** 2) / (2 * sigma**2)) for i in range(size)]
    return [t / sum(taps) for t in taps]


def filter_valid(image: Tensor, window: Sequence[float], step: int = 1) -> Tensor:
    """Separable correlation without padding, (..., H, W) -> (..., H-n+1, W-n+1), every `step`-th row and column of it.

    Shifted sums are several times faster than a dense or a double-precision convolution on a CPU; differentiable.
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


class Window:
    """Local mean and variance of a picture (..., H, W), and covariance with others, under one window that fits."""

    def __init__(self, image: Tensor, window: Sequence[float]) -> None:
        self.image, self.window = image, window
        self.mean = filter_valid(image, window)
        self.variance = filter_valid(image * image, window).addcmul_(self.mean, self.mean, value=-1)

    def covariance(self, other: Window) -> Tensor:
        """Local covariance, of the shape of `mean`."""
        both = filter_valid(self.image * other.image, self.window)
        return both.addcmul_(self.mean, other.mean, value=-1)


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
