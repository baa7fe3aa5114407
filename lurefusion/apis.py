"""FusionInferencer: pictures in, fused pictures out, for programs and for the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from mmengine.utils import ProgressBar

from lurefusion.datasets.prompts import PromptRouter, Route
from lurefusion.engine.checkpoint import described_model, find_weights, load_weights, read_weights, shipped_weights
from lurefusion.images import (
    RANGE_MODES,
    pair_by_stem,
    read_image,
    rgb_to_ycbcr,
    to_uint8,
    to_unit_range,
    write_image,
    ycbcr_to_rgb,
)
from lurefusion.registry import MODELS, did_you_mean
from lurefusion.structures import FusionDataSample

DEFAULT_MODEL = 'lure-tiny'
RANDOM = 'random'
Picture = np.ndarray | str | os.PathLike
Prompt = str | Mapping[str, str] | None


@dataclass
class FolderReport:
    """What became of a folder: names of fused pictures, and name -> error of those left out."""

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


class FusionInferencer:
    """Fuses single pictures, and folders paired by file stem.

    Args:
        model: Name of shipped weights; a file of published weights or a checkpoint, which says of which model it is; or
            a config (file or ``lurefusion::`` name; of a pipeline, its last stage). None: that of `weights` if these
            say so, else ``lure-tiny``.
        weights: Checkpoint, safetensors file or folder of a run; needed with a config that has parameters, and in place
            of the model's own otherwise.
            ``'random'`` runs an untrained network, to try things out.
        device: Default: CUDA where there is any.
        range_mode: How 16-bit and float pictures are brought to [0, 1]; see `lurefusion.images.to_unit_range`.
        use_user_text: Embed the user's own clause instead of the task's canonical sentence.
        keep_chroma: Take the colour from the picture of the modality that owns it; only for one that is not degraded.

    Raises:
        FileNotFoundError: If there is no such model, config or weights; says what there is.
        ValueError: If the weights do not fit, or an option is unknown.
    """

    def __init__(
        self,
        model: str | None = None,
        weights: str | None = None,
        device: str | None = None,
        range_mode: str = 'percentile',
        use_user_text: bool = False,
        keep_chroma: bool = False,
    ) -> None:
        if range_mode not in RANGE_MODES:
            raise ValueError(f'range_mode must be one of {", ".join(RANGE_MODES)}; got {range_mode!r}')
        self.range_mode = range_mode
        self.keep_chroma = keep_chroma
        self.device = torch.device(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
        self.model = _build(model, weights).to(self.device).eval()
        self.modalities: tuple[str, ...] = self.model.modalities
        self.router = None
        if hasattr(self.model, 'prompts'):
            self.router = PromptRouter(
                self.model.prompts, self.modalities, self.model.text_encoder.classify, use_user_text=use_user_text
            )

    def __call__(self, prompt: Prompt = None, **images: Picture) -> np.ndarray:
        """Fuse one picture per modality, e.g. ``inferencer(vi='a.png', ir='b.png', prompt='the scene is dark')``.

        Args:
            prompt: None: nothing is degraded. A sentence about any of the pictures, or a dict of modality -> task key
                or sentence.
            **images: Modality -> file, or (H,W) or (H,W,3) RGB array, uint8, uint16 or float.

        Returns:
            (H,W,3) uint8 RGB, or (H,W) where the owner of the colour is grey.

        Raises:
            TypeError: If a modality is missing or unknown.
            ValueError: On sizes that differ or are below 8 pixels, unreadable or non-finite pictures, or a prompt
                that is blank or too long.
        """
        return self._fuse(images, self.route(prompt))

    def route(self, prompt: Prompt) -> dict[str, Route]:
        """Task and sentence of each modality that a prompt leads to; empty for models without text."""
        if self.router is None:
            if prompt is not None:
                raise ValueError(f'{type(self.model).__name__} has no text encoder and takes no prompt, got {prompt!r}')
            return {}
        return self.router.route(prompt)

    def fuse_folders(
        self,
        folders: Mapping[str, str | os.PathLike],
        out: str | os.PathLike,
        prompt: Prompt = None,
        suffix: str = '.png',
    ) -> FolderReport:
        """Fuse all pictures of several folders, paired by file stem; one bad file does not stop the rest.

        Args:
            folders: Modality -> folder.
            out: Folder of the results, named by stem.
            prompt: For all pictures.
            suffix: File type of the results.

        Raises:
            FileNotFoundError: If a folder or a partner is missing (all are listed), before anything is fused.
        """
        self._check_names(folders)
        routes = self.route(prompt)
        pairs = pair_by_stem(dict(folders))
        report = FolderReport()
        bar = ProgressBar(len(pairs))
        for stem, paths in pairs.items():
            try:
                write_image(Path(out) / f'{stem}{suffix}', self._fuse(paths, routes))
                report.done.append(stem)
            except (ValueError, OSError) as error:
                report.failed[stem] = str(error)
            bar.update()
        bar.file.write('\n')
        return report

    @torch.no_grad()
    def restore(self, image: Picture, modality: str, prompt: str | None = None) -> np.ndarray:
        """Restore one picture of one modality by its prompt, without fusing: (H,W,3) uint8, or (H,W) if grey."""
        if modality not in self.modalities:
            raise ValueError(f'modality must be one of {", ".join(self.modalities)}; got {modality!r}')
        routes = self.route(None if prompt is None else {modality: prompt})
        pixels, grey = self._load(image)
        sample = FusionDataSample(
            metainfo=dict(
                modality=modality, sentences={modality: routes[modality].sentence}, grey=('x',) if grey else ()
            )
        )
        return self._predict({'x': pixels}, sample, grey)

    def _fuse(self, images: Mapping[str, Picture], routes: Mapping[str, Route]) -> np.ndarray:
        self._check_names(images)
        loaded = {name: self._load(images[name]) for name in self.modalities}
        sizes = {name: pixels.shape[:2] for name, (pixels, _) in loaded.items()}
        if len(set(sizes.values())) > 1:
            shown = ', '.join(f'{name} {w}x{h}{_origin(images[name])}' for name, (h, w) in sizes.items())
            raise ValueError(f'the pictures of one pair must have one size (width x height): {shown}')
        grey = tuple(name for name, (_, is_grey) in loaded.items() if is_grey)
        owner = getattr(self.model, 'chroma', None)
        sample = FusionDataSample(
            metainfo=dict(grey=grey, sentences={name: route.sentence for name, route in routes.items()})
        )
        fused = self._predict({name: pixels for name, (pixels, _) in loaded.items()}, sample, owner in grey)
        if self.keep_chroma and owner is not None and owner not in grey:
            fused = _with_chroma_of(fused, loaded[owner][0])
        return fused

    @torch.no_grad()
    def _predict(self, pixels: Mapping[str, np.ndarray], sample: FusionDataSample, grey: bool) -> np.ndarray:
        inputs = {name: [torch.from_numpy(p).permute(2, 0, 1)] for name, p in pixels.items()}
        sample = self.model.test_step(dict(inputs=inputs, data_samples=[sample]))[0]
        picture = to_uint8(sample.pred.permute(1, 2, 0).cpu().numpy())
        return np.ascontiguousarray(picture[..., 0]) if grey else picture

    def _check_names(self, images: Mapping[str, Any]) -> None:
        wanted = ', '.join(self.modalities)
        for name in images:
            if name not in self.modalities:
                hint = did_you_mean(name, list(self.modalities))
                raise TypeError(f'unknown modality {name!r}.{hint} The model takes {wanted}')
        missing = [name for name in self.modalities if name not in images]
        if missing:
            raise TypeError(f'the model needs a picture of each of {wanted}; missing: {", ".join(missing)}')

    def _load(self, image: Picture) -> tuple[np.ndarray, bool]:
        """(H,W,3) uint8 or float32 in [0,1], and whether it is grey."""
        if not isinstance(image, np.ndarray):
            pixels, grey = read_image(image, self.range_mode)
            where = f'{image}: '
        else:
            where = ''
            if image.ndim == 3 and image.shape[2] == 1:
                image = image[..., 0]
            if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
                raise ValueError(f'expected an array (H, W), (H, W, 1) or (H, W, 3), got {image.shape}')
            pixels = image if image.dtype == np.uint8 else to_unit_range(image, self.range_mode)
            grey = pixels.ndim == 2
            pixels = np.ascontiguousarray(np.repeat(pixels[..., None], 3, axis=2) if grey else pixels)
        height, width = pixels.shape[:2]
        if min(height, width) < 8:
            raise ValueError(f'{where}{width}x{height} pixels; at least 8x8 are needed')
        return pixels, grey


def _origin(image: Picture) -> str:
    return '' if isinstance(image, np.ndarray) else f' ({image})'


def _with_chroma_of(fused: np.ndarray, owner: np.ndarray) -> np.ndarray:
    unit = [a.astype(np.float32) / 255 if a.dtype == np.uint8 else a for a in (fused, owner)]
    y = rgb_to_ycbcr(*np.moveaxis(unit[0], 2, 0))[0]
    _, cb, cr = rgb_to_ycbcr(*np.moveaxis(unit[1], 2, 0))
    return to_uint8(np.stack(ycbcr_to_rgb(y, cb, cr), axis=2))


def _build(model: str | None, weights: str | None) -> torch.nn.Module:
    """The network of a config, of shipped weights or of any file that says of which model it is; with its weights."""
    from lurefusion.engine.stages import load_stages

    state_of = None if weights in (None, RANDOM) else find_weights(weights)
    if model is None:
        # weights of one's own bring their own network
        model = DEFAULT_MODEL if state_of is None or 'model' not in read_weights(state_of)[1] else str(state_of)
    if str(model).endswith('.py'):
        network = MODELS.build(load_stages(model)[1][-1].model)
        if weights is None and any(True for _ in network.parameters()):
            raise FileNotFoundError(
                f'{model} needs weights: give a checkpoint or the folder of a run (or {RANDOM!r} for an untrained '
                f'network)'
            )
    else:
        try:
            path = find_weights(model)
        except FileNotFoundError:
            shipped = shipped_weights()
            raise FileNotFoundError(
                f'{model!r} is neither a config (.py), nor a file or folder of weights, nor shipped weights.'
                f'{did_you_mean(model, list(shipped))} Shipped: {", ".join(shipped) or "none"}. With a config: '
                f'FusionInferencer(CONFIG, weights=CHECKPOINT), on the command line --model CONFIG --weights CHECKPOINT'
            ) from None
        network = MODELS.build(described_model(path, read_weights(path)[1]))
        state_of = path if weights is None else state_of
    if weights == RANDOM:
        print_log(f'{model} runs with random weights: the pictures mean nothing', logger='current')
    elif state_of is not None:
        load_weights(network, state_of)
    return network
