"""Whole trainings: both stages, resuming bit for bit, two processes, and what goes wrong."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

from lurefusion.config import diff_configs
from lurefusion.engine.checkpoint import latest_checkpoint, read_weights
from lurefusion.engine.stages import load_stages, train
from lurefusion.registry import HOOKS

ROOT = Path(__file__).resolve().parents[2]
TRAIN = str(ROOT / 'tools' / 'train.py')


@HOOKS.register_module(force=True)
class StopAfterIteration(Hook):
    """Ends a training as a crash would, after the given number of iterations."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if runner.iter + 1 == self.iteration:
            raise KeyboardInterrupt


def tensors(path: Path) -> dict[str, torch.Tensor]:
    return read_weights(path)[0]


def assert_identical(a: Path, b: Path) -> None:
    first, second = tensors(a), tensors(b)
    assert first.keys() == second.keys()
    different = [key for key in first if not torch.equal(first[key], second[key])]
    assert not different


def test_pipeline_trains_both_stages_and_leaves_the_first_one_alone(small):
    last = train(small / 'small.py')
    assert last == Path('work_dirs/small/small_stage2/iter_4.pth')
    first = tensors(Path('work_dirs/small/small_stage1/iter_6.pth'))
    second = tensors(last)
    for key, value in first.items():
        if key.startswith(('text_encoder.', 'image_encoder.', 'decoder.')):
            assert torch.equal(value, second[key]), key
    assert any(key.startswith('fuser.zero') and value.abs().max() > 0 for key, value in second.items())
    assert not any('backbone' in key for key in second)


@pytest.mark.parametrize('stop', [3, 4])
def test_resumed_run_equals_the_unbroken_one_bit_for_bit(small, stop):
    config = small / 'small_stage1.py'
    train(config, work_dir='whole')
    hooks = [dict(type='StopAfterIteration', iteration=stop)]
    with pytest.raises(KeyboardInterrupt):
        train(config, work_dir='broken', options={'custom_hooks': hooks})
    assert latest_checkpoint('broken').name == 'iter_2.pth' if stop == 3 else 'iter_4.pth'
    train(config, work_dir='broken', resume=True)
    assert_identical(Path('whole/iter_6.pth'), Path('broken/iter_6.pth'))
    curve = [losses(folder) for folder in ('whole', 'broken')]
    assert curve[0] == {**curve[0], **curve[1]}
    assert max(curve[1]) == 6


def losses(folder: str) -> dict[int, float]:
    """Iteration -> loss, from the newest lines of all logs of a run."""
    import json

    found = {}
    for file in sorted(Path(folder).glob('*/vis_data/scalars.json'), key=lambda f: f.stat().st_mtime):
        for line in file.read_text().splitlines():
            entry = json.loads(line)
            if 'loss' in entry:
                found[entry['step']] = entry['loss_task']
    return found


def test_resume_goes_on_in_the_stage_where_it_stopped(small, capsys):
    train(small / 'small.py')
    Path('work_dirs/small/small_stage2/iter_4.pth').unlink()
    before = Path('work_dirs/small/small_stage1/iter_6.pth').stat().st_mtime_ns
    last = train(small / 'small.py', resume=True)
    assert last.name == 'iter_4.pth'
    assert Path('work_dirs/small/small_stage1/iter_6.pth').stat().st_mtime_ns == before


def test_seed_decides_the_result(small):
    config = small / 'small_stage1.py'
    for work_dir, seed in (('a', 5), ('b', 5), ('c', 6)):
        train(config, work_dir=work_dir, seed=seed, options={'train_cfg.max_iters': 2})
    assert_identical(Path('a/iter_2.pth'), Path('b/iter_2.pth'))
    with pytest.raises(AssertionError):
        assert_identical(Path('a/iter_2.pth'), Path('c/iter_2.pth'))


def test_workers_do_not_change_the_result(small):
    config = small / 'small_stage1.py'
    for work_dir, workers in (('zero', 0), ('two', 2)):
        options = {'train_cfg.max_iters': 2, 'train_dataloader.num_workers': workers}
        train(config, work_dir=work_dir, options=options)
    assert_identical(Path('zero/iter_2.pth'), Path('two/iter_2.pth'))


def test_amp_trains(small):
    path = train(small / 'small_stage1.py', work_dir='amp', amp=True, options={'train_cfg.max_iters': 2})
    assert all(torch.isfinite(value).all() for value in tensors(path).values() if value.is_floating_point())


