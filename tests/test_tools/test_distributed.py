"""Training, testing and resuming on two processes (gloo): the same as on one, whatever MMEngine strategy spreads it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import traceback
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import multiprocessing

from lurefusion.engine.pipeline import train
from lurefusion.engine.test import test as evaluate
from lurefusion.weights import allow_resume

pytestmark = pytest.mark.skipif(not hasattr(os, 'fork'), reason='two processes are forked')
STRATEGIES = ('ddp', 'fsdp')
#: losses that are means over samples, and an optimizer whose step is smooth in the gradient also where that is zero
SMOOTH = """
_base_ = './small_stage1.py'
model = dict(losses=dict(unified=dict(kind='pix', warmup=0), text=dict(pd_weight=0.0), detail=None, pyramid=None))
optim_wrapper = dict(optimizer=dict(lr=0.5, eps=1.0))
train_cfg = dict(max_iters=4, val_interval=4)
param_scheduler = [dict(type='ConstantLR', factor=0.5, by_epoch=False, begin=0, end=99)]
default_hooks = dict(ema=None)
"""
#: what two processes with the config's two samples each see in a step
GLOBAL_BATCH = ['train_dataloader.batch_size=4']


def _work(rank: int, port: int, folder: str, jobs: list[dict[str, Any]]) -> None:
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port), RANK=str(rank), LOCAL_RANK=str(rank))
    os.environ.update(WORLD_SIZE='2', CUDA_VISIBLE_DEVICES='')
    os.chdir(folder)
    torch.set_num_threads(1)
    log = open(f'rank{rank}.log', 'w')
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    try:
        for job in jobs:
            function = evaluate if job.pop('test', False) else train
            function(launcher='pytorch', **job)
    except BaseException:
        Path(f'error{rank}').write_text(traceback.format_exc())
        raise
    torch.distributed.destroy_process_group()


def on_two_processes(folder: Path, *jobs: dict[str, Any]) -> None:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    try:
        multiprocessing.start_processes(_work, (port, str(folder), list(jobs)), nprocs=2, start_method='fork')
    except Exception as error:
        raise AssertionError(''.join(file.read_text() for file in folder.glob('error*'))) from error


def with_strategy(folder: Path, stage: str, strategy: str) -> str:
    """Config of a stage that is spread by a strategy."""
    file = folder / f'{strategy}.py'
    file.write_text(f"_base_ = ['./{stage}.py', 'lurefusion::_base_/strategies/{strategy}.py']\n")
    return str(file)


def checkpoint(folder: str, step: int) -> dict[str, Any]:
    allow_resume()
    return torch.load(Path(folder, f'iter_{step}.pth'), map_location='cpu', weights_only=True)


def changes(folder: str, other: str, step: int) -> tuple[float, float]:
    """Largest difference of two runs' weights, and the largest change of a weight in the last two steps."""
    ours, theirs, before = (
        checkpoint(f, s)['state_dict'] for f, s in ((folder, step), (other, step), (other, step - 2))
    )
    assert ours.keys() == theirs.keys()
    names = [name for name, value in ours.items() if value.is_floating_point()]
    return tuple(max((ours[n] - second[n]).abs().max().item() for n in names) for second in (theirs, before))


def copy_until(source: str, target: str, step: int) -> None:
    """The run as it was when it was stopped after `step`."""
    shutil.copytree(source, target)
    for file in Path(target).glob('iter_*.pth'):
        if int(file.stem.removeprefix('iter_')) > step:
            file.unlink()
    (Path(target) / 'last_checkpoint').unlink()


def test_two_processes_give_what_one_gives_and_each_goes_on_where_the_other_stopped(small: Path) -> None:
    (small / 'smooth.py').write_text(SMOOTH)
    plain = str(small / 'smooth.py')
    train(plain, work_dir='one', options=GLOBAL_BATCH, validate=False)
    spread = {strategy: with_strategy(small, 'smooth', strategy) for strategy in STRATEGIES}
    for strategy in STRATEGIES:
        copy_until('one', f'one_then_{strategy}', 2)
    jobs = [dict(config=config, work_dir=name) for name, config in spread.items()]
    jobs += [dict(job, work_dir=f'one_then_{job["work_dir"]}', resume=True, validate=False) for job in jobs]
    on_two_processes(Path.cwd(), *jobs)
    for strategy in STRATEGIES:
        copy_until(strategy, f'{strategy}_then_one', 2)
        train(plain, work_dir=f'{strategy}_then_one', options=GLOBAL_BATCH, resume=True, validate=False)
    for folder in (name for s in STRATEGIES for name in (s, f'one_then_{s}', f'{s}_then_one')):
        difference, change = changes(folder, 'one', 4)
        assert change > 1e-3
        assert difference < 1e-4 * change, folder


def test_two_processes_measure_what_one_measures(small: Path) -> None:
    # three pictures on two processes: one is drawn twice, and counts once
    options = {f'test_dataloader.{i}.dataset.num': 3 for i in range(2)}
    config = str(small / 'small_stage2.py')
    train(str(small / 'small_stage1.py'), validate=False)
    train(config, validate=False)
    one = evaluate(config, work_dir='one', options=options)
    on_two_processes(Path.cwd(), dict(test=True, config=config, work_dir='two', options=options))
    two = json.loads(Path('two/metrics.json').read_text())
    timing = {key for key in one if 'time' in key}
    assert one.keys() - timing == two.keys() - timing
    assert len(one.keys() - timing) >= 4
    for key in one.keys() - timing:
        assert two[key] == pytest.approx(one[key], rel=1e-9), key
    for file in Path('one/fused').rglob('*.png'):
        assert (Path('two') / file.relative_to('one')).read_bytes() == file.read_bytes()


def test_gradients_of_two_small_batches_are_those_of_a_large_one(small: Path) -> None:
    (small / 'smooth.py').write_text(SMOOTH)
    plain = str(small / 'smooth.py')
    train(plain, work_dir='large', options=GLOBAL_BATCH, validate=False)
    accumulated = ['+optim_wrapper.accumulative_counts=2', 'train_cfg.max_iters=8']
    train(plain, work_dir='small', options=accumulated, validate=False)
    ours, theirs, start = (checkpoint(f, s)['state_dict'] for f, s in (('small', 8), ('large', 4), ('large', 2)))
    names = [name for name, value in ours.items() if value.is_floating_point()]
    change = max((ours[n] - start[n]).abs().max() for n in names)
    assert change > 1e-3
    assert max((ours[n] - theirs[n]).abs().max() for n in names) < 1e-4 * change
