"""Jobs over folders: nothing twice, nothing half, nothing lost, whatever happens in the middle."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import cv2
import numpy as np
import pytest

from lurefusion.io.images import write_image
from lurefusion.io.pairing import list_images, pair_files
from lurefusion.runtime import jobs
from lurefusion.runtime.jobs import RECORDS, Outcome, Records, Shard, Task, parse_shard, run_job
from lurefusion.runtime.progress import Progress
from lurefusion.structures import Failure, Prediction

COUNT = 12
SETTINGS = dict(weights='abc', prompt=None)


def average(tasks):
    """The mean of the pictures; stands in for a runner."""
    for task in tasks:
        pictures = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in task.inputs.values()]
        if any(picture is None for picture in pictures):
            yield Failure(task.name, ValueError(f'{task.name} is broken'))
        else:
            yield Prediction(task.name, np.mean(pictures, axis=0).astype(np.uint8), seconds=dict(run=0.5))


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
    assert (len(report.done), report.skipped, report.failed, report.exit_code) == (COUNT, [], {}, 0)
    assert [outcome.name for outcome in told] == sorted(pictures(root / 'out'))
    assert set(told[0].seconds) == {'run', 'save'}
    before = pictures(root / 'out')
    report, told = job(root, never)
    assert (len(report.done), len(report.skipped)) == (0, COUNT)
    assert {outcome.status for outcome in told} == {'skipped'}
    assert str(report) == f'0 fused, {COUNT} unchanged, 0 failed'
    assert pictures(root / 'out') == before


def test_only_what_has_no_result_is_fused(root):
    job(root)
    (root / 'out/d1/03.png').unlink()
    report, told = job(root)
    assert (len(report.done), len(report.skipped)) == (1, COUNT - 1)
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
    assert (len(report.done), len(report.skipped)) == (count, COUNT - count)
    # once is enough
    assert len(job(root, never, overwrite=True, **options)[0].skipped) == COUNT
    if change is not change_input:
        assert pictures(root / 'out') == expected


def test_files_that_were_only_copied_are_unchanged(root):
    job(root)
    for path in list_images(root / 'vi').values():
        os.utime(path, ns=(1, 1))
    (root / 'ir').rename(root / 'moved')
    (root / 'moved').rename(root / 'ir')
    assert len(job(root, never)[0].skipped) == COUNT


def test_a_dry_run_says_what_would_be_done_and_does_nothing(root):
    report, told = job(root, never, dry_run=True)
    assert (len(report.planned), report.done, report.exit_code) == (COUNT, [], 0)
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
    assert len(report.done) == COUNT - 1
    assert report.failed == {'d1/03': 'd1/03 is broken'}
    assert report.exit_code == 1
    # tried again, the others not
    report, _ = job(root)
    assert (len(report.done), len(report.skipped), len(report.failed)) == (0, COUNT - 1, 1)
    make_pairs(root)
    assert len(job(root)[0].done) == 1


def test_an_input_that_is_gone_and_a_result_that_cannot_be_saved(root):
    class Odd(MemoryError):
        pass

    def fuse(tasks):
        for task in tasks:
            if task.name == 'd1/03':
                yield Failure(task.name, Odd())
            elif task.name == 'd1/05':
                yield Prediction(task.name, np.zeros((2, 2, 2, 2), np.uint8), notes=('odd',))
            else:
                yield from average([task])

    report, _ = job(root, fuse)
    assert report.failed['d1/03'] == 'Odd'
    assert 'expected (H, W)' in report.failed['d1/05']
    assert report.notes == {'d1/05': ['odd']}
    assert len(report.done) == COUNT - 2


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='needs /dev/full')
def test_a_disk_that_is_full_for_the_records_is_told_with_their_file(root):
    records = Records(root / 'out', Shard(), SETTINGS)
    with open('/dev/full', 'ab', buffering=0) as records._file, pytest.raises(OSError, match=r'No space.*/dev/full'):
        records.begin(tasks_of(root)[0], {})


def test_a_full_disk_ends_the_job(root, monkeypatch):
    def full(result, path):
        raise OSError(28, 'No space left on device', str(path))

    with pytest.raises(OSError, match='No space left'):
        run_job(tasks_of(root), root / 'out', average, full, SETTINGS)
    # and what is not there is made when there is room
    assert len(job(root)[0].done) == COUNT


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
    assert len(job(root, never)[0].skipped) == COUNT


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


def work(root: Path, shard: str, delay: float, told: Connection) -> None:
    """A job that takes its time and says what it has done."""

    def slowly(tasks):
        for result in average(tasks):
            time.sleep(delay)
            yield result

    run_job(
        tasks_of(root), root / 'out', slowly, save, SETTINGS, parse_shard(shard),
        tell=lambda outcome, total: told.send((outcome.name, outcome.status)),
    )  # fmt: skip


def start(root: Path, shard: str, delay: float) -> tuple[BaseProcess, Connection]:
    """The job in a process of its own."""
    context = get_context('fork')
    told, writer = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(root, shard, delay, writer))
    process.start()
    writer.close()
    return process, told


def test_two_processes_at_once_fuse_nothing_twice_and_a_third_is_refused(root):
    runs = [start(root, '1/2', 0.05), start(root, '2/2', 0.05)]
    said = [told.recv() for _, told in runs]
    for shard in ('1/2', '1/1', '1/3'):
        with pytest.raises(BlockingIOError, match='another process is fusing shard'):
            job(root, never, shard=parse_shard(shard))
    for process, told in runs:
        with contextlib.suppress(EOFError):
            while True:
                said.append(told.recv())
        process.join()
        assert process.exitcode == 0
    done = [name for name, status in said if status == 'done']
    assert len(done) == len(set(done)) == COUNT
    assert len(pictures(root / 'out')) == COUNT


def test_killed_at_any_moment_it_goes_on_to_the_pictures_of_the_unbroken_run(root):
    job(root, out='whole')
    # ten moments, over two starts in which nothing new is done in time, and steps in between
    for moment in range(10):
        process, told = start(root, '1/1', 0.004)
        if moment % 3:
            for _ in range(moment):
                told.recv()
        time.sleep(0.001 * (moment % 4))
        process.kill()
        process.join()
        for path in (root / 'out').glob('d?/[!.]*'):
            assert path.read_bytes() == (root / 'whole' / path.relative_to(root / 'out')).read_bytes()
    report, _ = job(root)
    assert report.failed == {}
    assert len(report.skipped) >= 5
    assert pictures(root / 'out') == pictures(root / 'whole')
    assert {p.name for p in (root / 'out').iterdir()} == {'d0', 'd1', RECORDS}
    assert not list((root / 'out').glob('d?/.*'))


def test_one_of_two_processes_dies_and_the_command_is_given_again(root):
    job(root, out='whole')
    (living, _), (dying, told) = runs = [start(root, '1/2', 0.02), start(root, '2/2', 0.02)]
    told.recv()
    dying.kill()
    for process, _ in runs:
        process.join()
    assert living.exitcode == 0
    assert len(pictures(root / 'out')) < COUNT, 'it died too late'
    again = [job(root, shard=Shard(number, 2))[0] for number in (1, 2)]
    assert not again[0].failed | again[1].failed
    # what the living one had done is not done again
    assert len(again[0].skipped) == len(Shard(1, 2).of(tasks_of(root)))
    assert pictures(root / 'out') == pictures(root / 'whole')


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
    assert (len(report.done), report.failed) == (COUNT, {})
    assert pictures(root / 'out') == pictures(root / 'whole')
    assert [p.name for p in (root / 'out/d0').glob('.*')] == ['.notes.txt']
    assert len(job(root, never)[0].skipped) == COUNT


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


def test_a_clock_that_is_set_back_spoils_no_record(root, monkeypatch):
    job(root)
    monkeypatch.setattr(jobs.time, 'time_ns', lambda: 1)
    write_image(root / 'vi/d0/00.png', np.zeros((16, 24), np.uint8))
    report, _ = job(root, overwrite=True)
    assert report.done == ['d0/00']
    # what was made last counts, whatever the clock said
    report, _ = job(root)
    assert report.done == []
    assert len(report.skipped) == COUNT
