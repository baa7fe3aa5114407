"""The chain: pictures written and fused, segmentation networks trained and evaluated on them, and the report."""

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
from mmengine.logging import print_log

import lurefusion
from lurefusion.config import at_data_root, config_root, find_config, load_config
from lurefusion.downstream.mmseg_child import BUSY
from lurefusion.downstream.pictures import (
    FUSED,
    Item,
    Pictures,
    channel_statistics,
    digest,
    export,
    file_digest,
    fuse,
    fused_role,
    warn_of_unseen_classes,
)
from lurefusion.downstream.scores import confusion_table, draw_losses, draw_segmentation, loss_curve, score_table
from lurefusion.engine.stages import load_stages
from lurefusion.io.images import write_bytes
from lurefusion.studies.paper_tables import paper_rows
from lurefusion.weights import find_weights

NEEDED = ('mmseg', 'mmcv', 'ftfy', 'regex', 'pkg_resources')
# what a launcher tells its processes; a child is none of them
LAUNCHER_VARIABLES = (
    'RANK',
    'WORLD_SIZE',
    'LOCAL_RANK',
    'LOCAL_WORLD_SIZE',
    'MASTER_ADDR',
    'MASTER_PORT',
    'GROUP_RANK',
)


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


class Downstream:
    """The tasks that a pipeline or its last stage names (`downstream = [...]`), or the user, behind one door.

    Building it checks everything that can be checked before hours of training: the packages, the configs, their
    models, pictures and labels.

    Args:
        config: Fusion config, a stage or a pipeline.
        tasks: Segmentation configs; empty: those of `config`. One without `pictures` gets those of `config`'s entries.
        work_dir: Of the fusion training; everything goes below its folder ``downstream``.
        options: Overrides of the fusion config.
        data_root: Root of relative data folders.
        task_options: Overrides of the segmentation configs.
        iterations: Length of the segmentation trainings; default: their configs'.
        seed: Of the segmentation trainings.

    Raises:
        ImportError: Without the extra `seg`.
        MissingDataError: If pictures are not on disk.
        FileNotFoundError: If a config or a label is missing.
        ValueError: If there is no task, a label does not fit, or the config's last stage cannot fuse.
    """

    def __init__(
        self,
        config: str | Path,
        tasks: Sequence[str] = (),
        *,
        work_dir: str | Path | None = None,
        options: Sequence[str] = (),
        data_root: str | Path | None = None,
        task_options: Sequence[str] = (),
        iterations: int | None = None,
        seed: int | None = None,
    ) -> None:
        require_segmentation()
        file = find_config(config)
        names, cfgs = load_stages(config, options)
        self.model = cfgs[-1].model
        if self.model.get('stage') == 'restoration':
            raise ValueError(
                f'{file.name} trains stage 1 alone, which cannot fuse; give a pipeline or a stage-2 config'
            )
        self.base = Path(work_dir or Path('work_dirs') / file.stem) / 'downstream'
        self.trained = self.base.parent / names[-1] if len(cfgs) > 1 or names[0] != file.stem else self.base.parent
        self.needs_weights = cfgs[-1].get('needs_weights', True)
        named = load_config(config).get('downstream') or cfgs[-1].get('downstream', ())
        own = [str(e if '::' in e else file.parent / e) for e in named]
        if not tasks and not own:
            raise ValueError(
                f'{file} has no entry `downstream = [...]`; name a segmentation config: --downstream '
                f'{config_root() / "segmentation" / "segformer_b0_fused.py"}'
            )
        # of several processes that train the fusion, one does the rest
        self.idle = int(os.environ.get('RANK', 0)) > 0
        self.tasks: list[Task] = []
        if not self.idle:
            lenders = own if tasks else ()
            with at_data_root(data_root):
                self.tasks = read_tasks(tasks or own, task_options, iterations, seed or 0, pictures_of=lenders)
        self._exported: dict[str, Pictures] = {}
        with at_data_root(data_root):
            for task in self.tasks:
                self._pictures(task)

    def _pictures(self, task: Task) -> Pictures:
        key = digest(task.pictures)
        if key not in self._exported:
            splits = {split: task.pictures[split] for split in ('train', 'test')}
            found = export(splits, task.pictures['classes'], self.base / 'pictures')
            warn_of_unseen_classes(found, found.items('train'), task.pictures['classes'], task.name)
            self._exported[key] = found
        return self._exported[key]

    def _roles(
        self, inputs: Sequence[str], pictures: Pictures, weights: Path | None, splits: Sequence[str] | None = None
    ) -> list[str]:
        """Folders of the inputs; fuses (the splits; None: all) where one of them is ``fused``."""
        known = set(next(iter(next(iter(pictures.hashes.values())).values()))) - {'label'}
        roles = []
        for name in inputs:
            if name != FUSED and name not in known:
                raise ValueError(f'there is no input {name!r}; there are {", ".join(sorted(known))} and {FUSED}')
            roles.append(fuse(pictures, self.model, weights, splits) if name == FUSED else name)
        return roles

    def _weights(self, weights: str | Path | None) -> Path | None:
        return find_weights(weights or self.trained) if weights or self.needs_weights else None

    def train(self, weights: str | Path | None = None) -> list[Evaluation]:
        """Fuse, train and evaluate every task, with one seed and one schedule; write ``report.md``.

        Args:
            weights: Of the fusion; default: what training left.
        """
        if self.idle:
            return []
        path = self._weights(weights)
        done = []
        for task in self.tasks:
            pictures = self._pictures(task)
            roles = self._roles(task.inputs, pictures, path)
            print_log(f'{task.name}: {" and ".join(task.inputs)}')
            train, test = pictures.items('train'), pictures.items('test')
            done.append(train_and_evaluate(task, pictures, roles, train, test, self.base))
        self._report(self.tasks, done, path, self.base / 'report.md', curves=True)
        return done

    def test(
        self, weights: str | Path | None = None, segmentor: str | Path | None = None, on: Sequence[str] = ()
    ) -> list[Evaluation]:
        """Evaluate trained segmentation networks on pictures fused with these weights; write ``test_report.md``.

        Args:
            weights: Of the fusion; default: what training left.
            segmentor: Folder of a segmentation training or a checkpoint in it, for the only task; default: what
                `train` left for the pictures of these weights. With it the pictures may come from other weights.
            on: Inputs to show the network, one after the other, joined by ``+`` where it sees several: a test-time
                comparison without training. Default: the task's own.

        Raises:
            FileNotFoundError: If there is no trained network.
            ValueError: If `segmentor` is given and there are several tasks.
        """
        if self.idle:
            return []
        if segmentor and len(self.tasks) > 1:
            raise ValueError(
                f'--segmentor is one network, and there are {len(self.tasks)} tasks; name the config that it was '
                f'trained with: --downstream CONFIG'
            )
        path = self._weights(weights)
        tasks, done = [], []
        for task in self.tasks:
            pictures = self._pictures(task)
            run, checkpoint = self._network(task, pictures, path, segmentor)
            for shown in [tuple(name.split('+')) for name in on] or [task.inputs]:
                roles = self._roles(shown, pictures, path, ['test'])
                tasks.append(task)
                done.append(
                    evaluate(task, pictures, roles, pictures.items('test'), run, weights=checkpoint, inputs=shown)
                )
        self._report(tasks, done, path, self.base / 'test_report.md')
        return done

    def _network(
        self, task: Task, pictures: Pictures, weights: Path | None, segmentor: str | Path | None
    ) -> tuple[Path, Path | None]:
        """Folder of the training and, where one is named, the checkpoint."""
        if segmentor:
            checkpoint = find_weights(segmentor)
            run = checkpoint.parent
        else:
            roles = [fused_role(self.model, weights) if name == FUSED else name for name in task.inputs]
            run, checkpoint = self.base / run_name(task, pictures, roles, pictures.items('train')), None
        if not (run / 'statistics.json').is_file() or not (segmentor or (run / 'trained.json').is_file()):
            raise FileNotFoundError(
                f'{run} holds no finished training of {task.name}. Train it on the pictures of these weights: '
                'lurefusion train CONFIG --downstream; or name a trained network: --segmentor RUN_FOLDER'
            )
        return run, checkpoint

    def _report(
        self, tasks: Sequence[Task], done: Sequence[Evaluation], weights: Path | None, file: Path, curves: bool = False
    ) -> None:
        """Table 5, per class and confusion matrix, loss curves and strips."""
        lines = ['# Downstream segmentation', '', f'Fusion weights: {weights or "none"}. Seed {tasks[0].seed}.', '']
        for classes in dict.fromkeys(tuple(task.pictures['classes']) for task in tasks):
            rows: dict[str, list[np.ndarray]] = {}
            for task, evaluation in zip(tasks, done, strict=True):
                if tuple(task.pictures['classes']) == classes:
                    rows[_row_name(task, evaluation)] = [evaluation.result()['confusion']]
            lines += ['IoU per class and means in percent. mIoU: classes that the test labels have.', '']
            lines += [score_table(rows, classes)]
            for name, (confusion,) in rows.items():
                lines += [f'Confusion of {name}, percent of the pixels of each label:', '']
                lines += [confusion_table(confusion, classes)]
        printed = ', '.join(f'{name} {row["mIoU"]:.2f}' for name, row in paper_rows(5, 'MSRS').items())
        lines += [f'For comparison, mIoU in Table 5 of the LURE paper (MSRS, SegFormer-b2): {printed}.', '']
        if curves:
            losses = {_row_name(t, e): [loss_curve(e.run)] for t, e in zip(tasks, done, strict=True)}
            draw_losses(losses, file.with_name('loss.png'))
            lines += ['![training losses](loss.png)', '']
        for task, evaluation in zip(tasks, done, strict=True):
            self._strips(task, evaluation, weights)
        lines += [f'Strips: {evaluation.out / "strips"}' for evaluation in done]
        text = '\n'.join(lines) + '\n'
        write_bytes(file, text.encode())
        print(text)
        print(f'report: {file}')

    def _strips(self, task: Task, evaluation: Evaluation, weights: Path | None) -> None:
        pictures = self._pictures(task)
        sources = sorted(set(next(iter(pictures.hashes['test'].values()))) - {'label'}, reverse=True)
        shown = {name: name for name in sources}
        if FUSED in evaluation.inputs:
            shown[FUSED] = fused_role(self.model, weights)
        draw_strips(
            pictures, pictures.items('test'), shown, evaluation, task.pictures['palette'], evaluation.out / 'strips'
        )


def _row_name(task: Task, evaluation: Evaluation) -> str:
    if evaluation.inputs == task.inputs:
        return task.name
    return f'{task.name} (trained on {"+".join(task.inputs)}), shown {"+".join(evaluation.inputs)}'


def draw_strips(
    pictures: Pictures,
    items: Sequence[Item],
    shown: Mapping[str, str],
    evaluation: Evaluation,
    palette: Sequence[Sequence[int]],
    out: Path,
) -> None:
    """Write ``<out>/<name>.png``: the pictures of `shown` (caption -> role), prediction, label."""
    for item in items:
        target = out / f'{item[1]}.png'
        if not target.is_file():
            panels = {caption: pictures.path(item, role) for caption, role in shown.items()}
            predicted = evaluation.out / 'predictions' / f'{item[1]}.png'
            draw_segmentation(target, panels, {'prediction': predicted, 'label': pictures.path(item, 'label')}, palette)
