"""Pictures for the curious: which picture the result follows where, and what a network's latents look like."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lurefusion.models.base import FusionModel
from lurefusion.ops.layout import image_to_tensor
from lurefusion.ops.windows import box_mean
from lurefusion.page.wording import title_of
from lurefusion.prompts import PSEUDO_TASK
from lurefusion.runtime.batches import pad, stack
from lurefusion.runtime.runner import Runner
from lurefusion.structures import FusionDataSample, Item

#: longest side of what is looked at
SIDE = 256
#: by how much brightness is moved, of [0, 1]
STEP = 0.05
# radius within which detail is looked for, and differences are averaged, pixels
_RADIUS = 4
# a difference that nobody sees
_UNSEEN = 1 / 255

Caption = tuple[np.ndarray, str]


def shrunk(item: Item, runner: Runner) -> list[Tensor]:
    """The pictures of an item, (1,3,h,w) in [0,1] each, with sides of at most `SIDE` that the network takes."""
    names = runner.modalities
    images = [stack(name, [image_to_tensor(item.pictures[name])], runner.device) for name in names]
    height, width = images[0].shape[-2:]
    factor = min(1.0, SIDE / max(height, width))
    size = [max(round(side * factor), 8) for side in (height, width)]
    return [pad(F.interpolate(image, size, mode='area'), runner.size_divisor) for image in images]


@torch.no_grad()
def shares(runner: Runner, images: Sequence[Tensor], text: Tensor | None) -> tuple[Tensor, Tensor]:
    """What share of the result is of the second picture, told from how the result changes when a picture does.

    The weights of a rule are those of one kind of network; this asks any of them, and is exact for the plain ones: 1/2
    everywhere for the mean of two pictures, 0 or 1 for their maximum.

    Args:
        runner: Of two modalities.
        images: Two (1,3,h,w) in [0,1].
        text: (2,D), or None for a network without text.

    Returns:
        Two (h,w) in [0,1]. Brightness: |df/db_2| over the sum of both, where b_m moves the picture m by a constant.
        Detail: the same of the change of f, within a few pixels, when the detail of a picture is blurred away.
    """

    def luma(pair: Sequence[Tensor]) -> Tensor:
        return runner.core(tuple(pair), text).float().clamp(0, 1).mean(1)[0]

    def share(changes: Sequence[Tensor]) -> Tensor:
        one, other = (change + _UNSEEN * STEP for change in changes)
        return other / (one + other)

    # no picture leaves [0, 1] when it is moved
    inner = [STEP + (1 - 2 * STEP) * image for image in images]
    moved, lost, as_it_is = [], [], luma(images)
    for number, image in enumerate(images):
        up, down = ([*inner] for _ in range(2))
        up[number], down[number] = inner[number] + STEP, inner[number] - STEP
        moved.append((luma(up) - luma(down)).abs() / (2 * STEP))
        flat = [*images]
        flat[number] = _mean(image)
        lost.append(_mean((luma(flat) - as_it_is).abs()[None, None])[0, 0])
    return share(moved), share(lost)


def _mean(x: Tensor) -> Tensor:
    return box_mean(x, _RADIUS)


def pictures_of_shares(runner: Runner, images: Sequence[Tensor], text: Tensor | None) -> list[Caption]:
    """:func:`shares` in colours, each with its caption."""
    one, other = (title_of(name).lower() for name in runner.modalities)
    captions = ('Whose brightness', 'Whose detail')
    return [
        (_coloured(share), f'{caption} (yellow: {other}, violet: {one})')
        for share, caption in zip(shares(runner, images, text), captions, strict=True)
    ]


def _coloured(share: Tensor) -> np.ndarray:
    levels = np.round(share.clamp(0, 1).cpu().numpy() * 255).astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[..., ::-1])


@torch.no_grad()
def pictures_of_latents(model: FusionModel, images: Sequence[Tensor], item: Item) -> list[Caption]:
    """The latents of both pictures at every scale, their three main axes as red, green and blue.

    The axes of a scale are those of both pictures together: what has one colour lies at one place of the space.

    Returns:
        Pictures (h,w,3) uint8 with captions; none for a network without latents.
    """
    latents = []
    for name, image in zip(model.modalities, images, strict=True):
        route = item.routes.get(name)
        said = dict(sentences={name: route.sentence}, task=route.task) if route else dict(task=PSEUDO_TASK)
        try:
            latents.append(model.latents(image, [FusionDataSample(metainfo=dict(modality=name, **said))]))
        except TypeError:
            return []
    pictures = []
    for number, scale in enumerate(zip(*latents, strict=True), start=1):
        for name, drawn in zip(model.modalities, main_axes([z[0].float().cpu().numpy() for z in scale]), strict=True):
            height, width = images[0].shape[-2:]
            large = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_NEAREST)
            pictures.append((large, f'{title_of(name)}, latents of scale {number}: {scale[0].shape[1]} channels'))
    return pictures


def main_axes(latents: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Latents (L,h,w) of one scale as pictures (h,w,3) uint8: the first three principal components of all together."""
    rows = np.concatenate([z.reshape(len(z), -1).T for z in latents]).astype(np.float64)
    rows -= rows.mean(axis=0)
    axes = np.linalg.eigh(rows.T @ rows)[1][:, ::-1][:, :3]
    # an axis has no sign of its own
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])
    values = rows @ axes
    low, high = np.percentile(values, (1, 99), axis=0)
    levels = np.clip((values - low) / np.maximum(high - low, 1e-12), 0, 1) * 255
    levels = np.pad(levels, ((0, 0), (0, 3 - levels.shape[1])))
    parts = np.split(np.round(levels).astype(np.uint8), np.cumsum([z[0].size for z in latents])[:-1])
    return [np.ascontiguousarray(part.reshape(*z.shape[1:], 3)) for part, z in zip(parts, latents, strict=True)]
