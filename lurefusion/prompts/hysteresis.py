"""One prompt for the frames of a clip from guesses that differ from frame to frame."""

from __future__ import annotations

import math
from collections.abc import Mapping


class Hysteresis:
    """Holds a choice until another one has been clearly better for a while.

    The probabilities of each task follow an exponential average over time with the time constant `tau`; the choice
    changes when the average of another task is more than `margin` above that of the present one.

    Args:
        tau: Seconds.
        margin: In units of probability.

    Raises:
        ValueError: If `tau` is not positive or `margin` not in [0, 1).
    """

    def __init__(self, tau: float = 1.0, margin: float = 0.2) -> None:
        if not 0 < tau < math.inf or not 0 <= margin < 1:
            raise ValueError(f'tau must be positive and margin in [0, 1), got {tau} and {margin}')
        self.tau, self.margin = tau, margin
        self._average: dict[str, float] = {}
        self._time = 0.0
        self.choice: str | None = None

    def __call__(self, probabilities: Mapping[str, float], time: float) -> str:
        """The choice at `time` (seconds, rising), after a look at the probabilities of this frame, task -> [0, 1]."""
        if not probabilities:
            raise ValueError('no probabilities to choose from')
        share = 1.0 if self.choice is None else 1 - math.exp(-max(time - self._time, 0.0) / self.tau)
        self._time = time
        for task in {*self._average, *probabilities}:
            before = self._average.get(task, 0.0)
            self._average[task] = before + share * (probabilities.get(task, 0.0) - before)
        # of equals the first by name, so that it does not depend on the order
        best = min(self._average, key=lambda task: (-self._average[task], task))
        if self.choice is None or self._average[best] > self._average[self.choice] + self.margin:
            self.choice = best
        return self.choice
