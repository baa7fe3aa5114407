"""FusionInferencer: pictures in, fused pictures out, for programs and for the command line."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from mmengine.utils import ProgressBar

# first: it imports mmengine.model without what only trainings need
import lurefusion.models  # noqa: F401
from lurefusion.choices import did_you_mean
from lurefusion.io.images import COLOURED, TINTED, as_rgb, colourfulness, read_image, write_image
from lurefusion.io.pairing import check_output, pair_by_stem, refuse_overwrite, refuse_same
from lurefusion.io.ranges import parse_range, range_of, to_uint8
from lurefusion.models.base import FusionModel
from lurefusion.ops.colour import rgb_to_ycbcr, ycbcr_to_rgb
from lurefusion.prompts import PromptRouter, Route
from lurefusion.registry import MODELS
from lurefusion.structures import FusionDataSample
from lurefusion.weights import described_model, find_weights, load_weights, read_weights, shipped_weights

DEFAULT_MODEL = 'lure-tiny'
RANDOM = 'random'
# a file, NumPy array, torch tensor or PIL image; see lurefusion.io.images.as_rgb
Picture = Any
Prompt = str | Mapping[str, str] | None


class PictureWarning(UserWarning):
    """Something in a picture looks wrong, and it was fused all the same."""


@dataclass
class FolderReport:
    """What became of a folder: names of fused pictures, name -> error of those left out, name -> what looks wrong."""

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)


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
        range_mode: How 16-bit and float pictures are brought to [0, 1], for all or for each modality: ``minmax``,
            ``'ir=28000:31000 vi=full'`` or a mapping; see `lurefusion.io.ranges.to_unit_range` and `parse_range`.
        use_user_text: Embed the user's own clause instead of the task's canonical sentence.
        keep_chroma: Take the colour from the picture of the modality that owns it; only for one that is not degraded.
        trust_pictures: Fuse pseudo-colour pictures of a modality without colour, and one picture given for two
            modalities, which are refused otherwise.

    Raises:
        FileNotFoundError: If there is no such model, config or weights; says what there is.
        ValueError: If the weights do not fit, an option is unknown, or the device is not there.
    """

    def __init__(
        self,
        model: str | None = None,
        weights: str | None = None,
        device: str | None = None,
        range_mode: str | Mapping[str, str] = 'auto',
        use_user_text: bool = False,
        keep_chroma: bool = False,
        trust_pictures: bool = False,
    ) -> None:
        parse_range(range_mode)
        self.keep_chroma = keep_chroma
        self.trust_pictures = trust_pictures
        self.device = pick_device(device)
        self.model = _build(model, weights).to(self.device).eval()
        self.modalities: tuple[str, ...] = self.model.modalities
        self.ranges = parse_range(range_mode, self.modalities)
        self.router = None
        if self.model.prompts is not None:
            self.router = PromptRouter(
                self.model.prompts, self.modalities, self.model.classify_text, use_user_text=use_user_text
            )

    def __call__(self, prompt: Prompt = None, **images: Picture) -> np.ndarray:
        """Fuse one picture per modality, e.g. ``inferencer(vi='a.png', ir='b.png', prompt='the scene is dark')``.

        Args:
            prompt: None: nothing is degraded. A sentence about any of the pictures, or a dict of modality -> task key
                or sentence.
            **images: Modality -> file, NumPy array, torch tensor or PIL image; see `lurefusion.io.images.as_rgb`.

        Returns:
            (H,W,3) uint8 RGB, or (H,W) where the owner of the colour is grey.

        Raises:
            TypeError: If a modality is missing or unknown.
            ValueError: On sizes that differ or are below 8 pixels, unreadable or non-finite pictures, pictures that
                are not what their modality says (see `trust_pictures`), or a prompt that is blank or too long.
            MemoryError: If the pair does not fit into memory.

        Warns:
            PictureWarning: What looks wrong in a picture.
        """
        notes: list[str] = []
        fused = self._fuse(images, self.route(prompt), notes)
        for note in notes:
            warnings.warn(note, PictureWarning, stacklevel=2)
        return fused

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
            ValueError: If `out` is a folder of sources or a result would overwrite one, or `suffix` is unknown.
            OSError: If `out` cannot be written to.
        """
        self._check_names(folders)
        check_output(Path(out), folder=True)
        check_output(Path(out) / f'a{suffix}')
        refuse_overwrite([out], folders.values())
        for folder in folders.values():
            # folders are read with what lies in them, so that the results would be sources of the next run
            if Path(folder).resolve() in Path(out).resolve().parents:
                raise ValueError(f'the output {out} lies in the input {folder}: choose a place beside it')
        routes = self.route(prompt)
        pairs = pair_by_stem(dict(folders))
        results = {stem: Path(out) / f'{stem}{suffix}' for stem in pairs}
        refuse_overwrite(results.values(), (path for paths in pairs.values() for path in paths.values()))
        report = FolderReport()
        bar = ProgressBar(len(pairs))
        for stem, paths in pairs.items():
            notes: list[str] = []
            try:
                write_image(results[stem], self._fuse(paths, routes, notes))
                report.done.append(stem)
            except (ValueError, OSError, MemoryError) as error:
                report.failed[stem] = str(error)
            if notes:
                report.notes[stem] = notes
            bar.update()
        bar.file.write('\n')
        return report

    @torch.no_grad()
    def restore(self, image: Picture, modality: str, prompt: str | None = None) -> np.ndarray:
        """Restore one picture of one modality by its prompt, without fusing: (H,W,3) uint8, or (H,W) if grey.

        Raises:
            ValueError: As a call; and if the model only fuses.
            MemoryError: If the picture does not fit into memory.
        """
        if modality not in self.modalities:
            raise ValueError(f'modality must be one of {", ".join(self.modalities)}; got {modality!r}')
        if self.router is None:
            raise ValueError(
                f'{type(self.model).__name__} only fuses; to restore a picture take a model with text, e.g. lure-tiny'
            )
        routes = self.route(None if prompt is None else {modality: prompt})
        notes: list[str] = []
        with _out_of_memory(_origin(image)):
            pixels, grey = self._load(modality, image, notes)
        for note in notes:
            warnings.warn(note, PictureWarning, stacklevel=2)
        sample = FusionDataSample(
            metainfo=dict(
                modality=modality, sentences={modality: routes[modality].sentence}, grey=('x',) if grey else ()
            )
        )
        return self._predict({'x': pixels}, sample, grey)

    def _fuse(self, images: Mapping[str, Picture], routes: Mapping[str, Route], notes: list[str]) -> np.ndarray:
        self._check_names(images)
        if not self.trust_pictures:
            refuse_same(images)
        with _out_of_memory(''.join(_origin(image) for image in images.values())):
            loaded = {name: self._load(name, images[name], notes) for name in self.modalities}
        sizes = {name: pixels.shape[:2] for name, (pixels, _) in loaded.items()}
        if len(set(sizes.values())) > 1:
            shown = ', '.join(f'{name} {w}x{h}{_origin(images[name])}' for name, (h, w) in sizes.items())
            raise ValueError(f'the pictures of one pair must have one size (width x height): {shown}')
        if not self.trust_pictures:
            self._check_twins(images, loaded, notes)
        grey = tuple(name for name, (_, is_grey) in loaded.items() if is_grey)
        owner = self.model.chroma
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
        height, width = next(iter(pixels.values())).shape[:2]
        with _out_of_memory(f' ({width}x{height} pixels)'):
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

    def _load(self, name: str, image: Picture, notes: list[str]) -> tuple[np.ndarray, bool]:
        """(H,W,3) uint8 or float32 in [0,1], and whether it is grey."""
        where, own = f'{name}{_origin(image)}', []
        mode = range_of(self.ranges, name)
        if isinstance(image, str | os.PathLike):
            pixels, grey = read_image(image, mode, own)
        else:
            try:
                pixels, grey = as_rgb(image, mode, own)
            except (ValueError, TypeError) as error:
                raise type(error)(f'{name}: {error}') from None
        height, width = pixels.shape[:2]
        if min(height, width) < 8:
            raise ValueError(f'{where}: {width}x{height} pixels; at least 8x8 are needed')
        owner = self.model.chroma
        if owner is not None and name != owner and not grey:
            spread, few = colourfulness(pixels)
            if spread >= COLOURED and few and not self.trust_pictures:
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

    def _check_twins(
        self, images: Mapping[str, Picture], loaded: Mapping[str, tuple[np.ndarray, bool]], notes: list[str]
    ) -> None:
        for name, other in combinations(loaded, 2):
            one, two = loaded[name][0], loaded[other][0]
            # an even picture says nothing, whoever took it
            if one.dtype != two.dtype or not np.array_equal(one, two) or (one == one[:1, :1]).all():
                continue
            same = f'{name}{_origin(images[name])} and {other}{_origin(images[other])} are one picture, pixel by pixel'
            # arrays are often made up, to try things out
            if _origin(images[name]) and _origin(images[other]):
                raise ValueError(
                    f'{same}; give each modality its own. To fuse them all the same: trust_pictures=True '
                    f'(--trust-pictures)'
                )
            notes.append(same)


def pick_device(name: str | torch.device | None = None) -> torch.device:
    """The device of a name (``cpu``, ``cuda``, ``cuda:1``); None: CUDA where there is any.

    Raises:
        ValueError: If there is no such device here; says which there are.
    """
    if name is None:
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = ', '.join(('cpu', *(f'cuda:{number}' for number in range(count))))
    try:
        device = torch.device(name)
        if device.type == 'meta':
            raise ValueError
        torch.zeros(1, device=device)
    # PyTorch reports a missing device by many kinds of errors
    except (RuntimeError, AssertionError, NotImplementedError, ValueError, TypeError, ImportError):
        raise ValueError(f'there is no device {str(name)!r} here; there are: {there}') from None
    return device


@contextmanager
def _out_of_memory(what: str) -> Iterator[None]:
    """One clear MemoryError for all that libraries raise when memory runs out; other errors pass."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        short = isinstance(error, MemoryError | torch.cuda.OutOfMemoryError)
        if not short and not any(words in str(error) for words in ("can't allocate memory", 'out of memory')):
            raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise MemoryError(
            f'the pair does not fit into memory{what}: scale it down, cut it into parts, or take another device '
            f'(cpu where a GPU is too small)'
        ) from None


