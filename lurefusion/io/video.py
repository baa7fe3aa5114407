"""Writing clips: a video, or a folder of frames; whole or not at all."""

from __future__ import annotations

import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from lurefusion.io.clips import FOLDER_RATE, HD_LINES, VideoFile, is_video, open_video, pyav
from lurefusion.io.codecs import Encoding, choose_encoding, muxer_of
from lurefusion.io.images import umask, write_image
from lurefusion.io.locks import take_lock
from lurefusion.io.pairing import check_output
from lurefusion.io.ranges import to_uint8

# ticks of a second that MPEG-4 takes
_MOST_TICKS = 65535
# fine enough for all usual rates (1001/30000 s is 2002 of it)
_TICK = Fraction(1, 60000)


class ClipWriter(ABC):
    """Takes frames one after the other; used in a ``with`` statement, which finishes or takes back."""

    def __enter__(self) -> ClipWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.discard()

    @abstractmethod
    def write(self, picture: np.ndarray, time: float, name: str) -> None:
        """Append a picture, (H, W) or (H, W, 3), uint8, uint16 or float in [0, 1], shown at `time` (seconds)."""

    @abstractmethod
    def finish(self) -> None:
        """Bring the clip to its place."""

    @abstractmethod
    def discard(self) -> None:
        """Leave nothing of an unfinished clip under its name."""


class FrameFolderWriter(ClipWriter):
    """A folder with one picture for each frame, each written atomically."""

    def __init__(self, path: str | os.PathLike, suffix: str = '.png', bit_depth: int = 8) -> None:
        self.path, self.suffix, self.bit_depth = Path(path), suffix, bit_depth
        check_output(self.path, folder=True)
        check_output(self.path / f'a{suffix}', bit_depth=bit_depth)

    def write(self, picture: np.ndarray, time: float, name: str) -> None:
        write_image(self.file(name), picture, self.bit_depth)

    def file(self, name: str) -> Path:
        """Of a frame."""
        return self.path / f'{name}{self.suffix}'

    def finish(self) -> None:
        """Nothing is left to do."""

    def discard(self) -> None:
        """Every frame is whole by itself: those that are done stay."""


