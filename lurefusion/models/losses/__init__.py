"""Losses of both training stages: thin modules registered in `LOSSES` over pure functions, and `LossSet`.

A stage offers named quantities, and each loss names those that it needs:

* restoration: `pred` (B,3,H,W) restored, `target` (B,3,H,W) clean, `pred_pd` (B,3,H,W) the clean image passed through
  under the pseudo-degradation prompt, `latents` and `latents_pd` lists over scales of (B,L_i,h_i,w_i),
  `logits` (B + num_pd, T), `labels` (B + num_pd,) int64, `num_pd` int (the last rows, those of the pseudo prompt),
  `tasks` the names of the labels, `m` (B,) int64 modality indices, `degraded` (B,3,H,W); and what the image
  encoder adds by `extras`;
* fusion: `fused` (B,3,H,W), `sources` dict of modality -> (B,3,H,W), optionally `fused_latents`.

Images are in [0, 1], predictions are not clamped, every loss is a mean over all axes.
"""

from lurefusion.models.losses.base import Loss, LossSet
from lurefusion.models.losses.functional import latent_diagnostics, latent_distance
from lurefusion.models.losses.fusion import (
    ColorLoss,
    GradLoss,
    IntensityMaxLoss,
    PerceptualLoss,
    SSIMLoss,
)
from lurefusion.models.losses.quality import QualityLoss
from lurefusion.models.losses.restoration import (
    ReconLoss,
    TaskLoss,
    TextLoss,
    UnifiedLoss,
)
from lurefusion.models.losses.teacher import TeacherLoss
from lurefusion.models.losses.tiny import (
    ChromaLoss,
    DetailLoss,
    HotTargetLoss,
    MeanLatentLoss,
    PatternLoss,
    PyramidLoss,
)
from lurefusion.models.losses.vgg import VGG16Features

__all__ = [
    'ChromaLoss',
    'ColorLoss',
    'DetailLoss',
    'GradLoss',
    'HotTargetLoss',
    'IntensityMaxLoss',
    'Loss',
    'LossSet',
    'MeanLatentLoss',
    'PatternLoss',
    'PerceptualLoss',
    'PyramidLoss',
    'QualityLoss',
    'ReconLoss',
    'SSIMLoss',
    'TaskLoss',
    'TeacherLoss',
    'TextLoss',
    'UnifiedLoss',
    'VGG16Features',
    'latent_diagnostics',
    'latent_distance',
]
