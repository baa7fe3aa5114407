"""Segmentation networks: configs read, networks trained and evaluated, each job in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import lurefusion
from lurefusion.config import find_config
from lurefusion.downstream.mmseg_child import BUSY
from lurefusion.downstream.pictures import Item, Pictures, channel_statistics
from lurefusion.io.digests import digest, file_digest
from lurefusion.io.images import write_bytes

NEEDED = ('mmseg', 'mmcv', 'ftfy', 'regex', 'pkg_resources')
# what a launcher tells its processes; a child is none of them
LAUNCHER_VARIABLES = (
    'RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'LOCAL_WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT', 'GROUP_RANK',
)  # fmt: skip


@dataclass(frozen=True)
class Task:
    """One segmentation config, as the child read it.

    Attributes:
        name: Stem of the config.
        config: Its file.
        inputs: What the network sees: modalities, or ``fused``; several are stacked along the channels.
        pictures: ``train`` and ``test`` (configs of fusion data sets with labels), ``classes``, ``palette``.
        settings: Digest of the whole config, with overrides and budget, without the pictures.
        pretrained: SHA-256 of the pretrained weights.
        overrides: What was laid over the config, for the jobs: ``options``, ``iterations``.
        seed: Of the training.
    """

    name: str
    config: str
    inputs: tuple[str, ...]
    pictures: dict[str, Any]
    settings: str
    pretrained: str | None
    overrides: dict[str, Any]
    seed: int

    @property
    def identity(self) -> str:
        """Digest of everything that decides about a training, except for its pictures."""
        return digest([self.settings, self.pretrained, self.seed])


@dataclass(frozen=True)
class Evaluation:
    """A network evaluated: the folder of its training (or the checkpoint's), of the scores, and what it was shown."""

    run: Path
    out: Path
    inputs: tuple[str, ...]

    def result(self) -> dict[str, Any]:
        """``confusion`` (K,K) int64, ``classes``."""
        found = json.loads((self.out / 'scores.json').read_text())
        return dict(found, confusion=np.array(found['confusion'], np.int64))


class BusyError(BlockingIOError):
    """Another process trains or evaluates in the same folder."""


def require_segmentation() -> None:
    """Say so, at once, if MMSegmentation cannot be used.

    Raises:
        ImportError: Names the missing packages and the extra.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ImportError(
            f'downstream segmentation needs the extra `seg`, missing: {", ".join(missing)}. '
            "pip install 'lurefusion[seg]', PIP_CONSTRAINT and PIP_BUILD_CONSTRAINT naming constraints.txt (README)"
        )


def run_child(job: Mapping[str, Any]) -> dict | list | None:
    """Do a job in a process of its own; its output goes where ours goes.

    Returns:
        What the job found, for ``mode='check'``.

    Raises:
        BusyError: If another process is at work in the job's folder.
        ValueError, FileNotFoundError, ...: The child's own mistakes of the user.
        ChildProcessError: If it died of anything else; its traceback is in the output.
    """
    environment = {key: value for key, value in os.environ.items() if key not in LAUNCHER_VARIABLES}
    package = str(Path(lurefusion.__file__).resolve().parent.parent)
    environment['PYTHONPATH'] = os.pathsep.join(filter(None, [package, environment.get('PYTHONPATH')]))
    folder = Path(tempfile.mkdtemp(prefix='lurefusion-'))
    try:
        file = folder / 'job.json'
        file.write_text(json.dumps(job))
        command = [sys.executable, '-m', 'lurefusion.downstream.mmseg_child', str(file)]
        code = subprocess.run(command, env=environment, check=False).returncode
        if code == BUSY:
            raise BusyError(f'another process is at work in {job.get("work_dir")}')
        error = folder / 'error.json'
        if error.is_file():
            found = json.loads(error.read_text())
            kinds = (FileNotFoundError, KeyError, TypeError, ImportError)
            kind = next((kind for kind in kinds if kind.__name__ == found['type']), ValueError)
            raise kind(found['text'])
        if code:
            raise ChildProcessError(f'the segmentation process ended with code {code}; its last output says why')
        answer = folder / 'found.json'
        return json.loads(answer.read_text()) if answer.is_file() else None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def read_tasks(
    configs: Sequence[str],
    options: Sequence[str] = (),
    iterations: int | None = None,
    seed: int = 0,
    pictures_of: Sequence[str] = (),
) -> list[Task]:
    """Let a child read segmentation configs and build their models, so that mistakes in them show at the start.

    Args:
        configs: Files, or names as ``lurefusion::segmentation/...`` and ``mmseg::...``.
        options: Overrides for all of them.
        iterations: Length of training, with the schedule stretched to it; None leaves the config's.
        seed: Of all trainings.
        pictures_of: Configs whose `pictures` serve those that have none.

    Raises:
        ImportError: Without the extra `seg`.
        ValueError: If there are no pictures for a config, or its model does not fit them.
    """
    require_segmentation()
    files = [str(find_config(config)) for config in [*configs, *pictures_of]]
    overrides = dict(options=list(options), iterations=iterations)
    count = len(configs)
    found = run_child(dict(mode='check', tasks=files[:count], lenders=files[count:], **overrides))
    tasks = []
    for file, row in zip(files, found, strict=False):
        if not row['pictures']:
            raise ValueError(
                f'{file} names no pictures, and neither does the downstream entry of the fusion config: add '
                'pictures=dict(train=..., test=..., classes=(...), palette=[...]) as '
                'configs/_base_/datasets/segmentation_msrs.py has it'
            )
        tasks.append(
            Task(
                Path(file).stem, file, tuple(row['inputs']), row['pictures'], row['settings'], row['pretrained'],
                overrides, seed,
            )
        )  # fmt: skip
    return tasks


def run_name(
    task: Task, pictures: Pictures, roles: Sequence[str], train: Sequence[Item], label: str | None = None
) -> str:
    """Name of the folder of a training: `label` (default: the task's name) and the digest of all that decides it."""
    return f'{label or task.name}_{digest([task.identity, pictures.identity(train, roles)])}'


def train_and_evaluate(
    task: Task,
    pictures: Pictures,
    roles: Sequence[str],
    train: Sequence[Item],
    test: Sequence[Item],
    base: str | Path,
    label: str | None = None,
) -> Evaluation:
    """Train a segmentation network on some pictures and evaluate it on others; what is done already is not done again.

    The folder of the run is named by the digest of the config, the seed, and the content of the training pictures and
    labels: a run that was interrupted goes on, one on other pictures starts anew.

    Args:
        task: The config.
        pictures: Where the pictures are.
        roles: Folders of one input, as many as `task.inputs`.
        train: Pictures to train on; the channels' mean and standard deviation are theirs.
        test: Pictures to evaluate on.
        base: Folder of the runs.
        label: Beginning of the folder's name; default: the task's.

    Raises:
        BusyError: If another process is at it.
    """
    run = Path(base) / run_name(task, pictures, roles, train, label)
    statistics = run / 'statistics.json'
    if not statistics.is_file():
        found = channel_statistics([pictures.path(item, role) for role in roles] for item in train)
        write_bytes(statistics, json.dumps(found, indent=1).encode())
    return evaluate(task, pictures, roles, test, run, train=train)


def evaluate(
    task: Task,
    pictures: Pictures,
    roles: Sequence[str],
    test: Sequence[Item],
    run: Path,
    *,
    train: Sequence[Item] = (),
    weights: str | Path | None = None,
    out: Path | None = None,
    inputs: Sequence[str] | None = None,
) -> Evaluation:
    """Evaluate a trained network on pictures of its own kind of input, or of another one (without training on it).

    Args:
        task: Config of the network.
        pictures: Where the pictures are.
        roles: Folders to show it, as many as it was trained with.
        test: Pictures.
        run: Folder of its training, with ``statistics.json``.
        train: What to train on first, where the folder holds no finished training.
        weights: Checkpoint; default: the newest of the folder.
        out: Folder of the scores; default: inside `run`, named by the digest of the pictures.
        inputs: What the pictures are, for the record; default: the task's own inputs.

    Raises:
        ValueError: If the number of pictures of an input is another than in training.
    """
    if len(roles) != len(task.inputs):
        raise ValueError(f'{task.name} sees {len(task.inputs)} pictures at a time ({task.inputs}), got {tuple(roles)}')
    # the folder of a named checkpoint does not tell the config that it is evaluated with
    named = [file_digest(weights), task.settings] if weights else None
    name = f'test_{digest([pictures.identity(test, roles), named])}'
    evaluation = Evaluation(run, out or run / name, tuple(inputs or task.inputs))
    job = dict(
        mode='run', config=task.config, **task.overrides, seed=task.seed, inputs=task.inputs, work_dir=str(run),
        root=str(pictures.root), roles=list(roles), train=list(train), test=list(test),
        weights=str(weights) if weights else None, classes=task.pictures['classes'], palette=task.pictures['palette'],
        evaluations=[dict(out=str(evaluation.out), roles=list(roles), items=list(test))],
    )  # fmt: skip
    if not (evaluation.out / 'scores.json').is_file():
        run_child(job)
    return evaluation
