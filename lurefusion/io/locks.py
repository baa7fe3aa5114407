"""Locks by which processes that share a folder keep out of each other's way; they end with their process."""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_TAKEN = (errno.EWOULDBLOCK, errno.EACCES)


def take_lock(file: int | IO, unknown: bool = True) -> bool:
    """Lock an open file for this process; whether that was possible.

    The lock ends when the file is closed, and so with the process, however that ends; children that it forks hold it
    too. On file systems without locks (some network ones) the answer is `unknown`.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return unknown and error.errno not in _TAKEN
    return True


@contextmanager
def sole_process(path: Path, what: str) -> Iterator[None]:
    """Be the only process that does something to a folder; `path` is the file that is locked for it.

    The lock is this process's alone: the workers of a killed process do not keep the next one out.

    Raises:
        BlockingIOError: If another process does it; `what` says what it does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('a') as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _TAKEN:
                raise BlockingIOError(
                    f'another process {what} {path.parent}: wait for it, or take another folder'
                ) from None
        yield
