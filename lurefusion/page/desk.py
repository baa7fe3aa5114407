"""What is asked of the networks by a page: pairs, archives, clips; without a browser, and without Gradio."""

from __future__ import annotations

import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from mmengine.logging import MMLogger

from lurefusion.apis.inferencer import FusionInferencer
from lurefusion.apis.models import BASELINES, list_models
from lurefusion.apis.runners import runner_of
from lurefusion.choices import one_of
from lurefusion.evaluation.cards import card_of, compute
from lurefusion.ops.layout import image_to_tensor, to_unit
from lurefusion.page.archives import pack, unpack_pictures, write_report
from lurefusion.page.examples import MODALITIES
from lurefusion.page.limits import Limits
from lurefusion.page.wording import title_of
from lurefusion.prompts import AUTO, PSEUDO_TASK, TASKS, PromptBank, Route
from lurefusion.prompts.grammar import compile_names
from lurefusion.runtime.runner import Runner
from lurefusion.runtime.torch_runner import TorchRunner
from lurefusion.structures import Failure, Item, Prediction

#: measured beside a result unless others are asked for
METRICS = ('SSIM', 'CC', 'PSNR', 'Qabf', 'VIF', 'EN')
OWN = 'own'
# how often a job says how far it is, seconds
_EVERY = 0.2


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    Attributes:
        model: One of `Desk.models`.
        prompt: What is wrong with the pictures; empty: nothing.
        auto: Tell it from the pictures; `prompt` is not read.
        register: Kind of transform that brings one picture onto the other; None: they are aligned.
        resize: Modality whose pixels the result has; None: the sizes have to be equal, or with `register` those of the
            owner of the colour.
        chroma: ``fused`` or ``visible``.
        trust: See `trust_pictures` of :class:`FusionInferencer`.
        metrics: Names of metrics.
        restore: Restore each picture alone, too.
    """

    model: str
    prompt: str = ''
    auto: bool = False
    register: str | None = None
    resize: str | None = None
    chroma: str = 'fused'
    trust: bool = False
    metrics: Sequence[str] = METRICS
    restore: bool = True


@dataclass(frozen=True)
class Told:
    """What was understood for one modality.

    Attributes:
        modality: Its name.
        task: Key of the task.
        fault: What is wrong, in words; empty if nothing is.
        sentence: By which it is restored.
        source: See `Route.source`.
        probability: Of what was told from the picture; None otherwise.
        guesses: Fault, in words -> probability of what else is likely; of pictures that were looked at.
        foreign: Fault, in words, that the picture most likely has and the network has no task for.
    """

    modality: str
    task: str
    fault: str
    sentence: str
    source: str
    probability: float | None = None
    guesses: Mapping[str, float] = field(default_factory=dict)
    foreign: str = ''


@dataclass(frozen=True)
class Answer:
    """What became of a pair.

    Attributes:
        fused: The result.
        pictures: Modality -> picture that went in, on the pixels of the result.
        restored: Modality -> picture restored alone; those that are to be kept are not here.
        told: What was understood; empty for networks without text.
        remarks: What looks wrong, or was not understood.
        metrics: Name -> value; NaN for pictures that are too small for a metric.
        seconds: That the fusion took.
    """

    fused: Prediction
    pictures: Mapping[str, np.ndarray]
    restored: Mapping[str, Prediction]
    told: Sequence[Told]
    remarks: Sequence[str]
    metrics: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class Job:
    """What became of an archive or of a clip.

    Attributes:
        file: The result.
        done: Pictures or frames in it.
        failed: Name -> error.
        remarks: What looks wrong, and what was left out.
        told: Modality -> tasks, each with how many pictures, or from which frame on.
        seconds: That it took.
    """

    file: Path
    done: int
    failed: Mapping[str, str]
    remarks: Sequence[str]
    told: Mapping[str, Sequence[str]]
    seconds: float


class Desk:
    """Answers requests; networks are loaded once, when they are first asked for, and shared by all who ask.

    One request is worked on at a time: two pictures at once need the memory of both and are done no sooner.

    Args:
        limits: What is refused.
        model, weights, device: A network of one's own, as of :class:`FusionInferencer`; it is offered first. None:
            those that come with the package.

    Attributes:
        models: Names of the networks, the first is the default.
        modalities: Of all of them.

    Raises:
        FileNotFoundError, ValueError: As of :class:`FusionInferencer`; if the network does not take two modalities.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        model: str | None = None,
        weights: str | None = None,
        device: str | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self._device = device
        self._runners: dict[str, Runner] = {}
        self._lock = threading.Lock()
        self._sources: dict[str, tuple[Any, str | None]] = {}
        own = None
        if model is not None or weights is not None:
            own = runner_of(model, weights, device)
            name = OWN if model is None or model.endswith('.py') else Path(model).stem
            self._sources[name], self._runners[name] = (model, weights), own
        for name in sorted(list_models(), key=lambda name: (name.startswith(BASELINES), name != 'lure-tiny')):
            self._sources.setdefault(name.removeprefix(BASELINES).removesuffix('_ir_vi.py'), (name, None))
        first = next(iter(self._sources))
        self.modalities = self.runner(first).modalities
        if len(self.modalities) != 2:
            raise ValueError(f'the page takes pairs; the model takes {", ".join(self.modalities)}')
        if own is not None and self.modalities != MODALITIES:
            # the others are of visible and infrared pictures
            self._sources = {first: self._sources[first]}
        self.models = tuple(self._sources)

    def runner(self, model: str) -> Runner:
        """The network of a name, loaded if it is not there yet."""
        one_of('model', model, list(self._sources))
        if model not in self._runners:
            source, weights = self._sources[model]
            self._runners[model] = runner_of(source, weights, self._device)
        return self._runners[model]

    def _inferencer(self, wish: Wish) -> FusionInferencer:
        return FusionInferencer(
            self.runner(wish.model),
            chroma=wish.chroma,
            trust_pictures=wish.trust,
            resize=wish.resize,
            register=wish.register,
        )

    # ---------------------------------------------------------------- pairs

    def fuse(self, pictures: Mapping[str, str | os.PathLike], wish: Wish) -> Answer:
        """Fuse a pair of files.

        Raises:
            FileNotFoundError, ValueError, TypeError, KeyError, MemoryError: Say what is wrong with files or wish.
        """
        self._check_pair(pictures)
        for path in pictures.values():
            self.limits.check_picture(path)
        with self._lock, noted() as remarks:
            inferencer = self._inferencer(wish)
            item = _item(inferencer, pictures, _prompt(inferencer, wish, remarks))
            start = time.perf_counter()
            [fused] = inferencer.forward([item])
            seconds = time.perf_counter() - start
            if isinstance(fused, Failure):
                raise fused.error
            restored = {}
            if wish.restore and inferencer.runner.restores:
                restored = dict(_restored(inferencer.runner, item))
            told = _told(fused.routes, inferencer.runner.prompts)
        return Answer(
            fused,
            item.pictures,
            restored,
            told,
            [*remarks, *fused.notes],
            measured(fused.picture, item.pictures, wish.metrics),
            seconds,
        )

    def look_inside(self, pictures: Mapping[str, str | os.PathLike], wish: Wish) -> list[tuple[np.ndarray, str]]:
        """Weights of the modalities and latents of a pair, as pictures with captions; see `lurefusion.page.inside`.

        Raises:
            FileNotFoundError, ValueError, TypeError, KeyError, MemoryError: As :meth:`fuse`.
        """
        from lurefusion.page.inside import pictures_of_latents, pictures_of_shares, shrunk

        self._check_pair(pictures)
        for path in pictures.values():
            self.limits.check_picture(path)
        with self._lock, noted():
            inferencer = self._inferencer(wish)
            runner = inferencer.runner
            item = _item(inferencer, pictures, _prompt(inferencer, wish, []))
            images = shrunk(item, runner)
            text = None
            if runner.prompts is not None:
                text = torch.cat([runner.encode_text([item.routes[name].sentence]) for name in self.modalities])
            latents = pictures_of_latents(runner.model, images, item) if isinstance(runner, TorchRunner) else []
            return [*pictures_of_shares(runner, images, text), *latents]

    def _check_pair(self, pictures: Mapping[str, str | os.PathLike | None]) -> None:
        missing = [title_of(name) for name in self.modalities if not pictures.get(name)]
        if missing:
            raise ValueError(f'missing: the {" and the ".join(missing).lower()} picture; choose a file, or an example')

    # ------------------------------------------------------ archives, clips

    def fuse_archive(
        self,
        archive: str | os.PathLike,
        wish: Wish,
        work: str | os.PathLike,
        patterns: Mapping[str, str] | None = None,
        bit_depth: int = 8,
        tell: Callable[[int, int], None] | None = None,
    ) -> Job:
        """Fuse the pairs of a ZIP archive into another.

        Args:
            archive: With a folder for each modality, named after it (`visible`, `vi`, `rgb`, `ir`, `thermal`, ...), and
                pictures of one name in both; or pictures that `patterns` tell apart.
            wish: What is asked for; metrics and single pictures are left out.
            work: Empty folder; the result is written here, what was unpacked is removed.
            patterns: Modality -> how its files are named, ``{id}_vi``.
            bit_depth: Of the results.
            tell: Called with how many are done and how many there are.

        Raises:
            FileNotFoundError, ValueError, TypeError, KeyError: Say what is wrong with the archive or the wish.
        """
        work, start = Path(work), time.perf_counter()
        # messages name the folder
        stem = re.sub(r'[^\w.-]', '_', Path(archive).stem)[:60].lstrip('.') or 'pictures'
        inner, out = work / 'unpacked' / stem, work / 'fused'
        try:
            names, others, bad = unpack_pictures(archive, inner, self.limits)
            if not names:
                name, error = next(iter(bad.items()))
                raise ValueError(f'no pair could be fused; {name}: {error}')
            folders = self._folders(names, inner) if patterns is None else dict.fromkeys(self.modalities, inner)
            with self._lock, noted() as remarks:
                inferencer = self._inferencer(wish)
                count = 0

                def step(outcome: Any, total: int) -> None:
                    nonlocal count
                    count += 1
                    if tell is not None:
                        tell(count, total)

                report = inferencer.fuse_folders(
                    folders,
                    out,
                    _prompt(inferencer, wish, remarks),
                    bit_depth=bit_depth,
                    patterns=patterns,
                    allow_unpaired=True,
                    tell=step,
                )
            # names as they stand in the archive
            failed = bad | {name: error.replace(f'{inner}{os.sep}', '') for name, error in report.failed.items()}
            if not report.done:
                name, error = next(iter(failed.items()))
                raise ValueError(f'no pair could be fused; {name}: {error}')
            for name, alone in report.unpaired.items():
                remarks.append(f'{len(alone)} of {title_of(name).lower()} without a partner: {_few(alone)}')
            if others:
                remarks.append(f'left out, no pictures: {_few(others)}')
            notes = {name: [one.replace(f'{inner}{os.sep}', '') for one in own] for name, own in report.notes.items()}
            remarks += [f'{name}: {note}' for name, own in notes.items() for note in own]
            write_report(out / 'report.csv', report, failed, notes)
            file = pack(out, work / f'{stem}_fused.zip')
        finally:
            shutil.rmtree(inner.parent, ignore_errors=True)
            shutil.rmtree(out, ignore_errors=True)
        return Job(file, len(report.done), failed, remarks, _counted(report.routes), time.perf_counter() - start)

    def _folders(self, names: Sequence[str], inner: Path) -> dict[str, Path]:
        """Modality -> its folder, by the words for modalities."""
        found: dict[str, set[PurePosixPath]] = {}
        words = {name: compile_names((re.escape(name), *_words(self, name))) for name in self.modalities}
        for folder in {parent for name in names for parent in PurePosixPath(name).parents}:
            clean = re.sub(r'[_\-.]+', ' ', folder.name.lower())
            own = [name for name, expression in words.items() if expression.search(clean)]
            if len(own) == 1:
                found.setdefault(own[0], set()).add(folder)
        for name, folders in found.items():
            # 'thermal_dataset' with a folder of the visible pictures in it is no folder of the modality
            others = {above for other in found if other != name for folder in found[other] for above in folder.parents}
            folders = folders - others or folders
            # a folder of the modality in another one of its own
            found[name] = {folder for folder in folders if not folders & {*folder.parents}}
        if any(len(found.get(name, ())) != 1 for name in self.modalities):
            there = sorted({str(PurePosixPath(name).parent) for name in names})
            wanted = ' and '.join(title_of(name).lower() for name in self.modalities)
            raise ValueError(
                f'the archive needs one folder for each of {wanted}, named after it, with pictures of one name; it has '
                f'{_few([folder.replace(".", "no folder") for folder in there])}. Or say how the files are named'
            )
        return {name: inner / next(iter(found[name])) for name in self.modalities}

    def fuse_clip(
        self,
        clips: Mapping[str, str | os.PathLike],
        wish: Wish,
        work: str | os.PathLike,
        steady: float | None = None,
        tell: Callable[[int, int | None], None] | None = None,
    ) -> Job:
        """Fuse two videos into one (MP4); arguments and errors as of :meth:`fuse_archive`, `steady` as of `fuse_video`.

        Raises:
            ImportError: If PyAV is missing.
        """
        missing = [title_of(name) for name in self.modalities if not clips.get(name)]
        if missing:
            raise ValueError(f'missing: the {" and the ".join(missing).lower()} clip')
        for path in clips.values():
            self.limits.check_clip(path)
        start, count, said = time.perf_counter(), 0, 0.0

        def step(name: str, total: int | None) -> None:
            nonlocal count, said
            count += 1
            # headers may lie, or say nothing
            self.limits.check_frames('the clip', count)
            now = time.perf_counter()
            if tell is not None and now - said > _EVERY:
                said = now
                tell(count, total)

        with self._lock, noted() as remarks:
            inferencer = self._inferencer(wish)
            file = Path(work) / 'fused.mp4'
            prompt = _prompt(inferencer, wish, remarks)
            routes = inferencer.route(prompt)
            # sound has its own codecs, which not every container takes
            report = inferencer.fuse_video(clips, file, routes or None, steady=steady, audio=False, tell=step)
        told = {
            name: [task if len(found) == 1 else f'{task} from frame {frame} on' for frame, task in found]
            for name, found in report.prompts.items()
        }
        told = told or {name: [route.task] for name, route in routes.items()}
        times = str(report.times)
        remarks += [times] if report.times.before or report.times.after else []
        remarks += report.notes
        remarks += [f'frame {name}: {note}' for name, notes in list(report.frame_notes.items())[:5] for note in notes]
        return Job(file, report.frames, report.failed, remarks, told, time.perf_counter() - start)


