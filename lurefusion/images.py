"""Reading, writing and converting image files: the only place that knows about bit depths and colour spaces."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff')
# WebP is read and not written: OpenCV would write it with losses
READ_SUFFIXES = (*IMAGE_SUFFIXES, '.webp')
RANGE_MODES = ('percentile', 'minmax', 'full', 'agc')

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


def to_unit_range(image: np.ndarray, mode: str = 'percentile') -> np.ndarray:
    """Bring an image of any bit depth to float32 in [0, 1].

    uint8 is divided by 255, whatever the mode. uint16 and other integers, and floats that leave [0, 1], are mapped by

    * ``percentile``: the frame's 0.1 and 99.9 percentiles to 0 and 1 (default),
    * ``minmax``: the frame's minimum and maximum,
    * ``full``: the whole range of the integer type (floats: divided by their maximum),
    * ``agc``: histogram equalisation with a plateau limit, as infrared cameras do.

    Raises:
        ValueError: On NaN or infinite pixels, or an unknown mode.
    """
    if mode not in RANGE_MODES:
        raise ValueError(f'range mode must be one of {", ".join(RANGE_MODES)}; got {mode!r}')
    if image.dtype == np.uint8:
        return image.astype(np.float32) / 255.0
    if image.dtype == bool:
        return image.astype(np.float32)
    values = image.astype(np.float64)
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise ValueError(f'{bad} of {values.size} pixels are NaN or infinite; replace them before use')
    floating = np.issubdtype(image.dtype, np.floating)
    if floating and values.min() >= 0 and values.max() <= 1:
        return image.astype(np.float32)
    if mode == 'full':
        top = values.max() if floating else np.iinfo(image.dtype).max
        return np.clip(values / max(top, 1e-12), 0, 1).astype(np.float32)
    if mode == 'agc':
        return _plateau_equalise(values)
    low, high = (values.min(), values.max()) if mode == 'minmax' else np.percentile(values, (0.1, 99.9))
    if high <= low:
        low, high = values.min(), max(values.max(), values.min() + 1)
    return np.clip((values - low) / (high - low), 0, 1).astype(np.float32)


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
    """Float in [0, 1] to uint8 by clipping and rounding; never a per-image stretch."""
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def read_image(path: str | os.PathLike, range_mode: str = 'percentile') -> tuple[np.ndarray, bool]:
    """Read a picture as RGB.

    Returns:
        The image, (H, W, 3), uint8 as stored for 8-bit files, else float32 in [0, 1] (see :func:`to_unit_range`); and
        whether it is grey (a single channel, or three equal ones).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a readable image, is cut off, or has NaN pixels; the message names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'no such image file: {path}')
    data = path.read_bytes()
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    except cv2.error:  # a header that promises more pixels than OpenCV takes
        image = None
    if image is None:
        raise ValueError(f'{path} is not a readable image ({len(data)} bytes); expected {", ".join(READ_SUFFIXES)}')
    if _is_cut_off(data):
        raise ValueError(f'{path} is cut off (the end of the file is missing); copy or download it again')
    if image.ndim == 3 and image.shape[2] == 2:
        image = image[..., 0]
    if image.ndim == 3:
        image = image[..., 2::-1]
    try:
        if image.dtype != np.uint8:
            image = to_unit_range(image, range_mode)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None
    grey = image.ndim == 2 or bool((image[..., :1] == image).all())
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    return np.ascontiguousarray(image), grey


def _is_cut_off(data: bytes) -> bool:
    # OpenCV decodes what is there and fills the rest with grey, without an error
    if data.startswith(b'\x89PNG'):
        return b'IEND' not in data[-64:]
    if data.startswith(b'\xff\xd8'):
        return b'\xff\xd9' not in data[-4096:]
    if data.startswith(b'RIFF'):
        return len(data) < int.from_bytes(data[4:8], 'little') + 8
    return False


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
                raise ValueError(f'two images of one stem in {folder}: {files[stem].name} and {path.name}')
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
    """
    optional = set(optional)
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
        raise FileNotFoundError('images are paired by file stem, and some have no partner:\n' + '\n'.join(problems))
    return {stem: {role: files[stem] for role, files in listings.items() if stem in files} for stem in stems}
