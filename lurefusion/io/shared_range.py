"""One fixed range for all pictures of a folder or clip, from a first pass over them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from lurefusion.io.images import decode
from lurefusion.io.ranges import _is_fraction
from lurefusion.io.slices import is_slice, read_slice

# the percentiles that `percentile` takes of a single picture, see lurefusion.io.ranges.to_unit_range
PERCENTILES = (0.1, 99.9)
# values of pictures of other types than 16 bit that are kept, about
_KEPT = 1 << 20


def shared_range(pictures: Iterable[np.ndarray]) -> str | None:
    """``LOW:HIGH`` of all pictures together: the 0.1 and 99.9 percentiles of all their pixels.

    Exact for 16-bit pictures (a histogram of all counts), else of every n-th value, so that about a million are kept
    however long the clip is.

    Returns:
        None where there is nothing to share: for 8-bit pictures, and for numbers that are grey levels already (floats
        in [0, 1], whole numbers from 0 to 255).

    Pictures with NaN or infinite pixels are passed over: what is wrong with them is said when they are fused.

    Raises:
        ValueError: If no picture is left, or 16-bit counts and measurements of another type lie side by side.
    """
    counts = np.zeros(1 << 16, np.int64)
    samples: list[np.ndarray] = []
    step, kept, any_picture, measured = 1, 0, False, False
    for picture in pictures:
        values = picture.ravel()
        if not np.isfinite(values).all():
            continue
        any_picture = True
        if picture.dtype in (np.uint8, bool):
            continue
        if picture.dtype == np.uint16:
            counts += np.bincount(values, minlength=1 << 16)
            continue
        values = values.astype(np.float64)
        measured = measured or not _is_levels(values)
        samples.append(values[::step])
        kept += samples[-1].size
        if kept > 2 * _KEPT:
            samples, step = [np.concatenate(samples)[::2]], 2 * step
            kept = samples[0].size
    if not any_picture:
        raise ValueError('no readable picture to take a range from')
    if measured and counts[256:].any():
        raise ValueError(
            'the pictures are of several kinds, 16-bit counts and measurements of another type, which have no range in '
            'common: keep each kind in a folder of its own'
        )
    if measured:
        low, high = np.percentile(np.concatenate(samples), PERCENTILES)
    elif counts[256:].any():
        low, high = _percentiles(counts)
    else:
        return None
    return f'{low:.10g}:{high if high > low else low + 1:.10g}'


def _is_levels(values: np.ndarray) -> bool:
    low, high = values.min(), values.max()
    return _is_fraction(low, high) or bool(low >= 0 and high <= 255 and (values == np.round(values)).all())


def _percentiles(counts: np.ndarray) -> tuple[float, float]:
    """As `numpy.percentile` of all the numbers that were counted."""
    total, below = counts.sum(), np.cumsum(counts)

    def at(percent: float) -> float:
        place = percent / 100 * (total - 1)
        first = int(np.floor(place))
        one, two = (int(np.searchsorted(below, index, side='right')) for index in (first, min(first + 1, total - 1)))
        return one + (two - one) * (place - first)

    return at(PERCENTILES[0]), at(PERCENTILES[1])


def pictures_of(files: Iterable[Path]) -> Iterator[np.ndarray]:
    """The numbers of image files as they are stored, without alpha; files that cannot be read are passed over."""
    for file in files:
        with suppress(ValueError, OSError, MemoryError):
            pixels = read_slice(file).pixels if is_slice(file) else decode(Path(file))[0]
            yield pixels[..., :3] if pixels.ndim == 3 else pixels
