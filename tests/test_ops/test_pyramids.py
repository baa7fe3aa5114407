import cv2
import numpy as np
import pytest
import torch

from lurefusion.ops.pyramids import pyramid_down, pyramid_up


@pytest.mark.parametrize('shape', [(37, 50), (36, 51), (17, 18)])
def test_pyramid_steps_equal_opencv(shape):
    x = np.random.default_rng(0).random(shape)
    down = cv2.pyrDown(x)
    np.testing.assert_allclose(pyramid_down(torch.from_numpy(x)[None, None])[0, 0].numpy(), down, atol=1e-12)
    up = pyramid_up(torch.from_numpy(down)[None, None], shape)[0, 0].numpy()
    np.testing.assert_allclose(up, cv2.pyrUp(down, dstsize=shape[::-1]), atol=1e-12)
