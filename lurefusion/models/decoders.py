"""Decoders: latents of the unified space to a picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lurefusion.choices import one_of
from lurefusion.models.layers import NAFBlock, Upsample, conv1x1, entering, full_precision
from lurefusion.registry import DECODERS

SKIPS = ('add', 'concat')


class Decoder(nn.Module):
    """Base of all decoders.

    Args:
        channels: L_i of the latents, fine to coarse.
        strides: Their strides, fine to coarse.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.strides = tuple(strides)


@DECODERS.register_module()
class LUREDecoder(Decoder):
    """NAFNet-like decoder of the latents alone: no input residual, no output activation (LURE, Sec. 4.1).

    Args:
        channels: L_i of the latents, fine to coarse.
        strides: Their strides; each twice the one before. Where the first is s > 1, the last convolution makes the s^2
            pixels of each block as channels (pixel shuffle).
        K_dec: NAFBlocks of each level.
        skip: ``add`` (NAFNet) or ``concat`` followed by a 1x1 convolution.
        widths: Channels of the levels; a 1x1 convolution leads there from L_i. None (paper): the latents' own L_i.

    Raises:
        ValueError: If the strides do not double, the lists differ in length, or an option is unknown.
    """

    def __init__(
        self,
        channels: Sequence[int] = (16, 32, 64, 128),
        strides: Sequence[int] = (1, 2, 4, 8),
        K_dec: Sequence[int] = (1, 1, 1, 1),
        skip: str = 'add',
        widths: Sequence[int] | None = None,
    ) -> None:
        super().__init__(channels, strides)
        if any(b != 2 * a for a, b in zip(strides[:-1], strides[1:], strict=True)):
            raise ValueError(f'LUREDecoder needs strides that double; the image encoder has {tuple(strides)}')
        if len(K_dec) != len(channels):
            raise ValueError(f'decoder.K_dec has {len(K_dec)} entries for {len(channels)} latents')
        one_of('skip', skip, SKIPS)
        self.enter, widths = entering('decoder', channels, widths)
        self.blocks = nn.ModuleList(
            nn.Sequential(*(NAFBlock(width) for _ in range(k))) for width, k in zip(widths, K_dec, strict=True)
        )
        self.up = nn.ModuleList(Upsample(b, a) for a, b in zip(widths[:-1], widths[1:], strict=True))
        self.merge = nn.ModuleList(conv1x1(2 * a, a) for a in widths[:-1]) if skip == 'concat' else None
        self.end = nn.Conv2d(widths[0], 3 * strides[0] ** 2, 3, padding=1)

    def forward(self, latents: list[Tensor]) -> Tensor:
        """List of (B,L_i,H/s_i,W/s_i), fine to coarse, to (B,3,H,W), not clamped.

        Raises:
            ValueError: If a latent is not exactly half the size of the one before.
        """
        for fine, coarse in zip(latents[:-1], latents[1:], strict=True):
            if fine.shape[-2] != 2 * coarse.shape[-2] or fine.shape[-1] != 2 * coarse.shape[-1]:
                raise ValueError(
                    f'latent sizes must halve exactly, got {[tuple(z.shape[-2:]) for z in latents]}; '
                    f'pad the image to a multiple of {self.strides[-1]}'
                )
        if self.enter is not None:
            latents = [enter(z) for enter, z in zip(self.enter, latents, strict=True)]
        y = self.blocks[-1](latents[-1])
        for i in range(len(latents) - 2, -1, -1):
            y = self.up[i](y)
            y = y + latents[i] if self.merge is None else self.merge[i](torch.cat([y, latents[i]], dim=1))
            y = self.blocks[i](y)
        with full_precision(y):
            return F.pixel_shuffle(self.end(y.float()), self.strides[0])
