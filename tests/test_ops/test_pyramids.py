import cv2
import numpy as np
import pytest
import torch

from lurefusion.ops.pyramids import box_mean, guided_filter, pyramid_down, pyramid_up


@pytest.mark.parametrize('shape', [(37, 50), (36, 51), (17, 18)])
def test_pyramid_steps_equal_opencv(shape):
    x = np.random.default_rng(0).random(shape)
    down = cv2.pyrDown(x)
    np.testing.assert_allclose(pyramid_down(torch.from_numpy(x)[None, None])[0, 0].numpy(), down, atol=1e-12)
    up = pyramid_up(torch.from_numpy(down)[None, None], shape)[0, 0].numpy()
    np.testing.assert_allclose(up, cv2.pyrUp(down, dstsize=shape[::-1]), atol=1e-12)


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
