"""Image encoders: picture, text vector and modality index to the latents of the unified space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lurefusion.models.layers import ModalityEmbedding, NAFBlock, conv1x1, pass_through
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
    if plan not in CHANNEL_PLANS:
        raise ValueError(f'channel_plan must be one of {", ".join(CHANNEL_PLANS)}; got {plan!r}')
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
        return self.block(self.modality(x, m))


class BottleNeck(nn.Sequential):
    """NAFBlock, then a 1x1 convolution that drops redundant channels (LURE, Sec. 3)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(NAFBlock(in_channels), conv1x1(in_channels, out_channels, bias=True))


class TextGuidedDetail(nn.Module):
    """Fine structure that blur took away, added to the picture before the encoder where the text asks for it.

    x + g(c) B(x). B sees the picture without its local mean, in blocks of 2x2 pixels: three 3x3 convolutions, the last
    one 0 at first. g = clamp(Linear(c), 0, 1) is exactly 0 for other texts, so that nothing is changed for them. Not in
    the paper: the error that low resolution leaves is small beside that of the other tasks, and in a network trained on
    their sum it decides nothing; these weights are its own. Trained by
    :class:`lurefusion.models.losses.DetailLoss`.

    Args:
        text_dim: Width of c.
        width: Hidden channels.
    """

    patch = 2
    # details are about this share of the range of values
    scale = 0.125

    def __init__(self, text_dim: int, width: int = 32) -> None:
        super().__init__()
        channels = 3 * self.patch**2
        self.gate = nn.Linear(text_dim, 1)
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(width, channels, 3, padding=1),
        )
        nn.init.zeros_(self.body[-1].weight)
        nn.init.zeros_(self.body[-1].bias)

    def branch(self, x: Tensor) -> Tensor:
        """B(x), (B,3,H,W) of x (B,3,H,W); H and W even."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            local_mean = F.avg_pool2d(F.pad(x, (8, 8, 8, 8), mode='replicate'), 17, stride=1)
            blocks = F.pixel_unshuffle((x - local_mean) / self.scale, self.patch)
            return self.scale * F.pixel_shuffle(
                self.body(blocks.contiguous(memory_format=torch.channels_last)), self.patch
            )

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """x (B,3,H,W), c (B,text_dim)."""
        gate = self.gate(c.float()).clamp(0, 1)[:, :, None, None]
        # at rest most texts ask for nothing; a graph that is exported or compiled has no such branch
        if not self.training and not torch.compiler.is_compiling() and not gate.any():
            return x
        return x + gate * self.branch(x)


def is_grey(x: Tensor) -> Tensor:
    """(B,) bool: whether the three channels of x (B,3,H,W) are one."""
    return ((x[:, 0] == x[:, 1]) & (x[:, 1] == x[:, 2])).flatten(1).all(dim=1)


def as_picture(latents: Sequence[Tensor], x: Tensor, grey: Tensor) -> list[Tensor]:
    """Latents whose first channels are a picture, without what no picture has.

    * The finest one holds it in blocks of p x p pixels: what it adds to x has one mean for all pixels of a block; else
      a pattern would repeat in every block.
    * All of them have no colour where `grey`.

    Args:
        latents: Fine to coarse; the first 3 p^2 channels of the finest, the first 3 of the others are the picture.
        x: What was encoded, (B,3,H,W).
        grey: (B,) bool.
    """
    blocks = F.pixel_unshuffle(x.float(), x.shape[-1] // latents[0].shape[-1]).unflatten(1, (3, -1))
    out = []
    for i, z in enumerate(latents):
        count = blocks.shape[1] * blocks.shape[2] if i == 0 else 3
        picture = z[:, :count].unflatten(1, (3, -1))
        if i == 0:
            offset = (picture - blocks).mean(dim=(3, 4), keepdim=True)
            picture = picture - offset + offset.mean(dim=2, keepdim=True)
        colourless = picture.mean(dim=1, keepdim=True).expand_as(picture)
        picture = torch.where(grey[:, None, None, None, None], colourless, picture)
        out.append(torch.cat([picture.flatten(1, 2), z[:, count:]], dim=1))
    return out


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

    @torch.no_grad()
    def let_pass(self, count: int) -> None:
        """Set the initial values so that the first `count` channels of u and of z are those of the input."""
        text_blocks = list(self.base_text)
        for block in self.base:
            block.modality.let_pass(count)
        if self.linear is None:
            text_blocks += self.bottleneck_text
            for bottleneck in self.bottleneck:
                pass_through(bottleneck[-1], count)
        else:
            pass_through(self.linear, count)
            last = self.bottleneck[-1][-1]
            last.weight[:count] = 0
            last.bias[:count] = 0
        for text_block in text_blocks:
            text_block.let_pass(count)

    def forward(self, u: Tensor, c: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the features for the next level (B,C,h,w) and the latent z (B,L,h,w)."""
        for text_block, block in zip(self.base_text, self.base, strict=True):
            u = block(text_block(u, c), m)
        d = u
        for text_block, block in zip(self.bottleneck_text, self.bottleneck, strict=True):
            d = block(text_block(d, c))
        if self.linear is None:
            return u, d
        # the picture itself passes here: half precision would cost it its last bits
        with torch.autocast(u.device.type, enabled=False):
            return u, self.linear(u.float()) - d


