"""Clips: videos and folders of frames as a stream of pictures with time stamps, and pairs of them by time."""

from __future__ import annotations

import math
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from lurefusion.io.formats import too_large
from lurefusion.io.pairing import list_images

VIDEO_SUFFIXES = (
    '.mp4', '.m4v', '.mov', '.mkv', '.avi', '.webm', '.mpg', '.mpeg', '.ts', '.mts', '.m2ts', '.wmv', '.flv', '.ogv',
    '.3gp', '.mxf', '.seq',
)  # fmt: skip
# frames per second of a folder whose rate nobody gives
FOLDER_RATE = Fraction(25)
# a clip that ends this much (seconds, share of its length) before it says is cut off
_MISSING = 1.0, 0.05
# lines of a picture from which untagged videos have the colours of HD
HD_LINES = 720


def pyav() -> ModuleType:
    """PyAV, which reads and writes videos.

    Raises:
        ImportError: If it is not installed; says how to get it.
    """
    try:
        # its logging stays off, as it is: switched on, FFmpeg's threads wait for Python's lock, and it for them
        import av
    except ImportError:
        raise ImportError('videos need PyAV: pip install "lurefusion[video]" (or: pip install av)') from None
    return av


def open_video(path: str | os.PathLike) -> Any:
    """The container of a video, to be read; titles and tags that are no UTF-8 do not matter."""
    return pyav().open(str(path), metadata_errors='replace')


@dataclass(frozen=True)
class Frame:
    """One picture of a clip.

    Attributes:
        time: Seconds since the beginning of the clip, that of its sound if this is the first.
        picture: (H, W, 3) uint8 RGB; (H, W, 3) float32 in [0, 1] for colour of more than 8 bits; (H, W) uint8 or uint16
            for grey, numbers as stored; the file for frames of a folder.
        name: Stem of the file in a folder, else the number of the frame.
    """

    time: float
    picture: np.ndarray | Path
    name: str


class Clip(ABC):
    """A stream of frames in order of time, which can be read as often as one likes; constant memory.

    Attributes:
        path: File or folder.
        rate: Mean frames per second; None where it is unknown.
        frames: How many there are; None where the file does not say.
        aspect: Width of a pixel by its height; None: square, or unknown.
        has_audio: Whether there is sound to keep.
        notes: What looks wrong, filled while frames are read.
    """

    path: Path
    rate: Fraction | None = None
    frames: int | None = None
    aspect: Fraction | None = None
    has_audio: bool = False

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self.notes: list[str] = []

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """The frames from the first on."""


