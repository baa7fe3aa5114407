"""A clip that becomes a folder of frames, as a job: frames that are there and made of the same are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from lurefusion.io.clips import Clip, Frame
from lurefusion.io.video import FrameFolderWriter
from lurefusion.runtime.jobs import Records, Shard, Task, fingerprint, remove_leftovers
from lurefusion.structures import Failure


@dataclass(frozen=True)
class Kept(Failure):
    """Takes the place of a frame that is there already.

    Attributes:
        luma: Mean and standard deviation that it had before it was damped; None if that was not asked for.
    """

    luma: tuple[float, float] | None = None


class FrameJob:
    """Writes frames to a folder and remembers there what they were made of; used in a ``with`` statement.

    Args:
        out: The folder.
        clips: Modality -> clip.
        settings: What the frames depend on beside their clips: weights, options, how they are paired.
        bit_depth: 8 or 16.
        overwrite: Replace frames that were made otherwise.

    Raises:
        FileExistsError: If there are frames that were made otherwise, and not `overwrite`.
        ValueError: See :class:`lurefusion.io.video.FrameFolderWriter`.
    """

    def __init__(
        self, out: Path, clips: Mapping[str, Clip], settings: Mapping[str, Any], bit_depth: int, overwrite: bool
    ) -> None:
        self.writer = FrameFolderWriter(out, bit_depth=bit_depth)
        self.clips, self.overwrite = clips, overwrite
        self.records = Records(out, Shard(), settings)
        self._claimed = False
        self._inputs: dict[str, Any] = {}
        if not overwrite and any(self.writer.file(name).exists() for name in self.records.made_otherwise):
            raise FileExistsError(f'{out} holds frames {_OTHERWISE}')

    def __enter__(self) -> FrameJob:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.records.close()

    def kept(self, name: str, frames: Mapping[str, Frame], anew: bool = False) -> Kept | None:
        """What stands for a frame that is there and made of the same; None if it is to be made, as with `anew`.

        Raises:
            FileExistsError: If it is there, made otherwise, and not to be replaced.
        """
        task = self._task(name, frames)
        state = self.records.state(task)
        if state == 'same' and not anew:
            return Kept(name, FileExistsError(task.output), luma=self.records.kept(name).get('luma'))
        if state == 'other' and not self.overwrite:
            raise FileExistsError(f'{task.output} is one of the frames {_OTHERWISE}')
        # before it is read: a file that changes meanwhile is seen the next time
        self._inputs[name] = fingerprint(task)
        return None

    def write(
        self, name: str, frames: Mapping[str, Frame], picture: np.ndarray, luma: tuple[float, float] | None
    ) -> None:
        """Write a frame; see :class:`Kept` for `luma`."""
        task = self._task(name, frames)
        if not self._claimed:
            self.records.claim()
            remove_leftovers([self.writer.file(each) for each in self.records.unfinished])
            self._claimed = True
        inputs = self._inputs.pop(name)
        self.records.begin(task, inputs)
        self.writer.write(picture, 0.0, name)
        self.records.end(task, inputs, luma=luma)

    def _task(self, name: str, frames: Mapping[str, Frame]) -> Task:
        files = {
            role: frame.picture if isinstance(frame.picture, Path) else Path(self.clips[role].path)
            for role, frame in frames.items()
        }
        return Task(name, files, self.writer.file(name))


_OTHERWISE = (
    'that were made otherwise (other clips, weights or options): --overwrite (overwrite=True) replaces them; or choose '
    'another folder'
)
