"""Where configs and data sets are: shipped ones by name, `package::file` names, the data root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from lurefusion.choices import did_you_mean
from lurefusion.registry import SCOPE

DATA_ROOT_VARIABLE = 'LUREFUSION_DATA'


def config_root() -> Path:
    """Folder of the shipped configs: inside the installed package, or `configs/` of the checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / '.mim' / 'configs', package.parent / 'configs'):
        if (folder / '_base_').is_dir():
            # in an editable install the first is a link to the second
            return folder.resolve()
    raise FileNotFoundError(f'this installation of lurefusion has no configs beside or inside {package}')


def list_configs() -> list[str]:
    """Names of all shipped configs, as `load_config` takes them: `lurefusion::lure/stage1_ir_vi.py`, ..."""
    root = config_root()
    names = (file.relative_to(root) for file in root.rglob('*.py'))
    return sorted(f'{SCOPE}::{name.as_posix()}' for name in names if '_base_' not in name.parts)


def find_config(path: str | Path) -> Path:
    """Absolute file of a config given as a path or as `package::name`.

    Raises:
        FileNotFoundError: If there is none; the message names the nearest file beside it or shipped config.
        ModuleNotFoundError: If the package of `package::name` is not installed.
        ValueError: If the file is not a Python file.
    """
    text = os.fspath(path)
    if '::' in text:
        return package_config(text)
    file = Path(text).expanduser().resolve()
    if file.is_dir():
        raise FileNotFoundError(f'config {text!r} does not exist as a file: it is a folder{_listing(file)}')
    if not file.is_file():
        raise FileNotFoundError(f'config {text!r} does not exist (looked at {file}).{nearest_config(text)}')
    if file.suffix != '.py':
        raise ValueError(f'a config is a Python file (.py), got {text!r}')
    return file


def resolve_data_root(path: str | Path) -> Path:
    """Absolute folder of a data root.

    An absolute `path` stays. A relative one starts from `$LUREFUSION_DATA`, which `at_data_root` sets for a while;
    without it from `data/` in the current folder. Nothing is checked on disk.
    """
    root = Path(os.environ.get(DATA_ROOT_VARIABLE) or 'data').expanduser()
    return Path(os.path.abspath(root / Path(path).expanduser()))


@contextmanager
def at_data_root(folder: str | Path | None) -> Iterator[None]:
    """Let relative data roots start from `folder` inside of the ``with`` block, also in processes that it starts.

    None changes nothing. Raises FileNotFoundError if there is no such folder.
    """
    if folder is None:
        yield
        return
    before = os.environ.get(DATA_ROOT_VARIABLE)
    os.environ[DATA_ROOT_VARIABLE] = str(data_folder(folder))
    try:
        yield
    finally:
        if before is None:
            del os.environ[DATA_ROOT_VARIABLE]
        else:
            os.environ[DATA_ROOT_VARIABLE] = before


def package_config(name: str) -> Path:
    """File of `package::name`; errors as of `find_config`."""
    package, _, inner = name.partition('::')
    if not package.isidentifier() or not inner or '::' in inner:
        raise ValueError(f'a config of a package is written package::folder/file.py, got {name!r}')
    if package == SCOPE:
        root = config_root()
    else:
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError(f'config {name!r}: the package {package!r} is not installed')
        # OpenMMLab wheels carry their configs in .mim.
        root = Path(next(iter(spec.submodule_search_locations))) / '.mim' / 'configs'
    file = root / (inner if inner.endswith('.py') else f'{inner}.py')
    if not file.is_file():
        hint = nearest_config(inner) if package == SCOPE else ''
        raise FileNotFoundError(f'config {name!r} does not exist (looked at {file}).{hint}')
    return file


def _listing(folder: Path) -> str:
    names = sorted(file.name for file in folder.glob('*.py'))
    return (
        f'; name one of {", ".join(names[:12])}{" ..." if len(names) > 12 else ""}' if names else ' without .py files'
    )


def nearest_config(path: str) -> str:
    """The sentence that names the file beside a wrong path, or the shipped config, that is most like it."""
    here = Path(path).expanduser()
    # without the ending, which all have in common
    beside = sorted(file.stem for file in here.parent.glob('*.py')) if here.parent.is_dir() else []
    near = next((f'{stem}.py' for stem in beside if f"'{stem}'" in did_you_mean(here.stem, beside)), None)
    names = {name.partition('::')[2]: name for name in list_configs()}
    tails = {inner.removesuffix('.py'): name for inner, name in names.items()}
    stems = {Path(inner).stem: name for inner, name in names.items()}
    tail = here.with_suffix('').as_posix().rpartition('configs/')[2]
    hint = did_you_mean(tail, list(tails)) or did_you_mean(here.stem, list(stems))
    shipped = next((name for like, name in (*tails.items(), *stems.items()) if f"'{like}'" in hint), None)
    found = [repr(str(name)) for name in (near and here.with_name(near), shipped) if name]
    shipped_ones = f" `lurefusion info` lists the {len(names)} shipped ones, as 'lurefusion::lure/stage1_ir_vi.py'"
    return f' Did you mean {" or ".join(found)}?' if found else shipped_ones


def data_folder(data_root: str | Path) -> Path:
    """Absolute folder of a data root that must exist; FileNotFoundError if it does not."""
    folder = Path(data_root).expanduser().resolve()
    if not folder.is_dir():
        raise FileNotFoundError(f'data_root: {str(data_root)!r} is not a folder (looked at {folder})')
    return folder
