"""Folders as a job: what is done is skipped, processes share the work, one bad picture does not stop the rest."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lurefusion.io.locks import take_lock
from lurefusion.structures import Failure, Prediction

if TYPE_CHECKING:
    from lurefusion.prompts import Route

# where an output folder remembers how its pictures were made; hidden, so that no listing takes it for pictures
RECORDS = '.lurefusion'
# errors of the place and not of a picture: the rest would fail as well
_FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class Task:
    """One picture to make: its name, modality -> file, and the file that it becomes."""

    name: str
    inputs: Mapping[str, Path]
    output: Path


@dataclass(frozen=True)
class Outcome:
    """What became of one task.

    Attributes:
        name: Of the task.
        status: ``done``, ``skipped`` (it was there, made of the same), ``failed``, or ``planned`` in a dry run.
        output: File of the result.
        inputs: Modality -> file.
        error: Why it failed.
        notes: What looks wrong in the pictures.
        seconds: Step -> seconds of one picture, e.g. ``read``, ``run``, ``save``.
        tasks: Modality -> task by which it was restored, given or found.
        alignment: Of pictures that were aligned: `kind`, `residual`, `confidence`, and `seen`, the share of pixels that
            both cameras saw.
    """

    name: str
    status: str
    output: str
    inputs: dict[str, str]
    error: str = ''
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)
    alignment: dict[str, Any] | None = None

    def to_json(self) -> str:
        """One line for machines."""
        return json.dumps(asdict(self))


@dataclass
class FolderReport:
    """What became of a folder, by names of pictures.

    Attributes:
        done: Fused now.
        skipped: There already, made of the same.
        planned: To be fused, in a dry run.
        failed: Name -> error.
        notes: Name -> what looks wrong.
        routes: Name of a fused picture -> what each of its modalities was restored from.
        unpaired: Modality -> what was left out since it has no partner.
        unread: Modality -> files of kinds of pictures that are not read.
        seconds: What it took.
    """

    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    planned: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    routes: dict[str, Mapping[str, Route]] = field(default_factory=dict)
    unpaired: dict[str, list[str]] = field(default_factory=dict)
    unread: dict[str, list[str]] = field(default_factory=dict)
    seconds: float = 0.0

    def __str__(self) -> str:
        parts = [f'{len(self.planned)} to fuse'] if self.planned else [f'{len(self.done)} fused']
        parts += [f'{len(self.skipped)} unchanged'] if self.skipped else []
        parts += [] if self.planned else [f'{len(self.failed)} failed']
        return ', '.join(parts)

    @property
    def exit_code(self) -> int:
        """0 if nothing failed, else 1."""
        return int(bool(self.failed))


@dataclass(frozen=True)
class Shard:
    """The part of a job that one of several processes does: every `count`-th task from `number` (1 to `count`) on."""

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ValueError(f'a shard is one of 1/N to N/N, got {self}')

    def __str__(self) -> str:
        return f'{self.number}/{self.count}'

    def of(self, tasks: Sequence[Task]) -> list[Task]:
        """The tasks of this shard: all processes have to see the same ones, in one order."""
        return list(tasks[self.number - 1 :: self.count])


def parse_shard(text: str | None) -> Shard:
    """``2/4`` is the second of four; None: of torchrun or srun the process's own part, else everything.

    Raises:
        ValueError: On anything else.
    """
    if text is None:
        return shard_of_launcher()
    try:
        number, count = (int(part) for part in text.split('/'))
    except ValueError:
        raise ValueError(f'--shard takes NUMBER/COUNT, e.g. 1/4 to 4/4 for four processes; got {text!r}') from None
    return Shard(number, count)


def shard_of_launcher() -> Shard:
    """The part of this process by what torchrun or srun says to it; everything for a process of its own.

    The numbers of a Slurm array are not taken by themselves, since arrays often go over folders: give
    ``--shard $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT`` (with ``--array=1-N``).
    """
    for rank, size in (('RANK', 'WORLD_SIZE'), ('SLURM_PROCID', 'SLURM_STEP_NUM_TASKS')):
        if os.environ.get(rank, '').isdigit() and os.environ.get(size, '').isdigit():
            return Shard(int(os.environ[rank]) + 1, int(os.environ[size]))
    return Shard()


class Records:
    """What an output folder knows of its pictures: which inputs and settings made them.

    Each process appends lines to a file of its own and reads those of all. A line is written before a picture is saved
    and another behind it, so that after a kill at any moment a picture is either known to be whole or done again; half
    a line at the end of a file is passed over.

    Args:
        folder: The output folder.
        shard: Of this process.
        settings: What the pictures depend on beside their inputs (weights, options, version).

    Raises:
        BlockingIOError: From :meth:`claim`, if another process does the same part.
    """

    def __init__(self, folder: Path, shard: Shard, settings: Mapping[str, Any]) -> None:
        self.place, self.shard = folder / RECORDS, shard
        canonical = json.dumps(settings, sort_keys=True, default=str)
        self.settings = hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()
        self._known: dict[str, dict[str, Any]] = {}
        for file in sorted(self.place.glob('shard-*.jsonl'), key=_modified):
            for line in file.read_text(encoding='utf-8', errors='replace').splitlines():
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    record = json.loads(line)
                    self._known[record['name']] = max(
                        record, self._known.get(record['name'], record), key=lambda each: each['at']
                    )
        self._file: Any = None

    @property
    def made_otherwise(self) -> list[str]:
        """Names of the pictures that were made with other settings; they need not be there any more."""
        return [name for name, record in self._known.items() if record['settings'] != self.settings]

    @property
    def unfinished(self) -> list[str]:
        """Names of the pictures that were begun and not ended."""
        return [name for name, record in self._known.items() if record['result'] is None]

    def kept(self, name: str) -> dict[str, Any]:
        """What is known of a picture that was made; see :meth:`end`."""
        return self._known[name]

    def claim(self) -> None:
        """Take this part of the job, until the process ends or :meth:`close`."""
        self.place.mkdir(parents=True, exist_ok=True)
        path = self.place / f'shard-{self.shard.number}-of-{self.shard.count}.jsonl'
        for other in self.place.glob('shard-*.jsonl'):
            # shards of one job have one count; those of another would do the same pictures
            if other == path or not other.stem.endswith(f'-of-{self.shard.count}'):
                with other.open('rb') as file:
                    if not take_lock(file):
                        raise BlockingIOError(
                            f'another process is fusing {other.stem.replace("-", " ")} into {self.place.parent}: wait '
                            f'for it, or give each process its part (--shard 1/2, --shard 2/2)'
                        )
        # without a buffer, whose rest would be written, and fail, once more when it is closed
        self._file = path.open('ab+', buffering=0)
        if not take_lock(self._file):
            raise BlockingIOError(f'another process is fusing shard {self.shard} into {self.place.parent}: wait for it')
        if self._file.tell():
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b'\n':  # it was killed in the middle of a line
                self._file.write(b'\n')

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def state(self, task: Task) -> str:
        """``missing``, ``same`` (made of the same inputs and settings), ``ours`` (unfinished), or ``other``."""
        try:
            there = _stat(task.output)
        except OSError:
            return 'missing'
        record = self._known.get(task.name)
        if record is None:
            return 'other'
        if record['result'] is None:
            return 'ours'
        if record['result'] != there:
            return 'other'
        return 'same' if record['settings'] == self.settings and self._same_inputs(task, record) else 'other'

    def _same_inputs(self, task: Task, record: Mapping[str, Any]) -> bool:
        if set(record['inputs']) != set(task.inputs):
            return False
        for role, path in task.inputs.items():
            known = record['inputs'][role]
            # copied or touched files are read, to see whether they changed
            if _stat(path) != known['stat'] and _digest(path) != known['digest']:
                return False
        return True

    def begin(self, task: Task, inputs: Mapping[str, Any]) -> None:
        """Say that a picture is about to be saved; `inputs` is what :func:`fingerprint` gave before it was read."""
        self._write(task, inputs, None)

    def end(self, task: Task, inputs: Mapping[str, Any], **more: Any) -> None:
        """Say that it is saved, and what `more` is to be known of it."""
        self._write(task, inputs, _stat(task.output), **more)

    def _write(self, task: Task, inputs: Mapping[str, Any], result: Any, **more: Any) -> None:
        # the clock may have been set back
        at = max(time.time_ns(), self._known.get(task.name, {}).get('at', 0) + 1)
        record = dict(name=task.name, settings=self.settings, inputs=inputs, result=result, at=at, **more)
        self._known[task.name] = record
        try:
            self._file.write(json.dumps(record).encode() + b'\n')
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._file.name) from error


def fingerprint(task: Task) -> dict[str, Any]:
    """What the input files are: role -> size and time (quick to compare), and a hash of the bytes."""
    return {role: dict(stat=_stat(path), digest=_digest(path)) for role, path in task.inputs.items()}


def _stat(path: Path) -> list[int]:
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns]


def _digest(path: Path) -> str:
    return _digest_of(path, *_stat(path))


# the video of a clip is the input of all its frames
@lru_cache(maxsize=16)
def _digest_of(path: Path, size: int, modified: int) -> str:
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, _hash).hexdigest() if hasattr(hashlib, 'file_digest') else _read_hash(file)


def _hash() -> Any:
    return hashlib.blake2b(digest_size=16)


def _read_hash(file: Any) -> str:
    found = _hash()
    while block := file.read(1 << 20):
        found.update(block)
    return found.hexdigest()


def _modified(path: Path) -> int:
    return path.stat().st_mtime_ns


def run_job(
    tasks: Sequence[Task],
    folder: str | os.PathLike,
    fuse: Callable[[Iterable[Task]], Iterator[Prediction | Failure]],
    save: Callable[[Prediction, Path], None],
    settings: Mapping[str, Any],
    shard: Shard | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    tell: Callable[[Outcome, int], None] | None = None,
) -> FolderReport:
    """Make the pictures of a folder that are not made yet.

    Results that are there and were made of the same inputs with the same settings are left as they are, however the
    job ended that made them. Others are replaced with `overwrite` only.

    Args:
        tasks: All of the job, in the same order in every process that shares it.
        folder: Output folder; remembers in `.lurefusion` how its pictures were made.
        fuse: Takes the tasks to do and yields one result for each in their order; see
            :meth:`lurefusion.runtime.runner.Runner.stream`.
        save: Writes a result to a file, atomically.
        settings: What the pictures depend on beside their inputs: weights (their hash), options, version.
        shard: The part of this process.
        overwrite: Replace results that were made otherwise.
        dry_run: Only say what would be done.
        tell: Called for every outcome with it and the number of tasks of this shard.

    Raises:
        FileExistsError: If results are there that were made otherwise, and not `overwrite`; lists them. Nothing was
            changed.
        BlockingIOError: If another process does the same part.
        OSError: If the disk is full or cannot be written to.
    """
    shard, folder = shard or Shard(), Path(folder)
    own = shard.of(tasks)
    report, start = FolderReport(), time.perf_counter()
    records = Records(folder, shard, settings)
    states = {task.name: records.state(task) for task in own}
    other = [task for task in own if states[task.name] == 'other']
    if other and not overwrite:
        shown = ', '.join(task.output.name for task in other[:10])
        more = f' and {len(other) - 10} more' if len(other) > 10 else ''
        raise FileExistsError(
            f'{folder} holds {len(other)} pictures that were made otherwise (other inputs, weights or options) or by '
            f'another program: {shown}{more}. --overwrite (overwrite=True) replaces them; or choose another folder'
        )

    def note(task: Task, status: str, **more: Any) -> None:
        inputs = {role: str(path) for role, path in task.inputs.items()}
        outcome = Outcome(task.name, status, str(task.output), inputs, **more)
        if status == 'failed':
            report.failed[task.name] = outcome.error
        else:
            getattr(report, status).append(task.name)
        if outcome.notes:
            report.notes[task.name] = outcome.notes
        if tell is not None:
            tell(outcome, len(own))

    todo = [task for task in own if states[task.name] != 'same']
    for task in own:
        if states[task.name] == 'same':
            note(task, 'skipped')
    if dry_run:
        for task in todo:
            note(task, 'planned')
        return report
    if not todo:
        return report
    records.claim()
    try:
        remove_leftovers(task.output for task in todo)
        _work(todo, fuse, save, records, note, report.routes)
    finally:
        records.close()
        report.seconds = time.perf_counter() - start
    return report


def _work(
    todo: Sequence[Task],
    fuse: Callable[[Iterable[Task]], Iterator[Prediction | Failure]],
    save: Callable[[Prediction, Path], None],
    records: Records,
    note: Callable[..., None],
    routes: dict[str, Mapping[str, Route]],
) -> None:
    seen: dict[str, Any] = {}

    def readable() -> Iterator[Task]:
        for task in todo:
            # before it is read: an input that changes meanwhile is seen the next time
            try:
                seen[task.name] = fingerprint(task)
            except OSError as error:
                seen[task.name] = error
            yield task

    for task, result in zip(todo, fuse(readable()), strict=True):
        inputs, notes = seen.pop(task.name), list(result.notes)
        error = result.error if isinstance(result, Failure) else None
        seconds = {} if isinstance(result, Failure) else dict(result.seconds)
        if error is None and isinstance(inputs, OSError):
            error = inputs
        if error is None:
            records.begin(task, inputs)
            start = time.perf_counter()
            try:
                save(result, task.output)
            except (ValueError, OSError, MemoryError) as problem:
                if getattr(problem, 'errno', None) in _FATAL:
                    raise
                error = problem
            else:
                records.end(task, inputs)
                seconds['save'] = time.perf_counter() - start
        if error is not None:
            note(task, 'failed', error=str(error) or type(error).__name__, notes=notes, seconds=seconds)
        else:
            routes[task.name] = result.routes
            aligned = result.alignment and result.alignment.figures(seen=result.seen)
            note(task, 'done', notes=notes, seconds=seconds, tasks=result.tasks, alignment=aligned)


def remove_leftovers(outputs: Iterable[Path]) -> None:
    """Remove what a killed process left of pictures that are made again: hidden files beside them."""
    wanted: dict[Path, set[str]] = {}
    for path in outputs:
        wanted.setdefault(path.parent, set()).add(path.name)
    for folder, names in wanted.items():
        for path in folder.glob('.*.*') if folder.is_dir() else ():
            # `.NAME.` and eight characters, see lurefusion.io.images.write_bytes
            if path.name[1:-9] in names and path.name[-9] == '.':
                path.unlink(missing_ok=True)