class FrameFolder(Clip):
    """A folder of pictures, in the order of their names (``frame_2`` before ``frame_10``), one every ``1 / rate`` s.

    Args:
        path: The folder.
        rate: Frames per second; None: 25.
        files: Name -> file, where not all of the folder are meant.
        recursive: Without `files`: look into sub-folders too.

    Attributes:
        times: Of each frame, where they are those of a video.

    Raises:
        FileNotFoundError, ValueError: See :func:`lurefusion.io.pairing.list_images`.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        rate: Fraction | None = None,
        files: Mapping[str, Path] | None = None,
        recursive: bool = True,
    ) -> None:
        super().__init__(path)
        files = list_images(path, recursive) if files is None else files
        self.times: list[float] | None = None
        self.files = {stem: files[stem] for stem in sorted(files, key=_natural)}
        self.rate, self.frames = rate, len(files)

    def __iter__(self) -> Iterator[Frame]:
        rate = self.rate or FOLDER_RATE
        for number, (stem, file) in enumerate(self.files.items()):
            yield Frame(float(number / rate) if self.times is None else self.times[number], file, stem)


class VideoFile(Clip):
    """A video of any kind that FFmpeg reads.

    Frames come upright (rotated and mirrored as the file asks for), with their own time stamps, whatever the rate does.
    Packets that cannot be decoded are left out and noted.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no video, is cut off so that nothing can be read, or has no frame.
        ImportError: Without PyAV.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        super().__init__(path)
        av = pyav()
        if not self.path.is_file():
            raise FileNotFoundError(f'no such video: {path}')
        try:
            with open_video(self.path) as container:
                if not container.streams.video:
                    kinds = ', '.join(sorted({each.type for each in container.streams})) or 'nothing'
                    raise ValueError(f'{path} has no pictures (it holds {kinds}); expected a video')
                stream = container.streams.video[0]
                if problem := too_large(stream.codec_context.width, stream.codec_context.height):
                    raise ValueError(f'{path} {problem}')
                self.rate = stream.average_rate or stream.guessed_rate
                self.frames = stream.frames or None
                self.has_audio = bool(container.streams.audio)
                # that of sound, too, where it is the first: pictures and sound are on one line of time
                self.begin = None if container.start_time is None else container.start_time / av.time_base
                self.aspect = stream.sample_aspect_ratio or None
                length = stream.duration and float(stream.duration * stream.time_base)
                if not length and container.duration:
                    # that of a container counts from 0, its pictures may begin later
                    begin = float((stream.start_time or 0) * stream.time_base)
                    length = max(container.duration / av.time_base - max(begin, 0.0), 0.0)
                self.duration = length or None
        except av.error.FFmpegError as error:
            raise ValueError(
                f'{path} is not a readable video ({self.path.stat().st_size} bytes; {error.strerror}); is it cut off? '
                f'Copy or download it again'
            ) from None
        with open_video(self.path) as container:
            decoded = _decode(container, container.streams.video[0], av)
            shown = next((frame for frame in decoded if frame is not None and not frame.is_corrupt), None)
            if shown is None:
                raise ValueError(f'{path}: not a single frame can be decoded; is it damaged, or of an unknown kind?')
            self._starts = math.inf
            if shown.pts is not None:
                first = float(shown.pts * shown.time_base)
                self.begin = first if self.begin is None else min(self.begin, first)
                self._starts = min(self._first_packet(), first)
            if self.aspect is not None and round(shown.rotation / 90) % 2:
                self.aspect = 1 / self.aspect
            self.aspect = None if self.aspect == 1 else self.aspect

    def _first_packet(self) -> float:
        with open_video(self.path) as container:
            stream = container.streams.video[0]
            stamps = (packet.pts for packet in container.demux(stream) if packet.pts is not None)
            return float(next(stamps, math.inf) * stream.time_base)

    def times(self) -> list[float]:
        """Of all frames, without decoding them."""
        with open_video(self.path) as container:
            stream = container.streams.video[0]
            stamps = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)
            return [float(stamp * stream.time_base) - (self.begin or 0.0) for stamp in stamps]

    def __iter__(self) -> Iterator[Frame]:
        av = pyav()
        self.notes.clear()
        with open_video(self.path) as container:
            stream = container.streams.video[0]
            stream.thread_type = 'AUTO'
            step = float(1 / (self.rate or FOLDER_RATE))
            begin, last = self.begin, None
            broken = number = 0
            try:
                for frame in _decode(container, stream, av):
                    if frame is None or frame.is_corrupt:
                        broken += 1
                        continue
                    time = None if frame.pts is None else float(frame.pts * frame.time_base)
                    if time is None:
                        time = (begin or 0.0) if last is None else last + step
                    begin = time if begin is None else begin
                    if last is None and time - self._starts > 1.5 * step:
                        lost = time - self._starts
                        self.notes.append(f'{self.path}: of its first {lost:.2f} s no frame can be decoded')
                    last = time
                    yield Frame(time - begin, _pixels(frame), f'{number:06}')
                    number += 1
            finally:
                # also where nobody asks for the rest
                if broken:
                    self.notes.append(f'{self.path}: {broken} frames are damaged and left out')
        length = 0.0 if last is None else last - begin
        if self.duration and self.duration - length > max(_MISSING[0], _MISSING[1] * self.duration):
            self.notes.append(f'{self.path} ends after {length:.1f} s of {self.duration:.1f} s: it is cut off')


