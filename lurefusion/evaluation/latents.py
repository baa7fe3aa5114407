"""The unified latent space in numbers (LURE, Fig. 2): pooled latents of a scene-matched probe set, and what they show.

The probe shows the *same* pictures under every task, and clean under the pseudo prompt. Where every task has pictures
of its own, their content alone separates the tasks.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.dist import collect_results, get_dist_info
from torch import nn

from lurefusion.config import load_config
from lurefusion.io.arrays import read_arrays
from lurefusion.io.images import write_bytes
from lurefusion.models.losses.functional import effective_rank
from lurefusion.registry import DATASETS

DEFAULT_PROBE = 'lurefusion::_base_/datasets/probe_ir_vi.py'
PSEUDO_TASK = 'pd'


@dataclass(frozen=True)
class Latents:
    """Pooled latents of N probe pictures at one moment of a training.

    Attributes:
        features: (N,D) float32: the spatial means of all scales, one after the other.
        task, scene, modality: (N,) names; a scene shows the same content under every task.
        iteration: Of the training; -1 where it is not known.
    """

    features: np.ndarray
    task: np.ndarray
    scene: np.ndarray
    modality: np.ndarray
    iteration: int = -1

    def save(self, path: str | Path) -> None:
        """Write an npz file."""
        buffer = io.BytesIO()
        np.savez(buffer, **vars(self))
        write_bytes(path, buffer.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> Latents:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it holds something else; pickles are not opened.
        """
        content = read_arrays(path)
        try:
            content = {name: content[name] for name in cls.__dataclass_fields__}
            return cls(**dict(content, iteration=int(content['iteration'])))
        except (KeyError, ValueError, TypeError) as error:
            raise ValueError(f'{path} is no file of probe latents (npz): {error}') from error

    def of(self, modality: str) -> Latents:
        """The rows of one modality."""
        rows = self.modality == modality
        return Latents(self.features[rows], self.task[rows], self.scene[rows], self.modality[rows], self.iteration)

    def modalities(self) -> list[str]:
        """Names, in the order of the probe set."""
        return list(dict.fromkeys(self.modality.tolist()))

    def tasks(self) -> list[str]:
        """Keys, in the order of the probe set."""
        return list(dict.fromkeys(self.task.tolist()))


def build_probe(probe: str | Path | Mapping[str, Any] | None = None) -> Any:
    """The probe set: a data set of restoration samples whose `name` is the scene.

    Args:
        probe: Config of the data set; or a config file, or ``lurefusion::`` name, whose entry `probe` it is. None: the
            shipped one, pictures of MSRS/test_dev.

    Raises:
        MissingDataError: If its pictures are not on disk.
        KeyError: If the file has no entry `probe`.
    """
    if not isinstance(probe, Mapping):
        file = probe or DEFAULT_PROBE
        cfg = load_config(file)
        if 'probe' not in cfg:
            raise KeyError(f'{file} has no entry probe = dict(type=<data set>, ...); it has {", ".join(cfg)}')
        probe = cfg.probe
    return DATASETS.build(probe)


@torch.no_grad()
def collect_latents(model: nn.Module, dataset: Any, batch_size: int = 8, iteration: int = -1) -> Latents | None:
    """Encode the probe set in eval mode, shared by all processes.

    Args:
        model: With `latents(x, data_samples)` and `data_preprocessor`, as :class:`lurefusion.models.lure.LURE`.
        dataset: See :func:`build_probe`; its pictures have one size.
        batch_size: Pictures at once.
        iteration: Kept in the result.

    Returns:
        The latents; None on all processes but the first.

    Raises:
        TypeError: If the model has no `latents`.
    """
    rank, world = get_dist_info()
    # equal shares: what is drawn twice is cut off again below
    mine = [index % len(dataset) for index in range(rank, math.ceil(len(dataset) / world) * world, world)]
    training = model.training
    model.eval()
    rows = []
    for first in range(0, len(mine), batch_size):
        samples = [dataset[index] for index in mine[first : first + batch_size]]
        batch = model.data_preprocessor(pseudo_collate(samples))
        z = model.latents(batch['inputs']['x'], batch['data_samples'])
        pooled = torch.cat([scale.float().mean(dim=(2, 3)) for scale in z], dim=1).cpu().numpy()
        names = [(sample.task, sample.name, sample.modality) for sample in batch['data_samples']]
        rows += zip(pooled, names, strict=True)
    model.train(training)
    collected = collect_results(rows, len(dataset), device='cpu')
    if collected is None:
        return None
    features, names = zip(*collected, strict=True)
    return Latents(np.stack(features), *np.array(names).T, iteration=iteration)


