"""Distances of real scenes, read off their haze pairs, for haze that is made on other pictures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from lurefusion.choices import names_of
from lurefusion.datasets.transforms import wants_depth
from lurefusion.io.images import read_image
from lurefusion.io.ranges import to_unit_range
from lurefusion.registry import DATASETS, TRANSFORMS

#: rows and columns at which distances are kept
KEPT = (240, 320)
#: least (A - y)² at which a pixel's transmission is known: white shows no haze
KNOWN = 0.02


def distance_of_pair(hazy: np.ndarray, clean: np.ndarray, airlight: float = 1.0) -> np.ndarray:
    """-log t, (H,W) float32: t fits A - x = t (A - y) best (least squares) around every pixel.

    Where the scene is as bright as the airlight, so that its haze cannot be seen, the surroundings' distance is taken.

    Args:
        hazy: x (H,W,3), [0,1].
        clean: y (H,W,3), [0,1].
        airlight: A, known.
    """
    x, y = airlight - np.asarray(hazy, np.float32), airlight - np.asarray(clean, np.float32)
    sigma = max(x.shape[:2]) / 200
    products, squares = (cv2.GaussianBlur(part.sum(2), (0, 0), sigma) for part in (x * y, y * y))
    distance = -np.log(np.clip(products / (squares + 1e-3), 0.03, 1))
    known = np.clip(squares / KNOWN, 0, 1)
    around = cv2.GaussianBlur(distance * known, (0, 0), 8 * sigma) / (cv2.GaussianBlur(known, (0, 0), 8 * sigma) + 1e-4)
    return known * distance + (1 - known) * around


@TRANSFORMS.register_module()
class BorrowedDepth:
    """The distance of another scene for samples whose degradation looks at it and that have none; before the crop.

    Haze on distances of a depth camera, as in RESIDE, hangs in rooms; `FrameDepth` draws a ramp. A scene's distance is
    the mean over its hazy pictures. A random window of it, mirrored in half of the draws and in some mixed with
    another, is divided by its 98th percentile and clipped to [0, 1].

    Args:
        pairs: Configs of data sets of haze pairs, x hazy and y clean; the pictures are read at the first draw.
        airlight: A of these pairs.
        window: Least share of a side that the window has.
        mixed: How often the distances of two scenes are averaged.
        types: Degradations that look at the distance.

    Raises:
        MissingDataError: If the pairs are not on disk.
        ValueError: If there are none, or an option is out of its range.
    """

    def __init__(
        self,
        pairs: Sequence[dict[str, Any]],
        airlight: float = 1.0,
        window: float = 0.6,
        mixed: float = 0.3,
        types: Sequence[str] = ('Haze',),
    ) -> None:
        if not pairs or isinstance(pairs, dict):
            raise ValueError(f'BorrowedDepth.pairs is a list of configs of data sets, got {pairs!r}')
        if not 0 < window <= 1 or not 0 <= mixed <= 1 or not 0 < airlight <= 1:
            raise ValueError(
                f'BorrowedDepth: airlight and window lie in (0, 1], mixed in [0, 1]; got {airlight}, {window}, {mixed}'
            )
        self.airlight, self.window, self.mixed = airlight, window, mixed
        self.types = names_of('BorrowedDepth.types', types)
        infos = [d.get_data_info(i) for d in map(DATASETS.build, pairs) for i in range(len(d))]
        self.files = tuple((str(info['paths']['x']), str(info['paths']['y'])) for info in infos)

    def __call__(self, results: dict) -> dict:
        if wants_depth(results, self.types) is not None:
            results['depth'] = self._draw(results['rng'], next(iter(results['images'].values())).shape[:2])
        return results

    def _draw(self, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
        scenes = _scenes(self.files, self.airlight)
        depth = scenes[rng.integers(len(scenes))]
        if rng.random() < self.mixed:
            depth = (depth + scenes[rng.integers(len(scenes))]) / 2
        if rng.random() < 0.5:
            depth = depth[:, ::-1]
        share = rng.uniform(self.window, 1)
        (top, height), (left, width) = (_window(rng, side, share) for side in KEPT)
        depth = depth[top : top + height, left : left + width]
        depth = np.clip(depth / max(float(np.percentile(depth, 98)), 1e-3), 0, 1)
        return cv2.resize(np.ascontiguousarray(depth), size[::-1], interpolation=cv2.INTER_LINEAR)


# the data sets of a mix have a pipeline each
@lru_cache(maxsize=4)
def _scenes(files: tuple[tuple[str, str], ...], airlight: float) -> list[np.ndarray]:
    """The distance of every clean picture."""
    found: dict[str, list[np.ndarray]] = {}
    for pair in files:
        hazy, clean = (to_unit_range(read_image(file)[0]) for file in pair)
        depth = distance_of_pair(hazy, clean, airlight)
        found.setdefault(pair[1], []).append(cv2.resize(depth, KEPT[::-1], interpolation=cv2.INTER_AREA))
    return [np.mean(depths, axis=0) for depths in found.values()]


def _window(rng: np.random.Generator, side: int, share: float) -> tuple[int, int]:
    """Start and length of a random window."""
    length = max(round(side * share), 1)
    return int(rng.integers(side - length + 1)), length
