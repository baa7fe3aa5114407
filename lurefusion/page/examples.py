"""Pairs to try the page on: rendered streets, or a folder of one's own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lurefusion.io.images import write_image
from lurefusion.io.pairing import pair_files
from lurefusion.io.ranges import to_unit_range

#: of the rendered pairs, and their height and width
MODALITIES = ('vi', 'ir')
SIZE = (300, 400)
# pixels by which the infrared picture of the last one is moved, down and to the right
MOVED = (9, 14)


@dataclass(frozen=True)
class Example:
    """A pair with what may be asked for.

    Attributes:
        title: What it shows.
        pictures: Modality -> file.
        prompt: A sentence that fits; empty: nothing is wrong.
        register: Kind of transform to look for; None: it is aligned.
    """

    title: str
    pictures: Mapping[str, Path]
    prompt: str = ''
    register: str | None = None


@dataclass(frozen=True)
class _Street:
    title: str
    seed: int
    prompt: str = ''
    faults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    scene: Mapping[str, Any] = field(default_factory=lambda: dict(time='day'))
    register: str | None = None


_STREETS = (
    _Street(
        'dark',
        5,
        'The visible image is too dark and the thermal one has low contrast.',
        dict(vi=dict(type='LowLight', gain=0.3, gamma=2.0), ir=dict(type='LowContrast')),
    ),
    _Street('by day', 4),
    _Street('haze', 11, 'The visible picture is hazy.', dict(vi=dict(type='Haze'))),
    _Street('over-exposed', 8, 'The visible picture is over-exposed.', dict(vi=dict(type='OverExposure', stops=1.6))),
    _Street('headlights', 3, scene=dict(difficulty='headlights')),
    _Street('moved', 9, register='translation'),
)


def rendered_examples(folder: str | os.PathLike) -> list[Example]:
    """Render streets into a folder; nothing is downloaded."""
    from lurefusion.datasets.scenes import render_scene
    from lurefusion.registry import DEGRADATIONS

    examples = []
    for number, street in enumerate(_STREETS):
        height, width = SIZE
        down, right = MOVED if street.register else (0, 0)
        scene = render_scene(street.seed, (height + down, width + right), **street.scene)
        pictures = {'vi': scene.visible[:height, :width], 'ir': scene.infrared[down:, right:]}
        for name, fault in street.faults.items():
            pictures[name], _ = DEGRADATIONS.build(dict(fault))(
                to_unit_range(pictures[name]), np.random.default_rng(number)
            )
        paths = {}
        for name, picture in pictures.items():
            paths[name] = Path(folder) / f'street{number + 1}_{name}.png'
            write_image(paths[name], picture)
        examples.append(Example(street.title, paths, street.prompt, street.register))
    return examples


def examples_in(folder: str | os.PathLike, modalities: Sequence[str], most: int = 12) -> list[Example]:
    """Pairs of a folder that has a folder for each modality, paired by their names; the first `most` of them.

    Raises:
        FileNotFoundError: If a folder is missing; says what is expected.
        ValueError: If there are no pairs.
    """
    folders = {name: Path(folder) / name for name in modalities}
    for name, inner in folders.items():
        if not inner.is_dir():
            wanted = ', '.join(f'{each}/' for each in modalities)
            raise FileNotFoundError(
                f'--examples {folder} has no folder {name}/; it needs {wanted} with pictures of one name'
            )
    pairs = list(pair_files(folders, allow_unpaired=True).pairs.items())
    return [Example(stem, {name: Path(path) for name, path in paths.items()}) for stem, paths in pairs[:most]]
