"""Training of the automatic prompt: statistics of pictures with known faults, and a network that tells them apart.

The pictures are those of the restoration's training: real pairs, and clean ones degraded by the registered formulas.
Statistics are taken once and kept; the network trains on them in a minute. Of the scenes, one in five is held out: what
is chosen (how long, how sure one has to be) is chosen there.
"""

from __future__ import annotations

import io
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.logging import print_log
from safetensors.numpy import save
from torch import Tensor, nn

from lurefusion.datasets.paired import read_table
from lurefusion.datasets.scenes import Scene, render_scene
from lurefusion.io.arrays import read_arrays
from lurefusion.io.images import read_image, write_bytes
from lurefusion.io.pairing import list_images
from lurefusion.io.ranges import to_uint8, to_unit_range
from lurefusion.prompts import PSEUDO_TASK
from lurefusion.prompts.auto import FAR, AutoPrompt, Found, StatisticsPrompter
from lurefusion.prompts.statistics import picture_statistics
from lurefusion.registry import DATASETS, DEGRADATIONS

LEAVE_OUT = (
    'restoration_val.tsv',
    # scenes of these under other names
    'LOL/our485/high/100.png',
    'LOL/our485/high/729.png',
    'LOL/our485_more/high/132.webp',
    'LOL/our485_more/high/475.webp',
    'LOL/our485_more/high/476.webp',
)
#: folder of clean pictures -> (draws of each picture as it is, draws of each fault, frames that are one scene); 0
#: frames: files are of one scene that differ in a number at the end only
CLEAN: dict[str, dict[str, tuple[int, float, int]]] = {
    'vi': {
        'MSRS/train/vi': (10, 3, 50),
        'MSRS/train_128/vi': (1, 0.3, 50),
        'RoadScene/train/vi': (3, 1, 50),
        'M3SVD/train/visible': (3, 2, 0),
        'M3SVD/train_more/visible': (2, 1, 0),
        'LLVIP/train_more/vi': (3, 1, 50),
        'LOL/our485/high': (1, 0.5, 1),
        'LOL/our485_more/high': (1, 0.3, 1),
        'RESIDE/SOTS_indoor/GT': (2, 1, 0),
        'RESIDE/SOTS_indoor_more/clear': (2, 1, 0),
        'HDRPS/train/gt': (3, 1, 0),
        'HDRPS/brackets/gt': (3, 1, 0),
    },
    'ir': {
        'MSRS/train/ir': (8, 3, 50),
        'MSRS/train_ir_only/ir': (8, 3, 50),
        'RoadScene/train/ir': (3, 1, 50),
        'LLVIP/train_more/ir': (2, 1, 50),
        'M3SVD/train/infrared': (3, 2, 0),
        'M3SVD/train_more/infrared': (2, 1, 0),
    },
}
#: (data set, split, draws of each picture, frames of one scene)
REAL: tuple[tuple[str, str, int, int], ...] = (
    ('LOL', 'our485', 2, 1),
    ('LOL', 'our485_more', 2, 1),
    ('HDRPSUnder', 'brackets', 1, 0),
    ('RESIDE', 'SOTS_indoor', 3, 0),
    ('RESIDE', 'SOTS_indoor_more', 2, 0),
    ('HDRPS', 'train', 4, 0),
    ('HDRPS', 'brackets', 4, 0),
)
FAULTS: dict[str, tuple[dict[str, Any], ...]] = {
    'vi': (
        dict(type='LowLight'),
        dict(type='OverExposure'),
        dict(type='Haze'),
        dict(type='Haze', noise=(0.0, 0.01), jpeg=(70, 100)),
        dict(type='Noise'),
        dict(type='Blur'),
        dict(type='Rain'),
    ),
    'ir': (
        dict(type='LowContrast'),
        dict(type='LowResolution', scales=(4, 8), down='random'),
        dict(type='Noise'),
        dict(type='StripeNoise', lines='random'),
    ),
}
#: rendered streets: how many, and the first seed; tests take others
SCENES, FIRST_SCENE = 60, 700_000
HELD_OUT = 5


@dataclass(frozen=True)
class Sample:
    """One picture to be judged, before it is read.

    Attributes:
        key: Name that all its draws are seeded by.
        scene: Samples of one scene are all held out, or none of them.
        modality: Name of the modality.
        file: Picture; None for a rendered scene.
        degradation: What is done to it; None: nothing.
        task: Its fault, ``pd`` for none; None: that of the degradation.
        whole: Whether it is left at its size.
    """

    key: str
    scene: str
    modality: str
    file: Path | None
    degradation: dict[str, Any] | None
    task: str | None
    whole: bool = False

    @property
    def held_out(self) -> bool:
        """Whether the scene is one of those that nothing is trained on."""
        return zlib.crc32(self.scene.encode()) % HELD_OUT == 0