def test_stage2_refuses_a_checkpoint_of_another_shape(small):
    train(small / 'small_stage1.py', work_dir='work_dirs/small/small_stage1', options={'train_cfg.max_iters': 2})
    options = {'model.image_encoder.channels': (8, 16), 'init_from.stage': 'small_stage1'}
    with pytest.raises(ValueError, match=r'image_encoder\.down\.0\.(weight|bias)'):
        train(small / 'small_stage2.py', work_dir='work_dirs/small/small_stage2', options=options)


def test_stage2_without_stage1_says_what_to_do(small):
    with pytest.raises(FileNotFoundError, match=r"stage 'small_stage1'.*init_from\.checkpoint=PATH"):
        train(small / 'small_stage2.py')


def test_missing_data_is_one_error_that_lists_every_set(small):
    with pytest.raises(FileNotFoundError) as caught:
        train('lurefusion::lure/lure_ir_vi.py')
    text = str(caught.value)
    for name in ('LOL', 'RESIDE', 'ExposureErrors', 'EMSLowContrast', 'LLVIP/train/ir', 'MSRS'):
        assert name in text
    assert str(Path.cwd() / 'data') in text
    assert 'get it from' in text
    assert 'configs/lure/lure_demo.py' in text
    assert not Path('work_dirs').exists()


def test_skip_trains_on_what_is_there_without_validation(small, capsys):
    gone = dict(type='LOL', split='our485')
    options = {
        'train_cfg.max_iters': 2,
        'train_dataloader.dataset.datasets.1': dict(gone, _delete_=True),
        'val_dataloader.dataset.datasets.0': dict(gone, _delete_=True, test_mode=True),
    }
    with pytest.raises(FileNotFoundError, match='LOL: no folder'):
        train(small / 'small_stage1.py', options=options)
    train(small / 'small_stage1.py', options={**options, 'train_dataloader.dataset.missing': 'skip'})
    assert Path('work_dirs/small_stage1/iter_2.pth').is_file()
    assert 'no validation: LOL' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('modle.stage=fusion', "Did you mean 'model.stage'"),
        ('model.image_encoder.channelz=[8]', 'channels'),
        ('model.image_encoder.interaction.type=TGAA', "Did you mean 'TGA'"),
        ('model.losses.unified.kind=cosine', 'pix'),
        ('model.decoder.channels=[4,8]', r'model\.decoder\.channels.*model\.image_encoder'),
    ],
)
def test_wrong_options_are_named(small, option, message):
    option = '+' + option if 'decoder' in option else option
    with pytest.raises((KeyError, ValueError, TypeError), match=message):
        train(small / 'small_stage1.py', options=[option])


def command(*arguments: str) -> list[str]:
    return [sys.executable, TRAIN, *arguments]


def test_command_reports_mistakes_in_one_line(small):
    run = subprocess.run(command('nowhere.py'), capture_output=True, text=True, timeout=120)
    assert run.returncode == 1
    assert 'nowhere.py' in run.stderr
    assert 'Traceback' not in run.stderr


