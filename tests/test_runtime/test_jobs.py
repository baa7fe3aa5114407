"""Jobs over folders: nothing twice, nothing half, nothing lost, whatever happens in the middle."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from lurefusion.io.images import write_image
from lurefusion.io.pairing import list_images, pair_files
from lurefusion.runtime import jobs
from lurefusion.runtime.jobs import RECORDS, Outcome, Shard, Task, parse_shard, run_job
from lurefusion.runtime.progress import Progress

COUNT = 12
SETTINGS = dict(weights='abc', prompt=None)


@dataclass
class Fused:
    name: str
    picture: np.ndarray | None
    error: Exception | None = None
    notes: tuple[str, ...] = ()
    seconds: dict = field(default_factory=dict)


def average(tasks):
    """The mean of the pictures; stands in for a runner."""
    for task in tasks:
        try:
            pictures = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in task.inputs.values()]
            if any(picture is None for picture in pictures):
                raise ValueError(f'{task.name} is broken')
            yield Fused(task.name, np.mean(pictures, axis=0).astype(np.uint8), seconds=dict(run=0.5))
        except ValueError as error:
            yield Fused(task.name, None, error)


def save(result, path):
    write_image(path, result.picture)


def make_pairs(root: Path, count: int = COUNT) -> None:
    rng = np.random.default_rng(0)
    for n in range(count):
        for role in ('vi', 'ir'):
            write_image(root / role / f'd{n % 2}/{n:02}.png', rng.integers(0, 256, (16, 24), np.uint8))


def tasks_of(root: Path, out: str = 'out') -> list[Task]:
    pairs = pair_files(dict(vi=root / 'vi', ir=root / 'ir')).pairs
    return [Task(name, files, root / out / f'{name}.png') for name, files in pairs.items()]


def job(root: Path, fuse=average, settings=SETTINGS, out: str = 'out', **options):
    told: list[Outcome] = []
    report = run_job(
        tasks_of(root, out),
        root / out,
        fuse,
        save,
        settings,
        tell=lambda outcome, total: told.append(outcome),
        **options,
    )
    return report, told


def pictures(folder: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in list_images(folder).items()}


@pytest.fixture
def root(tmp_path) -> Path:
    make_pairs(tmp_path)
    return tmp_path


def never(tasks):
    for task in tasks:
        pytest.fail(f'{task.name} was fused again')
        yield


def test_a_job_fuses_all_and_its_repetition_nothing(root):
    report, told = job(root)
    assert (report.done, report.skipped, report.failed, report.exit_code) == (COUNT, 0, [], 0)
    assert [outcome.name for outcome in told] == sorted(pictures(root / 'out'))
    assert set(told[0].seconds) == {'run', 'save'}
    before = pictures(root / 'out')
    report, told = job(root, never)
    assert (report.done, report.skipped) == (0, COUNT)
    assert {outcome.status for outcome in told} == {'skipped'}
    assert str(report) == f'0 fused, {COUNT} unchanged, 0 failed'
    assert pictures(root / 'out') == before


def test_only_what_has_no_result_is_fused(root):
    job(root)
    (root / 'out/d1/03.png').unlink()
    report, told = job(root)
    assert (report.done, report.skipped) == (1, COUNT - 1)
    assert [outcome.name for outcome in told if outcome.status == 'done'] == ['d1/03']


def change_input(root):
    write_image(root / 'ir/d1/03.png', np.zeros((16, 24), np.uint8))
    return {}


def change_result(root):
    write_image(root / 'out/d1/03.png', np.zeros((16, 24), np.uint8))
    return {}


def touch_result(root):
    os.utime(root / 'out/d1/03.png', ns=(1, 1))
    return {}


def change_settings(root):
    return dict(settings=dict(SETTINGS, prompt='it is dark'))


def forget(root):
    for file in (root / 'out' / RECORDS).iterdir():
        file.unlink()
    return {}


@pytest.mark.parametrize(
    ('change', 'count'),
    [(change_input, 1), (change_result, 1), (touch_result, 1), (change_settings, COUNT), (forget, COUNT)],
)
def test_what_was_made_otherwise_is_replaced_on_request_only(root, change, count):
    job(root)
    expected = pictures(root / 'out')
    options = change(root)
    before = pictures(root / 'out')
    with pytest.raises(
        FileExistsError, match=rf'holds {count} pictures that were made otherwise .*03\.png.*--overwrite'
    ):
        job(root, never, **options)
    assert pictures(root / 'out') == before
    report, _ = job(root, overwrite=True, **options)
    assert (report.done, report.skipped) == (count, COUNT - count)
    # once is enough
    assert job(root, never, overwrite=True, **options)[0].skipped == COUNT
    if change is not change_input:
        assert pictures(root / 'out') == expected


def test_files_that_were_only_copied_are_unchanged(root):
    job(root)
    for path in list_images(root / 'vi').values():
        os.utime(path, ns=(1, 1))
    (root / 'ir').rename(root / 'moved')
    (root / 'moved').rename(root / 'ir')
    assert job(root, never)[0].skipped == COUNT


def test_a_dry_run_says_what_would_be_done_and_does_nothing(root):
    report, told = job(root, never, dry_run=True)
    assert (report.planned, report.done, report.exit_code) == (COUNT, 0, 0)
    assert str(report) == f'{COUNT} to fuse'
    assert not (root / 'out').exists()
    job(root)
    (root / 'out/d0/00.png').unlink()
    report, told = job(root, never, dry_run=True)
    assert str(report) == f'1 to fuse, {COUNT - 1} unchanged'
    assert told[-1] == Outcome(
        'd0/00',
        'planned',
        str(root / 'out/d0/00.png'),
        dict(vi=str(root / 'vi/d0/00.png'), ir=str(root / 'ir/d0/00.png')),
    )
    assert json.loads(told[-1].to_json())['status'] == 'planned'


def test_one_bad_picture_is_only_its_own(root):
    (root / 'ir/d1/03.png').write_bytes(b'no picture')
    report, _ = job(root)
    assert report.done == COUNT - 1
    (failed,) = report.failed
    assert (failed.name, failed.error) == ('d1/03', 'd1/03 is broken')
    assert report.exit_code == 1
    # tried again, the others not
    report, _ = job(root)
    assert (report.done, report.skipped, len(report.failed)) == (0, COUNT - 1, 1)
    make_pairs(root)
    assert job(root)[0].done == 1


def test_an_input_that_is_gone_and_a_result_that_cannot_be_saved(root):
    class Odd(MemoryError):
        pass

    def fuse(tasks):
        for task in tasks:
            if task.name == 'd1/03':
                yield Fused(task.name, None, Odd())
            elif task.name == 'd1/05':
                yield Fused(task.name, np.zeros((2, 2, 2, 2), np.uint8), notes=('odd',))
            else:
                yield from average([task])

    report, _ = job(root, fuse)
    errors = {outcome.name: outcome.error for outcome in report.failed}
    assert errors['d1/03'] == 'Odd'
    assert 'expected (H, W)' in errors['d1/05']
    assert [outcome.notes for outcome in report.noted] == [['odd']]
    assert report.done == COUNT - 2


def test_a_full_disk_ends_the_job(root, monkeypatch):
    def full(result, path):
        raise OSError(28, 'No space left on device', str(path))

    with pytest.raises(OSError, match='No space left'):
        run_job(tasks_of(root), root / 'out', average, full, SETTINGS)
    # and what is not there is made when there is room
    assert job(root)[0].done == COUNT


# several processes


@pytest.mark.parametrize('count', [2, 5])
def test_shards_share_the_work(root, count):
    job(root, out='whole')
    names = []
    for number in range(1, count + 1):
        _, told = job(root, shard=Shard(number, count))
        names += [outcome.name for outcome in told]
    assert sorted(names) == sorted(pictures(root / 'whole'))
    assert pictures(root / 'out') == pictures(root / 'whole')
    # what others did is known to all
    assert job(root, never)[0].skipped == COUNT


@pytest.mark.parametrize(
    ('variables', 'expected'),
    [
        ({}, (1, 1)),
        (dict(RANK='2', WORLD_SIZE='4'), (3, 4)),
        (dict(SLURM_PROCID='0', SLURM_STEP_NUM_TASKS='8'), (1, 8)),
        # a batch script of eight tasks is one process, and an array may go over folders
        (dict(SLURM_PROCID='0', SLURM_NTASKS='8', SLURM_ARRAY_TASK_ID='3', SLURM_ARRAY_TASK_COUNT='8'), (1, 1)),
    ],
)
def test_the_part_of_a_process_by_its_launcher(monkeypatch, variables, expected):
    for name in ('RANK', 'WORLD_SIZE', 'SLURM_PROCID', 'SLURM_STEP_NUM_TASKS'):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert parse_shard(None) == Shard(*expected)
    assert parse_shard('2/3') == Shard(2, 3)


@pytest.mark.parametrize('text', ['', '3', '0/4', '5/4', '1/0', 'a/b', '1/2/3', '-1/4'])
def test_parts_that_make_no_sense(text):
    with pytest.raises(ValueError, match=r'shard'):
        parse_shard(text)


SLOWLY = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_jobs as here
from lurefusion.runtime.jobs import parse_shard, run_job

def slowly(tasks):
    for result in here.average(tasks):
        time.sleep(float(sys.argv[4]))
        yield result

root = Path(sys.argv[2])
print('ready', flush=True)
run_job(here.tasks_of(root), root / 'out', slowly, here.save, here.SETTINGS, parse_shard(sys.argv[3]),
        tell=lambda outcome, total: print(outcome.name, outcome.status, flush=True))
"""


