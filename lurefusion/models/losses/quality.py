"""The metrics by which fused pictures are ranked, as a loss of the fusion stage."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lurefusion.choices import did_you_mean
from lurefusion.models.losses.base import Loss
from lurefusion.models.losses.fusion import Sources, checked_sources
from lurefusion.ops.colour import luma
from lurefusion.ops.gradients import sobel
from lurefusion.ops.likeness import rho, vif_information
from lurefusion.ops.ssim import MS_SSIM_WEIGHTS, moments, ssim_maps
from lurefusion.ops.windows import Window, filter_valid, gaussian_window
from lurefusion.registry import LOSSES

#: Standard deviation of each metric over average, maximum, Laplacian pyramid and guided filter, on 30 training pairs
#: of MSRS, RoadScene, LLVIP and M3SVD: what counts as a difference between methods.
SPREAD = {'CC': 0.036, 'SCD': 0.117, 'PSNR': 1.31, 'SSIM': 0.0162, 'MS-SSIM': 0.0233, 'VIF': 0.1345, 'Qabf': 0.131}
#: side that VIF needs
SMALLEST = 41
#: squared grey levels by which what is nearly constant is kept from having a gradient without bound
TINY = 0.01


@LOSSES.register_module()
class QualityLoss(Loss):
    """-Σ_i w_i Q_i / s_i over the seven ranked metrics Q_i: CC, SCD, PSNR, SSIM, MS-SSIM, VIF and Qabf.

    They are those of :mod:`lurefusion.evaluation.functional` on luma that is not rounded, but for Qabf, which sees the
    angle between edges as lines, without the jumps of its arctangent, and a replicated border. MS-SSIM has as many of
    its scales as the crop allows. s_i is how far simple methods are apart (`SPREAD`), so that no metric counts more
    for its unit. Not in the paper.

    Args:
        weights: Metric -> w_i, 1 for those that are not named; 0 leaves one out.

    Raises:
        ValueError: If a metric is unknown, or a weight negative or not finite.
    """

    needs = ('fused', 'sources')

    def __init__(self, weights: Mapping[str, float] | None = None, **schedule: Any) -> None:
        super().__init__(**schedule)
        for name, weight in (weights or {}).items():
            if name not in SPREAD:
                raise ValueError(f'weights of QualityLoss: no metric {name!r}.{did_you_mean(name, list(SPREAD))}')
            if not 0 <= weight < float('inf'):
                raise ValueError(f'weights of QualityLoss must be finite and not negative, got {name}={weight}')
        self.weights = {**dict.fromkeys(SPREAD, 1.0), **(weights or {})}

    def forward(self, fused: Tensor, sources: Sources) -> Tensor:
        """fused (B,3,H,W) and the clean pictures of every modality by name, (B,3,H,W) each; sides from 41 pixels.

        Raises:
            ValueError: If a picture is smaller, or SCD, which is defined for two sources, has another number.
        """
        pictures = [255 * luma(x)[:, 0] for x in (fused, *checked_sources(fused, sources).values())]
        if min(fused.shape[-2:]) < SMALLEST:
            raise ValueError(f'QualityLoss needs crops of at least {SMALLEST} pixels, got {tuple(fused.shape)}')
        if self.weights['SCD'] and len(sources) != 2:
            raise ValueError(f'SCD is defined for two sources, got {len(sources)}: QualityLoss.weights=dict(SCD=0)')
        values: dict[str, Tensor] = {}
        for names, measure in (
            (('CC', 'SCD'), _correlations),
            (('PSNR',), _psnr),
            (('SSIM', 'MS-SSIM'), _similarities),
            (('VIF',), _vif),
            (('Qabf',), _qabf),
        ):
            if any(self.weights[name] for name in names):
                values.update(zip(names, measure(*pictures), strict=True))
        return -sum(self.weights[name] / SPREAD[name] * value.mean() for name, value in values.items())


def _correlations(fused: Tensor, *sources: Tensor) -> tuple[Tensor, Tensor]:
    fused, *sources = (x - x.mean((-2, -1), keepdim=True) for x in (fused, *sources))
    cc = sum(rho(fused, source, TINY) for source in sources) / len(sources)
    return cc, sum(rho(fused - other, source, TINY) for source, other in zip(sources, reversed(sources), strict=True))


def _psnr(fused: Tensor, *sources: Tensor) -> tuple[Tensor]:
    mse = sum((fused - source).square().mean((-2, -1)) for source in sources) / len(sources)
    return (10 * torch.log10(255**2 / (mse + TINY)),)


def _similarities(*level: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM and MS-SSIM."""
    taps = gaussian_window(11, 1.5)
    last = min(len(MS_SSIM_WEIGHTS), int(math.log2(min(level[0].shape[-2:]) / len(taps))) + 1) - 1
    product, single = 1.0, None
    for scale, power in enumerate(MS_SSIM_WEIGHTS[: last + 1]):
        fused, *sources = (Window(x, taps) for x in level)
        maps = [ssim_maps(moments(fused, source), 255.0) for source in sources]
        full, structure = (torch.stack([m[i].mean((-2, -1)) for m in maps]) for i in (0, 1))
        single = full.mean(0) if single is None else single
        # negative means count 0, and the root has no gradient there
        product = product * (full if scale == last else structure).clamp_min(1e-3) ** power
        level = tuple(F.avg_pool2d(x[:, None], 2)[:, 0] for x in level)
    return single, product.mean(0)


def _vif(*level: Tensor) -> tuple[Tensor]:
    kept = total = 0
    for size in (17, 9, 5, 3):
        taps = gaussian_window(size, size / 5)
        if size < 17:
            level = tuple(filter_valid(x, taps, step=2) for x in level)
        fused, *sources = (Window(x, taps) for x in level)
        information = [vif_information(fused.variance, s.variance, fused.covariance(s), tiny=TINY) for s in sources]
        kept, total = (a + torch.stack(b) for a, b in zip((kept, total), zip(*information, strict=True), strict=True))
    return ((kept / total.clamp_min(1e-3)).sum(0),)


def _qabf(*pictures: Tensor) -> tuple[Tensor]:
    fused, *sources = ((gx, gy, (gx.square() + gy.square() + TINY).sqrt()) for gx, gy in map(sobel, pictures))
    kept = weights = 0
    for source in sources:
        sizes = fused[2] * source[2]
        across, along = (fused[0] * source[1] - fused[1] * source[0]), (fused[0] * source[0] + fused[1] * source[1])
        angle = torch.atan2(across.abs() / sizes, along.abs() / sizes + 1e-6)
        ratio = torch.minimum(fused[2], source[2]) / torch.maximum(fused[2], source[2])
        quality = (15 * (ratio - 0.5)).sigmoid() * (22 * (0.2 - angle * 2 / math.pi)).sigmoid()
        kept = kept + (quality * source[2]).sum((-2, -1))
        weights = weights + source[2].sum((-2, -1))
    return (0.9994 * 0.9879 * kept / weights,)
