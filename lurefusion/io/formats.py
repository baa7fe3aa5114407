"""What image files say beside their pixels: whether they are whole, how they are to be turned, what their bands are.

Decoders pass over all of it: OpenCV fills what is missing with grey, leaves pictures lying on their side, and takes the
first bands or the first page of a TIFF.
"""

from __future__ import annotations

import io
import os
import re
import struct
import zlib
from collections.abc import Iterator

import numpy as np

#: pixels of the largest picture that is opened: a header of a few bytes can promise more than any memory holds
MAX_PIXELS = 200_000_000
#: environment variable that sets another limit
LIMIT = 'LUREFUSION_MAX_PIXELS'

_PNG = b'\x89PNG\r\n\x1a\n'
_JPEG = b'\xff\xd8'
_MOVING = 'is an animation; save the picture that is meant as a file of its own, or the pictures as a folder of frames'
_CUT_OFF = 'is cut off (the end of the file is missing); copy or download it again'
# a marker that is neither a stuffed byte, a fill byte nor a restart
_MARKER = re.compile(rb'\xff([\xc0-\xcf\xd9-\xfe])')
_END, _SCAN, _APP1 = 0xD9, 0xDA, 0xE1

# tags of TIFF, which EXIF shares
_WIDTH, _HEIGHT = 256, 257
_SUBFILE, _BITS, _PHOTOMETRIC, _ORIENTATION, _SAMPLES, _PLANES, _EXTRA, _KIND = 254, 258, 262, 274, 277, 284, 338, 339
# how they begin, and the order of their bytes; from 43 on, places have 64 bits (BigTIFF)
_TIFF = {b'II*\0': '<', b'MM\0*': '>', b'II+\0': '<', b'MM\0+': '>'}
# bands that each photometric interpretation means: grey (white or black is 0), RGB, palette, mask, CMYK, YCbCr, Lab
_BANDS = {0: 1, 1: 1, 2: 3, 3: 1, 4: 1, 5: 4, 6: 3}
_ALPHA = (1, 2)
# of TIFF: CIE, ICC and ITU
_LAB = (8, 9, 10)


def problem(data: bytes) -> str | None:
    """Why a decoder would make a wrong picture of a file's bytes; None if it is whole, or of a kind unknown here.

    Bytes behind the end of the picture do not matter.

    Raises:
        ValueError: If the limit of pixels is wrong.
    """
    if problem := too_large(*header_size(data)):
        return problem
    if data.startswith(_PNG):
        return _png_problem(data)
    if data.startswith(_JPEG):
        whole = any(marker == _END for marker, _ in _segments(data))
        return None if whole else _CUT_OFF
    if data.startswith(b'RIFF'):  # WebP, which says its own length
        if len(data) < int.from_bytes(data[4:8], 'little') + 8:
            return _CUT_OFF
        return _MOVING if data[8:16] == b'WEBPVP8X' and data[20:21] and data[20] & 2 else None
    if data.startswith((b'GIF87a', b'GIF89a')):
        return _MOVING if _gif_pictures(data) > 1 else None
    return _tiff_problem(data)


def too_large(width: int, height: int, count: int = 1) -> str | None:
    """Why a picture of so many pixels is not opened, or a stack of `count` of them; None if it is.

    Raises:
        ValueError: If $LUREFUSION_MAX_PIXELS is no number.
    """
    text = os.environ.get(LIMIT) or str(MAX_PIXELS)
    if not text.isascii() or not text.isdigit():
        raise ValueError(f'{LIMIT} must be a number of pixels, got {text!r}')
    # volumes have hundreds of slices, most of them of few pixels
    if width * height <= int(text) and width * height * count <= 5 * int(text):
        return None
    several = f'{count} pictures of ' if count > 1 else ''
    # of rare kinds the product alone is known
    shown = f'{width}x{height}' if height > 1 else str(width)
    return (
        f'says that it has {several}{shown} pixels, which is not opened: a picture has {text} at most; the '
        f'environment variable {LIMIT} sets another limit'
    )


