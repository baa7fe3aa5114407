import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from lurefusion.ops.ssim import ssim


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize('shape', [(2, 1, 24, 31), (1, 3, 16, 16)])
def test_ssim_equals_scikit_image(shape):
    a, b = rand(*shape), (rand(*shape) + 0.3 * rand(*shape, seed=1)).clamp(0, 1)
    for i in range(shape[0]):
        values = []
        for channel in range(shape[1]):
            _, full = structural_similarity(
                a[i, channel].double().numpy(),
                b[i, channel].double().numpy(),
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
                data_range=1.0,
                full=True,
            )
            values.append(full[5:-5, 5:-5].mean())
        assert ssim(a, b)[i].item() == pytest.approx(np.mean(values), abs=1e-5)


def test_ssim_of_equal_images_is_one_and_bad_input_is_named():
    image = rand(2, 3, 12, 12)
    torch.testing.assert_close(ssim(image, image), torch.ones(2))
    with pytest.raises(ValueError, match='window of 11'):
        ssim(image[..., :8], image[..., :8])
    with pytest.raises(ValueError, match='one shape'):
        ssim(image, image[:, :1])


def test_gradient_of_ssim_equals_differences() -> None:
    a, b = (rand(1, 1, 12, 12, seed=seed).double() for seed in (0, 1))
    assert torch.autograd.gradcheck(ssim, (a.requires_grad_(), b))
