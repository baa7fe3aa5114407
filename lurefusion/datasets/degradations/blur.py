"""What lenses and moving cameras do."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from lurefusion.choices import one_of
from lurefusion.datasets.degradations.base import (
    Degradation,
    Degraded,
    Range,
    draw,
    drawn_depth,
    line_kernel,
    value_range,
)
from lurefusion.registry import DEGRADATIONS


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
        self.side = one_of('side', side, ('far', 'near'))
        self.distance = value_range('distance', distance, 0, 1)
        self.sigma = value_range('sigma', sigma, 0.1)
        self.softness = value_range('softness', softness, 1e-3, 1)[0]
        self.ramp = value_range('ramp', ramp, 0)
        self.relief = value_range('relief', relief, 0, 1)

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> Degraded:
        parameters: dict[str, Any] = dict(distance=draw(rng, self.distance), sigma=draw(rng, self.sigma))
        if depth is None:
            depth, drawn = drawn_depth(image, rng, self.ramp, self.relief)
            parameters |= drawn
        share = np.clip((depth - parameters['distance']) / self.softness + 0.5, 0, 1).astype(np.float32)
        share = share if self.side == 'far' else 1 - share
        if image.ndim == 3:
            share = share[..., None]
        return image + share * (cv2.GaussianBlur(image, (0, 0), parameters['sigma']) - image), parameters


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
        self.sigma = value_range('sigma', sigma, 0.1)
        self.length = tuple(int(end) for end in value_range('length', length, 1))
        self.kind = one_of('kind', kind, ('gaussian', 'motion', 'random'))

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> Degraded:
        motion = bool(rng.integers(2)) if self.kind == 'random' else self.kind == 'motion'
        if not motion:
            sigma = draw(rng, self.sigma)
            return cv2.GaussianBlur(image, (0, 0), sigma), dict(sigma=sigma)
        length, angle = int(rng.integers(self.length[0], self.length[1] + 1)), draw(rng, (0, 180))
        kernel = line_kernel(length, angle)
        blurred = cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
        return blurred, dict(length=length, angle=angle)
