"""A metric: one number for each picture, with unit, range and direction. `docs/add_metric.md` explains the fields."""

from __future__ import annotations

import torch
from torch import Tensor

from lurefusion.registry import MEASURES


@MEASURES.register_module(
    name='Striped',
    title='vertical stripes beyond those of the sources',
    unit='grey levels',
    range=(-255, 255),
    higher_is_better=False,
    needs='sources',
    source='this project',
    decimals=2,
    note='0 or less: no more than the most even source',
)
def striped(fused: Tensor, sources: dict[str, Tensor]) -> Tensor:
    """Mean step between neighbouring column means, minus that of the source with the least, (B,) in 8-bit levels.

    Args:
        fused: (B,1|3,H,W) in [0,1], as are the sources.
    """
    return _steps(fused) - torch.stack([_steps(source) for source in sources.values()]).amin(0)


def _steps(image: Tensor) -> Tensor:
    columns = 255 * image.mean((1, 2))
    if columns.shape[1] < 2:
        return columns.new_zeros(len(columns))
    return columns.diff(dim=1).abs().mean(1)
