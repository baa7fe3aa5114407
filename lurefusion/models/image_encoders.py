"""Image encoders: picture, text vector and modality index to the latents of the unified space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lurefusion.choices import one_of
from lurefusion.models import strips
from lurefusion.models.layers import ModalityEmbedding, NAFBlock, conv1x1, full_precision
from lurefusion.registry import IMAGE_ENCODERS, INTERACTIONS

CHANNEL_PLANS = ('linear', 'first', 'last')


class ImageEncoder(nn.Module):
    """Base of all image encoders: declares what comes out.

    Args:
        text_dim: Width of the text vector c.
        num_modalities: Number of modality indices.
        out_channels: L_i of every latent, fine to coarse.
        strides: Input size over latent size, fine to coarse.
    """

    def __init__(self, text_dim: int, num_modalities: int, out_channels: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__()
        self.text_dim = text_dim
        self.num_modalities = num_modalities
        self.out_channels = tuple(out_channels)
        self.strides = tuple(strides)

    def extras(self, x: Tensor, texts: Tensor) -> dict[str, Tensor]:
        """Further quantities for the losses of the restoration stage, by name; none by default.

        Args:
            x: Degraded pictures (B,3,H,W).
            texts: Text vectors (B + num_pd, text_dim), those of the pictures first.
        """
        return {}


def bottleneck_plan(channels: int, latent: int, steps: int, plan: str = 'linear') -> list[int]:
    """Widths before and after each of `steps` BottleNecks that lead from `channels` to `latent`.

    ``linear`` drops (C - L) / K channels a step, rounded to multiples of 4; ``first`` drops all in the first step,
    ``last`` all in the last. Returns `steps` + 1 numbers.
    """
    one_of('channel_plan', plan, CHANNEL_PLANS)
    if steps < 1:
        raise ValueError(f'K_tb must be at least 1, got {steps}')
    if plan == 'first':
        return [channels] + [latent] * steps
    if plan == 'last':
        return [channels] * steps + [latent]
    return [channels - round((channels - latent) * k / steps / 4) * 4 for k in range(steps)] + [latent]


class BaseBlock(nn.Module):
    """Modality embedding, then NAFBlock (LURE, Sec. 3)."""

    def __init__(self, channels: int, num_modalities: int, modality_embedding: str) -> None:
        super().__init__()
        self.modality = ModalityEmbedding(channels, num_modalities, modality_embedding)
        self.block = NAFBlock(channels)

    def forward(self, x: Tensor, m: Tensor) -> Tensor:
        """x (B,C,h,w), m (B,) int64."""
        if self.modality.kind == 'add' and strips.in_parts(x):
            return strips.naf(self.block, x, self.modality.table(m))
        return self.block(self.modality(x, m))


class BottleNeck(nn.Sequential):
    """NAFBlock, then a 1x1 convolution that drops redundant channels (LURE, Sec. 3)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(NAFBlock(in_channels), conv1x1(in_channels, out_channels, bias=True))


