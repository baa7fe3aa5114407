import numpy as np
import torch
from scipy import ndimage, signal

from lurefusion.ops.windows import Window, box_mean, filter_valid, gaussian_window, guided_filter


def test_gaussian_window_equals_scipy() -> None:
    taps = signal.windows.gaussian(11, 1.5)
    np.testing.assert_allclose(gaussian_window(11, 1.5), taps / taps.sum(), rtol=1e-12)


def test_filter_equals_scipy_where_the_window_fits() -> None:
    x, taps = np.random.default_rng(0).random((12, 15)), gaussian_window(5, 1)
    expected = ndimage.correlate(x, np.outer(taps, taps))[2:-2, 2:-2]
    np.testing.assert_allclose(filter_valid(torch.from_numpy(x), taps), expected, atol=1e-12)
    local = Window(torch.from_numpy(x), taps)
    variance = ndimage.correlate(x * x, np.outer(taps, taps))[2:-2, 2:-2] - expected**2
    np.testing.assert_allclose(local.variance, variance, atol=1e-12)
    np.testing.assert_allclose(local.covariance(local), variance, atol=1e-12)


def test_box_mean_and_guided_filter_equal_plain_numpy():
    rng = np.random.default_rng(0)
    guide, x = rng.random((2, 9, 11))

    def mean(image):
        out = np.empty_like(image)
        for i, j in np.ndindex(*image.shape):
            out[i, j] = image[max(i - 2, 0) : i + 3, max(j - 2, 0) : j + 3].mean()
        return out

    slope = (mean(guide * x) - mean(guide) * mean(x)) / (mean(guide**2) - mean(guide) ** 2 + 0.1)
    expected = mean(slope) * guide + mean(mean(x) - slope * mean(guide))
    tensors = [torch.from_numpy(v)[None, None] for v in (guide, x)]
    np.testing.assert_allclose(box_mean(tensors[1], 2)[0, 0].numpy(), mean(x), atol=1e-12)
    np.testing.assert_allclose(guided_filter(*tensors, 2, 0.1)[0, 0].numpy(), expected, atol=1e-12)


def test_strided_filter_is_a_subsampled_filter():
    x = torch.rand(2, 19, 22, dtype=torch.float64)
    window = gaussian_window(5, 1)
    torch.testing.assert_close(filter_valid(x, window, step=2), filter_valid(x, window)[..., ::2, ::2])
