"""Structural similarity, once: the loss, the metrics of fused and of restored pictures."""

from __future__ import annotations

from torch import Tensor

from lurefusion.ops.windows import Window, gaussian_window

#: powers of the five scales of MS-SSIM (Wang et al., Asilomar 2003)
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)

Moments = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def moments(a: Window, b: Window) -> Moments:
    """Local means and variances of two pictures and their covariance: what :func:`ssim_maps` takes."""
    return a.mean, a.variance, b.mean, b.variance, a.covariance(b)


def ssim_maps(local: Moments, data_range: float) -> tuple[Tensor, Tensor]:
    """SSIM and its contrast-structure term in every window, with C1 = (0.01 L)², C2 = (0.03 L)², L the data range."""
    mean_a, var_a, mean_b, var_b, cov = local
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    structure = (2 * cov + c2) / (var_a + var_b + c2)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
    return luminance * structure, structure


def ssim(a: Tensor, b: Tensor, window: int = 11, sigma: float = 1.5, data_range: float = 1.0) -> Tensor:
    """Structural similarity (Wang et al. 2004), Gaussian window, valid region, mean over channels and pixels.

    Args:
        a, b: Images (B,C,H,W) in [0, data_range].
        window: Width of the Gaussian window in pixels.
        sigma: Its standard deviation in pixels.
        data_range: L of the constants (0.01 L)² and (0.03 L)².

    Returns:
        One value per image, (B,), in [-1, 1].

    Raises:
        ValueError: If the shapes differ or a side is smaller than the window.
    """
    if a.shape != b.shape:
        raise ValueError(f'SSIM needs images of one shape, got {tuple(a.shape)} and {tuple(b.shape)}')
    if min(a.shape[-2:]) < window:
        raise ValueError(f'SSIM with a window of {window} needs images of at least that size, got {tuple(a.shape)}')
    taps = gaussian_window(window, sigma)
    full, _ = ssim_maps(moments(Window(a, taps), Window(b, taps)), data_range)
    return full.mean(dim=(1, 2, 3))