def latent_numbers(latents: Latents, pseudo: str = PSEUDO_TASK, folds: int = 5) -> dict[str, float]:
    """How far the tasks are unified in the latents of *one* modality.

    For all but the last, every feature is standardised first.

    * `silhouette` by task, [-1, 1]: 0 or less where tasks do not form clusters.
    * `linear probe`: accuracy, [0, 1], with which a logistic regression tells the task of scenes that it was not fitted
      on (cross-validation in `folds` groups of scenes); `chance`: that of always naming the most frequent task.
    * `Frechet <task>`, and `Frechet`, their mean: squared Fréchet distance of the task's features to those of the
      pseudo task, over the number of features; 0 where they agree in mean and covariance.
    * `effective rank` of the features, from 1 (collapsed) to their number.

    Raises:
        ValueError: If the latents are of several modalities, of one task, or of fewer than two scenes.
        ImportError: If scikit-learn is not installed.
    """
    tasks = latents.tasks()
    scenes = len(set(latents.scene.tolist()))
    if len(latents.modalities()) != 1:
        raise ValueError(f'latents of one modality are needed, got {latents.modalities()}; take latents.of(modality)')
    if len(tasks) < 2 or scenes < 2:
        raise ValueError(f'at least two tasks and two scenes are needed, got {len(tasks)} and {scenes}')
    metrics, selection = _sklearn('metrics'), _sklearn('model_selection')
    features = standardised(latents.features)
    classifier = _sklearn('pipeline').make_pipeline(
        _sklearn('preprocessing').StandardScaler(), _sklearn('linear_model').LogisticRegression(max_iter=2000)
    )
    guesses = selection.cross_val_predict(
        classifier, latents.features, latents.task, groups=latents.scene, cv=selection.GroupKFold(min(folds, scenes))
    )
    numbers = {
        'silhouette': float(metrics.silhouette_score(features, latents.task)),
        'linear probe': float((guesses == latents.task).mean()),
        'chance': max(float((latents.task == task).mean()) for task in tasks),
    }
    if pseudo in tasks:
        anchor = features[latents.task == pseudo]
        distances = {
            f'Frechet {task}': frechet_distance(features[latents.task == task], anchor) / features.shape[1]
            for task in tasks
            if task != pseudo
        }
        numbers |= {'Frechet': float(np.mean(list(distances.values()))), **distances}
    numbers['effective rank'] = float(effective_rank(torch.from_numpy(latents.features).double()))
    return numbers


def standardised(features: np.ndarray) -> np.ndarray:
    """(N,D) float64 with mean 0 and deviation 1 in every column; constant columns become 0."""
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    deviation = centred.std(axis=0)
    return np.where(deviation > 1e-8, centred / np.maximum(deviation, 1e-8), 0.0)


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Fréchet distance ‖μ_a - μ_b‖² + tr(Σ_a + Σ_b - 2 (Σ_a Σ_b)^½) of two sets of features, (N,D) and (M,D).

    The last trace is the sum of the singular values of A Bᵀ (A, B the centred rows over √(N - 1), √(M - 1)): no matrix
    root, and good for fewer rows than features too.

    Raises:
        ValueError: If a set has fewer than two rows.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError(f'a Fréchet distance needs two rows or more in each set, got {len(a)} and {len(b)}')
    rows_a, rows_b = ((x - x.mean(axis=0)) / math.sqrt(len(x) - 1) for x in (a.astype(float), b.astype(float)))
    shared = np.linalg.svd(rows_a @ rows_b.T, compute_uv=False).sum()
    shift = float(((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum())
    return max(0.0, shift + float((rows_a**2).sum() + (rows_b**2).sum() - 2 * shared))


def embed(latents: Latents, seed: int = 0) -> np.ndarray:
    """t-SNE of the standardised features after a PCA to 50 axes: (N,2). Axes of two embeddings are not comparable.

    Raises:
        ImportError: If scikit-learn is not installed.
    """
    features = standardised(latents.features)
    axes = min(50, *features.shape)
    if axes < features.shape[1]:
        features = _sklearn('decomposition').PCA(axes, random_state=seed).fit_transform(features)
    perplexity = min(30.0, (len(features) - 1) / 3)
    tsne = _sklearn('manifold').TSNE(perplexity=perplexity, init='pca', random_state=seed)
    return tsne.fit_transform(features)


def _sklearn(part: str) -> ModuleType:
    try:
        return import_module(f'sklearn.{part}')
    except ImportError as error:
        raise ImportError(
            f"the numbers of the latent space need scikit-learn: pip install 'lurefusion[analysis]' ({error})"
        ) from error
