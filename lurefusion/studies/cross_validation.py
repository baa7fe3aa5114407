"""Cross-validation of segmentation over drives: several inputs, several seeds, one budget, resumable, one report.

Frames of one drive look alike, so a drive is never on both sides. Every frame is predicted once per seed, by the
network that did not see its drive; the confusion matrices of all folds add up to one per seed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from lurefusion.config import load_config, load_stages
from lurefusion.datasets.transforms import LABEL
from lurefusion.downstream.chain import draw_strips
from lurefusion.downstream.networks import BusyError, Evaluation, Task, read_tasks, train_and_evaluate
from lurefusion.downstream.pictures import FUSED, Item, Pictures, export, fuse, warn_of_unseen_classes
from lurefusion.downstream.scores import (
    confusion_table,
    draw_losses,
    last_change,
    loss_curve,
    score_table,
    scores,
)
from lurefusion.io.images import write_bytes
from lurefusion.io.labels import read_label
from lurefusion.io.tables import markdown_table
from lurefusion.weights import described_model, find_weights, read_weights, shipped_weights

SPLIT = 'all'


def drives(names: Sequence[str], gap: int = 50) -> list[list[str]]:
    """Group frames by drive: consecutive ids, of one time of day, belong together.

    A new group begins where the suffix changes (MSRS: D for day, N for night) or where the number is more than `gap`
    above the last one's. Too large a gap joins drives, which is safe; too small a one could part one.

    Args:
        names: Like ``00123D``: digits, then whatever tells the time of day.
        gap: Largest step of the number within one drive.

    Raises:
        ValueError: If a name does not begin with digits.
    """
    frames = []
    for name in names:
        if not (match := re.fullmatch(r'(\d+)(.*)', name)):
            raise ValueError(
                f'{name!r} does not begin with the number of a frame, as 00123D does: no drive can be told'
            )
        frames.append((match[2], int(match[1]), name))
    groups: list[list[tuple[int, str]]] = []
    last = None
    # each time of day by itself: another drive's frames in between part nothing
    for suffix, number, name in sorted(frames):
        if last is None or suffix != last[0] or number - last[1] > gap:
            groups.append([])
        groups[-1].append((number, name))
        last = suffix, number
    return [[name for _, name in group] for group in sorted(groups)]


def balanced_folds(groups: Sequence[Sequence[str]], present: Mapping[str, np.ndarray], folds: int) -> list[int]:
    """Fold of each group, so that frames and classes are spread as evenly as whole groups allow.

    Minimises the sum, over the number of frames and over the number of frames that show each class, of the squared
    deviations of the folds' shares from 1 / folds: greedily from the largest group on, then by single moves and swaps
    until none helps. Nothing is drawn at random.

    Args:
        groups: Names of each group.
        present: Name -> (K,) bool, the classes that the frame shows.
        folds: Number of folds.

    Raises:
        ValueError: If there are fewer groups than folds, or less than two folds.
    """
    if not 2 <= folds <= len(groups):
        raise ValueError(f'{len(groups)} groups cannot make {folds} folds; set --gap or --folds')
    counts = np.array([[len(group), *np.sum([present[name] for name in group], axis=0)] for group in groups], float)
    shares = counts[:, counts.sum(0) > 0] / counts.sum(0)[counts.sum(0) > 0]

    def cost(fold_of: Sequence[int]) -> float:
        sums = np.zeros((folds, shares.shape[1]))
        for group, fold in enumerate(fold_of):
            if fold >= 0:
                sums[fold] += shares[group]
        return float(((sums - 1 / folds) ** 2).sum())

    chosen = [-1] * len(groups)
    for group in np.argsort(-shares.sum(1), kind='stable'):
        options = [[*chosen[:group], fold, *chosen[group + 1 :]] for fold in range(folds)]
        chosen = min(options, key=cost)
    while True:
        moves = [
            [*chosen[:group], fold, *chosen[group + 1 :]] for group, fold in product(range(len(groups)), range(folds))
        ]
        for a, b in product(range(len(groups)), repeat=2):
            swapped = list(chosen)
            swapped[a], swapped[b] = chosen[b], chosen[a]
            moves.append(swapped)
        best = min(moves, key=cost)
        if cost(best) >= cost(chosen) - 1e-12:
            return chosen
        chosen = best


@dataclass
class CrossValidation:
    """A plan: which inputs, folds and seeds.

    Args:
        task: Segmentation config; its `inputs` are set for each input, everything else is the same for all.
        data: Config of the labelled fusion data set.
        inputs: Name -> what it is: modalities (``vi``, or ``vi+ir`` stacked), a fusion config (``FILE.py``, with
            weights ``FILE.py@WEIGHTS``), or shipped weights.
        work_dir: Everything goes there.
        folds: Number of folds.
        seeds: Of training; one repetition each.
        iterations: Length of every training; None: the config's.
        options: Overrides of the segmentation config.
        gap: See `drives`.
        classes: Config whose `pictures` name classes and palette; default: the task's own.
        pretrain: Segmentation config that is trained first, on every split of its pictures but ``test``; all runs start
            from its backbone.
    """

    task: str
    data: Mapping[str, Any]
    inputs: Mapping[str, str]
    work_dir: str | Path
    folds: int = 4
    seeds: Sequence[int] = (0, 1)
    iterations: int | None = None
    options: Sequence[str] = ()
    gap: int = 50
    classes: str | None = None
    pretrain: str | None = None
    _tasks: dict[tuple[str, int], Task] = field(default_factory=dict, init=False)

    def prepare(self) -> None:
        """Check configs and labels, form the folds, fuse: all that can fail, before the first training.

        Raises:
            ValueError: On labels, names or numbers of groups that do not fit; see `export`, `drives`, `balanced_folds`.
            FileNotFoundError: If data, configs or weights are missing.
            BusyError: If another process is at the pretraining, without which no run can start.
        """
        self.work_dir = Path(self.work_dir)
        # one seed given twice is one repetition
        self.seeds = tuple(dict.fromkeys(self.seeds))
        self.start = ''
        options = [*self.options, f'pretrained={self._pretrained()}'] if self.pretrain else self.options
        [task] = read_tasks([self.task], options, self.iterations, pictures_of=[self.classes] if self.classes else [])
        for (name, what), seed in product(self.inputs.items(), self.seeds):
            inputs = ('fused',) if _is_fuser(what) else tuple(what.split('+'))
            self._tasks[name, seed] = replace(task, inputs=inputs, seed=seed)
        self.class_names = list(task.pictures['classes'])
        self.palette = task.pictures['palette']
        self.pictures: Pictures = export({SPLIT: self.data}, self.class_names, self.work_dir / 'pictures')
        names = [name for _, name in self.pictures.items(SPLIT)]
        present = {name: self._classes_of(name) for name in names}
        self.groups = drives(names, self.gap)
        chosen = balanced_folds(self.groups, present, self.folds)
        self.fold_of = {name: fold for group, fold in zip(self.groups, chosen, strict=True) for name in group}
        self.present = present
        for fold in range(self.folds):
            train = [(SPLIT, name) for name, at in self.fold_of.items() if at != fold]
            warn_of_unseen_classes(self.pictures, train, self.class_names, f'fold {fold}')
        self.roles = {name: self._role(what) for name, what in self.inputs.items()}

    def _pretrained(self) -> Path:
        """Weights of the training that all runs start from."""
        [task] = read_tasks([self.pretrain])
        splits = {name: cfg for name, cfg in task.pictures.items() if isinstance(cfg, Mapping)}
        pictures = export(splits, list(task.pictures['classes']), self.work_dir / 'pretrain' / 'pictures')
        train = [item for split in splits if split != 'test' for item in pictures.items(split)]
        print_log(f'pretraining: {self.pretrain}, {len(train)} pictures')
        warn_of_unseen_classes(pictures, train, task.pictures['classes'], 'pretraining')
        base = self.work_dir / 'pretrain'
        run = train_and_evaluate(task, pictures, task.inputs, train, pictures.items('test'), base).run
        self.start = (
            f' All start from the backbone of `{Path(self.pretrain).name}`, trained on {len(train)} pictures, '
            f'{int(loss_curve(run)[0][-1])} iterations.'
        )
        return find_weights(run)

    def _classes_of(self, name: str) -> np.ndarray:
        label = read_label(self.pictures.path((SPLIT, name), LABEL))
        return np.bincount(label.ravel(), minlength=256)[: len(self.class_names)] > 0

    def _role(self, what: str) -> list[str]:
        if not _is_fuser(what):
            folders = (path.name for path in (self.pictures.root / SPLIT).iterdir())
            known = sorted(name for name in folders if name != LABEL and not name.startswith(f'{FUSED}_'))
            if unknown := [role for role in what.split('+') if role not in known]:
                raise ValueError(
                    f'input {what!r}: {unknown[0]!r} is no modality of the data ({", ".join(known)}), no fusion config '
                    f'(FILE.py) and no shipped weights ({", ".join(shipped_weights())})'
                )
            return what.split('+')
        model, weights = fuser(what)
        return [fuse(self.pictures, model, weights)]

    def plan(self) -> list[tuple[str, int, int]]:
        """(input, seed, fold) of every run; whole seeds first, so that an early report compares all inputs."""
        return [(name, seed, fold) for seed, fold, name in product(self.seeds, range(self.folds), self.inputs)]

    def one(self, name: str, seed: int, fold: int) -> Evaluation:
        """Train and evaluate one run, or take what is there.

        Raises:
            BusyError: If another process is at it.
        """
        items: list[Item] = self.pictures.items(SPLIT)
        train = [item for item in items if self.fold_of[item[1]] != fold]
        test = [item for item in items if self.fold_of[item[1]] == fold]
        label = f'{name}_seed{seed}_fold{fold}'
        task = self._tasks[name, seed]
        return train_and_evaluate(task, self.pictures, self.roles[name], train, test, self.work_dir, label)

    def run(self) -> bool:
        """Do every run of the plan that is not done; several processes may share a plan. True: all are done."""
        self.prepare()
        self.done: dict[tuple[str, int, int], Evaluation] = {}
        plan = self.plan()
        # twice: what another process was at may be done by the end
        for number, key in [*enumerate(plan, start=1)] * 2:
            if key in self.done:
                continue
            print_log(f'run {number} of {len(plan)}: {key[0]}, seed {key[1]}, fold {key[2]}')
            try:
                self.done[key] = self.one(*key)
            except BusyError as error:
                print_log(str(error))
        return len(self.done) == len(plan)

    def confusion(self, name: str, seed: int) -> np.ndarray | None:
        """(K,K) over all frames, each predicted by the network that did not see its drive; None: runs are missing."""
        found = [self.done.get((name, seed, fold)) for fold in range(self.folds)]
        return None if None in found else np.sum([e.result()['confusion'] for e in found], axis=0)

    def report(self, file: str | Path, command: str = '') -> str:
        """Write the tables (Markdown), the loss curves and strips beside them, and ``results.json``.

        Args:
            file: Markdown file; pictures go into ``images/`` beside it.
            command: Shown as what gives these figures.

        Raises:
            ValueError: If there is no input with all folds of a seed.
        """
        file = Path(file)
        matrices = {
            name: [m for seed in self.seeds if (m := self.confusion(name, seed)) is not None] for name in self.inputs
        }
        matrices = {name: found for name, found in matrices.items() if found}
        if not matrices:
            raise ValueError('no input has all folds of a seed yet: nothing to report')
        repetitions = ', '.join(f'{name} {len(found)}' for name, found in matrices.items())
        curves = {name: [loss_curve(e.run) for (own, _, _), e in self.done.items() if own == name] for name in matrices}
        draw_losses(curves, file.parent / 'images' / f'{file.stem}_loss.png')
        lines = [
            '# Segmentation of fused pictures', '',
            f'Config `{Path(self.task).name}`, {self._length()} iterations for every input; frames '
            f'{len(self.fold_of)}, drives {len(self.groups)}, folds {self.folds}. Repetitions (seeds): {repetitions}.'
            + self.start,
            '', f'    {command}' if command else '', '',
            'IoU in percent, mean ± sample standard deviation over the seeds. Per seed the confusion matrices of all '
            f'folds are summed. mIoU: classes that the labels have; mIoU of all {len(self.class_names)}: an absent '
            'class counts 0.',
            '', score_table(matrices, self.class_names),
            'Training loss: mean of the last quarter of the iterations, and its change from the third quarter (near 0: '
            'flattened).', '', self._losses(curves),
            f'![training losses](images/{file.stem}_loss.png)', '', '## Folds', '',
            f'A drive is a row of frames of one time of day whose numbers step by {self.gap} at most. Frames per fold, '
            'and frames that show each class:', '', self._folds(), '## Confusion', '',
            'Percent of the pixels of each label, all seeds together.', '',
        ]  # fmt: skip
        for name, found in matrices.items():
            lines += [f'### {name}', '', confusion_table(np.sum(found, axis=0), self.class_names)]
        lines += ['Strips of every frame (sources, input, prediction, label) are in `strips/` of the work folder.']
        text = '\n'.join(lines).rstrip() + '\n'
        write_bytes(file, text.encode())
        content = {
            name: [dict(scores(m), IoU=scores(m)['IoU'].tolist(), confusion=m.tolist()) for m in found]
            for name, found in matrices.items()
        }
        write_bytes(self.work_dir / 'results.json', json.dumps(content, indent=1).encode())
        self._strips(matrices)
        return text

    def _length(self) -> int:
        return max(int(loss_curve(e.run)[0][-1]) for e in self.done.values())

    def _losses(self, curves: Mapping[str, Sequence[tuple[np.ndarray, np.ndarray]]]) -> str:
        lines = []
        for name, runs in curves.items():
            last = np.mean([losses[3 * len(losses) // 4 :].mean() for _, losses in runs])
            change = np.mean([last_change(*run) for run in runs])
            lines.append([name, f'{last:.3f}', f'{100 * change:+.1f} %'])
        return markdown_table(['trained on', 'loss', 'change'], lines)

    def _folds(self) -> str:
        titles, lines = ['fold', 'frames', *self.class_names, 'drives'], []
        for fold in range(self.folds):
            own = [name for name, at in self.fold_of.items() if at == fold]
            counts = np.sum([self.present[name] for name in own], axis=0)
            spans = [f'{g[0]}-{g[-1]}' if len(g) > 1 else g[0] for g in self.groups if self.fold_of[g[0]] == fold]
            lines.append([fold, len(own), *counts, ', '.join(spans)])
        return markdown_table(titles, lines, text=(0, len(titles) - 1))

    def _strips(self, names: Sequence[str]) -> None:
        """``strips/<input>/``: of the first seed, sources, input, prediction, label."""
        known = next(iter(self.pictures.hashes[SPLIT].values()))
        sources = sorted(set(known) - {'label'}, reverse=True)
        for (name, seed, fold), evaluation in self.done.items():
            if name in names and seed == self.seeds[0]:
                fused = [role for role in self.roles[name] if role not in sources]
                shown = dict(zip([*sources, name], [*sources, *fused], strict=False))
                items = [item for item in self.pictures.items(SPLIT) if self.fold_of[item[1]] == fold]
                draw_strips(self.pictures, items, shown, evaluation, self.palette, self.work_dir / 'strips' / name)


def _is_fuser(what: str) -> bool:
    return '.py' in what or what in shipped_weights()


def fuser(what: str) -> tuple[dict[str, Any], Path | None]:
    """Config of a fusion model and its weights, from ``FILE.py``, ``FILE.py@WEIGHTS``, or the name of shipped weights.

    Raises:
        FileNotFoundError: If the model needs weights and none are given, or there is no such file.
    """
    if what in shipped_weights():
        path = shipped_weights()[what]
        return described_model(path, read_weights(path)[1]), path
    config, _, weights = what.partition('@')
    cfg = load_stages(config)[1][-1]
    if not weights and cfg.get('needs_weights', True):
        raise FileNotFoundError(f'{config} needs weights: {config}@WEIGHTS (a checkpoint or the folder of a run)')
    return cfg.model, find_weights(weights) if weights else None


def data_config(folders: Sequence[str], config: str | None = None) -> dict[str, Any]:
    """Data set of folders ``ROLE=FOLDER``, one of them ``label``; or the `pictures.test` of a segmentation config.

    Raises:
        ValueError: If an item is no ROLE=FOLDER, or ``label`` is missing.
    """
    if not folders:
        if config is None:
            raise ValueError('name the labelled pictures: --data vi=FOLDER ir=FOLDER label=FOLDER')
        pictures = load_config(config).get('pictures') or {}
        if 'test' not in pictures:
            raise ValueError(f'config {config} has no pictures = dict(test=...); name the pictures by --data')
        return pictures['test'].to_dict()
    prefix = {}
    for item in folders:
        role, equals, folder = item.partition('=')
        if not equals:
            raise ValueError(f'--data takes ROLE=FOLDER, got {item!r}')
        if role in prefix:
            raise ValueError(f'--data names {role!r} twice')
        prefix[role] = folder
    if 'label' not in prefix:
        raise ValueError(f'--data needs label=FOLDER beside {", ".join(prefix)}')
    return dict(type='FusionPairDataset', data_prefix=prefix)
