"""How restless a clip is. These take sequences of frames, and so are no metrics of single pictures (no cards)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import cv2
import numpy as np

_LUMA = np.array([0.299, 0.587, 0.114])
# a pixel counts as hidden where going there and back ends more than this far away, see :func:`warping_error`
_LOST = 0.01, 0.5


def luma_levels(picture: np.ndarray) -> np.ndarray:
    """(H, W) float64 grey levels, 0 to 255, of a picture (H, W) or (H, W, 3), uint8 or float in [0, 1]."""
    levels = picture.astype(np.float64) * (1 if picture.dtype == np.uint8 else 255)
    return levels if levels.ndim == 2 else levels @ _LUMA


def flicker(frames: Iterable[np.ndarray]) -> float:
    """Flicker of the brightness: root mean square of the second differences of the mean luma m of frames.

        F = sqrt(mean over t of ((m(t-1) - 2 m(t) + m(t+1)) / 2)^2)

    In grey levels, [0, 255], lower is better. A clip that gets steadily brighter has none; one that is b brighter in
    every other frame has b. The mean luma as the measure of flicker: Delon, "Movie and video scale-time equalization",
    IEEE TIP 2006, section II; second differences, so that slow changes of the light do not count: this package.

    Args:
        frames: Three or more, (H, W) or (H, W, 3), uint8 or float in [0, 1], one after the other in time.

    Raises:
        ValueError: If there are less than three frames.
    """
    means = np.array([luma_levels(frame).mean() for frame in frames])
    if len(means) < 3:
        raise ValueError(f'flicker needs three frames or more, got {len(means)}')
    return float(np.sqrt(np.mean((np.diff(means, 2) / 2) ** 2)))


def warping_error(frames: Iterable[np.ndarray], guides: Iterable[np.ndarray]) -> float:
    """Root mean square difference of luma between a frame and the former one moved along with the scene.

        E = sqrt(mean over t of (mean over visible pixels of (y(t, p) - y(t-1, p + f(p)))^2))

    In grey levels, [0, 255], lower is better; it holds whatever is not explained by motion: global flicker, boiling
    textures, noise. Source: Lai et al., "Learning blind video temporal consistency", ECCV 2018, equations 11 and 12,
    who take the square and FlowNet 2; here the root, and the optical flow f of the guides by DIS (Kroeger et al., ECCV
    2016, OpenCV). A pixel is visible where flow and backward flow agree: |f + b|^2 <= 0.01 (|f|^2 + |b|^2) + 0.5 (the
    same paper, after Ruder et al. 2016).

    Args:
        frames: Two or more fused frames, as of :func:`flicker`.
        guides: A source of each (usually the visible picture), of the same sizes, whose motion is taken.

    Returns:
        E; pairs of which no pixel is visible are left out, NaN where there is no other.

    Raises:
        ValueError: If there are less than two frames, or another number of guides.
    """
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    errors = [_warped(flow, *pair) for pair in pairwise(_lumas(frames, guides))]
    if not errors:
        raise ValueError('a warping error needs two frames or more')
    seen = [error for error in errors if not np.isnan(error)]
    return float(np.sqrt(np.mean(seen))) if seen else float('nan')


def _lumas(frames: Iterable[np.ndarray], guides: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for frame, guide in zip(frames, guides, strict=True):
        yield luma_levels(frame), np.round(luma_levels(guide)).astype(np.uint8)


def _warped(
    flow: cv2.DISOpticalFlow, before: tuple[np.ndarray, np.ndarray], after: tuple[np.ndarray, np.ndarray]
) -> float:
    forth, back = flow.calc(after[1], before[1], None), flow.calc(before[1], after[1], None)
    rows, columns = np.indices(forth.shape[:2], np.float32)
    there = columns + forth[..., 0], rows + forth[..., 1]
    moved = cv2.remap(before[0], *there, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    returned = cv2.remap(back, *there, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    size = (forth**2).sum(2) + (returned**2).sum(2)
    visible = ((forth + returned) ** 2).sum(2) <= _LOST[0] * size + _LOST[1]
    height, width = visible.shape
    visible &= (there[0] >= 0) & (there[0] <= width - 1) & (there[1] >= 0) & (there[1] <= height - 1)
    return float(((after[0] - moved)[visible] ** 2).mean()) if visible.any() else float('nan')