def _decode(container: Any, stream: Any, av: ModuleType) -> Iterator[Any]:
    """Decoded frames; None for each packet that is damaged."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.FFmpegError:  # the container itself is damaged from here on
            yield None
            return
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            yield None


def _pixels(frame: Any) -> np.ndarray:
    """The picture of a decoded frame, upright; see :class:`Frame`."""
    bits = max(component.bits for component in frame.format.components)
    if frame.format.name.startswith('gray') and bits <= 16:
        picture = frame.to_ndarray()
    elif bits == 8 and _is_full_range(frame) and _is_neutral(frame):
        # the conversion below turns it greenish
        picture = _plane(frame.planes[0])
    else:
        from av.video.reformatter import Colorspace

        untagged = frame.colorspace in (None, 2) and frame.height >= HD_LINES
        target = 'rgb24' if bits <= 8 else 'rgb48le'
        picture = frame.reformat(format=target, src_colorspace=Colorspace.ITU709 if untagged else None).to_ndarray()
        picture = picture if bits <= 8 else picture.astype(np.float32) / 65535
    if (mirrored := _mirrored(frame, picture)) is not None:
        return np.ascontiguousarray(mirrored)
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture


def _mirrored(frame: Any, picture: np.ndarray) -> np.ndarray | None:
    """The picture as a display matrix that mirrors shows it; None where there is none."""
    kept = next((data for data in frame.side_data if data.type.name == 'DISPLAYMATRIX'), None)
    if kept is None:
        return None
    # x' = a x + c y, y' = b x + d y (libavutil/display.h)
    a, b, _, c, d = np.frombuffer(bytes(kept), np.int32)[:5].astype(np.int64)
    if a * d - b * c >= 0:
        return None
    if abs(a) >= abs(b):
        return picture[:, ::-1] if a < 0 else picture[::-1]
    turned = picture.swapaxes(0, 1)
    return turned if b > 0 else turned[::-1, ::-1]


def _is_full_range(frame: Any) -> bool:
    """Whether luma is stored as 0 to 255, in planes of its own."""
    return frame.format.name.startswith('yuvj') or (frame.format.name.startswith('yuv4') and frame.color_range == 2)


def _is_neutral(frame: Any) -> bool:
    return all((_plane(plane) == 128).all() for plane in frame.planes[1:3])


def _plane(plane: Any) -> np.ndarray:
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


def is_video(path: str | os.PathLike) -> bool:
    """Whether a path has the suffix of a video."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def open_clips(
    sources: Mapping[str, str | os.PathLike], rate: Fraction | None = None, recursive: bool = True
) -> dict[str, Clip]:
    """The clips of several modalities.

    Args:
        sources: Modality -> video, or folder of frames.
        rate: Frames per second of the folders. None: 25 if all are folders; beside a video of as many frames, these
            have its times one by one.
        recursive: Frames may lie in sub-folders of the folders.

    Raises:
        FileNotFoundError, ValueError, ImportError: See :class:`VideoFile` and :class:`FrameFolder`; and if a folder's
            rate cannot be known.
    """
    if rate is not None and rate <= 0:
        raise ValueError(f'frames per second must be positive, got {float(rate):g}')
    clips: dict[str, Clip] = {
        name: FrameFolder(path, rate, recursive=recursive) if Path(path).is_dir() else VideoFile(path)
        for name, path in sources.items()
    }
    videos = [clip for clip in clips.values() if isinstance(clip, VideoFile)]
    for name, clip in clips.items():
        if clip.rate is not None or isinstance(clip, VideoFile):
            continue
        known = [video for video in videos if video.frames == clip.frames]
        if videos and not known:
            shown = ', '.join(f'{video.path}: {video.frames or "an unknown number"}' for video in videos)
            raise ValueError(
                f'{name} ({clip.path}) holds {clip.frames} frames, the video beside it another number ({shown}): give '
                f'the frames per second of the folder, --fps'
            )
        clip.rate = known[0].rate if known else FOLDER_RATE
        if known and len(times := known[0].times()) == clip.frames:
            clip.times = times
    return clips


