"""NIQE without a download: natural scene statistics of a picture against those of pristine pictures.

Source: Mittal, Soundararajan and Bovik, "Making a completely blind image quality analyzer", IEEE SPL 2013.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lurefusion.evaluation.pictures import Pictures, Sources, TooSmallError
from lurefusion.io.arrays import read_arrays
from lurefusion.ops.windows import filter_valid, gaussian_window

BLOCK = 96
FEATURES = 36
DEFAULT_PARAMETERS = Path(__file__).with_name('niqe_pristine.npz')
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


def niqe(
    fused: Tensor | Pictures, sources: Sources | None = None, *, parameters: str | os.PathLike | None = None
) -> Tensor:
    """NIQE of the fused picture: sqrt(d^T pinv((C_p + C_F) / 2) d), d = mu_p - mu_F.

    mu (36) and C (36x36) are the mean and covariance, over 96x96 blocks and two scales, of generalised Gaussian fits to
    the locally normalised luminance and to the products of its neighbours; p are the pristine pictures.

    Args:
        parameters: File with the pristine mu and C, ``.npz`` or ``.mat`` (`mu_prisparam`, `cov_prisparam`); None takes
            the model fitted for this package by `tools/fit_niqe.py`. Its values are not those of the original MATLAB
            parameters; compare scores of one parameter file only.

    No unit, 0 or more, LOWER is better. A block without variation has all features 0. ValueError unless at least two
    96x96 blocks fit.
    """
    grey = Pictures.of(fused, sources).fused
    features, _ = block_features(grey)
    mu_p, cov_p = load_parameters(str(parameters or DEFAULT_PARAMETERS))
    mu_p, cov_p = (torch.as_tensor(v, dtype=torch.float64, device=grey.device) for v in (mu_p, cov_p))
    mu = features.mean(1)
    centred = features - mu[:, None]
    cov = centred.transpose(1, 2) @ centred / (features.shape[1] - 1)
    difference = mu - mu_p
    inverse = torch.linalg.pinv((cov + cov_p) / 2, hermitian=True)
    return torch.einsum('bi,bij,bj->b', difference, inverse, difference).clamp_min(0).sqrt()


@cache
def load_parameters(path: str) -> tuple[np.ndarray, np.ndarray]:
    """mu (36,) and covariance (36, 36) from a ``.npz`` or ``.mat`` file; pickled content is refused.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is of another kind, lacks a key, or has another shape.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f'no such NIQE parameter file: {file}')
    if file.suffix == '.npz':
        content = read_arrays(file)
    elif file.suffix == '.mat':
        from scipy.io import loadmat

        try:
            content = loadmat(file)
        # of files that are damaged, it raises errors of many kinds
        except Exception as error:
            raise ValueError(f'{file} is no .mat file that can be read: {error}') from error
    else:
        raise ValueError(f'NIQE parameters are read from .npz or .mat, got {file}')
    loaded = []
    for names, shape in ((('mu', 'mu_prisparam', 'mu_pris_param'), (FEATURES,)),
                         (('cov', 'cov_prisparam', 'cov_pris_param'), (FEATURES, FEATURES))):  # fmt: skip
        key = next((n for n in names if n in content), None)
        if key is None:
            raise ValueError(f'{file} has none of the keys {", ".join(names)}')
        try:
            value = np.asarray(content[key], np.float64).reshape(-1)
        except (ValueError, TypeError) as error:
            raise ValueError(f'{file}: {key} is no array of numbers: {error}') from error
        if value.size != math.prod(shape):
            raise ValueError(f'{file}: {key} has {value.size} values, expected {math.prod(shape)}')
        loaded.append(value.reshape(shape))
    return loaded[0], loaded[1]


