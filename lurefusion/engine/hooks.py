"""Hooks: strict stage hand-over, the proof that frozen parts stayed frozen, the latent space, pictures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import EMAHook, Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper

from lurefusion.choices import names_of
from lurefusion.datasets.paired import MissingDataError
from lurefusion.engine.strategies import whole_model
from lurefusion.evaluation.latents import build_probe, collect_latents
from lurefusion.models.base import FusionModel
from lurefusion.registry import HOOKS
from lurefusion.weights import (
    RECORD,
    RUN_FILES,
    find_weights,
    record_of,
    set_aside,
    take_over,
    weights_digest,
)


def plain_model(runner: Any) -> FusionModel:
    """The runner's model without its distributed wrapper."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


@HOOKS.register_module()
class InitFromHook(Hook):
    """Takes whole parts over from other weights, strictly (see `take_over`); a resumed run already has them.

    Args:
        checkpoint: File, folder of a run, or name of shipped weights.
        prefixes: Parts, e.g. ``('text_encoder', 'image_encoder', 'decoder')``; None: those that both have.

    Raises:
        ValueError: If a tensor is missing, unexpected or of another shape.
    """

    priority = 'VERY_HIGH'

    def __init__(self, checkpoint: str, prefixes: Sequence[str] | None = None) -> None:
        self.checkpoint = checkpoint
        self.prefixes = None if prefixes is None else names_of('init_from.prefixes', prefixes)

    def before_train(self, runner: Any) -> None:
        """Load, unless the run was resumed."""
        if runner.iter == 0:
            with whole_model(runner, change=True) as model:
                take_over(model, find_weights(self.checkpoint), self.prefixes)


