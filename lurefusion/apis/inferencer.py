"""FusionInferencer: pictures in, fused pictures out, for programs and for the command line."""

from __future__ import annotations

import copy
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import repeat, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lurefusion.apis.models import list_models
from lurefusion.apis.reading import Picture, are_several, check_twins, read_picture
from lurefusion.apis.runners import runner_of
from lurefusion.choices import one_of
from lurefusion.io.images import alpha_of, dotted, encoded
from lurefusion.io.pairing import refuse_same
from lurefusion.io.ranges import parse_range, range_of
from lurefusion.models.base import FusionModel
from lurefusion.ops.layout import image_to_tensor
from lurefusion.prompts import PSEUDO_TASK, PromptRouter, Route
from lurefusion.runtime.finishing import CHROMA
from lurefusion.runtime.placement import Placed, Placement
from lurefusion.runtime.runner import OWN_ERRORS, Runner, check_batch, origin, out_of_memory
from lurefusion.runtime.torch_runner import TorchRunner
from lurefusion.structures import Failure, Item, Prediction

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from lurefusion.apis.clips import ClipReport
    from lurefusion.runtime.alignment import Alignment
    from lurefusion.runtime.jobs import FolderReport

Prompt = str | Mapping[str, str] | None
_END = object()
_KEYWORDS = {'prompt', 'batch_size', 'names', 'restore', 'self'}


class PictureWarning(UserWarning):
    """Something in a picture looks wrong, and it was fused all the same."""


