"""Does the fused picture keep the colours of one source and the texture of the other?"""

from __future__ import annotations

import torch
from torch import Tensor

from lurefusion.ops.colour import luma, ycbcr
from lurefusion.ops.gradients import gradient_magnitude
from lurefusion.registry import MEASURES


@MEASURES.register_module(
    name='dChroma',
    title='error of the chroma in coloured pixels',
    unit='grey levels',
    range=(0, 255),
    higher_is_better=False,
    needs='sources',
    source='this project',
    decimals=2,
    note='option owner: the modality that owns the colours; no number where both pictures are grey',
)
def chroma_error(fused: Tensor, sources: dict[str, Tensor], *, owner: str = '') -> Tensor:
    """(|Cb_F - Cb_s| + |Cr_F - Cr_s|) / 2 against the owner of the colours.

    Mean over the pixels where one of the two has any (|Cb| or |Cr| above 1/255), in 8-bit levels, [0, 255], 0 is best;
    NaN where both are grey.

    Args:
        fused: (B,3,H,W) in [0,1], as are the sources.
        owner: Modality that owns the colours.
    """
    planes = torch.stack([torch.cat(ycbcr(x)[1:], 1) for x in (_rgb(fused), _rgb(_of(sources, owner, 'dChroma')))])
    coloured = (planes.abs() > 1 / 255).any(2).any(0)
    error = (planes[0] - planes[1]).abs().mean(1) * coloured
    # 0/0 is NaN
    return 255 * error.sum((1, 2)) / coloured.sum((1, 2))


@MEASURES.register_module(
    name='rhoTexture',
    title='correlation of the gradients',
    unit='',
    range=(-1, 1),
    higher_is_better=True,
    needs='sources',
    source='this project',
    decimals=2,
    note='option owner: the modality that owns the texture',
)
def texture_correlation(fused: Tensor, sources: dict[str, Tensor], *, owner: str = '') -> Tensor:
    """Pearson's correlation of the Sobel magnitudes of luma, of F and of the owner of the texture, [-1, 1], 1 is best.

    Args:
        fused: (B,3,H,W) in [0,1], as are the sources.
        owner: Modality that owns the texture.
    """
    pictures = (fused, _of(sources, owner, 'rhoTexture'))
    edges = torch.stack([gradient_magnitude(luma(_rgb(x))).flatten(1) for x in pictures], 1)
    return torch.stack([torch.corrcoef(pair)[0, 1] for pair in edges]).nan_to_num(0.0).clamp(-1, 1)


def _of(sources: dict[str, Tensor], owner: str, metric: str) -> Tensor:
    if owner not in sources:
        raise ValueError(
            f'the option owner of {metric} names one of the sources {", ".join(map(str, sources))}; got {owner!r}'
        )
    return sources[owner]


def _rgb(image: Tensor) -> Tensor:
    return image.expand(-1, 3, -1, -1)
