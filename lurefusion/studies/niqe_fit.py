"""The pristine model of NIQE that ships with lurefusion: fitted, and checked on known distortions.

Pristine pictures: the undegraded halves of restoration pairs, which no fused picture is evaluated on, and the
photographs of scikit-image. Every fifth picture of a folder is held out for the check.
"""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from lurefusion.evaluation.niqe import fit_pristine, niqe
from lurefusion.evaluation.pictures import to_grey
from lurefusion.io.images import read_image, write_bytes
from lurefusion.io.pairing import list_images
from lurefusion.ops.layout import image_to_tensor

FOLDERS = ('HDRPS/train/gt', 'RESIDE/SOTS_indoor/GT', 'LOL/our485/high')
PHOTOGRAPHS = ('astronaut', 'chelsea', 'coffee', 'rocket', 'camera')


def pictures(root: Path, held_out: bool) -> list[np.ndarray]:
    """(H,W,3) uint8 pictures of the fit, or those held out of it."""
    found = []
    for folder in FOLDERS:
        for index, path in enumerate(list_images(root / folder).values()):
            if (index % 5 == 4) == held_out:
                found.append(read_image(path)[0])
    if not held_out:
        from skimage import data

        for name in PHOTOGRAPHS:
            image = getattr(data, name)()
            found.append(np.repeat(image[..., None], 3, 2) if image.ndim == 2 else image[..., :3])
    return found


def grey(image: np.ndarray) -> Tensor:
    """(H,W,3) uint8 -> (H,W) float64."""
    return to_grey(image_to_tensor(image)[None].contiguous())[0]


def distort(image: np.ndarray, kind: str, strength: int, rng: np.random.Generator) -> np.ndarray:
    """A distortion of strength 0 (none) to 4."""
    if strength == 0:
        return image
    x = image.astype(np.float64)
    if kind == 'blur':
        x = cv2.GaussianBlur(x, (0, 0), 0.6 * strength)
    elif kind == 'noise':
        x = x + rng.normal(0, 6 * strength, x.shape)
    elif kind == 'contrast':
        x = (x - x.mean()) * (1 - 0.22 * strength) + x.mean()
    return np.clip(np.round(x), 0, 255).astype(np.uint8)


def fit(root: Path, out: Path) -> None:
    """Fit the pristine model on the pictures below `root`, and write it as .npz."""
    used = [grey(image) for image in pictures(root, held_out=False)]
    mu, cov = fit_pristine(used)
    buffer = io.BytesIO()
    np.savez(buffer, mu=mu, cov=cov)
    write_bytes(out, buffer.getvalue())
    print(f'{out}: fitted on {len(used)} pictures')


def check(root: Path, parameters: Path) -> None:
    """Print the mean score per strength, and the mean over pictures of the rank correlation of score and strength."""
    rng = np.random.default_rng(0)
    for kind in ('blur', 'noise', 'contrast'):
        scores = np.array([
            [float(niqe(grey(distort(image, kind, s, rng)).to(torch.uint8)[None, None], parameters=parameters))
             for s in range(5)]
            for image in pictures(root, held_out=True)
        ])  # fmt: skip
        ranks = [spearmanr(row, range(5)).statistic for row in scores]
        means = ' '.join(f'{m:.2f}' for m in scores.mean(0))
        print(
            f'{kind:9} mean NIQE at strengths 0..4: {means}; rank correlation {np.mean(ranks):.3f}, n = {len(scores)}'
        )
