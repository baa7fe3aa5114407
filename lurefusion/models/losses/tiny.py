"""Losses of `lure-tiny`, none of them in the paper: four of the restoration stage, two of the fusion stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather
from torch import Tensor

from lurefusion.choices import names_of
from lurefusion.models.losses.base import Loss
from lurefusion.models.losses.fusion import Sources, checked_sources
from lurefusion.ops.colour import luma, ycbcr
from lurefusion.ops.windows import box_mean
from lurefusion.registry import LOSSES


@LOSSES.register_module()
class PyramidLoss(Loss):
    """Clean latents are the picture at every size, as `start_as_identity` leaves them: mean|Z_pd - y| over the scales.

    Of the finest latent, the first 3 p^2 channels are the picture in blocks of p x p pixels (p its stride), of the
    coarser ones the first 3 its means. Latents of which nothing is asked may hold the task instead of the picture
    ("bypass": the finest alone is enough for the decoder). No degraded latent enters: these follow by the unified loss
    alone. Not in the paper.
    """

    needs = ('latents_pd', 'target')

    def forward(self, latents_pd: Sequence[Tensor], target: Tensor) -> Tensor:
        """Clean latents (B,L_i,h_i,w_i) and clean pictures (B,3,H,W).

        Raises:
            ValueError: If a latent has fewer channels than it needs.
        """
        finest = F.pixel_unshuffle(target, target.shape[-1] // latents_pd[0].shape[-1])
        goals = [finest, *(F.adaptive_avg_pool2d(target, z.shape[2:]) for z in latents_pd[1:])]
        needed, found = ([z.shape[1] for z in scales] for scales in (goals, latents_pd))
        if any(a > b for a, b in zip(needed, found, strict=True)):
            raise ValueError(
                f'PyramidLoss needs image_encoder.latent_channels of at least {needed}, got {found}; '
                f'model.losses.pyramid=None trains without it'
            )
        distances = [F.l1_loss(z[:, : y.shape[1]], y) for z, y in zip(latents_pd, goals, strict=True)]
        return sum(distances) / len(distances)


@LOSSES.register_module()
class MeanLatentLoss(Loss):
    """Degraded latents agree with Z_pd on average: what a linear probe of pooled latents reads the task from.

    log(1 + d), d the squared distance of the spatial means of all scales, whitened by the covariance of those of Z_pd
    over the latest pictures of the same modality and divided by their number: an offset counts by how far it leaves the
    range of clean latents, also along axes in which these hardly differ. No gradient reaches Z_pd. A part of "unified"
    (LURE, Eq. 3) that a mean of per-pixel distances lets pass.

    Args:
        width: Sum of the latents' channels; None takes it over from the model, as `fit` does.
        num_modalities: Number of modality indices, taken over too.
        ridge: Added to the correlation matrix; the square of the smallest deviation that counts as one.
        momentum: Share of a batch in the running mean and covariance.
    """

    needs = ('latents', 'latents_pd', 'm')

    def __init__(
        self,
        width: int | None = None,
        num_modalities: int = 2,
        ridge: float = 1e-5,
        momentum: float = 0.01,
        **schedule: Any,
    ) -> None:
        super().__init__(**schedule)
        if ridge <= 0 or not 0 < momentum <= 1:
            raise ValueError(f'ridge must be above 0 and momentum in (0, 1], got {ridge} and {momentum}')
        self.ridge = ridge
        self.momentum = momentum
        self.width = width
        if width is not None:
            self.fit((width,), num_modalities)

    def fit(self, channels: Sequence[int], num_modalities: int) -> None:
        """Make room for the statistics. Raises ValueError if the latents have another width than was stated."""
        width = sum(channels)
        if self.width not in (None, width):
            raise ValueError(
                f'MeanLatentLoss.width={self.width}, but the latents have {width} channels; leave it out of the config '
                f'to take these over'
            )
        # double: the covariance is a small difference of them
        self.register_buffer('mean', torch.zeros(num_modalities, width, dtype=torch.double))
        self.register_buffer('second', torch.zeros(num_modalities, width, width, dtype=torch.double))
        self.register_buffer('batches', torch.zeros(num_modalities, dtype=torch.long))

    @torch.no_grad()
    def _update(self, means: Tensor, m: Tensor) -> None:
        rows, indices = (torch.cat(all_gather(part.contiguous())) for part in (means, m))
        # one bad batch would stay in them for good
        finite = rows.isfinite().all(dim=1)
        rows, indices = rows[finite], indices[finite]
        for i in indices.unique().tolist():
            part = rows[indices == i].double()
            self.batches[i] += 1
            share = max(self.momentum, 1 / self.batches[i].item())
            self.mean[i].lerp_(part.mean(dim=0), share)
            self.second[i].lerp_(part.mT @ part / len(part), share)

    def forward(self, latents: Sequence[Tensor], latents_pd: Sequence[Tensor], m: Tensor) -> Tensor:
        """Degraded and clean latents, (B,L_i,h_i,w_i) a scale, of the modalities m (B,) int64.

        In training, the statistics follow the clean ones.
        """
        means, target = (torch.cat([z.mean(dim=(2, 3)) for z in scales], dim=1) for scales in (latents, latents_pd))
        target = target.detach()
        found = self.mean.shape[1] if 'mean' in self._buffers else self.width
        if means.shape[1] != found:
            raise ValueError(f'MeanLatentLoss.width={found}, but the latents have {means.shape[1]} channels')
        if self.training:
            self._update(target, m)
        if not (means.isfinite().all() and target.isfinite().all()):
            # for the hook that ends such a training; what follows would raise errors of its own
            return (means - target).sum().float() * torch.nan
        covariance = self.second - self.mean[:, :, None] * self.mean[:, None, :]
        deviation = covariance.diagonal(dim1=1, dim2=2).clamp(min=1e-12).sqrt()
        correlation = covariance / (deviation[:, :, None] * deviation[:, None, :])
        correlation += self.ridge * torch.eye(correlation.shape[1], dtype=torch.double, device=correlation.device)
        offsets = (means - target).double() / deviation[m]
        # the ridge keeps the factorisation defined, also after fewer pictures than channels
        roots = torch.linalg.cholesky(correlation)[m]
        whitened = torch.linalg.solve_triangular(roots, offsets[:, :, None], upper=False)
        # the logarithm: a picture that is far off does not outweigh those that are nearly there
        return (whitened.square().sum(dim=(1, 2)) / means.shape[1]).log1p().mean().float()


@LOSSES.register_module()
class DetailLoss(Loss):
    """Trains :class:`lurefusion.models.lure_tiny.TextGuidedDetail`: what it adds, and for which texts.

    Mean over the pictures of `tasks` of ||x + B(x) - y||^2 / (||x - y||^2 + 1e-5), so that a slight blur counts as much
    as a strong one, plus `gate_weight` times the hinge loss of the gate before it is clamped: at least 1.5 for
    sentences of `tasks`, at most -0.5 for all others, both kinds counting the same.

    Args:
        tasks: Tasks that take fine structure away.
        gate_weight: Weight of the hinge loss.
        whole: Measure what the whole network restores instead of x + B(x), for a branch that learns while all else is
            frozen: it makes up for what the network adds to it.
    """

    needs = ('degraded', 'detailed', 'pred', 'target', 'gates', 'tasks')

    def __init__(
        self,
        tasks: Sequence[str] = ('sr',),
        gate_weight: float = 1.0,
        whole: bool = False,
        **schedule: Any,
    ) -> None:
        super().__init__(**schedule)
        self.tasks = names_of('DetailLoss.tasks', tasks)
        self.gate_weight = gate_weight
        self.whole = whole

    def forward(
        self, degraded: Tensor, detailed: Tensor, pred: Tensor, target: Tensor, gates: Tensor, tasks: Sequence[str]
    ) -> Tensor:
        """Pictures before the branch, after it, restored and clean, (B,3,H,W); gates (N,), N >= B, and the N tasks."""
        opened = torch.tensor([task in self.tasks for task in tasks], device=gates.device)
        value = self.gate_weight * (_mean_of(F.relu(1.5 - gates), opened) + _mean_of(F.relu(gates + 0.5), ~opened))
        out = pred if self.whole else detailed
        before, after = ((image - target).square().mean(dim=(1, 2, 3)) for image in (degraded, out))
        return value + _mean_of(after / (before + 1e-5), opened[: len(target)])


def _mean_of(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean of the chosen values (B,), 0 if there is none."""
    return (values * chosen).sum() / chosen.sum().clamp(min=1)