def block_features(grey: Tensor) -> tuple[Tensor, Tensor]:
    """Natural scene statistics per 96x96 block.

    Args:
        grey: (B, H, W) float64, 0..255.

    Returns:
        Features (B, blocks, 36), 18 of the full scale and 18 of the half; and the sharpness (mean local standard
        deviation) of each block, (B, blocks).
    """
    rows, columns = grey.shape[-2] // BLOCK, grey.shape[-1] // BLOCK
    if rows * columns < 2:
        height, width = grey.shape[-2:]
        raise TooSmallError(
            f'NIQE needs at least two blocks of {BLOCK}x{BLOCK} pixels, got an image of {height}x{width}'
        )
    x = grey[:, : rows * BLOCK, : columns * BLOCK]
    features, sharpness = [], None
    for side in (BLOCK, BLOCK // 2):
        normalised, deviation = _normalise(x)
        features.append(_features(_blocks(normalised, side)))
        if sharpness is None:
            sharpness = _blocks(deviation, side).mean((-2, -1))
            x = F.interpolate(x[:, None], scale_factor=0.5, mode='bicubic', antialias=True)[:, 0]
    return torch.cat(features, -1), sharpness


def _blocks(x: Tensor, side: int) -> Tensor:
    batch, height, width = x.shape
    x = x.reshape(batch, height // side, side, width // side, side).transpose(2, 3)
    return x.reshape(batch, -1, side, side)


def _normalise(x: Tensor) -> tuple[Tensor, Tensor]:
    window = gaussian_window(7, 7 / 6)
    padded = F.pad(x[:, None], (3, 3, 3, 3), mode='replicate')[:, 0]
    mean = filter_valid(padded, window)
    deviation = (filter_valid(padded * padded, window) - mean * mean).clamp_min(0).sqrt()
    return (x - mean) / (deviation + 1), deviation


def _features(blocks: Tensor) -> Tensor:
    alpha, left, right = fit_asymmetric_gaussian(blocks.flatten(2))
    columns = [alpha, (left + right) / 2]
    for shift in NEIGHBOURS:
        alpha, left, right = fit_asymmetric_gaussian((blocks * blocks.roll(shift, (-2, -1))).flatten(2))
        mean = (right - left) * torch.exp(torch.lgamma(2 / alpha) - torch.lgamma(1 / alpha))
        columns += [alpha, mean, left, right]
    features = torch.stack(columns, -1)
    flat = blocks.flatten(2).abs().amax(-1) < 1e-9
    return features.masked_fill(flat[..., None], 0)


def fit_asymmetric_gaussian(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Moment fit of an asymmetric generalised Gaussian, (..., n) -> shape alpha and scales left, right, each (...)."""
    square = values.square()
    negative, positive = values < 0, values > 0
    left = ((square * negative).sum(-1) / negative.sum(-1).clamp_min(1)).sqrt()
    right = ((square * positive).sum(-1) / positive.sum(-1).clamp_min(1)).sqrt()
    gamma = left / right.clamp_min(1e-12)
    ratio = values.abs().mean(-1).square() / square.mean(-1).clamp_min(1e-24)
    ratio = ratio * (gamma**3 + 1) * (gamma + 1) / (gamma.square() + 1).square()
    alphas = torch.arange(200, 10001, device=values.device, dtype=torch.float64) / 1000
    # the ratio rises with alpha, so the nearest table entry is found by bisection
    table = torch.exp(2 * torch.lgamma(2 / alphas) - torch.lgamma(1 / alphas) - torch.lgamma(3 / alphas))
    upper = torch.searchsorted(table, ratio.contiguous()).clamp(1, len(table) - 1)
    nearer = (ratio - table[upper - 1]) <= (table[upper] - ratio)
    alpha = alphas[torch.where(nearer, upper - 1, upper)]
    scale = torch.exp((torch.lgamma(1 / alpha) - torch.lgamma(3 / alpha)) / 2)
    return alpha, left * scale, right * scale


def fit_pristine(images: Sequence[Tensor], sharpest: float = 0.75) -> tuple[np.ndarray, np.ndarray]:
    """mu (36,) and covariance (36, 36) over the blocks sharper than `sharpest` times the sharpest of their picture.

    Args:
        images: Pristine grey pictures, each (H, W) float64, 0..255, of any sizes.
    """
    kept = []
    for image in images:
        features, sharpness = block_features(image[None])
        kept.append(features[0][sharpness[0] > sharpest * sharpness[0].max()])
    pool = torch.cat(kept).numpy()
    return pool.mean(0), np.cov(pool, rowvar=False)
