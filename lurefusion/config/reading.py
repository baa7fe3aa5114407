"""The files of a config as MMEngine runs them, bases out of any package, and what each of them says."""

from __future__ import annotations

import ast
import os
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from lurefusion.config.files import config_root, nearest_config, package_config
from lurefusion.config.tree import ABSENT, mapping_of, nodes, same, value_at
from lurefusion.registry import SCOPE

# Lists of config files, relative to the file that states them.
FILE_LISTS = ('stages', 'downstream')


@dataclass
class Reading:
    """What one file of a config says; `heirs` are the files that name it as base, and theirs."""

    file: str
    foreign: bool
    heirs: tuple[Reading, ...]
    tree: ast.Module | None = None
    assigned: dict[str, int] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    used_of_bases: set[str] = field(default_factory=set)
    result: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            self.tree = ast.parse(Path(self.file).read_text(encoding='utf-8'))
        except (SyntaxError, UnicodeDecodeError, ValueError):
            # MMEngine says so, or substitutes what is no Python yet
            return
        self._look(self.tree, top=True)

    def _look(self, node: ast.AST, top: bool) -> None:
        if isinstance(node, ast.Name):
            if node.id == '_base_' and isinstance(node.ctx, ast.Load):
                self.used_of_bases.add('*')
            elif isinstance(node.ctx, ast.Load):
                self.used.add(node.id)
            elif top:
                self.assigned.setdefault(node.id, node.lineno)
            return
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            self.used.add(node.target.id)
        of_base = getattr(getattr(node, 'value', None), 'id', None) == '_base_'
        if of_base and isinstance(node, ast.Attribute) and not hasattr(dict, node.attr):
            self.used_of_bases.add(node.attr)
            return
        if of_base and isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            self.used_of_bases.add(str(node.slice.value))
            return
        inner = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda, ast.FunctionDef, ast.ClassDef)
        for child in ast.iter_child_nodes(node):
            self._look(child, top and not isinstance(node, inner))

    def uses(self, name: str) -> bool:
        """Whether the value that this file gives to a name is looked at, here or by an heir."""
        return name in self.used or any({name, '*'} & heir.used_of_bases for heir in self.heirs)


class _Located(Exception):
    """Carries an error that says already which file it is about."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def read(file: Path, foreign: bool = False) -> tuple[Config, list[Reading]]:
    """The config as MMEngine reads it, helpers included, and what its files say, bases first.

    Raises:
        ValueError: If a file fails to run; names the file and the line.
        FileNotFoundError, ModuleNotFoundError: If a base does not exist.
    """
    find, run = Config._get_cfg_path, Config._file2dict
    readings: list[Reading] = []
    stack: list[Reading] = []
    foreign_files = {str(file)} if foreign else set()

    def find_base(base: str, filename: str) -> tuple[str, str | None]:
        # without pkg_resources and without MMEngine's list of packages
        if '::' not in base:
            path, scope = find(base, filename)
            if not Path(path).is_file():
                where = f'{stack[-1].file}: its base {base!r} does not exist (looked at {path}).'
                raise _Located(FileNotFoundError(where + nearest_config(path)))
        else:
            package = base.partition('::')[0]
            try:
                path = str(package_config(base))
            except (OSError, ImportError, ValueError) as error:
                raise _Located(error) from None
            # The scope marks foreign types; ours are found through default_scope.
            scope = None if package == SCOPE else package
        if scope is not None or stack[-1].foreign:
            foreign_files.add(str(path))
        return path, scope

    def run_file(filename: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        filename = os.path.abspath(filename)
        if filename in [reading.file for reading in stack]:
            raise _Located(ValueError(f'config {filename} is its own base'))
        reading = Reading(filename, filename in foreign_files, tuple(stack))
        stack.append(reading)
        try:
            content, *rest = run(filename, *args, **kwargs)
        except _Located:
            raise
        except (Exception, SystemExit) as error:
            raise _Located(_with_place(error, filename)) from error
        finally:
            stack.pop()
        scales = content.get('scales')
        for node in (content, *(scales.values() if isinstance(scales, Mapping) else ())):
            for key in FILE_LISTS:
                # those of the bases are absolute already
                if isinstance(node.get(key), (list, tuple)):
                    node[key] = [_beside(filename, item) for item in node[key]]
        reading.result = content
        readings.append(reading)
        return (content, *rest)

    Config._get_cfg_path, Config._file2dict = staticmethod(find_base), staticmethod(run_file)
    try:
        return Config.fromfile(str(file), import_custom_modules=False), readings
    except _Located as located:
        raise located.error from located.__cause__
    except (Exception, SystemExit) as error:
        raise _with_place(error, str(file)) from error
    finally:
        Config._get_cfg_path, Config._file2dict = staticmethod(find), staticmethod(run)


def _with_place(error: BaseException, file: str) -> ValueError:
    """The same error as one that says where."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    for frame in traceback.extract_tb(error.__traceback__):
        line = frame.lineno if os.path.abspath(frame.filename) == file else line
    said = error.msg if isinstance(error, SyntaxError) else error
    return ValueError(f'config {file}{f", line {line}" if line else ""}: {type(error).__name__}: {said}')


def _beside(file: str, item: Any) -> Any:
    if not isinstance(item, str) or '::' in item:
        return item
    return os.path.abspath(os.path.join(os.path.dirname(file), os.path.expanduser(item)))


def is_inherited(cfg: Config, key: str) -> bool:
    """Whether the value at a dotted key of a loaded config is that of a shipped file, and nobody else's choice."""
    value = value_at(mapping_of(cfg), key)
    if cfg.filename is None or value is ABSENT:
        return False
    root = config_root().resolve()
    readings = read(Path(cfg.filename))[1]
    return any(value_at(r.result, key) == value for r in readings if root in Path(r.file).resolve().parents)


def instead(content: Mapping[str, Any], name: str, value: Any) -> str:
    """The sentence that names the keys that hold a helper's value."""
    trivial = value is None or isinstance(value, bool) or value in (0, 1)
    found = [] if trivial else [path for path, held in nodes(content) if same(held, value)]
    found = [p for p in found if p.endswith(f'.{name}')] + [p for p in found if not p.endswith(f'.{name}')]
    # what lies inside of a key that is named says nothing new
    found = [p for p in found if not any(p.startswith(f'{other}.') for other in found)]
    if not found:
        return 'No key holds its value as it is: set what is made of it.'
    more = f' and {len(found) - 6} more' if len(found) > 6 else ''
    return f'Set what holds its value: {", ".join(found[:6])}{more}'
