"""Finding plug-ins: installed packages by their entry points, and modules that the user names."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module, invalidate_caches
from importlib.metadata import entry_points
from pathlib import Path

from mmengine.logging import print_log

_plugins_loaded = False


def load_plugins(modules: Sequence[str] = ()) -> None:
    """Import every installed package that declares an entry point in the group ``lurefusion.plugins``, and `modules`.

    An installed plug-in that fails to import is reported with its own error; the core goes on without it.

    Args:
        modules: What the user names, see :func:`import_plugin`.
    """
    _load_installed()
    for module in modules:
        import_plugin(module)


def _load_installed() -> None:
    global _plugins_loaded
    if _plugins_loaded:
        return
    _plugins_loaded = True
    for point in entry_points(group='lurefusion.plugins'):
        try:
            point.load()
        except Exception:
            import logging
            import traceback

            print_log(
                f'plug-in {point.name!r} ({point.value}) failed to import and is left out:\n{traceback.format_exc()}',
                logger='current',
                level=logging.ERROR,
            )


def import_plugin(module: str) -> None:
    """Import a module that registers parts.

    Args:
        module: Dotted name, looked for on the path and then in the current folder; or the path of a ``.py`` file or of
            the folder of a package.

    Raises:
        FileNotFoundError: If the file does not exist.
        ImportError: If there is no such module, or it fails; the message says how.
        ValueError: If the file has the name of another module.
    """
    path = Path(module)
    is_path = path.suffix == '.py' or len(path.parts) > 1
    file = path / '__init__.py' if path.suffix != '.py' else path
    if is_path and not file.is_file():
        raise FileNotFoundError(f'no such plug-in: {file} (looked at {file.absolute()})')
    name = path.stem if is_path else module
    folder = str(path.absolute().parent if is_path else Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
        invalidate_caches()
    try:
        found = import_module(name)
    except Exception as error:
        place = '' if is_path else ' (looked for on the path and in the current folder; the path of a file will do too)'
        raise ImportError(f'the plug-in {module} fails to import{place}: {type(error).__name__}: {error}') from error
    if is_path and not os.path.samefile(getattr(found, '__file__', None) or os.devnull, file):
        raise ValueError(
            f'the plug-in {module} has the name of another module, {getattr(found, "__file__", None) or name}: '
            'rename it'
        )
