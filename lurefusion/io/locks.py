"""Locks by which processes that share a folder keep out of each other's way; they end with their process."""

from __future__ import annotations

import errno
import fcntl
from typing import IO


def take_lock(file: int | IO) -> bool:
    """Lock an open file for this process; whether that was possible.

    The lock ends when the file is closed, and so with the process, however that ends. On file systems without locks
    (some network ones) every process gets it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True