def header_size(data: bytes) -> tuple[int, int]:
    """(width, height) that the header of a file names; 0, 0 where it names none: then no decoder opens it either."""
    if data.startswith(_PNG):
        return int.from_bytes(data[16:20], 'big'), int.from_bytes(data[20:24], 'big')
    if data.startswith(_JPEG):
        sizes = [
            (int.from_bytes(body[3:5], 'big'), int.from_bytes(body[1:3], 'big'))
            for marker, body in _segments(data)
            if marker & 0xF0 == 0xC0 and marker not in (0xC4, 0xC8, 0xCC)
        ]
        return max(sizes, default=(0, 0), key=lambda size: size[0] * size[1])
    if data.startswith(b'BM') and int.from_bytes(data[14:18], 'little') >= 40:
        width, height = struct.unpack_from('<ii', data.ljust(26, b'\0'), 18)
        return abs(width), abs(height)
    if data.startswith((b'GIF87a', b'GIF89a')):
        return int.from_bytes(data[6:8], 'little'), int.from_bytes(data[8:10], 'little')
    if data[:4] == b'RIFF' and data[8:16] == b'WEBPVP8X':
        return int.from_bytes(data[24:27], 'little') + 1, int.from_bytes(data[27:30], 'little') + 1
    if is_tiff(data):
        tags = _tags(data)[0]
        return tags.get(_WIDTH, (0,))[0], tags.get(_HEIGHT, (0,))[0]
    return _pillow_size(data)


def _pillow_size(data: bytes) -> tuple[int, int]:
    """Of rare kinds of files."""
    import warnings

    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                return image.size
    except Image.DecompressionBombError as error:
        found = re.search(r'\((\d+) pixels\)', str(error))
        return int(found[1]) if found else 2 * MAX_PIXELS, 1
    # Pillow raises errors of many kinds
    except Exception:
        return 0, 0


def as_shown(image: np.ndarray, data: bytes) -> np.ndarray:
    """The decoded picture as viewers show it: turned and mirrored by the EXIF orientation of its file's bytes.

    OpenCV turns TIFF files itself; but where they count down from white, it heeds that in 8 bits alone.
    """
    if is_tiff(data):
        deep = np.issubdtype(image.dtype, np.unsignedinteger) and image.dtype != np.uint8
        return np.iinfo(image.dtype).max - image if deep and _is_white_zero(_tags(data)[0]) else image
    value = _tags(_exif(data))[0].get(_ORIENTATION, (1,))[0]
    if value in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if value in (2, 3, 6, 7):
        image = image[:, ::-1]
    if value in (3, 4, 7, 8):
        image = image[::-1]
    return image


def is_tiff(data: bytes) -> bool:
    """Whether the bytes begin as a TIFF file does."""
    return data[:4] in _TIFF


def tiff_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that the header of a TIFF file says; None if it is none, or says nothing."""
    tags = _tags(data)[0] if is_tiff(data) else {}
    return (tags[_WIDTH][0], tags[_HEIGHT][0]) if _WIDTH in tags and _HEIGHT in tags else None


def _exif(data: bytes) -> bytes:
    """The EXIF block of a JPEG, PNG or WebP file; empty where there is none."""
    if data.startswith(_JPEG):
        for marker, body in _segments(data):
            if marker == _SCAN:
                return b''
            if marker == _APP1 and body.startswith(b'Exif\0'):
                return body[6:]
    elif data.startswith(_PNG) and b'eXIf' in data:
        return next((bytes(body) for kind, body, _ in _chunks(data) if kind == b'eXIf'), b'')
    elif data.startswith(b'RIFF') and data[8:12] == b'WEBP':
        at = 12
        while at + 8 <= len(data):
            size = int.from_bytes(data[at + 4 : at + 8], 'little')
            if data[at : at + 4] == b'EXIF':
                return data[at + 8 : at + 8 + size].removeprefix(b'Exif\0\0')
            at += 8 + size + size % 2
    return b''


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, content) of a JPEG file; the last is `_END` if the file is whole.

    Segments are skipped by their length: previews inside of them have ends of their own.
    """
    at = len(_JPEG)
    while (found := _MARKER.search(data, at)) is not None:
        marker, at = found[1][0], found.end()
        if marker == _END:
            yield marker, b''
            return
        length = int.from_bytes(data[at : at + 2], 'big')
        yield marker, data[at + 2 : at + length]
        at += max(length, 2)


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, bool]]:
    """(kind, content, whether its checksum is right) of a PNG file; the last is ``IEND`` if the file is whole."""
    view, at = memoryview(data), len(_PNG)
    while at + 12 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], 'big'), data[at + 4 : at + 8]
        end = at + 8 + size
        if end + 4 > len(data):
            return
        yield kind, view[at + 8 : end], zlib.crc32(view[at + 4 : end]) == int.from_bytes(data[end : end + 4], 'big')
        if kind == b'IEND':
            return
        at = end + 4


