"""What a stranger may send: bytes, pixels, files, frames; looked at before anything is decoded."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from lurefusion.io import formats
from lurefusion.io.images import READ_SUFFIXES

#: Pillow's readers of the suffixes that are taken; none of them runs another program
_FORMATS = ('PNG', 'JPEG', 'BMP', 'TIFF', 'WEBP')
#: how videos begin, (offset, bytes): FFmpeg also reads lists of other files, which a stranger must not give
_VIDEOS = {
    (4, b'ftyp'): ('.mp4', '.m4v', '.mov'),
    (0, b'\x1a\x45\xdf\xa3'): ('.mkv', '.webm'),
    (8, b'AVI '): ('.avi',),
}
CLIP_SUFFIXES = tuple(suffix for suffixes in _VIDEOS.values() for suffix in suffixes)
MEGA = 2**20


@dataclass(frozen=True)
class Limits:
    """What is refused.

    Attributes:
        picture_mb: Size of a picture's file, in units of 2^20 bytes.
        archive_mb: Size of an archive or of a video; unpacked, an archive may be four times this.
        megapixels: Pixels of a picture or frame, in millions.
        files: Pictures in an archive, of all modalities together.
        frames: Of a clip.
        queue: Requests that wait.
        keep: Seconds after which files of users are removed.

    Raises:
        ValueError: If one of them is not above 0.
    """

    picture_mb: float = 32
    archive_mb: float = 256
    megapixels: float = 16
    files: int = 200
    frames: int = 300
    queue: int = 16
    keep: int = 1800

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f'the limit --{name.replace("_", "-")} must be above 0, got {value}')

    @property
    def upload(self) -> int:
        """Bytes of the largest upload that any part of the page takes."""
        return int(max(self.picture_mb, self.archive_mb) * MEGA)

    def check_size(self, path: str | os.PathLike, most_mb: float) -> None:
        """Refuse a file that is gone, empty or too large.

        Raises:
            FileNotFoundError, ValueError: Say what.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f'{path.name} is no longer here (files are kept for {minutes(self.keep)}): send it again'
            )
        size = path.stat().st_size
        if not size:
            raise ValueError(f'{path.name} is empty')
        if size > most_mb * MEGA:
            raise ValueError(f'{path.name} has {size / MEGA:.1f} MB; at most {most_mb:g} MB are taken')

    def check_picture(self, path: str | os.PathLike) -> tuple[int, int]:
        """Refuse a file that is no picture or too large, by its header: nothing is decoded.

        Returns:
            Width and height.

        Raises:
            FileNotFoundError, ValueError: Say what.
        """
        path = Path(path)
        self.check_size(path, self.picture_mb)
        if path.suffix.lower() not in READ_SUFFIXES:
            raise ValueError(f'{path.name} is no picture of a kind that is taken: {", ".join(READ_SUFFIXES)}')
        try:
            with warnings.catch_warnings():
                # Pillow's own limit: ours is said below
                warnings.simplefilter('ignore', Image.DecompressionBombWarning)
                with Image.open(path, formats=_FORMATS) as image:
                    width, height = image.size
        except Image.DecompressionBombError:
            raise ValueError(f'{path.name} has too many pixels; {self._pixels} are taken') from None
        except (OSError, ValueError, SyntaxError, TypeError, OverflowError):
            # Pillow knows fewer kinds of TIFF than OpenCV
            size = formats.tiff_size(path.read_bytes())
            if size is None:
                raise ValueError(
                    f'{path.name} cannot be read as a picture: it is damaged, or its name says another kind than it is'
                ) from None
            width, height = size
        self.check_pixels(path.name, width, height)
        return width, height

    def check_pixels(self, name: str, width: int, height: int) -> None:
        """Refuse too many pixels; ValueError says how many there are."""
        if width * height > self.megapixels * 1e6:
            raise ValueError(f'{name} has {width}x{height} pixels; {self._pixels} are taken')

    @property
    def _pixels(self) -> str:
        return f'at most {self.megapixels:g} million'

    def check_clip(self, path: str | os.PathLike) -> None:
        """Refuse a file that is no video, is too large or too long, by its header.

        Raises:
            FileNotFoundError, ValueError: Say what.
            ImportError: If PyAV is missing.
        """
        from lurefusion.io.clips import open_video, pyav

        path = Path(path)
        self.check_size(path, self.archive_mb)
        with path.open('rb') as file:
            start = file.read(16)
        kinds = [kinds for (at, magic), kinds in _VIDEOS.items() if start[at : at + len(magic)] == magic]
        if not kinds or path.suffix.lower() not in kinds[0]:
            raise ValueError(f'{path.name} is no video of a kind that is taken: {", ".join(CLIP_SUFFIXES)}')
        try:
            with open_video(path) as container:
                streams = container.streams.video
                if not streams:
                    raise ValueError(f'{path.name} cannot be read as a video: there are no pictures in it')
                self.check_pixels(path.name, streams[0].width, streams[0].height)
                self.check_frames(path.name, streams[0].frames)
        except pyav().error.FFmpegError:
            raise ValueError(f'{path.name} cannot be read as a video: it is damaged or cut off') from None

    def check_frames(self, name: str, frames: int) -> None:
        """Refuse a clip that is too long; ValueError says how many frames there are."""
        if frames > self.frames:
            raise ValueError(f'{name} has {frames} frames; at most {self.frames} are taken: cut a part out')


def minutes(seconds: float) -> str:
    """A time in words: ``30 minutes``."""
    return f'{seconds / 60:g} minute{"" if seconds == 60 else "s"}' if seconds >= 60 else f'{seconds:g} seconds'
