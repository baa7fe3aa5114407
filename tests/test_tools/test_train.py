"""Whole trainings: both stages, resuming bit for bit, two processes, and what goes wrong."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook

from lurefusion import FusionInferencer
from lurefusion.config import load_stages
from lurefusion.engine.pipeline import train
from lurefusion.registry import HOOKS
from lurefusion.weights import find_weights, latest_checkpoint, read_weights, save_weights

ROOT = Path(__file__).resolve().parents[2]
TRAIN = str(ROOT / 'tools' / 'train.py')


@HOOKS.register_module(force=True)
class NanFromIteration(Hook):
    """Spoils the weights, as a step that was too large does."""

    priority = 'VERY_HIGH'

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if runner.iter + 1 >= self.iteration:
            next(runner.model.parameters()).data.fill_(float('nan'))


NAN_FROM_6 = {'custom_hooks': [dict(type='NanFromIteration', iteration=6)]}


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


@pytest.mark.parametrize('stop', [3, 5])
def test_resumed_run_equals_the_unbroken_one_bit_for_bit(small, stop):
    config = small / 'small_stage1.py'
    train(config, work_dir='whole')
    hooks = [dict(type='StopAfterIteration', iteration=stop)]
    with pytest.raises(KeyboardInterrupt):
        train(config, work_dir='broken', options={'custom_hooks': hooks})
    assert latest_checkpoint('broken').name == ('iter_2.pth' if stop == 3 else 'iter_4.pth')
    train(config, work_dir='broken', resume=True)
    assert_identical(Path('whole/iter_6.pth'), Path('broken/iter_6.pth'))
    curve = [losses(folder) for folder in ('whole', 'broken')]
    assert curve[0] == {**curve[0], **curve[1]}
    assert max(curve[1]) == 6


@HOOKS.register_module(force=True)
class StopInValidation(Hook):
    """As a kill while the validation runs."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def before_val_epoch(self, runner) -> None:
        if runner.iter == self.iteration:
            raise KeyboardInterrupt


@pytest.mark.parametrize('stop', [4, 6])
def test_a_validation_that_was_interrupted_is_made_up(small, stop):
    config = small / 'small_stage1.py'
    best = dict(save_best='PSNR_out', rule='less')
    options = {'train_cfg.val_interval': 2, **{f'+default_hooks.checkpoint.{key}': best[key] for key in best}}
    train(config, work_dir='whole', options=options)
    hooks = [dict(type='StopInValidation', iteration=stop)]
    with pytest.raises(KeyboardInterrupt):
        train(config, work_dir='broken', options={**options, 'custom_hooks': hooks})
    assert latest_checkpoint('broken').name == f'iter_{stop}.pth'
    train(config, work_dir='broken', resume=True, options=options)
    found = [sorted(path.name for path in Path(folder).glob('best_*')) for folder in ('whole', 'broken')]
    assert found[0] == found[1] != []
    assert [validated(folder) for folder in ('whole', 'broken')] == [{2, 4, 6}] * 2
    # all is there: nothing is done
    logs = len(list(Path('broken').glob('*/vis_data')))
    train(config, work_dir='broken', resume=True, options=options)
    assert len(list(Path('broken').glob('*/vis_data'))) == logs


def validated(folder: str) -> set[int]:
    """Iterations of which there is a validation in any log of a run."""
    files = Path(folder).glob('*/vis_data/scalars.json')
    entries = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return {entry['step'] for entry in entries if 'PSNR_out' in entry}


def losses(folder: str) -> dict[int, float]:
    """Iteration -> loss, from the newest lines of all logs of a run."""
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


def warned(capsys) -> str:
    """What was logged, line breaks and colours taken out."""
    captured = capsys.readouterr()
    return re.sub(r'\s+', ' ', captured.out + captured.err)


def test_a_shorter_second_training_gives_its_own_weights(small):
    config = small / 'small_stage1.py'
    train(config, work_dir='w')
    probe = Path('w/latents/iter_6.npz')
    probe.parent.mkdir()
    probe.touch()
    short = train(config, work_dir='w', seed=7, options={'train_cfg.max_iters': 2})
    assert short == Path('w/iter_2.pth')
    assert find_weights('w') == short
    assert [path.name for path in Path('w').glob('iter_*')] == ['iter_2.pth']
    assert not probe.exists()
    train(config, work_dir='fresh', seed=7, options={'train_cfg.max_iters': 2})
    assert_identical(short, Path('fresh/iter_2.pth'))
    # and nothing of the first is lost
    assert Path('w/earlier/001/iter_6.pth').is_file()
    assert Path('w/earlier/001/latents/iter_6.npz').is_file()


