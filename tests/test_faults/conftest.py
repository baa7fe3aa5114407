"""Commands in processes that are killed at moments drawn by seed; the counts go to $LUREFUSION_FAULTS, as JSON."""

import importlib.util
import json
import os
import re
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from lurefusion.weights import read_weights

TICKS = os.sysconf('SC_CLK_TCK')


def _small() -> object:
    """The pipeline of the tests of the tools: seconds long."""
    path = Path(__file__).parents[1] / 'test_tools' / 'conftest.py'
    spec = importlib.util.spec_from_file_location('small_pipeline', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """Config of a pipeline of two stages."""
    small, folder = _small(), tmp_path / 'configs'
    folder.mkdir()
    (folder / 'small_stage1.py').write_text(small.STAGE1)
    (folder / 'small_stage2.py').write_text(small.STAGE2)
    (folder / 'small.py').write_text("stages = ['small_stage1.py', 'small_stage2.py']\n")
    return folder / 'small.py'


class Process:
    """A function in a forked process of its own; what it prints goes to a file."""

    def __init__(self, work: Callable[[], int], folder: Path, log: Path) -> None:
        self.log, self.code = log, None
        log.parent.mkdir(parents=True, exist_ok=True)
        self.pid = os.fork()
        if self.pid == 0:
            self._child(work, folder)

    def _child(self, work: Callable[[], int], folder: Path) -> None:
        code = 99
        try:
            file = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, 1)
            os.dup2(file, 2)
            sys.stdout, sys.stderr = (os.fdopen(n, 'w', buffering=1, closefd=False) for n in (1, 2))
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.chdir(folder)
            code = work()
            sys.stdout.flush()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def seconds(self) -> float:
        """Of processor time, so that a moment is the same one on a busy machine."""
        fields = Path(f'/proc/{self.pid}/stat').read_text().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def ended(self) -> bool:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code is not None

    def wait(self) -> float:
        """Processor time until it ends."""
        used = 0.0
        while not os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
            time.sleep(0.005)
        used = self.seconds()
        self.ended()
        return used

    def kill_at(
        self, moment: float, kind: signal.Signals, clock: Callable[[], float] | None = None, after: str = ''
    ) -> bool:
        """Send a signal when `clock` (default: processor time) has gone so far; False if it ended before.

        It begins to count when the log holds `after`, an expression.
        """
        clock, start = clock or self.seconds, None
        while not self.ended():
            if start is None and (not after or re.search(after, self.log.read_text(errors='replace'), re.DOTALL)):
                start = clock() if after else 0.0
            if start is not None and clock() - start >= moment:
                os.kill(self.pid, kind)
                self.wait()
                return self.code in (-kind, 128 + kind)
            time.sleep(0.001)
        return False


def check_whole(folder: Path) -> None:
    """Whatever has its final name can be read; logs grow line by line."""
    for path in folder.rglob('*'):
        inner = path.relative_to(folder)
        if not path.is_file() or any(part.startswith('.') for part in inner.parts) or path.name == 'lock':
            continue
        kind = path.suffix
        if kind == '.pth' or kind == '.safetensors':
            read_weights(path)
        elif kind == '.json' and path.name not in ('scalars.json',) and 'vis_data' not in inner.parts:
            json.loads(path.read_text())
        elif kind in ('.png', '.jpg'):
            assert cv2.imread(str(path), cv2.IMREAD_UNCHANGED) is not None, path
        elif kind == '.npz':
            with np.load(path) as file:
                assert [file[name] for name in file.files]
        elif kind == '.py':
            compile(path.read_text(), path, 'exec')
        elif kind in ('.mp4', '.mkv'):
            from lurefusion.io.clips import VideoFile

            assert len(list(VideoFile(path)))
        elif kind == '.onnx':
            import onnx

            onnx.checker.check_model(onnx.load(path))
        elif kind in ('.csv', '.md'):
            assert path.read_text()


def hidden(folder: Path) -> list[str]:
    """Files that nobody is to see, but for the records and locks of the package."""
    found = (path for path in folder.rglob('.*') if path.is_file() and path.name not in ('.training', '.lock'))
    return sorted(path.name for path in found)


class Tally:
    """How often what was done to which phase, and how often it was survived."""

    def __init__(self) -> None:
        self.injected: Counter[tuple[str, str]] = Counter()
        self.survived: Counter[tuple[str, str]] = Counter()

    def rows(self) -> list[dict]:
        keys = sorted(self.injected)
        return [dict(phase=k[0], fault=k[1], injected=self.injected[k], survived=self.survived[k]) for k in keys]


@pytest.fixture(scope='session')
def tally() -> Iterator[Tally]:
    counts = Tally()
    yield counts
    target = os.environ.get('LUREFUSION_FAULTS')
    if target:
        Path(target).write_text(json.dumps(counts.rows(), indent=1) + '\n')


@pytest.fixture
def killing(tally: Tally, tmp_path: Path) -> Callable[..., None]:
    """Kills a command again and again until it ends by itself, and compares what it left with an unbroken run."""

    def run(
        name: str,
        work: Callable[[Path, bool], int],
        compare: Callable[[Path, Path], None],
        kind: signal.Signals,
        kills: int,
        seed: int,
        phase: Callable[[str], str] | None = None,
        wall: bool = False,
        after: Sequence[tuple[str, float]] = (('', 1.0),),
    ) -> None:
        whole, broken, log = tmp_path / 'whole', tmp_path / 'broken', tmp_path / 'logs' / 'log.txt'
        for folder in (whole, broken):
            folder.mkdir()
        begun = time.monotonic()
        process = Process(lambda: work(whole, False), whole, log)
        length = process.wait()
        assert process.code == 0, log.read_text()[-3000:]
        length = time.monotonic() - begun if wall else length
        check_whole(whole)
        rng = np.random.default_rng(seed)
        faults: Counter[tuple[str, str]] = Counter()
        tries = 0
        while sum(faults.values()) < kills and tries < 3 * kills:
            tries += 1
            process = Process(lambda: work(broken, True), broken, log)
            start = time.monotonic()
            clock = (lambda start=start: time.monotonic() - start) if wall else None
            # in their order, so that the later ones find the earlier ones done
            marker, part = after[min(sum(faults.values()) * len(after) // kills, len(after) - 1)]
            if process.kill_at(float(rng.uniform(0, part * length)), kind, clock, marker):
                at = phase(log.read_text()) if phase else name
                faults[at, kind.name] += 1
                tally.injected[at, kind.name] += 1
                check_whole(broken)
                if kind == signal.SIGTERM:
                    # a terminated command cleans up behind itself
                    assert process.code in (143, -15), (process.code, log.read_text()[-2000:])
                    assert not [n for n in hidden(broken) if 'partfile' in n], log.read_text()[-2000:]
            else:
                assert process.code == 0, log.read_text()[-3000:]
                compare(whole, broken)
                for path in list(broken.iterdir()):
                    path.rename(tmp_path / f'done_{tries}_{path.name}')
        process = Process(lambda: work(broken, True), broken, log)
        process.wait()
        assert process.code == 0, log.read_text()[-3000:]
        check_whole(broken)
        compare(whole, broken)
        assert hidden(broken) == hidden(whole)
        tally.survived.update(faults)

    return run
