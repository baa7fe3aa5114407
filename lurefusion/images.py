"""Reading, writing and converting image files: the only place that knows about bit depths and colour spaces."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from lurefusion import formats

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff')
# WebP is read and not written: OpenCV would write it with losses
READ_SUFFIXES = (*IMAGE_SUFFIXES, '.webp')
RANGE_MODES = ('auto', 'percentile', 'minmax', 'full', 'agc')
# per cent of the pixels below which half of a range is wasted; street scenes with warm people in them have more
_WASTED = 0.25

# levels of mean colourfulness of a modality without colour that are said, and that are refused: a thermal picture has
# 0 to 2, a daylight photograph about 10 to 30, a pseudo-colour palette mostly more
TINTED, COLOURED = 4, 12
# share of the pixels outside of fixed limits that is said
_CLIPPED = 0.5

# ITU-R BT.601 luma and full-range chroma, the convention of the fusion literature (Text-IF, SeAFusion)
LUMA = (0.299, 0.587, 0.114)
CHROMA_BLUE = (-0.168736, -0.331264, 0.5)
CHROMA_RED = (0.5, -0.418688, -0.081312)

ArrayT = TypeVar('ArrayT')


def rgb_to_ycbcr(red: ArrayT, green: ArrayT, blue: ArrayT) -> tuple[ArrayT, ArrayT, ArrayT]:
    """BT.601 luma Y in the range of the input and zero-centred chroma Cb, Cr; works on NumPy arrays and tensors."""
    return tuple(w[0] * red + w[1] * green + w[2] * blue for w in (LUMA, CHROMA_BLUE, CHROMA_RED))


def ycbcr_to_rgb(y: ArrayT, cb: ArrayT, cr: ArrayT) -> tuple[ArrayT, ArrayT, ArrayT]:
    """Inverse of :func:`rgb_to_ycbcr` (exact to 1e-5)."""
    return y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb


def parse_range(
    spec: str | Mapping[str, str] | Iterable[str], names: Iterable[str] | None = None
) -> dict[str | None, str]:
    """Range of each modality from what a user wrote.

    Args:
        spec: A mode or ``LOW:HIGH`` for all modalities (``minmax``), or ``NAME=RANGE`` for some (``ir=28000:31000``);
            words in one string or in a list, or a mapping of name -> range.
        names: The modalities there are; None: any.

    Returns:
        Name -> mode or ``LOW:HIGH``; the key None is the range of those not named. See :func:`range_of`.

    Raises:
        ValueError: On an unknown mode or modality, limits that are no limits, or two ranges for one modality.
    """
    if isinstance(spec, Mapping):
        items = list(spec.items())
    else:
        words = spec.split() if isinstance(spec, str) else list(spec)
        items = [tuple(word.split('=', 1)) if '=' in word else (None, word) for word in words]
    ranges: dict[str | None, str] = {}
    known = None if names is None else tuple(names)
    for name, mode in items:
        if name is not None and known is not None and name not in known:
            raise ValueError(f'range {name}={mode}: {name!r} is no modality; there are {", ".join(known)}')
        if name in ranges:
            raise ValueError(f'two ranges for {name or "all modalities"}: {ranges[name]} and {mode}')
        _limits(mode)
        ranges[name] = mode
    ranges.setdefault(None, 'auto')
    return ranges


def range_of(ranges: Mapping[str | None, str], name: str | None) -> str:
    """The range of a modality in what :func:`parse_range` returns."""
    return ranges.get(name, ranges[None])


def _limits(mode: str) -> tuple[float, float] | None:
    """The numbers of ``LOW:HIGH``; None for a mode."""
    if mode in RANGE_MODES:
        return None
    try:
        low, high = (float(number) for number in mode.split(':'))
    except (AttributeError, ValueError):
        raise ValueError(f'range must be LOW:HIGH or one of {", ".join(RANGE_MODES)}; got {mode!r}') from None
    if not -np.inf < low < high < np.inf:
        raise ValueError(f'range {mode!r}: the lower limit must be below the upper one, and both finite')
    return low, high


def to_unit_range(image: np.ndarray, mode: str = 'auto', notes: list[str] | None = None) -> np.ndarray:
    """Bring an image of any bit depth to float32 in [0, 1].

    Fixed limits, ``LOW:HIGH`` (``28000:31000``), map these numbers to 0 and 1, whatever the type; a sequence stays
    comparable from frame to frame only so. Else uint8 is divided by 255 and floats within [0, 1] are left as they are,
    whatever the mode. Other integers, and floats that leave [0, 1], are mapped by

    * ``auto``: whole numbers within 0 to 255 as 8 bit; the rest as ``percentile`` (default),
    * ``percentile``: the frame's 0.1 and 99.9 percentiles to 0 and 1,
    * ``minmax``: the frame's minimum and maximum,
    * ``full``: the whole range of the integer type (floats: divided by their maximum),
    * ``agc``: histogram equalisation with a plateau limit, as infrared cameras do.

    Args:
        image: Any shape and number type.
        mode: See above.
        notes: What looks wrong is appended: a range that a few hot pixels take, a frame outside of its limits.

    Raises:
        ValueError: On NaN or infinite pixels, an unknown mode, or limits that the integer type cannot reach.
    """
    limits = _limits(mode)
    if limits is None and image.dtype == np.uint8:
        return image.astype(np.float32) / 255.0
    if image.dtype == bool:
        return image.astype(np.float32)
    values = image.astype(np.float64)
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise ValueError(f'{bad} of {values.size} pixels are NaN or infinite; replace them before use')
    lowest, highest = values.min(), values.max()
    if limits is not None:
        return _between(values, image.dtype, *limits, notes)
    floating = np.issubdtype(image.dtype, np.floating)
    if floating and lowest >= 0 and highest <= 1:
        return image.astype(np.float32)
    if mode == 'auto' and _is_eight_bit(values, lowest, highest):
        return np.round(values).astype(np.float32) / 255.0
    if mode == 'agc':
        return _plateau_equalise(values)
    if mode == 'full':
        low, high = 0.0, max(highest if floating else np.iinfo(image.dtype).max, 1e-12)
    else:
        low, high = (lowest, highest) if mode == 'minmax' else np.percentile(values, (0.1, 99.9))
        if high <= low:
            low, high = lowest, max(highest, lowest + 1)
    unit = np.clip((values - low) / (high - low), 0, 1).astype(np.float32)
    if notes is not None and highest > lowest and (spare := _spare(unit)) is not None:
        notes.append(
            f'half of the range {low:g} to {high:g} is spent on {spare:.2g} % of the pixels, as where something hot '
            f'or cold takes it from the rest; fixed limits (LOW:HIGH) show more and stay the same over a sequence'
        )
    return unit


def _spare(unit: np.ndarray) -> float | None:
    """Per cent of the pixels in the emptiest half of [0, 1], if it is so little that the half is wasted."""
    counts = np.concatenate([[0], np.histogram(unit, 64, (0, 1))[0].cumsum()])
    share = 100 * (counts[32:] - counts[:-32]).min() / unit.size
    return share if share < _WASTED else None


def _between(values: np.ndarray, dtype: np.dtype, low: float, high: float, notes: list[str] | None) -> np.ndarray:
    if np.issubdtype(dtype, np.integer):
        least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
        if low >= most or high <= least:
            raise ValueError(
                f'the range {low:g}:{high:g} lies outside of {least} to {most}, what {dtype} pixels can hold; name '
                f'the modality that it is for: NAME={low:g}:{high:g}'
            )
    if notes is not None and (values.max() <= low or values.min() >= high):
        notes.append(
            f'no pixel lies between {low:g} and {high:g} (they are {values.min():g} to {values.max():g}): an empty '
            f'picture'
        )
    elif notes is not None and (clipped := float(((values < low) | (values > high)).mean())) > _CLIPPED:
        notes.append(f'{clipped:.0%} of the pixels lie outside of {low:g} to {high:g} and are clipped')
    return np.clip((values - low) / (high - low), 0, 1).astype(np.float32)


def _is_eight_bit(values: np.ndarray, lowest: float, highest: float) -> bool:
    """Whether all are grey levels of 8 bit but for the rounding of a type."""
    return lowest >= -1e-3 and highest <= 255 + 1e-3 and bool((np.abs(values - np.round(values)) < 1e-3).all())


def _plateau_equalise(values: np.ndarray, bins: int = 1024) -> np.ndarray:
    low, high = values.min(), values.max()
    if high <= low:
        return np.zeros(values.shape, np.float32)
    index = np.minimum(((values - low) / (high - low) * bins).astype(np.int64), bins - 1)
    counts = np.bincount(index.ravel(), minlength=bins).astype(np.float64)
    counts = np.minimum(counts, 4 * counts.sum() / bins)
    cdf = np.cumsum(counts)
    return (cdf / cdf[-1])[index].astype(np.float32)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Float in [0, 1] to uint8 by clipping and rounding; never a per-image stretch.

    Raises:
        ValueError: On pixels that are not finite: they would become black without a word.
    """
    if not np.isfinite(image).all():
        raise ValueError(f'{int((~np.isfinite(image)).sum())} of {image.size} values of the picture are not finite')
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def read_image(
    path: str | os.PathLike, range_mode: str = 'auto', notes: list[str] | None = None
) -> tuple[np.ndarray, bool]:
    """Read a picture as RGB, upright as viewers show it (EXIF orientation).

    Args:
        path: The file.
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
    path = Path(path)
    image, data = decode(path)
    if image.ndim == 3 and image.shape[2] == 4 and formats.is_tiff(data):
        opaque = np.iinfo(image.dtype).max if np.issubdtype(image.dtype, np.integer) else 1
        if not (image[..., 3] == opaque).all():
            raise ValueError(f'{path}: the fourth band is no opaque alpha; save the three bands of colour alone')
    if image.ndim == 3 and image.shape[2] == 2:
        image = image[..., 0]
    if image.ndim == 3:
        image = image[..., 2::-1]
    # in a file, fractions beyond 1 are measurements; see as_rgb for arrays
    unclear = range_mode == 'auto' and _unclear(image)
    try:
        pixels, grey = as_rgb(image, 'percentile' if unclear else range_mode, notes)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None
    if unclear and notes is not None:
        notes.append(
            f'fractions from {image.min():g} to {image.max():g} are taken as measurements and stretched; if they are '
            f'grey levels, give the range 0:1 or 0:255'
        )
    return pixels, grey


def decode(path: Path) -> tuple[np.ndarray, bytes]:
    """The pixels of an image file as OpenCV orders them, upright, and the bytes of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a readable image, or one that a decoder would misread; names the file.
    """
    if not path.is_file():
        raise FileNotFoundError(f'no such image file: {path}')
    data = path.read_bytes()
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
    return formats.upright(image, data), data


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
    if (lowest >= 0 and highest <= 1) or _is_eight_bit(image, lowest, highest):
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


def write_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write an (H, W, 3) RGB or (H, W) grey image, uint8 or float in [0, 1], under a temporary name first.

    Raises:
        ValueError: On an unknown suffix, a wrong shape or another dtype.
    """
    path = Path(path)
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError(f'cannot write {path}: the suffix must be one of {", ".join(IMAGE_SUFFIXES)}')
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise ValueError(f'cannot write {path}: expected (H, W), (H, W, 1) or (H, W, 3), got {image.shape}')
    if image.dtype != np.uint8:
        if not np.issubdtype(image.dtype, np.floating):
            raise ValueError(f'cannot write {path}: expected uint8 or float in [0, 1], got {image.dtype}')
        image = to_uint8(image)
    if image.ndim == 3 and image.shape[2] == 3:
        image = image[..., ::-1]
    done, data = cv2.imencode(path.suffix.lower(), np.ascontiguousarray(image))
    if not done:
        raise ValueError(f'OpenCV could not encode {path}')
    write_bytes(path, data.tobytes())


