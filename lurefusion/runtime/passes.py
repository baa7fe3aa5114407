"""What is done around a network: grouping by text, tiles, a coarse second pass, padding, grey; for every back-end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lurefusion.prompts import PSEUDO_TASK, PromptBank, Route
from lurefusion.runtime.batches import pad, unpad
from lurefusion.runtime.tiling import run_tiled
from lurefusion.structures import FusionDataSample

#: most pixels that are run at once where all of a layer is held, up to 2 kB a pixel: not on a CPU, see models.strips
WHOLE_PIXELS = 1_400_000
#: side of their tiles where there are more
LAYER_TILE = 1152
#: short side of the grid on which tiles are levelled
LEVELS = 32
# variance below which a window counts as flat: a standard deviation of 0.1
FLAT = 0.01
#: key of `inputs` under which a restoration sample has its picture
RESTORED = 'x'

Routes = Mapping[str, Route]


@dataclass(frozen=True)
class CoarsePass:
    """Asks for :func:`add_coarse_pass` where a task of these is named; `size`: short side of the small pictures."""

    # not a set: its text, which fingerprints are made of, has another order in every process
    tasks: tuple[str, ...]
    size: int


@dataclass(frozen=True)
class RunOptions:
    """How a network wants to be run.

    Attributes:
        max_pixels: Larger pictures are run in tiles; None: never.
        tile: Side of those tiles.
        overlap: Pixels that neighbouring tiles share.
        coarse: A second pass for some tasks; None: no second pass.
        levelled: Whether pictures run in tiles are corrected by :func:`level_tiles`: for networks that look at means
            over all pixels, which differ from tile to tile.
    """

    max_pixels: int | None = None
    tile: int = 640
    overlap: int = 64
    coarse: CoarsePass | None = None
    levelled: bool = False

    def in_tiles(self, side: int) -> RunOptions:
        """Everything of more pixels than a square of `side` has in tiles of that side.

        Raises:
            ValueError: If that is below 64.
        """
        if side < 64:
            raise ValueError(f'tile must be at least 64 pixels, got {side}')
        return replace(self, max_pixels=side * side, tile=side, overlap=min(self.overlap, side // 4))

    def in_layers(self) -> RunOptions:
        """For a back-end that holds all of a layer at once, several times the memory of parts: smaller tiles."""
        if (self.max_pixels or 0) <= WHOLE_PIXELS:
            return self
        return replace(self, max_pixels=WHOLE_PIXELS, tile=min(self.tile, LAYER_TILE))


class Network(Protocol):
    """What is run: a `FusionModel`, or a runner, which has the same."""

    modalities: tuple[str, ...]
    chroma: str | None
    prompts: PromptBank | None
    running: RunOptions

    @property
    def size_divisor(self) -> int:
        """Sides of what is run are multiples of this."""

    def encode_text(self, sentences: Sequence[str]) -> Tensor | None:
        """(N,D)."""

    def classify_text(self, sentences: Sequence[str]) -> np.ndarray:
        """(N,T)."""

    def core(self, images: tuple[Tensor, ...], text: Tensor | None = None) -> Tensor:
        """M pictures (B,3,H,W) and their text (M,D) to (B,3,H,W)."""

    def restore(self, x: Tensor, text: Tensor, modality: int) -> Tensor:
        """Pictures of one modality (B,3,H,W) and their text (D,) to (B,3,H,W)."""


def run_rows(network: Network, images: Sequence[Tensor], routes: Sequence[Routes], single: bool = False) -> Tensor:
    """Fuse or restore a batch; rows of one text go together.

    Args:
        network: See :class:`Network`.
        images: One (B,3,H,W) in [0,1] for each modality, or a single one; H and W multiples of its `size_divisor`.
        routes: What every row is asked for, in the order of the modalities; empty for a model without text.
        single: Restore: the routes of a row name the one modality of its picture.

    Returns:
        (B,3,H,W), not clamped.
    """
    groups: dict[Any, list[int]] = {}
    for row, said in enumerate(routes):
        groups.setdefault(tuple((name, route.task, route.sentence) for name, route in said.items()), []).append(row)
    if len(groups) == 1:
        return _run_group(network, images, routes[0], single)
    parts = []
    for rows in groups.values():
        own = [x[rows].contiguous(memory_format=torch.channels_last) for x in images]
        parts.append(_run_group(network, own, routes[rows[0]], single))
    order = np.argsort([row for rows in groups.values() for row in rows])
    return torch.cat(parts)[torch.from_numpy(order)]


def _run_group(network: Network, images: Sequence[Tensor], said: Routes, single: bool) -> Tensor:
    # one by one: what a sentence becomes does not depend on the other
    text = torch.cat([network.encode_text([route.sentence]) for route in said.values()]) if said else None
    if single:
        [name] = said
        number = network.modalities.index(name)
        run: Callable[..., Tensor] = lambda x: network.restore(x, text[0], number)  # noqa: E731
    else:
        run = lambda *pictures: network.core(pictures, text)  # noqa: E731
    options = network.running
    height, width = images[0].shape[-2:]
    if options.max_pixels is None or height * width <= options.max_pixels:
        out = run(*images)
    else:
        out = run_tiled(run, images, options.tile, options.overlap, network.size_divisor)
        if options.levelled:
            out = level_tiles(run, images, out, options.max_pixels, network.size_divisor)
    if options.coarse is None or not any(route.task in options.coarse.tasks for route in said.values()):
        return out
    return add_coarse_pass(run, images, out, options.coarse.size, network.size_divisor)


def add_coarse_pass(
    run: Callable[..., Tensor], images: Sequence[Tensor], out: Tensor, size: int, stride: int
) -> Tensor:
    """Correct pictures by a second pass over the shrunk ones.

    A network that was trained on crops of shrunk frames has learned what haze or flat contrast look like over a whole
    scene, and of a large picture sees a part at a time.

    Args:
        run: As for :func:`lurefusion.runtime.tiling.run_tiled`, of the whole batch.
        images: Tensors of one size (N,C,H,W).
        out: What `run` made of them, (N,3,H,W).
        size: Short side of the shrunk pictures, that of the training crops. Pictures whose short side is below 1.5
            times this are left alone.
        stride: The shrunk sides are multiples of this.

    Returns:
        (N,3,H,W).
    """
    height, width = out.shape[-2:]
    factor = min(height, width) / size
    if factor < 1.5:
        return out
    small = [max(round(side / factor / stride), 1) * stride for side in (height, width)]
    return _fitted(out, run(*(F.interpolate(image, small, mode='area') for image in images)))


def level_tiles(run: Callable[..., Tensor], images: Sequence[Tensor], out: Tensor, pixels: int, stride: int) -> Tensor:
    """Bring what tiles became to the brightness and contrast that the network gives to the picture as a whole.

    The whole is run once more, shrunk to at most `pixels`; on a grid of `LEVELS` points, `out` is fitted to it.

    Args:
        run: As for :func:`lurefusion.runtime.tiling.run_tiled`, of the whole batch.
        images: Tensors of one size (N,C,H,W).
        out: What the tiles became, (N,3,H,W).
        pixels: That can be run at once, a square of at least one stride.
        stride: The shrunk sides are multiples of this.

    Returns:
        (N,3,H,W).
    """
    small = sides = tuple(images[0].shape[-2:])
    factor = (sides[0] * sides[1] / pixels) ** 0.5
    # padded, a side takes at least one stride
    while math.prod(-(-side // stride) * stride for side in small) > pixels:
        small = tuple(max(int(side / factor), 1) for side in sides)
        factor *= 1.02
    shrunk = [pad(F.interpolate(image, small, mode='area'), stride) for image in images]
    grid = [max(round(side * min(LEVELS / min(small), 1)), 1) for side in small]
    return _fitted(out, F.interpolate(unpad(run(*shrunk), small), grid, mode='area'))


def _fitted(out: Tensor, target: Tensor) -> Tensor:
    """Pictures (N,3,H,W) with the level and contrast of the small `target` (N,3,h,w).

    In every 3x3 window of the small grid, the line a v + b that maps the shrunk `out` to the target is fitted, towards
    slope 1 where the window is flat; a and b, not pictures, are enlarged, so that edges get no halo (fast guided
    filter, He and Sun 2015).
    """
    target = target.to(out.dtype)
    guide = F.interpolate(out, target.shape[-2:], mode='area')

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(values, (1, 1, 1, 1), mode='replicate'), 3, stride=1)

    guide_mean, target_mean = mean(guide), mean(target)
    variance = mean(guide.square()) - guide_mean.square()
    slope = (mean(guide * target) - guide_mean * target_mean + FLAT) / (variance + FLAT)
    offset = target_mean - slope * guide_mean
    slope, offset = (F.interpolate(mean(values), out.shape[-2:], mode='bilinear') for values in (slope, offset))
    return slope * out + offset


def finished_rows(
    network: Network,
    images: Sequence[Tensor],
    size: tuple[int, int],
    routes: Sequence[Routes],
    grey: Sequence[bool],
    single: bool = False,
) -> Tensor:
    """Pictures in, pictures out: what MMEngine's loops and every runner share.

    Args:
        network: See :class:`Network`.
        images: As for :func:`run_rows`, of any size; a padding beyond `size` is taken off first.
        size: (height, width) of the pictures.
        routes: As for :func:`run_rows`.
        grey: Which rows are to have no colour.
        single: As for :func:`run_rows`.

    Returns:
        (B,3,height,width) float32 in [0,1].
    """
    images = [pad(unpad(x, size), network.size_divisor) for x in images]
    out = unpad(run_rows(network, images, routes, single), size).float().clamp(0, 1)
    if not any(grey):
        return out
    return torch.stack([x.mean(0, keepdim=True).expand(3, -1, -1) if g else x for x, g in zip(out, grey, strict=True)])


def sources_of(network: Network, inputs: Mapping[str, Tensor]) -> tuple[list[Tensor], bool]:
    """The pictures of a batch in the order of the modalities, and whether it is one to restore (its key is ``x``).

    Raises:
        ValueError: If a modality is missing.
    """
    if RESTORED in inputs:
        return [inputs[RESTORED]], True
    missing = [name for name in network.modalities if name not in inputs]
    if missing:
        raise ValueError(
            f'inputs lack the modality {", ".join(missing)}: the model takes {", ".join(network.modalities)}, they '
            f'hold {", ".join(inputs)}'
        )
    return [inputs[name] for name in network.modalities], False


def routes_of(network: Network, samples: Sequence[FusionDataSample], single: bool = False) -> list[dict[str, Route]]:
    """What each sample asks for, modality by modality: its sentence, else the canonical one of its task, else "keep".

    A sentence without a task is classified, here and nowhere else.

    Raises:
        ValueError: If a sample to restore is of none of the modalities.
        KeyError: If a task is unknown.
    """
    if network.prompts is None:
        return [{} for _ in samples]
    routes = []
    for sample in samples:
        names = (sample.get('modality'),) if single else network.modalities
        if unknown := [name for name in names if name not in network.modalities]:
            raise ValueError(f'a sample is of modality {unknown[0]!r}; model.modalities={network.modalities}')
        routes.append({name: _route(network, sample, name) for name in names})
    return routes


def _route(network: Network, sample: FusionDataSample, name: str) -> Route:
    sentence = sample.get('sentences', {}).get(name)
    task = sample.get('tasks', {}).get(name) or sample.get('task')
    if sentence is None:
        task = task or PSEUDO_TASK
        return Route(task, network.prompts.canonical(task), 'key')
    if task is None:
        task = network.prompts.keys[int(network.classify_text([sentence])[0].argmax())]
        return Route(task, sentence, 'classifier')
    return Route(task, sentence, 'key')


def predict_samples(
    network: Network, inputs: Mapping[str, Tensor], samples: list[FusionDataSample]
) -> list[FusionDataSample]:
    """A batch of MMEngine's loops: the samples get `pred` (3,H,W) in [0,1] at their original size."""
    images, single = sources_of(network, inputs)
    size = samples[0].get('ori_shape', tuple(images[0].shape[-2:]))
    owner = RESTORED if single else network.chroma
    grey = [owner is not None and owner in sample.get('grey', ()) for sample in samples]
    out = finished_rows(network, images, size, routes_of(network, samples, single), grey, single)
    for pred, sample in zip(out, samples, strict=True):
        sample.set_data(dict(pred=pred))
    return samples