def start(root: Path, shard: str, delay: float = 0.01) -> subprocess.Popen:
    command = [sys.executable, '-c', SLOWLY, str(Path(__file__).parent), str(root), shard, str(delay)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def test_two_processes_at_once_fuse_nothing_twice_and_a_third_is_refused(root):
    one, two = start(root, '1/2', 0.2), start(root, '2/2', 0.2)
    for run in (one, two):
        assert run.stdout.readline() == 'ready\n'
        assert run.stdout.readline().endswith('done\n')
    for shard in ('1/2', '1/1', '1/3'):
        with pytest.raises(RuntimeError, match='another process is fusing shard'):
            job(root, never, shard=parse_shard(shard))
    lines = [line for run in (one, two) for line in run.stdout.read().splitlines()]
    assert (one.wait(), two.wait()) == (0, 0)
    done = [line.split()[0] for line in lines if line.endswith('done')]
    assert len(done) == len(set(done)) == COUNT - 2
    assert len(pictures(root / 'out')) == COUNT


def test_killed_at_any_moment_it_goes_on_to_the_pictures_of_the_unbroken_run(root):
    job(root, out='whole')
    moments = (0, 1, 3)
    for moment in moments:
        run = start(root, '1/1', 0.02)
        for _ in range(moment + 1):
            run.stdout.readline()
        time.sleep(0.007 * moment)
        run.send_signal(signal.SIGKILL)
        run.stdout.close()
        run.wait()
        for name, data in (
            pictures(root / 'out').items() if (root / 'out').exists() and any((root / 'out').rglob('*.png')) else ()
        ):
            assert data == pictures(root / 'whole')[name]
    report, _ = job(root)
    assert report.failed == []
    assert report.skipped >= max(moments)
    assert pictures(root / 'out') == pictures(root / 'whole')
    assert {p.name for p in (root / 'out').iterdir()} == {'d0', 'd1', RECORDS}
    assert not list((root / 'out').glob('d?/.*'))


class Killed(BaseException):
    pass


@pytest.mark.parametrize('moment', ['begin', 'write', 'end', 'half a line'])
def test_killed_between_two_steps(root, monkeypatch, moment):
    job(root, out='whole')

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:
        if moment in ('begin', 'end'):
            patch.setattr(jobs.Records, moment, killed)
        else:
            patch.setattr(sys.modules[__name__], 'save', killed)
        with pytest.raises(Killed):
            job(root)
    if moment == 'half a line':
        (records,) = (root / 'out' / RECORDS).iterdir()
        records.write_bytes(records.read_bytes()[:-9])
    (root / 'out/d0').mkdir(exist_ok=True)
    # of a picture that was being written
    (root / 'out/d0/.00.png.abcd1234').write_bytes(b'half')
    (root / 'out/d0/.notes.txt').write_bytes(b'of somebody else')
    report, _ = job(root)
    assert (report.done, report.failed) == (COUNT, [])
    assert pictures(root / 'out') == pictures(root / 'whole')
    assert [p.name for p in (root / 'out/d0').glob('.*')] == ['.notes.txt']
    assert job(root, never)[0].skipped == COUNT


# progress


def test_progress_on_no_terminal_is_a_line_now_and_then(monkeypatch):
    clock = iter(np.arange(0, 1000, 10.0))
    monkeypatch.setattr(time, 'monotonic', lambda: next(clock))
    out = io.StringIO()
    with Progress(8, stream=out) as progress:
        progress.step(quick=True)
        for _ in range(6):
            progress.step()
    # one in 10 s; those that were there already do not count
    assert out.getvalue().splitlines() == ['3/8 15.0 s for one, 1:15 left', '6/8 12.0 s for one, 0:24 left']


def test_progress_on_a_terminal_is_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    out = Terminal()
    with Progress(3, stream=out) as progress:
        for _ in range(3):
            progress.step()
    assert '3/3' in out.getvalue()
    assert 'pictures/s' in out.getvalue()