class FusionInferencer:
    """Fuses pictures: a pair, lists and endless streams of pairs, folders paired by file stem.

    The steps are those of MMEngine's `BaseInferencer` (:meth:`preprocess`, :meth:`forward`, :meth:`visualize`,
    :meth:`postprocess`, :meth:`list_models`). It does not derive from it: there, a call takes one `inputs` and keywords
    that the class declares, here the keywords are the modalities of the model; and `mmengine.infer` imports MMEngine's
    runner, data sets and visualizers, which fusing does not need.

    Args:
        model: Name of shipped weights, a file of weights or a config, as of :func:`lurefusion.apis.init_model`; or a
            network (of `init_model`), or a :class:`Runner` of any back-end. None: ``lure-tiny``, or as `weights` say.
        weights: As of :func:`lurefusion.apis.init_model`.
        device: Default: CUDA where there is any; that of a network that is given.
        range_mode: How 16-bit and float pictures are brought to [0, 1], for all or for each modality: ``minmax``,
            ``'ir=28000:31000 vi=full'`` or a mapping; see `lurefusion.io.ranges.to_unit_range` and `parse_range`.
        use_user_text: Embed the user's own clause instead of the task's canonical sentence.
        chroma: Whose colour results have: ``fused``, what the network gives; ``visible``, that of the picture of the
            modality that owns the colour, restored first if its prompt says that it is degraded. None: ``fused``, or
            what a runner that is given says.
        resize: For pairs of unequal size: the modality whose pixels the result has. The other picture is resized, or
            warped if one of the next two is given; the default is then the modality that owns the colour.
        register: For pairs that are not aligned: kind of transform to find, ``translation``, ``affine`` or
            ``homography``; each pair has its own, a clip has one. Where none is sure, that is the pair's error.
        transform: File of a transform, see :class:`lurefusion.runtime.alignment.Alignment`, for all pairs. With
            `register` and if it is not there, it is made of the first pair that can be aligned.
        alpha: ``keep``: results have the alpha of the picture whose pixels they have (see `resize`), in PNG files;
            ``drop``.
        trust_pictures: Fuse pseudo-colour pictures of a modality without colour, and one picture given for two
            modalities, which are refused otherwise.
        runner: ``torch``, or ``onnx``: ONNX Runtime on the CPU, for which a network is exported once into the user's
            cache. None: ``onnx`` for a file that `lurefusion export` wrote (``.onnx``), else ``torch``.
        tile: Run larger pictures in tiles of so many pixels, to need less memory; None: as the network says.

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
        chroma: str | None = None,
        trust_pictures: bool = False,
        resize: str | None = None,
        register: str | None = None,
        transform: str | os.PathLike | None = None,
        alpha: str = 'drop',
        runner: str | None = None,
        tile: int | None = None,
    ) -> None:
        parse_range(range_mode)
        self.trust_pictures = trust_pictures
        # its options are this inferencer's alone
        self.runner = copy.copy(runner_of(model, weights, device, runner))
        self.runner.chroma_from = one_of('chroma', chroma, CHROMA, optional=True) or self.runner.chroma_from
        if self.runner.chroma_from == 'visible' and self.runner.chroma is None:
            raise ValueError('chroma=visible (--chroma): no modality of this network owns the colour')
        if tile is not None:
            self.runner.use_tiles(tile)
        self.alpha = one_of('alpha', alpha, ('drop', 'keep'))
        self.modalities: tuple[str, ...] = self.runner.modalities
        if clash := _KEYWORDS & {*self.modalities}:
            raise ValueError(f'a modality cannot be called {min(clash)!r}, which is an option of every call')
        self.placement: Placement | None = None
        if resize is not None or register is not None or transform is not None:
            self.placement = Placement(self.modalities, resize, register, transform, self.runner.chroma)
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
    def base(self) -> str:
        """The modality whose pixels results have."""
        return self.placement.fixed if self.placement is not None else self.runner.chroma or self.modalities[0]

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
            **images: Modality -> file (its path, its bytes, or open for reading), NumPy array, torch tensor or PIL
                image; see `lurefusion.io.images.as_rgb`. Or, for every modality, a list or generator of these.

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
        if not isinstance(modality, str) or modality not in self.modalities:
            modality = modality if isinstance(modality, str) else type(modality).__name__
            raise ValueError(f'modality must be one of {", ".join(self.modalities)}; got {modality!r}')
        prompts: Prompt | Iterable[Prompt] = None
        if are_several(prompt):
            prompts = (None if text is None else {modality: text} for text in prompt)
        elif prompt is not None:
            prompts = {modality: prompt}
        return self._arrays(self._predictions({modality: image}, prompts, batch_size, True))

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

        before, ranges, found = self.ranges, dict(self.ranges), {}
        for name in self.modalities:
            if range_of(before, name) == 'shared':
                ranges[name] = found[name] = shared_range(pictures[name]()) or 'auto'
        self.ranges = ranges
        try:
            yield {name: range_ for name, range_ in found.items() if range_ != 'auto'}
        finally:
            self.ranges = before

    @contextmanager
    def sharing_alignment(self, pairs: Iterable[Mapping[str, Picture]], most: int = 1) -> Iterator[Alignment | None]:
        """Inside of it, all pairs have one alignment, if they are to be registered: found now, unless it is there.

        Args:
            pairs: Modality -> picture, of pairs to find it by.
            most: See :meth:`lurefusion.runtime.placement.Placement.settled`.

        Yields:
            The alignment; None where nothing is registered.

        Raises:
            NotAligned: If none of the pairs can be aligned.
        """
        before = self.placement
        if before is not None:
            self.placement = before.settled(self._readable(pairs), most)
        try:
            yield None if self.placement is None else self.placement.alignment
        finally:
            self.placement = before

    def _readable(self, pairs: Iterable[Mapping[str, Picture]]) -> Iterator[dict[str, np.ndarray]]:
        for pair in pairs:
            # what is wrong with the others is said when they are fused
            with suppress(*OWN_ERRORS):
                yield {name: self._load(name, picture, [])[0] for name, picture in pair.items()}

    def route(self, prompt: Prompt | Mapping[str, Route]) -> dict[str, Route]:
        """Task and sentence of each modality that a prompt leads to; empty for models without text.

        Those of ``auto`` are pending until the pictures are there.
        What this returns may be given for a prompt, so that nothing is routed twice.
        """
        if _routed(prompt):
            return dict(prompt)
        if self.router is None:
            if prompt is not None:
                raise ValueError(f'{self.runner.title} has no text encoder and takes no prompt, got {prompt!r}')
            return {}
        return self._mendable(self.router.route(prompt))

    def _mendable(self, routes: dict[str, Route]) -> dict[str, Route]:
        """The routes; ValueError if results are to show one picture alone, restored, and the runner only fuses."""
        shown = {self.runner.chroma: 'chroma=visible (--chroma)'} if self.runner.chroma_from == 'visible' else {}
        if self.placement is not None and self.placement.warps:
            shown[self.placement.fixed] = 'register or transform'
        for name, option in shown.items():
            if not self.runner.restores and name in routes and routes[name].task != PSEUDO_TASK:
                raise ValueError(
                    f'{option} shows {name} restored by its prompt, here {routes[name].task!r}, and '
                    f'{self.runner.title} only fuses: leave the prompt of {name} or this option out, or run '
                    f'by PyTorch (--runner torch)'
                )
        return routes

    # ------------------------------------------------------------ the steps

    def preprocess(
        self,
        images: Mapping[str, Iterable[Picture]],
        prompt: Prompt | Iterable[Prompt] = None,
        names: Iterable[str] | None = None,
        restore: bool = False,
        look: bool = True,
    ) -> Iterator[Item | Failure]:
        """Read and check pictures, bring them onto one grid, and route their prompts; arguments as of :meth:`stream`.

        A `Failure` in place of a picture is passed on. Without `look`, ``auto`` stays pending, for :meth:`look`.
        """
        self.runner.check_names(images, restore)
        for name, given in images.items():
            if not are_several(given):
                raise TypeError(f'{name}: expected a list or an iterator of pictures, got {type(given).__name__}')
        if not are_several(prompt):
            # what is wrong with it, or what the router has to say, is said once
            routes = self.route(prompt)  # type: ignore[arg-type]  # what is not several prompts is one
            return self._items(images, repeat(routes or None), names, restore, look)
        return self._items(images, prompt, names, restore, look)

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
        """The pictures as uint8; with `out_dir`, files are written too, by name.

        Raises:
            ValueError: If two have one name.
        """
        pictures, names = [], set()
        for prediction in map(_done, predictions):
            if out_dir is not None:
                if prediction.name in names:
                    raise ValueError(f'two results are called {prediction.name!r}: give names, one for each pair')
                names.add(prediction.name)
                prediction.save(Path(out_dir) / f'{prediction.name}{dotted(suffix)}', bit_depth)
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
        lists = {name for name, image in images.items() if are_several(image)}
        check_batch(batch_size)
        if lists and len(lists) < len(images):
            alone = ', '.join(name for name in images if name not in lists)
            raise TypeError(f'give one picture of each modality or several of each: {alone} is a single one')
        if lists:
            return map(_done, self.stream(prompt, batch_size, restore=restore, **images))
        if are_several(prompt):
            raise TypeError('several prompts are given for one picture of each modality; give one')
        item = self._item(_name(images, 0), images, self.route(prompt), restore)
        return self.runner.run_restore(item) if restore else self.runner.run(item)

    def _arrays(self, found: Prediction | Iterator[Prediction]) -> np.ndarray | list[np.ndarray]:
        pictures = []
        for prediction in [found] if isinstance(found, Prediction) else found:
            for note in prediction.notes:
                warnings.warn(note, PictureWarning, stacklevel=3)
            pictures.append(prediction.to_uint8())
        return pictures[0] if isinstance(found, Prediction) else pictures

    def _items(
        self,
        images: Mapping[str, Iterable[Picture]],
        prompts: Iterable[Any],
        names: Iterable[str] | None,
        restore: bool,
        look: bool,
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
            if failed := [picture for picture in pictures.values() if isinstance(picture, Failure)]:
                yield failed[0]
                continue
            notes: list[str] = []
            try:
                if routed is _END or row['prompts'] != routed:
                    # a dict may be changed and given again
                    routed, routes = copy.copy(row['prompts']), self.route(row['prompts'])
                yield self._item(name, pictures, routes, restore, notes, look)
            except OWN_ERRORS as error:
                yield Failure(name, error, tuple(notes))

    def _item(
        self,
        name: str,
        images: Mapping[str, Picture],
        routes: Mapping[str, Route],
        restore: bool,
        notes: list[str] | None = None,
        look: bool = True,
    ) -> Item:
        notes, start = [] if notes is None else notes, time.perf_counter()
        images = {m: encoded(image) for m, image in images.items()}
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
        if not self.trust_pictures:
            check_twins(item, notes)
        if self.placement is not None and not restore:
            item = self._placed(self.placement, item, notes)
        if self.alpha == 'keep':
            item = replace(item, alpha=alpha_of(images[self.base if self.base in images else order[0]]))
        self.runner.check(item, restore)
        item = self.look(item) if look else item
        return replace(item, notes=tuple(notes), seconds=dict(read=time.perf_counter() - start))

    def _load(self, name: str, image: Picture, notes: list[str]) -> tuple[np.ndarray, bool]:
        colourless = self.runner.chroma not in (None, name)
        return read_picture(name, image, range_of(self.ranges, name), colourless, self.trust_pictures, notes)

    def _placed(self, placement: Placement, item: Item, notes: list[str]) -> Item:
        where = ' and '.join(f'{name}{origin(item.paths.get(name))}' for name in item.pictures)
        try:
            with out_of_memory(''):
                placed: Placed = placement(item.pictures)
        except ValueError as error:
            raise type(error)(f'{where}: {error}') from None
        notes += placed.notes
        return replace(item, pictures=placed.pictures, alignment=placed.alignment, seen=placed.seen)

    def look(self, item: Item) -> Item:
        """The item with its tasks told from its pictures, where that is still to be done (prompt ``auto``)."""
        return item if self.router is None else replace(item, routes=self.router.look(item.routes, item.pictures))


def _routed(prompt: Prompt | Mapping[str, Route]) -> TypeIs[Mapping[str, Route]]:
    return isinstance(prompt, Mapping) and bool(prompt) and all(isinstance(r, Route) for r in prompt.values())


def _name(pictures: Mapping[str, Picture], number: int) -> str:
    paths = [image for image in pictures.values() if isinstance(image, str | os.PathLike)]
    return Path(paths[0]).stem if paths else str(number)


def _done(result: Prediction | Failure) -> Prediction:
    if isinstance(result, Failure):
        raise result.error
    return result
