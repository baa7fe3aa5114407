"""Synthetic degradations of clean images, registered in `DEGRADATIONS`: seeded, recorded, on the 8-bit grid.

They stand in where real pairs of degraded and clean images are missing. A network trained on the exact floating-point
formulas learns to invert them and fails on real files, so every output is rounded to 8 bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from lurefusion.io.ranges import to_uint8, to_unit_range
from lurefusion.registry import DEGRADATIONS

Range = float | tuple[float, float]
Degraded = tuple[np.ndarray, dict[str, Any]]
DOWN = ('area', 'cubic', 'random')


class Degradation:
    """Base of all degradations. Members set `task` and implement :meth:`degrade`.

    Ranges are given as (low, high), drawn uniformly, or as one number for a fixed value.
    """

    task: str

    def __call__(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None = None) -> Degraded:
        """Degrade one image.

        Args:
            image: Clean image, float32 in [0, 1], (H,W,3) or (H,W); it is not modified.
            rng: Source of all randomness.
            depth: Distance from the camera, float32 in [0, 1] from near to far, (H,W); haze and defocus
                use it.

        Returns:
            A new float32 image of the same shape, clipped and rounded to multiples of 1/255, and the parameters drawn
            (plain floats and integers), from which the output can be computed again.

        Raises:
            TypeError: If `image` is no array, or `rng` no `numpy.random.Generator`.
            ValueError: If `image` or `depth` has another shape, dtype or range, or NaN.
        """
        if not isinstance(rng, np.random.Generator):
            raise TypeError(f'rng must be a numpy.random.Generator, got {type(rng).__name__}')
        _check('image', image, colour=True)
        if depth is not None:
            _check('depth', depth)
            if depth.shape != image.shape[:2]:
                raise ValueError(f'depth must have the size of the image, {image.shape[:2]}; got {depth.shape}')
        degraded, parameters = self.degrade(image, rng, depth)
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


def _range(name: str, value: Range, low: float, high: float = math.inf) -> tuple[float, float]:
    ends = (value, value) if isinstance(value, (int, float)) else tuple(value)
    if len(ends) != 2 or not all(math.isfinite(end) for end in ends):
        raise ValueError(f'{name} must be a number or (low, high), got {value!r}')
    if not low <= ends[0] <= ends[1] <= high:
        raise ValueError(f'{name} must be ascending and within [{low:g}, {high:g}], got {value!r}')
    return float(ends[0]), float(ends[1])


def _draw(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    return float(rng.uniform(*ends))


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _normal(image: np.ndarray, seed: int) -> np.ndarray:
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


@DEGRADATIONS.register_module()
class LowContrast(Degradation):
    """x = a (y - mean(y)) + c + N(0, σ²), low contrast of infrared cameras.

    Args:
        gain: a.
        level: c, the mean of the result.
        noise: σ.
    """

    task = 'lc'

    def __init__(self, gain: Range = (0.2, 0.6), level: Range = (0.3, 0.6), noise: Range = (0.0, 0.01)) -> None:
        self.gain = _range('gain', gain, 0, 1)
        self.level = _range('level', level, 0, 1)
        self.noise = _range('noise', noise, 0)

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> Degraded:
        gain, level, noise, seed = _draw(rng, self.gain), _draw(rng, self.level), _draw(rng, self.noise), _seed(rng)
        degraded = gain * (image - float(image.mean(dtype=np.float64))) + level
        if noise > 0:
            degraded = degraded + noise * _normal(image, seed)
        return degraded, dict(gain=gain, level=level, noise=noise, noise_seed=seed)


@DEGRADATIONS.register_module()
class LowResolution(Degradation):
    """Reduced by a factor, rounded to 8 bits, and enlarged again by cubic interpolation to the original size.

    Sides that the factor does not divide are reduced to the next whole pixel, nothing is cropped.

    Args:
        scales: Factors, one of which is drawn.
        blur: Standard deviation of a Gaussian before the reduction, pixels; 0 for none.
        down: ``cubic`` with antialiasing, ``area`` (mean of each block), or ``random`` for either of them.
    """

    task = 'sr'

    def __init__(self, scales: Sequence[int] = (4, 8), blur: Range = 0.0, down: str = 'cubic') -> None:
        if not scales or any(scale != int(scale) or scale < 2 for scale in scales):
            raise ValueError(f'scales must be whole numbers of at least 2, got {tuple(scales)}')
        if down not in DOWN:
            raise ValueError(f'down must be one of {", ".join(DOWN)}; got {down!r}')
        self.scales = tuple(int(scale) for scale in scales)
        self.blur = _range('blur', blur, 0)
        self.down = down

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> Degraded:
        scale = self.scales[int(rng.integers(len(self.scales)))]
        blur = _draw(rng, self.blur)
        area = bool(rng.integers(2)) if self.down == 'random' else self.down == 'area'
        height, width = image.shape[:2]
        small = cv2.GaussianBlur(image, (0, 0), blur) if blur > 0 else image
        size = (-(-height // scale), -(-width // scale))
        small = cv2.resize(small, size[::-1], interpolation=cv2.INTER_AREA) if area else _cubic_down(small, size)
        small = to_unit_range(to_uint8(small))
        degraded = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        return degraded, dict(scale=scale, blur=blur, area=int(area))


def _cubic_down(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    # OpenCV's cubic interpolation does not widen its kernel when reducing, and aliases
    planes = torch.from_numpy(np.array(image, np.float32, ndmin=3)).reshape(*image.shape[:2], -1).permute(2, 0, 1)
    small = F.interpolate(planes[None], size=size, mode='bicubic', antialias=True, align_corners=False)[0]
    return small.permute(1, 2, 0).reshape(*size, *image.shape[2:]).numpy()


@DEGRADATIONS.register_module()
class Haze(Degradation):
    """x = y t + A (1 - t), t = exp(-β d): the scattering model of RESIDE.

    d is the distance given to the call; without one, a ramp that rises from the lowest row (0) to the highest (1) with
    low-frequency noise on it, clipped to [0, 1].

    Args:
        beta: β, at distance 1.
        airlight: A.
        ramp: Exponent of the ramp, ((H - 1 - row) / H)^ramp.
        relief: Amplitude of the noise on the ramp, in units of distance.
        noise: σ of the camera's noise, which the veil does not weaken: a picture that is only made hazy has none left.
        jpeg: Quality in which the hazy picture was stored, whole numbers; None for no compression.
    """

    task = 'hz'

    def __init__(
        self,
        beta: Range = (0.8, 2.2),
        airlight: Range = (0.7, 0.95),
        ramp: Range = (0.7, 1.5),
        relief: Range = (0.0, 0.15),
        noise: Range = 0.0,
        jpeg: tuple[int, int] | None = None,
    ) -> None:
        self.noise = _range('noise', noise, 0)
        self.jpeg = None if jpeg is None else _range('jpeg', jpeg, 1, 100)
        self.beta = _range('beta', beta, 0)
        self.airlight = _range('airlight', airlight, 0, 1)
        self.ramp = _range('ramp', ramp, 0)
        self.relief = _range('relief', relief, 0, 1)

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> Degraded:
        parameters: dict[str, Any] = dict(beta=_draw(rng, self.beta), airlight=_draw(rng, self.airlight))
        if depth is None:
            depth, drawn = _drawn_depth(image, rng, self.ramp, self.relief)
            parameters |= drawn
        transmission = np.exp(-parameters['beta'] * depth)
        if image.ndim == 3:
            transmission = transmission[..., None]
        hazy = image * transmission + parameters['airlight'] * (1 - transmission)
        if self.noise[1] > 0:
            parameters |= dict(noise=_draw(rng, self.noise), noise_seed=_seed(rng))
            hazy = hazy + parameters['noise'] * _normal(image, parameters['noise_seed'])
        if self.jpeg is not None:
            parameters['jpeg'] = round(_draw(rng, self.jpeg))
            hazy = _stored(hazy, parameters['jpeg'])
        return hazy, parameters


def _stored(image: np.ndarray, quality: int) -> np.ndarray:
    """An RGB or grey picture as it comes back from a JPEG file, float32 in [0, 1]."""
    # the encoder takes BGR; both ways reversed, colours are subsampled alike
    levels = np.ascontiguousarray(to_uint8(image)[..., ::-1] if image.ndim == 3 else to_uint8(image))
    file = cv2.imencode('.jpg', levels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    levels = cv2.imdecode(file, cv2.IMREAD_UNCHANGED)
    return to_unit_range(np.ascontiguousarray(levels[..., ::-1] if image.ndim == 3 else levels))


@DEGRADATIONS.register_module()
class Defocus(Degradation):
    """A lens that is focused on one side of a distance: x = y + s(d) (G_σ * y - y), a Gaussian blur on the other side.

    s rises from 0 to 1 over `softness` around the distance. Two of them with opposite sides make a multi-focus pair.

    Args:
        side: What is blurred: ``far`` (beyond the distance) or ``near``.
        distance: Where focus ends, in [0, 1] from near to far.
        sigma: σ, pixels.
        softness: Width of the change from sharp to blurred, in units of the distance.
        ramp, relief: Of the made-up distance map where there is none, see :func:`ramp_depth`.
    """

    task = 'df'

    def __init__(
        self,
        side: str = 'far',
        distance: Range = 0.5,
        sigma: Range = (1.5, 3.5),
        softness: float = 0.05,
        ramp: Range = (0.7, 1.5),
        relief: Range = (0.1, 0.6),
    ) -> None:
        if side not in ('far', 'near'):
            raise ValueError(f"side must be 'far' or 'near', got {side!r}")
        self.side = side
        self.distance = _range('distance', distance, 0, 1)
        self.sigma = _range('sigma', sigma, 0.1)
        self.softness = _range('softness', softness, 1e-3, 1)[0]
        self.ramp = _range('ramp', ramp, 0)
        self.relief = _range('relief', relief, 0, 1)

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> Degraded:
        parameters: dict[str, Any] = dict(distance=_draw(rng, self.distance), sigma=_draw(rng, self.sigma))
        if depth is None:
            depth, drawn = _drawn_depth(image, rng, self.ramp, self.relief)
            parameters |= drawn
        share = np.clip((depth - parameters['distance']) / self.softness + 0.5, 0, 1).astype(np.float32)
        share = share if self.side == 'far' else 1 - share
        if image.ndim == 3:
            share = share[..., None]
        return image + share * (cv2.GaussianBlur(image, (0, 0), parameters['sigma']) - image), parameters


def _drawn_depth(
    image: np.ndarray, rng: np.random.Generator, ramp: tuple[float, float], relief: tuple[float, float]
) -> tuple[np.ndarray, dict[str, Any]]:
    drawn = dict(ramp=_draw(rng, ramp), relief=_draw(rng, relief), relief_seed=_seed(rng))
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


@DEGRADATIONS.register_module()
class OverExposure(Degradation):
    """x = (y^γ 2^EV)^(1/γ), clipped: EV stops more light through a camera of display gamma γ.

    Args:
        stops: EV. Exposure-Errors renders +1 and +1.5.
        gamma: γ.
    """

    task = 'oe'

    def __init__(self, stops: Range = (0.8, 2.0), gamma: Range = 2.2) -> None:
        self.stops = _range('stops', stops, 0)
        self.gamma = _range('gamma', gamma, 0.1)

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> Degraded:
        stops, gamma = _draw(rng, self.stops), _draw(rng, self.gamma)
        return (image**gamma * 2**stops) ** (1 / gamma), dict(stops=stops, gamma=gamma)


@DEGRADATIONS.register_module()
class LowLight(Degradation):
    """x = g y^γ + n, n ~ N(0, a s + b²), where s = g y^γ: dim light and the shot and read noise of the sensor.

    Args:
        gain: g.
        gamma: γ.
        shot: a.
        read: b.
    """

    task = 'll'

    def __init__(
        self,
        gain: Range = (0.3, 0.7),
        gamma: Range = (1.5, 3.0),
        shot: Range = (0.0, 8e-4),
        read: Range = (0.005, 0.02),
    ) -> None:
        self.gain = _range('gain', gain, 0, 1)
        self.gamma = _range('gamma', gamma, 0.1)
        self.shot = _range('shot', shot, 0)
        self.read = _range('read', read, 0)

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> Degraded:
        parameters: dict[str, Any] = {
            name: _draw(rng, getattr(self, name)) for name in ('gain', 'gamma', 'shot', 'read')
        }
        parameters['noise_seed'] = _seed(rng)
        signal = parameters['gain'] * image ** parameters['gamma']
        deviation = np.sqrt(parameters['shot'] * signal + parameters['read'] ** 2)
        return signal + deviation * _normal(image, parameters['noise_seed']), parameters


@DEGRADATIONS.register_module()
class Noise(Degradation):
    """x = y + n, n ~ N(0, σ² + a y): read and shot noise of a sensor that was given too little signal.

    Args:
        sigma: σ.
        shot: a.
    """

    task = 'ns'

    def __init__(self, sigma: Range = (0.02, 0.15), shot: Range = (0.0, 5e-3)) -> None:
        self.sigma = _range('sigma', sigma, 0)
        self.shot = _range('shot', shot, 0)

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> Degraded:
        sigma, shot, seed = _draw(rng, self.sigma), _draw(rng, self.shot), _seed(rng)
        deviation = np.sqrt(sigma**2 + shot * image)
        return image + deviation * _normal(image, seed), dict(sigma=sigma, shot=shot, noise_seed=seed)


@DEGRADATIONS.register_module()
class StripeNoise(Degradation):
    """x = (1 + g) y + o, with one g ~ N(0, γ²) and one o ~ N(0, σ²) a line: readout of an uncooled infrared array.

    Args:
        offset: σ.
        gain: γ.
        lines: ``columns`` (most cameras), ``rows``, or ``random`` for either of them.
    """

    task = 'st'

    def __init__(self, offset: Range = (0.01, 0.08), gain: Range = (0.0, 0.08), lines: str = 'columns') -> None:
        if lines not in ('columns', 'rows', 'random'):
            raise ValueError(f"lines must be 'columns', 'rows' or 'random', got {lines!r}")
        self.offset = _range('offset', offset, 0)
        self.gain = _range('gain', gain, 0)
        self.lines = lines

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> Degraded:
        offset, gain, seed = _draw(rng, self.offset), _draw(rng, self.gain), _seed(rng)
        rows = bool(rng.integers(2)) if self.lines == 'random' else self.lines == 'rows'
        count = image.shape[0 if rows else 1]
        drawn = np.random.default_rng(seed).standard_normal((2, count), dtype=np.float32)
        shape = ((count, 1) if rows else (1, count)) + (1,) * (image.ndim - 2)
        gains, offsets = (part.reshape(shape) for part in drawn)
        degraded = (1 + gain * gains) * image + offset * offsets
        return degraded, dict(offset=offset, gain=gain, rows=int(rows), noise_seed=seed)


def _line(length: int, angle: float) -> np.ndarray:
    """A line of `length` pixels at `angle` degrees from the vertical, (length, length) float32 in [0, 1]."""
    at = (np.arange(length, dtype=np.float32) - (length - 1) / 2)[:, None]
    radians = math.radians(angle)
    along = at * math.cos(radians) + at.T * math.sin(radians)
    across = at * math.sin(radians) - at.T * math.cos(radians)
    return np.clip(1 - np.abs(across), 0, 1) * (np.abs(along) <= (length - 1) / 2)


@DEGRADATIONS.register_module()
class Blur(Degradation):
    """x = k * y: a Gaussian (out of focus) or a line (the camera moved while the shutter was open).

    Args:
        sigma: Standard deviation of the Gaussian, pixels.
        length: Range of the length of the line, whole pixels.
        kind: ``gaussian``, ``motion``, or ``random`` for either of them.
    """

    task = 'bl'

    def __init__(self, sigma: Range = (0.8, 2.5), length: tuple[int, int] = (5, 15), kind: str = 'random') -> None:
        if kind not in ('gaussian', 'motion', 'random'):
            raise ValueError(f"kind must be 'gaussian', 'motion' or 'random', got {kind!r}")
        self.sigma = _range('sigma', sigma, 0.1)
        self.length = tuple(int(end) for end in _range('length', length, 1))
        self.kind = kind

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> Degraded:
        motion = bool(rng.integers(2)) if self.kind == 'random' else self.kind == 'motion'
        if not motion:
            sigma = _draw(rng, self.sigma)
            return cv2.GaussianBlur(image, (0, 0), sigma), dict(sigma=sigma)
        length, angle = int(rng.integers(self.length[0], self.length[1] + 1)), _draw(rng, (0, 180))
        kernel = _line(length, angle)
        blurred = cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
        return blurred, dict(length=length, angle=angle)


@DEGRADATIONS.register_module()
class Rain(Degradation):
    """x = (1 - s) ((1 - v) y + v A) + s A: bright streaks s before a thin veil v of far drops, both of colour A.

    Args:
        density: Drops per pixel.
        length: Range of the length of the streaks, whole pixels.
        angle: Of the streaks, degrees from the vertical.
        opacity: Largest s of one streak; each drop has between a third of it and all of it.
        veil: v.
        light: A.
    """

    task = 'rn'

    def __init__(
        self,
        density: Range = (0.002, 0.012),
        length: tuple[int, int] = (7, 27),
        angle: Range = (-35, 35),
        opacity: Range = (0.2, 0.6),
        veil: Range = (0.0, 0.2),
        light: Range = (0.65, 0.95),
    ) -> None:
        self.density = _range('density', density, 0, 1)
        self.length = tuple(int(end) for end in _range('length', length, 1))
        self.angle = _range('angle', angle, -90, 90)
        self.opacity = _range('opacity', opacity, 0, 1)
        self.veil = _range('veil', veil, 0, 1)
        self.light = _range('light', light, 0, 1)

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> Degraded:
        p: dict[str, Any] = {
            name: _draw(rng, getattr(self, name)) for name in ('density', 'angle', 'opacity', 'veil', 'light')
        }
        p |= dict(length=int(rng.integers(self.length[0], self.length[1] + 1)), drop_seed=_seed(rng))
        drops = np.random.default_rng(p['drop_seed']).random(image.shape[:2], dtype=np.float32)
        # of the drops, a uniform number is left between 0 and 1: their strength
        strength = np.where(drops < p['density'], 1 / 3 + 2 / 3 * drops / max(p['density'], 1e-12), 0)
        streaks = cv2.filter2D(
            strength.astype(np.float32), -1, _line(p['length'], p['angle']), borderType=cv2.BORDER_REFLECT
        )
        share = p['opacity'] * np.minimum(streaks, 1)
        if image.ndim == 3:
            share = share[..., None]
        veiled = (1 - p['veil']) * image + p['veil'] * p['light']
        return (1 - share) * veiled + share * p['light'], p
