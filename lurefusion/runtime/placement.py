"""Pairs of unequal size or position: one picture is brought onto the pixels of the other before they are fused."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lurefusion.choices import one_of
from lurefusion.runtime.alignment import KINDS, Alignment, corner_distance, resize_pair

# share of the fixed picture that the other camera has to see, or it is said
SEEN = 0.95


@dataclass(frozen=True)
class Placed:
    """A pair on one grid of pixels.

    Attributes:
        pictures: Modality -> picture, all of one size.
        alignment: By which the moving one was warped; None if it was only resized.
        seen: (H, W) bool, where the warped picture shows something; None with `alignment`.
        notes: What has to be said.
    """

    pictures: dict[str, np.ndarray]
    alignment: Alignment | None = None
    seen: np.ndarray | None = None
    notes: tuple[str, ...] = ()


class Placement:
    """How the pictures of two modalities get onto one grid.

    Args:
        modalities: The two names.
        resize: The modality whose pixels both get (the fixed one); None: what `transform` says, else `owner`.
        register: Kind of transform to find: ``translation``, ``affine`` or ``homography``; None: none is looked for,
            and without `transform` the pictures are resized only.
        transform: File of an :class:`Alignment`. With `register` and if it is not there, it is written from the first
            pair that can be aligned, and holds for the others; in all other cases it is used as it is.
        owner: The modality that owns the colour.

    Attributes:
        fixed, moving: Names of the modalities.
        kind: See `register`.
        path: See `transform`.
        alignment: The one for all pairs; None: each has its own, or the first has not come yet.

    Raises:
        ValueError: If there are not two modalities, an option is unknown, or the file says something else.
        FileNotFoundError: If there is no `transform`, and no `register` to find it by.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        resize: str | None = None,
        register: str | None = None,
        transform: str | os.PathLike | None = None,
        owner: str | None = None,
    ) -> None:
        if len(modalities) != 2:
            raise ValueError(
                f'resize, register and transform are for pairs; the model takes {", ".join(modalities)}: bring the '
                f'pictures to one size and place before'
            )
        one_of('resize', resize, modalities, optional=True)
        self.kind = one_of('register', register, KINDS, optional=True)
        self.path = None if transform is None else Path(transform)
        self.alignment: Alignment | None = None
        if self.path is not None and (register is None or self.path.exists()):
            self.alignment = Alignment.load(self.path)
            self._check(self.alignment, modalities, resize)
        self.fixed: str = resize or (self.alignment and self.alignment.fixed) or owner or modalities[0]
        [self.moving] = [name for name in modalities if name != self.fixed]

    def _check(self, found: Alignment, modalities: Sequence[str], resize: str | None) -> None:
        if found.fixed is not None and found.fixed not in modalities:
            raise ValueError(f'{self.path} is of the modality {found.fixed!r}; the model takes {", ".join(modalities)}')
        if resize is not None and found.fixed not in (None, resize):
            raise ValueError(
                f'{self.path} brings the other picture onto {found.fixed}: resize={found.fixed} (--resize '
                f'{found.fixed}), or another file'
            )
        if self.kind not in (None, found.kind):
            raise ValueError(
                f'{self.path} holds a transform of the kind {found.kind}: register={found.kind} (--register '
                f'{found.kind}), or another file for the kind {self.kind}'
            )

    @property
    def warps(self) -> bool:
        """Whether one picture may show less than the other, since it is warped."""
        return self.kind is not None or self.path is not None

    def settings(self) -> dict[str, Any]:
        """What pictures depend on, for the records of a folder."""
        known = self.alignment
        matrix = None if known is None else [known.transform.tolist(), known.fixed_size, known.moving_size]
        return dict(fixed=self.fixed, register=self.kind, transform=matrix)

    def __call__(self, pictures: Mapping[str, np.ndarray]) -> Placed:
        """Bring a pair onto one grid.

        Args:
            pictures: Modality -> (H, W, 3), uint8 or float in [0, 1].

        Raises:
            NotAligned: If no transform can be relied upon; a ValueError.
            ValueError: If the aspect ratios differ where the pictures are only resized, or do not fit the transform.
        """
        if not self.warps:
            return Placed(resize_pair(pictures, self.fixed))
        fixed, moving = pictures[self.fixed], pictures[self.moving]
        alignment = self.alignment
        if alignment is None:
            alignment = self.find(pictures)
            if self.path is not None:
                self.keep(alignment)
        alignment = alignment.scaled(fixed.shape[1::-1], moving.shape[1::-1])
        warped, seen = alignment.apply(moving)
        notes = ()
        if (share := float(seen.mean())) < SEEN:
            notes = (
                f'{self.moving} shows {share:.0%} of what {self.fixed} shows; the rest of the result is '
                f'{self.fixed} alone',
            )
        placed = {self.fixed: fixed, self.moving: warped}
        return Placed({name: placed[name] for name in pictures}, replace(alignment, fixed=self.fixed), seen, notes)

    def find(self, pictures: Mapping[str, np.ndarray]) -> Alignment:
        """The alignment of one pair; errors as of :func:`lurefusion.runtime.register.estimate`."""
        from lurefusion.runtime.register import SMALLEST, estimate

        for name, picture in pictures.items():
            height, width = picture.shape[:2]
            if min(height, width) < SMALLEST:
                raise ValueError(
                    f'{name} has {width}x{height} pixels, too few to be aligned (at least {SMALLEST}x{SMALLEST}); if '
                    f'the pictures are aligned already, leave register (--register) out'
                )
        return replace(estimate(pictures[self.fixed], pictures[self.moving], self.kind or 'affine'), fixed=self.fixed)

    def keep(self, alignment: Alignment) -> None:
        """Use an alignment for all pairs, and write it where that was asked for."""
        self.alignment = alignment
        if self.path is not None:
            alignment.save(self.path)

    def settled(self, pairs: Iterable[Mapping[str, np.ndarray]], most: int = 1) -> Placement:
        """One that has one alignment for all pairs; itself, where that stands in a file.

        Args:
            pairs: Pictures to find it by.
            most: How many that can be aligned are looked at; the alignment nearest to the others is taken, of equals
                the one with the least residual.

        Raises:
            NotAligned: If none can be aligned.
        """
        from lurefusion.runtime.register import NotAligned

        if self.alignment is not None or self.kind is None:
            return self
        found: list[Alignment] = []
        tried, why = 0, 'there is no pair'
        for pictures in pairs:
            tried += 1
            try:
                found.append(self.find(pictures))
            except ValueError as error:
                why = str(error)
            if len(found) == most:
                break
        if not found:
            raise NotAligned(f'none of {tried} pairs could be aligned; the last: {why}')

        def distance(one: Alignment) -> tuple[float, float]:
            apart = sum(corner_distance(one.transform, other.transform, one.fixed_size) for other in found)
            return round(apart, 6), one.residual

        # pictures of another size have no corners in common
        found = [each for each in found if each.fixed_size == found[0].fixed_size]
        # what stands in a file is for good
        settled = copy.copy(self) if self.path is None else self
        settled.keep(min(found, key=distance))
        return settled
