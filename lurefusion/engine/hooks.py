"""Hooks: strict stage hand-over, the proof that frozen parts stayed frozen, latent-space diagnostics, pictures."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import nn

from lurefusion.engine.checkpoint import find_weights, load_into, read_weights
from lurefusion.registry import HOOKS


def plain_model(runner: Any) -> nn.Module:
    """The runner's model without its distributed wrapper."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def tensors_digest(module: nn.Module) -> str:
    """SHA-256 over names and bytes of all tensors of a module."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@HOOKS.register_module()
class InitFromHook(Hook):
    """Takes whole parts over from another stage's checkpoint, strictly; a resumed run already has them.

    Args:
        checkpoint: File, folder of a run, or name of shipped weights.
        prefixes: Parts, e.g. ``('text_encoder', 'image_encoder', 'decoder')``.

    Raises:
        ValueError: If a tensor is missing, unexpected or of another shape (see `load_into`).
    """

    priority = 'VERY_HIGH'

    def __init__(self, checkpoint: str, prefixes: Sequence[str]) -> None:
        self.checkpoint = checkpoint
        self.prefixes = tuple(prefixes)

    def before_train(self, runner: Any) -> None:
        """Load, unless the run was resumed."""
        if runner.iter > 0:
            return
        path = find_weights(self.checkpoint)
        load_into(plain_model(runner), read_weights(path)[0], self.prefixes, origin=str(path))


@HOOKS.register_module()
class FrozenCheckHook(Hook):
    """Raises when a frozen part of the model is not bit-identical after training."""

    def before_train(self, runner: Any) -> None:
        """Remember the digests; runs after `InitFromHook`."""
        model = plain_model(runner)
        self.digests = {name: tensors_digest(getattr(model, name)) for name in getattr(model, 'frozen', ())}

    def after_train(self, runner: Any) -> None:
        """Compare them."""
        model = plain_model(runner)
        changed = [name for name, digest in self.digests.items() if tensors_digest(getattr(model, name)) != digest]
        if changed:
            raise RuntimeError(f'frozen parts changed during training: {", ".join(changed)}')
        if self.digests:
            runner.logger.info(f'bit-identical after training: {", ".join(self.digests)}')


@HOOKS.register_module()
class LatentDiagnosticsHook(Hook):
    """Logs gamma, centred gamma, cross-image cosine, norm ratio, effective rank per scale every `interval` steps."""

    def __init__(self, interval: int = 200) -> None:
        self.interval = interval

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Ask the model for diagnostics in this iteration."""
        plain_model(runner).diagnose = (runner.iter + 1) % self.interval == 0


@HOOKS.register_module()
class StripHook(Hook):
    """Hands (visible, infrared, ..., result, reference) strips to the visualizer while validating and testing.

    Args:
        max_val: Pictures per validation, of restoration sets per task.
        max_test: Strips per test set; None: all.
        write_fused: While testing, write every result as ``<work_dir>/fused/<set>/<name>.png``.
    """

    def __init__(self, max_val: int = 2, max_test: int | None = None, write_fused: bool = True) -> None:
        self.max_val = max_val
        self.max_test = max_test
        self.write_fused = write_fused
        self._seen: Counter[str] = Counter()

    def before_val_epoch(self, runner: Any) -> None:
        """Count anew."""
        self._seen.clear()

    def before_test_epoch(self, runner: Any) -> None:
        """Count anew."""
        self._seen.clear()

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
        from lurefusion.images import write_image

        folder = getattr(runner.test_loop, 'current', '') or 'test'
        for sample in outputs or ():
            if self.write_fused:
                picture = sample.pred.permute(1, 2, 0).cpu().numpy()
                if bool((picture[..., :1] == picture).all()):
                    picture = picture[..., 0]
                write_image(Path(runner.work_dir) / 'fused' / folder / f'{sample.name}.png', picture)
            if self.max_test is None or self._seen[folder] < self.max_test:
                out = Path(runner.work_dir) / 'strips' / folder / f'{sample.name}.png'
                runner.visualizer.add_datasample(sample.name, None, sample, out_file=str(out))
            self._seen[folder] += 1
