"""The command `lurefusion`: fuse, eval, train, test, info."""

from __future__ import annotations

import argparse
import os
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lurefusion.commands import evaluate, test, train

# warnings about single pictures of a folder that are printed
SHOWN = 10


def _add_fuse(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--vi', help='visible picture or folder')
    parser.add_argument('--ir', help='infrared picture or folder')
    parser.add_argument(
        '--source', action='append', default=[], metavar='NAME=PATH', help='picture or folder of another modality'
    )
    parser.add_argument('--out', required=True, help='result: a picture for a pair, a folder for folders')
    parser.add_argument(
        '--prompt', nargs='+', metavar='TEXT', help='a sentence about the pictures, or NAME=TEXT for each modality'
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
    parser.add_argument('--keep-chroma', action='store_true', help='colour of the visible picture (if not degraded)')
    parser.add_argument(
        '--trust-pictures',
        action='store_true',
        help='fuse pseudo-colour infrared pictures, and one picture given for two modalities, all the same',
    )


def _fuse(args: argparse.Namespace) -> int:
    from lurefusion.apis import FusionInferencer, PictureWarning
    from lurefusion.io.images import write_image
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
    check_output(args.out, folder=any(folders.values()))
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
    prompt = _prompt(args.prompt, inferencer.modalities)
    for name, route in inferencer.route(prompt).items():
        print(f'{name}: {route.task} ("{route.sentence}")')
    if not any(folders.values()):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always', PictureWarning)
            write_image(args.out, inferencer(prompt, **sources))
        for warning in caught:
            print(f'warning: {warning.message}', file=sys.stderr)
        print(args.out)
        return 0
    report = inferencer.fuse_folders(sources, args.out, prompt)
    notes = [f'{stem}: {note}' for stem, several in report.notes.items() for note in several]
    for note in notes[:SHOWN]:
        print(f'warning: {note}', file=sys.stderr)
    if len(notes) > SHOWN:
        print(f'warning: and {len(notes) - SHOWN} more of these', file=sys.stderr)
    print(f'{len(report.done)} fused into {args.out}, {len(report.failed)} failed')
    for stem, error in report.failed.items():
        print(f'  {stem}: {error}', file=sys.stderr)
    return 1 if report.failed else 0


def _prompt(words: list[str] | None, modalities: tuple[str, ...]) -> str | dict[str, str] | None:
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


def _info(args: argparse.Namespace) -> int:
    from lurefusion import __version__
    from lurefusion.config import list_configs
    from lurefusion.plugins import load_plugins
    from lurefusion.registry import REGISTRIES, members
    from lurefusion.weights import shipped_weights

    load_plugins(args.plugins)
    print(f'lurefusion {__version__}\n\nconfigs:')
    print('\n'.join(f'  {name}' for name in list_configs()))
    print('\nweights:')
    print('\n'.join(f'  {name}: {path}' for name, path in shipped_weights().items()) or '  none')
    for registry in REGISTRIES:
        names = (f'{name}{_origin(module)}' for name, module in members(registry).items())
        plural = registry.name + ('es' if registry.name.endswith('s') else 's')
        print(f'\n{plural}: {", ".join(names) or "MMEngine has them"}')
    return 0


def _origin(module: str) -> str:
    """Which plug-in a part comes from, nothing for those of lurefusion."""
    return '' if module.split('.')[0] == 'lurefusion' else f' (from {module})'


def main(argv: list[str] | None = None) -> int:
    """Entry point of the console script; errors of the user end in one line and exit code 1."""
    parser = argparse.ArgumentParser(prog='lurefusion', description='degradation-aware multi-modal image fusion')
    commands = parser.add_subparsers(dest='command', required=True)
    fuse = commands.add_parser('fuse', help='fuse a pair of pictures, or folders paired by file stem')
    _add_fuse(fuse)
    fuse.set_defaults(run=_fuse)
    for name, command, text in (
        ('eval', evaluate, 'score fused pictures of any program'),
        ('train', train, 'train a stage or a whole pipeline'),
        ('test', test, 'measure weights on every test set of a config'),
    ):
        inner = commands.add_parser(name, help=text, description=text)
        command.add_arguments(inner)
        inner.set_defaults(run=command.run)
    info = commands.add_parser('info', help='configs, weights, and the parts of every kind, with their plug-ins')
    evaluate.add_import(info)
    info.set_defaults(run=_info)
    args = parser.parse_args(argv)
    return exit_code(args.run, args)


def exit_code(run: Callable[..., Any], *args: Any, **kwargs: Any) -> int:
    """Call a command; mistakes of the user end in one line and code 1 ($LUREFUSION_TRACEBACK=1 shows where).

    A reader that goes away (``lurefusion info | head -1``) ends the command in silence, with the code of SIGPIPE.
    """
    try:
        code = int(run(*args, **kwargs) or 0)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # else Python complains when it flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except KeyboardInterrupt as interrupt:
        print(f'interrupted{": " if interrupt.args else ""}{" ".join(map(str, interrupt.args))}', file=sys.stderr)
        return 130
    except (OSError, KeyError, ValueError, TypeError, ImportError, MemoryError) as error:
        if os.environ.get('LUREFUSION_TRACEBACK'):
            raise
        # str(KeyError) is the repr of its message
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f'error: {str(message) or type(error).__name__}', file=sys.stderr)
        return 1


if __name__ == '__main__':
    sys.exit(main())
