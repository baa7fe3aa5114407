"""Haze and rain between the camera and the scene."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from lurefusion.datasets.degradations.base import (
    Degradation,
    Degraded,
    Range,
    draw,
    draw_seed,
    drawn_depth,
    line_kernel,
    standard_normal,
    value_range,
)
from lurefusion.io.ranges import to_uint8, to_unit_range
from lurefusion.registry import DEGRADATIONS


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
        self.noise = value_range('noise', noise, 0)
        self.jpeg = None if jpeg is None else value_range('jpeg', jpeg, 1, 100)
        self.beta = value_range('beta', beta, 0)
        self.airlight = value_range('airlight', airlight, 0, 1)
        self.ramp = value_range('ramp', ramp, 0)
        self.relief = value_range('relief', relief, 0, 1)

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> Degraded:
        parameters: dict[str, Any] = dict(beta=draw(rng, self.beta), airlight=draw(rng, self.airlight))
        if depth is None:
            depth, drawn = drawn_depth(image, rng, self.ramp, self.relief)
            parameters |= drawn
        transmission = np.exp(-parameters['beta'] * depth)
        if image.ndim == 3:
            transmission = transmission[..., None]
        hazy = image * transmission + parameters['airlight'] * (1 - transmission)
        if self.noise[1] > 0:
            parameters |= dict(noise=draw(rng, self.noise), noise_seed=draw_seed(rng))
            hazy = hazy + parameters['noise'] * standard_normal(image, parameters['noise_seed'])
        if self.jpeg is not None:
            parameters['jpeg'] = round(draw(rng, self.jpeg))
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
        self.density = value_range('density', density, 0, 1)
        self.length = tuple(int(end) for end in value_range('length', length, 1))
        self.angle = value_range('angle', angle, -90, 90)
        self.opacity = value_range('opacity', opacity, 0, 1)
        self.veil = value_range('veil', veil, 0, 1)
        self.light = value_range('light', light, 0, 1)

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> Degraded:
        p: dict[str, Any] = {
            name: draw(rng, getattr(self, name)) for name in ('density', 'angle', 'opacity', 'veil', 'light')
        }
        p |= dict(length=int(rng.integers(self.length[0], self.length[1] + 1)), drop_seed=draw_seed(rng))
        drops = np.random.default_rng(p['drop_seed']).random(image.shape[:2], dtype=np.float32)
        # of the drops, a uniform number is left between 0 and 1: their strength
        strength = np.where(drops < p['density'], 1 / 3 + 2 / 3 * drops / max(p['density'], 1e-12), 0)
        streaks = cv2.filter2D(
            strength.astype(np.float32), -1, line_kernel(p['length'], p['angle']), borderType=cv2.BORDER_REFLECT
        )
        share = p['opacity'] * np.minimum(streaks, 1)
        if image.ndim == 3:
            share = share[..., None]
        veiled = (1 - p['veil']) * image + p['veil'] * p['light']
        return (1 - share) * veiled + share * p['light'], p