def _origin(image: Picture) -> str:
    return f' ({image})' if isinstance(image, str | os.PathLike) else ''


def _with_chroma_of(fused: np.ndarray, owner: np.ndarray) -> np.ndarray:
    unit = [a.astype(np.float32) / 255 if a.dtype == np.uint8 else a for a in (fused, owner)]
    y = rgb_to_ycbcr(*np.moveaxis(unit[0], 2, 0))[0]
    _, cb, cr = rgb_to_ycbcr(*np.moveaxis(unit[1], 2, 0))
    return to_uint8(np.stack(ycbcr_to_rgb(y, cb, cr), axis=2))


def _build(model: str | None, weights: str | None) -> FusionModel:
    """The network of a config, of shipped weights or of any file that says of which model it is; with its weights."""
    state_of = None if weights in (None, RANDOM) else find_weights(weights)
    if model is None:
        # weights of one's own bring their own network
        model = DEFAULT_MODEL if state_of is None or 'model' not in read_weights(state_of)[1] else str(state_of)
    if str(model).endswith('.py'):
        from lurefusion.config import load_stages

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
        described = described_model(path, read_weights(path)[1])
        try:
            network = MODELS.build(described)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'the model that {path} says it is of cannot be built here: {error}. If it has parts of a plug-in, '
                f'install that, or give the config that names it: --model CONFIG --weights {path}'
            ) from error
        state_of = path if weights is None else state_of
    if weights == RANDOM:
        print_log(f'{model} runs with random weights: the pictures mean nothing', logger='current')
    elif state_of is not None:
        load_weights(network, state_of)
    return network