@HOOKS.register_module()
class RunRecordHook(Hook):
    """Keeps the runs of one folder apart, and writes into every checkpoint what it is of.

    That is the model, the order of its modalities and tasks, the config, and where the stage began.

    Args:
        start: Digest of the weights that the stage starts from; None for a random start.
        config: The stage's config, as JSON.
        resumed: How many `processes` wrote the checkpoint from which it goes on, and their samples a step, `batch`.
        later: Folders of later stages, which are another run's too where this one begins anew.
    """

    # before anything of this run is written
    priority = 'VERY_HIGH'

    def __init__(
        self, start: str | None, config: str, resumed: dict[str, int] | None = None, later: Sequence[str] = ()
    ) -> None:
        self.start = start
        self.later = tuple(later)
        self.config = config
        self.resumed = resumed

    def before_train(self, runner: Any) -> None:
        """A run that begins anew sets aside what is there; one that goes on says if its batches are others."""
        if runner.iter == 0 and is_main_process():
            # not before: model and data are built, so that a start that fails moves nothing
            for folder in (runner.work_dir, *self.later):
                set_aside(folder, RUN_FILES)
        before, now = self.resumed, dict(processes=get_world_size(), batch=global_batch(json.loads(self.config)))
        if before is None or before == now:
            return
        counts = f'{now["processes"]} processes, the checkpoint is of {before["processes"]}'
        if before['batch'] == now['batch']:
            runner.logger.info(f'resumed with {counts}: a step sees the same samples, results differ by rounding')
        else:
            runner.logger.warning(
                f'resumed with {counts}: a step sees {now["batch"] / before["batch"]:g} times as many samples, and the '
                f'result is not that of an unbroken run; train_dataloader.batch_size can keep {before["batch"]} a step'
            )

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Into its meta information, as JSON: a checkpoint holds tensors and plain values only."""
        # a strategy of MMEngine's leaves the prefix of the wrapper
        checkpoint['state_dict'] = {k.removeprefix('module.'): v for k, v in checkpoint['state_dict'].items()}
        config = json.loads(self.config)
        record = dict(
            record_of(plain_model(runner)),
            model=config['model'],
            config=config,
            start=self.start,
            processes=get_world_size(),
        )
        checkpoint['meta'][RECORD] = json.dumps(record)


def global_batch(config: Mapping[str, Any], processes: int | None = None) -> int:
    """Samples that all processes together see in one step of the optimizer; of several loaders, the first counts."""
    loader = config['train_dataloader']
    loader = loader if 'batch_size' in loader else next(iter(loader.values()))
    steps = config['optim_wrapper'].get('accumulative_counts', 1)
    return loader.get('batch_size', 1) * steps * (processes or get_world_size())


@HOOKS.register_module()
class FrozenCheckHook(Hook):
    """Raises when a frozen part of the model is not bit-identical after training."""

    def before_train(self, runner: Any) -> None:
        """Remember the digests; runs after `InitFromHook`."""
        self.digests = self._digests(runner)

    def after_train(self, runner: Any) -> None:
        """Compare them."""
        now = self._digests(runner)
        changed = [name for name, digest in self.digests.items() if now[name] != digest]
        if changed:
            raise RuntimeError(f'frozen parts changed during training: {", ".join(changed)}')
        if self.digests:
            runner.logger.info(f'bit-identical after training: {", ".join(self.digests)}')

    @staticmethod
    def _digests(runner: Any) -> dict[str, str]:
        with whole_model(runner) as model:
            return {name: weights_digest(part.state_dict()) for name, part in model.frozen_parts().items()}


@HOOKS.register_module()
class MissedValidationHook(Hook):
    """Validates where a resumed run begins, if that was due: its checkpoint was written before, and knows of none.

    Without it a kill during a validation could cost the best checkpoint.
    """

    priority = 'LOWEST'

    def before_train_epoch(self, runner: Any) -> None:
        """Validate; all of a training is one epoch."""
        loop = runner.train_loop
        # what MMEngine does after a step
        loop._decide_current_val_interval()
        due = loop._iter % loop.val_interval == 0 or loop._iter == loop.max_iters
        if loop._iter >= max(loop.val_begin, 1) and due and runner.val_loop is not None:
            print_log(f'validation of iteration {loop._iter}, which may have been interrupted', logger='current')
            runner.val_loop.run()


@HOOKS.register_module()
class LatentDiagnosticsHook(Hook):
    """Logs gamma, centred gamma, cross-image cosine, norm ratio, effective rank per scale every `interval` steps."""

    def __init__(self, interval: int = 200) -> None:
        self.interval = interval

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Ask the model for diagnostics in this iteration."""
        plain_model(runner).diagnose = (runner.iter + 1) % self.interval == 0