def test_a_start_that_fails_moves_nothing(small):
    train(small / 'small.py')
    kept = sorted(str(path) for path in Path('work_dirs').rglob('*.pth'))
    for option in ({'model.chroma': 'foo'}, {'train_dataloader.batch_size': 'many'}):
        with pytest.raises((ValueError, TypeError)):
            train(small / 'small.py', options=option)
    assert sorted(str(path) for path in Path('work_dirs').rglob('*.pth')) == kept
    with pytest.raises(KeyError, match='--resume'):
        train(small / 'small.py', options={'resume': True})


def test_a_pipeline_that_begins_anew_leaves_no_later_stage_of_the_old_one(small):
    train(small / 'small.py')
    hooks = [dict(type='StopAfterIteration', iteration=3)]
    with pytest.raises(KeyboardInterrupt):
        train(small / 'small.py', options={'custom_hooks': hooks})
    with pytest.raises(FileNotFoundError, match='small_stage2, has no checkpoint yet'):
        find_weights('work_dirs/small')


@pytest.mark.parametrize('finished', [True, False])
def test_a_later_stage_belongs_to_the_content_of_the_earlier_one(small, capsys, finished):
    train(small / 'small.py')
    if not finished:
        Path('work_dirs/small/small_stage2/iter_4.pth').unlink()
    train(small / 'small_stage1.py', work_dir='work_dirs/small/small_stage1', seed=3)
    capsys.readouterr()
    last = train(small / 'small.py', resume=True)
    assert 'started from other weights than there are now' in warned(capsys)
    first, second = tensors(Path('work_dirs/small/small_stage1/iter_6.pth')), tensors(last)
    assert all(torch.equal(v, second[k]) for k, v in first.items() if k.startswith(('image_encoder.', 'decoder.')))
    before = last.stat().st_mtime_ns
    train(small / 'small.py', resume=True)
    assert last.stat().st_mtime_ns == before


OTHER = {'train_dataloader.batch_size': 1, 'optim_wrapper.optimizer.lr': 0.5}


def test_a_resume_with_other_settings_says_which(small, capsys):
    config = small / 'small_stage1.py'
    train(config, work_dir='w', options={'train_cfg.max_iters': 2})
    capsys.readouterr()
    train(config, work_dir='w', resume=True, seed=4, options=OTHER)
    text = warned(capsys)
    assert 'no effect on a run that is resumed' in text
    assert 'optim_wrapper.optimizer.lr' in text
    for change in ('train_cfg.max_iters: 2 -> 6', 'train_dataloader.batch_size: 2 -> 1', 'randomness.seed: 0 -> 4'):
        assert change in text
    train(config, work_dir='whole')
    capsys.readouterr()
    train(config, work_dir='whole', resume=True)
    assert 'other settings' not in warned(capsys)


def test_an_interrupted_training_says_how_to_go_on(small):
    hooks = [dict(type='StopAfterIteration', iteration=3)]
    with pytest.raises(KeyboardInterrupt, match=r'iteration 2; the newest checkpoint is w/iter_2\.pth.*--resume'):
        train(small / 'small_stage1.py', work_dir='w', options={'custom_hooks': hooks})
    hooks[0]['iteration'] = 1
    with pytest.raises(KeyboardInterrupt, match=r'iteration 0; no checkpoint was saved yet: the same command begins'):
        train(small / 'small_stage1.py', work_dir='early', options={'custom_hooks': hooks})


def test_a_diverged_training_ends_and_keeps_its_good_checkpoints(small):
    options = {'optim_wrapper.optimizer.lr': 1e30, 'optim_wrapper.clip_grad': None}
    train(small / 'small_stage1.py', work_dir='w', options={'train_cfg.max_iters': 4})
    with pytest.raises(ValueError, match=r'diverged at iteration 6: .*iter_4\.pth'):
        train(small / 'small_stage1.py', work_dir='w', resume=True, options=NAN_FROM_6)
    assert sorted(path.name for path in Path('w').glob('iter_*')) == ['iter_2.pth', 'iter_4.pth']
    with pytest.raises(ValueError, match='diverged at iteration'):
        train(small / 'small_stage1.py', work_dir='x', options=options)
    for path in Path('x').glob('*.pth'):
        assert all(value.isfinite().all() for value in tensors(path).values() if value.is_floating_point())