class VideoWriter(ClipWriter):
    """A video, written under a hidden name beside its place and renamed when it is whole.

    Frames keep their times, also where the rate varies; `.avi` knows constant rates alone. The first frame is shown at
    0. What a killed process left behind is removed by the next that writes the same video.

    Args:
        path: The video.
        size: (width, height) of the frames.
        encoding: See :func:`choose_encoding`.
        rate: Frames per second, of the reference; None: 25.
        audio: Video whose first sound track is copied, cut to the frames that are written.
        aspect: Width of a pixel by its height; None: square.

    Raises:
        ValueError: If the container does not take the sound as it is; if another process writes the same video.
        OSError: If the place cannot be written to.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        size: tuple[int, int],
        encoding: Encoding,
        rate: Fraction | None = None,
        audio: VideoFile | None = None,
        aspect: Fraction | None = None,
    ) -> None:
        self.aspect = aspect
        self.path, self.size, self.encoding = Path(path), size, encoding
        self.rate = rate or FOLDER_RATE
        suffix = self.path.suffix.lower()
        # averages of a variable rate are fractions of large numbers
        self.tick = (1 / self.rate).limit_denominator(_MOST_TICKS) if suffix == '.avi' else _TICK
        self._start: float | None = None
        self._last = -1
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._remove_leftovers()
        try:
            self._handle, temporary = tempfile.mkstemp(
                dir=self.path.parent, prefix=f'.{self.path.name}.', suffix=suffix
            )
        except OSError as error:
            # not the hidden name, which nobody has asked for
            raise OSError(error.errno, error.strerror, str(self.path)) from None
        self._temporary = Path(temporary)
        take_lock(self._handle)
        self._audio: _Sound | None = None
        try:
            # the index in front, so that a browser can begin before it has all
            extra = {'movflags': '+faststart'} if suffix in ('.mp4', '.m4v', '.mov') else {}
            self._container = pyav().open(temporary, 'w', format=muxer_of(suffix), options=extra)
            self._stream = self._add_stream()
            if audio is not None:
                self._audio = _Sound(audio, self._container, self.path)
            self._container.start_encoding()
        except BaseException as error:
            self.discard()
            if isinstance(error, pyav().error.FFmpegError):
                raise ValueError(f'FFmpeg does not write {self.path} with {encoding}: {error.strerror}') from None
            raise

    def _add_stream(self) -> Any:
        options = dict(self.encoding.options)
        qscale = options.pop('qscale', None)
        stream = self._container.add_stream(self.encoding.codec, rate=self.rate, options=options)
        stream.width, stream.height = self.size
        stream.pix_fmt = self.encoding.pixel_format
        context = stream.codec_context
        context.time_base = self.tick
        if self.aspect is not None:
            context.sample_aspect_ratio = self.aspect
        if not self._is_rgb:
            context.colorspace = self._matrix
        # grey is written as it is: without a word, readers take that of H.264 for the range of television
        if self.encoding.grey or not self._is_rgb:
            context.color_range = self._range
        if self.encoding.codec == 'libx265':
            context.options = {**options, 'x265-params': 'log-level=none'}
        if qscale is not None:
            context.qmin = context.qmax = int(qscale)
        return stream

    @property
    def _is_rgb(self) -> bool:
        return self.encoding.grey or self.encoding.pixel_format.startswith(('gbr', 'rgb', 'bgr', 'pal'))

    @property
    def _matrix(self) -> int:
        # by the number of lines, as readers assume where the container cannot say it: BT.709 for HD, else BT.601
        hd = self.size[1] >= HD_LINES and self.encoding.codec != 'mjpeg'
        return int(pyav().video.reformatter.Colorspace.ITU709 if hd else pyav().video.reformatter.Colorspace.ITU601)

    @property
    def _range(self) -> int:
        ranges = pyav().video.reformatter.ColorRange
        full = self.encoding.grey or self.encoding.pixel_format.startswith('yuvj')
        return int(ranges.JPEG if full else ranges.MPEG)

    def write(self, picture: np.ndarray, time: float, name: str = '') -> None:
        """Append a frame; see :class:`ClipWriter`.

        Raises:
            ValueError: On another size than the first frame's.
        """
        height, width = picture.shape[:2]
        if (width, height) != self.size:
            raise ValueError(f'{self.path}: a frame of {width}x{height} pixels in a clip of {self.size}')
        self._start = time if self._start is None else self._start
        frame = self._frame(picture)
        # two frames never share a tick
        self._last = max(round((time - self._start) / self.tick), self._last + 1)
        frame.pts, frame.time_base = self._last, self.tick
        self._mux(self._stream.encode(frame))

    def _frame(self, picture: np.ndarray) -> Any:
        av = pyav()
        deep = self.encoding.bits > 8
        pixels = _sixteen_bit(picture) if deep else _eight_bit(picture)
        if self.encoding.grey:
            pixels = _luma(pixels)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format='gray16le' if deep else 'gray')
        else:
            pixels = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format='rgb48le' if deep else 'rgb24')
        if frame.format.name == self.encoding.pixel_format:
            return frame
        if self._is_rgb:
            return frame.reformat(format=self.encoding.pixel_format)
        return frame.reformat(
            format=self.encoding.pixel_format, dst_colorspace=self._matrix, dst_color_range=self._range
        )

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            self._container.mux(packet)
            if self._audio is not None and packet.dts is not None:
                self._audio.copy(self._start, float(packet.dts * packet.time_base))

    def finish(self) -> None:
        """Write what is left and bring the video to its place.

        Raises:
            ValueError: If no frame was written.
        """
        try:
            if self._start is None:
                raise ValueError(f'no frame for {self.path}: nothing was written')
            self._mux(self._stream.encode(None))
            if self._audio is not None:
                self._audio.copy(self._start, float(self._last * self.tick + 1 / self.rate))
            self._close()
            self._temporary.chmod(0o666 & ~umask())
            self._temporary.replace(self.path)
        except BaseException as error:
            self.discard()
            if isinstance(error, pyav().error.FFmpegError):
                raise OSError(f'cannot write {self.path}: {error.strerror}') from None
            raise
        os.close(self._handle)
        self._handle = -1

    def discard(self) -> None:
        """Remove the unfinished video; the former one under the name stays."""
        try:
            self._close()
        except (pyav().error.FFmpegError, AttributeError):  # it was never opened, or the disk is full
            pass
        self._temporary.unlink(missing_ok=True)
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _close(self) -> None:
        if self._audio is not None:
            self._audio.close()
        self._container.close()

    def _remove_leftovers(self) -> None:
        """Remove what processes that were killed left; refuse to write beside one that lives."""
        for path in self.path.parent.glob(f'.{_escaped(self.path.name)}.????????{_escaped(self.path.suffix.lower())}'):
            with path.open('rb') as file:
                if not take_lock(file):
                    raise ValueError(f'another process is writing {self.path}: wait for it, or choose another name')
            path.unlink(missing_ok=True)


class _Sound:
    """The sound track of a video, copied as it is into another."""

    def __init__(self, clip: VideoFile, target: Any, path: Path) -> None:
        self._source = open_video(clip.path)
        track = self._source.streams.audio[0]
        name = track.codec_context.name
        canonical = track.codec_context.codec.canonical_name
        if canonical not in target.supported_codecs:
            self._source.close()
            raise ValueError(
                f'{path.suffix} does not take the sound of {clip.path} as it is ({name}): write .mkv, or leave the '
                f'sound out (--no-audio)'
            )
        self._target = target
        self._stream = target.add_stream_from_template(track)
        self._zero = clip.begin or 0.0
        self._packets: Iterator[Any] = self._source.demux(track)
        self._waiting: Any = None

    def copy(self, start: float, until: float) -> None:
        """Copy what sounds before `until` seconds after `start`, which is counted from the beginning of the clip."""
        while True:
            packet = self._waiting or next(self._packets, None)
            self._waiting = None
            if packet is None:
                return
            if packet.pts is None:  # the empty packet at the end
                continue
            shift = round((self._zero + start) / packet.time_base)
            begin = packet.pts - shift
            if float(begin * packet.time_base) >= until:
                self._waiting = packet
                return
            # sound that a codec needs before the beginning stays at the beginning of a clip
            if begin < 0 and (start > 0 or begin + (packet.duration or 0) < 0):
                continue
            packet.pts = begin
            packet.dts = begin if packet.dts is None else packet.dts - shift
            packet.stream = self._stream
            self._target.mux(packet)

    def close(self) -> None:
        self._source.close()


def _eight_bit(picture: np.ndarray) -> np.ndarray:
    if picture.dtype == np.uint16:
        return np.round(picture / 257).astype(np.uint8)
    return picture if picture.dtype == np.uint8 else to_uint8(picture)


def _sixteen_bit(picture: np.ndarray) -> np.ndarray:
    if picture.dtype == np.uint8:
        return picture.astype(np.uint16) * 257
    if picture.dtype == np.uint16:
        return picture
    return np.round(np.clip(picture, 0, 1) * 65535).astype(np.uint16)


def _luma(pixels: np.ndarray) -> np.ndarray:
    if pixels.ndim == 2:
        return pixels
    return np.round(pixels @ np.array([0.299, 0.587, 0.114])).astype(pixels.dtype)


def _escaped(text: str) -> str:
    return ''.join(f'[{char}]' if char in '*?[' else char for char in text)


def open_writer(
    path: str | os.PathLike,
    size: tuple[int, int],
    rate: Fraction | None = None,
    audio: VideoFile | None = None,
    codec: str | None = None,
    pixel_format: str | None = None,
    quality: int | None = None,
    bit_depth: int = 8,
    aspect: Fraction | None = None,
) -> ClipWriter:
    """The writer of a video, or of a folder of frames where the path has no suffix of a video.

    Raises:
        ValueError, OSError: See :func:`choose_encoding`, :class:`VideoWriter`, :class:`FrameFolderWriter`; and on
            options of a video for a folder.
    """
    if is_video(path):
        return VideoWriter(path, size, choose_encoding(path, size, codec, pixel_format, quality), rate, audio, aspect)
    refuse_encoding(path, dict(codec=codec, pixel_format=pixel_format, quality=quality))
    return FrameFolderWriter(path, bit_depth=bit_depth)


def refuse_encoding(path: str | os.PathLike, given: Mapping[str, Any]) -> None:
    """Refuse options of a video for a folder of frames: name -> value, None where it is not given."""
    wrong = [f'--{name.replace("_", "-")}' for name, value in given.items() if value is not None]
    if wrong:
        raise ValueError(f'{", ".join(wrong)}: only for videos, and {path} is to be a folder of frames')
