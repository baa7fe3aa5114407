"""Learning from a network that is trained already (knowledge distillation)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lurefusion.models.base import FusionModel
from lurefusion.models.losses.base import Loss
from lurefusion.models.losses.fusion import Sources, checked_sources
from lurefusion.ops.gradients import gradient_magnitude
from lurefusion.prompts import PSEUDO_TASK
from lurefusion.registry import LOSSES, MODELS
from lurefusion.weights import described_model, find_weights, load_weights, read_weights


@LOSSES.register_module()
class TeacherLoss(Loss):
    """mean|O - T| + α mean||∇O| - |∇T||: T is what a trained network fuses of the *clean* pictures, undegraded.

    So a small network learns at once what a large one makes of the pair and to make it of spoilt pictures (Hinton et
    al., Distilling the knowledge in a neural network, 2015). The teacher is read at the first call; it does not train,
    and is no part of checkpoints.

    Args:
        teacher: Weights that say of which model they are: a shipped name such as ``lure-tiny``, or a file.
        alpha: α; Sobel gradients per RGB channel, see `TaskLoss`.

    Raises:
        FileNotFoundError: If there are no such weights.
    """

    needs = ('fused', 'sources')

    def __init__(self, teacher: str, alpha: float = 0.1, **schedule: Any) -> None:
        super().__init__(**schedule)
        self.path = find_weights(teacher)
        self.alpha = alpha
        # in a list: a module would be trained, saved and averaged along
        self._teacher: list[FusionModel] = []

    def teacher(self, device: torch.device) -> FusionModel:
        """The frozen network, on a device."""
        if not self._teacher:
            network = MODELS.build(described_model(self.path, read_weights(self.path)[1]))
            load_weights(network, self.path)
            self._teacher.append(network.eval().requires_grad_(False))
        return self._teacher[0].to(device)

    def forward(self, fused: Tensor, sources: Sources) -> Tensor:
        """fused (B,3,H,W) and the clean pictures of every modality by name, (B,3,H,W) each.

        Raises:
            KeyError: If the teacher fuses other modalities.
        """
        checked_sources(fused, sources)
        teacher = self.teacher(fused.device)
        if missing := [name for name in teacher.modalities if name not in sources]:
            raise KeyError(f'the teacher {self.path.name} fuses {", ".join(missing)}; there are {", ".join(sources)}')
        said = [] if teacher.prompts is None else [teacher.prompts.canonical(PSEUDO_TASK)] * len(teacher.modalities)
        with torch.no_grad():
            text = teacher.encode_text(said) if said else None
            target = teacher.core(tuple(sources[name] for name in teacher.modalities), text).float().clamp(0, 1)
        edges = F.l1_loss(gradient_magnitude(fused), gradient_magnitude(target))
        return F.l1_loss(fused, target) + self.alpha * edges
