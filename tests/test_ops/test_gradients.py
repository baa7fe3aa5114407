import numpy as np
import pytest
import torch
from scipy import ndimage

from lurefusion.ops.gradients import gradient_magnitude, laplacian, sobel


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(('border', 'mode'), [('replicate', 'nearest'), ('zeros', 'constant')])
def test_sobel_equals_scipy(border: str, mode: str) -> None:
    image = rand(1, 2, 9, 13)
    gx, gy = sobel(image, border)
    for channel in range(2):
        reference = image[0, channel].numpy()
        np.testing.assert_allclose(gx[0, channel], ndimage.sobel(reference, axis=1, mode=mode), atol=1e-5)
        np.testing.assert_allclose(gy[0, channel], ndimage.sobel(reference, axis=0, mode=mode), atol=1e-5)
    torch.testing.assert_close(sobel(image[:, 0], border), (gx[:, 0], gy[:, 0]))


def test_magnitude_by_both_norms_and_its_gradient_where_the_picture_is_constant() -> None:
    image = rand(1, 1, 6, 7).double()
    gx, gy = sobel(image)
    torch.testing.assert_close(gradient_magnitude(image), gx.abs() + gy.abs())
    torch.testing.assert_close(gradient_magnitude(image, 'l2', epsilon=0), torch.hypot(gx, gy))
    flat = torch.full((1, 1, 5, 5), 0.5, requires_grad=True)
    gradient_magnitude(flat, 'l2').sum().backward()
    assert flat.grad.abs().max() == 0


def test_unknown_borders_and_norms_are_named() -> None:
    with pytest.raises(ValueError, match="norm must be one of l1, l2; got 'l3'"):
        gradient_magnitude(rand(1, 1, 4, 4), 'l3')
    with pytest.raises(ValueError, match=r"border must be one of replicate, zeros; got 'zero'. Did you mean 'zeros'"):
        sobel(rand(1, 1, 4, 4), 'zero')


def test_laplacian_equals_scipy():
    image = rand(1, 1, 9, 13)
    kernel = np.full((3, 3), 1 / 8)
    kernel[1, 1] = -1
    np.testing.assert_allclose(
        laplacian(image)[0, 0], ndimage.correlate(image[0, 0].numpy(), kernel, mode='nearest'), atol=1e-5
    )
