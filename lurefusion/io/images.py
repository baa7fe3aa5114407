"""Reading and writing image files and pictures in memory."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lurefusion.io import formats, slices
from lurefusion.io.digests import digest_of_parts
from lurefusion.io.locks import take_lock
from lurefusion.io.ranges import _is_eight_bit, _is_fraction, _limits, to_uint8, to_uint16, to_unit_range

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff')
# WebP is read and not written: OpenCV would write it with losses
DEEP_SUFFIXES = ('.png', '.tif', '.tiff')
ALPHA_SUFFIXES = ('.png',)
READ_SUFFIXES = (*IMAGE_SUFFIXES, '.webp')
# what messages call a file that is given as its bytes
IN_MEMORY = 'the file in memory'

#: ends the hidden name under which a file is written until it is whole
UNFINISHED = '.partfile'

# levels of mean colourfulness of a modality without colour that are said, and that are refused: a thermal picture has
# 0 to 2, a daylight photograph about 10 to 30, a pseudo-colour palette mostly more
TINTED, COLOURED = 4, 12


def read_image(
    path: str | os.PathLike | bytes, range_mode: str = 'auto', notes: list[str] | None = None
) -> tuple[np.ndarray, bool]:
    """Read a picture as RGB, upright as viewers show it (EXIF orientation).

    Args:
        path: The file, or its bytes.
        range_mode: Mode or limits, see :func:`to_unit_range`.
        notes: What looks wrong in the picture is appended.

    Returns:
        The image, (H, W, 3), uint8 as stored for 8-bit files, else float32 in [0, 1] (see :func:`to_unit_range`); and
        whether it is grey (a single channel, or three equal ones).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a readable image, is cut off, has other bands than a picture, several pages, or NaN
            pixels; the message names the file.
    """
    if not isinstance(path, bytes) and slices.is_slice(path):
        return _read_slice(path, range_mode, notes)
    where = IN_MEMORY if isinstance(path, bytes) else path
    image, data = decode(path if isinstance(path, bytes) else Path(path))
    if image.ndim == 3 and image.shape[2] == 4 and formats.is_tiff(data):
        opaque = np.iinfo(image.dtype).max if np.issubdtype(image.dtype, np.integer) else 1
        if not (image[..., 3] == opaque).all():
            raise ValueError(f'{where}: the fourth band is no opaque alpha; save the three bands of colour alone')
    if image.ndim == 3 and image.shape[2] == 2:
        image = image[..., 0]
    if image.ndim == 3:
        image = image[..., 2::-1]
    # in a file, fractions beyond 1 are measurements; see as_rgb for arrays
    unclear = range_mode == 'auto' and _unclear(image)
    try:
        pixels, grey = as_rgb(image, 'percentile' if unclear else range_mode, notes)
    except ValueError as error:
        raise ValueError(f'{where}: {error}') from None
    if unclear and notes is not None:
        notes.append(
            f'fractions from {image.min():g} to {image.max():g} are taken as measurements and stretched; if they are '
            f'grey levels, give the range 0:1 or 0:255'
        )
    return pixels, grey


def _read_slice(path: str | os.PathLike, range_mode: str, notes: list[str] | None) -> tuple[np.ndarray, bool]:
    found = slices.read_slice(path)
    unclear = range_mode == 'auto' and _unclear(found.pixels)
    mode = found.window if range_mode == 'auto' and found.window else 'percentile' if unclear else range_mode
    try:
        pixels, grey = as_rgb(found.pixels, mode, notes)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None
    if notes is not None:
        notes += found.notes
    if found.inverted:
        pixels = 255 - pixels if pixels.dtype == np.uint8 else 1 - pixels
    return pixels, grey


def decode(path: Path | bytes) -> tuple[np.ndarray, bytes]:
    """The pixels of an image file, or of its bytes, as OpenCV orders them, upright, and the bytes of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a readable image, or one that a decoder would misread; names the file.
    """
    if isinstance(path, bytes):
        data, path = path, IN_MEMORY
    elif path.is_file():
        data = path.read_bytes()
    else:
        folder = ', but a folder; fuse_folders (lurefusion fuse) takes folders' if path.is_dir() else ''
        raise FileNotFoundError(f'no such image file: {path}{folder}')
    if data and (problem := formats.problem(data)):
        raise ValueError(f'{path} {problem}')
    # our message says which file, OpenCV's only clutters the screen
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    except cv2.error as error:
        if 'Insufficient memory' in str(error):
            raise MemoryError(f'{path} does not fit into memory') from None
        image = None  # a header that promises more pixels than OpenCV takes
    finally:
        cv2.utils.logging.setLogLevel(level)
    if image is None:
        raise ValueError(f'{path} is not a readable image ({len(data)} bytes); expected {", ".join(READ_SUFFIXES)}')
    return formats.as_shown(image, data), data


def encoded(image: Any) -> Any:
    """The bytes of a file that is open for reading, or in memory; any other picture as it is.

    Raises:
        TypeError: If the file is open as text.
    """
    if isinstance(image, bytearray | memoryview):
        return bytes(image)
    if not callable(getattr(image, 'read', None)):
        return image
    data = image.read()
    if not isinstance(data, bytes):
        raise TypeError(f"expected a file that is open in binary mode ('rb'), and this one gives {type(data).__name__}")
    return data


def as_rgb(image: Any, range_mode: str = 'auto', notes: list[str] | None = None) -> tuple[np.ndarray, bool]:
    """Bring a picture in memory to RGB: what a file with the same pixels gives.

    Args:
        image: (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA, whose alpha is dropped: a NumPy array, torch tensor
            ((1, H, W), (3, H, W) and (4, H, W) too) or PIL image; 8 bit, other integers, bool or float.
        range_mode: Mode or limits, see :func:`to_unit_range`.
        notes: What looks wrong in the picture is appended.

    Returns:
        As :func:`read_image`; the array belongs to the caller to read, not to write.

    Raises:
        TypeError: If it is no picture of these kinds.
        ValueError: On another shape, pixels that are not finite, or, in mode ``auto``, fractions beyond [0, 1] that may
            be grey levels as well as measurements.
    """
    image = _as_array(image)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (3, 4)) or not image.size:
        hint = ''
        if image.ndim == 3 and image.shape[0] in (1, 3, 4):
            hint = '; the channels come last: numpy.moveaxis(image, 0, 2)'
        elif image.ndim == 4:
            hint = '; give one picture, not a batch'
        raise ValueError(f'expected (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA, got {image.shape}{hint}')
    image = image if image.ndim == 2 else image[..., :3]
    if image.dtype == bool:
        image = image.astype(np.uint8) * 255
    if image.dtype != np.uint8 or _limits(range_mode) is not None:
        if range_mode == 'auto' and _unclear(image):
            raise ValueError(
                f'fractions from {image.min():g} to {image.max():g} may be grey levels or measurements; say which by '
                f'the range: 0:1 or 0:255 (grey levels), percentile or LOW:HIGH (measurements)'
            )
        image = to_unit_range(image, range_mode, notes)
    grey = image.ndim == 2 or bool((image[..., :1] == image).all())
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    # PyTorch takes neither negative strides nor memory that is read-only without a word
    return np.require(image, requirements=('C', 'W')), grey


def alpha_of(image: Any) -> np.ndarray | None:
    """The alpha of a file or a picture in memory, (H, W) float32 in [0, 1]; None where there is none."""
    if isinstance(image, bytes):
        image = decode(image)[0]
    elif isinstance(image, str | os.PathLike):
        if slices.is_slice(image):
            return None
        image = decode(Path(image))[0]
    elif getattr(image, 'mode', None) in ('LA', 'PA', 'La', 'RGBa') or 'transparency' in getattr(image, 'info', ()):
        image = _as_array(image.convert('RGBA'))
    else:
        image = _as_array(image)
    if image.ndim != 3 or image.shape[2] != 4:
        return None
    alpha = image[..., 3]
    if not np.isfinite(alpha).all():
        raise ValueError('the alpha of a picture has NaN or infinite values')
    # grey levels of 8 bit, in whatever type, are told by all four bands, as the colours are
    if image.dtype != np.uint8 and image.max() > 1 and _is_eight_bit(image, image.min(), image.max()):
        return (alpha.clip(0, 255) / 255).astype(np.float32)
    return to_unit_range(alpha, 'full') if np.issubdtype(alpha.dtype, np.integer) else alpha.astype(np.float32)


def _as_array(image: Any) -> np.ndarray:
    """A NumPy array, channels last, of a picture of another library."""
    if hasattr(image, 'detach'):  # a tensor
        image = image.detach().cpu()
        image = (image.float() if image.is_floating_point() else image).numpy()
        # sides are at least 8 pixels
        if image.ndim == 3 and image.shape[0] in (1, 3, 4) and image.shape[2] not in (1, 3, 4):
            image = np.moveaxis(image, 0, 2)
    elif hasattr(image, 'getbands'):  # PIL
        from PIL import ImageOps

        image = ImageOps.exif_transpose(image)
        if image.mode in ('P', 'PA', 'CMYK', 'YCbCr', 'HSV', 'LAB', 'RGBX', 'RGBa'):
            image = image.convert('RGB')
        elif image.mode in ('LA', 'La'):
            image = image.getchannel(0)
        image = np.asarray(image)
    if not isinstance(image, np.ndarray):
        raise TypeError(f'expected a file, NumPy array, torch tensor or PIL image, got {type(image).__name__}')
    if np.ma.is_masked(image):
        raise ValueError('the array has masked pixels; fill them before use')
    if image.dtype != bool and not (np.issubdtype(image.dtype, np.integer) or np.issubdtype(image.dtype, np.floating)):
        raise TypeError(f'expected an array of 8 bit, other integers, bool or float, got {image.dtype}')
    return image


def _unclear(image: np.ndarray) -> bool:
    """Floats beyond [0, 1] that may be grey levels (0 to 255, or filtered ones of 0 to 1) as well as measurements."""
    if not np.issubdtype(image.dtype, np.floating) or not np.isfinite(image).all():
        return False
    lowest, highest = image.min(), image.max()
    if _is_fraction(lowest, highest) or _is_eight_bit(image, lowest, highest):
        return False
    return bool(lowest >= -1 and highest <= 255)


def colourfulness(image: np.ndarray) -> tuple[float, bool]:
    """How coloured an (H, W, 3) picture is, and whether a few colours make it up as in a palette.

    Returns:
        Mean distance of the highest to the lowest channel in levels of 255 (photographs: 10 to 30, pseudo-colour
        palettes: mostly beyond 25), and whether few cells of the colour space hold 95 % of the pixels.
    """
    levels = image if image.dtype == np.uint8 else to_uint8(image)
    spread = float((levels.max(axis=2) - levels.min(axis=2)).mean())
    cells = (levels >> 4).astype(np.int64) @ np.array([256, 16, 1])
    share = np.sort(np.bincount(cells.ravel()))[::-1].cumsum() / cells.size
    needed = int((share < 0.95).sum()) + 1
    return spread, needed <= min(700, cells.size / 4)


def dotted(suffix: str) -> str:
    """A suffix with its dot: ``png`` is ``.png``."""
    return suffix if suffix.startswith('.') else f'.{suffix}'


def check_suffix(path: str | os.PathLike, bit_depth: int = 8, alpha: bool = False) -> None:
    """Refuse a file that no picture of this bit depth, or none with `alpha`, can be written to.

    Raises:
        ValueError: On an unknown suffix or bit depth, or a file type that has no 16 bits, or no alpha that all
            programs read as such.
    """
    suffix = Path(path).suffix.lower()
    if bit_depth not in (8, 16):
        raise ValueError(f'cannot write {path}: bit_depth must be 8 or 16, got {bit_depth!r}')
    if suffix not in IMAGE_SUFFIXES:
        raise ValueError(f'cannot write {path}: the suffix must be one of {", ".join(IMAGE_SUFFIXES)}')
    if bit_depth == 16 and suffix not in DEEP_SUFFIXES:
        raise ValueError(
            f'cannot write {path}: {suffix} files have 8 bits; for 16 take one of {", ".join(DEEP_SUFFIXES)}'
        )
    if alpha and suffix not in ALPHA_SUFFIXES:
        raise ValueError(f'cannot write {path}: alpha is kept in {", ".join(ALPHA_SUFFIXES)} files; or drop it')


def write_image(path: str | os.PathLike, image: np.ndarray, bit_depth: int = 8) -> None:
    """Write an (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) grey image, uint8 or float in [0, 1], first by another name.

    Args:
        path: PNG, TIFF, JPEG or BMP; RGBA: PNG.
        image: The picture.
        bit_depth: 8, or 16 (PNG and TIFF): floats are rounded to 0..65535, without a detour over 8 bit.

    Raises:
        ValueError: On an unknown suffix or one that does not have this depth, a wrong shape or another dtype.
    """
    path = Path(path)
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise ValueError(f'cannot write {path}: expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {image.shape}')
    check_suffix(path, bit_depth, alpha=channels == 4)
    if image.dtype == np.uint8:
        image = image if bit_depth == 8 else image.astype(np.uint16) * 257
    elif np.issubdtype(image.dtype, np.floating):
        image = to_uint8(image) if bit_depth == 8 else to_uint16(image)
    else:
        raise ValueError(f'cannot write {path}: expected uint8 or float in [0, 1], got {image.dtype}')
    if channels >= 3:
        image = image[..., [2, 1, 0, 3][:channels]]
    done, data = cv2.imencode(path.suffix.lower(), np.ascontiguousarray(image))
    if not done:
        raise ValueError(f'OpenCV could not encode {path}')
    write_bytes(path, data.tobytes())


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Write a file so that it is either whole or not there: a hidden name in the same folder, then rename.

    What a killed process left under the hidden name is written anew, so that nothing piles up.

    Raises:
        OSError: If it cannot be written, e.g. on a full disk; names the file. What was there before is untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # names have 255 bytes at most
    name = path.name if len(os.fsencode(path.name)) < 240 else digest_of_parts(os.fsencode(path.name))
    hidden = path.with_name(f'.{name}{UNFINISHED}')
    handle = -1
    try:
        handle, temporary = _open_hidden(hidden)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fchmod(handle, 0o666 & ~umask())
        # the lock holds until the file has its name
        os.replace(temporary, path)
    except BaseException as error:
        # also where a signal came between two steps
        with contextlib.suppress(OSError):
            if handle < 0:
                _discard(hidden)
            elif os.path.samestat(os.fstat(handle), os.lstat(temporary)):
                temporary.unlink()
        if isinstance(error, OSError) and error.errno is not None:
            # not the hidden name, which nobody has asked for
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        if handle >= 0:
            os.close(handle)


def _open_hidden(hidden: Path) -> tuple[int, Path]:
    """Handle and path of an empty file: `hidden`, or a name of its own where that is another process's."""
    with contextlib.suppress(OSError):
        handle = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        try:
            if _is_ours(handle, hidden):
                os.ftruncate(handle, 0)
                return handle, hidden
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
    handle, name = tempfile.mkstemp(dir=hidden.parent, prefix=hidden.name.removesuffix(UNFINISHED) + '.')
    return handle, Path(name)


def _is_ours(handle: int, hidden: Path) -> bool:
    """Lock an open file; whether it is one that no other process is writing, and no trap."""
    if not take_lock(handle, unknown=False) or not os.path.samestat(status := os.fstat(handle), os.lstat(hidden)):
        return False
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink == 1


def _discard(hidden: Path) -> None:
    """Remove a file that was opened and is not held by anyone."""
    handle = os.open(hidden, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if _is_ours(handle, hidden):
            hidden.unlink()
    finally:
        os.close(handle)


def umask() -> int:
    """Of this process; where the system tells it, without setting it, which other threads would see."""
    try:
        with open('/proc/self/status') as status:
            return next(int(line.split()[1], 8) for line in status if line.startswith('Umask:'))
    except (OSError, StopIteration):
        mask = os.umask(0)
        os.umask(mask)
        return mask