@IMAGE_ENCODERS.register_module()
class LUREEncoder(ImageEncoder):
    """The unified degradation-aware encoder E_img(x, c, m) (LURE, Sec. 3 and 4.1).

    Args:
        text_dim: Width of the text vector c.
        num_modalities: Number of modality indices m.
        channels: C_i of the levels; level i works at 1 / (patch 2^i) of the input.
        latent_channels: L_i of the latents.
        K_bt: Number of (interaction, BaseBlock) pairs of each level.
        K_tb: Number of (interaction, BottleNeck) pairs of each level.
        interaction: Member of INTERACTIONS; gets `channels` and `text_dim`.
        channel_plan: How the BottleNecks lead from C_i to L_i: ``linear``, ``first`` or ``last``.
        modality_embedding: ``add``, ``film`` or ``none``.
        inner_residual: z = Linear(u) - degradation; False (ablation): z = the BottleNecks' output.
        patch: Side of the blocks of pixels that become one pixel of the first level, as 3 patch^2 channels (pixel
            unshuffle, which loses nothing); 1 in the paper. 2 takes a quarter of the time.
        detail: Keywords of :class:`TextGuidedDetail`; None (paper): the picture comes in as it is.
        picture_latents: The first channels of the latents are a picture, as trained by
            :class:`lurefusion.models.losses.PyramidLoss`: take out what no picture has, see :func:`as_picture`.

    Raises:
        ValueError: If the lists differ in length, `num_heads` does not divide a width, `patch` is no power of 2, or
            `picture_latents` has fewer channels than it needs.
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
        patch: int = 1,
        detail: dict[str, Any] | None = None,
        picture_latents: bool = False,
    ) -> None:
        if patch < 1 or patch & (patch - 1):
            raise ValueError(f'image_encoder.patch must be 1, 2, 4, ...; got {patch!r}')
        lengths = dict(channels=len(channels), latent_channels=len(latent_channels), K_bt=len(K_bt), K_tb=len(K_tb))
        if len(set(lengths.values())) != 1:
            raise ValueError(f'one entry per level is needed in each of these; got {lengths} entries')
        needed = [3 * patch**2] + [3] * (len(latent_channels) - 1)
        if picture_latents and any(a > b for a, b in zip(needed, latent_channels, strict=True)):
            raise ValueError(
                f'image_encoder.picture_latents needs latent_channels of at least {needed}, got {list(latent_channels)}'
            )
        super().__init__(text_dim, num_modalities, latent_channels, [patch * 2**i for i in range(len(channels))])
        self.patch = patch
        self.picture_latents = picture_latents
        self.detail = None if detail is None else TextGuidedDetail(text_dim, **detail)
        self.stem = nn.Conv2d(3 * patch**2, channels[0], 3, padding=1)
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

    @torch.no_grad()
    def start_as_identity(self) -> None:
        """Set the initial values so that the latents are a pyramid of the picture. A start only: every value trains.

        The first 3 patch^2 channels of the finest latent are the picture itself, the first 3 of every coarser one the
        means over its blocks (where it has 3). They come through the Linear branch, or, without the inner residual,
        through the BottleNecks. Raises ValueError where the picture needs more channels than there are.
        """
        count = 3 * self.patch**2
        # the widths between these two lie between them
        if min(self.stem.out_channels, self.out_channels[0]) < count:
            raise ValueError(
                f'identity_start with image_encoder.patch={self.patch} needs at least {count} channels in the first '
                f'entries of channels and latent_channels, got {self.stem.out_channels} and {self.out_channels[0]}'
            )
        pass_through(self.stem, count)
        self.levels[0].let_pass(count)
        for level, down, latent in zip(self.levels[1:], self.down, self.out_channels[1:], strict=True):
            if min(down.out_channels, latent) < 3:
                return
            # pixel unshuffle keeps the patch^2 pixels of one colour side by side
            colours = torch.eye(3).repeat_interleave(count // 3, dim=1) / (4 * count / 3)
            down.weight[:3] = 0
            down.bias[:3] = 0
            down.weight[:3, :count] = colours[:, :, None, None]
            count = 3
            level.let_pass(count)

    def extras(self, x: Tensor, texts: Tensor) -> dict[str, Tensor]:
        """With the detail branch: `detailed` (B,3,H,W), x with its detail, and `gates` (B + num_pd,), not clamped."""
        if self.detail is None:
            return {}
        return dict(detailed=x + self.detail.branch(x), gates=self.detail.gate(texts)[:, 0])

    def forward(self, x: Tensor, c: Tensor, m: Tensor) -> list[Tensor]:
        """x (B,3,H,W) in [0,1], H and W multiples of the last stride; c (B,text_dim); m (B,) int64."""
        grey = is_grey(x)
        if self.detail is not None:
            x = self.detail(x, c)
        with torch.autocast(x.device.type, enabled=False):
            u = self.stem(F.pixel_unshuffle(x.float(), self.patch).contiguous(memory_format=torch.channels_last))
        latents = []
        for i, level in enumerate(self.levels):
            u, z = level(u, c, m)
            latents.append(z)
            if i < len(self.down):
                u = self.down[i](u)
        return as_picture(latents, x, grey) if self.picture_latents else latents
