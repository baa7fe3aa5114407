"""What is done to a fused picture last: whose colour it has, and what it shows where only one camera saw."""

from __future__ import annotations

import cv2
import numpy as np

from lurefusion.ops.colour import rgb_to_ycbcr, ycbcr_to_rgb

# whose colour a fused picture has: that which the network gives it, or that of the modality that owns the colour
CHROMA = ('fused', 'visible')
# width of the edge over which a fused picture goes over into a single one, pixels
EDGE = 8


def unit(picture: np.ndarray) -> np.ndarray:
    """float32 in [0, 1] of a picture, which may be uint8."""
    return picture.astype(np.float32) / 255 if picture.dtype == np.uint8 else picture


def with_chroma_of(fused: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """The luma of a fused picture (H,W,3) in [0,1] with the chroma of another, which may be uint8: float32 in [0,1]."""
    luma = rgb_to_ycbcr(*np.moveaxis(fused, 2, 0))[0]
    _, blue, red = rgb_to_ycbcr(*np.moveaxis(unit(owner), 2, 0))
    return np.stack(ycbcr_to_rgb(luma, blue, red), axis=2).clip(0, 1).astype(np.float32)


def where_seen(fused: np.ndarray, alone: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """A fused picture where both cameras saw, and one picture alone elsewhere, with a soft edge between.

    Args:
        fused: (H,W,3) in [0,1].
        alone: (H,W,3), uint8 or float in [0,1].
        seen: (H,W) bool.

    Returns:
        (H,W,3) float32.
    """
    if seen.all():
        return fused
    distance = cv2.distanceTransform(seen.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    share = (distance / (EDGE + 1)).clip(0, 1)[..., None]
    return (share * fused + (1 - share) * unit(alone)).astype(np.float32)