def check_output(path: str | os.PathLike, folder: bool = False) -> None:
    """Refuse a path that could not be written, before the work is done whose result it takes.

    Args:
        path: A picture, or with `folder` the folder for pictures.
        folder: See `path`.

    Raises:
        ValueError: On an unknown suffix of a picture.
        IsADirectoryError: If a folder stands where the picture should be.
        NotADirectoryError: If a file stands where a folder should be.
        PermissionError: If the folder may not be written to.
    """
    path = Path(path)
    if not folder:
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise ValueError(f'cannot write {path}: the suffix must be one of {", ".join(IMAGE_SUFFIXES)}')
        if path.is_dir():
            raise IsADirectoryError(f'cannot write {path}: it is a folder')
    place = path if folder else path.parent
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise NotADirectoryError(f'cannot write {path}: {place} is a file, not a folder')
    if not os.access(place, os.W_OK | os.X_OK):
        raise PermissionError(f'cannot write {path}: no permission to write in {place}')


def refuse_overwrite(outputs: Iterable[str | os.PathLike], inputs: Iterable[str | os.PathLike]) -> None:
    """Refuse outputs (files or folders) that are inputs under whatever name: links, ``..``, upper and lower case.

    Raises:
        ValueError: Names the output and the input.
    """
    known = {}
    for path in inputs:
        if os.path.exists(path):
            status = os.stat(path)
            known[status.st_dev, status.st_ino] = path
    for path in outputs:
        if os.path.exists(path):
            status = os.stat(path)
            same = known.get((status.st_dev, status.st_ino))
            if same is not None:
                raise ValueError(f'the output {path} is the input {same}: choose another place, nothing was written')


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Write a file so that it is either whole or not there: temporary name in the same folder, then rename."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
    try:
        with os.fdopen(handle, 'wb') as file:
            file.write(data)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def list_images(folder: str | os.PathLike) -> dict[str, Path]:
    """Image files below a folder by stem, sorted; in sub-folders the stem keeps the folder (``drive_1/0001``).

    Hidden files and whatever lies in hidden folders is left out.

    Raises:
        FileNotFoundError: If the folder does not exist.
        ValueError: If it holds no image, or two images of one stem.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'no such folder: {folder}')
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob('*')):
        inner = path.relative_to(folder)
        hidden = any(part.startswith('.') for part in inner.parts)
        if path.suffix.lower() in READ_SUFFIXES and not hidden and path.is_file():
            stem = inner.with_suffix('').as_posix()
            if stem in files:
                raise ValueError(
                    f'two images of one stem in {folder}: {files[stem].name} and {path.name}; keep one of them there'
                )
            files[stem] = path
    if not files:
        raise ValueError(f'no image in {folder} (looked for {", ".join(READ_SUFFIXES)})')
    return files


def pair_by_stem(folders: dict[str, str | os.PathLike], optional: Iterable[str] = ()) -> dict[str, dict[str, Path]]:
    """Group the images of several folders by file stem.

    Args:
        folders: Role (modality, ``label``, ...) -> folder.
        optional: Roles in which a missing partner is not an error.

    Returns:
        Stem -> role -> file, sorted by stem.

    Raises:
        FileNotFoundError: If a stem lacks a partner; the message lists what is missing in which folder.
        ValueError: If two roles have one folder.
    """
    optional = set(optional)
    refuse_same(folders)
    listings = {role: list_images(folder) for role, folder in folders.items()}
    required = {role: files for role, files in listings.items() if role not in optional}
    stems = sorted(set().union(*required.values()))
    problems = []
    for role, files in required.items():
        missing = [stem for stem in stems if stem not in files]
        if missing:
            shown = ', '.join(missing[:10]) + (f' and {len(missing) - 10} more' if len(missing) > 10 else '')
            problems.append(f'  {role} ({folders[role]}) has no file for {len(missing)} of {len(stems)} stems: {shown}')
    if problems:
        listed = '\n'.join(problems)
        raise FileNotFoundError(
            f'images are paired by file stem (one name for one scene in each folder, whatever the suffix), and some '
            f'have no partner:\n{listed}{naming_advice(required)}'
        )
    return {stem: {role: files[stem] for role, files in listings.items() if stem in files} for stem in stems}


def read_label(path: str | os.PathLike) -> np.ndarray:
    """Read class ids as they are stored: no range is stretched, no palette becomes colours.

    Read are whole numbers 0 to 255 in one channel: 1 to 32 bit, integer or floating, grey or the indices of a palette
    of any colours; and three equal channels, with or without a constant alpha channel. An orientation stored beside the
    pixels is applied.

    Returns:
        (H, W) uint8.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a readable image, cut off, lossy (JPEG), has several pages, channels that differ, or
            values that are no ids; the message names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'no such label file: {path}')
    try:
        ids = _stored_values(path)
        if ids.ndim == 3:
            ids = _only_channel(ids)
        if np.issubdtype(ids.dtype, np.floating) and not (np.isfinite(ids) & (ids == np.round(ids))).all():
            raise ValueError('values that are not whole numbers')
        if ids.min() < 0 or ids.max() > 255:
            raise ValueError(f'values from {ids.min():g} to {ids.max():g}')
    except ValueError as error:
        raise ValueError(
            f'{path} is no label: {error}; expected class ids 0 to 255 (255: does not count) in one channel, as PNG'
        ) from None
    return np.ascontiguousarray(ids.astype(np.uint8))


