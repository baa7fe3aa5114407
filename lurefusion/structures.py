"""The one element that carries what belongs to a sample beside its pixels."""

from __future__ import annotations

from mmengine.structures import BaseDataElement


class FusionDataSample(BaseDataElement):
    """Names, sizes, prompts, references and predictions of one sample.

    Meta information (`sample.set_metainfo`, read as attributes; what a stage does not use may be absent):

    ==============  ====================================================================================
    `name`          file stem, unique in its data set
    `paths`         dict of modality (or ``x``, ``y``) -> source file
    `ori_shape`     (H, W) before padding
    `grey`          tuple of the modalities that were single-channel files
    `task`          restoration: key of the degradation, ``pd`` for none
    `modality`      restoration: name of the modality
    `tasks`         fusion: dict of modality -> task key
    `degradation`   parameters of a synthetic degradation
    `seed`          integer that seeds whatever is drawn for this sample (its prompt)
    ==============  ====================================================================================

    Data fields, float32 in [0, 1], at the original size: `pred` (3,H,W); `references` dict of modality (or ``y``) ->
    (3,H,W) clean image; `sources` dict of modality -> (3,H,W) image the network saw; `label` (H,W) uint8.
    """
