"""Losses of the fusion stage, for any number of sources of any name."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor

from lurefusion.choices import one_of
from lurefusion.models.losses.base import Loss
from lurefusion.models.losses.vgg import VGG16Features
from lurefusion.ops.colour import luma, ycbcr
from lurefusion.ops.gradients import laplacian, sobel
from lurefusion.ops.ssim import ssim
from lurefusion.registry import LOSSES

Sources = dict[str, Tensor]


def checked_sources(fused: Tensor, sources: Sources) -> Sources:
    """The sources as they are; ValueError if there is none, or one has another shape than the fused image."""
    for name, source in sources.items():
        if source.shape != fused.shape:
            raise ValueError(f'source {name!r} is {tuple(source.shape)}, the fused image {tuple(fused.shape)}')
    if not sources:
        raise ValueError('the stage offers no source image')
    return sources


@LOSSES.register_module()
class ColorLoss(Loss):
    """mean|Cb_O - Cb| + mean|Cr_O - Cr| (Text-IF) for the colours of one source, or of all of them.

    Args:
        source: Modality whose colours the fused image keeps. None where every source has colours: Cb and Cr are means
            over the sources, each weighted by its own distance from grey (DeepFuse, ICCV 2017, for two exposures).
    """

    needs = ('fused', 'sources')

    def __init__(self, source: str | None = 'vi', **schedule: Any) -> None:
        super().__init__(**schedule)
        self.source = source

    def forward(self, fused: Tensor, sources: Sources) -> Tensor:
        """fused (B,3,H,W) and the clean pictures of every modality by name, (B,3,H,W) each."""
        if self.source is not None and self.source not in sources:
            raise KeyError(f'ColorLoss takes its colours from {self.source!r}; the sources are {", ".join(sources)}')
        checked_sources(fused, sources)
        _, cb, cr = ycbcr(fused)
        owners = list(sources.values()) if self.source is None else [sources[self.source]]
        _, cb_source, cr_source = (
            _weighted_by_size(torch.stack(plane)) for plane in zip(*map(ycbcr, owners), strict=True)
        )
        return F.l1_loss(cb, cb_source) + F.l1_loss(cr, cr_source)


def _weighted_by_size(planes: Tensor) -> Tensor:
    """sum of x|x| over sum of |x|: (S,B,1,H,W) -> (B,1,H,W)."""
    return (planes * planes.abs()).sum(0) / planes.abs().sum(0).clamp(min=1e-6) if len(planes) > 1 else planes[0]


@LOSSES.register_module()
class GradLoss(Loss):
    """Luma gradients follow the strongest source at every pixel.

    Args:
        mode: ``position``: |g_x| and |g_y| each against the maximum over the sources (Text-IF); ``sum``: |g_x| + |g_y|
            is formed first (SeAFusion, CDDFuse).
    """

    needs = ('fused', 'sources')

    def __init__(self, mode: str = 'position', **schedule: Any) -> None:
        super().__init__(**schedule)
        self.mode = one_of('mode', mode, ('position', 'sum'))

    def forward(self, fused: Tensor, sources: Sources) -> Tensor:
        """fused (B,3,H,W) and the clean pictures of every modality by name, (B,3,H,W) each."""
        images = [luma(image) for image in (fused, *checked_sources(fused, sources).values())]
        # one pass over all images, as samples: (1 + S, B, H, W)
        gx, gy = sobel(torch.stack([image[:, 0] for image in images]))
        gx, gy = gx.abs(), gy.abs()
        maps = (gx + gy,) if self.mode == 'sum' else (gx, gy)
        return sum(F.l1_loss(g[0], g[1:].amax(dim=0)) for g in maps)


@LOSSES.register_module()
class IntensityMaxLoss(Loss):
    """L1 distance to the brightest source of each pixel, the first of equals.

    Args:
        space: ``rgb``: the source with the highest channel mean, colour and all (Text-IF). ``luma``: the highest luma
            (SwinFusion); the colours are another loss's matter, as where a dark source owns them.
    """

    needs = ('fused', 'sources')

    def __init__(self, space: str = 'rgb', **schedule: Any) -> None:
        super().__init__(**schedule)
        self.space = one_of('space', space, ('rgb', 'luma'))

    def forward(self, fused: Tensor, sources: Sources) -> Tensor:
        """fused (B,3,H,W) and the clean pictures of every modality by name, (B,3,H,W) each."""
        sources = checked_sources(fused, sources)
        if self.space == 'luma':
            fused, sources = luma(fused), {name: luma(source) for name, source in sources.items()}
        first, *others = sources.values()
        target, best = first, first.mean(dim=1, keepdim=True)
        for source in others:
            mean = source.mean(dim=1, keepdim=True)
            target = torch.where(mean > best, source, target)
            best = torch.maximum(mean, best)
        return F.l1_loss(fused, target)


@LOSSES.register_module()
class SSIMLoss(Loss):
    """Σ_s w_s (1 - SSIM(O, s)) on luma.

    Args:
        window: Width of the Gaussian window in pixels (Text-IF: 48).
        weights: Modality -> w_s; None for 1 each. A modality left out is not compared.
    """

    needs = ('fused', 'sources')

    def __init__(
        self,
        window: int = 11,
        weights: dict[str, float] | None = None,
        **schedule: Any,
    ) -> None:
        super().__init__(**schedule)
        if window < 1:
            raise ValueError(f'window must be at least 1 pixel, got {window}')
        self.window = window
        self.weights = weights

    def forward(self, fused: Tensor, sources: Sources) -> Tensor:
        """fused (B,3,H,W) and the clean pictures of every modality by name, (B,3,H,W) each."""
        weights = dict.fromkeys(sources, 1.0) if self.weights is None else self.weights
        unknown = [name for name in weights if name not in sources]
        if unknown:
            raise KeyError(f'SSIMLoss has weights for {", ".join(unknown)}; the sources are {", ".join(sources)}')
        grey = luma(fused)
        return sum(w * (1 - ssim(grey, luma(sources[name]), self.window)).mean() for name, w in weights.items())


@LOSSES.register_module()
class PerceptualLoss(Loss):
    """Perceptual term of U2Fusion; each source counts by its degree of information.

    The degrees come from the energy g_s of the Laplacian (of the VGG features, or of the luma) of each source:
    softmax over the sources of S·g_s / Σg, which is free of scale, or of g_s / c as in U2Fusion.

    * ``vgg``: mean over five layers of Σ_s ω_s mean(φ_j(O) - φ_j(s))²,
    * ``u2``: Σ_s ω_s (1 - SSIM(O, s)) + 20 Σ_s ω_s MSE(O, s).

    Both see luma, as U2Fusion does: the colours are another loss's matter.

    Args:
        mode: ``vgg`` or ``u2``. Without a file of weights ``vgg`` falls back to ``u2`` and logs it.
        weights: Local file with the weights of VGG16, see :class:`~lurefusion.models.losses.vgg.VGG16Features`.
        preprocess: ``imagenet`` (torchvision's weights) or ``caffe`` (BGR, 0 to 255, mean subtracted).
        temperature: c; None for the degrees that are free of scale. 3200 with ``caffe`` is U2Fusion's choice.
        mse_weight: Factor of the MSE in ``u2``.
        window: Width of the SSIM window in ``u2``, pixels.
    """

    needs = ('fused', 'sources')

    def __init__(
        self,
        mode: str = 'vgg',
        weights: str | None = None,
        preprocess: str = 'imagenet',
        temperature: float | None = None,
        mse_weight: float = 20.0,
        window: int = 11,
        **schedule: Any,
    ) -> None:
        super().__init__(**schedule)
        self.mode = one_of('mode', mode, ('vgg', 'u2'))
        if temperature is not None and temperature <= 0:
            raise ValueError(f'temperature must be above 0, got {temperature}')
        self.temperature = temperature
        self.mse_weight = mse_weight
        self.window = window
        # in a tuple, so that it is no sub-module: neither trained, nor saved, nor counted
        self._vgg: tuple[VGG16Features, ...] = ()
        if self.mode == 'vgg' and weights is None:
            print_log("PerceptualLoss: no file of VGG16 weights is given, so mode 'u2' is used", logger='current')
            self.mode = 'u2'
        elif self.mode == 'vgg':
            self._vgg = (VGG16Features(weights, preprocess),)

    def degrees(self, energies: Tensor) -> Tensor:
        """Weights (S,B) that sum to 1 over the sources, from energies (S,B)."""
        if self.temperature is not None:
            return (energies / self.temperature).softmax(dim=0)
        return (len(energies) * energies / energies.sum(dim=0).clamp(min=1e-12)).softmax(dim=0)

    def forward(self, fused: Tensor, sources: Sources) -> Tensor:
        """fused (B,3,H,W) and the clean pictures of every modality by name, (B,3,H,W) each."""
        out = luma(fused)
        images = [luma(source) for source in checked_sources(fused, sources).values()]
        return self._feature_distance(out, images) if self.mode == 'vgg' else self._u2(out, images)

    def _u2(self, out: Tensor, images: list[Tensor]) -> Tensor:
        with torch.no_grad():
            degrees = self.degrees(torch.stack([_energy(image) for image in images]))
        distances = [
            1 - ssim(out, image, self.window) + self.mse_weight * (out - image).square().mean(dim=(1, 2, 3))
            for image in images
        ]
        return (degrees * torch.stack(distances)).sum(dim=0).mean()

    def _feature_distance(self, out: Tensor, images: list[Tensor]) -> Tensor:
        vgg = self._vgg[0].to(out.device)
        with torch.no_grad():
            targets = [layer.unflatten(0, (len(images), -1)) for layer in vgg(torch.cat(images))]
            energies = sum(torch.stack([_energy(image) for image in layer]) for layer in targets) / len(targets)
            degrees = self.degrees(energies)
        distances = sum(
            (features - target).square().mean(dim=(2, 3, 4)) for features, target in zip(vgg(out), targets, strict=True)
        )
        return (degrees * distances).sum(dim=0).mean() / len(targets)


def _energy(x: Tensor) -> Tensor:
    return laplacian(x).square().mean(dim=(1, 2, 3))
