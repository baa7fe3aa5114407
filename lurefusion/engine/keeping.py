"""Hooks that keep what a training has: checkpoints while new ones are written, and the batch on which it diverged."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_rank, is_main_process
from mmengine.hooks import CheckpointHook, Hook

from lurefusion.choices import one_of
from lurefusion.engine.hooks import plain_model
from lurefusion.io.images import write_bytes
from lurefusion.registry import HOOKS
from lurefusion.weights import latest_checkpoint

#: folder in that of the run: batches on which it diverged
DIVERGED = 'diverged'


class _RemovesLater:
    """A file backend that keeps in mind what is to be removed."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.waiting: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        self.waiting.append(path)

    rmtree = remove

    def remove_but(self, kept: Sequence[str | None]) -> None:
        """Remove, but for files that have been written anew."""
        waiting, self.waiting = self.waiting, []
        for path in waiting:
            if path in kept:
                continue
            if self.backend.isdir(path):
                self.backend.rmtree(path)
            elif self.backend.isfile(path):
                self.backend.remove(path)


@HOOKS.register_module()
class KeepingCheckpointHook(CheckpointHook):
    """MMEngine's hook, which removes old checkpoints when the new one is there, and not before.

    A full disk or a kill while a checkpoint is written costs none of those that there are.
    """

    def before_train(self, runner: Any) -> None:
        """See MMEngine."""
        super().before_train(runner)
        if not isinstance(self.file_backend, _RemovesLater):
            self.file_backend = _RemovesLater(self.file_backend)

    def _save_checkpoint(self, runner: Any) -> None:
        super()._save_checkpoint(runner)
        self._remove()

    def _save_best_checkpoint(self, runner: Any, metrics: dict) -> None:
        super()._save_best_checkpoint(runner, metrics)
        self._remove()

    def _remove(self) -> None:
        if is_main_process():
            best = [getattr(self, 'best_ckpt_path', None), *getattr(self, 'best_ckpt_path_dict', {}).values()]
            self.file_backend.remove_but([getattr(self, 'last_ckpt', None), *best])


