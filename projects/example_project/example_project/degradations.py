"""A degradation: how pictures are spoilt, so that stage 1 can learn to mend them. Its prompts are in the config."""

from __future__ import annotations

from typing import Any

import numpy as np

from lurefusion.datasets.degradations import Degradation
from lurefusion.registry import DEGRADATIONS


@DEGRADATIONS.register_module()
class Stripes(Degradation):
    """Vertical stripes of uncooled infrared cameras: x = y + s n_column, n ~ N(0, 1) for every column.

    Args:
        strength: s, (low, high) in units of the full range.
    """

    task = 'st'

    def __init__(self, strength: tuple[float, float] = (0.03, 0.1)) -> None:
        low, high = strength
        if not 0 <= low <= high:
            raise ValueError(f'strength must be ascending and not negative, got {strength}')
        self.strength = (float(low), float(high))

    def degrade(
        self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """image (H,W,3) or (H,W) float32 in [0,1]; the base class clips, rounds to 8 bits and checks."""
        strength, seed = float(rng.uniform(*self.strength)), int(rng.integers(2**31))
        columns = np.random.default_rng(seed).standard_normal(image.shape[1], dtype=np.float32)
        columns = columns[None, :, None] if image.ndim == 3 else columns[None]
        return image + np.float32(strength) * columns, dict(strength=strength, noise_seed=seed)