def _stored_values(path: Path) -> np.ndarray:
    """Samples of a file, (H,W) or (H,W,C), before any conversion."""
    try:
        with Image.open(path) as image:
            # the layout in the file: Pillow widens few bits to 0..255 and cuts 16-bit colours to 8
            layout = image.tile[0].args if image.tile else ''
            layout = layout if isinstance(layout, str) else str(layout[0])
            if image.format in ('JPEG', 'MPO', 'JPEG2000') or (image.format == 'WEBP' and _lossy_webp(path)):
                raise ValueError(f'{image.format} is lossy, it changes ids')
            if getattr(image, 'n_frames', 1) > 1:
                raise ValueError(f'{image.n_frames} pages in one file')
            if re.match(r'[1L];\d?I', layout):
                raise ValueError('stored inverted (white is zero)')
            image.load()
            upright = ImageOps.exif_transpose(image)
            if ';16' not in layout or len(image.getbands()) == 1:
                values = np.asarray(upright)
                bits = re.match(r'L;([24])', layout)
                return values // (255 // (2 ** int(bits[1]) - 1)) if bits else values
            if upright.tobytes() != image.tobytes():
                raise ValueError('turned by an orientation tag, with 16-bit channels')
    except UnidentifiedImageError:
        pass
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f'not readable or cut off ({error})') from None
    try:
        values = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        values = None
    if values is None:
        raise ValueError('not a readable image')
    return values


