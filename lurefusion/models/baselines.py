"""Weight-free fusers: the floor that every table of fused pictures should show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from lurefusion.choices import one_of
from lurefusion.models.base import FusionModel
from lurefusion.ops.colour import rgb_to_ycbcr, ycbcr_to_rgb
from lurefusion.ops.pyramids import pyramid_down, pyramid_up
from lurefusion.ops.windows import box_mean, filter_valid, gaussian_window, guided_filter
from lurefusion.registry import MODELS


def fuse_average(images: Sequence[Tensor], levels: int = 4) -> Tensor:
    """Mean of K images (N,C,H,W)."""
    return torch.stack(list(images)).mean(0)


def fuse_max(images: Sequence[Tensor], levels: int = 4) -> Tensor:
    """Pixel-wise maximum of K images (N,C,H,W)."""
    return reduce(torch.maximum, images)


def fuse_laplacian_pyramid(images: Sequence[Tensor], levels: int = 4) -> Tensor:
    """Laplacian pyramids of K images (N,C,H,W): the coefficient of largest magnitude, the mean of the coarsest level.

    Where magnitudes are equal the earlier image wins. Source: Burt and Adelson, IEEE Trans. Communications 1983.

    Raises:
        ValueError: If a side is shorter than 2^levels + 1.
    """
    height, width = images[0].shape[-2:]
    if min(height, width) < 2**levels + 1:
        raise ValueError(
            f'a pyramid of {levels} levels needs sides of at least {2**levels + 1} pixels, got {height}x{width}'
        )
    details, current = [], list(images)
    for _ in range(levels):
        coarse = [pyramid_down(x) for x in current]
        bands = [x - pyramid_up(c, tuple(x.shape[-2:])) for x, c in zip(current, coarse, strict=True)]
        details.append(reduce(lambda a, b: torch.where(a.abs() >= b.abs(), a, b), bands))
        current = coarse
    fused = fuse_average(current)
    for detail in reversed(details):
        fused = detail + pyramid_up(fused, tuple(detail.shape[-2:]))
    return fused


def fuse_guided_filter(images: Sequence[Tensor], levels: int = 2) -> Tensor:
    """Two scales weighted by guided-filtered saliency maps, K images (N,C,H,W) in [0,1].

    Base = 31x31 mean, detail = rest; the weight of an image is 1 where its saliency (smoothed magnitude of the
    Laplacian) is largest, filtered along the image's edges with radius 45, 0.3 for the base and 7, 1e-6 for the detail.
    Source: Li, Kang and Hu, IEEE TIP 2013.
    """
    channels = images[0].shape[1]
    kernel = images[0].new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]]).expand(channels, 1, 3, 3)
    saliency = []
    for x in images:
        edges = F.conv2d(F.pad(x, (1, 1, 1, 1), mode='replicate'), kernel, groups=channels).abs()
        saliency.append(filter_valid(F.pad(edges, (5, 5, 5, 5), mode='replicate'), gaussian_window(11, 5)))
    winner = torch.stack(saliency).argmax(0)
    fused = 0
    bases = [box_mean(x, 15) for x in images]
    for parts, radius, epsilon in ((bases, 45, 0.3), ([x - b for x, b in zip(images, bases, strict=True)], 7, 1e-6)):
        masks = [(winner == k).to(x.dtype) for k, x in enumerate(images)]
        weights = torch.stack([guided_filter(x, m, radius, epsilon) for x, m in zip(images, masks, strict=True)])
        weights = weights.clamp(0, 1)
        weights = weights / weights.sum(0).clamp_min(1e-6)
        fused = fused + (weights * torch.stack(parts)).sum(0)
    return fused


METHODS: dict[str, Callable[..., Tensor]] = {
    'average': fuse_average,
    'max': fuse_max,
    'lap_pyramid': fuse_laplacian_pyramid,
    'guided_filter': fuse_guided_filter,
}


@MODELS.register_module()
class BaselineFuser(FusionModel):
    """A classical fusion method as a model: no weights, no training.

    Args:
        method: ``average``, ``max``, ``lap_pyramid`` or ``guided_filter``.
        modalities: Keys of `inputs` to fuse, two or more.
        chroma: Modality whose chroma the result keeps, while the luminances are fused; None fuses each channel.
        levels: Levels of the Laplacian pyramid above the coarsest.
        eight_bit: Quantise luminance and chroma to 8 bit, as published pipelines do; False keeps full precision.
        data_preprocessor: Config or module, see MMEngine's `BaseModel`.

    Raises:
        ValueError: On an unknown method, fewer than two modalities, or a chroma that is none of them.
    """

    def __init__(
        self,
        method: str = 'average',
        modalities: Sequence[str] = ('vi', 'ir'),
        chroma: str | None = 'vi',
        levels: int = 4,
        eight_bit: bool = True,
        data_preprocessor: dict | torch.nn.Module | None = None,
    ) -> None:
        super().__init__(data_preprocessor=MODELS.build(data_preprocessor or dict(type='FusionDataPreprocessor')))
        one_of('method', method, METHODS)
        if isinstance(modalities, str) or len(set(modalities)) < 2:
            raise ValueError(f'modalities must name two or more different inputs, got {modalities!r}')
        if chroma is not None and chroma not in modalities:
            raise ValueError(f'chroma must be one of the modalities {tuple(modalities)} or None, got {chroma!r}')
        if levels < 1:
            raise ValueError(f'levels must be 1 or more, got {levels}')
        self.method, self.modalities, self.chroma = method, tuple(modalities), chroma
        self.levels, self.eight_bit = levels, eight_bit

    @property
    def size_divisor(self) -> int:
        """1: no padding."""
        return 1

    def core(self, images: tuple[Tensor, ...], text: Tensor | None = None) -> Tensor:
        """One (B,3,H,W) in [0,1] for each modality to (B,3,H,W) in [0,1]."""
        return self.fuse(dict(zip(self.modalities, images, strict=True)))

    def fuse(self, images: dict[str, Tensor]) -> Tensor:
        """Modality -> (N,3,H,W) in [0,1], all of one shape, to the fused (N,3,H,W) in [0,1] of the same type."""
        shapes = {m: tuple(x.shape) for m, x in images.items()}
        if len(set(shapes.values())) != 1:
            raise ValueError(f'the images to fuse must have one shape, got {shapes}')
        dtype = images[self.modalities[0]].dtype
        fuse = METHODS[self.method]
        stack = {m: images[m].double() for m in self.modalities}
        if self.chroma is None:
            fused = fuse(list(stack.values()), self.levels)
            return self._quantise(fused).clamp(0, 1).to(dtype)
        ycbcr = {m: rgb_to_ycbcr(*x.unbind(1)) for m, x in stack.items()}
        luma = fuse([self._quantise(y)[:, None] for y, _, _ in ycbcr.values()], self.levels)[:, 0]
        _, blue, red = (self._quantise(c) for c in ycbcr[self.chroma])
        # half a level up, not to the even one: two thirds of all means of two pictures would lose their odd levels
        luma = torch.floor(luma * 255 + 0.5 + 1e-9) / 255 if self.eight_bit else luma
        rgb = torch.stack(ycbcr_to_rgb(luma.clamp(0, 1), blue, red), 1)
        return self._quantise(rgb.clamp(0, 1)).to(dtype)

    def _quantise(self, x: Tensor) -> Tensor:
        # through thousandths of a level, so that halves are exact halves
        return torch.round(torch.round(x * 255_000) / 1000) / 255 if self.eight_bit else x
