"""What videos are written with: containers, codecs, pixel formats and qualities that this FFmpeg has."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lurefusion.io.clips import pyav

# containers that can be written, and the codecs for them, the preferred first
CONTAINERS = {
    '.mp4': ('libx264', 'libopenh264', 'mpeg4'),
    '.m4v': ('libx264', 'libopenh264', 'mpeg4'),
    '.mov': ('libx264', 'libopenh264', 'mpeg4'),
    '.mkv': ('libx264', 'libopenh264', 'ffv1'),
    '.avi': ('mpeg4', 'ffv1'),
    '.webm': ('libvpx-vp9', 'libsvtav1', 'libaom-av1'),
}


@dataclass(frozen=True)
class Quality:
    """How a codec takes its quality: option of the codec, best and worst value, default. Lower is better."""

    option: str
    best: int
    worst: int
    default: int


_CRF = Quality('crf', 0, 51, 18)
QUALITIES = {
    'libx264': _CRF,
    'libx264rgb': _CRF,
    'libx265': Quality('crf', 0, 51, 20),
    'libvpx-vp9': Quality('crf', 0, 63, 24),
    'libsvtav1': Quality('crf', 1, 63, 24),
    'libaom-av1': Quality('crf', 0, 63, 24),
    'mpeg4': Quality('qscale', 1, 31, 3),
    'mjpeg': Quality('qscale', 1, 31, 3),
}
# without loss, and so without quality
LOSSLESS = ('ffv1', 'ffvhuff', 'huffyuv', 'utvideo', 'png', 'rawvideo')


def list_codecs() -> dict[str, tuple[str, ...]]:
    """Codecs that this FFmpeg can write, of those that are known here -> their pixel formats."""
    av = pyav()
    known = dict.fromkeys((*QUALITIES, *LOSSLESS, 'prores_ks', 'libopenh264'))
    found = {}
    for name in known:
        if name in av.codecs_available:
            try:
                formats = av.codec.Codec(name, 'w').video_formats
            except ValueError:  # it only reads
                continue
            found[name] = tuple(each.name for each in formats or ())
    return found


@dataclass(frozen=True)
class Encoding:
    """Codec, pixel format and quality of a video, checked against what this FFmpeg has.

    Attributes:
        codec: Name in FFmpeg.
        pixel_format: Name in FFmpeg.
        options: Of the codec.
        bits: Of the deepest component.
        grey: Whether the pixel format has no colour.
    """

    codec: str
    pixel_format: str
    options: dict[str, str]
    bits: int
    grey: bool


def choose_encoding(
    path: str | os.PathLike,
    size: tuple[int, int],
    codec: str | None = None,
    pixel_format: str | None = None,
    quality: int | None = None,
) -> Encoding:
    """What to write a video with.

    Args:
        path: The video; its suffix is the container.
        size: (width, height).
        codec: None: the first that there is for the container.
        pixel_format: None: ``yuv420p``, which every player takes; ``yuv444p`` for odd sides, which it cannot have.
        quality: On the codec's own scale, lower is better: CRF 0 to 51 of libx264 (default 18), 0 to 63 of libvpx-vp9,
            1 to 31 of mpeg4.

    Raises:
        ValueError: If this FFmpeg has no such codec, the codec no such pixel format or quality, or the container no
            such codec; lists those that there are.
    """
    path, there = Path(path), list_codecs()
    suffix = path.suffix.lower()
    if suffix not in CONTAINERS:
        raise ValueError(f'cannot write {path}: a video ends with one of {", ".join(CONTAINERS)}')
    if codec is None:
        codec = next((name for name in CONTAINERS[suffix] if name in there), None)
        if codec is None:
            raise ValueError(f'this FFmpeg has none of {", ".join(CONTAINERS[suffix])} for {suffix}: {_listed(there)}')
    elif codec not in there:
        raise ValueError(f'this FFmpeg cannot write the codec {codec!r}. {_listed(there)}')
    with pyav().open(os.devnull, 'w', format=muxer_of(suffix)) as container:
        name = pyav().codec.Codec(codec, 'w').canonical_name
        if name not in container.supported_codecs:
            fitting = ', '.join(each for each in there if _canonical(each) in container.supported_codecs)
            raise ValueError(f'{suffix} does not take the codec {codec!r}; it takes {fitting}')
    formats = there[codec]
    if pixel_format is None:
        pixel_format = _default_format(formats, size)
    elif pixel_format not in formats:
        raise ValueError(f'the codec {codec!r} has no pixel format {pixel_format!r}; it has {", ".join(formats)}')
    layout = pyav().VideoFormat(pixel_format, *size)
    if any(size[axis] % _step(layout, axis) for axis in (0, 1)):
        raise ValueError(
            f'{pixel_format} needs even sides and the frames have {size[0]}x{size[1]} pixels: take a pixel format '
            f'without shared chroma (yuv444p), or leave the choice to us'
        )
    options = {}
    scale = QUALITIES.get(codec)
    if scale is not None:
        value = scale.default if quality is None else quality
        if not scale.best <= value <= scale.worst:
            raise ValueError(f'the quality of {codec} goes from {scale.best} (best) to {scale.worst}, got {value}')
        # mpeg4 and mjpeg take it as a property of the stream
        options = {scale.option: str(value)} if scale.option == 'crf' else {'qscale': str(value)}
        if codec in ('libvpx-vp9', 'libaom-av1'):
            options['b:v'] = '0'
    elif quality is not None:
        raise ValueError(f'the codec {codec!r} has no quality to choose; these have: {", ".join(QUALITIES)}')
    bits = max(component.bits for component in layout.components)
    return Encoding(codec, pixel_format, options, bits, len(layout.components) == 1)


def _default_format(formats: tuple[str, ...], size: tuple[int, int]) -> str:
    odd = any(side % 2 for side in size)
    # of MJPEG the full range, which comes first there: it knows no other
    usual = ('yuv444p',) if odd else ('yuvj420p', 'yuv420p') if formats[:1] == ('yuvj420p',) else ('yuv420p',)
    fitting = [f for f in formats if all(_step(pyav().VideoFormat(f, *size), axis) == 1 for axis in (0, 1))]
    name = next((name for name in (*usual, *(fitting if odd else formats)) if name in formats), None)
    if name is None and formats:
        raise ValueError(
            f'the codec needs even sides and the frames have {size[0]}x{size[1]} pixels: take another codec (libx264, '
            f'ffv1), or cut a row off'
        )
    return name or 'yuv420p'


def _step(layout: Any, axis: int) -> int:
    """Of how many pixels along an axis the sides of this format are multiples."""
    full = (layout.width, layout.height)[axis]
    chroma = (layout.chroma_width, layout.chroma_height)[axis](full)
    return 1 if not chroma or chroma == full else -(-full // chroma)


def _listed(there: dict[str, tuple[str, ...]]) -> str:
    return f'It can write {", ".join(there) or "nothing"}'


def _canonical(codec: str) -> str:
    return pyav().codec.Codec(codec, 'w').canonical_name


def muxer_of(suffix: str) -> str:
    """FFmpeg's name of the container with this suffix."""
    return {'.mkv': 'matroska', '.m4v': 'mp4'}.get(suffix, suffix[1:])
