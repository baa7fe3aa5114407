"""What a picture shows of its own faults, as numbers: tones, colours, detail over scales, noise, lines, directions.

No learning here: every number has a formula. The automatic prompt (`lurefusion.prompts.auto`) judges by them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import cv2
import numpy as np

from lurefusion.ops.colour import LUMA

#: long side of the picture in which tones are looked at; light and air do not depend on the resolution
TONE_SIDE = 256
#: pixels in which detail is looked at as it is; of larger pictures, windows
DETAIL_PIXELS = 640 * 480
_WINDOW = 216
PERCENTILES = (0.5, 5, 25, 50, 75, 95, 99, 99.9)
LEVELS = 5
FACTORS = (2, 4, 8)
DIRECTIONS = 12
# a 16th of a level of 8 bits: below that, there is nothing to be told apart
_EPS = 1 / (16 * 255)
# Immerkaer, Fast noise variance estimation, CVIU 1996: blind to planes, answers 6 sigma to white noise
_IMMERKAER = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


def picture_statistics(picture: np.ndarray) -> dict[str, float]:
    """All statistics of a picture, in a fixed order of names.

    Args:
        picture: (H,W,3), uint8 or float in [0, 1], of at least 8x8 pixels; grey pictures have three equal channels.

    Returns:
        Name -> finite number.

    Raises:
        TypeError: If it is no array, or neither uint8 nor float.
        ValueError: On another shape, fewer pixels, values outside of [0, 1] or not finite.
    """
    rgb = checked(picture)
    luma = rgb @ np.array(LUMA, np.float32)
    found = tone_statistics(_shrunk(rgb))
    windows = [detail_statistics(luma[part], rgb[part]) for part in _windows(*luma.shape)]
    found |= {name: float(np.mean([window[name] for window in windows])) for name in windows[0]}
    return found


def checked(picture: np.ndarray) -> np.ndarray:
    """(H,W,3) float32 in [0,1]."""
    if not isinstance(picture, np.ndarray):
        raise TypeError(f'a picture is a NumPy array (H, W, 3), got {type(picture).__name__}')
    if picture.ndim != 3 or picture.shape[2] != 3 or min(picture.shape[:2]) < 8:
        raise ValueError(f'a picture is (H, W, 3) of at least 8x8 pixels, got {picture.shape}')
    if picture.dtype == np.uint8:
        return picture.astype(np.float32) / np.float32(255)
    if not np.issubdtype(picture.dtype, np.floating):
        raise TypeError(f'a picture is uint8 or float in [0, 1], got {picture.dtype}')
    low, high = float(picture.min()), float(picture.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(f'float pictures lie in [0, 1], got values from {low:g} to {high:g}')
    return picture.astype(np.float32)


def _shrunk(rgb: np.ndarray) -> np.ndarray:
    height, width = rgb.shape[:2]
    scale = TONE_SIDE / max(height, width)
    if scale >= 1:
        return rgb
    return cv2.resize(rgb, (max(8, round(width * scale)), max(8, round(height * scale))), interpolation=cv2.INTER_AREA)


def _windows(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """The whole picture, or three by three windows of a large one, spread evenly."""
    if height * width <= 2 * DETAIL_PIXELS:
        yield slice(None), slice(None)
        return
    for top in np.linspace(0, max(0, height - _WINDOW), 3).astype(int):
        for left in np.linspace(0, max(0, width - _WINDOW), 3).astype(int):
            yield slice(top, top + _WINDOW), slice(left, left + _WINDOW)


def tone_statistics(rgb: np.ndarray) -> dict[str, float]:
    """Light, colour, veil and local contrast of a shrunk picture, (h,w,3) float32 in [0,1].

    The dark channel is that of He et al. (CVPR 2009), the least value of all channels in a window of 7x7: near 0 in
    clear air, high behind haze. `top`, `middle` and `low` are thirds of the rows, since haze grows with the distance.
    """
    luma = rgb @ np.array(LUMA, np.float32)
    most, least = rgb.max(2), rgb.min(2)
    found: dict[str, float] = {}
    levels = np.percentile(luma, PERCENTILES)
    for percent, level in zip(PERCENTILES, levels, strict=True):
        found[f'luma_{percent:g}'] = level
        found[f'stops_{percent:g}'] = np.log2(level + 1 / 64)
    found |= dict(luma_mean=luma.mean(), luma_std=luma.std())
    # roots, so that one per cent is not nothing
    found['share_white'] = np.sqrt((luma > 0.97).mean())
    found['share_clipped'] = np.sqrt((most > 0.99).mean())
    found['share_burnt'] = np.sqrt((least > 0.97).mean())
    found['share_black'] = np.sqrt((luma < 0.02).mean())
    counts = np.histogram(luma, 16, (0, 1))[0] / luma.size
    found |= {f'tone_{number}': np.sqrt(count) for number, count in enumerate(counts)}
    dark = cv2.erode(least, np.ones((7, 7), np.uint8))
    found |= _percentiles('dark', dark, 5, 25, 50, 75, 95)
    colour = most - least
    saturation = colour / (most + 0.02)
    found |= _percentiles('saturation', saturation, 10, 50, 90)
    found['colour_mean'] = colour.mean()
    deviation = _block_deviation(luma)
    logs = np.log(deviation + _EPS)
    found |= _percentiles('contrast', logs, 10, 50, 90)
    for name, rows, blocks in zip(('top', 'middle', 'low'), _thirds(len(luma)), _thirds(len(logs)), strict=True):
        found[f'dark_{name}'] = dark[rows].mean()
        found[f'luma_{name}'] = luma[rows].mean()
        found[f'colour_{name}'] = colour[rows].mean()
        found[f'contrast_{name}'] = logs[blocks].mean()
    return {name: float(value) for name, value in found.items()}


def _percentiles(name: str, values: np.ndarray, *percents: int) -> dict[str, float]:
    levels = np.percentile(values, percents)
    return {f'{name}_{percent}': level for percent, level in zip(percents, levels, strict=True)}


def _thirds(length: int) -> tuple[slice, slice, slice]:
    """Three parts of a row of things, none of them empty."""
    ends = [round(length * part / 3) for part in range(4)]
    return tuple(slice(min(a, length - 1), max(b, a + 1)) for a, b in pairwise(ends))


def _block_deviation(luma: np.ndarray) -> np.ndarray:
    """Standard deviation in blocks of 8x8 pixels; what is left over at the right and below is not looked at."""
    rows, columns = luma.shape[0] // 8, luma.shape[1] // 8
    blocks = luma[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8)
    return blocks.std(axis=(1, 3))


def detail_statistics(luma: np.ndarray, rgb: np.ndarray) -> dict[str, float]:
    """Detail over scales, noise, lines and directions of a picture at its own resolution.

    Args:
        luma: (H,W) float32 in [0,1].
        rgb: (H,W,3), the picture that it is of.
    """
    found: dict[str, float] = {}
    level, high = luma, np.zeros(0)
    for number in range(LEVELS):
        if number:
            # small pictures have fewer scales; the last one stands for those beyond
            if min(level.shape) >= 16:
                level = cv2.resize(level, (level.shape[1] // 2, level.shape[0] // 2), interpolation=cv2.INTER_AREA)
        energy, directed, slant, bins = gradients(level)
        found[f'gradient_{number}'] = energy
        found[f'across_{number}'], found[f'slant_{number}'] = directed, slant
        if number < 2:
            found |= {f'direction_{number}_{angle}': share for angle, share in enumerate(bins)}
        band = cv2.filter2D(level, -1, _IMMERKAER)[1:-1, 1:-1]
        noise, tail, skew = spread(band)
        found[f'noise_{number}'], found[f'tail_{number}'], found[f'skew_{number}'] = noise, tail, skew
        high = band if number == 0 else high
    found |= _noise_by_tone(luma, np.abs(high))
    for name, one, two in (('red', 0, 1), ('blue', 2, 1)):
        band = cv2.filter2D(rgb[..., one] - rgb[..., two], -1, _IMMERKAER)
        found[f'noise_{name}'] = spread(band[1:-1, 1:-1])[0]
    for factor in FACTORS:
        lost, kept = detail_lost(luma, factor)
        found[f'lost_{factor}'], found[f'share_lost_{factor}'] = lost, lost - kept
    for name, picture in (('columns', luma), ('rows', luma.T)):
        found |= {f'{name}_{key}': value for key, value in lines(picture).items()}
    return {name: float(value) for name, value in found.items()}


def gradients(luma: np.ndarray) -> tuple[float, float, float, np.ndarray]:
    """Strength and directions of the gradients (central differences).

    Returns:
        ``log sqrt(mean |g|^2)``; the two parts of the anisotropy of the structure tensor, (xx - yy) / (xx + yy) and
        2 xy / (xx + yy), each in [-1, 1]; shares of the gradients' energy, (DIRECTIONS,), by their direction in half a
        turn, from along the rows on.
    """
    gx = (luma[1:-1, 2:] - luma[1:-1, :-2]) * np.float32(0.5)
    gy = (luma[2:, 1:-1] - luma[:-2, 1:-1]) * np.float32(0.5)
    xx, yy, xy = float((gx * gx).mean()), float((gy * gy).mean()), float((gx * gy).mean())
    total = xx + yy + _EPS**2
    magnitude, angle = cv2.cartToPolar(gx[::2], gy[::2])
    number = ((angle * (DIRECTIONS / np.pi)).astype(np.int32)) % DIRECTIONS
    # magnitudes, not their squares, of which a few edges would have all
    shares = np.bincount(number.ravel(), magnitude.ravel(), DIRECTIONS)
    shares = shares / max(float(shares.sum()), _EPS * magnitude.size)
    return 0.5 * float(np.log(total)), (xx - yy) / total, 2 * xy / total, shares


def spread(band: np.ndarray) -> tuple[float, float, float]:
    """Of Immerkaer's band: log of the noise's sigma by the median, log of rms to that, and the skewness in (-1, 1).

    White noise has sigma, 0 and 0; edges and streaks have heavy tails, and bright streaks a skew.
    """
    values = band.ravel()
    # an odd step does not fall into step with an even width
    values = np.ascontiguousarray(values[:: max(1, values.size // 50_000) | 1])
    sigma = float(np.median(np.abs(values))) / 0.6745 / 6
    powers = values * values
    squares = float(powers.mean())
    rms = np.sqrt(squares) / 6
    skewness = float((powers * values).mean()) / (squares**1.5 + 1e-12)
    return np.log(sigma + _EPS), np.log((rms + _EPS) / (sigma + _EPS)), float(np.tanh(skewness / 4))


def _noise_by_tone(luma: np.ndarray, band: np.ndarray) -> dict[str, float]:
    """Log sigma in the darkest and in the brightest fifth: noise of a sensor is not that of a texture."""
    step = max(1, int(np.sqrt(band.size / 50_000)))
    tone = cv2.blur(luma, (3, 3))[1:-1, 1:-1][::step, ::step].ravel()
    band = band[::step, ::step].ravel()
    low, high = np.percentile(tone, (20, 80))
    parts = dict(noise_dark=band[tone <= low], noise_bright=band[tone >= high])
    return {name: np.log(float(np.median(part)) / 0.6745 / 6 + _EPS) for name, part in parts.items()}


def detail_lost(luma: np.ndarray, factor: int) -> tuple[float, float]:
    """Log rms of what reducing by a factor and cubic enlarging takes away, and of the gradients that it leaves.

    Next to nothing is lost of a picture that was enlarged by that factor already.
    """
    height, width = luma.shape
    size = (max(2, -(-width // factor)), max(2, -(-height // factor)))
    small = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
    back = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    lost = float(np.sqrt(np.mean((luma - back) ** 2)))
    gx, gy = np.diff(small, axis=1), np.diff(small, axis=0)
    kept = np.sqrt(float((gx * gx).mean()) + float((gy * gy).mean()))
    return np.log(lost + _EPS), np.log(kept + _EPS)


def lines(luma: np.ndarray) -> dict[str, float]:
    """Whether the columns differ from their neighbours over the whole height: stripes of a sensor's readout.

    Returns:
        ``offset``: log standard deviation of the columns' means, less those of their neighbours; ``excess``: log of how
        much larger it is than if the pixels of a column were independent of each other; ``alike``: correlation of
        these means in the upper and in the lower half.
    """
    away = luma - cv2.blur(luma, (9, 1))
    half = len(away) // 2
    upper, lower = away[:half].mean(0), away[half:].mean(0)
    means = away.mean(0)
    offset = float(means.std())
    expected = float(away.std()) / np.sqrt(len(away))
    product = float(upper.std() * lower.std())
    alike = float((upper * lower).mean() - upper.mean() * lower.mean()) / (product + _EPS**2)
    return dict(offset=np.log(offset + _EPS), excess=np.log((offset + _EPS) / (expected + _EPS)), alike=alike)
