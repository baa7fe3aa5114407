"""Temporary files: one folder of the process, whose contents go by age, and all of it with the process."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lurefusion.io.locks import take_lock

_PREFIX, _LOCK = 'lurefusion-page-', '.lock'
# results are copied by Gradio as soon as a request is answered
_HANDED_OVER = 30.0
_LOOKS = 10.0


class Scratch:
    """A folder for all that belongs to users.

    What a process that was killed left is removed by the next one. Gradio has `uploads`, and removes what is in it by
    age; folders of single requests (:meth:`folder`) go half a minute after these were answered.

    Args:
        parent: Where it is made; default: the system's place for temporary files.

    Attributes:
        root: The folder.
        uploads: For Gradio.
        examples: Stays as long as the process.
    """

    def __init__(self, parent: str | None = None) -> None:
        place = Path(parent or tempfile.gettempdir())
        self._remove_leftovers(place)
        self.root = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        self._file = (self.root / _LOCK).open('wb')
        take_lock(self._file)
        self.uploads, self.examples, self._work = (self.root / name for name in ('uploads', 'examples', 'work'))
        for folder in (self.uploads, self.examples, self._work):
            folder.mkdir()
        # answered requests, and when
        self._answered: dict[Path, float] = {}
        self._closed = threading.Event()
        threading.Thread(target=self._tidy, name='tidy', daemon=True).start()
        atexit.register(self.close)

    @property
    def places(self) -> tuple[str, ...]:
        """Folders whose paths nobody needs to read."""
        return tuple(dict.fromkeys((str(self.root), str(self.root.resolve()))))

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A new folder for one request, however long that takes; results in it stay for half a minute more."""
        path = Path(tempfile.mkdtemp(dir=self._work))
        try:
            yield path
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        self._answered[path] = time.monotonic()

    def tidy(self) -> None:
        """Remove the folders of requests that were answered long enough ago."""
        for path, when in list(self._answered.items()):
            if time.monotonic() - when > _HANDED_OVER:
                shutil.rmtree(path, ignore_errors=True)
                self._answered.pop(path, None)

    def _tidy(self) -> None:
        while not self._closed.wait(_LOOKS):
            self.tidy()

    def close(self) -> None:
        """Remove everything."""
        atexit.unregister(self.close)
        self._closed.set()
        self._file.close()
        shutil.rmtree(self.root, ignore_errors=True)

    @staticmethod
    def _remove_leftovers(place: Path) -> None:
        for path in place.glob(f'{_PREFIX}*/{_LOCK}'):
            try:
                with path.open('rb') as file:
                    dead = take_lock(file)
            except OSError:  # of somebody else
                continue
            if dead:
                shutil.rmtree(path.parent, ignore_errors=True)
