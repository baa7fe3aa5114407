"""Too little light, too much, and too little contrast."""

from __future__ import annotations

from typing import Any

import numpy as np

from lurefusion.datasets.degradations.base import (
    Degradation,
    Degraded,
    Range,
    draw,
    draw_seed,
    standard_normal,
    value_range,
)
from lurefusion.registry import DEGRADATIONS


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
        self.gain = value_range('gain', gain, 0, 1)
        self.level = value_range('level', level, 0, 1)
        self.noise = value_range('noise', noise, 0)

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> Degraded:
        gain, level, noise, seed = draw(rng, self.gain), draw(rng, self.level), draw(rng, self.noise), draw_seed(rng)
        degraded = gain * (image - float(image.mean(dtype=np.float64))) + level
        if noise > 0:
            degraded = degraded + noise * standard_normal(image, seed)
        return degraded, dict(gain=gain, level=level, noise=noise, noise_seed=seed)


@DEGRADATIONS.register_module()
class OverExposure(Degradation):
    """x = (y^γ 2^EV)^(1/γ), clipped: EV stops more light through a camera of display gamma γ.

    Args:
        stops: EV. Exposure-Errors renders +1 and +1.5.
        gamma: γ.
    """

    task = 'oe'

    def __init__(self, stops: Range = (0.8, 2.0), gamma: Range = 2.2) -> None:
        self.stops = value_range('stops', stops, 0)
        self.gamma = value_range('gamma', gamma, 0.1)

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> Degraded:
        stops, gamma = draw(rng, self.stops), draw(rng, self.gamma)
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
        self.gain = value_range('gain', gain, 0, 1)
        self.gamma = value_range('gamma', gamma, 0.1)
        self.shot = value_range('shot', shot, 0)
        self.read = value_range('read', read, 0)

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> Degraded:
        parameters: dict[str, Any] = {
            name: draw(rng, getattr(self, name)) for name in ('gain', 'gamma', 'shot', 'read')
        }
        parameters['noise_seed'] = draw_seed(rng)
        signal = parameters['gain'] * image ** parameters['gamma']
        deviation = np.sqrt(parameters['shot'] * signal + parameters['read'] ** 2)
        return signal + deviation * standard_normal(image, parameters['noise_seed']), parameters
