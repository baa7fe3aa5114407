"""What lurefusion registers with MMSegmentation; to be imported after `mmseg_child.make_importable()`."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmseg.datasets.basesegdataset import BaseSegDataset
from mmseg.datasets.transforms import PhotoMetricDistortion
from mmseg.models.data_preprocessor import SegDataPreProcessor
from mmseg.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS

from lurefusion.datasets.paired import Ticket
from lurefusion.downstream.pictures import IGNORED
from lurefusion.downstream.scores import scores
from lurefusion.io.images import read_image, write_bytes, write_image
from lurefusion.weights import load_into, read_weights


@DATASETS.register_module()
class HandedPictures(BaseSegDataset):
    """The pictures that the chain hands over, for any pipeline of MMSegmentation's.

    Args:
        root: Folder with ``<split>/<role>/<name>.png`` and ``<split>/label/<name>.png``.
        items: (split, name) of each picture.
        roles: Folders whose pictures make up one input. MMSegmentation's own loading reads the first; `LoadPictures`
            reads all.
        **kwargs: Of MMSegmentation's `BaseSegDataset` (metainfo, pipeline, test_mode).
    """

    def __init__(self, root: str, items: Sequence[Sequence[str]], roles: Sequence[str], **kwargs: Any) -> None:
        self.root, self.items, self.roles = Path(root), [tuple(item) for item in items], tuple(roles)
        super().__init__(img_suffix='.png', seg_map_suffix='.png', **kwargs)

    def load_data_list(self) -> list[dict]:
        """`img_path`, `img_paths` (one per role), `seg_map_path` per picture."""
        found = []
        for split, name in self.items:
            paths = [str(self.root / split / role / f'{name}.png') for role in self.roles]
            label = str(self.root / split / 'label' / f'{name}.png')
            found.append(
                dict(
                    img_path=paths[0], img_paths=paths, seg_map_path=label, label_map=None, reduce_zero_label=False,
                    seg_fields=[],
                )
            )  # fmt: skip
        return found

    def __getitem__(self, index: int | Ticket) -> Any:
        if not isinstance(index, Ticket):
            return super().__getitem__(index)
        # MMSegmentation draws from global generators; seeded by the draw's number, a resumed run draws alike
        np.random.seed(np.random.SeedSequence([index.seed, index.position]).generate_state(4))  # noqa: NPY002
        random.seed(f'{index.seed} {index.position}')
        return BaseDataset.__getitem__(self, index.index)


@TRANSFORMS.register_module()
class LoadPictures:
    """Read `img_paths` into `img`: (H,W,3K) uint8, RGB, stacked along the channels."""

    def __call__(self, results: dict) -> dict:
        image = np.concatenate([read_image(path)[0] for path in results['img_paths']], axis=2)
        results.update(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])
        return results


@TRANSFORMS.register_module()
class DistortEachPicture(PhotoMetricDistortion):
    """MMSegmentation's photometric distortion, drawn anew for each picture (three channels) of a stacked input.

    The order of colours does not matter to it: brightness, contrast and saturation treat them alike, and the range of
    the shift of hue is symmetric.
    """

    def transform(self, results: dict) -> dict:
        """`img` (H,W,3K) uint8, same shape out."""
        parts = np.split(results['img'], results['img'].shape[2] // 3, axis=2)
        done = [
            super(DistortEachPicture, self).transform(dict(img=np.ascontiguousarray(part)))['img'] for part in parts
        ]
        results['img'] = np.concatenate(done, axis=2)
        return results


@MODELS.register_module()
class MeasuredPreProcessor(SegDataPreProcessor):
    """MMSegmentation's, with mean and standard deviation out of a file that `tools/channel_statistics.py` wrote.

    Args:
        statistics: JSON file with ``mean`` and ``std``; the chain fills it in from its training pictures. None, as in
            a model that is only built to look at, leaves values as they are.
        **kwargs: Of `SegDataPreProcessor`.

    Raises:
        FileNotFoundError: If there is no such file.
        KeyError: If it lacks ``mean`` or ``std``.
    """

    def __init__(self, statistics: str | None = None, **kwargs: Any) -> None:
        if statistics is not None:
            found = json.loads(Path(statistics).read_text())
            kwargs.update(mean=found['mean'], std=found['std'])
        super().__init__(**kwargs)


@METRICS.register_module()
class ConfusionMetric(BaseMetric):
    """Confusion matrix of all pixels; with `out` the scores go to ``scores.json`` and the predictions to PNG files.

    Args:
        out: Folder; predictions are ``predictions/<name>.png`` with class ids.
        root: Of `HandedPictures`, for names that hold folders.
    """

    # MMSegmentation's own metric has an mIoU too
    default_prefix = 'downstream'

    def __init__(self, out: str | None = None, root: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.out, self.root = Path(out) if out else None, root

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the pixels of each pair of label and prediction."""
        classes = len(self.dataset_meta['classes'])
        for sample in data_samples:
            predicted = sample['pred_sem_seg']['data'].squeeze(0).cpu().numpy()
            label = sample['gt_sem_seg']['data'].squeeze(0).cpu().numpy()
            counted = label != IGNORED
            pairs = label[counted] * classes + predicted[counted]
            self.results.append(np.bincount(pairs, minlength=classes**2).reshape(classes, classes))
            if self.out:
                path = Path(sample['img_path'])
                # after split and role: frames of two drives may have one file name, drive_1/0001.png tells them apart
                name = Path(*path.relative_to(self.root).parts[2:]) if self.root else Path(path.name)
                write_image(self.out / 'predictions' / name.with_suffix('.png'), predicted.astype(np.uint8))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """mIoU (classes that the labels have), mIoU_all (absent ones count 0), pixel_accuracy; in percent."""
        confusion = np.sum(results, axis=0)
        found = scores(confusion)
        if self.out:
            content = dict(classes=list(self.dataset_meta['classes']), confusion=confusion.tolist())
            write_bytes(self.out / 'scores.json', json.dumps(content).encode())
        return {key: found[key] for key in ('mIoU', 'mIoU_all', 'pixel_accuracy')}


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seeds what the network draws (stochastic depth, dropout) by the iteration: a resumed run draws alike."""

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Seed PyTorch's global generators."""
        torch.manual_seed(int(np.random.SeedSequence([runner.seed, runner.iter]).generate_state(1)[0]))


