"""Does the fused picture keep the colours of one source and the texture of the other?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from lurefusion.models.losses.functional import gradient_magnitude, luma, ycbcr
from lurefusion.registry import METRICS


@METRICS.register_module()
class KeptColourAndTexture(BaseMetric):
    """Mean over the pictures of two numbers.

    * ``dChroma``: (|Cb_F - Cb_s| + |Cr_F - Cr_s|) / 2 against the owner of the colours, mean over the pixels where one
      of the two has any (|Cb| or |Cr| above 1/255), in 8-bit levels, [0, 255], 0 is best; NaN where both are grey.
    * ``rhoTexture``: Pearson's correlation of the Sobel magnitudes of luma, of F and of the owner of the texture,
      [-1, 1], 1 is best.

    Args:
        colours: Modality that owns the colours.
        texture: Modality that owns the texture.
        against: ``sources``, or ``references``: the clean picture of a degraded source counts.
        prefix: Put before the names of the results.
    """

    def __init__(self, colours: str, texture: str, against: str = 'sources', prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)
        if against not in ('sources', 'references'):
            raise ValueError(f"against must be 'sources' or 'references', got {against!r}")
        self.colours, self.texture, self.against = colours, texture, against

    def process(self, data_batch: Any, data_samples: Sequence[Any]) -> None:
        """Add one pair of numbers per sample with `pred` (3,H,W) in [0,1] and `sources`, modality -> (3,H,W)."""
        for sample in data_samples:
            sources = dict(sample.get('sources'))
            if self.against == 'references':
                sources |= sample.get('references')
            missing = [name for name in (self.colours, self.texture) if name not in sources]
            if missing:
                raise KeyError(f'KeptColourAndTexture looks for {missing}; the sources are {list(sources)}')
            fused, colours, texture = (
                image[None].double() for image in (sample.get('pred'), sources[self.colours], sources[self.texture])
            )
            self.results.append((_chroma_error(fused, colours), _correlation(fused, texture)))

    def compute_metrics(self, results: list[tuple[float, float]]) -> dict[str, float]:
        """Means, pictures without colour left out of `dChroma`."""
        columns = torch.tensor(results, dtype=torch.float64).reshape(-1, 2)
        return dict(dChroma=float(columns[:, 0].nanmean()), rhoTexture=float(columns[:, 1].mean()))


def _chroma_error(fused: Tensor, owner: Tensor) -> float:
    planes = torch.stack([torch.cat(ycbcr(image)[1:], 1)[0] for image in (fused, owner)])
    coloured = (planes.abs() > 1 / 255).flatten(0, 1).any(0)
    return float((planes[0] - planes[1]).abs().mean(0)[coloured].mean() * 255)


def _correlation(fused: Tensor, owner: Tensor) -> float:
    edges = torch.stack([gradient_magnitude(luma(image)).flatten() for image in (fused, owner)])
    return float(torch.corrcoef(edges)[0, 1].nan_to_num(0.0))
