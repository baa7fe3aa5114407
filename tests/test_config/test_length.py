"""The length of a training, written once, and all that follows from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from lurefusion.config import load_config, load_stages

STAGE = """
model = dict(losses=dict(unified=dict(start=0, warmup=0.1), mean=dict(start=250, warmup=0.25), gone=None))
train_cfg = dict(max_iters=1000, val_begin=1, val_interval=0.25)
train_dataloader = dict(
    dataset=dict(pipeline=[dict(type='RandomCrop', size=[(0, 64), (0.75, 96)]), dict(type='RandomCrop', size=32)])
)
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, begin=0, end=0.05),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=0.05),
    dict(type='MultiStepLR', by_epoch=False, milestones=[0.5, 900]),
    dict(type='ExponentialLR', gamma=0.9, begin=3, end=9),
]
default_hooks = dict(
    checkpoint=dict(type='CheckpointHook', interval=200), logger=dict(interval=50),
    ema=dict(type='EMAHook', momentum=0.01),
)
custom_hooks = [dict(type='LatentProbeHook', iterations=[0, 0.5, 1.0])]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / 'stage.py'
    file.write_text(STAGE)
    return file


def counts(cfg: Config) -> dict[str, object]:
    losses, crops = cfg.model.losses, cfg.train_dataloader.dataset.pipeline
    return dict(
        loop=[cfg.train_cfg[key] for key in ('max_iters', 'val_begin', 'val_interval')],
        losses=[losses.unified.start, losses.unified.warmup, losses['mean'].start, losses['mean'].warmup],
        crops=[list(map(tuple, crops[0]['size'])), crops[1]['size']],
        schedules=[(s.get('begin'), s.get('end'), s.get('milestones')) for s in cfg.param_scheduler],
        hooks=[
            cfg.default_hooks.logger.interval,
            cfg.custom_hooks[0].iterations,
            round(cfg.default_hooks.ema.momentum, 9),
        ],
        checkpoint=cfg.default_hooks.checkpoint.interval,
    )


WHOLE = dict(
    loop=[1000, 1, 250],
    losses=[0, 100, 250, 250],
    crops=[[(0, 64), (750, 96)], 32],
    schedules=[(0, 50, None), (50, 1000, None), (None, 1000, [500, 900]), (3, 9, None)],
    hooks=[50, [0, 500, 1000], 0.01],
    checkpoint=200,
)
# a tenth; epochs are no steps, and what a stop may cost stays
TENTH = dict(
    loop=[100, 1, 25],
    losses=[0, 10, 25, 25],
    crops=[[(0, 64), (75, 96)], 32],
    schedules=[(0, 5, None), (5, 100, None), (None, 100, [50, 90]), (3, 9, None)],
    hooks=[5, [0, 50, 100], 0.1],
    checkpoint=200,
)


def test_parts_of_the_training_are_steps(file: Path) -> None:
    assert counts(load_config(file)) == WHOLE


@pytest.mark.parametrize('way', ['train_cfg.max_iters=100', {'train_cfg': dict(max_iters=100)}, 'length', 'pipeline'])
def test_every_way_to_another_length_is_the_same(file: Path, tmp_path: Path, way: object) -> None:
    if way == 'pipeline':
        pipeline = tmp_path / 'pipe.py'
        pipeline.write_text("stages = ['stage.py']\noptions = {'train_cfg.max_iters': 100}\n")
        _, (cfg,) = load_stages(pipeline)
    elif way == 'length':
        _, (cfg,) = load_stages(file, length=0.1)
    else:
        cfg = load_config(file, [way] if isinstance(way, str) else way)
    assert counts(cfg) == TENTH


def test_an_heir_takes_the_parts_with_it(file: Path, tmp_path: Path) -> None:
    heir = tmp_path / 'heir.py'
    heir.write_text("_base_ = './stage.py'\ntrain_cfg = dict(max_iters=2000)\n")
    found = counts(load_config(heir))
    assert (found['loop'], found['crops'][0][1]) == ([2000, 1, 500], (1500, 96))
    # numbers are what they are
    assert found['losses'] == [0, 200, 250, 500]


