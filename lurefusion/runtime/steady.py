"""Clips that do not flicker: what is global in a picture changes slowly from frame to frame."""

from __future__ import annotations

import math
from numbers import Real

import numpy as np

# BT.601, as the rest of the package
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# change of the mean luma, or of its spread, from one frame to the next at which a new scene begins
_CUT = 0.2
# most that the contrast of a frame is changed
_GAIN = (0.8, 1.25)


class Steady:
    """Damps changes of brightness and contrast over a clip, for everything that looks at frames one after the other.

    The mean m and standard deviation s of the fused luma follow an exponential average over time,

        a = 1 - exp(-dt / tau),  M = M + a (m - M),  S = S + a (s - S),

    and each frame is brought to them by one gain and one offset for all its pixels, y' = (y - m) S / s + M, which is
    added to all channels alike, so that colour differences stay. Nothing local is averaged, so that nothing smears; a
    scene that changes for good arrives after some `tau`. At a cut (mean or spread jump by more than 0.2) it starts
    anew.

    Args:
        tau: Time constant in seconds: shorter changes are damped, longer ones pass.

    Attributes:
        last: Mean and standard deviation of the last frame, before it was damped.

    Raises:
        ValueError: If `tau` is not positive.
    """

    def __init__(self, tau: float) -> None:
        if not isinstance(tau, Real) or not 0 < tau < math.inf:
            raise ValueError(f'the time constant (--steady) must be a positive number of seconds, got {tau!r}')
        self.tau = tau
        self._time = 0.0
        self.last: tuple[float, float] | None = None
        self._mean = self._spread = 0.0

    def __call__(self, picture: np.ndarray, time: float) -> np.ndarray:
        """A frame, (H, W) or (H, W, 3) float in [0, 1], at `time` (seconds, rising), damped; same shape and type."""
        luma = picture if picture.ndim == 2 else picture @ _LUMA.astype(picture.dtype)
        mean, spread = float(luma.mean()), float(luma.std())
        found = self.observe(mean, spread, time)
        if found is None:
            return picture
        gain, target = found
        change = (luma - mean) * (gain - 1) + (target - mean)
        change = change if picture.ndim == 2 else change[..., None]
        return np.clip(picture + change, 0, 1).astype(picture.dtype)

    def observe(self, mean: float, spread: float, time: float) -> tuple[float, float] | None:
        """Take mean and standard deviation of a frame's luma; the gain and the mean that it gets, None: as it is.

        For frames that are made already, this is all that the next ones depend on.
        """
        last = self.last
        self.last = mean, spread
        if last is None or max(abs(mean - last[0]), abs(spread - last[1])) > _CUT:
            self._mean, self._spread, self._time = mean, spread, time
            return None
        share = 1 - math.exp(-max(time - self._time, 0.0) / self.tau)
        self._time = time
        self._mean += share * (mean - self._mean)
        self._spread += share * (spread - self._spread)
        return min(max(self._spread / max(spread, 1e-6), _GAIN[0]), _GAIN[1]), self._mean
