"""The contract of running: items in, predictions out, whatever computes the network."""

from __future__ import annotations

import copy
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lurefusion.choices import did_you_mean
from lurefusion.io.pairing import different_sizes
from lurefusion.ops.layout import image_to_tensor, tensor_to_image
from lurefusion.prompts import PSEUDO_TASK, PromptBank, Route
from lurefusion.runtime.batches import MIN_SIDE, stack
from lurefusion.runtime.finishing import unit, where_seen, with_chroma_of
from lurefusion.runtime.memory import first_that_fits, out_of_memory
from lurefusion.runtime.passes import RunOptions, finished_rows, routes_of
from lurefusion.structures import Failure, FusionDataSample, Item, Prediction

# sides of tiles that are tried where a picture does not fit into memory
TILES = (1024, 512, 256, 128)

# what is wrong with one item, and nothing that the others would share
OWN_ERRORS = (ValueError, TypeError, OSError, MemoryError)


class Runner(ABC):
    """One way of running a fusion network. A back-end supplies :meth:`core`, :meth:`encode_text` and the attributes.

    Conversion, padding, tiles, the coarse pass, grey, batches and checks are the same for all, and are in here.

    Attributes:
        modalities: Names, in the order in which :meth:`core` takes the pictures.
        chroma: Modality that owns the colour; None where there is none.
        prompts: The sentences of the tasks; None for a network without text.
        size_divisor: Sides of what :meth:`core` takes are multiples of this.
        running: Tiles and the coarse pass.
        device: Where :meth:`core` wants its tensors.
        chroma_from: Whose colour the results have: ``fused``, what the network gives, or ``visible``, that of the
            picture of the modality `chroma`, restored where its prompt says that it is degraded.
        restores: Whether single pictures can be restored, see :meth:`restore`.
        reads_sentences: Whether any sentence has a vector and a class, or only the tasks' canonical ones a vector.
    """

    modalities: tuple[str, ...]
    chroma: str | None = None
    prompts: PromptBank | None = None
    size_divisor: int = 1
    running: RunOptions = RunOptions()
    device: torch.device = torch.device('cpu')
    chroma_from: str = 'fused'
    restores: bool = True
    reads_sentences: bool = True

    @property
    @abstractmethod
    def title(self) -> str:
        """What is run, for messages."""

    def fingerprint(self) -> str:
        """Says whether two runners make the same pictures: a back-end adds its weights and options to its name."""
        return f'{self.title} {self.running} {self.chroma_from}'

    @abstractmethod
    def core(self, images: tuple[Tensor, ...], text: Tensor | None = None) -> Tensor:
        """M pictures (B,3,H,W) in [0,1] and their text vectors (M,D), or None, to (B,3,H,W), not clamped."""

    def restore(self, x: Tensor, text: Tensor, modality: int) -> Tensor:
        """Pictures of one modality (B,3,H,W), their text (D,) and the modality's index to (B,3,H,W), not clamped.

        Raises:
            TypeError: For a back-end that only fuses.
        """
        raise TypeError(f'{self.title} only fuses')

    def encode_text(self, sentences: Sequence[str]) -> Tensor | None:
        """(N,D) of N sentences; None for a network without text."""
        return None

    def classify_text(self, sentences: Sequence[str]) -> np.ndarray:
        """(N,T): how likely each sentence is about each task of `prompts`.

        Raises:
            TypeError: For a network without text.
        """
        raise TypeError(f'{self.title} has no text encoder')

    def run(self, item: Item) -> Prediction:
        """Fuse an item that has a picture of every modality.

        Raises:
            TypeError: If a modality is missing or unknown.
            ValueError: On sizes that differ or are below 8 pixels, or arrays that are no pictures.
            MemoryError: If it does not fit into memory.
        """
        return self._predict([item], single=False)[0]

    def run_restore(self, item: Item) -> Prediction:
        """Restore an item that has a picture of one modality; errors as of :meth:`run`."""
        return self._predict([item], single=True)[0]

    def stream(
        self, items: Iterable[Item | Failure], batch_size: int = 1, single: bool = False
    ) -> Iterator[Prediction | Failure]:
        """Run items as they come; results in their order, one for each.

        Neighbours of one size and one text are run together, up to `batch_size` of them, so that no more than these are
        held. What is wrong with an item is its own :class:`Failure`; a `Failure` among the items (a file that could not
        be read) is passed on.

        Args:
            items: May be endless.
            batch_size: Most items that are run together.
            single: Restore items of one picture each.

        Raises:
            ValueError, TypeError: If `batch_size` is no whole number of at least 1.
        """
        check_batch(batch_size)
        return self._stream(items, batch_size, single)

    def _stream(self, items: Iterable[Item | Failure], batch_size: int, single: bool) -> Iterator[Prediction | Failure]:
        waiting: list[Item] = []
        upcoming = iter(items)
        while True:
            try:
                item = next(upcoming)
            except StopIteration:
                break
            except Exception:
                # what came before the source broke is whole
                yield from self._attempt(waiting, single)
                raise
            failed = isinstance(item, Failure)
            if waiting and (failed or _kind(item) != _kind(waiting[0])):
                yield from self._attempt(waiting, single)
                waiting = []
            if failed:
                yield item
                continue
            if len(waiting) + 1 < batch_size:
                # a camera may write its next frame where this one lies
                item = replace(item, pictures={name: picture.copy() for name, picture in item.pictures.items()})
            waiting.append(item)
            if len(waiting) == batch_size:
                yield from self._attempt(waiting, single)
                waiting = []
        yield from self._attempt(waiting, single)

    def _attempt(self, items: list[Item], single: bool) -> Iterator[Prediction | Failure]:
        if not items:
            return
        try:
            yield from self._predict(items, single)
        except OWN_ERRORS as error:
            if len(items) == 1:
                yield Failure(items[0].name, error, items[0].notes)
                return
            # alone, each has its own error, and may fit into memory
            for item in items:
                yield from self._attempt([item], single)

    @torch.no_grad()
    def _predict(self, items: Sequence[Item], single: bool) -> list[Prediction]:
        for item in items:
            self.check(item, single)
        start = time.perf_counter()
        names = tuple(items[0].pictures) if single else self.modalities
        routes = [self._complete(item, names) for item in items]
        owner = names[0] if single else self.chroma
        grey = [owner in item.grey for item in items]
        height, width = items[0].pictures[names[0]].shape[:2]

        def advice() -> str:
            # of several, each is tried alone
            return self._advice((height, width), routes[0], single) if len(items) == 1 else ''

        with out_of_memory(f' ({width}x{height} pixels)', advice):
            columns = {name: [image_to_tensor(item.pictures[name]) for item in items] for name in names}
            images = [stack(name, column, self.device) for name, column in columns.items()]
            out = finished_rows(self, images, (height, width), routes, grey, single)
            pictures = [np.ascontiguousarray(tensor_to_image(row)) for row in out]
        if not single:
            pictures = self._finished(items, pictures, routes[0], grey)
        seconds = (time.perf_counter() - start) / len(items)
        return [
            Prediction(
                item.name,
                picture,
                is_grey,
                said,
                item.notes,
                {**item.seconds, 'run': seconds},
                item.alignment,
                1.0 if item.seen is None else float(item.seen.mean()),
                item.alpha,
            )
            for item, picture, is_grey, said in zip(items, pictures, grey, routes, strict=True)
        ]

    def _advice(self, size: tuple[int, int], routes: Mapping[str, Route], single: bool) -> str:
        """Which tiles of a picture would fit, by trying, once for each size."""
        known, now = self.__dict__.setdefault('_known_to_fit', {}), self.running
        # other threads go on with what this one runs with
        trial = copy.copy(self)

        def attempt(tile: int) -> None:
            trial.running = replace(now.in_tiles(tile), max_pixels=None, coarse=None)
            images = [
                torch.zeros(1, 3, tile, tile, device=self.device) for _ in range(1 if single else len(self.modalities))
            ]
            finished_rows(trial, images, (tile, tile), [routes], [False], single)

        whole = now.max_pixels is None or size[0] * size[1] <= now.max_pixels
        largest = math.isqrt(size[0] * size[1]) if whole else now.tile
        if (key := (largest, single)) not in known:
            known[key] = first_that_fits([side for side in TILES if side < largest], attempt)
        tile = known[key]
        return '' if tile is None else f'tiles of {tile} pixels fit (--tile {tile}, tile={tile}), or '

    def _finished(
        self, items: Sequence[Item], pictures: list[np.ndarray], routes: Mapping[str, Route], grey: Sequence[bool]
    ) -> list[np.ndarray]:
        """The fused pictures with the colour that is wanted, and of one modality where the other saw nothing."""
        owner = self.chroma
        done = []
        for item, picture, is_grey in zip(items, pictures, grey, strict=True):
            if self.chroma_from == 'visible' and owner is not None and not is_grey:
                picture = with_chroma_of(picture, self._alone(item, owner, routes, is_grey))
            if item.seen is not None and not item.seen.all():
                picture = where_seen(picture, self._alone(item, item.alignment.fixed, routes, is_grey), item.seen)
            done.append(picture)
        return done

    def _alone(self, item: Item, name: str, routes: Mapping[str, Route], grey: bool) -> np.ndarray:
        """The picture of one modality: restored if its prompt says that it is degraded, else as it is."""
        picture = item.pictures[name]
        if name not in routes or routes[name].task == PSEUDO_TASK:
            return unit(picture).mean(axis=2, keepdims=True).repeat(3, axis=2) if grey else picture
        image = stack(name, [image_to_tensor(picture)], self.device)
        [out] = finished_rows(self, [image], picture.shape[:2], [{name: routes[name]}], [grey], single=True)
        return tensor_to_image(out)

    def _complete(self, item: Item, names: Sequence[str]) -> dict[str, Route]:
        """Routes in the order of the modalities."""
        if self.prompts is None:
            return {}
        default = Route(PSEUDO_TASK, self.prompts.canonical(PSEUDO_TASK), 'default')
        return {name: item.routes.get(name, default) for name in names}

    def use_tiles(self, side: int) -> None:
        """Run everything larger than `side` pixels in tiles of that side: less memory, see :mod:`runtime.tiling`.

        Raises:
            ValueError: If it is no whole number, below 64, or not a multiple of `size_divisor`.
        """
        if isinstance(side, bool) or not isinstance(side, int):
            raise ValueError(f'tile is a whole number of pixels, got {side!r}')
        if side % self.size_divisor:
            raise ValueError(f'tile must be a multiple of {self.size_divisor} for {self.title}, got {side}')
        self.running = self.running.in_tiles(side)

    def check_names(self, names: Iterable[str], single: bool = False) -> None:
        """Refuse sets of pictures that the network does not take.

        Raises:
            TypeError: If a modality is unknown or missing; to restore, if there is not exactly one.
            ValueError: To restore, if the network only fuses.
        """
        names, wanted = list(names), ', '.join(self.modalities)
        for name in names:
            if name not in self.modalities:
                hint = did_you_mean(name, list(self.modalities))
                raise TypeError(f'unknown modality {name!r}.{hint} The model takes {wanted}')
        if single:
            if self.prompts is None:
                raise ValueError(
                    f'{self.title} only fuses; to restore a picture take a model with text, e.g. lure-tiny'
                )
            if len(names) != 1:
                raise TypeError(f'a picture of one modality is restored at a time, got {", ".join(names) or "none"}')
            return
        missing = [name for name in self.modalities if name not in names]
        if missing:
            by_name = '' if names else f'; pictures are given by name: {", ".join(f"{m}=..." for m in self.modalities)}'
            raise TypeError(f'the model needs a picture of each of {wanted}; missing: {", ".join(missing)}{by_name}')

    def check(self, item: Item, single: bool = False) -> None:
        """Refuse an item that cannot be run; see :meth:`run`."""
        self.check_names(item.pictures, single)
        for name, picture in item.pictures.items():
            where = f'{name}{origin(item.paths.get(name))}'
            if picture.ndim != 3 or picture.shape[2] != 3:
                raise ValueError(f'{where}: expected (H, W, 3), got {picture.shape}')
            if min(picture.shape[:2]) < MIN_SIDE:
                height, width = picture.shape[:2]
                raise ValueError(f'{where}: {width}x{height} pixels; at least {MIN_SIDE}x{MIN_SIDE} are needed')
        sizes = {name: picture.shape[:2] for name, picture in item.pictures.items()}
        if problem := different_sizes(sizes, item.paths):
            raise ValueError(problem)