def scene_of(folder: str, stem: str, length: int) -> str:
    """Name of the scene of a file: of its set, `length` frames in a row; 0: all that differs in a number behind."""
    data_set = folder.split('/')[0]
    if length == 0:
        return f'{data_set}/{re.sub(r"(_[0-9]+)$", "", stem)}'
    number = re.search(r'\d+', stem)
    return f'{data_set}/{int(number[0]) // length if number else stem}'


def samples(data_root: str | Path) -> list[Sample]:
    """Everything to train on and to choose by, in a fixed order."""
    found: list[Sample] = []
    for modality, folders in CLEAN.items():
        for folder, (as_it_is, draws, length) in folders.items():
            data = dict(type='RestorationDataset', data_prefix=dict(y=folder), task=PSEUDO_TASK, modality=modality)
            for item in _files(data, data_root):
                file = Path(item['y'])
                scene = scene_of(folder, file.stem, length)
                found += _of_clean(f'{folder}/{file.stem}', scene, modality, file, as_it_is, draws)
    for seed in range(FIRST_SCENE, FIRST_SCENE + SCENES):
        for modality in CLEAN:
            found += _of_clean(f'scene/{seed}', f'scene/{seed}', modality, None, 2, 0.6)
    for kind, split, draws, length in REAL:
        data = DATASETS.build(dict(type=kind, split=split, data_root=str(data_root), leave_out=LEAVE_OUT))
        for number in range(len(data)):
            info = data.get_data_info(number)
            file = Path(info['paths']['x'])
            scene = scene_of(kind.replace('Under', ''), file.stem, length)
            for draw in range(draws):
                key = f'{kind}/{split}/{file.stem}/{draw}'
                found.append(Sample(key, scene, info['modality'], file, None, info['task'], whole=draw == 0))
    return found


def _files(data: dict[str, Any], data_root: str | Path) -> Iterator[dict[str, str]]:
    dataset = DATASETS.build(
        dict(data, data_root=str(data_root), leave_out=LEAVE_OUT, degradation=dict(type='Identity'))
    )
    for number in range(len(dataset)):
        yield dataset.get_data_info(number)['paths']


def _of_clean(key: str, scene: str, modality: str, file: Path | None, as_it_is: int, draws: float) -> Iterator[Sample]:
    for draw in range(as_it_is):
        yield Sample(f'{key}/{modality}/pd/{draw}', scene, modality, file, None, PSEUDO_TASK, whole=draw == 0)
    for number, fault in enumerate(FAULTS[modality]):
        name = f'{key}/{modality}/{number}'
        count = int(draws + zlib.crc32(name.encode()) / 2**32)
        for draw in range(count):
            yield Sample(f'{name}/{draw}', scene, modality, file, fault, None, whole=draw == 0)


def drawn(sample: Sample, picture: np.ndarray) -> tuple[np.ndarray, str]:
    """The picture (H,W,3) uint8 as it is judged, and its task: cut, shrunk, mirrored, degraded, stored.

    The same sample gives the same picture in every call.
    """
    rng = np.random.default_rng(zlib.crc32(sample.key.encode()))
    image = to_unit_range(picture)
    if not sample.whole:
        image = _cut(image, rng)
    task = sample.task
    if sample.degradation is not None:
        degradation = DEGRADATIONS.build(sample.degradation)
        image, parameters = degradation(image, rng)
        # the two factors look unlike; whoever has one task of both adds them up
        task = f'sr{parameters["scale"]}' if degradation.task == 'sr' else degradation.task
    levels = to_uint8(image)
    if rng.random() < 0.25:
        levels = _jpeg(levels, int(rng.integers(75, 100)))
    return levels, task


