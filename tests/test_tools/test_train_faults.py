"""Trainings in which something goes wrong: damaged checkpoints, two at once, dead workers, memory, disk, clock."""

import errno
import multiprocessing
import os
import pickle
import signal
import time
from pathlib import Path

import torch

from lurefusion.cli import main
from lurefusion.engine import pipeline
from lurefusion.engine.pipeline import train
from lurefusion.io import images
from lurefusion.io.locks import sole_process
from lurefusion.io.logs import read_scalars
from lurefusion.models.lure import LURE
from lurefusion.weights import read_weights


def same(first: Path, second: Path) -> bool:
    a, b = read_weights(first)[0], read_weights(second)[0]
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_resumed_from_the_checkpoint_before_a_damaged_one_with_a_clock_that_was_set_back(small, monkeypatch, capsys):
    config = small / 'small_stage1.py'
    last = train(config, work_dir='whole')
    train(config, work_dir='broken')
    Path('broken/iter_6.pth').write_bytes(bytes(5000))
    real = time.time
    monkeypatch.setattr(time, 'time', lambda: real() - 86400)
    for path in Path('broken').glob('*.pth'):
        os.utime(path, (real() + 86400,) * 2)
    assert train(config, work_dir='broken', resume=True) == Path('broken/iter_6.pth')
    assert 'iter_6.pth is not a checkpoint' in (said := ''.join(capsys.readouterr()))
    assert 'The one before it is taken: broken/iter_4.pth' in said
    assert same(last, Path('broken/iter_6.pth'))
    # the log of the resumed part is the later one
    rows = [row['step'] for row in read_scalars('broken') if 'loss' in row]
    assert rows == [1, 2, 3, 4, 5, 6]
    folders = sorted(path.name for path in Path('broken').glob('2*_*') if path.is_dir())
    assert len(folders) == 2


def test_two_trainings_in_one_folder_are_refused(small, capsys):
    def other(say) -> None:
        with sole_process(Path('run', pipeline.LOCK), 'trains in'):
            say.send(None)
            time.sleep(60)

    told, writer = multiprocessing.get_context('fork').Pipe(duplex=False)
    process = multiprocessing.get_context('fork').Process(target=other, args=(writer,))
    process.start()
    told.recv()
    assert main(['train', str(small / 'small_stage1.py'), '--work-dir', 'run']) == 1
    assert 'error: another process trains in run: wait for it' in capsys.readouterr().err
    assert not list(Path('run').glob('*.pth'))
    process.kill()
    process.join()


def test_a_loader_that_is_killed_is_one_clear_error(small, monkeypatch, capsys):
    from lurefusion.datasets.mix import MixDataset

    monkeypatch.setattr(
        MixDataset, '__getitem__', lambda self, ticket: os.kill(os.getpid(), signal.SIGKILL), raising=False
    )
    options = ['train_dataloader.num_workers=1']
    code = main(['train', str(small / 'small_stage1.py'), '--work-dir', 'run', '--no-val', '--cfg-options', *options])
    assert code == 1
    said = capsys.readouterr().err
    assert 'error: a process that loads data was killed at iteration 0' in said
    assert 'no checkpoint was saved yet: the same command begins anew' in said


def test_where_memory_runs_out_what_fits_is_said(small, monkeypatch, capsys):
    forward = LURE.forward

    def limited(self, inputs, data_samples=None, mode='tensor'):
        if mode == 'loss' and len(data_samples) > 1:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:116] DefaultCPUAllocator: can't allocate memory: 1 TB")
        return forward(self, inputs, data_samples, mode)

    monkeypatch.setattr(LURE, 'forward', limited)
    assert main(['train', str(small / 'small_stage1.py'), '--work-dir', 'run', '--no-val']) == 1
    said = capsys.readouterr().err
    assert 'error: iteration 1 does not fit into memory: 1 of 2 samples fit: train_dataloader.batch_size=1' in said
    assert 'accumulative_counts=2' in said


def test_a_full_disk_ends_the_training_and_the_former_checkpoint_is_there(small, monkeypatch, capsys):
    replace = os.replace

    def full(source, target) -> None:
        if Path(target).name == 'iter_4.pth':
            raise OSError(errno.ENOSPC, 'No space left on device')
        replace(source, target)

    config = str(small / 'small_stage1.py')
    options = ['--work-dir', 'run', '--no-val', '--cfg-options', 'default_hooks.checkpoint.max_keep_ckpts=1']
    with monkeypatch.context() as patch:
        patch.setattr(images.os, 'replace', full)
        assert main(['train', config, *options]) == 1
    said = capsys.readouterr().err
    assert 'No space left on device' in said
    assert 'iter_4.pth' in said
    assert [path.name for path in Path('run').glob('*.pth')] == ['iter_2.pth']
    assert not list(Path('run').glob('.iter*'))
    assert main(['train', config, '--resume', *options]) == 0
    train(small / 'small_stage1.py', work_dir='whole', validate=False)
    assert same(Path('whole/iter_6.pth'), Path('run/iter_6.pth'))


def test_a_trap_as_start_of_a_training_does_not_spring(small, tmp_path, capsys):
    """`load_from`, `init_from` and `--resume` of files that a stranger made."""

    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / 'canary',)

    trap = tmp_path / 'trap.pth'
    for content in (pickle.dumps(Trap()), None):
        if content is None:
            torch.save(dict(state_dict={'a': torch.ones(1)}, meta=Trap()), trap)
        else:
            trap.write_bytes(content)
        for option in ('+load_from', '+init_from.checkpoint'):
            words = ['train', str(small / 'small_stage1.py'), '--work-dir', 'run', '--no-val']
            assert main([*words, '--cfg-options', f'{option}={trap}']) == 1
            assert 'which is not opened' in capsys.readouterr().err
        run = Path('run')
        run.mkdir(exist_ok=True)
        (run / 'iter_2.pth').write_bytes(trap.read_bytes())
        assert main(['train', str(small / 'small_stage1.py'), '--work-dir', 'run', '--no-val', '--resume']) == 1
        assert 'which is not opened' in capsys.readouterr().err
        (run / 'iter_2.pth').unlink()
    assert not (tmp_path / 'canary').exists()