@HOOKS.register_module()
class PretrainedHook(Hook):
    """Loads the backbone's pretrained weights before the first iteration; see `load_pretrained`."""

    priority = 'VERY_HIGH'

    def __init__(self, path: str) -> None:
        self.path = path

    def before_train(self, runner: Any) -> None:
        """Load, unless the run was resumed."""
        if runner.iter == 0:
            load_pretrained(runner.model, self.path)


def load_pretrained(model: Any, path: str) -> None:
    """Take over all tensors of a backbone; its first convolution is repeated over the pictures of a stacked input.

    Args:
        model: Of MMSegmentation, with a `backbone`.
        path: Checkpoint in MMSegmentation's own names, with or without the prefix ``backbone.``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: On a tensor that is missing, unexpected or of another shape.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f'pretrained={path!r} is no file; give the path of downloaded weights, nothing is fetched'
        )
    state, _ = read_weights(path)
    if any(key.startswith('backbone.') for key in state):
        state = {key: value for key, value in state.items() if key.startswith('backbone.')}
    else:
        state = {f'backbone.{key}': value for key, value in state.items()}
    own = {f'backbone.{key}': value for key, value in model.backbone.state_dict().items()}
    for key, value in own.items():
        given = state.get(key)
        if (
            given is not None
            and value.ndim == 4
            and value.shape[1] > given.shape[1]
            and not value.shape[1] % given.shape[1]
        ):
            times = value.shape[1] // given.shape[1]
            # the sum over the pictures stays in the range that the next layer knows
            state[key] = given.repeat(1, times, 1, 1) / times
            print_log(f'{key}: repeated over {times} pictures', logger='current')
    load_into(
        model, {key: value for key, value in state.items() if not key.startswith('backbone.head')}, ('backbone',), path
    )