def test_what_is_overridden_too_stays(file: Path) -> None:
    options = {
        'train_cfg': dict(max_iters=100, val_interval=60),
        'param_scheduler.0.end': 0.2,
        'model.losses': dict(mean=dict(start=70)),
        'default_hooks.ema.momentum': 0.02,
    }
    cfg = load_config(file, options)
    assert counts(cfg)['loop'] == [100, 1, 60]
    assert (cfg.param_scheduler[0].end, cfg.default_hooks.ema.momentum) == (20, 0.02)
    assert counts(cfg)['losses'] == [0, 10, 70, 25]
    crops = 'train_dataloader.dataset.pipeline.0.size=[(0,48),(90,64)]'
    assert counts(load_config(file, ['train_cfg.max_iters=100', crops]))['crops'][0] == [(0, 48), (90, 64)]


def test_counts_of_other_hooks_and_schedules(file: Path) -> None:
    schedule = [dict(type='OneCycleLR', by_epoch=False, total_steps=1000, eta_max=0.1)]
    hook = dict(type='EMAHook', begin_iter=200)
    file.write_text(f"{STAGE}\nparam_scheduler = {schedule}\ndefault_hooks['ema'] = {hook}\n")
    _, (cfg,) = load_stages(file, length=0.1)
    assert (cfg.param_scheduler[0].total_steps, cfg.default_hooks.ema.begin_iter) == (100, 20)


def test_intervals_of_validation_that_change(file: Path) -> None:
    file.write_text(f"{STAGE}\ntrain_cfg['dynamic_intervals'] = [(0, 100), (0.5, 20)]\n")
    assert load_config(file).train_cfg.dynamic_intervals == [[0, 100], [500, 20]]
    _, (cfg,) = load_stages(file, length=0.1)
    assert cfg.train_cfg.dynamic_intervals == [[0, 10], [50, 2]]


def test_a_trial_has_a_step_and_a_validation(file: Path) -> None:
    _, (cfg,) = load_stages(file, length=1e-9)
    assert counts(cfg)['loop'] == [1, 1, 1]
    assert counts(cfg)['hooks'] == [1, [0, 1, 1], 0.5]
    assert all(schedule.end > schedule.get('begin', 0) for schedule in cfg.param_scheduler)
    # MMEngine validates after the last step, if validation may begin
    assert (
        counts(load_config(file, {'train_cfg.val_begin': 5000, 'train_cfg.val_interval': 5000}))['loop'] == [1000] * 3
    )


@pytest.mark.parametrize('length', [0, -3, 2.5, True, 'long'])
def test_no_length(file: Path, length: object) -> None:
    with pytest.raises(ValueError, match=r'stage\.py: train_cfg\.max_iters is the number of training steps'):
        load_config(file, {'train_cfg.max_iters': length})


def test_steps_and_epochs(file: Path) -> None:
    with pytest.raises(ValueError, match=r'max_iters=1000: max_epochs has no effect'):
        load_config(file, {'+train_cfg.max_epochs': 3})


def test_no_factor(file: Path) -> None:
    with pytest.raises(ValueError, match='length is a factor above 0'):
        load_stages(file, length=0)


def test_shipped_trainings_follow_their_length() -> None:
    """Crops of 192 come late, warm-ups end early, whatever the length."""
    cfg = load_config('lurefusion::lure/stage1_tiny_more_ir_vi.py', {'train_cfg.max_iters': 300})
    crops = [step for step in cfg.train_dataloader.dataset.pipeline if step['type'] == 'RandomCrop']
    assert [tuple(pair) for pair in crops[0]['size']] == [(0, 128), (250, 192)]
    assert (cfg.train_cfg.val_interval, cfg.model.losses.unified.warmup) == (50, 10)
    assert [schedule.end for schedule in cfg.param_scheduler] == [10, 300]
    assert (cfg.default_hooks.checkpoint.interval, cfg.default_hooks.checkpoint.max_keep_ckpts) == (250, 2)
