"""An interaction: how the text vector acts on the features of the image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lurefusion.models.interactions import Interaction
from lurefusion.registry import INTERACTIONS


@INTERACTIONS.register_module()
class TextShift(Interaction):
    """x + DW(gelu(x * (1 + a) + b)), where (a, b) = Linear(c); starts as the identity.

    Args:
        channels: C of the image features.
        text_dim: Width of the text vector c.
    """

    def __init__(self, channels: int, text_dim: int) -> None:
        super().__init__(channels, text_dim)
        self.affine = nn.Linear(text_dim, 2 * channels)
        self.mix = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        nn.init.zeros_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)

    @torch.no_grad()
    def let_pass(self, count: int) -> None:
        """What is added to the first channels starts at 0."""
        self.mix.weight[:count] = 0
        self.mix.bias[:count] = 0

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """x (B,C,H,W), c (B,text_dim). Returns (B,C,H,W)."""
        scale, shift = self.affine(c)[:, :, None, None].to(x.dtype).chunk(2, dim=1)
        return x + self.mix(F.gelu(x * (1 + scale) + shift))
