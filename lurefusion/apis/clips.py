"""Videos and folders of frames to a fused clip."""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from itertools import islice, tee
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lurefusion.apis.folders import settings_of
from lurefusion.apis.frames import FrameJob, Kept
from lurefusion.io.clips import (
    FOLDER_RATE,
    Clip,
    Frame,
    FrameFolder,
    TimeReport,
    VideoFile,
    is_video,
    open_clips,
    pair_by_time,
)
from lurefusion.io.codecs import CONTAINERS, choose_encoding
from lurefusion.io.images import READ_SUFFIXES, read_image
from lurefusion.io.pairing import list_images, pair_files, refuse_inside
from lurefusion.io.video import ClipWriter, VideoWriter, open_writer, refuse_encoding
from lurefusion.prompts import PromptRouter
from lurefusion.prompts.hysteresis import Hysteresis
from lurefusion.runtime.jobs import RECORDS
from lurefusion.runtime.progress import Progress
from lurefusion.runtime.runner import OWN_ERRORS, check_batch
from lurefusion.runtime.steady import Steady
from lurefusion.structures import Failure, Item, Prediction

if TYPE_CHECKING:
    from lurefusion.apis.inferencer import FusionInferencer, Prompt

# a clip is aligned by the best of so many frames that can be, which lie so many frames apart
ALIGNED_BY, APART = 5, 10
#: frames per second that are believed
MOST_FRAMES = 1000
# what looks wrong in frames is kept for so many of them
_NOTED = 100


