"""Memory: what a process has freed and will want again in the next picture or step, and where it runs out."""

from __future__ import annotations

import ctypes
import mmap
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache

import torch

# numbers of malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# of mman.h
_HUGEPAGE = 14
MEGABYTE = 2**20
#: blocks below this come from the heap, whose free end is kept up to `KEPT`; larger ones would leave holes in it
LARGEST = 32 * MEGABYTE
KEPT = 512 * MEGABYTE


#: as allocators of the CPU word it
_WORDS = ("can't allocate memory", 'out of memory', 'Failed to allocate memory')
#: errors of allocators; see :func:`ran_out`
MEMORY_ERRORS = (MemoryError, RuntimeError)


def ran_out(error: BaseException) -> bool:
    """Whether an error, of many kinds, says that memory has run out."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)


def first_that_fits(sizes: Sequence[int], attempt: Callable[[int], object]) -> int | None:
    """The first of some sizes that can be attempted without running out of memory; None: none of them."""
    for size in sizes:
        free_cached()
        with suppress(*MEMORY_ERRORS):
            attempt(size)
            return size
    return None


def free_cached() -> None:
    """Give back what PyTorch keeps of a GPU's memory."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def out_of_memory(what: str, advice: Callable[[], str] = lambda: '') -> Iterator[None]:
    """One clear MemoryError for all that libraries raise when memory runs out; other errors pass.

    Args:
        what: What does not fit, in brackets.
        advice: Finds out what would fit; called when what was allocated is free again.
    """
    try:
        yield
        return
    except MEMORY_ERRORS as error:
        if not ran_out(error):
            raise
        # its traceback holds what was allocated
        error.__traceback__ = None
    raise MemoryError(
        f'the pair does not fit into memory{what}: {advice()}scale it down, cut it into parts, or take another device '
        f'(cpu where a GPU is too small)'
    )


@cache
def keep_freed_memory() -> bool:
    """Let the C library keep freed memory instead of returning it to the kernel, which has to clear it anew each time.

    A forward pass or a training step frees and asks for the same blocks over and over; handed back and fetched again,
    page by page, they cost a fifth to a third of its time. From now on the process keeps up to 512 MB of what it has
    freed, in pages of 2 MB where the kernel has them, and blocks above 32 MB are handed back as before. Has an effect
    with the GNU C library on Linux alone, and only on its own allocator.

    Returns:
        Whether it took effect.
    """
    if platform.system() != 'Linux' or platform.libc_ver()[0] != 'glibc':
        return False
    try:
        library = ctypes.CDLL(None)
        mallopt = library.mallopt
    except (OSError, AttributeError):
        return False
    kept = bool(mallopt(_MMAP_THRESHOLD, LARGEST)) and bool(mallopt(_TRIM_THRESHOLD, KEPT))
    if kept:
        _advise_huge_pages(library)
    return kept


def _advise_huge_pages(library: ctypes.CDLL) -> None:
    """Ask for large pages below what the heap will keep: one fault and one clearing for 512 small ones.

    The heap is grown once by blocks that nobody writes to, so that they take no memory, and gets them back as free.
    """
    library.malloc.restype = ctypes.c_void_p
    page, size = mmap.PAGESIZE, LARGEST - MEGABYTE
    blocks = [block for _ in range(KEPT // LARGEST) if (block := library.malloc(ctypes.c_size_t(size)))]
    for block in blocks:
        start, end = block // page * page, -(-(block + size) // page) * page
        library.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _HUGEPAGE)
    for block in blocks:
        library.free(ctypes.c_void_p(block))