def _png_problem(data: bytes) -> str | None:
    kind, moving = b'', False
    for kind, body, right in _chunks(data):
        moving |= kind == b'acTL' and int.from_bytes(body[:4], 'big') > 1
        # a capital: nothing can be decoded without this chunk
        if not right and kind[:1].isupper():
            return f'is damaged (wrong checksum of its part {kind.decode("latin-1")}); copy or download it again'
    if kind != b'IEND':
        return _CUT_OFF
    return _MOVING if moving else None


def _gif_pictures(data: bytes) -> int:
    """How many pictures a GIF file holds, two at most."""

    def table(flags: int) -> int:
        return 3 << ((flags & 7) + 1) if flags & 0x80 else 0

    def past_blocks(at: int) -> int:
        while data[at]:
            at += data[at] + 1
        return at + 1

    found = 0
    try:
        at = 13 + table(data[10])
        while found < 2:
            if data[at] == 0x21:  # an extension
                at = past_blocks(at + 2)
            elif data[at] == 0x2C:
                found += 1
                at = past_blocks(at + 11 + table(data[at + 9]))
            else:
                break
    except IndexError:  # cut off: the decoder says so
        pass
    return found


def _tiff_problem(data: bytes) -> str | None:
    tags, following = _tags(data)
    if tags.get(_PHOTOMETRIC, (-1,))[0] in _LAB:
        return 'has its colours as CIELab, which is read inexactly; save it as RGB'
    bands = _BANDS.get(tags.get(_PHOTOMETRIC, (-1,))[0])
    if bands is None:
        return None
    samples, extra, bits = tags.get(_SAMPLES, (1,))[0], tags.get(_EXTRA, ()), tags.get(_BITS, (8,))[0]
    alpha = sum(kind in _ALPHA for kind in extra)
    # OpenCV writes RGBA without saying so: what its fourth band is shows after decoding
    undeclared = bands == 3 and samples == 4
    if samples - alpha != bands and not undeclared:
        return f'has {samples} bands where a picture has one, or three of colour; save those that are meant'
    if bands == 1 and samples == 2 and bits > 8:
        return 'has a second band, of more than 8 bits; save the first one alone'
    if samples > 1 and bits > 8 and tags.get(_PLANES, (1,))[0] == 2:
        return 'stores its bands one after the other, with more than 8 bits; save it with those of a pixel together'
    if bits > 8 and _is_white_zero(tags) and (bits not in (16, 32) or tags.get(_KIND, (1,))[0] != 1):
        return 'counts down from white, in numbers that are no 8, 16 or 32 bit; save it with black as 0'
    while following:
        tags, following = _tags(data, following)
        if tags and not tags.get(_SUBFILE, (0,))[0] & 5:  # neither a smaller copy nor a mask
            return 'holds several pictures (pages); save each as a file of its own'
    return None


def _is_white_zero(tags: dict[int, tuple[int, ...]]) -> bool:
    return tags.get(_PHOTOMETRIC, (1,))[0] == 0


def _tags(block: bytes, start: int | None = None) -> tuple[dict[int, tuple[int, ...]], int]:
    """Whole-number tags of a directory in a TIFF or EXIF block, and where the next directory is (0: there is none)."""
    order = _TIFF.get(bytes(block[:4]))
    tags: dict[int, tuple[int, ...]] = {}
    if order is None:
        return tags, 0
    # codes of a place in the file and of a number of entries, which BigTIFF has longer
    place, number_of = ('Q', 'Q') if 43 in block[2:4] else ('I', 'H')
    wide = struct.calcsize(place)
    try:
        start = struct.unpack_from(f'{order}{place}', block, wide)[0] if start is None else start
        (count,) = struct.unpack_from(f'{order}{number_of}', block, start)
        first, size = start + struct.calcsize(number_of), 4 + 2 * wide
        for at in range(first, first + size * count, size):
            tag, kind, number = struct.unpack_from(f'{order}HH{place}', block, at)
            code = {1: 'B', 3: 'H', 4: 'I', 16: 'Q'}.get(kind)
            if code is None or not 0 < number <= 64:
                continue
            at += 4 + wide
            if struct.calcsize(f'={number}{code}') > wide:
                (at,) = struct.unpack_from(f'{order}{place}', block, at)
            tags[tag] = struct.unpack_from(f'{order}{number}{code}', block, at)
        (following,) = struct.unpack_from(f'{order}{place}', block, first + size * count)
    except struct.error:  # cut off: the decoder says so
        return tags, 0
    return tags, following if following > start else 0
