"""The small typed records that travel: samples of data sets, and what goes into a runner and comes out of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from mmengine.structures import BaseDataElement

from lurefusion.io.images import write_image
from lurefusion.io.ranges import to_uint8

if TYPE_CHECKING:
    from lurefusion.prompts import Route
    from lurefusion.runtime.alignment import Alignment

#: what the fusion stage offers to losses; all other quantities are the restoration stage's
FUSION_QUANTITIES = ('fused', 'sources', 'fused_latents')


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
    `sentences`     dict of modality -> what is said instead of the canonical sentence of its task
    `degradation`   parameters of a synthetic degradation
    `seed`          integer that seeds whatever is drawn for this sample (its prompt)
    ==============  ====================================================================================

    Data fields, float32 in [0, 1], at the original size: `pred` (3,H,W); `references` dict of modality (or ``y``) ->
    (3,H,W) clean image; `sources` dict of modality -> (3,H,W) image the network saw; `label` (H,W) uint8.
    """


@dataclass(frozen=True)
class Item:
    """What is fused, or restored if it is a picture of one modality: one scene.

    Attributes:
        name: Of the scene.
        pictures: Modality -> (H,W,3) RGB, uint8 or float32 in [0, 1].
        grey: The modalities whose pictures have no colour.
        routes: Modality -> task key and sentence; those that are left out are asked to be kept as they are.
        notes: What looks wrong in the pictures.
        paths: Modality -> file, where it came from one.
        seconds: What it has cost so far, e.g. ``read``.
        alignment: By which one of the pictures was brought onto the other; None if it was not.
        seen: With `alignment`, (H,W) bool: where the picture that was moved shows something.
        alpha: (H,W) float32 in [0, 1] that the result is to have; None: none.
    """

    name: str
    pictures: Mapping[str, np.ndarray]
    grey: tuple[str, ...] = ()
    routes: Mapping[str, Route] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    paths: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    alignment: Alignment | None = None
    seen: np.ndarray | None = None
    alpha: np.ndarray | None = None


@dataclass(frozen=True)
class Prediction:
    """What became of an item.

    Attributes:
        name: Of the item.
        picture: (H,W,3) float32 in [0, 1].
        grey: Whether it has no colour: its channels are equal.
        routes: Modality -> task and sentence as they were understood; empty for models without text.
        notes: What looks wrong in the pictures that went in.
        seconds: Wall-clock time by part: ``read``, and ``run``, of a batch its share.
        alignment: By which one of the pictures was brought onto the other; None if it was not.
        seen: Share of the pixels that both cameras saw; the others show the fixed picture alone.
        alpha: (H,W) float32 in [0, 1], goes into files; None: none.
    """

    name: str
    picture: np.ndarray
    grey: bool = False
    routes: Mapping[str, Route] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    alignment: Alignment | None = None
    seen: float = 1.0
    alpha: np.ndarray | None = None

    @property
    def tasks(self) -> dict[str, str]:
        """Modality -> task key."""
        return {name: route.task for name, route in self.routes.items()}

    def to_uint8(self) -> np.ndarray:
        """(H,W,3), or (H,W) if grey.

        Raises:
            ValueError: On pixels that are not finite.
        """
        picture = to_uint8(self.picture)
        return np.ascontiguousarray(picture[..., 0]) if self.grey else picture

    def save(self, path: str | os.PathLike, bit_depth: int = 8) -> None:
        """Write a file, see :func:`lurefusion.io.images.write_image`; a grey picture in one channel."""
        if self.alpha is not None:
            write_image(path, np.dstack([self.picture, self.alpha]), bit_depth)
        else:
            write_image(path, self.picture[..., 0] if self.grey else self.picture, bit_depth)


@dataclass(frozen=True)
class Failure:
    """Takes the place of a prediction in a stream: the error of one item, which stops no other."""

    name: str
    error: Exception
    notes: tuple[str, ...] = ()