@LOSSES.register_module()
class ChromaLoss(Loss):
    """mean|Ĉ - C| + β mean| box(|Ĉ|) - box(|C|) |, C = (Cb, Cr): colours, and how much of them there is in each area.

    Where a picture does not tell its colours, the pixelwise distance alone is smallest for hardly any colour; the
    second part, over areas of (2r+1)^2 pixels, is not. Grey pictures give 0. Not in the paper.

    Args:
        amount: β.
        radius: r.
    """

    needs = ('pred', 'target')

    def __init__(self, amount: float = 1.0, radius: int = 8, **schedule: Any) -> None:
        super().__init__(**schedule)
        if amount < 0 or radius < 0:
            raise ValueError(f'amount and radius of ChromaLoss must not be negative, got {amount} and {radius}')
        self.amount = amount
        self.radius = radius

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Restored and clean pictures, (B,3,H,W) each."""
        own, wanted = (torch.cat(ycbcr(image)[1:], dim=1) for image in (pred, target))
        # the root has no gradient at 0
        sizes = (torch.sqrt(c.square().sum(dim=1, keepdim=True) + 1e-6) for c in (own, wanted))
        areas = F.l1_loss(*(box_mean(size, self.radius) for size in sizes))
        return F.l1_loss(own, wanted) + self.amount * areas


@LOSSES.register_module()
class HotTargetLoss(Loss):
    """Small warm things stand out from what surrounds them as they do in the infrared picture.

    Mean of relu(h_s - h_O) where h_s > `threshold`, h the luma less its mean over a box. Not in the paper: by
    gradients and intensities alone a dark coat hides a warm person.

    Args:
        source: Modality in which warm things are bright.
        radius: Of the box, (2 radius + 1)^2 pixels.
        threshold: Least h_s that counts, in [0,1].
    """

    needs = ('fused', 'sources')

    def __init__(
        self,
        source: str = 'ir',
        radius: int = 16,
        threshold: float = 0.2,
        **schedule: Any,
    ) -> None:
        super().__init__(**schedule)
        self.source = source
        self.radius = radius
        self.threshold = threshold

    def forward(self, fused: Tensor, sources: Sources) -> Tensor:
        """fused (B,3,H,W) and the clean pictures of every modality by name, (B,3,H,W) each."""
        if self.source not in sources:
            raise KeyError(f'HotTargetLoss looks for targets in {self.source!r}; the sources are {", ".join(sources)}')
        out, source = (luma(image) for image in (fused, checked_sources(fused, sources)[self.source]))
        h_out, h_source = (y - box_mean(y, self.radius) for y in (out, source))
        return (F.relu(h_source - h_out) * (h_source > self.threshold)).mean()


@LOSSES.register_module()
class PatternLoss(Loss):
    """Luma alternates from pixel to pixel no more than in the source that does so most.

    Mean excess of |x(i-1) - 2 x(i) + x(i+1)| over the maximum of the sources, rows and columns. Not in the paper: with
    blocks of pixels (`image_encoder.patch`) rows may alternate, of which Sobel's central difference is 0.
    """

    needs = ('fused', 'sources')

    def forward(self, fused: Tensor, sources: Sources) -> Tensor:
        """fused (B,3,H,W) and the clean pictures of every modality by name, (B,3,H,W) each."""
        images = torch.stack([luma(image) for image in (fused, *checked_sources(fused, sources).values())])
        second = [images.diff(n=2, dim=dim).abs() for dim in (-1, -2)]
        return sum(F.relu(d[0] - d[1:].amax(dim=0)).mean() for d in second)
