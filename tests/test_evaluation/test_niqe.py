import math

import numpy as np
import pytest
import torch
from scipy.io import savemat
from scipy.ndimage import gaussian_filter
from scipy.stats import gennorm

from lurefusion.evaluation.niqe import (
    DEFAULT_PARAMETERS,
    block_features,
    fit_asymmetric_gaussian,
    fit_pristine,
    load_parameters,
    niqe,
)


def natural(seed: int, side: int = 288) -> np.ndarray:
    """A picture with the 1/f spectrum of natural ones, 0..255."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft2(rng.normal(size=(side, side)))
    v, u = np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing='ij')
    image = np.fft.irfft2(spectrum / np.maximum(np.hypot(u, v), 1 / side), s=(side, side))
    return np.clip(128 + 50 * image / image.std(), 0, 255)


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.round(np.clip(image, 0, 255)).astype(np.uint8))[None, None]


@pytest.mark.parametrize('shape', [0.8, 1.5, 2.0, 4.0])
def test_fit_recovers_the_generalised_gaussian(shape):
    draws = gennorm.rvs(shape, scale=1.7, size=200_000, random_state=0)
    alpha, left, right = fit_asymmetric_gaussian(torch.from_numpy(draws)[None])
    assert float(alpha) == pytest.approx(shape, rel=0.03)
    assert float(left) == pytest.approx(1.7, rel=0.03)
    assert float(right) == pytest.approx(1.7, rel=0.03)


def test_fit_sees_asymmetry():
    draws = np.abs(gennorm.rvs(2, size=100_000, random_state=1))
    values = np.where(np.random.default_rng(0).random(draws.size) < 0.75, 3 * draws, -draws)
    _, left, right = fit_asymmetric_gaussian(torch.from_numpy(values)[None])
    assert float(right / left) == pytest.approx(3, rel=0.02)


def test_shipped_model_is_a_covariance():
    mu, cov = load_parameters(str(DEFAULT_PARAMETERS))
    assert mu.shape == (36,)
    np.testing.assert_allclose(cov, cov.T)
    assert np.linalg.eigvalsh(cov).min() > 0


@pytest.mark.parametrize('kind', ['blur', 'noise'])
def test_score_grows_with_the_distortion(kind):
    data = pytest.importorskip('skimage.data')
    image = data.camera()[:384, :384].astype(float)
    rng = np.random.default_rng(0)
    steps = [
        gaussian_filter(image, 0.8 * s) if kind == 'blur' and s else image + rng.normal(0, 8 * s, image.shape)
        for s in range(4)
    ]
    scores = [float(niqe(tensor(step))) for step in steps]
    assert scores == sorted(scores)


def test_parameter_files(tmp_path):
    mu, cov = fit_pristine([torch.from_numpy(natural(s)) for s in range(6)])
    savemat(tmp_path / 'p.mat', dict(mu_prisparam=mu[None], cov_prisparam=cov))
    np.savez(tmp_path / 'p.npz', mu=mu, cov=cov)
    image = tensor(natural(9))
    scores = [float(niqe(image, parameters=tmp_path / name)) for name in ('p.mat', 'p.npz')]
    assert scores[0] == pytest.approx(scores[1], rel=1e-9)
    assert scores[0] < float(niqe(tensor(natural(9) + np.random.default_rng(0).normal(0, 30, (288, 288))),
                                  parameters=tmp_path / 'p.npz'))  # fmt: skip


def test_bad_parameter_files(tmp_path):
    image = tensor(natural(0, 192))
    with pytest.raises(FileNotFoundError, match='no such NIQE parameter file'):
        niqe(image, parameters=tmp_path / 'none.npz')
    np.savez(tmp_path / 'a.npz', mu=np.zeros(36))
    with pytest.raises(ValueError, match='none of the keys cov'):
        niqe(image, parameters=tmp_path / 'a.npz')
    np.savez(tmp_path / 'b.npz', mu=np.zeros(35), cov=np.eye(36))
    with pytest.raises(ValueError, match='mu has 35 values, expected 36'):
        niqe(image, parameters=tmp_path / 'b.npz')
    np.savez(tmp_path / 'c.npz', mu=np.array([print] * 36), cov=np.eye(36))
    with pytest.raises(ValueError, match='allow_pickle=False'):
        niqe(image, parameters=tmp_path / 'c.npz')
    (tmp_path / 'd.txt').write_text('')
    with pytest.raises(ValueError, match=r'read from \.npz or \.mat'):
        niqe(image, parameters=tmp_path / 'd.txt')


def test_shapes_and_limits():
    batch = torch.cat([tensor(natural(s, 200)) for s in range(2)])
    features, sharpness = block_features(batch[:, 0].double())
    assert features.shape == (2, 4, 36)
    assert sharpness.shape == (2, 4)
    scores = niqe(batch)
    assert scores.shape == (2,)
    assert float(scores[1]) == pytest.approx(float(niqe(batch[1:])), rel=1e-9)
    flat = float(niqe(torch.full((1, 1, 192, 192), 80, dtype=torch.uint8)))
    assert math.isfinite(flat)
    assert flat > float(scores.max())
    with pytest.raises(ValueError, match='two blocks of 96x96 pixels, got an image of 191x120'):
        niqe(batch[:, :, :191, :120])
