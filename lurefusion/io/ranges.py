"""Numbers of any bit depth to [0, 1] and back: fixed limits, percentiles, gain control."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

RANGE_MODES = ('auto', 'percentile', 'minmax', 'full', 'agc', 'shared')
# per cent of the pixels below which half of a range is wasted; street scenes with warm people in them have more
_WASTED = 0.25
# share of the pixels outside of fixed limits that is said
_CLIPPED = 0.5
# of fractions that were resampled or converted
_ROUNDING = 1e-5
# beyond it, differences of two numbers may overflow
_OVERFLOWS = np.finfo(np.float64).max / 4


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

    ``shared``, the percentiles of a whole folder or clip, is brought to numbers before a picture comes here, see
    :func:`lurefusion.io.shared_range.shared_range`.

    Args:
        image: Any shape and number type.
        mode: See above.
        notes: What looks wrong is appended: a range that a few hot pixels take, a frame outside of its limits.

    Raises:
        ValueError: On NaN or infinite pixels, an unknown mode, limits that the integer type cannot reach, or
            ``shared``.
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
    if limits is not None:
        return _between(values, image.dtype, *limits, notes)
    lowest, highest = values.min(), values.max()
    if max(abs(lowest), abs(highest)) > _OVERFLOWS:
        # so that no difference of two of them is infinite
        values, lowest, highest = values / 4, lowest / 4, highest / 4
    floating = np.issubdtype(image.dtype, np.floating)
    if floating and _is_fraction(lowest, highest):
        return np.clip(image.astype(np.float32), 0, 1)
    if mode == 'auto' and _is_eight_bit(values, lowest, highest):
        return np.round(values).astype(np.float32) / 255.0
    if mode == 'shared':
        raise ValueError('the range "shared" is for folders and clips; give one picture LOW:HIGH or percentile')
    if mode == 'agc':
        return _plateau_equalise(values)
    if mode == 'full':
        low, high = 0.0, max(highest if floating else np.iinfo(image.dtype).max, 1e-12)
    else:
        low, high = (lowest, highest) if mode == 'minmax' else np.percentile(values, (0.1, 99.9))
        if high <= low:
            # beyond 2**53, one more is the same number
            low, high = lowest, max(highest, lowest + 1, np.nextafter(lowest, np.inf))
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
        if notes is not None and high - low > 2 * (int(most) - int(least)):
            notes.append(
                f'the range {low:g}:{high:g} is far wider than {least} to {most}, all that {dtype} pixels can hold: '
                f'hardly any contrast is left; name the modality that it is for (NAME={low:g}:{high:g})'
            )
    if max(abs(low), abs(high), abs(values.min()), abs(values.max())) > _OVERFLOWS:
        values, low, high = values / 4, low / 4, high / 4
    if notes is not None and (values.max() <= low or values.min() >= high):
        notes.append(
            f'no pixel lies between {low:g} and {high:g} (they are {values.min():g} to {values.max():g}): an empty '
            f'picture'
        )
    elif notes is not None and (clipped := float(((values < low) | (values > high)).mean())) > _CLIPPED:
        notes.append(f'{clipped:.0%} of the pixels lie outside of {low:g} to {high:g} and are clipped')
    return np.clip((values - low) / (high - low), 0, 1).astype(np.float32)


def _is_fraction(lowest: float, highest: float) -> bool:
    """Whether all lie in [0, 1] but for the rounding of a computation."""
    return bool(lowest >= -_ROUNDING and highest <= 1 + _ROUNDING)


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
    return np.round(_clipped(image) * 255).astype(np.uint8)


def to_uint16(image: np.ndarray) -> np.ndarray:
    """Float in [0, 1] to uint16, as :func:`to_uint8`."""
    return np.round(_clipped(image) * 65535).astype(np.uint16)


def _clipped(image: np.ndarray) -> np.ndarray:
    if not np.isfinite(image).all():
        raise ValueError(f'{int((~np.isfinite(image)).sum())} of {image.size} values of the picture are not finite')
    return np.clip(image, 0, 1)
