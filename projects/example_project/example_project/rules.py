"""A fusion rule: which modality counts at a place of the latent space."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lurefusion.models.fusion import FusionRule
from lurefusion.registry import FUSION_RULES


@FUSION_RULES.register_module(name='contrast')
class ContrastRule(FusionRule):
    """Weights by local contrast: w_s ~ standard deviation of z_s in a window, mean over the channels; convex.

    Args:
        window: Side of the window in latent pixels, odd.

    Raises:
        ValueError: If the window is even or not positive.
    """

    def __init__(self, window: int = 5) -> None:
        super().__init__()
        if window < 1 or window % 2 == 0:
            raise ValueError(f'window of the contrast rule must be odd and positive, got {window}')
        self.window = window

    def forward(self, z: list[Tensor]) -> Tensor:
        """z: list over modalities of (B,L,h,w). Returns (B,L,h,w)."""
        contrast = torch.stack([self._deviation(s) for s in z])
        weights = contrast / contrast.sum(0, keepdim=True)
        return sum(w * s for w, s in zip(weights, z, strict=True))

    def _deviation(self, s: Tensor) -> Tensor:
        """(B,L,h,w) -> (B,1,h,w), positive."""
        side = self.window // 2
        padded = F.pad(s, (side, side, side, side), mode='replicate')
        mean, square = (F.avg_pool2d(t, self.window, stride=1) for t in (padded, padded.square()))
        # the root has no finite slope at 0
        return ((square - mean.square()).clamp(min=0) + 1e-6).sqrt().mean(1, keepdim=True)