class EncoderLevel(nn.Module):
    """One level: u = (TGA, BaseBlock) x K_bt; d = (TGA, BottleNeck) x K_tb of u; z = Linear(u) - d (inner residual)."""

    def __init__(
        self,
        channels: int,
        latent: int,
        k_bt: int,
        k_tb: int,
        text_dim: int,
        num_modalities: int,
        interaction: dict[str, Any],
        channel_plan: str,
        modality_embedding: str,
        inner_residual: bool,
    ) -> None:
        super().__init__()
        plan = bottleneck_plan(channels, latent, k_tb, channel_plan)

        def text_block(width: int) -> nn.Module:
            return INTERACTIONS.build(interaction, channels=width, text_dim=text_dim)

        self.base_text = nn.ModuleList(text_block(channels) for _ in range(k_bt))
        self.base = nn.ModuleList(BaseBlock(channels, num_modalities, modality_embedding) for _ in range(k_bt))
        self.bottleneck_text = nn.ModuleList(text_block(width) for width in plan[:-1])
        self.bottleneck = nn.ModuleList(BottleNeck(a, b) for a, b in zip(plan[:-1], plan[1:], strict=True))
        self.linear = conv1x1(channels, latent, bias=True) if inner_residual else None

    def forward(self, u: Tensor, c: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the features for the next level (B,C,h,w) and the latent z (B,L,h,w)."""
        for text_block, block in zip(self.base_text, self.base, strict=True):
            # one by one: nothing is held that has been used
            u = text_block(u, c)
            u = block(u, m)
        d = u
        for text_block, block in zip(self.bottleneck_text, self.bottleneck, strict=True):
            d = text_block(d, c)
            d = block(d)
        if self.linear is None:
            return u, d
        # the picture itself passes here: half precision would cost it its last bits
        with full_precision(u):
            return u, self.linear(u.float()) - d


@IMAGE_ENCODERS.register_module()
class LUREEncoder(ImageEncoder):
    """The unified degradation-aware encoder E_img(x, c, m) (LURE, Sec. 3 and 4.1).

    Args:
        text_dim: Width of the text vector c.
        num_modalities: Number of modality indices m.
        channels: C_i of the levels; level i works at 1 / 2^i of the input.
        latent_channels: L_i of the latents.
        K_bt: Number of (interaction, BaseBlock) pairs of each level.
        K_tb: Number of (interaction, BottleNeck) pairs of each level.
        interaction: Member of INTERACTIONS; gets `channels` and `text_dim`.
        channel_plan: How the BottleNecks lead from C_i to L_i: ``linear``, ``first`` or ``last``.
        modality_embedding: ``add``, ``film`` or ``none``.
        inner_residual: z = Linear(u) - degradation; False (ablation): z = the BottleNecks' output.

    Raises:
        ValueError: If the lists differ in length, or `num_heads` does not divide a width.
    """

    def __init__(
        self,
        text_dim: int = 256,
        num_modalities: int = 2,
        channels: Sequence[int] = (48, 96, 192, 384),
        latent_channels: Sequence[int] = (16, 32, 64, 128),
        K_bt: Sequence[int] = (1, 1, 2, 2),
        K_tb: Sequence[int] = (2, 2, 4, 8),
        interaction: dict[str, Any] | str = 'TGA',
        channel_plan: str = 'linear',
        modality_embedding: str = 'add',
        inner_residual: bool = True,
    ) -> None:
        lengths = dict(channels=len(channels), latent_channels=len(latent_channels), K_bt=len(K_bt), K_tb=len(K_tb))
        if len(set(lengths.values())) != 1:
            raise ValueError(f'one entry per level is needed in each of these; got {lengths} entries')
        super().__init__(text_dim, num_modalities, latent_channels, [2**i for i in range(len(channels))])
        self.stem = nn.Conv2d(3, channels[0], 3, padding=1)
        self.levels = nn.ModuleList(
            EncoderLevel(
                width, latent, k_bt, k_tb, text_dim, num_modalities, interaction, channel_plan, modality_embedding,
                inner_residual,
            )
            for width, latent, k_bt, k_tb in zip(channels, latent_channels, K_bt, K_tb, strict=True)
        )  # fmt: skip
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, 2, stride=2) for a, b in zip(channels[:-1], channels[1:], strict=True)
        )

    def forward(self, x: Tensor, c: Tensor, m: Tensor) -> list[Tensor]:
        """x (B,3,H,W) in [0,1], H and W multiples of the last stride; c (B,text_dim); m (B,) int64."""
        with full_precision(x):
            u = self.stem(x.float().contiguous(memory_format=torch.channels_last))
        latents = []
        for i, level in enumerate(self.levels):
            given = [u]
            del u
            # past the module's call, which would hold what is not needed any more, the largest tensor of all
            u, z = level.forward(given.pop(), c, m)
            latents.append(z)
            if i < len(self.down):
                u = self.down[i](u)
        return latents
