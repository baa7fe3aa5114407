"""Pictures as arrays (H,W,C) and as tensors (C,H,W)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def image_to_tensor(image: np.ndarray) -> Tensor:
    """(H,W) or (H,W,C) -> (C,H,W) of the same type, a view where it can be one."""
    return torch.from_numpy(np.ascontiguousarray(np.atleast_3d(image))).permute(2, 0, 1)


def to_unit(image: Tensor) -> Tensor:
    """8-bit pictures as float32 in [0, 1]; others as they are."""
    return image.float() / 255 if image.dtype == torch.uint8 else image


def tensor_to_image(image: Tensor) -> np.ndarray:
    """(C,H,W) on any device -> (H,W,C); numbers of half precision become float32."""
    image = image.detach().cpu()
    return (image.float() if image.dtype in (torch.float16, torch.bfloat16) else image).permute(1, 2, 0).numpy()
