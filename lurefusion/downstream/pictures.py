"""Pictures of a downstream task on disk: sources and labels checked and written once, fused pictures cached."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from lurefusion import __version__
from lurefusion.datasets.paired import MissingDataError, PairedDataset
from lurefusion.datasets.transforms import LABEL
from lurefusion.io.digests import digest, file_digest
from lurefusion.io.images import read_image, write_bytes, write_image
from lurefusion.io.labels import read_label
from lurefusion.io.ranges import to_uint8
from lurefusion.ops.layout import tensor_to_image
from lurefusion.registry import DATASETS, MODELS
from lurefusion.runtime.runner import item_of
from lurefusion.runtime.torch_runner import TorchRunner
from lurefusion.weights import load_weights

FUSED = 'fused'
IGNORED = 255
INDEX = 'index.json'
# to be raised when the same files are written otherwise: what is there is not taken any more
WRITTEN_AS = 2
PIPELINE = [dict(type='LoadImages'), dict(type='Degrade'), dict(type='PackInputs')]

Item = tuple[str, str]


@dataclass(frozen=True)
class Pictures:
    """Labelled pictures in ``<root>/<split>/<role>/<name>.png``; roles are the modalities, ``label``, and fused ones.

    Attributes:
        root: Folder; its name is the digest of the data, so that it never holds another data set's pictures.
        datasets: Split -> data set, each with `name`, `inputs` and `label` per sample.
        hashes: Split -> name -> role -> SHA-256 of the file, without fused ones.
    """

    root: Path
    datasets: dict[str, PairedDataset]
    hashes: dict[str, dict[str, dict[str, str]]]

    def items(self, split: str) -> list[Item]:
        """(split, name) of every picture of a split."""
        return [(split, name) for name in self.hashes[split]]

    def path(self, item: Sequence[str], role: str) -> Path:
        """File of one picture."""
        return self.root / item[0] / role / f'{item[1]}.png'

    def identity(self, items: Iterable[Sequence[str]], roles: Sequence[str]) -> str:
        """Digest of some pictures in some roles, and of their labels: by content, fused ones by what made them."""
        rows = []
        for split, name in items:
            known = self.hashes[split][name]
            rows.append([name, known[LABEL], *(known.get(role) or [role, self.root.name] for role in roles)])
        return digest(rows)


def export(splits: Mapping[str, Mapping[str, Any]], classes: Sequence[str], base: str | Path) -> Pictures:
    """Write sources and labels of data sets as 8-bit PNG files, once, and check every label.

    An interrupted call goes on where it stopped. The folder below `base` is named by the digest of the configs of the
    data sets and of the content of their files.

    Args:
        splits: Name of a split -> config of a fusion data set with labels (`FusionPairDataset` with a folder
            ``label``, or `EmbeddedScenes`). Without a pipeline it gets `LoadImages`, `Degrade`, `PackInputs`.
        classes: Names of the ids 0, 1, ...; pixels of id 255 do not count.
        base: Folder for all picture folders.

    Raises:
        MissingDataError: If a folder is missing; lists all.
        FileNotFoundError: If a picture has no label.
        ValueError: If a label has another size than its pictures, or an id that is no class.
    """
    datasets, gone = {}, []
    for split, cfg in splits.items():
        cfg = dict(dict(pipeline=PIPELINE), **cfg, test_mode=True)
        try:
            dataset = DATASETS.build(dict(cfg, lazy_init=True))
            if rows := dataset.missing():
                raise MissingDataError(
                    f'{cfg["type"]}: no folder {" or ".join(rows)}; get it from: {dataset.how_to_get}'
                )
            dataset.full_init()
            datasets[split] = dataset
        except MissingDataError as error:
            gone.append(str(error))
    if gone:
        raise MissingDataError('the pictures of the downstream task are not on disk:\n  - ' + '\n  - '.join(gone))
    sources = {
        split: [
            [entry['name'], {role: file_digest(path) for role, path in entry.get('paths', {}).items()}]
            for entry in _entries(dataset)
        ]
        for split, dataset in datasets.items()
    }
    root = Path(base) / digest([__version__, WRITTEN_AS, _plain(splits), sources, list(classes)])
    index = root / INDEX
    if index.is_file():
        return Pictures(root, datasets, json.loads(index.read_text()))
    hashes: dict[str, dict[str, dict[str, str]]] = {}
    for split, dataset in datasets.items():
        print_log(f'{split}: writing {len(dataset)} labelled pictures to {root}')
        hashes[split] = {}
        for number, entry in enumerate(_entries(dataset)):
            hashes[split][entry['name']] = _export_one(dataset, number, root / split, entry['name'], len(classes))
    write_bytes(index, json.dumps(hashes, indent=1).encode())
    return Pictures(root, datasets, hashes)


def warn_of_unseen_classes(pictures: Pictures, train: Iterable[Item], classes: Sequence[str], what: str) -> list[str]:
    """Say which classes no training label shows: a network cannot learn them, and the test counts them as missed.

    Args:
        pictures: Of `export`.
        train: What is trained on.
        classes: Names of the ids 0, 1, ...
        what: Named in the warning.

    Returns:
        Names of these classes.
    """
    counts = np.zeros(256, np.int64)
    for item in train:
        counts += np.bincount(read_label(pictures.path(item, LABEL)).ravel(), minlength=256)
    unseen = [name for name, count in zip(classes, counts, strict=False) if not count]
    if unseen:
        print_log(
            f'{what}: no training label shows {", ".join(unseen)} ({len(unseen)} of {len(classes)} classes); they will '
            'not be learnt. Are these the right labels, with ids in the order of the classes?',
            logger='current', level=logging.WARNING,
        )  # fmt: skip
    return unseen


def _entries(dataset: PairedDataset) -> list[dict]:
    # the base class's own: rendered scenes would be rendered only to learn their names
    return [BaseDataset.get_data_info(dataset, number) for number in range(len(dataset))]


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    return [_plain(child) for child in node] if isinstance(node, (list, tuple)) else node


def _export_one(dataset: PairedDataset, number: int, folder: Path, name: str, classes: int) -> dict[str, str]:
    """Write one picture and its label, unless they are there; role -> SHA-256. The label is written last."""
    done = folder / LABEL / f'{name}.png'
    if not done.is_file():
        sample = dataset[number]['data_samples']
        if 'label' not in sample:
            raise ValueError(
                f'{type(dataset).__name__} gives {name} no label: add the folder of the labels, '
                f'data_prefix=dict(..., label=FOLDER)'
            )
        check_label(sample.label.numpy(), classes, sample.get('paths', {}).get(LABEL) or name)
        for role, image in sample.sources.items():
            write_image(folder / role / f'{name}.png', tensor_to_image(image))
        write_image(done, sample.label.numpy())
    roles = sorted(path.name for path in folder.iterdir() if not path.name.startswith(f'{FUSED}_'))
    return {role: file_digest(folder / role / f'{name}.png') for role in roles}


def check_label(label: np.ndarray, classes: int, where: str | Path) -> None:
    """Refuse ids that are no class.

    Args:
        label: (H,W) integer ids.
        classes: Number of classes; 255 is allowed too.
        where: Named in the error.

    Raises:
        ValueError: Names the file, the ids and how many pixels have them.
    """
    ids, counts = np.unique(label, return_counts=True)
    wrong = {int(i): int(n) for i, n in zip(ids, counts, strict=True) if i >= classes and i != IGNORED}
    if wrong:
        shown = ', '.join(f'{i} ({n} pixels)' for i, n in list(wrong.items())[:8])
        raise ValueError(
            f'{where}: the label has ids that are no class: {shown}; expected 0 to {classes - 1}, or {IGNORED} for '
            f'pixels that do not count. Are they labels of another data set?'
        )


def fused_role(model: Mapping[str, Any], weights: str | Path | None) -> str:
    """Role of pictures fused by a model: named by its config, the content of its weights, the version of lurefusion."""
    return f'{FUSED}_{digest([_plain(model), file_digest(weights) if weights else None, __version__])}'


def fuse(
    pictures: Pictures, model: Mapping[str, Any], weights: str | Path | None, splits: Sequence[str] | None = None
) -> str:
    """Fuse pictures with a model, once, and return the role under which they are filed; see `fused_role`.

    With other weights in the same file other pictures are made. An interrupted call goes on where it stopped.

    Args:
        pictures: Of `export`.
        model: Config of the fusion model.
        weights: Checkpoint or safetensors file; None for a model without weights.
        splits: Which; None: all.

    Raises:
        ValueError: If the weights do not fit the model.
    """
    role = fused_role(model, weights)
    missing = [
        (number, item)
        for split in splits or pictures.datasets
        for number, item in enumerate(pictures.items(split))
        if not pictures.path(item, role).is_file()
    ]
    if not missing:
        print_log(f'fused pictures of these weights are there: {pictures.root}/*/{role}')
        return role
    network = MODELS.build(dict(model))
    if weights:
        load_weights(network, weights)
    runner = TorchRunner(network)
    write_bytes(
        pictures.root / f'{role}.json',
        json.dumps(dict(weights=str(weights), model=_plain(model)), default=str).encode(),
    )
    for count, (number, item) in enumerate(missing, start=1):
        sample = pictures.datasets[item[0]][number]
        result = runner.run(item_of(sample['inputs'], sample['data_samples'], runner))
        write_image(pictures.path(item, role), result.picture)
        if count % 50 == 0 or count == len(missing):
            print_log(f'fused {count} of {len(missing)} pictures')
    return role


def channel_statistics(groups: Iterable[Sequence[str | Path]]) -> dict[str, Any]:
    """Mean and standard deviation of every channel over all pixels, as segmentation networks normalise with.

    Args:
        groups: Per sample the files that are stacked along the channels, 8-bit pictures.

    Returns:
        ``mean`` and ``std`` (in 0..255, three values per file of a group, RGB), ``pictures``.

    Raises:
        ValueError: Without a picture, or with groups of different length.
    """
    total = squares = None
    pixels = pictures = 0
    for files in groups:
        stack = np.concatenate([_eight_bit(file).reshape(-1, 3) for file in files], axis=1).astype(np.int64)
        if total is not None and stack.shape[1] != len(total):
            raise ValueError(f'every sample must have {len(total) // 3} pictures, got {[str(f) for f in files]}')
        sums = stack.sum(0), (stack * stack).sum(0)
        total, squares = sums if total is None else (total + sums[0], squares + sums[1])
        pixels += len(stack)
        pictures += 1
    if total is None:
        raise ValueError('no picture to compute the mean and standard deviation of')
    mean = total / pixels
    # integers are exact, so this difference is too
    std = np.sqrt(np.maximum(squares / pixels - mean * mean, 0))
    return dict(mean=mean.tolist(), std=np.maximum(std, 1.0).tolist(), pictures=pictures)


def _eight_bit(file: str | Path) -> np.ndarray:
    image, _ = read_image(file)
    return image if image.dtype == np.uint8 else to_uint8(image)