def _lossy_webp(path: Path) -> bool:
    with open(path, 'rb') as file:
        return b'VP8L' not in file.read(512)


def _only_channel(values: np.ndarray) -> np.ndarray:
    if values.shape[2] in (2, 4):
        if (values[..., -1] != values[0, 0, -1]).any():
            raise ValueError('a mask in its alpha channel')
        values = values[..., :-1]
    if (values != values[..., :1]).any():
        colours = len(np.unique(values.reshape(-1, values.shape[2]), axis=0))
        raise ValueError(
            f'{colours} colours in {values.shape[2]} channels, as a coloured picture of the label has them; give each '
            'colour its id'
        )
    return values[..., 0]


def refuse_same(paths: Mapping[str, Any]) -> None:
    """Refuse one file or folder for two modalities: pairs in one folder cannot be told apart by their stems.

    Raises:
        ValueError: Names both, and the path.
    """
    seen: dict[tuple[int, int], str] = {}
    for name, path in paths.items():
        if isinstance(path, str | os.PathLike) and os.path.exists(path):
            status = os.stat(path)
            other = seen.setdefault((status.st_dev, status.st_ino), name)
            if other != name:
                what, advice = 'file', ''
                if os.path.isdir(path):
                    what = 'folder'
                    advice = '; sort it into one folder for each, in which one scene has one name'
                raise ValueError(
                    f'{other} and {name} are the same {what}, {path}: each modality needs pictures of its own{advice}'
                )


def naming_advice(listings: Mapping[str, Mapping[str, Path]]) -> str:
    """A line on how the stems of two folders differ, with the line break before it; empty where no rule is seen."""
    roles = list(listings)
    for one, other in zip(roles, roles[1:], strict=False):
        left = [stem for stem in listings[one] if stem not in listings[other]]
        right = [stem for stem in listings[other] if stem not in listings[one]]
        if not left or not right:
            continue
        lower = {stem.lower(): stem for stem in right}
        for stem in left:
            if stem.lower() in lower:
                return f'\n  {stem} and {lower[stem.lower()]} differ in upper and lower case: rename one of them'
        # pairs that have a mark more on one side are alike before it and behind it
        a, b = max(product(left[:20], right[:20]), key=lambda pair: SequenceMatcher(None, *pair).ratio())
        if SequenceMatcher(None, a, b).ratio() > 0.4:
            return (
                f'\n  {a} and {b} look like a pair: rename the files so that both have one name, '
                f'without a mark of {one} or {other}'
            )
    return ''