@dataclass
class ClipReport:
    """What became of a clip.

    Attributes:
        frames: Written now.
        kept: Of a folder of frames: there already, made of the same.
        times: How the frames of the clips met.
        failed: Name of a frame -> error; the frame before it is shown longer.
        notes: What looks wrong in the clips; and name of a frame -> in its pictures, of the first hundred.
        ranges: Modality -> range that all frames shared.
        alignment: Of clips that were aligned: `kind`, `residual`, `confidence`, and `seen`, the share of pixels that
            both cameras saw.
        prompts: Modality -> tasks as they were understood, or told from the pictures (prompt ``auto``), each with the
            name of the frame from which on it holds.
    """

    frames: int = 0
    kept: int = 0
    times: TimeReport = field(default_factory=TimeReport)
    failed: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    frame_notes: dict[str, list[str]] = field(default_factory=dict)
    ranges: dict[str, str] = field(default_factory=dict)
    alignment: dict[str, Any] | None = None
    prompts: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line for machines."""
        return json.dumps(asdict(self))


def fuse_video(
    inferencer: FusionInferencer,
    sources: Mapping[str, str | os.PathLike],
    out: str | os.PathLike,
    prompt: Prompt = None,
    reference: str | None = None,
    rate: Fraction | float | str | None = None,
    offsets: Mapping[str, float] | None = None,
    steady: float | None = None,
    codec: str | None = None,
    pixel_format: str | None = None,
    quality: int | None = None,
    audio: bool = True,
    bit_depth: int = 8,
    batch_size: int = 1,
    patterns: Mapping[str, str] | None = None,
    recursive: bool = True,
    allow_unpaired: bool = False,
    overwrite: bool = False,
    tell: Callable[[str, int | None], None] | None = None,
) -> ClipReport:
    """Fuse a clip frame by frame; memory does not grow with its length.

    Args:
        inferencer: Fuses. Modalities of its range ``shared`` get one range for all frames, by a first pass. If it
            registers, all frames have one transform, which is found from a few of them before.
        sources: Modality -> video or folder of frames. Frames of folders alone are paired by their names, else all by
            the nearest time.
        out: A video (`.mp4`, `.mkv`, ...), or a folder of frames. A video is there when it is whole, not before. Of a
            folder, frames that are there and were made of the same clips, weights and options are kept, so that a run
            which was interrupted goes on, with the frames of an unbroken one.
        prompt: For all frames. ``auto``: told from each, and held until another task has been clearly likelier for a
            while, see :class:`lurefusion.prompts.hysteresis.Hysteresis`.
        reference: Modality that gives the frames, times and sound; None: the one that owns the colour, or the first.
        rate: Frames per second of folders, see :func:`lurefusion.io.clips.open_clips`.
        offsets: Modality -> seconds by which its clip starts later than those that have none.
        steady: Time constant in seconds by which brightness and contrast are damped, see
            :class:`lurefusion.runtime.steady.Steady`; None: not at all.
        codec, pixel_format, quality: See :func:`lurefusion.io.codecs.choose_encoding`.
        audio: Keep the sound of the reference.
        bit_depth: Of a folder of frames; a video has that of its pixel format.
        batch_size: Frames that are run together.
        patterns, recursive, allow_unpaired: For folders alone, see :func:`lurefusion.io.pairing.pair_files`.
        overwrite: Replace what is there.
        tell: Called for every frame with its name and how many there are, if that is known; instead of showing the
            progress.

    Raises:
        FileNotFoundError, ImportError: If a source is missing, or PyAV is.
        FileExistsError: If `out` is there (of a folder: frames that were made otherwise), and not `overwrite`.
        ValueError: On clips that cannot be read or paired, or an encoding that there is not; if no frame can be fused,
            or none aligned that is to be.
        OSError: If `out` cannot be written.
    """
    # range and alignment of this clip are no other call's
    inferencer = copy.copy(inferencer)
    inferencer.runner.check_names(sources)
    out = Path(out)
    refuse_inside(out, sources)
    if inferencer.alpha == 'keep':
        raise ValueError('frames of a clip have no alpha to keep: alpha="drop" (--alpha drop)')
    check_batch(batch_size)
    rate = _check_numbers(sources, out, rate, offsets, bit_depth)
    _refuse_existing(out, overwrite)
    reference = reference or inferencer.runner.chroma or inferencer.modalities[0]
    if reference not in sources:
        raise ValueError(f'the reference {reference!r} is none of the clips {", ".join(sources)}')
    report = ClipReport()
    clips = _open(sources, rate, patterns, recursive, allow_unpaired, report)
    damp = None if steady is None else Steady(steady)
    # the clip whose pixels the result has
    base = reference if inferencer.placement is None else inferencer.placement.fixed
    first = next(iter(clips[base])).picture
    first = read_image(first)[0] if isinstance(first, Path) else first
    if is_video(out):
        # what cannot be written is said before the work
        choose_encoding(out, first.shape[1::-1], codec, pixel_format, quality)
    routes = inferencer.route(prompt)
    leader = clips[reference]
    # of the clips, only a video has sound
    sound = leader if audio and isinstance(leader, VideoFile) and leader.has_audio and is_video(out) else None
    stored = {name: _stored(clip) for name, clip in clips.items()}
    with ExitStack() as stack:
        report.ranges = stack.enter_context(inferencer.sharing_ranges(stored))
        progress = stack.enter_context(Progress(clips[reference].frames, 'frames'))
        some = ({name: frame.picture for name, frame in pair.items()} for _, pair in _sparse(clips, reference, offsets))
        alignment = stack.enter_context(inferencer.sharing_alignment(some, ALIGNED_BY))
        job: FrameJob | None = None
        if not is_video(out):
            given = dict(codec=codec, pixel_format=pixel_format, quality=quality)
            refuse_encoding(out, given)
            pairing = dict(reference=reference, rate=str(rate), offsets=dict(offsets or {}), steady=steady)
            settings = settings_of(inferencer, routes, bit_depth=bit_depth, **pairing)
            job = stack.enter_context(FrameJob(out, clips, settings, bit_depth, overwrite))
        auto = any(route.pending for route in routes.values())
        # where frames depend on those before, what follows one that is made anew is made anew
        chained = auto or steady is not None
        plan = _planned(pair_by_time(clips, reference, offsets, report.times), reference, job, chained)
        moments, looks, labels, *columns = tee(plan, 3 + len(clips))
        # with `auto`, what holds depends on the frames before, also on those that are kept
        frames = {name: _pictures(name, column, not auto) for name, column in zip(clips, columns, strict=True)}
        names = (moment.frames[reference].name for moment in labels)
        items = inferencer.preprocess(frames, routes or None, names, look=False)
        if auto:
            assert inferencer.router is not None  # without one, no route is pending
            held = HeldPrompt(inferencer.router, report.prompts)
            items = (moment.kept or held_item for moment, held_item in _held(held, items, looks))
        else:
            del looks
        results = inferencer.forward(items, batch_size)
        writer: ClipWriter | None = None
        began = ''
        for result, moment in zip(results, moments, strict=True):
            if isinstance(writer, VideoWriter) and isinstance(result, Prediction):
                result = _of_one_size(result, writer, report.frames)
            if isinstance(result, Kept):
                report.kept += 1
                if damp is not None:
                    assert result.luma is not None  # what is kept was made with the same `steady`
                    damp.observe(*result.luma, moment.time)
            elif isinstance(result, Failure):
                _note(report, result)
                if not report.frames + report.kept:
                    # what is wrong with the first frame is wrong with all, in most cases
                    raise type(result.error)(f'frame {result.name}: {result.error}') from None
                continue
            else:
                _note(report, result)
                if alignment is not None and report.alignment is None:
                    report.alignment = alignment.figures(seen=result.seen)
                picture = _damped(result, moment.time, damp)
                if job is not None:
                    job.write(result.name, moment.frames, picture, None if damp is None else damp.last)
                else:
                    if writer is None:
                        writer = stack.enter_context(
                            open_writer(
                                out,
                                picture.shape[1::-1],
                                clips[reference].rate,
                                sound,
                                codec,
                                pixel_format,
                                quality,
                                aspect=clips[reference].aspect,
                            )
                        )
                    writer.write(picture, moment.time, result.name)
                report.frames += 1
            began = began or result.name
            if tell is None:
                progress.step(quick=isinstance(result, Kept))
            else:
                tell(result.name, clips[reference].frames)
    if not report.frames + report.kept:
        raise ValueError(f'no frame of {", ".join(str(clip.path) for clip in clips.values())} has a partner in time')
    for name, route in routes.items():
        if not route.pending:
            report.prompts[name] = [(began, route.task)]
    report.notes += [note for clip in clips.values() for note in clip.notes]
    return report


def _open(
    sources: Mapping[str, str | os.PathLike],
    rate: Fraction | None,
    patterns: Mapping[str, str] | None,
    recursive: bool,
    allow_unpaired: bool,
    report: ClipReport,
) -> dict[str, Clip]:
    if not all(Path(path).is_dir() for path in sources.values()):
        if patterns is not None:
            raise ValueError('patterns (--pair) are for folders; a video is paired by the times of its frames')
        return open_clips(sources, rate, recursive)
    pairing = pair_files(sources, patterns=patterns, recursive=recursive, allow_unpaired=allow_unpaired)
    for name, alone in pairing.unpaired.items():
        report.notes.append(f'{name}: {len(alone)} frames have no partner and are left out')
    for name, others in pairing.unread.items():
        report.notes.append(f'{name}: {len(others)} files of kinds that are not read are left out, as {others[0]}')
    files = {name: {stem: paths[name] for stem, paths in pairing.pairs.items()} for name in sources}
    return {name: FrameFolder(path, rate or FOLDER_RATE, files[name]) for name, path in sources.items()}


@dataclass(frozen=True)
class _Moment:
    """Frames that belong together, at `time` (seconds), and what stands for them if they were fused before."""

    time: float
    frames: Mapping[str, Frame]
    kept: Kept | None


def _planned(
    pairs: Iterable[tuple[float, dict[str, Frame]]], reference: str, job: FrameJob | None, chained: bool
) -> Iterator[_Moment]:
    anew = False
    for time, pair in pairs:
        kept = None if job is None else job.kept(pair[reference].name, pair, anew)
        anew = chained and kept is None
        yield _Moment(time, pair, kept)


def _pictures(name: str, plan: Iterable[_Moment], skip: bool) -> Iterator[np.ndarray | Path | Kept]:
    """Of one modality; with `skip`, those that were fused before are not looked at."""
    return ((skip and moment.kept) or moment.frames[name].picture for moment in plan)


def _held(
    held: HeldPrompt, items: Iterable[Item | Failure], plan: Iterable[_Moment]
) -> Iterator[tuple[_Moment, Item | Failure]]:
    return ((moment, held(item, moment.time)) for item, moment in zip(items, plan, strict=True))


def _stored(clip: Clip) -> Callable[[], Iterable[np.ndarray]]:
    from lurefusion.io.shared_range import pictures_of

    def pictures() -> Iterator[np.ndarray]:
        for frame in clip:
            yield from pictures_of([frame.picture]) if isinstance(frame.picture, Path) else [frame.picture]

    return pictures


class HeldPrompt:
    """Tells the tasks of the frames of a clip, and holds them; `told` is filled, see `ClipReport.prompts`."""

    def __init__(self, router: PromptRouter, told: dict[str, list[tuple[str, str]]]) -> None:
        self.router, self.told = router, told
        self._held: dict[str, Hysteresis] = {}

    def __call__(self, item: Item | Failure, time: float) -> Item | Failure:
        """The item with the routes that hold at `time`, seconds."""
        if isinstance(item, Failure):
            return item
        try:
            seen = self.router.look(item.routes, item.pictures)
        except OWN_ERRORS as error:
            return Failure(item.name, error, item.notes)
        routes = dict(seen)
        for name, route in seen.items():
            if not item.routes[name].pending:
                continue
            # what is not sure counts as nothing wrong, in every frame
            task = self._held.setdefault(name, Hysteresis())({route.task: 1.0}, time)
            routes[name] = replace(route, task=task, sentence=self.router.bank.canonical(task))
            told = self.told.setdefault(name, [])
            if not told or told[-1][1] != task:
                told.append((item.name, task))
        return replace(item, routes=routes)


def _sparse(
    clips: Mapping[str, Clip], reference: str, offsets: Mapping[str, float] | None
) -> Iterator[tuple[float, dict[str, Frame]]]:
    """Pairs of frames to align by, some frames apart: neighbours say the same."""
    return islice(pair_by_time(clips, reference, offsets), 0, ALIGNED_BY * 4 * APART, APART)


def _damped(result: Prediction, time: float, damp: Steady | None) -> np.ndarray:
    picture = result.picture[..., 0] if result.grey else result.picture
    return picture if damp is None else damp(picture, time)


def _of_one_size(result: Prediction, writer: VideoWriter, frames: int) -> Prediction | Failure:
    """The result, or a failure if it does not fit the video; ValueError if the only frame there may be the odd one."""
    size = result.picture.shape[1::-1]
    if size == writer.size:
        return result
    own, wanted = ('{}x{} pixels'.format(*each) for each in (size, writer.size))
    if frames < 2:
        raise ValueError(f'{writer.path}: frame {result.name} has {own}, the first one {wanted}; a video has one size')
    return Failure(result.name, ValueError(f'has {own}, and the video {wanted}'), result.notes)


def _note(report: ClipReport, result: Prediction | Failure) -> None:
    if isinstance(result, Failure):
        report.failed[result.name] = str(result.error) or type(result.error).__name__
    if result.notes and len(report.frame_notes) < _NOTED:
        report.frame_notes[result.name] = list(result.notes)


def _check_numbers(
    sources: Mapping[str, str | os.PathLike],
    out: Path,
    rate: Fraction | float | str | None,
    offsets: Mapping[str, float] | None,
    bit_depth: int,
) -> Fraction | None:
    """The rate as a fraction; ValueError on numbers that mean nothing."""
    try:
        exact = None if rate is None else Fraction(rate)
        if exact is not None and isinstance(rate, float):
            exact = exact.limit_denominator(10_000)
    except (ValueError, TypeError, OverflowError, ZeroDivisionError):
        raise ValueError(f'the rate of frames (--fps) must be a number, e.g. 25 or 30000/1001, got {rate!r}') from None
    if exact is not None and not 0 < exact <= MOST_FRAMES:
        raise ValueError(f'the rate of frames (--fps) must be above 0 and at most {MOST_FRAMES} a second, got {exact}')
    if exact is not None and not any(Path(path).is_dir() for path in sources.values()):
        raise ValueError('a rate (--fps) is for folders of frames; videos have their own')
    for name, seconds in (offsets or {}).items():
        if name not in sources:
            raise ValueError(f'an offset is given for {name!r}, which is none of the clips {", ".join(sources)}')
        if not math.isfinite(seconds):
            raise ValueError(f'the offset of {name} must be a number of seconds, got {seconds}')
    if is_video(out) and bit_depth != 8:
        raise ValueError(
            f'{bit_depth} bit is for folders of frames; the depth of a video is that of its pixel format, e.g. '
            f'pixel_format=yuv420p10le (--pixel-format)'
        )
    if out.suffix.lower() in (*READ_SUFFIXES, '.gif') and not out.is_dir():
        raise ValueError(f'cannot write a clip as {out.suffix}: {out}; take {", ".join(CONTAINERS)}, or a folder')
    return exact


def _refuse_existing(out: Path, overwrite: bool) -> None:
    if is_video(out) and out.is_dir():
        raise IsADirectoryError(f'{out} is a folder: choose another name for the video')
    if overwrite or not out.exists():
        return
    if out.is_dir() and not is_video(out):
        # a folder that remembers how its frames were made says so later, see FrameJob
        if (out / RECORDS).is_dir():
            return
        try:
            held = len(list_images(out))
        except ValueError:  # no picture in it
            return
        raise FileExistsError(f'{out} holds {held} pictures: --overwrite (overwrite=True) replaces those of one name')
    raise FileExistsError(f'{out} is there already: --overwrite (overwrite=True) replaces it')
