"""The command `lurefusion fuse`: a pair of pictures, folders paired by their names, or videos."""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

# warnings about single pictures of a folder that are printed
SHOWN = 10
# lurefusion.apis.runners.RUNNERS, which cannot be had without torch
RUNNERS = ('torch', 'onnx')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from lurefusion.commands.evaluate import add_import

    parser.add_argument('--vi', help='visible picture, folder or video')
    parser.add_argument('--ir', help='infrared picture, folder or video')
    parser.add_argument(
        '--source',
        action='append',
        default=[],
        metavar='NAME=PATH',
        help='picture, folder or video of another modality',
    )
    parser.add_argument(
        '--out',
        help='result: a picture for a pair, a folder for folders, a video (.mp4, .mkv, ...) or a folder for a clip',
    )
    parser.add_argument(
        '--prompt',
        nargs='+',
        metavar='TEXT',
        help="a sentence about the pictures, or NAME=TEXT for each modality; 'auto': told from each picture",
    )
    parser.add_argument(
        '--model',
        help='lure-tiny (default), a file of weights or of lurefusion export, or a config (then with --weights)',
    )
    parser.add_argument('--weights', help="checkpoint, safetensors file or folder of a run; 'random' to try things out")
    parser.add_argument('--device', help='cpu, cuda, cuda:1; default: cuda where there is any')
    parser.add_argument(
        '--runner', choices=RUNNERS, help='what computes: PyTorch (default), or ONNX Runtime (default for .onnx files)'
    )
    parser.add_argument(
        '--range',
        nargs='+',
        default=['auto'],
        metavar='[NAME=]RANGE',
        help='16-bit and float pictures: auto, percentile, minmax, full, agc, fixed limits LOW:HIGH, or shared (one '
        'for all of a folder or clip); for all, or NAME=RANGE for each modality (ir=28000:31000 vi=full)',
    )
    parser.add_argument(
        '--bit-depth', type=int, choices=(8, 16), default=8, help='of the result; 16 for PNG and TIFF (default: 8)'
    )
    parser.add_argument('--batch-size', type=int, default=1, help='pairs or frames run together (default: 1)')
    parser.add_argument('--tile', type=int, metavar='N', help='run larger pictures in tiles of N pixels: less memory')
    parser.add_argument(
        '--chroma',
        choices=('fused', 'visible'),
        default='fused',
        help='colour of the result: of the network (default), or of the visible picture, restored if it is degraded',
    )
    parser.add_argument(
        '--alpha',
        choices=('keep', 'drop'),
        default='drop',
        help='of the visible picture (or of that of --resize): into the result, a PNG; or not (default)',
    )
    parser.add_argument(
        '--trust-pictures',
        action='store_true',
        help='fuse pseudo-colour infrared pictures, and one picture given for two modalities, all the same',
    )
    placing = parser.add_argument_group('pairs of unequal size or position')
    placing.add_argument(
        '--resize', metavar='NAME', help='modality whose pixels the result has; the other is brought to its size'
    )
    placing.add_argument(
        '--register',
        metavar='KIND',
        help='find a transform from one picture to the other: translation, affine or homography; a pair that cannot be '
        'aligned surely is refused',
    )
    placing.add_argument(
        '--transform',
        metavar='FILE',
        help='one transform for all pairs, from this file (.json); with --register and if it is not there, it is made '
        'from the first pair that can be aligned',
    )
    folders = parser.add_argument_group('folders and clips')
    folders.add_argument(
        '--pair',
        nargs='+',
        metavar='PATTERN',
        help="how files are named where stems differ, for each modality: '{id}_vis' '{id}_ir'",
    )
    folders.add_argument('--recursive', action='store_true', help='sub-folders too; results keep them')
    folders.add_argument('--allow-unpaired', action='store_true', help='go on without pictures that have no partner')
    folders.add_argument('--overwrite', action='store_true', help='replace results that were made otherwise')
    folders.add_argument('--dry-run', action='store_true', help='only say what would be done (folders)')
    folders.add_argument('--json', action='store_true', help='one line of JSON for each picture, or for the clip')
    folders.add_argument(
        '--shard',
        metavar='N/COUNT',
        help='the part of this process, e.g. 1/4 to 4/4 for four; by itself under torchrun and srun',
    )
    clips = parser.add_argument_group('clips')
    clips.add_argument('--reference', metavar='NAME', help='modality that gives frames, times and sound (default: vi)')
    clips.add_argument('--fps', help='frames per second of folders of frames (default: 25)')
    clips.add_argument(
        '--offset', action='append', default=[], metavar='NAME=SECONDS', help='how much later a clip starts'
    )
    clips.add_argument(
        '--steady', type=float, metavar='SECONDS', help='damp shorter changes of brightness and contrast, e.g. 0.5'
    )
    clips.add_argument('--codec', help="e.g. libx264, libx265, ffv1, libvpx-vp9; 'list' shows all that there are")
    clips.add_argument('--pixel-format', help='e.g. yuv420p, yuv444p, yuv420p10le, gray16le')
    clips.add_argument('--quality', type=int, help="on the codec's scale, lower is better (libx264: 0 to 51, 18)")
    clips.add_argument('--no-audio', dest='audio', action='store_false', help='leave the sound out')
    add_import(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out `lurefusion fuse`; the code is 1 if pictures of folders or frames failed."""
    if args.codec == 'list':
        return _list_codecs()
    with _logs_beside(args.json):
        return _fuse(args)


@contextmanager
def _logs_beside(json: bool) -> Iterator[None]:
    """With --json, what is logged goes where words for people do."""
    if not json:
        yield
        return
    from mmengine.logging import MMLogger

    handlers = [h for h in MMLogger.get_current_instance().handlers if type(h) is logging.StreamHandler]
    before = [handler.stream for handler in handlers]
    for handler in handlers:
        handler.stream = sys.stderr
    try:
        yield
    finally:
        for handler, stream in zip(handlers, before, strict=True):
            handler.stream = stream


def _fuse(args: argparse.Namespace) -> int:
    if args.out is None:
        raise ValueError('--out is missing: where the result goes')
    from lurefusion.io.clips import is_video
    from lurefusion.io.images import check_suffix
    from lurefusion.io.pairing import check_output, refuse_inside, refuse_overwrite, refuse_same
    from lurefusion.io.ranges import parse_range
    from lurefusion.runtime.jobs import parse_shard

    sources = _sources(args)
    kind = _kind(args, sources)
    _refuse_options_of_other_kinds(args, kind)
    patterns = _patterns(args.pair, sources)
    # what is wrong with the command is said before the network is loaded
    parse_range(args.range)
    if is_video(args.out) and kind != 'picture':
        check_output(Path(args.out).parent, folder=True)
    else:
        check_output(args.out, folder=kind != 'picture', bit_depth=args.bit_depth)
        if kind == 'picture' and args.alpha == 'keep':
            check_suffix(args.out, args.bit_depth, alpha=True)
    if args.transform is not None:
        check_output(Path(args.transform).parent, folder=True)
        refuse_overwrite([args.transform], sources.values())
    if args.batch_size < 1:
        raise ValueError(f'--batch-size must be at least 1, got {args.batch_size}')
    shard = parse_shard(args.shard)
    refuse_inside(Path(args.out), sources)
    if not args.trust_pictures and patterns is None:
        refuse_same(sources)
    from lurefusion.apis import FusionInferencer
    from lurefusion.plugins import load_plugins

    load_plugins(args.plugins)
    inferencer = FusionInferencer(
        args.model,
        args.weights,
        device=args.device,
        range_mode=args.range,
        chroma=args.chroma,
        trust_pictures=args.trust_pictures,
        resize=args.resize,
        register=args.register,
        transform=args.transform,
        alpha=args.alpha,
        runner=args.runner,
        tile=args.tile,
    )
    from lurefusion.prompts.grammar import named_parts

    routes = inferencer.route(named_parts(args.prompt, inferencer.modalities))
    for name, route in routes.items():
        if not route.pending:
            print(f'{name}: {route.task} ("{route.sentence}")', file=_words(args))
    if kind == 'picture':
        result = inferencer.predict(routes or None, **sources)
        for note in result.notes:
            print(f'warning: {note}', file=sys.stderr)
        for name, route in result.routes.items():
            if route.found is not None:
                print(f'{name}: {route.found} ("{route.sentence}")')
        if result.alignment is not None:
            print(_aligned(result.alignment.figures(seen=result.seen)))
        result.save(args.out, args.bit_depth)
        print(args.out)
        return 0
    named = dict(patterns=patterns, recursive=args.recursive, allow_unpaired=args.allow_unpaired)
    common = dict(named, batch_size=args.batch_size, overwrite=args.overwrite)
    if kind == 'clip':
        return _clip(args, inferencer, sources, routes or None, common)
    return _folders(args, inferencer, sources, routes or None, dict(common, shard=shard))


def _sources(args: argparse.Namespace) -> dict[str, str]:
    sources = {name: path for name, path in (('vi', args.vi), ('ir', args.ir)) if path}
    for item in args.source:
        name, equals, path = item.partition('=')
        if not equals:
            raise ValueError(f'--source takes NAME=PATH, got {item!r}')
        if name in sources:
            raise ValueError(f'the source {name!r} is named twice: {sources[name]} and {path}')
        sources[name] = path
    from lurefusion.io.slices import file_of

    for name, path in sources.items():
        if not file_of(path).exists():
            raise FileNotFoundError(f'{name}: no such picture, folder or video: {path}')
    return sources


def _kind(args: argparse.Namespace, sources: dict[str, str]) -> str:
    """``picture``, ``folder`` or ``clip``."""
    from lurefusion.io.clips import is_video

    folders = {name: Path(path).is_dir() for name, path in sources.items()}
    videos = {name: is_video(path) and not folders[name] for name, path in sources.items()}
    if any(videos.values()) or (is_video(args.out) and any(folders.values())):
        pictures = [sources[name] for name in sources if not folders[name] and not videos[name]]
        if pictures:
            raise ValueError(f'a clip is made of videos and folders of frames; {pictures[0]} is a picture')
        return 'clip'
    if len(set(folders.values())) > 1:
        raise ValueError(f'give a picture of each modality or a folder of each, not both: {sources}')
    return 'folder' if any(folders.values()) else 'picture'


def _refuse_options_of_other_kinds(args: argparse.Namespace, kind: str) -> None:
    folders_too = ('pair', 'recursive', 'allow_unpaired', 'overwrite', 'json')
    clips = ('reference', 'fps', 'offset', 'steady', 'codec', 'pixel_format', 'quality')
    wrong = {
        'picture': (*folders_too, 'dry_run', 'shard', *clips),
        'folder': clips,
        'clip': ('dry_run', 'shard'),
    }[kind]
    given = [f'--{name.replace("_", "-")}' for name in wrong if getattr(args, name) not in (None, False, [])]
    given += ['--alpha'] if args.alpha == 'keep' and kind == 'clip' else []
    given += ['--no-audio'] if not args.audio and kind != 'clip' else []
    if given:
        what = {'picture': 'one pair of pictures', 'folder': 'folders of pictures', 'clip': 'a clip'}[kind]
        raise ValueError(f'{", ".join(given)} means nothing for {what}; leave it out')


def _patterns(words: list[str] | None, sources: dict[str, str]) -> dict[str, str] | None:
    """Modality -> pattern, from patterns in the order of the modalities or NAME=PATTERN."""
    if words is None:
        return None
    named = {}
    for word in words:
        name, equals, pattern = word.partition('=')
        if equals and name in sources:
            named[name] = pattern
    if len(named) == len(words) == len(sources):
        return named
    if named or len(words) != len(sources):
        raise ValueError(
            f'--pair takes a pattern for each of {", ".join(sources)}, in this order or as NAME=PATTERN; got '
            f'{" ".join(words)}'
        )
    return dict(zip(sources, words, strict=True))


def _words(args: argparse.Namespace) -> TextIO:
    """Where words for people go: with --json not where the lines for machines do."""
    return sys.stderr if args.json else sys.stdout


def _folders(args: argparse.Namespace, inferencer: Any, sources: dict[str, str], routes: Any, common: Any) -> int:
    shard = common['shard']
    if shard.count > 1:
        print(f'part {shard} of the pictures', file=_words(args))

    def tell(outcome: Any, total: int) -> None:
        if args.json:
            print(outcome.to_json(), flush=True)
        elif outcome.status == 'planned':
            print(f'{" + ".join(outcome.inputs.values())} -> {outcome.output}')

    report = inferencer.fuse_folders(
        sources,
        args.out,
        routes,
        bit_depth=args.bit_depth,
        dry_run=args.dry_run,
        tell=tell if args.json or args.dry_run else None,
        **common,
    )
    for name, alone in report.unpaired.items():
        print(f'warning: {name}: {len(alone)} without a partner left out: {_few(alone)}', file=sys.stderr)
    for name, others in report.unread.items():
        print(f'warning: {name}: {len(others)} of kinds that are not read left out: {_few(others)}', file=sys.stderr)
    _warn([f'{stem}: {note}' for stem, several in report.notes.items() for note in several])
    for name in (name for name, route in (routes or {}).items() if route.pending):
        counts = Counter(own[name].task for own in report.routes.values())
        if counts:
            print(f'{name}: {", ".join(f"{task} {count}" for task, count in counts.most_common())}', file=_words(args))
    print(str(report).replace(' fused', f' fused into {args.out}', 1), file=_words(args))
    for stem, error in report.failed.items():
        print(f'  {stem}: {error}', file=sys.stderr)
    return report.exit_code


def _clip(args: argparse.Namespace, inferencer: Any, sources: dict[str, str], routes: Any, common: Any) -> int:
    offsets = {}
    for item in args.offset:
        name, _, seconds = item.partition('=')
        try:
            offsets[name] = float(seconds)
        except ValueError:
            raise ValueError(f'--offset takes NAME=SECONDS, got {item!r}') from None
        if name not in sources:
            raise ValueError(f'--offset {item}: {name!r} is none of {", ".join(sources)}')
    report = inferencer.fuse_video(
        sources,
        args.out,
        routes,
        reference=args.reference,
        rate=args.fps,
        offsets=offsets,
        steady=args.steady,
        codec=args.codec,
        pixel_format=args.pixel_format,
        quality=args.quality,
        audio=args.audio,
        bit_depth=args.bit_depth,
        **common,
    )
    for name, limits in report.ranges.items():
        print(f'{name}: one range, {limits}', file=_words(args))
    _warn([*report.notes, *(f'frame {name}: {n}' for name, notes in report.frame_notes.items() for n in notes)])
    kept = f', {report.kept} unchanged' if report.kept else ''
    print(f'{report.frames} frames fused into {args.out}{kept}, {len(report.failed)} failed', file=_words(args))
    print(report.times, file=_words(args))
    if report.alignment is not None:
        print(_aligned(report.alignment), file=_words(args))
    for name, told in report.prompts.items():
        # what was given was said before the work
        if not (routes or {}).get(name) or routes[name].pending:
            print(f'{name}: {", ".join(f"{task} from frame {frame} on" for frame, task in told)}', file=_words(args))
    for name, error in report.failed.items():
        print(f'  frame {name}: {error}', file=sys.stderr)
    if args.json:
        print(report.to_json())
    return int(bool(report.failed))


def _aligned(figures: dict[str, Any]) -> str:
    return (
        f'aligned: {figures["kind"]}, corners within {figures["residual"]:.1f} pixels, confidence '
        f'{figures["confidence"]:.2f}, {100 * figures["seen"]:.0f} % of the pixels seen by both'
    )


def _warn(notes: list[str]) -> None:
    for note in notes[:SHOWN]:
        print(f'warning: {note}', file=sys.stderr)
    if len(notes) > SHOWN:
        print(f'warning: and {len(notes) - SHOWN} more of these', file=sys.stderr)


def _few(names: list[str]) -> str:
    return ', '.join(names[:SHOWN]) + (f' and {len(names) - SHOWN} more' if len(names) > SHOWN else '')


def _list_codecs() -> int:
    from lurefusion.io.codecs import QUALITIES, list_codecs

    for name, formats in list_codecs().items():
        scale = QUALITIES.get(name)
        quality = f', quality {scale.best} (best) to {scale.worst}, {scale.default} by itself' if scale else ''
        print(f'{name}{quality}: {", ".join(formats) or "any"}')
    return 0