def _kind(item: Item) -> Any:
    """What items that are run together have in common."""
    said = {name: (route.task, route.sentence) for name, route in item.routes.items()}
    return {name: (picture.shape, picture.dtype) for name, picture in item.pictures.items()}, said


def origin(path: Any) -> str:
    """`` (path)`` for messages, nothing for pictures that come from no file."""
    return '' if path is None else f' ({path})'


def check_batch(size: int) -> None:
    """Refuse what is no number of pictures.

    Raises:
        TypeError: If it is no whole number.
        ValueError: If it is below 1.
    """
    if not isinstance(size, Integral) or isinstance(size, bool):
        raise TypeError(f'batch_size must be a whole number of at least 1, got {size!r} ({type(size).__name__})')
    if size < 1:
        raise ValueError(f'batch_size must be at least 1, got {size}')


def item_of(inputs: Mapping[str, Tensor], sample: FusionDataSample, runner: Runner) -> Item:
    """A sample of a data set, modality -> (C,H,W) uint8 or float in [0, 1], as an item."""
    [routes] = routes_of(runner, [sample])
    sources = {name: inputs[name].expand(3, -1, -1) for name in runner.modalities}
    pictures = {name: np.ascontiguousarray(tensor_to_image(x)) for name, x in sources.items()}
    return Item(str(sample.get('name', '')), pictures, tuple(sample.get('grey', ())), routes)
