"""MMEngine's Runner for one stage: launchers on the CPU, mixed precision, resuming, a start of few words."""

from __future__ import annotations

import importlib.util
import logging
import os
import platform
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from pprint import pformat

import torch
from mmengine.config import Config
from mmengine.dist import broadcast_object_list
from mmengine.logging import MMLogger, print_log
from mmengine.runner import FlexibleRunner, Runner

from lurefusion.choices import did_you_mean
from lurefusion.compat import allow_unmatched_torchvision, open_no_pickles
from lurefusion.engine import LAUNCHERS
from lurefusion.engine.strategies import FewWords, StrategyRunner, fit_strategy
from lurefusion.io.images import write_bytes
from lurefusion.runtime.memory import keep_freed_memory
from lurefusion.weights import allow_resume

#: MMEngine registers them unless they are None
MMENGINE_HOOKS = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')
# names of the folders of logs
_STAMP, _FORMAT = re.compile(r'\d{8}_\d{6}'), '%Y%m%d_%H%M%S'


def build_runner(
    cfg: Config, work_dir: str | Path, launcher: str = 'none', amp: bool = False
) -> Runner | FlexibleRunner:
    """MMEngine's Runner, with what it lacks on this software: CPU launchers, CPU bfloat16, safe resuming.

    A config with a `strategy` is run by MMEngine's FlexibleRunner where a launcher starts several processes.

    Raises:
        ValueError: If launcher, strategy, or steps between checkpoints and of an optimizer's step do not fit.
    """
    if launcher not in LAUNCHERS:
        raise ValueError(f'launcher must be one of {", ".join(LAUNCHERS)}; got {launcher!r}')
    allow_unmatched_torchvision()
    allow_resume()
    open_no_pickles()
    cuda = torch.cuda.is_available()
    if not cuda:
        keep_freed_memory()
    cfg.work_dir = str(work_dir)
    cfg.launcher = launcher
    if amp and not cuda and not _fast_bfloat16():
        print_log(
            'this processor has no bfloat16 units (AVX-512 BF16 or AMX); without them --amp makes training '
            'several times slower: leave it out',
            level=logging.WARNING,
        )
    if amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper' if cuda else 'CPUAmpOptimWrapper'
    if launcher == 'pytorch' and not cuda:
        # MMEngine's own start would select a CUDA device
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group('gloo')
    strategy = cfg.pop('strategy', None)
    if strategy and launcher != 'none':
        cfg.strategy = strategy
        fit_strategy(cfg, amp)
    elif launcher == 'pytorch' and not cuda:
        unused = cfg.get('find_unused_parameters', False)
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False, find_unused_parameters=unused
        )
    if importlib.util.find_spec('tensorboard') is None and 'visualizer' in cfg:
        cfg.visualizer.vis_backends = [b for b in cfg.visualizer.vis_backends if b['type'] != 'TensorboardVisBackend']
        print_log('tensorboard is not installed: scalars go to the log and vis_data/ alone')
    # several runs in one process: MMEngine keeps its loggers, message hubs and visualizers by name
    cfg.experiment_name = f'{Path(work_dir).name}_{os.getpid()}_{len(MMLogger._instance_dict)}'
    if cfg.get('optim_wrapper'):
        _check_accumulation(cfg)
        _check_schedules(cfg)
    # MMEngine takes None for its own hooks only
    cfg.default_hooks = {n: hook for n, hook in cfg.default_hooks.items() if hook is not None or n in MMENGINE_HOOKS}
    for name, hook in cfg.default_hooks.items():
        if hook is not None and not hook.get('type'):
            known = [*dict.fromkeys((*MMENGINE_HOOKS, *cfg.default_hooks))]
            known.remove(name)
            raise KeyError(f'default_hooks.{name} has no type.{did_you_mean(name, known)}')
    if parts := cfg.pop('activation_checkpointing', None):
        hook = dict(type='ActivationCheckpointHook', parts=parts)
        cfg.custom_hooks = [*cfg.get('custom_hooks', []), hook]
    runner = StrategyRunner if cfg.get('strategy') else StageRunner
    return runner.from_cfg(_RunConfig(cfg.to_dict(), filename=cfg.filename))


