"""What `lure-tiny` adds to the paper's parts, so that 2 M parameters on two CPU cores do with hours of training.

* Blocks of 2x2 pixels come in as channels: a quarter of the time.
* The network starts as D(E(x)) = x, as residual restorers do, without their input residual, which would bypass the
  latent space: a small budget is not spent on learning to copy.
* The latents are the picture at four sizes, and are held to what pictures have.
* A branch of its own adds fine structure where the text asks for it, one puts brightness and colours right.
* The fuser may keep the colours of one modality.

Its losses are in :mod:`lurefusion.models.losses.tiny`. Shapes as in :mod:`lurefusion.models.lure`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lurefusion.models import export_forms, strips
from lurefusion.models.decoders import LUREDecoder
from lurefusion.models.fusion import CrossAttentionFuser
from lurefusion.models.image_encoders import EncoderLevel, LUREEncoder
from lurefusion.models.layers import full_precision
from lurefusion.models.tone import TextGuidedTone
from lurefusion.ops.colour import LUMA
from lurefusion.registry import DECODERS, FUSERS, IMAGE_ENCODERS, hands_on


@IMAGE_ENCODERS.register_module()
@hands_on(LUREEncoder)
class LURETinyEncoder(LUREEncoder):
    """:class:`LUREEncoder` on blocks of pixels, with a detail branch before it and pictures as its latents.

    Args:
        text_dim: Width of the text vector c.
        num_modalities: Number of modality indices m.
        channels: C_i of the levels; level i works at 1 / (patch 2^i) of the input.
        latent_channels: L_i of the latents.
        patch: Side of the blocks of pixels that become one pixel of the first level, as 3 patch^2 channels (pixel
            unshuffle, which loses nothing).
        detail: Keywords of :class:`TextGuidedDetail`; None: the picture comes in as it is.
        picture_latents: The first channels of the latents are a picture, as trained by
            :class:`lurefusion.models.losses.PyramidLoss`: take out what no picture has, see :func:`as_picture`.
        tone: Keywords of :class:`lurefusion.models.tone.TextGuidedTone`, for `picture_latents`; None: the latents stay.
        identity_start: Start with a pyramid of the picture as the latents, see :meth:`start_as_identity`.
        **paper: Of :class:`LUREEncoder`.

    Raises:
        ValueError: As :class:`LUREEncoder`; if `patch` is no power of 2, or `picture_latents` or `identity_start` has
            fewer channels than it needs.
    """

    def __init__(
        self,
        text_dim: int = 256,
        num_modalities: int = 2,
        channels: Sequence[int] = (32, 48, 96, 144),
        latent_channels: Sequence[int] = (12, 3, 3, 3),
        patch: int = 2,
        detail: dict[str, Any] | None = None,
        picture_latents: bool = False,
        tone: dict[str, Any] | None = None,
        identity_start: bool = True,
        **paper: Any,
    ) -> None:
        if patch < 1 or patch & (patch - 1):
            raise ValueError(f'image_encoder.patch must be 1, 2, 4, ...; got {patch!r}')
        super().__init__(text_dim, num_modalities, channels, latent_channels, **paper)
        needed = [3 * patch**2] + [3] * (len(latent_channels) - 1)
        if picture_latents and any(a > b for a, b in zip(needed, latent_channels, strict=True)):
            raise ValueError(
                f'image_encoder.picture_latents needs latent_channels of at least {needed}, got {list(latent_channels)}'
            )
        if tone is not None and (not picture_latents or needed != list(latent_channels)):
            raise ValueError(
                f'image_encoder.tone needs latents that are pictures: picture_latents=True, latent_channels={needed}; '
                f'got picture_latents={picture_latents} and {list(latent_channels)}'
            )
        self.patch = patch
        self.picture_latents = picture_latents
        self.strides = tuple(patch * stride for stride in self.strides)
        self.detail = None if detail is None else TextGuidedDetail(text_dim, **detail)
        self.tone = None if tone is None else TextGuidedTone(text_dim, self.strides[-1] // patch, **tone)
        self.stem = nn.Conv2d(3 * patch**2, channels[0], 3, padding=1)
        # an optimizer's checkpoint numbers the parameters, in the order in which a picture meets them
        for name in ('stem', 'levels', 'down'):
            self._modules[name] = self._modules.pop(name)
        if identity_start:
            self.start_as_identity()

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
                f'image_encoder.identity_start with patch={self.patch} needs at least {count} channels in the first '
                f'entries of channels and latent_channels, got {self.stem.out_channels} and {self.out_channels[0]}'
            )
        pass_through(self.stem, count)
        _let_pass(self.levels[0], count)
        for level, down, latent in zip(self.levels[1:], self.down, self.out_channels[1:], strict=True):
            if min(down.out_channels, latent) < 3:
                return
            # pixel unshuffle keeps the patch^2 pixels of one colour side by side
            colours = torch.eye(3).repeat_interleave(count // 3, dim=1) / (4 * count / 3)
            down.weight[:3] = 0
            down.bias[:3] = 0
            down.weight[:3, :count] = colours[:, :, None, None]
            count = 3
            _let_pass(level, count)

    def extras(self, x: Tensor, texts: Tensor) -> dict[str, Tensor]:
        """With the detail branch: `detailed` (B,3,H,W), x with its detail, and `gates` (B + num_pd,), not clamped."""
        if self.detail is None:
            return {}
        return dict(detailed=x + self.detail.branch(x), gates=self.detail.gate(texts)[:, 0])

    def forward(self, x: Tensor, c: Tensor, m: Tensor) -> list[Tensor]:
        """x (B,3,H,W) in [0,1], H and W multiples of the last stride; c (B,text_dim); m (B,) int64."""
        if len(x) > 1 and strips.in_parts(x):
            return strips.row_by_row(self.forward, x, c, m)
        grey = is_grey(x)
        if self.detail is not None:
            x = self.detail(x, c)
        blocks = F.pixel_unshuffle(x.float(), self.patch)
        latents = super().forward(blocks, c, m)
        if not self.picture_latents:
            return latents
        latents = as_picture(latents, blocks, grey)
        return latents if self.tone is None else self.tone(blocks, latents, c, grey)


@torch.no_grad()
def pass_through(conv: nn.Conv2d, count: int) -> None:
    """Let the first `count` output channels be the first `count` input channels."""
    middle = conv.kernel_size[0] // 2
    conv.weight[:count] = 0
    conv.bias[:count] = 0
    for channel in range(count):
        conv.weight[channel, channel, middle, middle] = 1


@torch.no_grad()
def _let_pass(level: EncoderLevel, count: int) -> None:
    """Set the initial values so that the first `count` channels of u and of z are those of the input."""
    text_blocks = list(level.base_text)
    for block in level.base:
        block.modality.let_pass(count)
    if level.linear is None:
        text_blocks += level.bottleneck_text
        for bottleneck in level.bottleneck:
            pass_through(bottleneck[-1], count)
    else:
        pass_through(level.linear, count)
        last = level.bottleneck[-1][-1]
        last.weight[:count] = 0
        last.bias[:count] = 0
    for text_block in text_blocks:
        text_block.let_pass(count)


def is_grey(x: Tensor) -> Tensor:
    """(B,) bool: whether the three channels of x (B,3,H,W) are one."""
    return ((x[:, 0] == x[:, 1]) & (x[:, 1] == x[:, 2])).flatten(1).all(dim=1)


def as_picture(latents: Sequence[Tensor], blocks: Tensor, grey: Tensor) -> list[Tensor]:
    """Latents whose first channels are a picture, without what no picture has.

    * The finest one holds it in blocks of p x p pixels: what it adds to the input has one mean for all pixels of a
      block; else a pattern would repeat in every block.
    * All of them have no colour where `grey`.
    * The coarser ones have the finest one's mean in each colour; else how far they are apart gives the task away.

    Args:
        latents: Fine to coarse; the first 3 p^2 channels of the finest, the first 3 of the others are the picture.
        blocks: What was encoded, (B,3 p^2,H/p,W/p), in the order of pixel unshuffle.
        grey: (B,) bool.
    """
    finest = latents[0][:, : blocks.shape[1]].unflatten(1, (3, -1))
    offset = (finest - blocks.unflatten(1, (3, -1))).mean(dim=(3, 4), keepdim=True)
    finest = finest - offset + offset.mean(dim=2, keepdim=True)
    pictures = [finest, *(z[:, :3].unflatten(1, (3, -1)) for z in latents[1:])]
    grey = grey[:, None, None, None, None]
    pictures = [torch.where(grey, picture.mean(dim=1, keepdim=True), picture) for picture in pictures]
    # half precision rounds a mean to half a grey level
    means = [picture.mean(dim=(2, 3, 4), keepdim=True, dtype=torch.float32) for picture in pictures]
    pictures = [picture + (means[0] - mean).to(picture.dtype) for picture, mean in zip(pictures, means, strict=True)]
    counts = [blocks.shape[1]] + [3] * (len(latents) - 1)
    return [
        torch.cat([picture.reshape(z[:, :count].shape), z[:, count:]], dim=1)
        for picture, z, count in zip(pictures, latents, counts, strict=True)
    ]


class TextGuidedDetail(nn.Module):
    """Fine structure that blur took away, added to the picture before the encoder where the text asks for it.

    x + g(c) B(x). B sees the picture without its local mean, in blocks of 2x2 pixels: 3x3 convolutions, the last
    one 0 at first. g = clamp(Linear(c), 0, 1) is exactly 0 for other texts, so that nothing is changed for them. Not in
    the paper: the error that low resolution leaves is small beside that of the other tasks, and in a network trained on
    their sum it decides nothing; these weights are its own. Trained by
    :class:`lurefusion.models.losses.DetailLoss`.

    Args:
        text_dim: Width of c.
        width: Hidden channels.
        depth: Convolutions between hidden channels.
    """

    patch = 2
    # details are about this share of the range of values
    scale = 0.125

    def __init__(self, text_dim: int, width: int = 32, depth: int = 1) -> None:
        super().__init__()
        if width < 1 or depth < 0:
            raise ValueError(f'width and depth of image_encoder.detail must be at least 1 and 0, got {width}, {depth}')
        channels = 3 * self.patch**2
        self.gate = nn.Linear(text_dim, 1)
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.GELU(),
            *(layer for _ in range(depth) for layer in (nn.Conv2d(width, width, 3, padding=1), nn.GELU())),
            nn.Conv2d(width, channels, 3, padding=1),
        )
        nn.init.zeros_(self.body[-1].weight)
        nn.init.zeros_(self.body[-1].bias)

    def branch(self, x: Tensor) -> Tensor:
        """B(x), (B,3,H,W) of x (B,3,H,W); H and W even."""
        with full_precision(x):
            x = x.float()
            # rows, then columns, as convolutions: a pooling of 17x17 takes a tenth of a training step
            taps = x.new_full((x.shape[1], 1, 1, 17), 1 / 17)
            rows = F.conv2d(F.pad(x, (8, 8, 8, 8), mode='replicate'), taps, groups=x.shape[1])
            local_mean = F.conv2d(rows, taps.mT, groups=x.shape[1])
            blocks = F.pixel_unshuffle((x - local_mean) / self.scale, self.patch)
            return self.scale * F.pixel_shuffle(
                self.body(blocks.contiguous(memory_format=torch.channels_last)), self.patch
            )

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """x (B,3,H,W), c (B,text_dim)."""
        gate = self.gate(c.float()).clamp(0, 1)[:, :, None, None]
        # most texts ask for nothing, and 0 B(x) is a third of all work; a graph that is exported has no such branch
        if not self.training and not torch.compiler.is_compiling() and not gate.any():
            return x
        return x + gate * self.branch(x)

    def export_form(self) -> nn.Module:
        """See :mod:`lurefusion.models.export_forms`."""
        return export_forms.DetailForm(self)


@DECODERS.register_module()
@hands_on(LUREDecoder)
class LURETinyDecoder(LUREDecoder):
    """:class:`LUREDecoder` that starts as a copy of the picture in the finest latent.

    Args:
        channels: L_i of the latents, fine to coarse.
        strides: Their strides.
        identity_start: See :meth:`start_as_identity`.
        **paper: Of :class:`LUREDecoder`.
    """

    def __init__(
        self, channels: Sequence[int], strides: Sequence[int], identity_start: bool = True, **paper: Any
    ) -> None:
        super().__init__(channels, strides, **paper)
        if identity_start:
            self.start_as_identity()

    @torch.no_grad()
    def start_as_identity(self) -> None:
        """Set the initial values so that the first channels of the finest latent are the output. All values train.

        Raises ValueError with skip='concat', where the skip is learned.
        """
        if self.merge is not None:
            raise ValueError("decoder.identity_start needs decoder.skip='add'")
        count = self.end.out_channels
        if self.enter is not None:
            pass_through(self.enter[0], count)
        # pixel shuffle makes output channel k of channels 4k to 4k+3
        self.up[0].conv.weight[: 4 * count] = 0
        pass_through(self.end, count)


@FUSERS.register_module()
@hands_on(CrossAttentionFuser)
class LURETinyFuser(CrossAttentionFuser):
    """:class:`CrossAttentionFuser` that can keep the colours of one modality, where the latents are pictures.

    Args:
        channels: L_i of the latents, fine to coarse.
        num_modalities: M >= 2.
        chroma: Number of the modality whose colours the fused latents keep (:func:`keep_chroma`), for latents that are
            a picture at every size; None: whatever comes.
        **paper: Of :class:`CrossAttentionFuser`.

    Raises:
        ValueError: As :class:`CrossAttentionFuser`; if `chroma` is no modality, or the latents are no pictures.
    """

    def __init__(
        self, channels: Sequence[int], num_modalities: int = 2, chroma: int | None = None, **paper: Any
    ) -> None:
        super().__init__(channels, num_modalities, **paper)
        if chroma is not None:
            if not 0 <= chroma < num_modalities:
                raise ValueError(f'fuser.chroma is the number of a modality, 0 to {num_modalities - 1}; got {chroma!r}')
            if any(width % 3 for width in channels):
                raise ValueError(
                    f'fuser.chroma={chroma} needs latents that are RGB pictures (image_encoder.picture_latents, and no '
                    f'channels beside them); got latent_channels={list(channels)}'
                )
        self.chroma = chroma

    def forward(self, latents: list[list[Tensor]]) -> list[Tensor]:
        """M lists of latents (B,L_i,h_i,w_i), one a scale, to one such list."""
        fused = super().forward(latents)
        if self.chroma is None:
            return fused
        return [keep_chroma(z, owner) for z, owner in zip(fused, latents[self.chroma], strict=True)]


def keep_chroma(fused: Tensor, owner: Tensor) -> Tensor:
    """The luma of one picture with the Cb and Cr of another.

    Args:
        fused: (B,3n,h,w): red, green and blue planes, n each (n pixels of a block, or 1).
        owner: Whose colours are kept, of the same shape.

    Returns:
        (B,3n,h,w).
    """
    change = (fused - owner).unflatten(1, (3, -1))
    red, green, blue = change.unbind(1)
    # a change of grey leaves Cb and Cr alone
    grey = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    return owner + grey[:, None].expand_as(change).reshape(owner.shape)