@HOOKS.register_module()
class LatentProbeHook(Hook):
    """Records pooled latents of a scene-matched probe set as ``<work_dir>/latents/iter_<N>.npz`` (LURE, Fig. 2).

    Nothing is drawn at random, so that a training with this hook ends with the tensors of one without it. Where the
    image encoder is frozen there is nothing to follow, and nothing is recorded. With an EMAHook the averaged weights
    are followed, those of the checkpoints.

    Args:
        dataset: Probe set, see :func:`lurefusion.evaluation.latents.build_probe`.
        fractions: When, as parts of the training: 0 is before the first step, 1 after the last.
        iterations: When, as numbers of steps; in place of `fractions`.
        batch_size: Pictures at once.
        missing: ``error``, or ``skip`` to train without a probe whose pictures are not on disk (logged).

    Raises:
        ValueError: If a fraction or an option is out of range.
    """

    # before the checkpoint of the same step: what a resumed training skips is on disk
    priority = 'LOW'

    def __init__(
        self,
        dataset: dict | str | None = None,
        fractions: Sequence[float] = (0, 0.1, 0.4, 1),
        iterations: Sequence[int] | None = None,
        batch_size: int = 8,
        missing: str = 'error',
    ) -> None:
        if any(not 0 <= fraction <= 1 for fraction in fractions) or any(step < 0 for step in iterations or ()):
            raise ValueError(f'fractions lie in [0, 1], iterations at 0 or above; got {fractions} and {iterations}')
        if missing not in ('error', 'skip'):
            raise ValueError(f"missing must be 'error' or 'skip', got {missing!r}")
        self.dataset_cfg = dataset
        self.fractions = tuple(fractions)
        self.iterations = iterations
        self.batch_size = batch_size
        self.missing = missing
        self.steps: set[int] = set()

    def before_train(self, runner: Any) -> None:
        """Build the probe set; record the untrained network."""
        if 'image_encoder' in plain_model(runner).frozen:
            return
        try:
            self.dataset = build_probe(self.dataset_cfg)
        except MissingDataError as error:
            if self.missing == 'error':
                raise
            runner.logger.warning(f'no latents are recorded: {error}')
            return
        steps = (round(fraction * runner.max_iters) for fraction in self.fractions)
        self.steps = set(steps if self.iterations is None else self.iterations)
        if runner.iter == 0:
            self._record(runner, 0)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Record at the chosen steps."""
        self._record(runner, runner.iter + 1)

    def _record(self, runner: Any, step: int) -> None:
        if step in self.steps:
            # before the first step there is no average
            averages = [hook for hook in runner.hooks if isinstance(hook, EMAHook)] if step else []
            for hook in averages:
                hook.before_val_epoch(runner)
            with whole_model(runner) as model:
                latents = collect_latents(model, self.dataset, self.batch_size, step)
            for hook in averages:
                hook.after_val_epoch(runner)
            if latents is not None:
                latents.save(Path(runner.work_dir) / 'latents' / f'iter_{step}.npz')


@HOOKS.register_module()
class StripHook(Hook):
    """Hands (visible, infrared, ..., result, reference) strips to the visualizer while validating and testing.

    Args:
        max_val: Pictures per validation, of restoration sets per task.
        max_test: Strips per test set; None: all.
        write_fused: While testing, write every result as ``<work_dir>/fused/<set>/<name>.png``, a second one of that
            name as ``<name>_2.png``.
    """

    def __init__(self, max_val: int = 2, max_test: int | None = None, write_fused: bool = True) -> None:
        self.max_val = max_val
        self.max_test = max_test
        self.write_fused = write_fused
        self._seen: Counter[str] = Counter()
        self._names: set[tuple[str, str]] = set()

    def before_val_epoch(self, runner: Any) -> None:
        """Count anew."""
        self._seen.clear()

    def before_test_epoch(self, runner: Any) -> None:
        """Count anew."""
        self._seen.clear()
        self._names.clear()

    def after_val_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Strips to the visualizer's back-ends (TensorBoard, files)."""
        for sample in outputs or ():
            task = sample.get('task', '')
            if self._seen[task] < self.max_val:
                name = '_'.join(part for part in ('val', task, sample.name) if part)
                runner.visualizer.add_datasample(name, None, sample, step=runner.iter)
            self._seen[task] += 1

    def after_test_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Strips and fused pictures to files."""
        from lurefusion.io.images import write_image
        from lurefusion.io.pairing import refuse_overwrite

        folder = getattr(runner.test_loop, 'current', '') or 'test'
        for sample in outputs or ():
            sources = (sample.get('paths') or {}).values()
            # data sets of a mix may have pictures of one name
            name, number = sample.name, 1
            while (folder, name) in self._names:
                number += 1
                name = f'{sample.name}_{number}'
            self._names.add((folder, name))
            if self.write_fused:
                picture = sample.pred.permute(1, 2, 0).cpu().numpy()
                if bool((picture[..., :1] == picture).all()):
                    picture = picture[..., 0]
                out = Path(runner.work_dir) / 'fused' / folder / f'{name}.png'
                refuse_overwrite([out], sources)
                write_image(out, picture)
            if self.max_test is None or self._seen[folder] < self.max_test:
                out = Path(runner.work_dir) / 'strips' / folder / f'{name}.png'
                refuse_overwrite([out], sources)
                runner.visualizer.add_datasample(sample.name, None, sample, out_file=str(out))
            self._seen[folder] += 1