def _check_accumulation(cfg: Config) -> None:
    """A checkpoint holds no gradients: it is written where the optimizer has used up those that there are."""
    if (
        'max_iters' not in (cfg.get('train_cfg') or {})
        or str(cfg.train_cfg.get('type')).split('.')[-1] == 'IterBasedTrainLoop'
    ):
        raise ValueError(
            f'train_cfg: trainings are counted in iterations (SeekingTrainLoop, max_iters); got {cfg.get("train_cfg")}'
        )
    count = cfg.optim_wrapper.get('accumulative_counts', 1)
    steps = {'train_cfg.max_iters': cfg.train_cfg.max_iters}
    # None: there are no checkpoints
    if checkpoint := cfg.default_hooks.get('checkpoint'):
        steps['default_hooks.checkpoint.interval'] = checkpoint.interval
    for key, value in steps.items():
        if value % count:
            raise ValueError(
                f'{key}={value} is no multiple of optim_wrapper.accumulative_counts={count}: gradients that were not '
                f'used yet would be lost there. An iteration is one batch, the optimizer steps after {count} of them'
            )


def _check_schedules(cfg: Config) -> None:
    """Trainings are counted in iterations, and no epoch ever ends: what waits for one would never step."""
    found = cfg.get('param_scheduler') or []
    for schedule in [found] if isinstance(found, Mapping) else found:
        if schedule.get('by_epoch', True) and 'ReduceOnPlateau' not in str(schedule.get('type')):
            raise ValueError(
                f'param_scheduler: {schedule.get("type")} counts epochs (by_epoch, as it is by default), and trainings '
                f'are counted in iterations: by_epoch=False, with begin, end and the like in iterations'
            )


class _RunConfig(Config):
    """A config that writes itself plainly: MMEngine has yapf lay it out anew for the log and for every checkpoint."""

    @property
    def pretty_text(self) -> str:
        """Python code."""
        items = self.to_dict().items()
        return ''.join(f'{key} = {pformat(value, width=120, sort_dicts=False)}\n' for key, value in items)

    def dump(self, file: str | Path | None = None) -> str | None:
        """As MMEngine's, for Python files; whole or not at all."""
        if file is None or Path(file).suffix != '.py':
            return super().dump(file)
        write_bytes(file, self.pretty_text.encode())
        return None


class StageRunner(FewWords, Runner):
    """MMEngine's Runner, of few words, with logs in the order of time."""

    def setup_env(self, env_cfg: dict) -> None:
        """See MMEngine; the time that names the logs is later than that of every log there is, whatever the clock."""
        super().setup_env(env_cfg)
        logs = [path.name for path in Path(self._work_dir).glob('*_*') if _STAMP.fullmatch(path.name)]
        times = [self._timestamp]
        if logs and max(logs) >= self._timestamp:
            last = datetime.strptime(max(logs), _FORMAT)
            times = [(last + timedelta(seconds=1)).strftime(_FORMAT)]
        broadcast_object_list(times)
        self._timestamp = times[0]


def close_runner(runner: Runner | FlexibleRunner) -> None:
    runner.visualizer.close()
    for handler in list(runner.logger.handlers):
        if hasattr(handler, 'baseFilename'):
            handler.close()


def first_process() -> bool:
    """Whether this is the first of the processes that a launcher started, also before they found each other."""
    ranks = (os.environ.get(name) for name in ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'))
    return next((int(rank) == 0 for rank in ranks if rank), True)


def _fast_bfloat16() -> bool:
    """x86 with AVX-512 BF16 or AMX, or another architecture, of which we do not know."""
    if platform.machine().lower() not in ('x86_64', 'amd64'):
        return True
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