@pytest.mark.slow
def test_killed_run_goes_on(small):
    """SIGKILL in the middle of a real process; the resumed run ends where the unbroken one does."""
    config = str(small / 'small_stage1.py')
    train(config, work_dir='whole')
    process = subprocess.Popen(
        command(config, '--work-dir', 'killed'), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    end = time.time() + 120
    while latest_checkpoint('killed') is None and time.time() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert latest_checkpoint('killed') is not None
    subprocess.run(command(config, '--work-dir', 'killed', '--resume'), check=True, capture_output=True, timeout=240)
    assert_identical(Path('whole/iter_6.pth'), Path('killed/iter_6.pth'))


@pytest.mark.slow
def test_two_processes_train_and_resume(small):
    config = str(small / 'small_stage1.py')
    launch = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', '--master_port=29517', TRAIN, config]
    launch += ['--launcher', 'pytorch', '--work-dir', 'pair']
    environment = dict(os.environ, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='')
    for extra in ([], ['--resume']):
        run = subprocess.run([*launch, *extra], capture_output=True, text=True, timeout=300, env=environment)
        assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
        if not extra:
            whole = tensors(Path('pair/iter_6.pth'))
            for name in ('iter_6.pth', 'iter_4.pth'):
                (Path('pair') / name).unlink()
    resumed = tensors(Path('pair/iter_6.pth'))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert re.search(r'at iteration 2', run.stdout + run.stderr)


def test_single_stage_trains_everything_on_both_batches(small):
    (small / 'single.py').write_text("_base_ = './small.py'\njoint = True\n")
    last = train(small / 'single.py')
    # as many steps as both stages together
    assert last == Path('work_dirs/single/joint/iter_10.pth')
    start, end = tensors(last.with_name('iter_3.pth')), tensors(last)
    for part in ('image_encoder', 'decoder', 'fuser', 'text_encoder'):
        assert any(not torch.equal(end[key], start[key]) for key in end if key.startswith(part)), part
    text = next(last.parent.glob('*/vis_data/scalars.json')).read_text()
    for loss in ('task', 'unified', 'recon', 'text', 'color', 'grad', 'per', 'int'):
        assert f'"loss_{loss}"' in text
    # resumed, it sees the batches of both loaders that the unbroken run saw
    last.unlink()
    resumed = tensors(train(small / 'single.py', resume=True))
    assert all(torch.equal(end[key], resumed[key]) for key in end)


def test_length_stretches_every_schedule(small):
    options = {
        'model.losses.unified.warmup': 4,
        'model.losses.mean': dict(type='MeanLatentLoss', width=8, start=3, warmup=5),
        'train_dataloader.dataset.pipeline.1.size': [(0, 32), (3, 40)],
        'param_scheduler.0.T_max': 6,
    }
    _, (one,) = load_stages(small / 'small_stage1.py', options)
    _, (two,) = load_stages(small / 'small_stage1.py', options, length=2)
    changed = {key: (old, new) for key, old, new in diff_configs(one, two)}
    assert changed == {
        'train_cfg.max_iters': (6, 12),
        'train_cfg.val_interval': (6, 12),
        'param_scheduler.0.end': (6, 12),
        'param_scheduler.0.T_max': (6, 12),
        'model.losses.unified.warmup': (4, 8),
        'model.losses.mean.start': (3, 6),
        'model.losses.mean.warmup': (5, 10),
        'default_hooks.checkpoint.interval': (2, 4),
        'default_hooks.logger.interval': (1, 2),
        'custom_hooks.1.interval': (2, 4),
        'train_dataloader.dataset.pipeline.1.size.1': ((3, 40), (6, 40)),
    }
    _, (none,) = load_stages(small / 'small_stage1.py', options, length=0.01)
    assert none.train_cfg.max_iters == none.param_scheduler[0].end == 1
    cycles = dict(type='CosineRestartLR', by_epoch=False, periods=[2, 4], restart_weights=[1, 0.5], eta_min=0, end=6)
    _, (two,) = load_stages(small / 'small_stage1.py', {'param_scheduler': [cycles]}, length=2)
    assert (two.param_scheduler[0].periods, two.param_scheduler[0].end) == ([4, 8], 12)
    with pytest.raises(ValueError, match='length is a factor above 0'):
        load_stages(small / 'small_stage1.py', length=0)


def test_a_variant_of_a_pipeline_is_its_options(small):
    (small / 'variant.py').write_text("_base_ = './small.py'\noptions = {'model.losses.unified.kind': 'cc'}\n")
    _, (first, second) = load_stages(small / 'variant.py', {'model.losses.text.weight': 0.5})
    assert (first.model.losses.unified.kind, first.model.losses.text.weight) == ('cc', 0.5)
    assert 'unified' not in second.model.losses
    # an added key goes where the rest of its way is
    _, (first, second) = load_stages(small / 'variant.py', {'+model.losses.per.window': 7, '+train_cfg.val_begin': 9})
    assert 'per' not in first.model.losses
    assert second.model.losses.per.window == 7
    assert first.train_cfg.val_begin == second.train_cfg.val_begin == 9
    (small / 'variant.py').write_text("_base_ = './small.py'\noptions = {'model.losses.unifid.kind': 'cc'}\n")
    with pytest.raises(KeyError, match=r"Did you mean 'model\.losses\.unified\.kind'"):
        load_stages(small / 'variant.py')


def test_stages_that_cannot_be_joined_are_named(small):
    (small / 'twice.py').write_text("stages = ['small_stage1.py', 'small_stage1.py']\njoint = True\n")
    with pytest.raises(ValueError, match=r"got stages \['restoration', 'restoration'\]"):
        load_stages(small / 'twice.py')
