"""Pictures as users give them, to what is fused, with what looks wrong in them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any, TypeGuard

import numpy as np

from lurefusion.io.images import COLOURED, TINTED, as_rgb, colourfulness, read_image
from lurefusion.runtime.batches import MIN_SIDE
from lurefusion.runtime.runner import origin
from lurefusion.structures import Item

# a file, its bytes or an open one, NumPy array, torch tensor or PIL image; see lurefusion.io.images.as_rgb
Picture = Any


def read_picture(
    name: str, image: Picture, range_mode: str, colourless: bool, trust: bool, notes: list[str]
) -> tuple[np.ndarray, bool]:
    """Read the picture of a modality.

    Args:
        name: The modality.
        image: Its picture.
        range_mode: See :func:`lurefusion.io.ranges.to_unit_range`.
        colourless: Whether the modality has no colour of its own.
        trust: Take coloured pictures of such a modality.
        notes: What looks wrong is appended.

    Returns:
        (H,W,3) uint8 or float32 in [0,1], and whether it is grey.

    Raises:
        ValueError, TypeError, FileNotFoundError: If it is no picture, too small, or coloured and should not be.
    """
    path = image if isinstance(image, str | os.PathLike) else None
    where = f'{name}{origin(path)}'
    own: list[str] = []
    if path is not None:
        pixels, grey = read_image(path, range_mode, own)
    else:
        read = read_image if isinstance(image, bytes) else as_rgb
        try:
            pixels, grey = read(image, range_mode, own)
        except (ValueError, TypeError) as error:
            raise type(error)(f'{name}: {error}') from None
    height, width = pixels.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise ValueError(f'{where}: {width}x{height} pixels; at least {MIN_SIDE}x{MIN_SIDE} are needed')
    if colourless and not grey:
        spread, few = colourfulness(pixels)
        if spread >= COLOURED and few and not trust:
            raise ValueError(
                f'{where} is coloured ({spread:.0f} levels between its channels), and {name} pictures have no '
                f'colour: is it drawn in a palette, or are the pictures swapped? Its colours would count as '
                f'brightness; export it without palette (white hot). To fuse it all the same: trust_pictures=True '
                f'(--trust-pictures)'
            )
        if spread >= TINTED:
            own.append(f'it is coloured ({spread:.0f} levels between its channels), and {name} has no colour')
    notes += [f'{where}: {note}' for note in own]
    return pixels, grey


def check_twins(item: Item, notes: list[str]) -> None:
    """Refuse, or note for arrays, one picture given for two modalities; ValueError names both."""
    for name, other in combinations(item.pictures, 2):
        one, two = item.pictures[name], item.pictures[other]
        # an even picture says nothing, whoever took it
        if one.dtype != two.dtype or not np.array_equal(one, two) or (one == one[:1, :1]).all():
            continue
        places = {m: item.paths.get(m) for m in (name, other)}
        same = ' and '.join(f'{m}{origin(path)}' for m, path in places.items())
        same += ' are one picture, pixel by pixel'
        # arrays are often made up, to try things out
        if None not in places.values():
            raise ValueError(
                f'{same}; give each modality its own. To fuse them all the same: trust_pictures=True (--trust-pictures)'
            )
        notes.append(same)


def are_several(pictures: Any) -> TypeGuard[Iterable[Any]]:
    """Whether this is several pictures or prompts: a list, tuple or any iterator."""
    # an open file iterates over its lines
    return isinstance(pictures, list | tuple | Iterator) and not hasattr(pictures, 'read')
