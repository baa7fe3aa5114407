"""The chain: pictures written and fused, segmentation networks trained and evaluated on them, and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from lurefusion.config import at_data_root, config_root, find_config, load_config, load_stages
from lurefusion.downstream.networks import (
    Evaluation,
    Task,
    evaluate,
    read_tasks,
    require_segmentation,
    run_name,
    train_and_evaluate,
)
from lurefusion.downstream.pictures import (
    FUSED,
    Item,
    Pictures,
    export,
    fuse,
    fused_role,
    warn_of_unseen_classes,
)
from lurefusion.downstream.scores import confusion_table, draw_losses, draw_segmentation, loss_curve, score_table
from lurefusion.engine.stage_runner import first_process
from lurefusion.io.digests import digest
from lurefusion.io.images import write_bytes
from lurefusion.studies.paper_tables import paper_rows
from lurefusion.weights import find_weights, last_run


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
        self.trained = last_run(file, names, self.base.parent)
        self.needs_weights = cfgs[-1].get('needs_weights', True)
        named = load_config(config).get('downstream') or cfgs[-1].get('downstream', ())
        own = [str(e if '::' in e else file.parent / e) for e in named]
        if not tasks and not own:
            raise ValueError(
                f'{file} has no entry `downstream = [...]`; name a segmentation config: --downstream '
                f'{config_root() / "segmentation" / "segformer_b0_fused.py"}'
            )
        # of several processes that train the fusion, one does the rest
        self.idle = not first_process()
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
        panels = {caption: pictures.path(item, role) for caption, role in shown.items()}
        labels = dict(prediction=evaluation.out / 'predictions' / f'{item[1]}.png', label=pictures.path(item, 'label'))
        draw_segmentation(out / f'{item[1]}.png', panels, labels, palette)
