"""The training of one stage, new or resumed."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import barrier
from mmengine.logging import print_log

from lurefusion.config import (
    diff_configs,
)
from lurefusion.engine.hooks import global_batch
from lurefusion.engine.stage_runner import build_runner, close_runner
from lurefusion.weights import (
    find_weights,
    latest_checkpoint,
    read_weights,
    weights_digest,
    whole_checkpoint,
)


def train_stage(
    cfg: Config,
    folder: Path,
    *,
    resume: bool = False,
    launcher: str = 'none',
    amp: bool = False,
    later: Sequence[Path] = (),
) -> Path:
    """Train one stage, or go on with it; nothing is done where it is finished.

    Args:
        cfg: The stage, checked; it is changed.
        folder: Where everything goes; the stages from which it may start are beside it.
        resume: Go on where a run of the same start stopped.
        launcher: Of MMEngine.
        amp: Mixed precision.
        later: Folders of later stages, set aside where this one begins anew.

    Returns:
        Its newest checkpoint.

    Raises:
        ValueError: If it shall go on with a strategy whose checkpoints are not opened.
    """
    if resume and (cfg.get('strategy') or {}).get('type') == 'DeepSpeedStrategy':
        raise ValueError(
            'a checkpoint of DeepSpeed is a folder of pickles, which could run any code and is not opened: begin anew '
            'without --resume, or train with strategies/fsdp.py, which goes on from its checkpoints'
        )
    start = _take_over(cfg, folder.parent)
    record = dict(_decisive(cfg.to_dict()), amp=amp)
    newest, resumed = _resumable(record, folder, start) if resume else (None, None)
    length = cfg.train_cfg.get('max_iters')
    if newest and newest.name == f'iter_{length}.pth' and (not cfg.get('val_cfg') or _validated(folder, length)):
        print_log(f'{folder.name} is finished: {newest}')
        return newest
    if newest:
        cfg.resume, cfg.load_from = True, str(newest)
        cfg.custom_hooks = [*cfg.get('custom_hooks', []), dict(type='MissedValidationHook')]
    cfg.custom_hooks = [
        *cfg.get('custom_hooks', []),
        dict(
            type='RunRecordHook',
            start=start,
            config=json.dumps(record),
            resumed=resumed,
            later=[str(other) for other in later],
        ),
    ]
    default = [hook for hook in cfg.default_hooks.values() if hook]
    if not any(hook['type'] == 'FiniteCheckHook' for hook in (*default, *cfg.custom_hooks)):
        cfg.custom_hooks.append(dict(type='FiniteCheckHook'))
    runner = build_runner(cfg, folder, launcher, amp)
    try:
        runner.train()
    except KeyboardInterrupt as interrupt:
        raise type(interrupt)(
            f'{folder.name} was interrupted at iteration {runner.iter}; {_where_to_go_on(folder)}'
        ) from None
    except RuntimeError as error:
        # as PyTorch words it where a worker dies of a signal
        if 'DataLoader worker' not in str(error):
            raise
        raise ChildProcessError(
            f'a process that loads data was killed at iteration {runner.iter} ({str(error).splitlines()[0]}): mostly '
            f'memory ran out, then lower train_dataloader.num_workers; {_where_to_go_on(folder)}'
        ) from None
    finally:
        close_runner(runner)
    # the main process may still be writing what the next stage starts from
    barrier()
    return latest_checkpoint(folder)


def _validated(folder: Path, iteration: int) -> bool:
    """Whether a validation of that iteration is in the logs; True where there are none to tell."""
    logs = list(folder.glob('*/vis_data/scalars.json'))
    for line in (line for log in logs for line in log.read_text(errors='replace').splitlines()):
        # a line may end where the process was killed
        with suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and entry.get('step') == iteration and 'lr' not in entry:
                return True
    return not logs


def _where_to_go_on(folder: Path) -> str:
    if (newest := latest_checkpoint(folder)) is None:
        return 'no checkpoint was saved yet: the same command begins anew'
    return f'the newest checkpoint is {newest}. The same command with --resume goes on from there'


def _take_over(cfg: Config, parent: Path) -> str | None:
    """Turn `init_from = dict(stage=... | checkpoint=..., prefixes=...)` into the hook that does it.

    Returns:
        Digest of the weights that the stage starts from; None without `init_from`.
    """
    init_from = cfg.pop('init_from', None)
    if init_from is None:
        return None
    if not init_from.get('checkpoint') and not init_from.get('stage'):
        raise ValueError(
            f'init_from names what to start from: dict(stage=NAME) or dict(checkpoint=FILE, FOLDER or shipped name); '
            f'got {dict(init_from)}'
        )
    checkpoint = init_from.get('checkpoint') or parent / init_from['stage']
    if not Path(checkpoint).exists() and init_from.get('checkpoint') is None:
        raise FileNotFoundError(
            f'this stage starts from stage {init_from["stage"]!r}, looked for in {checkpoint}; train that '
            f'first, or give its checkpoint by --cfg-options +init_from.checkpoint=PATH'
        )
    path = find_weights(checkpoint)
    hook = dict(type='InitFromHook', checkpoint=str(path), prefixes=init_from.get('prefixes'))
    cfg.custom_hooks = [hook, *cfg.get('custom_hooks', [])]
    return weights_digest(read_weights(path)[0])


def _decisive(config: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the result of a stage, as plain values."""
    ways = ('work_dir', 'launcher', 'resume', 'load_from', 'custom_hooks', 'visualizer', 'log_level', 'log_processor')
    ways += ('strategy', 'activation_checkpointing')
    kept = {k: v for k, v in config.items() if k not in (*ways, 'printed') and not k.startswith(('val_', 'test_'))}
    return json.loads(json.dumps(kept, default=str))


def _resumable(record: dict[str, Any], folder: Path, start: str | None) -> tuple[Path | None, dict[str, int] | None]:
    """The checkpoint from which a stage goes on, and by how many processes it was written; None to begin anew.

    It belongs to the content of what it started from: where the earlier stage is another one now, a checkpoint of this
    stage holds frozen parts that nobody trained any more, and is set aside.
    """
    newest = whole_checkpoint(folder)
    if newest is None:
        return None, None
    meta = read_weights(newest)[1]
    if 'config' not in meta:
        print_log(
            f'{newest} does not say where it began; it is taken as it is', logger='current', level=logging.WARNING
        )
        return newest, None
    if meta.get('start') != start:
        print_log(
            f'{newest} started from other weights than there are now: this stage begins anew',
            logger='current', level=logging.WARNING,
        )  # fmt: skip
        return None, None
    changes = diff_configs(_decisive(meta['config']), record)
    kept = [key for key, _, _ in changes if key.startswith(('optim_wrapper.optimizer.', 'param_scheduler'))]
    if kept:
        print_log(
            f'no effect on a run that is resumed, whose optimizer and schedules go on from {newest}: {", ".join(kept)}',
            logger='current', level=logging.WARNING,
        )  # fmt: skip
    changes = [change for change in changes if change[0] not in kept]
    if changes:
        rows = ''.join(f'\n  {key}: {before!r} -> {after!r}' for key, before, after in changes[:10])
        more = f'\n  ... and {len(changes) - 10} more' if len(changes) > 10 else ''
        print_log(
            f'{newest} was trained with other settings than those that go on:{rows}{more}',
            logger='current', level=logging.WARNING,
        )  # fmt: skip
    processes = meta.get('processes')
    return newest, processes and dict(processes=processes, batch=global_batch(meta['config'], processes))
