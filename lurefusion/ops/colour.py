"""RGB, luma and chroma: the only conversion in the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

# ITU-R BT.601 luma and full-range chroma, the convention of the fusion literature (Text-IF, SeAFusion)
LUMA = (0.299, 0.587, 0.114)
CHROMA_BLUE = (-0.168736, -0.331264, 0.5)
CHROMA_RED = (0.5, -0.418688, -0.081312)
ArrayT = TypeVar('ArrayT')


def rgb_to_ycbcr(red: ArrayT, green: ArrayT, blue: ArrayT) -> tuple[ArrayT, ArrayT, ArrayT]:
    """BT.601 luma Y in the range of the input and zero-centred chroma Cb, Cr; works on NumPy arrays and tensors."""
    return tuple(w[0] * red + w[1] * green + w[2] * blue for w in (LUMA, CHROMA_BLUE, CHROMA_RED))


def ycbcr_to_rgb(y: ArrayT, cb: ArrayT, cr: ArrayT) -> tuple[ArrayT, ArrayT, ArrayT]:
    """Inverse of :func:`rgb_to_ycbcr` (exact to 1e-5)."""
    return y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb


def ycbcr(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Luma and zero-centred chroma, each (B,1,H,W), of an RGB image (B,3,H,W) (BT.601)."""
    if image.ndim != 4 or image.shape[1] != 3:
        raise ValueError(f'expected an RGB image (B, 3, H, W), got {tuple(image.shape)}')
    return rgb_to_ycbcr(*image.split(1, dim=1))


def luma(image: Tensor) -> Tensor:
    """Luma (B,1,H,W) of an RGB image (B,3,H,W)."""
    return ycbcr(image)[0]
