import numpy as np
import pytest
import torch

from lurefusion.ops.likeness import rho, vif_information


def centred(seed, shape=(2, 20, 30)):
    x = 255 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x - x.mean((-2, -1), keepdim=True)


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_rho_is_pearson_and_bounded_where_a_picture_is_constant(seed):
    x, y = centred(seed), centred(seed + 10)
    y = y + 0.5 * x
    expected = [np.corrcoef(a.flatten(), b.flatten())[0, 1] for a, b in zip(x.numpy(), y.numpy(), strict=True)]
    np.testing.assert_allclose(rho(x, y), expected, rtol=1e-12)
    assert rho(x, torch.zeros_like(x)).eq(0).all()
    nearly = (1e-5 * y).requires_grad_()
    rho(x, nearly, tiny=0.01).sum().backward()
    assert nearly.grad.abs().max() < 10


def test_vif_information_of_a_copy_of_a_flat_source_and_of_more_contrast():
    variance = torch.rand(1, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 100 + 1
    kept, there = vif_information(variance, variance, variance)
    torch.testing.assert_close(kept, there)
    # nothing is known of a flat source, and by twice the contrast more comes through the noise
    assert vif_information(variance, torch.zeros_like(variance), torch.zeros_like(variance))[0] == 0
    more, _ = vif_information(4 * variance, variance, 2 * variance)
    torch.testing.assert_close(more, torch.log1p(4 * variance / 2).sum((-2, -1)))
