"""LURE: encode every modality into one latent space, fuse there, decode. Read this file first.

Shapes: B batch, M modalities, T tasks, D width of the text vector; images (B,3,H,W) in [0,1]; a latent Z is a list
over scales, fine to coarse, of (B,L_i,H/s_i,W/s_i).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lurefusion.choices import one_of
from lurefusion.models import strips
from lurefusion.models.base import FusionModel
from lurefusion.models.losses import LossSet, latent_diagnostics
from lurefusion.models.text_encoders import TextEncoder
from lurefusion.prompts import PromptBank
from lurefusion.registry import DECODERS, FUSERS, IMAGE_ENCODERS, MODELS
from lurefusion.runtime.passes import RunOptions, routes_of
from lurefusion.structures import FusionDataSample

STAGES = ('restoration', 'fusion', 'joint')
PSEUDO_TASK = 'pd'


@MODELS.register_module()
class LURE(FusionModel):
    """The whole method (LURE, Sec. 3).

    * Stage ``restoration`` (Eq. 4): (x, y, modality, task) tuples. x is encoded with its task's text c_t, y with the
      pseudo text c_pd; both latents are decoded, and the unified loss draws them together.
    * Stage ``fusion`` (Eq. 7): one image per modality, all encoded with c_pd; encoders are frozen, fuser and decoder
      learn.
    * Stage ``joint`` (Table 6, "Single Stage"): both at once on a batch of each, L1 + L2.

    Args:
        stage: ``restoration`` builds no fuser, ``fusion`` and ``joint`` do.
        modalities: Names; the position is the modality index m.
        prompts: Keywords of :class:`PromptBank` (tasks, modality words).
        text_encoder: Keywords of :class:`TextEncoder` (backbone, out_dim).
        image_encoder: Member of IMAGE_ENCODERS.
        decoder: Member of DECODERS.
        fuser: Member of FUSERS; ignored in the restoration stage.
        losses: Name -> member of LOSSES; the name appears in the log as ``loss_<name>``.
        frozen: Names of children that neither train nor leave eval mode, e.g. ``('text_encoder', 'image_encoder')``.
        chroma: Modality that owns the colour: where its file is grey, so is the output.
        max_pixels: Larger pictures are predicted in tiles.
        tile: Side of those tiles.
        overlap: Pixels that neighbouring tiles share.
        coarse: ``dict(tasks=('hz', 'lc'), size=128)``: where one of these tasks is named, the prediction is corrected
            by a second pass over pictures whose short side is shrunk to `size` (`runtime.passes.add_coarse_pass`). A
            built-in task that the model does not have is passed over. None (paper): no second pass.
        data_preprocessor: Of MMEngine's BaseModel.
        init_cfg: Of MMEngine's BaseModel.

    Raises:
        ValueError: If parts do not fit each other (both config keys are named) or an option is unknown.
    """

    def __init__(
        self,
        stage: str,
        modalities: Sequence[str],
        text_encoder: dict[str, Any],
        image_encoder: dict[str, Any],
        decoder: dict[str, Any],
        fuser: dict[str, Any] | None = None,
        prompts: dict[str, Any] | None = None,
        losses: dict[str, Any] | None = None,
        frozen: Sequence[str] = (),
        chroma: str | None = None,
        max_pixels: int = 1_100_000,
        tile: int = 640,
        overlap: int = 64,
        coarse: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor or dict(type='FusionDataPreprocessor')), init_cfg)
        if chroma is not None and chroma not in modalities:
            raise ValueError(f'model.chroma={chroma!r} is not one of model.modalities={tuple(modalities)}')
        self.stage = one_of('model.stage', stage, STAGES)
        self.modalities = tuple(modalities)
        self.chroma = chroma
        self.prompts = PromptBank(**{'modalities': self.modalities, **(prompts or {})})
        self.text_encoder = TextEncoder(**text_encoder, num_classes=len(self.prompts))
        self.image_encoder = IMAGE_ENCODERS.build(
            image_encoder, text_dim=self.text_encoder.dim, num_modalities=len(self.modalities)
        )
        channels, strides = self.image_encoder.out_channels, self.image_encoder.strides
        self.decoder = DECODERS.build(decoder, channels=channels, strides=strides)
        self.fuser = None
        if stage != 'restoration':
            self.fuser = FUSERS.build(fuser or {}, channels=channels, num_modalities=len(self.modalities))
        self._check_fit(tile)
        self.running = RunOptions(max_pixels, tile, overlap, self.coarse_pass(coarse), levelled=True)
        self.losses = LossSet(losses or {})
        for loss in self.losses.values():
            loss.fit(channels, len(self.modalities))
        self.freeze(frozen)

    def _check_fit(self, tile: int) -> None:
        channels = self.image_encoder.out_channels
        for name, part in (('decoder', self.decoder), ('fuser', self.fuser)):
            if part is not None and tuple(part.channels) != channels:
                raise ValueError(
                    f'model.{name}.channels={tuple(part.channels)} does not fit model.image_encoder '
                    f'({type(self.image_encoder).__name__}), whose latents have {channels} channels; leave it out of '
                    f'the config to take these over'
                )
        last = self.size_divisor
        divisor = self.data_preprocessor.take_divisor(last)
        if tile % last:
            raise ValueError(f'model.tile={tile} is no multiple of the last stride {last} of image_encoder')
        if divisor % last:
            raise ValueError(
                f'model.data_preprocessor.size_divisor={divisor} is no multiple of the last stride '
                f'{last} of model.image_encoder'
            )

    # ---------------------------------------------------------------- losses

    def loss(self, inputs: dict[str, Tensor], data_samples: list[FusionDataSample]) -> dict[str, Tensor]:
        """Weighted losses of the stage, keys ``loss_<name>``; diagnostics under keys without that word."""
        quantities: dict[str, Any] = {}
        if self.stage != 'fusion':
            quantities |= self._restoration_quantities(inputs, data_samples)
        if self.stage != 'restoration':
            quantities |= self._fusion_quantities(inputs)
        losses = self.losses(quantities)
        if self.diagnose and 'latents_pd' in quantities:
            losses.update(latent_diagnostics(quantities['latents'], quantities['latents_pd']))
        return losses

    def _restoration_quantities(
        self, inputs: dict[str, Tensor], data_samples: list[FusionDataSample]
    ) -> dict[str, Any]:
        """Eq. 4: one pass over [x; y] with [c_t; c_pd] and [m; m]."""
        x, y = self._images(inputs, ('x', 'y'))
        batch = len(x)
        # samples of a fusion batch may follow
        data_samples = data_samples[:batch]
        sentences = [self._training_sentence(sample) for sample in data_samples]
        # free sentences that ask for nothing are classified beside the one that is embedded: c_pd is a constant (Eq. 5)
        nothing = self.prompts.sentences(PSEUDO_TASK, 'train')
        sentences += [nothing[sample.seed % len(nothing)] for sample in data_samples]
        texts, logits = self.text_encoder([*sentences, self.prompts.canonical(PSEUDO_TASK)])
        c = torch.cat([texts[:batch], texts[-1:].expand(batch, -1)])
        m = self._modality_index(data_samples).to(x.device)
        tasks = [s.task for s in data_samples] + [PSEUDO_TASK] * (batch + 1)
        labels = torch.tensor([self.prompts.index(task) for task in tasks], device=x.device)
        z = self._latents(torch.cat([x, y]), c, torch.cat([m, m]))
        out = self._decoded(z, x)
        quantities = dict(
            pred=out[:batch], target=y, pred_pd=out[batch:], latents=[s[:batch] for s in z],
            latents_pd=[s[batch:] for s in z], logits=logits, labels=labels, num_pd=batch + 1, tasks=tasks, m=m,
            degraded=x,
        )  # fmt: skip
        extras = self.image_encoder.extras(x, texts)
        if taken := sorted(extras.keys() & quantities.keys()):
            raise ValueError(
                f'model.image_encoder ({type(self.image_encoder).__name__}).extras() returns {taken}, which the stage '
                f'itself offers; choose other names'
            )
        return quantities | extras

    def _fusion_quantities(self, inputs: dict[str, Tensor]) -> dict[str, Any]:
        """Eq. 7: clean pairs, c_pd for every modality."""
        images = self._images(inputs, self.modalities)
        c, _ = self.text_encoder([self.prompts.canonical(PSEUDO_TASK)])
        fused_latents = self.fuser(self.encode(images, [c.expand(len(images[0]), -1)] * len(images)))
        sources = dict(zip(self.modalities, images, strict=True))
        return dict(fused=self._decoded(fused_latents, images[0]), sources=sources, fused_latents=fused_latents)

    def _modality_index(self, data_samples: list[FusionDataSample]) -> Tensor:
        """(B,) int64."""
        names = [sample.get('modality') for sample in data_samples]
        for name in names:
            if name not in self.modalities:
                raise ValueError(f'a sample is of modality {name!r}; model.modalities={self.modalities}')
        return torch.tensor([self.modalities.index(name) for name in names])

    def _training_sentence(self, sample: FusionDataSample) -> str:
        return self.prompts.sample(sample.task, np.random.default_rng(sample.seed))

    def _images(self, inputs: dict[str, Tensor], roles: Sequence[str]) -> list[Tensor]:
        missing = [role for role in roles if role not in inputs]
        if missing:
            raise ValueError(
                f'the {self.stage} stage needs the inputs {tuple(roles)}, got {tuple(inputs)}; missing: {missing}'
            )
        return [inputs[role] for role in roles]

    # ------------------------------------------------------------ prediction

    def encode(self, images: Sequence[Tensor], c: Sequence[Tensor]) -> list[list[Tensor]]:
        """Latents of every modality: list over M of Z. `images` M x (B,3,H,W), `c` M x (B,D)."""
        batch = images[0].shape[0]
        if strips.in_parts(images[0]):
            # one after the other: the features of one are freed before those of the next are made
            numbers = [torch.full((batch,), i) for i in range(len(images))]
            return [self._latents(*one) for one in zip(images, c, numbers, strict=True)]
        # not repeat_interleave, which no graph with an open batch takes
        m = torch.arange(len(images), device=images[0].device)[:, None].expand(-1, batch).reshape(-1)
        with torch.set_grad_enabled(torch.is_grad_enabled() and 'image_encoder' not in self.frozen):
            z = self._latents(torch.cat(list(images)), torch.cat(list(c)), m)
        return [[s[i * batch : (i + 1) * batch] for s in z] for i in range(len(images))]

    def latents(self, x: Tensor, data_samples: list[FusionDataSample]) -> list[Tensor]:
        """Z of single pictures x (B,3,H,W), each under the sentence of its sample's task and modality."""
        said = [next(iter(routes.values())).sentence for routes in routes_of(self, data_samples, single=True)]
        return self._latents(x, self.encode_text(said), self._modality_index(data_samples).to(x.device))

    @property
    def size_divisor(self) -> int:
        """The last stride of the image encoder."""
        return max(self.image_encoder.strides)

    def encode_text(self, sentences: Sequence[str]) -> Tensor:
        """(N,D) of N sentences."""
        return self.text_encoder(sentences)[0]

    def classify_text(self, sentences: Sequence[str]) -> np.ndarray:
        """(N,T): how likely each sentence is about each task."""
        return self.text_encoder.classify(sentences)

    def core(self, images: tuple[Tensor, ...], text: Tensor | None = None) -> Tensor:
        """D(F(Z_1, ..., Z_M)) of M pictures (B,3,H,W) and their text vectors (M,D): (B,3,H,W), not clamped."""
        batch = images[0].shape[0]
        return self.fuse(images, [c.expand(batch, -1) for c in text[:, None]])

    def fuse(self, images: Sequence[Tensor], c: Sequence[Tensor]) -> Tensor:
        """D(F(Z_1, ..., Z_M)), (B,3,H,W) not clamped; arguments as :meth:`encode`."""
        if self.fuser is None:
            raise ValueError(
                "this model was built with stage='restoration' and cannot fuse; train a stage-2 config first"
            )
        return self._decoded(self.fuser(self.encode(images, c)), images[0])

    def restore(self, x: Tensor, text: Tensor, modality: int) -> Tensor:
        """D(E(x, c, m)), (B,3,H,W) not clamped: x (B,3,H,W), c (D,), m the index of the modality."""
        batch = x.shape[0]
        m = torch.full((batch,), modality, device=x.device)
        return self._decoded(self._latents(x, text.expand(batch, -1), m), x)

    def _decoded(self, z: list[Tensor], x: Tensor) -> Tensor:
        """What the decoder makes of Z, held against the pictures (B,3,H,W) that Z came from."""
        out = self.decoder(z)
        recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()
        if not recorded and out.shape[1:] != x.shape[1:]:
            raise ValueError(
                f'model.decoder ({type(self.decoder).__name__}) returned {tuple(out.shape)} for pictures '
                f'{tuple(x.shape)}; it must return (B,3,H,W) of the size of the pictures'
            )
        return out

    def _latents(self, x: Tensor, c: Tensor, m: Tensor) -> list[Tensor]:
        """What the image encoder returns, held against what it declares: plug-ins are written by others."""
        z = self.image_encoder(x, c, m)
        found, declared = tuple(s.shape[1] for s in z), self.image_encoder.out_channels
        if found != declared:
            raise ValueError(
                f'model.image_encoder ({type(self.image_encoder).__name__}) returned latents of {found} channels and '
                f'declares out_channels={declared}, which model.decoder.channels and model.fuser.channels take over'
            )
        return z