def _cut(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    share = rng.uniform(0.6, 1)
    size = (max(64, int(height * share)), max(64, int(width * share)))
    top, left = (int(rng.integers(0, max(1, side - own + 1))) for side, own in zip((height, width), size, strict=True))
    image = image[top : top + size[0], left : left + size[1]]
    if rng.random() < 0.3:
        scale = rng.uniform(0.5, 1)
        size = (max(64, round(image.shape[1] * scale)), max(64, round(image.shape[0] * scale)))
        image = to_unit_range(to_uint8(cv2.resize(image, size, interpolation=cv2.INTER_AREA)))
    return np.ascontiguousarray(image[:, ::-1] if rng.random() < 0.5 else image)


def _jpeg(levels: np.ndarray, quality: int) -> np.ndarray:
    file = cv2.imencode('.jpg', np.ascontiguousarray(levels[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1])


def _picture(sample: Sample) -> np.ndarray:
    if sample.file is not None:
        return read_image(sample.file)[0]
    scene = _rendered(int(sample.scene.split('/')[1]))
    return dict(vi=scene.visible, ir=np.repeat(scene.infrared[..., None], 3, 2))[sample.modality]


@lru_cache(maxsize=1)
def _rendered(seed: int) -> Scene:
    return render_scene(seed, (360, 480))


@dataclass
class Table:
    """Statistics of many samples: names of the columns, rows (N,F) float32, and what is known of each row."""

    names: list[str]
    rows: np.ndarray
    modality: np.ndarray
    task: np.ndarray
    held_out: np.ndarray
    source: np.ndarray

    def save(self, path: Path) -> None:
        """Write an .npz."""
        buffer = io.BytesIO()
        np.savez(buffer, names=np.array(self.names), **{k: v for k, v in vars(self).items() if k != 'names'})
        write_bytes(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> Table:
        """Read what :meth:`save` wrote."""
        content = read_arrays(path)
        try:
            return cls(**dict(content, names=content['names'].tolist()))
        except (KeyError, TypeError) as error:
            raise ValueError(f'{path} is no table of statistics: {error}') from error


def measure(found: Sequence[Sample]) -> Table:
    """Statistics of all samples; those of one file follow each other, so that it is read once."""
    rows, known = [], []
    last, picture, names = None, None, []
    for number, sample in enumerate(found):
        at = (sample.file, sample.scene, sample.modality)
        if at != last:
            last, picture = at, _picture(sample)
        levels, task = drawn(sample, picture)
        statistics = picture_statistics(levels)
        names = list(statistics)
        rows.append(np.fromiter(statistics.values(), np.float32))
        known.append((sample.modality, task, sample.held_out, sample.key))
        if number % 500 == 0:
            print_log(f'statistics of {number} of {len(found)} pictures')
    columns = [np.array(column) for column in zip(*known, strict=True)]
    return Table(names, np.stack(rows), *columns)


@dataclass(frozen=True)
class Recipe:
    """How the networks are trained.

    Attributes:
        members: Networks whose softmax is averaged, for each modality.
        hidden: Widths of the two layers.
        epochs, batch, lr, decay: Of AdamW with a cosine schedule.
        jitter: Standard deviation of noise on the standardised statistics.
        cost: What a clean picture that is touched costs, in faults that are missed; sets the threshold.
    """

    members: int = 3
    hidden: tuple[int, int] = (64, 32)
    epochs: int = 40
    batch: int = 256
    lr: float = 2e-3
    decay: float = 0.05
    jitter: float = 0.4
    cost: float = 2.0


def train(table: Table, recipe: Recipe = Recipe(), seed: int = 0) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Networks for each modality, trained on what is not held out.

    Returns:
        Tensors and meta information, as `StatisticsPrompter` reads them.
    """
    tensors: dict[str, np.ndarray] = {}
    classes: dict[str, list[str]] = {}
    for modality in sorted(set(table.modality.tolist())):
        own = table.modality == modality
        keys = sorted(set(table.task[own].tolist()))
        classes[modality] = keys
        rows, held = table.rows[own], table.held_out[own]
        mean, deviation = rows[~held].mean(0), rows[~held].std(0) + 1e-4
        tensors |= {f'{modality}.mean': mean, f'{modality}.deviation': deviation}
        x = torch.from_numpy(np.clip((rows - mean) / deviation, -FAR, FAR))[torch.from_numpy(~held)]
        y = torch.tensor([keys.index(task) for task in table.task[own][~held]])
        for member in range(recipe.members):
            layers = _fitted(x, y, len(keys), recipe, seed * 100 + member)
            for number, layer in enumerate(layers):
                tensors[f'{modality}.{member}.{number}.weight'] = layer.weight.detach().numpy()
                tensors[f'{modality}.{member}.{number}.bias'] = layer.bias.detach().numpy()
    meta = dict(statistics=table.names, classes=classes, members=recipe.members, thresholds=dict.fromkeys(classes, 0.5))
    return tensors, meta


def _fitted(x: Tensor, y: Tensor, count: int, recipe: Recipe, seed: int) -> list[nn.Linear]:
    torch.manual_seed(seed)
    widths = (x.shape[1], *recipe.hidden, count)
    layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
    network = nn.Sequential(layers[0], nn.ReLU(), nn.Dropout(0.1), layers[1], nn.ReLU(), layers[2])
    counts = torch.bincount(y, minlength=count).float()
    # the root: rare faults are heard, and clean pictures stay the most important ones
    loss = nn.CrossEntropyLoss(weight=(counts.mean() / counts).sqrt(), label_smoothing=0.02)
    optimizer = torch.optim.AdamW(network.parameters(), recipe.lr, weight_decay=recipe.decay)
    steps = recipe.epochs * -(-len(x) // recipe.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(recipe.epochs):
        for batch in torch.randperm(len(x)).split(recipe.batch):
            own = x[batch]
            optimizer.zero_grad()
            loss(network(own + recipe.jitter * torch.randn_like(own)), y[batch]).backward()
            optimizer.step()
            schedule.step()
    return layers


def choose_thresholds(
    tensors: dict[str, np.ndarray], meta: dict[str, Any], table: Table, recipe: Recipe = Recipe()
) -> dict[str, float]:
    """Least probability for each modality: the best on what is held out, in steps of 0.05 from 0.6 to 0.9.

    Best is the largest share of faults that are found, less `recipe.cost` times the share of clean pictures that are
    touched; of equal ones the lowest.
    """
    chosen: dict[str, float] = {}
    prompter = StatisticsPrompter.of(tensors, meta)
    for modality, keys in meta['classes'].items():
        own = (table.modality == modality) & table.held_out
        shares = prompter.probabilities(table.rows[own], modality)
        task = np.array([keys.index(key) for key in table.task[own]])
        nothing = keys.index(PSEUDO_TASK)
        scores: dict[float, float] = {}
        for step in range(12, 19):
            sure = (shares >= step / 20) & (shares > shares[:, [nothing]])
            taken = np.where(sure.any(1), np.where(sure, shares, -1).argmax(1), nothing)
            clean = task == nothing
            touched = (taken[clean] != nothing).mean() if clean.any() else 0.0
            right = (taken[~clean] == task[~clean]).mean() if (~clean).any() else 1.0
            scores[step / 20] = float(right - recipe.cost * touched)
        chosen[modality] = max(scores, key=scores.__getitem__)
    return chosen


def publish(path: str | Path, tensors: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    """Write the safetensors file that `StatisticsPrompter` reads."""
    texts = {key: json.dumps(value) for key, value in meta.items()}
    write_bytes(path, save({key: np.ascontiguousarray(value) for key, value in tensors.items()}, texts))


@dataclass(frozen=True)
class Judged:
    """One picture of a validation set: of which set, what is wrong with it, and what was found."""

    name: str
    modality: str
    file: str
    task: str
    found: Found


def validation(data_root: str | Path) -> Iterator[tuple[str, str, Path, str]]:
    """(set, modality, file, task) of the pictures that nothing is trained on and nothing is chosen by.

    Of sets that are not on disk, nothing.
    """
    root = Path(data_root)
    for folder, modality, task in (
        ('low_light', 'vi', 'll'), ('haze', 'vi', 'hz'), ('over_exposure', 'vi', 'oe'), ('low_contrast', 'ir', 'lc'),
        ('sr4', 'ir', 'sr4'), ('sr8', 'ir', 'sr8'),
    ):  # fmt: skip
        for file in _listed(root / 'degraded_val' / folder / modality):
            yield 'formulas', modality, file, task
    if (root / LEAVE_OUT[0]).is_file():
        for row in read_table(root / LEAVE_OUT[0]):
            yield 'real', 'vi', root / row['degraded'], row['task']
    for folder in ('MSRS/test_dev', 'RoadScene/val'):
        for modality in CLEAN:
            for file in _listed(root / folder / modality):
                yield folder, modality, file, PSEUDO_TASK


def _listed(folder: Path) -> list[Path]:
    return list(list_images(folder).values()) if folder.is_dir() else []


def judge(auto: AutoPrompt, data_root: str | Path) -> list[Judged]:
    """What an automatic prompt finds in the validation sets."""
    return [
        Judged(name, modality, str(file.relative_to(data_root)), task, auto(read_image(file)[0], modality))
        for name, modality, file, task in validation(data_root)
    ]


def confusion(judged: Sequence[Judged], tasks: Sequence[str]) -> str:
    """A Markdown table: for each set, modality and true task how many pictures were taken for which task."""
    counts: dict[tuple[str, str, str], dict[str, int]] = {}
    for item in judged:
        row = counts.setdefault((item.name, item.modality, item.task), {})
        row[item.found.task] = row.get(item.found.task, 0) + 1
    columns = [key for key in tasks if any(key in row for row in counts.values())]
    lines = [f'| set | picture | fault | {" | ".join(columns)} | right |']
    lines.append('|---|---|---|' + '---:|' * (len(columns) + 1))
    for (name, modality, task), row in counts.items():
        cells = ' | '.join(str(row.get(key, 0)) for key in columns)
        right = sum(count for key, count in row.items() if key in (task, task.rstrip('0123456789')))
        lines.append(f'| {name} | {modality} | {task} | {cells} | {right}/{sum(row.values())} |')
    return '\n'.join(lines) + '\n'