@dataclass
class TimeReport:
    """How two or more clips met, filled while :func:`pair_by_time` runs.

    Attributes:
        pairs: Frames of the reference that have partners.
        before, after: Frames of the reference left out since another clip starts later or ends earlier.
        largest, total: Largest distance in time of a pair and the sum over pairs (the furthest modality), seconds.
    """

    pairs: int = 0
    before: int = 0
    after: int = 0
    largest: float = 0.0
    total: float = 0.0

    def __str__(self) -> str:
        text = f'{self.pairs} frames paired by time, {1000 * self.total / max(self.pairs, 1):.1f} ms apart on average'
        text += f', at most {1000 * self.largest:.1f} ms'
        for count, where in ((self.before, 'before the other clip starts'), (self.after, 'after the other clip ends')):
            text += f'; {count} left out {where}' if count else ''
        return text


def pair_by_time(
    clips: Mapping[str, Clip],
    reference: str,
    offsets: Mapping[str, float] | None = None,
    report: TimeReport | None = None,
) -> Iterator[tuple[float, dict[str, Frame]]]:
    """For each frame of one clip the frames of the others that are nearest in time; constant memory.

    A clip that stands still for a while (a shutter that closes, frames that are lost) keeps its nearest frame. Frames
    of the reference more than one frame before the first, or after the last of another clip have no partner.

    Args:
        clips: Modality -> clip.
        reference: Modality that gives the frames and their times.
        offsets: Modality -> seconds by which its clip starts later than those that have none.
        report: Is filled.

    Yields:
        Time in the reference's clip, seconds, and modality -> frame.
    """
    offsets = offsets or {}
    report = TimeReport() if report is None else report
    start = offsets.get(reference, 0.0)
    others = {
        name: _Nearest(iter(clip), offsets.get(name, 0.0) - start) for name, clip in clips.items() if name != reference
    }
    own = float(1 / clips[reference].rate) if clips[reference].rate else 0.0
    # time stamps are rounded, to milliseconds in some containers
    slack = {name: max(own, float(1 / clips[name].rate) if clips[name].rate else 0.0) + 1e-3 for name in others}
    frames = iter(clips[reference])
    with ExitStack() as stack:
        for read in (frames, *(nearest.frames for nearest in others.values())):
            # what is wrong with a clip is noted when it is closed
            stack.callback(getattr(read, 'close', lambda: None))
        for time, partners in _paired(frames, reference, others, slack, report):
            yield time, {name: partners[name] for name in clips}


def _paired(
    frames: Iterator[Frame],
    reference: str,
    others: Mapping[str, _Nearest],
    slack: Mapping[str, float],
    report: TimeReport,
) -> Iterator[tuple[float, dict[str, Frame]]]:
    for frame in frames:
        found = {name: nearest.at(frame.time) for name, nearest in others.items()}
        distances = {name: time - frame.time for name, (time, _) in found.items()}
        if any(distance > slack[name] and others[name].first for name, distance in distances.items()):
            report.before += 1
        elif any(-distance > slack[name] and others[name].ended for name, distance in distances.items()):
            report.after += 1
        else:
            report.pairs += 1
            apart = max(map(abs, distances.values()), default=0.0)
            report.largest, report.total = max(report.largest, apart), report.total + apart
            partners = {reference: frame, **{name: partner for name, (_, partner) in found.items()}}
            yield frame.time, partners


@dataclass
class _Nearest:
    """The frame nearest to times that never fall."""

    frames: Iterator[Frame]
    offset: float
    current: Frame | None = None
    following: Frame | None = None
    first: bool = True
    ended: bool = field(default=False)

    def __post_init__(self) -> None:
        self.current = next(self.frames)
        self.following = next(self.frames, None)
        self.ended = self.following is None

    def at(self, time: float) -> tuple[float, Frame]:
        time -= self.offset
        # of two that are as near, the later: equal time stamps would hold it up for ever
        while self.following is not None and abs(self.following.time - time) <= abs(self.current.time - time):
            self.current, self.following = self.following, next(self.frames, None)
            self.first, self.ended = False, self.following is None
        return self.current.time + self.offset, self.current


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts numbers inside of names by their value."""
    return [(int(part), '') if part.isdecimal() else (-1, part) for part in re.split(r'(\d+)', name)]
