"""The command `lurefusion`: fuse, eval, train, test, export, demo, info, completion."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lurefusion.choices import did_you_mean
from lurefusion.commands import completion, demo, evaluate, export, fuse, info, test, train


class _Parser(argparse.ArgumentParser):
    """Of words that it does not know it says the nearest option, with the usage of the command and not of all."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """See argparse."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = [option for action in self._actions for option in action.option_strings]
            hints = [did_you_mean(word.partition('=')[0], options) for word in unknown if word.startswith('-')]
            bare = '--vi' in options and not unknown[0].startswith('-')
            named = f' Pictures, folders and videos are named: --vi {unknown[0]}' if bare else ''
            self.error(f'unrecognized arguments: {" ".join(unknown)}.{"".join(dict.fromkeys(hints))}{named}')
        return found, unknown


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; what it parses has `run`, the function to call with it."""
    parser = _Parser(prog='lurefusion', description='degradation-aware multi-modal image fusion')
    commands = parser.add_subparsers(dest='command', required=True)
    for name, command, text in (
        ('fuse', fuse, 'fuse a pair of pictures, folders paired by their names, or videos'),
        ('eval', evaluate, 'score fused pictures of any program'),
        ('train', train, 'train a stage or a whole pipeline'),
        ('test', test, 'measure weights on every test set of a config'),
        ('export', export, 'write a network as an ONNX file'),
        ('demo', demo, 'a page in the browser to try the networks on'),
        ('info', info, 'what is installed and what runs it, weights, configs, and the parts of every kind'),
        ('completion', completion, 'print what lets a shell complete commands, options and their values'),
    ):
        inner = commands.add_parser(name, help=text, description=text)
        command.add_arguments(inner)
        inner.set_defaults(run=command.run)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point of the console script; errors of the user end in one line and exit code 1."""
    args = make_parser().parse_args(argv)
    return exit_code(args.run, args)


class Terminated(KeyboardInterrupt):
    """SIGTERM: ends a command as Ctrl-C does, so that nothing unfinished is left behind."""


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM raises :class:`Terminated`, where this is the main thread of a program that has no other use for it."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def stop(number: int, frame: Any) -> None:
        # a second one does not wait
        signal.signal(number, signal.SIG_DFL)
        raise Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def exit_code(run: Callable[..., Any], *args: Any, **kwargs: Any) -> int:
    """Call a command; mistakes of the user end in one line and code 1 ($LUREFUSION_TRACEBACK=1 shows where).

    A reader that goes away (``lurefusion info | head -1``) ends the command in silence, with the code of SIGPIPE.
    SIGTERM ends it as Ctrl-C does, with code 143: what is unfinished is removed.
    """
    if hasattr(sys.stdout, 'reconfigure'):
        # file names need not be UTF-8
        sys.stdout.reconfigure(errors='backslashreplace')
    try:
        with _terminable():
            code = int(run(*args, **kwargs) or 0)
            sys.stdout.flush()
            return code
    except BrokenPipeError:
        # else Python complains when it flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except KeyboardInterrupt as interrupt:
        how = 'terminated' if isinstance(interrupt, Terminated) else 'interrupted'
        print(f'{how}{": " if interrupt.args else ""}{" ".join(map(str, interrupt.args))}', file=sys.stderr)
        return 143 if isinstance(interrupt, Terminated) else 130
    except (OSError, KeyError, ValueError, TypeError, ImportError, MemoryError) as error:
        if os.environ.get('LUREFUSION_TRACEBACK'):
            raise
        # str(KeyError) is the repr of its message
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        if isinstance(error, FileExistsError) and os.path.islink(error.filename or ''):
            to = os.readlink(error.filename)
            message = f'{error.filename} is a link to {to}, which is no folder: make it, or name another'
        print(f'error: {str(message) or type(error).__name__}', file=sys.stderr)
        return 1


if __name__ == '__main__':
    sys.exit(main())