@pytest.mark.parametrize('kind', ['folder', 'checkpoint', 'published'])
def test_a_stage_starts_from_whatever_holds_its_parts(small, kind):
    first = train(small / 'small_stage1.py', work_dir='first')
    source = dict(folder='first', checkpoint=first, published='mine.safetensors')[kind]
    if kind == 'published':
        save_weights(tensors(first), source, {})
    options = {'+init_from': dict(checkpoint=str(source)), 'optim_wrapper.optimizer.lr': 0.0, 'train_cfg.max_iters': 2}
    second = train(small / 'small_stage1.py', work_dir='second', options=options)
    a, b = tensors(first), tensors(second)
    assert all(torch.equal(a[key], b[key]) for key in a if not key.startswith('losses.'))


def test_trained_weights_open_without_their_config(small):
    last = train(small / 'small.py')
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
    expected = FusionInferencer(str(small / 'small.py'), str(last))(vi=noise, ir=noise[..., 0])
    state, meta = read_weights(last)
    save_weights(state, 'mine.safetensors', {key: meta[key] for key in ('model', 'modalities', 'tasks')})
    ways = [(str(last), None), ('work_dirs/small', None), ('mine.safetensors', None), (None, 'mine.safetensors')]
    for model, weights in ways:
        np.testing.assert_array_equal(FusionInferencer(model, weights)(vi=noise, ir=noise[..., 0]), expected)
    with pytest.raises(FileNotFoundError, match='nowhere'):
        FusionInferencer('lure-tiny', 'nowhere')
    with pytest.raises(ValueError, match='was trained with the tasks'):
        FusionInferencer('lure-tiny', 'mine.safetensors')
    with pytest.raises(ValueError, match='does not fit'):
        FusionInferencer('lure-fast', 'mine.safetensors')


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


def test_a_small_trial_validates_only_if_it_may(small, capsys):
    """One step each, without validation; its sets are not there. Then the same with it."""
    best = dict(type='CheckpointHook', by_epoch=False, interval=250, save_best='auto', max_keep_ckpts=2)
    options = {
        'val_dataloader.dataset': dict(type='TNO', test_mode=True, _delete_=True),
        'default_hooks.checkpoint': dict(best, _delete_=True),
    }
    with pytest.raises(FileNotFoundError, match='TNO: no folder'):
        train(small / 'small.py', options=options, length=0.001)
    train(small / 'small.py', options=options, length=0.001, validate=False)
    for stage in ('small_stage1', 'small_stage2'):
        assert [file.name for file in Path('work_dirs/small', stage).glob('*.pth')] == ['iter_1.pth']
    assert 'Iter(val)' not in capsys.readouterr().out
    train(small / 'small_stage1.py', length=0.001)
    assert 'Iter(val)' in capsys.readouterr().out


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
    start, end = tensors(last.with_name('iter_2.pth')), tensors(last)
    for part in ('image_encoder', 'decoder', 'fuser', 'text_encoder'):
        assert any(not torch.equal(end[key], start[key]) for key in end if key.startswith(part)), part
    text = next(last.parent.glob('*/vis_data/scalars.json')).read_text()
    for loss in ('task', 'unified', 'recon', 'text', 'color', 'grad', 'per', 'int'):
        assert f'"loss_{loss}"' in text
    # resumed, it sees the batches of both loaders that the unbroken run saw
    last.unlink()
    resumed = tensors(train(small / 'single.py', resume=True))
    assert all(torch.equal(end[key], resumed[key]) for key in end)


def test_a_variant_of_a_pipeline_is_its_options(small):
    (small / 'variant.py').write_text("_base_ = './small.py'\noptions = {'model.losses.unified.kind': 'cc'}\n")
    _, (first, second) = load_stages(small / 'variant.py', {'model.losses.text.weight': 0.5})
    assert (first.model.losses.unified.kind, first.model.losses.text.weight) == ('cc', 0.5)
    assert 'unified' not in second.model.losses
    # an added key goes where the rest of its way is
    _, (first, second) = load_stages(small / 'variant.py', {'+model.losses.per.window': 7, '+train_cfg.val_begin': 3})
    assert 'per' not in first.model.losses
    assert second.model.losses.per.window == 7
    assert first.train_cfg.val_begin == second.train_cfg.val_begin == 3
    (small / 'variant.py').write_text("_base_ = './small.py'\noptions = {'model.losses.unifid.kind': 'cc'}\n")
    with pytest.raises(KeyError, match=r"Did you mean 'model\.losses\.unified\.kind'"):
        load_stages(small / 'variant.py')


