"""Losses of the restoration stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from lurefusion.choices import one_of
from lurefusion.models.losses.base import Loss
from lurefusion.models.losses.functional import latent_distance
from lurefusion.ops.gradients import gradient_magnitude
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
