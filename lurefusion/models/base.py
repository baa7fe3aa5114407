"""FusionModel: what a model owes to everybody who runs it, declared so that nobody has to ask whether it is there."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.model import BaseModel
from torch import Tensor, nn

from lurefusion.choices import names_of
from lurefusion.prompts import TASKS, PromptBank
from lurefusion.runtime.passes import CoarsePass, RunOptions, predict_samples, routes_of, run_rows, sources_of
from lurefusion.structures import FusionDataSample


class FusionModel(BaseModel):
    """Base of all models that fuse; checked when they are registered.

    Beside this, MMEngine's contract: :meth:`forward`, which hands over to `loss`, `predict` and `reconstruct`; a model
    that trains has a `loss` of its own.

    Attributes:
        modalities: Names; the position is the modality index m.
        chroma: Modality that owns the colour; None where there is none.
        prompts: The sentences of its tasks; None for a model without text.
        frozen: Names of children that neither train nor leave eval mode, see :meth:`freeze`.
        running: How it wants to be run: in tiles, with a coarse pass.
        diagnose: Whether `loss` shall also report diagnostics, under keys without the word "loss"; ignored by models
            that have none.
    """

    modalities: tuple[str, ...]
    chroma: str | None = None
    prompts: PromptBank | None = None
    frozen: tuple[str, ...] = ()
    running: RunOptions = RunOptions()
    diagnose: bool = False

    @property
    @abstractmethod
    def size_divisor(self) -> int:
        """Height and width of what :meth:`core` takes are multiples of this: the last stride of the network."""

    @abstractmethod
    def core(self, images: tuple[Tensor, ...], text: Tensor | None = None) -> Tensor:
        """Pictures and text vectors in, picture out: no branch on data, so that it exports and compiles.

        A shortcut that gives the same numbers may look at data where `torch.compiler.is_compiling()` is False.

        Args:
            images: One (B,3,H,W) in [0,1] for each of `modalities`; H and W multiples of `size_divisor`.
            text: (M,D) of :meth:`encode_text`, a sentence for each modality; None for a model without text.

        Returns:
            (B,3,H,W), not clamped.
        """

    def restore(self, x: Tensor, text: Tensor, modality: int) -> Tensor:
        """One modality alone: x (B,3,H,W) in [0,1], text (D,), modality index m, to (B,3,H,W), not clamped.

        Raises:
            TypeError: For a model that only fuses.
        """
        raise TypeError(f'{type(self).__name__} only fuses')

    def encode_text(self, sentences: Sequence[str]) -> Tensor | None:
        """(N,D) of N sentences; None for a model without text."""
        return None

    def classify_text(self, sentences: Sequence[str]) -> np.ndarray:
        """(N,T): how likely each sentence is about each task of `prompts`.

        Raises:
            TypeError: For a model without text.
        """
        raise TypeError(f'{type(self).__name__} has no text encoder')

    def forward(
        self,
        inputs: dict[str, Tensor],
        data_samples: list[FusionDataSample] | None = None,
        mode: str = 'tensor',
    ) -> Any:
        """What MMEngine calls.

        Args:
            inputs: ``x`` (and ``y``) for restoration, one key per modality for fusion; each (B,3,H,W) in [0,1].
            data_samples: One per row.
            mode: ``tensor``: (B,3,H,W), not clamped; ``loss``: dict of losses; ``predict``: the samples, with `pred`.

        Raises:
            ValueError: On another mode, inputs that fit no stage, or ``loss`` of a model that does not train.
        """
        if data_samples is None:
            data_samples = [FusionDataSample() for _ in range(len(next(iter(inputs.values()))))]
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode == 'tensor':
            return self.reconstruct(inputs, data_samples)
        raise ValueError(f"mode must be 'tensor', 'loss' or 'predict'; got {mode!r}")

    def loss(self, inputs: dict[str, Tensor], data_samples: list[FusionDataSample]) -> dict[str, Tensor]:
        """Losses of a batch, under keys with the word "loss"; see :meth:`forward`.

        Raises:
            ValueError: For a model that has no weights to train.
        """
        raise ValueError(f'{type(self).__name__} has no weights to train: test it, with mode="predict"')

    def reconstruct(self, inputs: dict[str, Tensor], data_samples: list[FusionDataSample]) -> Tensor:
        """Restored (`x` in the inputs) or fused pictures, (B,3,H,W), not clamped; see :meth:`forward`."""
        images, single = sources_of(self, inputs)
        return run_rows(self, images, routes_of(self, data_samples, single), single)

    def predict(self, inputs: dict[str, Tensor], data_samples: list[FusionDataSample]) -> list[FusionDataSample]:
        """The samples with `pred` (3,H,W) in [0,1] at the original size, grey where the owner of the colour is grey."""
        return predict_samples(self, inputs, data_samples)

    def latents(self, x: Tensor, data_samples: list[FusionDataSample]) -> list[Tensor]:
        """Latents, fine to coarse, of single pictures x (B,3,H,W), for those who study the latent space.

        Raises:
            TypeError: For a model without latents.
        """
        raise TypeError(f'{type(self).__name__} has no latents that could be looked at')

    def coarse_pass(self, options: dict[str, Any] | None) -> CoarsePass | None:
        """The `coarse` of a config, ``dict(tasks=('hz', 'lc'), size=128)``, checked against `prompts`.

        A built-in task that the model does not have is passed over.

        Raises:
            ValueError: If a task is unknown.
        """
        if options is None:
            return None
        known = self.prompts.keys if self.prompts else ()
        if unknown := sorted({*options['tasks']} - {*known, *TASKS}):
            raise ValueError(f'model.coarse.tasks names {unknown}; tasks of model.prompts: {known}')
        return CoarsePass(tuple(sorted(options['tasks'])), options['size'])

    def freeze(self, names: Sequence[str]) -> None:
        """Let these children, or parts of them (``image_encoder.tone``), train no more; they stay in eval mode.

        Raises:
            ValueError: If a name is no part; the message lists those that there are.
        """
        parts = dict(self.named_modules())
        names = names_of('model.frozen', names)
        for name in names:
            if not name or name not in parts:
                raise ValueError(
                    f'model.frozen names {name!r}, which is no part of the model; parts: '
                    f'{", ".join(dict(self.named_children()))}, and what is in them'
                )
            parts[name].requires_grad_(False).eval()
        self.frozen = names

    def frozen_parts(self) -> dict[str, nn.Module]:
        """What :meth:`freeze` has frozen."""
        return {name: self.get_submodule(name) for name in self.frozen}

    def train(self, mode: bool = True) -> FusionModel:
        """As of any module, but frozen parts stay in eval mode."""
        super().train(mode)
        for part in self.frozen_parts().values():
            part.eval()
        return self
