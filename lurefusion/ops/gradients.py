"""First and second derivatives of pictures: losses and metrics share them, borders and norms are arguments."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from lurefusion.choices import one_of

BORDERS = ('replicate', 'zeros')


def sobel(image: Tensor, border: str = 'replicate') -> tuple[Tensor, Tensor]:
    """Horizontal and vertical Sobel derivative, kernel [[-1,0,1],[-2,0,2],[-1,0,1]] un-normalised.

    Args:
        image: (B,H,W) or (B,C,H,W).
        border: What is seen outside the picture: ``replicate`` its last line, or ``zeros``, which draw a frame.

    Returns:
        Two tensors of the shape of `image`.
    """
    # slices instead of a depthwise convolution, which is several times slower on a CPU
    mode = 'constant' if one_of('border', border, BORDERS) == 'zeros' else 'replicate'
    padded = F.pad(image, (1, 1, 1, 1), mode=mode)
    dx = padded[..., 2:] - padded[..., :-2]
    dy = padded[..., 2:, :] - padded[..., :-2, :]
    gx = dx[..., :-2, :] + 2 * dx[..., 1:-1, :] + dx[..., 2:, :]
    gy = dy[..., :-2] + 2 * dy[..., 1:-1] + dy[..., 2:]
    return gx, gy


def gradient_magnitude(image: Tensor, norm: str = 'l1', border: str = 'replicate', epsilon: float = 1e-6) -> Tensor:
    """|g_x| + |g_y| (``l1``: Text-IF, SeAFusion, CDDFuse) or sqrt(g_x² + g_y² + epsilon) (``l2``), as :func:`sobel`.

    Where `epsilon` is 0, the derivative of ``l2`` is infinite wherever the image is constant.
    """
    gx, gy = sobel(image, border)
    if one_of('norm', norm, ('l1', 'l2')) == 'l1':
        return gx.abs() + gy.abs()
    return (gx.square() + gy.square() + epsilon).sqrt()


def laplacian(x: Tensor) -> Tensor:
    """3x3 Laplacian with centre -1 and eight taps of 1/8 (U2Fusion), border replicated, (B,C,H,W)."""
    return 1.125 * (F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode='replicate'), 3, stride=1) - x)