def test_stages_that_cannot_be_joined_are_named(small):
    (small / 'twice.py').write_text("stages = ['small_stage1.py', 'small_stage1.py']\njoint = True\n")
    with pytest.raises(ValueError, match=r"got stages \['restoration', 'restoration'\]"):
        load_stages(small / 'twice.py')


def test_schedules_of_epochs_are_refused(small):
    schedule = [dict(type='MultiStepLR', milestones=[2, 4])]
    with pytest.raises(ValueError, match=r'param_scheduler: MultiStepLR counts epochs .*by_epoch=False'):
        train(small / 'small_stage1.py', options={'param_scheduler': schedule})
    assert not list(Path('work_dirs').rglob('*.pth'))


def test_stages_of_one_name_are_refused(small):
    (small / 'other').mkdir()
    (small / 'other/small_stage1.py').write_text("_base_ = '../small_stage2.py'\n")
    (small / 'both.py').write_text("stages = ['small_stage1.py', 'other/small_stage1.py']\n")
    with pytest.raises(ValueError, match='stages need files of different names'):
        load_stages(small / 'both.py')


def test_the_check_for_what_is_not_finite_is_a_default_hook_too(small):
    hook = dict(type='FiniteCheckHook', action='skip')
    options = {'+default_hooks.finite': hook, 'train_cfg.max_iters': 2}
    train(small / 'small_stage1.py', work_dir='w', options=options)
    # beside those of the config, and once
    text = next(Path('w').glob('*.py')).read_text()
    assert text.count("'type': 'FiniteCheckHook'") == 1
    assert "'action': 'skip'" in text
    assert 'StripHook' in text


def test_a_sampler_that_draws_the_same_for_ever_is_refused(small):
    options = {'train_dataloader.sampler': dict(_delete_=True, type='InfiniteSampler')}
    with pytest.raises(ValueError, match='InfiniteSampler would draw one crop of a sample for ever'):
        train(small / 'small_stage1.py', options=options)
    # MMEngine's wrappers know numbers alone
    cfg = load_stages(small / 'small_stage1.py')[1][0].train_dataloader.dataset
    scenes = dict(cfg.datasets[0].to_dict(), pipeline=cfg.pipeline)
    options = {
        'train_dataloader.dataset': dict(_delete_=True, type='RepeatDataset', times=2, dataset=scenes),
        'train_dataloader.sampler': dict(_delete_=True, type='SeededSampler'),
    }
    with pytest.raises(ValueError, match=r'RepeatDataset of MMEngine cannot pass on .* times=N of a data set'):
        train(small / 'small_stage1.py', work_dir='wrapped', options=options)
    # also within a wrapper
    from torch.utils.data import ConcatDataset

    from lurefusion.datasets.embedded import EmbeddedScenes
    from lurefusion.engine.loops import _draws_by_ticket

    scenes = EmbeddedScenes(num=2)
    assert _draws_by_ticket(ConcatDataset([[1, 2], scenes]))
    assert not _draws_by_ticket(ConcatDataset([[1, 2], [3]]))


@pytest.mark.parametrize('seed', [None, 7])
def test_without_a_seed_too_a_resumed_run_goes_on_with_its_draws(small, seed):
    with open(small / 'small_stage1.py', 'a') as file:
        file.write('randomness = dict(seed=None)\n')
    config = small / 'small_stage1.py'
    # its own seed, which the checkpoints tell
    train(config, work_dir='whole')
    shutil.copytree('whole', 'broken')
    for path in Path('broken').glob('*iter_*.pth'):
        if path.name != 'iter_2.pth':
            path.unlink()
    Path('broken/last_checkpoint').write_text('iter_2.pth')
    train(config, work_dir='broken', resume=True, seed=seed)
    assert_identical(Path('whole/iter_6.pth'), Path('broken/iter_6.pth'))


@pytest.mark.parametrize(
    'loop', [dict(type='EpochBasedTrainLoop', max_epochs=2), dict(type='IterBasedTrainLoop', max_iters=2)]
)
def test_other_loops_are_refused(small, loop):
    with pytest.raises(ValueError, match='counted in iterations'):
        train(small / 'small_stage1.py', options={'train_cfg': dict(_delete_=True, **loop)})


def test_a_training_without_checkpoints_runs(small):
    train(
        small / 'small_stage1.py', options={'default_hooks.checkpoint': None, 'train_cfg.max_iters': 2}, validate=False
    )
