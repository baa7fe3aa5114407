"""How far a job is: a line that moves on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, TextIO

# seconds between two lines where there is no terminal
_EVERY = 30.0


class Progress:
    """Shows how many of `total` are done, the rate, and the time that is left.

    On a terminal a bar by rich; else plain lines, at the start of which is ``120/500``. What costs no time (`quick`)
    does not count for the rate.

    Args:
        total: None where it is unknown.
        unit: What is counted: ``pictures``, ``frames``.
        stream: Default: standard error.
    """

    def __init__(self, total: int | None, unit: str = 'pictures', stream: TextIO | None = None) -> None:
        self.total, self.unit = total, unit
        self.stream = sys.stderr if stream is None else stream
        self.count = self.slow = 0
        self.start = self.said = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if self.stream.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
            from rich.progress import Progress as Bar

            columns = (BarColumn(), MofNCompleteColumn(), TextColumn('{task.description}'))
            self._bar = Bar(*columns, console=Console(file=self.stream), transient=True)
            self._bar.start()
            self._row = self._bar.add_task('', total=self.total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, quick: bool = False) -> None:
        """One more is done."""
        self.count += 1
        self.slow += not quick
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._row, completed=self.count, description=self.text(now))
        elif now - self.said >= _EVERY:
            self.said = now
            whole = '' if self.total is None else f'/{self.total}'
            print(f'{self.count}{whole} {self.text(now)}', file=self.stream, flush=True)

    def text(self, now: float) -> str:
        """Rate and time left at a moment of the monotonic clock."""
        seconds = now - self.start
        if not self.slow or seconds <= 0:
            return ''
        rate = self.slow / seconds
        shown = f'{rate:.1f} {self.unit}/s' if rate >= 1 else f'{1 / rate:.1f} s for one'
        if self.total is None:
            return shown
        left = round((self.total - self.count) / rate)
        hours, rest = divmod(left, 3600)
        clock = f'{hours}:{rest // 60:02}:{rest % 60:02}' if hours else f'{rest // 60}:{rest % 60:02}'
        return f'{shown}, {clock} left'
