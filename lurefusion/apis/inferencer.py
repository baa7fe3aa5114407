"""FusionInferencer: pictures in, fused pictures out, for programs and for the command line."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import combinations, repeat, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mmengine.logging import print_log

from lurefusion import __version__
from lurefusion.apis.models import DEFAULT_MODEL, init_model, list_models
from lurefusion.io.digests import digest
from lurefusion.io.images import COLOURED, TINTED, as_rgb, colourfulness, read_image
from lurefusion.io.pairing import refuse_same
from lurefusion.io.ranges import parse_range, range_of
from lurefusion.models.base import FusionModel
from lurefusion.ops.layout import image_to_tensor
from lurefusion.prompts import PromptRouter, Route
from lurefusion.runtime.batches import MIN_SIDE
from lurefusion.runtime.runner import OWN_ERRORS, Runner, origin, out_of_memory
from lurefusion.runtime.torch_runner import TorchRunner
from lurefusion.structures import Failure, Item, Prediction

if TYPE_CHECKING:
    from lurefusion.apis.clips import ClipReport
    from lurefusion.runtime.jobs import FolderReport

# a file, NumPy array, torch tensor or PIL image; see lurefusion.io.images.as_rgb
Picture = Any
Prompt = str | Mapping[str, str] | None
_END = object()
#: back-ends by name
RUNNERS = ('torch', 'onnx')


class PictureWarning(UserWarning):
    """Something in a picture looks wrong, and it was fused all the same."""


class FusionInferencer:
    """Fuses pictures: a pair, lists and endless streams of pairs, folders paired by file stem.

    The steps are those of MMEngine's `BaseInferencer` (:meth:`preprocess`, :meth:`forward`, :meth:`visualize`,
    :meth:`postprocess`, :meth:`list_models`). It does not derive from it: there, a call takes one `inputs` and keywords
    that the class declares, here the keywords are the modalities of the model; and `mmengine.infer` imports MMEngine's
    runner, data sets and visualizers, which fusing does not need.

    Args:
        model: Name of shipped weights; a file of published weights or a checkpoint, which says of which model it is; or
            a config (file or ``lurefusion::`` name; of a pipeline, its last stage). None: that of `weights` if these
            say so, else ``lure-tiny``. Or a network (of `init_model`), or a :class:`Runner` of any back-end.
        weights: Checkpoint, safetensors file or folder of a run; needed with a config that has parameters, and in place
            of the model's own otherwise.
            ``'random'`` runs an untrained network, to try things out.
        device: Default: CUDA where there is any; that of a network that is given.
        range_mode: How 16-bit and float pictures are brought to [0, 1], for all or for each modality: ``minmax``,
            ``'ir=28000:31000 vi=full'`` or a mapping; see `lurefusion.io.ranges.to_unit_range` and `parse_range`.
        use_user_text: Embed the user's own clause instead of the task's canonical sentence.
        keep_chroma: Take the colour from the picture of the modality that owns it; only for one that is not degraded.
        trust_pictures: Fuse pseudo-colour pictures of a modality without colour, and one picture given for two
            modalities, which are refused otherwise.
        runner: ``torch``, or ``onnx``: ONNX Runtime on the CPU, for which a network is exported once into the user's
            cache. None: ``onnx`` for a file that `lurefusion export` wrote (``.onnx``), else ``torch``.

    Raises:
        FileNotFoundError: If there is no such model, config or weights; says what there is.
        ValueError: If the weights do not fit, an option is unknown, or the device is not there.
        ImportError: If ONNX Runtime is asked for and missing.
    """

    def __init__(
        self,
        model: str | os.PathLike | FusionModel | Runner | None = None,
        weights: str | None = None,
        device: str | None = None,
        range_mode: str | Mapping[str, str] = 'auto',
        use_user_text: bool = False,
        keep_chroma: bool = False,
        trust_pictures: bool = False,
        runner: str | None = None,
    ) -> None:
        parse_range(range_mode)
        self.trust_pictures = trust_pictures
        self.runner = _runner(model, weights, device, runner)
        self.runner.keep_chroma |= keep_chroma
        self.modalities: tuple[str, ...] = self.runner.modalities
        self.ranges = parse_range(range_mode, self.modalities)
        self.router = None
        if self.runner.prompts is not None:
            reads = self.runner.reads_sentences
            if use_user_text and not reads:
                raise ValueError(f'use_user_text=True: {self.runner.title} has vectors of its tasks, no text encoder')
            # without a text encoder, sentences are read by their words alone
            classify = self.runner.classify_text if reads else None
            self.router = PromptRouter(self.runner.prompts, self.modalities, classify, use_user_text=use_user_text)

    @property
    def model(self) -> FusionModel:
        """The network.

        Raises:
            AttributeError: If another back-end than PyTorch runs it.
        """
        if not isinstance(self.runner, TorchRunner):
            raise AttributeError(f'{self.runner.title} runs without PyTorch: there is no module')
        return self.runner.model

    def __call__(
        self, prompt: Prompt | Iterable[Prompt] = None, batch_size: int = 1, **images: Picture | Iterable[Picture]
    ) -> np.ndarray | list[np.ndarray]:
        """Fuse one picture per modality, e.g. ``inferencer(vi='a.png', ir='b.png', prompt='the scene is dark')``.

        Args:
            prompt: None: nothing is degraded. A sentence about any of the pictures, or a dict of modality -> task key
                or sentence. ``auto``, alone or in a dict: told from the picture, and nothing is mended that is not sure
                (see `lurefusion.prompts.AutoPrompt`; :meth:`predict` says what was found). With several pictures, also
                a list of these, one for each.
            batch_size: How many of several pictures are run together, if they are of one size and prompt.
            **images: Modality -> file, NumPy array, torch tensor or PIL image; see `lurefusion.io.images.as_rgb`. Or,
                for every modality, a list or generator of these.

        Returns:
            (H,W,3) uint8 RGB, or (H,W) where the owner of the colour is grey; of several pictures a list.

        Raises:
            TypeError: If a modality is missing or unknown, or some modalities have one picture and others several.
            ValueError: On sizes that differ or are below 8 pixels, unreadable or non-finite pictures, pictures that
                are not what their modality says (see `trust_pictures`), or a prompt that is blank or too long.
            MemoryError: If the pair does not fit into memory.

        Warns:
            PictureWarning: What looks wrong in a picture.
        """
        return self._arrays(self._predictions(images, prompt, batch_size, False))

    def predict(
        self, prompt: Prompt | Iterable[Prompt] = None, batch_size: int = 1, **images: Picture | Iterable[Picture]
    ) -> Prediction | list[Prediction]:
        """As a call, with all that is known of the result: the float picture, tasks, timings, notes, `save`."""
        found = self._predictions(images, prompt, batch_size, False)
        return found if isinstance(found, Prediction) else list(found)

    def stream(
        self,
        prompt: Prompt | Iterable[Prompt] = None,
        batch_size: int = 1,
        names: Iterable[str] | None = None,
        restore: bool = False,
        **images: Iterable[Picture],
    ) -> Iterator[Prediction | Failure]:
        """Fuse pictures as they come, e.g. frames of cameras; results in their order.

        Args:
            prompt: For all pictures, or an iterable with one for each.
            batch_size: Most pairs that are run together; only neighbours of one size and prompt are.
            names: Of the results; default: the stem of the first file of a pair, else its number.
            restore: Restore pictures of one modality, without fusing.
            **images: Modality -> iterable of pictures, all of one length; they may be endless.

        Returns:
            A :class:`Prediction` for each pair, or a :class:`Failure` with the error of a bad one.

        Raises:
            TypeError: If a modality is missing, unknown or no iterable of pictures.
            ValueError: If `batch_size` is below 1; while iterating, if the iterables end at different lengths.
        """
        return self.forward(self.preprocess(images, prompt, names, restore), batch_size, restore)

    def restore(
        self,
        image: Picture | Iterable[Picture],
        modality: str,
        prompt: str | Iterable[str | None] | None = None,
        batch_size: int = 1,
    ) -> np.ndarray | list[np.ndarray]:
        """Restore one picture (or several) of one modality by its prompt, without fusing: uint8, as of a call.

        Raises:
            ValueError: As a call; and if the model only fuses.
            MemoryError: If the picture does not fit into memory.
        """
        if modality not in self.modalities:
            raise ValueError(f'modality must be one of {", ".join(self.modalities)}; got {modality!r}')
        if _several(prompt):
            prompt = (None if text is None else {modality: text} for text in prompt)
        elif prompt is not None:
            prompt = {modality: prompt}
        return self._arrays(self._predictions({modality: image}, prompt, batch_size, True))

    def fuse_folders(
        self, folders: Mapping[str, str | os.PathLike], out: str | os.PathLike, prompt: Prompt = None, **options: Any
    ) -> FolderReport:
        """Fuse all pictures of several folders; see :func:`lurefusion.apis.folders.fuse_folders`."""
        from lurefusion.apis.folders import fuse_folders

        return fuse_folders(self, folders, out, prompt, **options)

    def fuse_video(
        self, sources: Mapping[str, str | os.PathLike], out: str | os.PathLike, prompt: Prompt = None, **options: Any
    ) -> ClipReport:
        """Fuse videos or folders of frames into a clip; see :func:`lurefusion.apis.clips.fuse_video`."""
        from lurefusion.apis.clips import fuse_video

        return fuse_video(self, sources, out, prompt, **options)

    @contextmanager
    def sharing_ranges(self, pictures: Mapping[str, Callable[[], Iterable[np.ndarray]]]) -> Iterator[dict[str, str]]:
        """Inside of it, modalities of the range ``shared`` have one range, that of all their pictures.

        Args:
            pictures: Modality -> a call that gives its pictures as they are stored.

        Yields:
            Modality -> the range that was found, where there is something to share.
        """
        from lurefusion.io.shared_range import shared_range

        before, found = self.ranges, {}
        for name in self.modalities:
            if range_of(before, name) == 'shared':
                found[name] = shared_range(pictures[name]()) or 'auto'
        self.ranges = {**before, **found}
        try:
            yield {name: range_ for name, range_ in found.items() if range_ != 'auto'}
        finally:
            self.ranges = before

    def route(self, prompt: Prompt | Mapping[str, Route]) -> dict[str, Route]:
        """Task and sentence of each modality that a prompt leads to; empty for models without text.

        Those of ``auto`` are pending until the pictures are there.
        What this returns may be given for a prompt, so that nothing is routed twice.
        """
        if isinstance(prompt, Mapping) and prompt and all(isinstance(route, Route) for route in prompt.values()):
            return dict(prompt)
        if self.router is None:
            if prompt is not None:
                raise ValueError(f'{self.runner.title} has no text encoder and takes no prompt, got {prompt!r}')
            return {}
        return self.router.route(prompt)

    # ------------------------------------------------------------ the steps

    def preprocess(
        self,
        images: Mapping[str, Iterable[Picture]],
        prompt: Prompt | Iterable[Prompt] = None,
        names: Iterable[str] | None = None,
        restore: bool = False,
    ) -> Iterator[Item | Failure]:
        """Read and check pictures, and route their prompts; arguments as of :meth:`stream`."""
        self.runner.check_names(images, restore)
        for name, several in images.items():
            if not _several(several):
                raise TypeError(f'{name}: expected a list or an iterator of pictures, got {_kind(several)}')
        if not _several(prompt):
            # what is wrong with it, or what the router has to say, is said once
            prompt = repeat(self.route(prompt) or None)
        return self._items(images, prompt, names, restore)

    def forward(
        self, items: Iterable[Item | Failure], batch_size: int = 1, restore: bool = False
    ) -> Iterator[Prediction | Failure]:
        """Run what :meth:`preprocess` made."""
        return self.runner.stream(items, batch_size, restore)

    def visualize(self, items: Sequence[Item], predictions: Sequence[Prediction]) -> list[np.ndarray]:
        """Captioned strips, (H+22, sum of W, 3) uint8, of what went in and what came out."""
        from lurefusion.visualization import draw_strip

        strips = []
        for item, result in zip(items, predictions, strict=True):
            panels = {**item.pictures, 'result': result.picture}
            units = {name: p.astype(np.float32) / 255 if p.dtype == np.uint8 else p for name, p in panels.items()}
            strips.append(draw_strip([(name, image_to_tensor(p)) for name, p in units.items()]))
        return strips

    def postprocess(
        self,
        predictions: Iterable[Prediction],
        out_dir: str | os.PathLike | None = None,
        suffix: str = '.png',
        bit_depth: int = 8,
    ) -> list[np.ndarray]:
        """The pictures as uint8; with `out_dir`, files are written too, by name."""
        pictures = []
        for prediction in predictions:
            if out_dir is not None:
                prediction.save(Path(out_dir) / f'{prediction.name}{suffix}', bit_depth)
            pictures.append(prediction.to_uint8())
        return pictures

    @staticmethod
    def list_models(patterns: str = r'.*') -> list[str]:
        """See :func:`lurefusion.apis.list_models`."""
        return list_models(patterns)

    # ---------------------------------------------------------------- inside

    def _predictions(
        self, images: Mapping[str, Any], prompt: Any, batch_size: int, restore: bool
    ) -> Prediction | Iterator[Prediction]:
        """Of one pair, or of several; the first error is raised."""
        self.runner.check_names(images, restore)
        several = {name for name, image in images.items() if _several(image)}
        if several and len(several) < len(images):
            alone = ', '.join(name for name in images if name not in several)
            raise TypeError(f'give one picture of each modality or several of each: {alone} is a single one')
        if several:
            return map(_done, self.stream(prompt, batch_size, restore=restore, **images))
        if _several(prompt):
            raise TypeError('several prompts are given for one picture of each modality; give one')
        item = self._item('0', images, self.route(prompt), restore)
        return self.runner.run_restore(item) if restore else self.runner.run(item)

    def _arrays(self, found: Prediction | Iterator[Prediction]) -> np.ndarray | list[np.ndarray]:
        single = isinstance(found, Prediction)
        pictures = []
        for prediction in [found] if single else found:
            for note in prediction.notes:
                warnings.warn(note, PictureWarning, stacklevel=3)
            pictures.append(prediction.to_uint8())
        return pictures[0] if single else pictures

    def _items(
        self,
        images: Mapping[str, Iterable[Picture]],
        prompts: Iterable[Any],
        names: Iterable[str] | None,
        restore: bool,
    ) -> Iterator[Item | Failure]:
        columns = dict(images, prompts=prompts, names=repeat(None) if names is None else names)
        given = [name for name, column in columns.items() if not isinstance(column, repeat)]
        routed, routes = _END, {}
        for number, cells in enumerate(zip_longest(*columns.values(), fillvalue=_END)):
            row = dict(zip(columns, cells, strict=True))
            ended = [name for name in given if row[name] is _END]
            if len(ended) == len(given):
                return
            if ended:
                raise ValueError(f'{", ".join(given)} must have one length: {", ".join(ended)} ended at {number}')
            pictures = {name: row[name] for name in images}
            name = _name(pictures, number) if row['names'] is None else row['names']
            notes: list[str] = []
            try:
                if routed is _END or row['prompts'] != routed:
                    routed, routes = row['prompts'], self.route(row['prompts'])
                yield self._item(name, pictures, routes, restore, notes)
            except OWN_ERRORS as error:
                yield Failure(name, error, tuple(notes))

    def _item(
        self,
        name: str,
        images: Mapping[str, Picture],
        routes: Mapping[str, Route],
        restore: bool,
        notes: list[str] | None = None,
    ) -> Item:
        notes, start = [] if notes is None else notes, time.perf_counter()
        if not self.trust_pictures:
            refuse_same(images)
        paths = {m: str(image) for m, image in images.items() if isinstance(image, str | os.PathLike)}
        order = [m for m in self.modalities if m in images]
        with out_of_memory(''.join(origin(paths.get(m)) for m in order)):
            loaded = {m: self._load(m, images[m], notes) for m in order}
        item = Item(
            name=name,
            pictures={m: pixels for m, (pixels, _) in loaded.items()},
            grey=tuple(m for m, (_, grey) in loaded.items() if grey),
            routes={m: route for m, route in routes.items() if m in loaded},
            paths=paths,
        )
        self.runner.check(item, restore)
        if not self.trust_pictures:
            self._check_twins(item, notes)
        seen = self.router.look(item.routes, item.pictures) if self.router is not None else item.routes
        seconds = dict(read=time.perf_counter() - start)
        return Item(item.name, item.pictures, item.grey, seen, tuple(notes), paths, seconds)

    def _load(self, name: str, image: Picture, notes: list[str]) -> tuple[np.ndarray, bool]:
        """(H,W,3) uint8 or float32 in [0,1], and whether it is grey."""
        path = image if isinstance(image, str | os.PathLike) else None
        where, own = f'{name}{origin(path)}', []
        mode = range_of(self.ranges, name)
        if path is not None:
            pixels, grey = read_image(path, mode, own)
        else:
            try:
                pixels, grey = as_rgb(image, mode, own)
            except (ValueError, TypeError) as error:
                raise type(error)(f'{name}: {error}') from None
        height, width = pixels.shape[:2]
        if min(height, width) < MIN_SIDE:
            raise ValueError(f'{where}: {width}x{height} pixels; at least {MIN_SIDE}x{MIN_SIDE} are needed')
        owner = self.runner.chroma
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

    def _check_twins(self, item: Item, notes: list[str]) -> None:
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
                    f'{same}; give each modality its own. To fuse them all the same: trust_pictures=True '
                    f'(--trust-pictures)'
                )
            notes.append(same)


def inference_model(
    model: FusionModel | Runner,
    pictures: Mapping[str, Picture] | Sequence[Mapping[str, Picture]],
    prompt: Prompt | Sequence[Prompt] = None,
    batch_size: int = 1,
) -> Prediction | list[Prediction]:
    """Fuse with a network of :func:`init_model`.

    Args:
        model: The network.
        pictures: Modality -> picture (see `FusionInferencer`), ``dict(vi='a.png', ir='b.png')``; or a list of these.
        prompt: As of `FusionInferencer`; with a list of pairs also a list.
        batch_size: How many pairs are run together.

    Returns:
        A :class:`Prediction`, of a list a list of these. Errors are those of calling a `FusionInferencer`.
    """
    inferencer = FusionInferencer(model)
    if isinstance(pictures, Mapping):
        return inferencer.predict(prompt, **pictures)
    pairs = list(pictures)
    for pair in pairs:
        if not isinstance(pair, Mapping):
            raise TypeError(f'a pair is a dict of modality -> picture, got {_kind(pair)}')
        inferencer.runner.check_names(pair)
    return inferencer.predict(prompt, batch_size, **{m: [pair[m] for pair in pairs] for m in inferencer.modalities})


def _runner(model: Any, weights: str | None, device: str | None, kind: str | None = None) -> Runner:
    if kind not in (None, *RUNNERS):
        raise ValueError(f'runner must be one of {", ".join(RUNNERS)}; got {kind!r}')
    if isinstance(model, FusionModel | Runner):
        if weights is not None:
            raise ValueError(f'a network that is built has its weights: leave weights={weights!r} out')
        if isinstance(model, Runner):
            if device is not None or kind is not None:
                raise ValueError(f'a runner has its device and kind: leave device={device!r}, runner={kind!r} out')
            return model
        if kind == 'onnx':
            return onnx_runner_of(model, type(model).__name__, device)
        own = next((parameter.device for parameter in model.parameters()), None)
        return TorchRunner(model, device or own)
    if str(model).endswith('.onnx'):
        if weights is not None or kind == 'torch':
            raise ValueError(f'{model} is run by ONNX Runtime and has its weights: leave weights and runner out')
        from lurefusion.runtime.onnx_runner import OnnxRunner

        return OnnxRunner(model, device)
    if kind == 'onnx':
        return onnx_runner_of(init_model(model, weights, 'cpu'), str(model or weights or DEFAULT_MODEL), device)
    network = init_model(model, weights, device)
    return TorchRunner(network, device)


def onnx_runner_of(model: FusionModel, name: str, device: str | None = None) -> Runner:
    """A network run by ONNX Runtime, exported into the user's cache unless these very weights have been.

    The file is `$XDG_CACHE_HOME/lurefusion` (default `~/.cache/lurefusion`), named by a fingerprint of the network.
    """
    # heavy, and only needed here
    from lurefusion.export import export_onnx, need_onnx
    from lurefusion.runtime.onnx_runner import FORMAT, OnnxRunner

    need_onnx()
    cache = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'lurefusion'
    network = TorchRunner(model, 'cpu').fingerprint()
    path = cache / f'{digest([FORMAT, __version__, network])}.onnx'
    if not path.is_file():
        print_log(f'exporting {name} once, to {path}', logger='current')
        export_onnx(model, path, name)
    return OnnxRunner(path, device)


def _several(pictures: Any) -> bool:
    """Whether this is several pictures or prompts: a list, tuple or any iterator."""
    return isinstance(pictures, list | tuple | Iterator)


def _kind(value: Any) -> str:
    return type(value).__name__


def _name(pictures: Mapping[str, Picture], number: int) -> str:
    paths = [image for image in pictures.values() if isinstance(image, str | os.PathLike)]
    return Path(paths[0]).stem if paths else str(number)


def _done(result: Prediction | Failure) -> Prediction:
    if isinstance(result, Failure):
        raise result.error
    return result
