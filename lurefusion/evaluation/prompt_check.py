"""Whether a network reads its prompt: a layer that is dead under some texts makes the same of all of them, unseen."""

from __future__ import annotations

from itertools import combinations

import torch

from lurefusion.datasets.scenes import render_scene
from lurefusion.models.base import FusionModel
from lurefusion.ops.layout import image_to_tensor, to_unit
from lurefusion.runtime.batches import pad

#: pictures that differ by less than this, in units of [0, 1], are one
ALIKE = 1e-4


@torch.no_grad()
def tasks_alike(network: FusionModel, seed: int = 2010) -> dict[str, list[tuple[str, str]]]:
    """Pairs of tasks for which a network restores a rendered picture of a modality to the same picture.

    Args:
        network: In eval mode, as it was trained; without text, or if it only fuses, nothing is found.
        seed: Of the scene, 96x128 pixels.

    Returns:
        Modality -> pairs of keys, of modalities where there are any.
    """
    if network.prompts is None or type(network).restore is FusionModel.restore:
        return {}
    scene, bank, found = render_scene(seed, (96, 128), 'day'), network.prompts, {}
    device = next(network.parameters()).device
    for number, modality in enumerate(network.modalities):
        picture = scene.visible if modality == network.chroma else scene.infrared
        picture = picture if picture.ndim == 3 else picture[:, :, None].repeat(3, axis=2)
        x = pad(to_unit(image_to_tensor(picture))[None].to(device), network.size_divisor)
        keys = [key for key in bank.keys if bank.task(key).modality in (None, modality)]
        texts = {key: network.encode_text([bank.canonical(key)])[0] for key in keys}
        restored = {key: network.restore(x, text, number) for key, text in texts.items()}
        # what is no number is not told apart either
        same = [(a, b) for a, b in combinations(keys, 2) if not (restored[a] - restored[b]).abs().max() >= ALIKE]
        found |= {modality: same} if same else {}
    return found
