"""Losses of the restoration stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather
from torch import Tensor

from lurefusion.choices import one_of
from lurefusion.models.losses.base import Loss
from lurefusion.models.losses.functional import latent_distance
from lurefusion.ops.colour import ycbcr
from lurefusion.ops.gradients import gradient_magnitude
from lurefusion.ops.windows import box_mean
from lurefusion.registry import LOSSES


@LOSSES.register_module()
class TaskLoss(Loss):
    """Restoration: mean|ŷ - y| + α mean||∇ŷ| - |∇y|| (LURE, stage one), Sobel gradients per RGB channel.

    Args:
        alpha_task: α. |∇| is up to eight times larger than the pixels; 0.1 makes both halves equal on natural images.
        grad: Norm of the gradient, ``l1`` or ``l2`` (see :func:`gradient_magnitude`).
    """

    needs = ('pred', 'target')

    def __init__(self, alpha_task: float = 0.1, grad: str = 'l1', **schedule: Any) -> None:
        super().__init__(**schedule)
        self.alpha_task = alpha_task
        self.grad = one_of('grad', grad, ('l1', 'l2'))

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Restored and clean pictures, (B,3,H,W) each."""
        edges = F.l1_loss(gradient_magnitude(pred, self.grad), gradient_magnitude(target, self.grad))
        return F.l1_loss(pred, target) + self.alpha_task * edges


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
class ReconLoss(Loss):
    """mean|ŷ_pd - y|: under the pseudo prompt the clean image comes back unchanged (LURE, stage one)."""

    needs = ('pred_pd', 'target')

    def forward(self, pred_pd: Tensor, target: Tensor) -> Tensor:
        """Clean pictures under the pseudo text, decoded again, and as they are, (B,3,H,W) each."""
        return F.l1_loss(pred_pd, target)


@LOSSES.register_module()
class UnifiedLoss(Loss):
    """1 - Γ(Z, Z_pd): degraded latents align with those of the pseudo-degradation (LURE, Eq. 3).

    Args:
        kind: ``pix``, ``flat``, ``cc``, ``cpix`` or ``mse``, see :func:`latent_distance`.
        detach_target: Stop the gradient at Z_pd, so that it alone is the anchor.
        scale_weights: One number per scale, fine to coarse, normalised to sum 1; None for equal ones.
    """

    needs = ('latents', 'latents_pd')

    def __init__(
        self,
        kind: str = 'pix',
        detach_target: bool = False,
        scale_weights: Sequence[float] | None = None,
        **schedule: Any,
    ) -> None:
        super().__init__(**schedule)
        self.kind = one_of('kind', kind, ('pix', 'flat', 'cc', 'cpix', 'mse'))
        self.detach_target = detach_target
        if scale_weights is not None and (min(scale_weights, default=-1) < 0 or sum(scale_weights) <= 0):
            raise ValueError(f'scale_weights must be at least 0 and not all 0, got {tuple(scale_weights)}')
        self.scale_weights = scale_weights

    def forward(self, latents: Sequence[Tensor], latents_pd: Sequence[Tensor]) -> Tensor:
        """Degraded and clean latents, (B,L_i,h_i,w_i) a scale."""
        weights = self.scale_weights or (1.0,) * len(latents)
        if not len(weights) == len(latents) == len(latents_pd):
            raise ValueError(
                f'{len(latents)} and {len(latents_pd)} scales of latents, but {len(weights)} scale_weights'
            )
        targets = [z.detach() if self.detach_target else z for z in latents_pd]
        distances = [latent_distance(z, z_pd, self.kind) for z, z_pd in zip(latents, targets, strict=True)]
        return sum(w * d for w, d in zip(weights, distances, strict=True)) / sum(weights)


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
    """Trains :class:`lurefusion.models.image_encoders.TextGuidedDetail`: what it adds, and for which texts.

    Mean over the pictures of `tasks` of ||x + B(x) - y||^2 / (||x - y||^2 + 1e-5), so that a slight blur counts as much
    as a strong one, plus `gate_weight` times the hinge loss of the gate before it is clamped: at least 1.5 for
    sentences of `tasks`, at most -0.5 for all others, both kinds counting the same.

    Args:
        tasks: Tasks that take fine structure away.
        gate_weight: Weight of the hinge loss.
    """

    needs = ('degraded', 'detailed', 'target', 'gates', 'tasks')

    def __init__(
        self,
        tasks: Sequence[str] = ('sr',),
        gate_weight: float = 1.0,
        **schedule: Any,
    ) -> None:
        super().__init__(**schedule)
        self.tasks = tuple(tasks)
        self.gate_weight = gate_weight

    def forward(
        self, degraded: Tensor, detailed: Tensor, target: Tensor, gates: Tensor, tasks: Sequence[str]
    ) -> Tensor:
        """Pictures before and after the branch and clean, (B,3,H,W); gates (N,), N >= B, and the N tasks."""
        opened = torch.tensor([task in self.tasks for task in tasks], device=gates.device)
        value = self.gate_weight * (_mean_of(F.relu(1.5 - gates), opened) + _mean_of(F.relu(gates + 0.5), ~opened))
        before, after = ((image - target).square().mean(dim=(1, 2, 3)) for image in (degraded, detailed))
        return value + _mean_of(after / (before + 1e-5), opened[: len(target)])


def _mean_of(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean of the chosen values (B,), 0 if there is none."""
    return (values * chosen).sum() / chosen.sum().clamp(min=1)


@LOSSES.register_module()
class TextLoss(Loss):
    """Cross-entropy of the text head over the task rows and the rows of the pseudo prompt.

    Args:
        pd_weight: Weight of a pseudo row against a task row; 1/5 beside five tasks, else half of all labels are ``pd``.
        label_smoothing: Share of the target that is spread over all tasks, [0, 1).
    """

    needs = ('logits', 'labels', 'num_pd')

    def __init__(self, pd_weight: float = 0.2, label_smoothing: float = 0.0, **schedule: Any) -> None:
        super().__init__(**schedule)
        if pd_weight < 0:
            raise ValueError(f'pd_weight must be at least 0, got {pd_weight}')
        if not 0 <= label_smoothing < 1:
            raise ValueError(f'label_smoothing must be in [0, 1), got {label_smoothing}')
        self.pd_weight = pd_weight
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, labels: Tensor, num_pd: int) -> Tensor:
        """logits (N,K), labels (N,) int64; the last `num_pd` rows are pseudo sentences."""
        if not 0 <= num_pd <= len(logits):
            raise ValueError(f'num_pd must be between 0 and the number of rows, {len(logits)}; got {num_pd}')
        rows = logits.new_ones(len(logits))
        rows[len(logits) - num_pd :] = self.pd_weight
        values = F.cross_entropy(logits, labels, reduction='none', label_smoothing=self.label_smoothing)
        return (values * rows).sum() / rows.sum().clamp(min=1e-12)