@HOOKS.register_module()
class FiniteCheckHook(Hook):
    """Ends a training that diverges, before a checkpoint of it pushes out those that are good; or leaves steps out.

    The batch of the first step that is not finite is written to ``<work_dir>/diverged/iter_N.pt``, with its step, seed,
    samples and losses; `torch.load(path, weights_only=True)` reads it.

    Args:
        action: ``stop``, or ``skip``: a step whose gradients are not finite does not change the weights; with
            accumulated gradients, those that were accumulated before it are lost too. Of a CUDA mixed precision
            training, PyTorch's own loss scaler leaves such steps out.
        most: With ``skip``, so many steps in a row that are left out end the training all the same.

    Raises:
        ValueError: If an option is out of range; in training, if it diverges.
    """

    # before the checkpoint of the same step
    priority = 'LOW'

    def __init__(self, action: str = 'stop', most: int = 20) -> None:
        self.action = one_of('action', action, ('stop', 'skip'))
        if most < 1:
            raise ValueError(f'most must be at least 1, got {most}')
        self.most = most
        self.skipped = self.in_a_row = 0
        self._kept = False

    def before_train(self, runner: Any) -> None:
        """With ``skip``, stand between the gradients and the weights."""
        if self.action == 'skip':
            wrapper, step = runner.optim_wrapper, runner.optim_wrapper.step

            def guarded(**kwargs: Any) -> None:
                # the gradients are those of all processes together, so that all decide alike
                grads = [p.grad for group in wrapper.param_groups for p in group['params'] if p.grad is not None]
                if all(bool(grad.isfinite().all()) for grad in grads):
                    step(**kwargs)
                    self.in_a_row = 0
                else:
                    self.in_a_row += 1

            if getattr(wrapper, 'loss_scaler', None) is None or not torch.cuda.is_available():
                wrapper.step = guarded

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Look at the loss of every step, and at the weights where a checkpoint is due."""
        losses = {name: value for name, value in (outputs or {}).items() if 'loss' in name}
        broken = [name for name, value in losses.items() if not bool(torch.as_tensor(value).isfinite().all())]
        what = f'{", ".join(broken)} of this step, on {_names(data_batch)}'
        if broken and self.action == 'stop':
            raise self._diverged(runner, what, self._keep(runner, data_batch, losses))
        if self.in_a_row:
            self.skipped += 1
            if self.in_a_row >= self.most:
                raise self._diverged(
                    runner, f'{self.in_a_row} steps in a row, the last on {_names(data_batch)}',
                    self._keep(runner, data_batch, losses),
                )  # fmt: skip
            where = '' if self._kept else f'; its batch is kept in {self._keep(runner, data_batch, losses)}'
            runner.logger.warning(
                f'iteration {runner.iter + 1} is left out ({self.skipped} so far): not finite are '
                f'{what if broken else f"the gradients, on {_names(data_batch)}"}{where}'
            )
        saving = any(
            isinstance(hook, CheckpointHook)
            and (hook.every_n_train_iters(runner, hook.interval) or self.is_last_train_iter(runner))
            for hook in runner.hooks
        )
        if saving:
            for name, value in plain_model(runner).named_parameters():
                if not bool(value.isfinite().all()):
                    raise self._diverged(runner, f'the weights {name!r}, of which a checkpoint was to be written')

    def _keep(self, runner: Any, data_batch: Any, losses: Mapping[str, Any]) -> Path:
        self._kept = True
        rank = f'_rank{get_rank()}' if get_rank() else ''
        path = Path(runner.work_dir) / DIVERGED / f'iter_{runner.iter + 1}{rank}.pt'
        content = dict(
            iteration=runner.iter + 1,
            seed=getattr(runner, 'seed', None),
            samples=_samples(data_batch),
            losses={name: torch.as_tensor(value).detach().cpu() for name, value in losses.items()},
            batch=_plain_values(data_batch),
        )
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_bytes(path, buffer.getvalue())
        return path

    def _diverged(self, runner: Any, what: str, kept: Path | None = None) -> ValueError:
        newest = latest_checkpoint(runner.work_dir)
        good = (
            f'The newest good checkpoint is {newest}, from which --resume goes on'
            if newest
            else 'There is no checkpoint yet'
        )
        study = f' The batch is in {kept}, for study.' if kept else ''
        return ValueError(
            f'the training diverged at iteration {runner.iter + 1}: not finite are {what}. {good}.{study} Lower '
            f'optim_wrapper.optimizer.lr, set optim_wrapper.clip_grad, or leave such steps out: '
            f"default_hooks.finite=dict(type='FiniteCheckHook', action='skip')"
        )


def _samples(data_batch: Any) -> list[dict[str, Any]]:
    """Name and seed of the samples of a batch, from which the step can be looked at again."""
    batches = [data_batch] if 'data_samples' in (data_batch or {}) else list((data_batch or {}).values())
    samples = [sample for batch in batches for sample in batch['data_samples']]
    # those of MMSegmentation have a path in place of the name
    return [dict(name=s.get('name') or s.get('img_path'), seed=s.get('seed')) for s in samples]


def _names(data_batch: Any) -> str:
    known = [f'{sample["name"]} (seed {sample["seed"]})' for sample in _samples(data_batch)]
    return ', '.join(known) or 'an unknown batch'


def _plain_values(node: Any) -> Any:
    """What a checkpoint may hold, of anything: tensors, numbers, text, and lists and dicts of these."""
    if isinstance(node, torch.Tensor):
        return node.detach().cpu()
    if node is None or isinstance(node, bool | int | float | str):
        return node
    if isinstance(node, Mapping):
        return {str(key): _plain_values(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_plain_values(value) for value in node]
    if hasattr(node, 'to_dict'):
        return _plain_values(node.to_dict())
    if hasattr(node, 'tolist'):
        return node.tolist()
    return str(node)