@contextmanager
def noted() -> Iterator[list[str]]:
    """What this thread is warned of inside of it, e.g. that a prompt was not understood."""
    said: list[str] = []
    own = threading.get_ident()

    class Note(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == own and record.levelno >= logging.WARNING:
                said.append(record.getMessage())

    logger, handler = MMLogger.get_current_instance(), Note()
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)


def _prompt(inferencer: FusionInferencer, wish: Wish, remarks: list[str]) -> str | None:
    text = AUTO if wish.auto else wish.prompt.strip()
    if wish.auto and wish.prompt.strip():
        remarks.append('auto is on, so that the prompt was not read')
    if not text:
        return None
    if inferencer.router is None:
        if not wish.auto:
            remarks.append(f'{wish.model} reads no prompt: the pictures are fused as they are')
        return None
    return text


def _item(inferencer: FusionInferencer, pictures: Mapping[str, Any], prompt: str | None) -> Item:
    [item] = inferencer.preprocess({name: [Path(pictures[name])] for name in inferencer.modalities}, prompt)
    if isinstance(item, Failure):
        raise item.error
    return item


def _restored(runner: Runner, item: Item) -> Iterator[tuple[str, Prediction]]:
    for name, route in item.routes.items():
        if route.task != PSEUDO_TASK:
            alone = replace(
                item, pictures={name: item.pictures[name]}, routes={name: route}, alignment=None, seen=None, alpha=None
            )
            yield name, runner.run_restore(alone)


