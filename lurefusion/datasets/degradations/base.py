"""What a degradation owes, the random numbers that all draw alike, and a distance map where there is none."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from lurefusion.io.ranges import to_uint8, to_unit_range
from lurefusion.registry import DEGRADATIONS

Range = float | tuple[float, float]
Degraded = tuple[np.ndarray, dict[str, Any]]


class Degradation:
    """Base of all degradations. Members set `task` and implement :meth:`degrade`.

    Ranges are given as (low, high), drawn uniformly, or as one number for a fixed value.
    """

    task: str

    def __call__(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None = None) -> Degraded:
        """Degrade one image.

        Args:
            image: Clean image, float32 in [0, 1], (H,W,3) or (H,W); :meth:`degrade` gets a copy, which it may change.
            rng: Source of all randomness.
            depth: Distance from the camera, float32 in [0, 1] from near to far, (H,W); haze and defocus
                use it.

        Returns:
            A new float32 image of the same shape, clipped and rounded to multiples of 1/255, and the parameters drawn
            (plain floats and integers), from which the output can be computed again.

        Raises:
            TypeError: If `image` is no array, or `rng` no `numpy.random.Generator`.
            ValueError: If `image` or `depth` has another shape, dtype or range, or NaN; if what :meth:`degrade` makes
                has another shape, or is not floating.
        """
        if not isinstance(rng, np.random.Generator):
            raise TypeError(f'rng must be a numpy.random.Generator, got {type(rng).__name__}')
        _check('image', image, colour=True)
        if depth is not None:
            _check('depth', depth)
            if depth.shape != image.shape[:2]:
                raise ValueError(f'depth must have the size of the image, {image.shape[:2]}; got {depth.shape}')
        degraded, parameters = self.degrade(image.copy(), rng, depth)
        shape, dtype = getattr(degraded, 'shape', None), getattr(degraded, 'dtype', None)
        if shape != image.shape or not np.issubdtype(dtype, np.floating):
            raise ValueError(
                f'{type(self).__name__}.degrade must return a floating array in [0, 1] of the shape of its picture, '
                f'{image.shape}; got {type(degraded).__name__} {dtype} {shape}'
            )
        return to_unit_range(to_uint8(degraded)), parameters

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> Degraded:
        """The formula itself, on checked input; neither clipped nor rounded."""
        raise NotImplementedError


def _check(name: str, array: np.ndarray, colour: bool = False) -> None:
    if not isinstance(array, np.ndarray):
        raise TypeError(f'{name} must be a NumPy array, got {type(array).__name__}')
    fits = array.ndim == 2 or (colour and array.ndim == 3 and array.shape[2] == 3)
    if not fits or array.size == 0:
        expected = '(H, W, 3) or (H, W)' if colour else '(H, W)'
        raise ValueError(f'{name} must be {expected} and not empty, got {array.shape}')
    if array.dtype != np.float32:
        raise ValueError(
            f'{name} must be float32 in [0, 1] (see lurefusion.io.ranges.to_unit_range), got {array.dtype}'
        )
    low, high = float(array.min()), float(array.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f'{name} has NaN or infinite pixels')
    if low < 0 or high > 1:
        raise ValueError(f'{name} must lie in [0, 1], got values from {low:g} to {high:g}')


def value_range(name: str, value: Range, low: float, high: float = math.inf) -> tuple[float, float]:
    ends = (value, value) if isinstance(value, (int, float)) else tuple(value)
    if len(ends) != 2 or not all(math.isfinite(end) for end in ends):
        raise ValueError(f'{name} must be a number or (low, high), got {value!r}')
    if not low <= ends[0] <= ends[1] <= high:
        raise ValueError(f'{name} must be ascending and within [{low:g}, {high:g}], got {value!r}')
    return float(ends[0]), float(ends[1])


def draw(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    return float(rng.uniform(*ends))


def draw_seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def standard_normal(image: np.ndarray, seed: int) -> np.ndarray:
    """Standard normal noise of the image's shape; equal channels get equal noise, so that grey stays grey."""
    rng = np.random.default_rng(seed)
    grey = image.ndim == 3 and bool((image == image[..., :1]).all())
    return rng.standard_normal((*image.shape[:2], 1) if grey else image.shape, dtype=np.float32)


@DEGRADATIONS.register_module()
class Identity(Degradation):
    """The pseudo-degradation: x = y."""

    task = 'pd'

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> Degraded:
        return image, {}


def drawn_depth(
    image: np.ndarray, rng: np.random.Generator, ramp: tuple[float, float], relief: tuple[float, float]
) -> tuple[np.ndarray, dict[str, Any]]:
    drawn = dict(ramp=draw(rng, ramp), relief=draw(rng, relief), relief_seed=draw_seed(rng))
    return ramp_depth(*image.shape[:2], **drawn), drawn


def ramp_depth(height: int, width: int, ramp: float, relief: float, relief_seed: int) -> np.ndarray:
    """Distance in [0, 1] of a scene whose depth is unknown: far at the top, near at the bottom, (H,W) float32.

    Args:
        height, width: Size in pixels.
        ramp: Exponent of the vertical ramp.
        relief: Amplitude of the smooth noise added to it.
        relief_seed: Seed of that noise.
    """
    rows = ((height - 1 - np.arange(height, dtype=np.float32)) / height) ** np.float32(ramp)
    waves = np.random.default_rng(relief_seed).uniform(-1, 1, (5, 6)).astype(np.float32)
    waves = cv2.resize(waves, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(rows[:, None] + np.float32(relief) * waves, 0, 1)


def line_kernel(length: int, angle: float) -> np.ndarray:
    """A line of `length` pixels at `angle` degrees from the vertical, (length, length) float32 in [0, 1]."""
    at = (np.arange(length, dtype=np.float32) - (length - 1) / 2)[:, None]
    radians = math.radians(angle)
    along = at * math.cos(radians) + at.T * math.sin(radians)
    across = at * math.sin(radians) - at.T * math.cos(radians)
    return np.clip(1 - np.abs(across), 0, 1) * (np.abs(along) <= (length - 1) / 2)
