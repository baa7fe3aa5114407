"""The command `lurefusion`: fuse, eval, train, test, export, demo, info."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

from lurefusion.commands import demo, evaluate, export, fuse, test, train


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
    for name, command, text in (
        ('fuse', fuse, 'fuse a pair of pictures, folders paired by their names, or videos'),
        ('eval', evaluate, 'score fused pictures of any program'),
        ('train', train, 'train a stage or a whole pipeline'),
        ('test', test, 'measure weights on every test set of a config'),
        ('export', export, 'write a network as an ONNX file'),
        ('demo', demo, 'a page in the browser to try the networks on'),
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
