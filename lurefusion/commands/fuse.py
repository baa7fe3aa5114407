"""The command `lurefusion fuse`: a pair of pictures, or folders paired by file stem."""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

# warnings about single pictures of a folder that are printed
SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('--vi', help='visible picture or folder')
    parser.add_argument('--ir', help='infrared picture or folder')
    parser.add_argument(
        '--source', action='append', default=[], metavar='NAME=PATH', help='picture or folder of another modality'
    )
    parser.add_argument('--out', required=True, help='result: a picture for a pair, a folder for folders')
    parser.add_argument(
        '--prompt',
        nargs='+',
        metavar='TEXT',
        help="a sentence about the pictures, or NAME=TEXT for each modality; 'auto': told from each picture",
    )
    parser.add_argument(
        '--model', help='lure-tiny (default), a file of published weights, or a config (then with --weights)'
    )
    parser.add_argument('--weights', help="checkpoint, safetensors file or folder of a run; 'random' to try things out")
    parser.add_argument('--device', help='cpu, cuda, cuda:1; default: cuda where there is any')
    parser.add_argument(
        '--range',
        nargs='+',
        default=['auto'],
        metavar='[NAME=]RANGE',
        help='16-bit and float pictures: auto, percentile, minmax, full, agc, or fixed limits LOW:HIGH; for all, or '
        'NAME=RANGE for each modality (ir=28000:31000 vi=full)',
    )
    parser.add_argument(
        '--bit-depth', type=int, choices=(8, 16), default=8, help='of the result; 16 for PNG and TIFF (default: 8)'
    )
    parser.add_argument('--batch-size', type=int, default=1, help='pairs of a folder run together (default: 1)')
    parser.add_argument('--keep-chroma', action='store_true', help='colour of the visible picture (if not degraded)')
    parser.add_argument(
        '--trust-pictures',
        action='store_true',
        help='fuse pseudo-colour infrared pictures, and one picture given for two modalities, all the same',
    )


def run(args: argparse.Namespace) -> int:
    """Carry out `lurefusion fuse`; the code is 1 if pictures of folders failed."""
    from lurefusion.apis import FusionInferencer
    from lurefusion.io.pairing import check_output, refuse_overwrite, refuse_same
    from lurefusion.io.ranges import parse_range

    sources = {name: path for name, path in (('vi', args.vi), ('ir', args.ir)) if path}
    for item in args.source:
        name, equals, path = item.partition('=')
        if not equals:
            raise ValueError(f'--source takes NAME=PATH, got {item!r}')
        if name in sources:
            raise ValueError(f'the source {name!r} is named twice: {sources[name]} and {path}')
        sources[name] = path
    for name, path in sources.items():
        if not Path(path).exists():
            raise FileNotFoundError(f'{name}: no such picture or folder: {path}')
    folders = {name: Path(path).is_dir() for name, path in sources.items()}
    if len(set(folders.values())) > 1:
        raise ValueError(f'give a picture of each modality or a folder of each, not both: {sources}')
    # what is wrong with the command is said before the network is loaded
    parse_range(args.range)
    check_output(args.out, folder=any(folders.values()), bit_depth=args.bit_depth)
    if args.batch_size < 1:
        raise ValueError(f'--batch-size must be at least 1, got {args.batch_size}')
    refuse_overwrite([args.out], sources.values())
    if not args.trust_pictures:
        refuse_same(sources)
    inferencer = FusionInferencer(
        args.model,
        args.weights,
        device=args.device,
        range_mode=args.range,
        keep_chroma=args.keep_chroma,
        trust_pictures=args.trust_pictures,
    )
    routes = inferencer.route(parse_prompt(args.prompt, inferencer.modalities))
    for name, route in routes.items():
        if not route.pending:
            print(f'{name}: {route.task} ("{route.sentence}")')
    if not any(folders.values()):
        result = inferencer.predict(routes or None, **sources)
        for note in result.notes:
            print(f'warning: {note}', file=sys.stderr)
        for name, route in result.routes.items():
            if route.found is not None:
                print(f'{name}: {route.found} ("{route.sentence}")')
        result.save(args.out, args.bit_depth)
        print(args.out)
        return 0
    report = inferencer.fuse_folders(
        sources, args.out, routes or None, bit_depth=args.bit_depth, batch_size=args.batch_size
    )
    notes = [f'{stem}: {note}' for stem, several in report.notes.items() for note in several]
    for note in notes[:SHOWN]:
        print(f'warning: {note}', file=sys.stderr)
    if len(notes) > SHOWN:
        print(f'warning: and {len(notes) - SHOWN} more of these', file=sys.stderr)
    for name in (name for name, route in routes.items() if route.pending):
        counts = Counter(own[name].task for own in report.routes.values())
        print(f'{name}: {", ".join(f"{task} {count}" for task, count in counts.most_common())}')
    print(f'{len(report.done)} fused into {args.out}, {len(report.failed)} failed')
    for stem, error in report.failed.items():
        print(f'  {stem}: {error}', file=sys.stderr)
    return 1 if report.failed else 0


def parse_prompt(words: list[str] | None, modalities: tuple[str, ...]) -> str | dict[str, str] | None:
    """One sentence, or NAME=TEXT parts.

    Raises:
        ValueError: If a part names no modality of the model: as a sentence it would say nothing.
    """
    if not words:
        return None
    if len(words) == 1:
        # one string, as --range takes it: 'vi=haze ir=low contrast'
        words = re.split(rf'[\s,;]+(?=(?:{"|".join(map(re.escape, modalities))})=)', words[0])
    if not all('=' in word for word in words):
        return ' '.join(words)
    from lurefusion.choices import did_you_mean

    pairs = [word.split('=', 1) for word in words]
    parts = dict(pairs)
    if len(parts) < len(pairs):
        raise ValueError(f'--prompt names a modality twice: {" ".join(words)}')
    for name in parts:
        if name not in modalities:
            hint = did_you_mean(name, list(modalities))
            raise ValueError(
                f'--prompt {name}=...: {name!r} is no modality.{hint} The model takes {", ".join(modalities)}'
            )
    return parts