def _told(routes: Mapping[str, Route], bank: PromptBank | None) -> list[Told]:
    found = []
    for name, route in routes.items():
        fault = '' if route.task == PSEUDO_TASK else bank.task(route.task).defects[0]
        look = route.found
        likely = {} if look is None else {key: share for key, share in look.probabilities.items() if share >= 0.05}
        likely.pop(route.task, None)
        first = max(likely, key=likely.__getitem__, default='')
        foreign = first if first not in bank.keys and likely.get(first, 0) > 0.5 else ''
        guesses = {_fault(key, bank): share for key, share in likely.items() if key != foreign}
        probability = look and look.probability
        about = foreign and _fault(foreign, bank)
        found.append(Told(name, route.task, fault, route.sentence, route.source, probability, guesses, about))
    return found


def _fault(key: str, bank: PromptBank) -> str:
    """A task in words, also one that the network does not have."""
    if key == PSEUDO_TASK:
        return 'nothing wrong'
    task = bank.task(key) if key in bank.keys else TASKS.get(key)
    return key if task is None else task.defects[0]


def measured(fused: np.ndarray, pictures: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, float]:
    """Metrics of a fused picture (H,W,3) beside its sources, in the order of their names.

    Raises:
        KeyError: If there is no such metric.
    """
    if not names:
        return {}
    sources = [to_unit(image_to_tensor(picture))[None] for picture in pictures.values()]
    values = compute(image_to_tensor(fused)[None], sources, list(names), too_small='nan')
    return {name: float(value) for name, value in values.items()}


def offered_metrics() -> list[str]:
    """Every registered metric, those of plug-ins too, that needs nothing but a fused picture and its sources."""
    from lurefusion.registry import MEASURES, members

    cards = [card_of(name) for name in members(MEASURES)]
    return [card.name for card in cards if card.function is not None and not {'reference', 'label'} & {*card.needs}]


def _counted(routes: Mapping[str, Mapping[str, Route]]) -> dict[str, list[str]]:
    counts: dict[str, dict[str, int]] = {}
    for own in routes.values():
        for name, route in own.items():
            tasks = counts.setdefault(name, {})
            tasks[route.task] = tasks.get(route.task, 0) + 1
    return {name: [f'{task} ({count})' for task, count in tasks.items()] for name, tasks in counts.items()}


def _words(desk: Desk, modality: str) -> tuple[str, ...]:
    bank = desk.runner(desk.models[0]).prompts
    return () if bank is None else bank.words(modality)


def _few(names: Sequence[str], count: int = 6) -> str:
    return ', '.join(names[:count]) + (f' and {len(names) - count} more' if len(names) > count else '')
