"""Reading configs: shipped ones by name, bases out of any package, plug-ins, checked overrides, the data root.

A config is Python code and runs when it is loaded (that is MMEngine's way): load only configs that you trust.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module, invalidate_caches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log

from lurefusion.choices import did_you_mean
from lurefusion.plugins import load_plugins
from lurefusion.registry import SCOPE

DATA_ROOT_VARIABLE = 'LUREFUSION_DATA'

# Dicts whose keys are names that the user chooses, not arguments: a new key is no mistake there.
OPEN_DICTS = frozenset({'losses', 'custom_keys', 'default_hooks', 'env_cfg', 'mp_cfg', 'dist_cfg', 'metainfo'})

# Arguments of MMEngine's Runner.
RUNNER_KEYS = frozenset(
    {
        'model', 'work_dir', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'train_cfg', 'val_cfg',
        'test_cfg', 'auto_scale_lr', 'optim_wrapper', 'param_scheduler', 'val_evaluator', 'test_evaluator',
        'default_hooks', 'custom_hooks', 'data_preprocessor', 'load_from', 'resume', 'launcher', 'env_cfg',
        'log_processor', 'log_level', 'visualizer', 'default_scope', 'randomness', 'experiment_name',
        'model_wrapper_cfg',
    }
)  # fmt: skip
# What a pipeline of stages may say: all else is its stages' matter.
PIPELINE_KEYS = frozenset({'stages', 'options', 'joint', 'downstream', 'custom_imports', 'default_scope'})
# What else lurefusion reads. Every other name of a config is a helper: its value counts where the file itself uses it.
OWN_KEYS = PIPELINE_KEYS | {
    'init_from', 'needs_weights', 'find_unused_parameters', 'probe', 'inputs', 'pretrained', 'pictures',
}  # fmt: skip
# Arguments of the Runner that are given otherwise, and would be overwritten.
GIVEN_OTHERWISE = {
    'work_dir': '--work-dir',
    'launcher': '--launcher',
    'experiment_name': 'the name of the folder of the run (--work-dir)',
}
# Dicts whose unknown keys nothing else refuses.
CLOSED_DICTS = {
    'init_from': ('stage', 'checkpoint', 'prefixes'),
    'env_cfg': ('cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'),
    'custom_imports': ('imports', 'allow_failed_imports'),
}
# Lists of config files, relative to the file that states them.
FILE_LISTS = ('stages', 'downstream')


class _Absent:
    """The value that a key has where it does not exist."""

    def __repr__(self) -> str:
        return '(absent)'


ABSENT = _Absent()


def load_config(
    path: str | Path,
    options: Mapping[str, Any] | Sequence[str] | None = None,
    data_root: str | Path | None = None,
) -> Config:
    """Read a config, import the plug-ins that it names, apply overrides.

    The config runs as code. Its bases may be relative files or `package::file` names: `lurefusion::lure/x.py` is a
    shipped config, `mmseg::_base_/...` one of MMSegmentation's. Modules of `custom_imports` are looked for on the path,
    then in the nearest folder above the config that holds `projects/`, then in the nearest one that holds the module.

    What has no effect is refused. A top-level name is an argument of MMEngine's Runner, an option of lurefusion
    (`OWN_KEYS`), or a helper. Helpers count where the file that states them uses them, or an heir does so by
    `_base_.name`; they are not in the result. A name that starts with an underscore may be unused.

    Args:
        path: A .py file, or `lurefusion::lure/stage1_ir_vi.py` (see `list_configs`).
        options: Overrides, `{'model.decoder.width': 8}` or `['model.decoder.width=8', ...]`. A key must exist in the
            config, be a top-level argument of MMEngine's Runner, or be a new name in one of `OPEN_DICTS`; `+key` adds
            any key, whatever is missing on its way. Elements of lists are addressed by index:
            `train_dataloader.dataset.datasets.0.x`. A dict merges into a dict, or replaces it with `_delete_=True`.
        data_root: Folder that relative data roots start from, written into every data set of the config; default: see
            `resolve_data_root`.

    Returns:
        The config, with `default_scope='lurefusion'` if it names no other. Files in `stages` and `downstream` are
        absolute, or `package::` names.

    Raises:
        FileNotFoundError: If the config, a base or `data_root` does not exist; names the nearest config.
        ImportError: If a module of `custom_imports` fails; shows its own traceback and the folders looked in.
        KeyError: If an override has no place in the config or no effect; suggests the nearest key.
        TypeError: If an override goes into something that is not a dict or list.
        ValueError: If the config is no Python file, fails to run or states what has no effect, or an override has no
            `=`.
    """
    overrides = parse_options(options)
    load_plugins()
    file = find_config(path)
    cfg, readings = _read(file, foreign='::' in str(path) and not str(path).startswith(f'{SCOPE}::'))
    _refuse_idle_names(cfg, readings)
    _import_custom_modules(cfg, file)
    _drop_helpers(cfg, file)
    apply_options(cfg, overrides)
    _check_keys(cfg, file)
    if cfg.get('default_scope') is None:
        cfg.default_scope = SCOPE
    if data_root is not None:
        folder = _data_folder(data_root)
        for key, value in _mapping(cfg).items():
            if key.endswith('_dataloader') or key in ('probe', 'pictures', 'default_hooks', 'custom_hooks'):
                _write_data_root(value, folder)
    return cfg


def config_root() -> Path:
    """Folder of the shipped configs: inside the installed package, or `configs/` of the checkout."""
    package = Path(__file__).resolve().parent
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
        return _package_config(text)
    file = Path(text).expanduser().resolve()
    if file.is_dir():
        raise FileNotFoundError(f'config {text!r} does not exist as a file: it is a folder{_listing(file)}')
    if not file.is_file():
        raise FileNotFoundError(f'config {text!r} does not exist (looked at {file}).{_nearest_config(text)}')
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
    os.environ[DATA_ROOT_VARIABLE] = str(_data_folder(folder))
    try:
        yield
    finally:
        if before is None:
            del os.environ[DATA_ROOT_VARIABLE]
        else:
            os.environ[DATA_ROOT_VARIABLE] = before


def is_inherited(cfg: Config, key: str) -> bool:
    """Whether the value at a dotted key of a loaded config is that of a shipped file, and nobody else's choice."""
    value = _at(_mapping(cfg), key)
    if cfg.filename is None or value is ABSENT:
        return False
    root = config_root().resolve()
    readings = _read(Path(cfg.filename))[1]
    return any(_at(r.result, key) == value for r in readings if root in Path(r.file).resolve().parents)


def parse_options(options: Mapping[str, Any] | Sequence[str] | None) -> dict[str, Any]:
    """Overrides as a dict: `['a.b=1', 'c=[x,y]']` becomes `{'a.b': 1, 'c': ['x', 'y']}`, a dict is copied.

    Values are read as Python literals where they are any, else as MMEngine's `--cfg-options` does: bare words are
    strings, `x,y` and `[x,y]` lists, `(x,y)` a tuple. Spaces stay.

    Raises:
        TypeError: If `options` is neither a mapping nor a sequence of strings.
        ValueError: If an item has no `=`.
    """
    if options is None:
        return {}
    if isinstance(options, Mapping):
        return dict(options)
    if isinstance(options, str) or not all(isinstance(item, str) for item in options):
        raise TypeError(f'options: expected a dict or a list of KEY=VALUE strings, got {options!r}')
    parsed: dict[str, Any] = {}
    for item in options:
        key, equals, value = item.partition('=')
        if not equals or not key.strip():
            raise ValueError(f'options: expected KEY=VALUE, got {item!r}')
        parsed[key.strip()] = _parse_value(value)
    return parsed


def known_options(cfg: Config | Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The overrides that have a place in `cfg`; a pipeline gives each stage its own share with this."""
    return {key: value for key, value in options.items() if _objection(_mapping(cfg), key, value) is None}


def check_options(options: Mapping[str, Any], *cfgs: Config | Mapping[str, Any]) -> None:
    """Refuse overrides that have a place in none of `cfgs`, or no effect.

    Raises:
        KeyError: Names the first such key and the nearest one that exists; for a helper of the config those that hold
            its value.
        TypeError: If the key goes into something that is not a dict or list.
    """
    for key, value in options.items():
        _check_option(key, value, [_mapping(cfg) for cfg in cfgs], cfgs)


def _check_option(
    key: str, value: Any, contents: Sequence[Mapping[str, Any]], cfgs: Sequence[Config | Mapping[str, Any]]
) -> None:
    objections = [_objection(content, key, value) for content in contents]
    if objections and None not in objections:
        head = key.removeprefix('+').partition('.')[0]
        for cfg in cfgs:
            if isinstance(cfg, Config) and cfg.filename and head not in cfg and not _has_effect(head):
                _refuse_helper(cfg, key, head)
        # The most helpful answer comes from the config that has the longest part of the key.
        raise max(objections, key=lambda found: found[0])[1]


def _refuse_helper(cfg: Config, key: str, name: str) -> None:
    try:
        helpers = _mapping(_read(Path(cfg.filename))[0])
    except (OSError, ValueError, ImportError):
        return
    if name in helpers:
        raise KeyError(
            f'override {key!r} has no effect: {name} is a helper of {cfg.filename}, read while the file runs. '
            f'{_instead(_mapping(cfg), name, helpers[name])}'
        )


def _instead(content: Mapping[str, Any], name: str, value: Any) -> str:
    """The sentence that names the keys that hold a helper's value."""
    trivial = value is None or isinstance(value, bool) or value in (0, 1)
    found = [] if trivial else [path for path, held in _nodes(content) if _same(held, value)]
    found = [p for p in found if p.endswith(f'.{name}')] + [p for p in found if not p.endswith(f'.{name}')]
    # what lies inside of a key that is named says nothing new
    found = [p for p in found if not any(p.startswith(f'{other}.') for other in found)]
    if not found:
        return 'No key holds its value as it is: set what is made of it.'
    more = f' and {len(found) - 6} more' if len(found) > 6 else ''
    return f'Set what holds its value: {", ".join(found[:6])}{more}'


def apply_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Check overrides and write them into `cfg`, all or none; rules and errors as in `load_config`."""
    content: Any = _mapping(cfg)
    for key, value in options.items():
        _check_option(key, value, [content], [cfg])
        content = _assigned(content, key.removeprefix('+').split('.'), value)
    for head in dict.fromkeys(key.removeprefix('+').partition('.')[0] for key in options):
        cfg[head] = content[head]


def diff_configs(old: Config | Mapping[str, Any], new: Config | Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(key, old value, new value) of every leaf that differs, sorted by key; `ABSENT` where there is none."""
    before, after = dict(_leaves(_mapping(old))), dict(_leaves(_mapping(new)))
    return [
        (key, before.get(key, ABSENT), after.get(key, ABSENT))
        for key in sorted(before.keys() | after.keys())
        if not _same(before.get(key, ABSENT), after.get(key, ABSENT))
    ]


def _package_config(name: str) -> Path:
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
        hint = _nearest_config(inner) if package == SCOPE else ''
        raise FileNotFoundError(f'config {name!r} does not exist (looked at {file}).{hint}')
    return file


def _listing(folder: Path) -> str:
    names = sorted(file.name for file in folder.glob('*.py'))
    return (
        f'; name one of {", ".join(names[:12])}{" ..." if len(names) > 12 else ""}' if names else ' without .py files'
    )


def _nearest_config(path: str) -> str:
    here = Path(path).expanduser()
    beside = sorted(file.name for file in here.parent.glob('*.py')) if here.parent.is_dir() else []
    near = next((name for name in beside if f"'{name}'" in did_you_mean(here.name, beside)), None)
    names = {name.partition('::')[2]: name for name in list_configs()}
    tail = here.as_posix().rpartition('configs/')[2]
    hint = did_you_mean(tail, list(names)) or did_you_mean(here.name, [Path(name).name for name in names])
    shipped = next((n for inner, n in names.items() if f"'{inner}'" in hint or f"'{Path(inner).name}'" in hint), None)
    found = [repr(str(name)) for name in (near and here.with_name(near), shipped) if name]
    return f' Did you mean {" or ".join(found)}?' if found else f' Shipped configs: {", ".join(names.values())}'


@dataclass
class _Reading:
    """What one file of a config says; `heirs` are the files that name it as base, and theirs."""

    file: str
    foreign: bool
    heirs: tuple[_Reading, ...]
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
            self.used_of_bases.add(node.slice.value)
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


def _read(file: Path, foreign: bool = False) -> tuple[Config, list[_Reading]]:
    """The config as MMEngine reads it, helpers included, and what its files say, bases first.

    Raises:
        ValueError: If a file fails to run; names the file and the line.
        FileNotFoundError, ModuleNotFoundError: If a base does not exist.
    """
    find, run = Config._get_cfg_path, Config._file2dict
    readings: list[_Reading] = []
    stack: list[_Reading] = []
    foreign_files = {str(file)} if foreign else set()

    def find_base(base: str, filename: str) -> tuple[str, str | None]:
        # without pkg_resources and without MMEngine's list of packages
        if '::' not in base:
            path, scope = find(base, filename)
            if not Path(path).is_file():
                where = f'{stack[-1].file}: its base {base!r} does not exist (looked at {path}).'
                raise _Located(FileNotFoundError(where + _nearest_config(path)))
        else:
            package = base.partition('::')[0]
            try:
                path = str(_package_config(base))
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
        reading = _Reading(filename, filename in foreign_files, tuple(stack))
        stack.append(reading)
        try:
            content, *rest = run(filename, *args, **kwargs)
        except _Located:
            raise
        except (Exception, SystemExit) as error:
            raise _Located(_with_place(error, filename)) from error
        finally:
            stack.pop()
        for key in FILE_LISTS:
            # those of the bases are absolute already
            if isinstance(content.get(key), (list, tuple)):
                content[key] = [_beside(filename, item) for item in content[key]]
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


def _has_effect(name: str) -> bool:
    return name in RUNNER_KEYS or name in OWN_KEYS


def _refuse_idle_names(cfg: Config, readings: Sequence[_Reading]) -> None:
    """ValueError for a name whose value nothing looks at.

    In a base a new name may be there for other heirs; but no file gives a helper of its bases a value in vain.
    """
    leaf = readings[-1] if readings else None
    whole = any(key in cfg for key in ('model', 'stages', 'probe'))
    for reading in readings:
        inherited: dict[str, Any] = {}
        for base in readings:
            if reading in base.heirs:
                inherited |= {name: (base, value) for name, value in base.result.items()}
        for name, line in reading.assigned.items():
            idle = not (reading.foreign or _has_effect(name) or name.startswith('_') or reading.uses(name))
            if not idle or name not in reading.result:
                continue
            if name in inherited:
                base, value = inherited[name]
                raise ValueError(
                    f'config {reading.file}, line {line}: {name} has no effect: it is a helper of {base.file}, which '
                    f'has run with its own value. {_instead(_effective(reading.result), name, value)}'
                )
            if reading is leaf and whole:
                known = sorted(RUNNER_KEYS | OWN_KEYS)
                raise ValueError(
                    f'config {reading.file}, line {line}: {name} has no effect: it is neither an argument of '
                    f"MMEngine's Runner nor an option of lurefusion, and the file does not use it."
                    f'{did_you_mean(name, known)}{_longer(_effective(reading.result), name)}'
                )


def _longer(content: Mapping[str, Any], name: str) -> str:
    found = [path for path in _paths(content) if path.endswith(f'.{name}')]
    return f' There is {found[0]}.' if found else ''


def _effective(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if _has_effect(key)}


def _drop_helpers(cfg: Config, file: Path) -> None:
    for name in list(_mapping(cfg)):
        if name in GIVEN_OTHERWISE:
            # dumped configs of runs have them
            message = f'{file}: {name} is not looked at, it is given by {GIVEN_OTHERWISE[name]}'
            print_log(message, logger='current', level=logging.WARNING)
        if name in GIVEN_OTHERWISE or not _has_effect(name):
            cfg.pop(name)


def _check_keys(cfg: Config, file: Path) -> None:
    """ValueError for keys that nothing reads and nobody else refuses."""
    for name, known in CLOSED_DICTS.items():
        for key in cfg.get(name) or () if isinstance(cfg.get(name), Mapping) else ():
            if key not in known:
                hint = did_you_mean(str(key), list(known))
                raise ValueError(f'config {file}: {name} has no key {key!r}.{hint} Known: {", ".join(known)}')
    if 'stages' in cfg:
        if (
            not isinstance(cfg.stages, (list, tuple))
            or not all(isinstance(s, str) for s in cfg.stages)
            or not cfg.stages
        ):
            raise ValueError(f'config {file}: stages is a list of config files, got {cfg.stages!r}')
        for key in cfg:
            if key not in PIPELINE_KEYS:
                raise ValueError(
                    f'config {file}: {key} has no effect in a pipeline of stages; put it into the file of a stage, or '
                    f"write options = {{'{key}.<key>': <value>}}"
                )
    elif 'model' in cfg:
        for key in ('options', 'joint'):
            if key in cfg:
                raise ValueError(f'config {file}: {key} has an effect beside stages = [...] alone')


def _data_folder(data_root: str | Path) -> Path:
    folder = Path(data_root).expanduser().resolve()
    if not folder.is_dir():
        raise FileNotFoundError(f'data_root: {str(data_root)!r} is not a folder (looked at {folder})')
    return folder


def _write_data_root(node: Any, folder: Path) -> None:
    """Let every data set below `node` start from `folder`."""
    from lurefusion.datasets.paired import PairedDataset
    from lurefusion.registry import DATASETS

    kind = DATASETS.get(node['type']) if isinstance(node, Mapping) and isinstance(node.get('type'), str) else None
    if inspect.isclass(kind) and issubclass(kind, PairedDataset):
        parameters = inspect.signature(kind).parameters
        if 'data_root' not in parameters and all(p.kind is not p.VAR_KEYWORD for p in parameters.values()):
            raise TypeError(
                f'data set {kind.__name__} does not take data_root; let its constructor pass **kwargs on to '
                f'{kind.__mro__[1].__name__}'
            )
        node['data_root'] = str(folder / Path(node.get('data_root') or '.').expanduser())
    for _, child in _children(node):
        _write_data_root(child, folder)


def _import_custom_modules(cfg: Config, file: Path) -> None:
    custom = cfg.get('custom_imports')
    if not custom:
        return
    modules = custom.get('imports') if isinstance(custom, Mapping) else None
    modules = [modules] if isinstance(modules, str) else modules
    if not isinstance(modules, (list, tuple)) or not all(isinstance(module, str) for module in modules):
        raise TypeError(f'{file}: custom_imports is dict(imports=[module, ...]), got {custom!r}')
    for folder in _plugin_folders(file, modules):
        if folder not in sys.path:
            sys.path.append(folder)
            invalidate_caches()
    for module in modules:
        try:
            import_module(module)
        except Exception as error:
            message = f'{file}: custom_imports names {module!r}, which fails to import.\n{traceback.format_exc()}'
            if isinstance(error, ModuleNotFoundError) and error.name and f'{module}.'.startswith(f'{error.name}.'):
                message += (
                    'Folders on the path, in this order:\n'
                    + ''.join(f'    {folder or os.getcwd()}\n' for folder in sys.path)
                    + 'To these load_config adds the nearest folder above the config that holds projects/, and the '
                    'nearest one that holds the module itself. Put the module there, or pip-install its package.'
                )
            if not custom.get('allow_failed_imports', False):
                raise ImportError(message, name=module) from error
            print_log(message, logger='current', level=logging.WARNING)


def _plugin_folders(file: Path, modules: Sequence[str]) -> list[str]:
    folders: list[Path] = []
    folders.extend(next(([folder] for folder in file.parents if (folder / 'projects').is_dir()), []))
    for module in modules:
        inner = Path(*module.split('.'))
        for folder in file.parents:
            if (folder / inner).is_dir() or (folder / inner.with_suffix('.py')).is_file():
                folders.append(folder)
                break
    return [str(folder) for folder in dict.fromkeys(folders)]


def _parse_value(text: str) -> Any:
    text = text.strip()
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        pass
    else:
        if isinstance(value, tuple) and not text.startswith('('):
            return list(value)
        if not isinstance(value, (set, bytes, complex)):
            return value
    if text.lower() in ('true', 'false'):
        return text.lower() == 'true'
    if text[:1] + text[-1:] in ('[]', '()'):
        items = [_parse_value(item) for item in _split_at_commas(text[1:-1])]
        return tuple(items) if text[0] == '(' else items
    parts = _split_at_commas(text)
    if len(parts) > 1:
        return [_parse_value(part) for part in parts]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _split_at_commas(text: str) -> list[str]:
    """Parts between the commas that lie outside of brackets and quotes."""
    parts, depth, quote = [''], 0, ''
    for character in text:
        if quote:
            quote = '' if character == quote else quote
        elif character in '"\'' and not parts[-1].strip():
            quote = character
        elif character in '[({':
            depth += 1
        elif character in '])}':
            depth -= 1
        elif character == ',' and depth == 0:
            parts.append('')
            continue
        parts[-1] += character
    if len(parts) > 1 and not parts[-1].strip():
        parts.pop()
    return parts if parts != [''] else []


def _objection(cfg: Mapping[str, Any], key: str, value: Any) -> tuple[int, Exception] | None:
    """Why `key` has no place in `cfg`, with the number of its parts that exist; None when it has one."""
    forced = key.startswith('+')
    keys = key.removeprefix('+').split('.')
    if not all(keys):
        return 0, KeyError(f'override {key!r}: empty part in the key')
    node: Any = cfg
    for depth, part in enumerate(keys):
        parent = '.'.join(keys[:depth])
        last = depth == len(keys) - 1
        if isinstance(node, (list, tuple)):
            if not part.isdigit() or int(part) >= len(node):
                expected = f'an index from 0 to {len(node) - 1}' if node else 'no index, the list is empty'
                return depth, KeyError(f'override {key!r}: {parent!r} is a list, expected {expected}, got {part!r}')
            node = node[int(part)]
        elif isinstance(node, Mapping):
            # files of MMSegmentation state resume, and mean the same
            given = {**GIVEN_OTHERWISE, 'resume': '--resume'}
            if depth == 0 and part in given:
                return depth, KeyError(f'override {key!r} has no effect: it is given by {given[part]}')
            if depth == 0 and forced and part not in node and not _has_effect(part):
                return depth, KeyError(
                    f"override {key!r} has no effect: {part!r} is neither an argument of MMEngine's Runner nor an "
                    f'option of lurefusion.{did_you_mean(part, sorted(RUNNER_KEYS | OWN_KEYS))}'
                )
            if part not in node:
                named = (depth == 0 and part in RUNNER_KEYS) or (depth > 0 and keys[depth - 1] in OPEN_DICTS)
                if forced or (last and named):
                    return None
                return depth, _unknown_key(cfg, key, keys, depth, node)
            node = node[part]
        else:
            return depth, TypeError(
                f'override {key!r}: {parent!r} is {node!r}, neither a dict nor a list; '
                f'set it as a whole with {parent}=VALUE'
            )
    return _value_objection(key, node, value, forced, len(keys))


def _value_objection(key: str, node: Any, value: Any, forced: bool, depth: int) -> tuple[int, Exception] | None:
    """The same check for the keys inside a dict that is merged into a dict."""
    if forced or not isinstance(value, Mapping) or not isinstance(node, Mapping) or value.get('_delete_'):
        return None
    if key.rpartition('.')[2] in OPEN_DICTS:
        return None
    for inner, content in value.items():
        if inner not in node:
            hint = did_you_mean(str(inner), [str(k) for k in node])
            return depth, KeyError(
                f'override {key!r}: {inner!r} is not a key of the config.{hint} To add a new key write {"+" + key!r}; '
                f'to replace the whole dict give _delete_=True'
            )
        found = _value_objection(f'{key}.{inner}', node[inner], content, forced, depth + 1)
        if found is not None:
            return found
    return None


def _unknown_key(cfg: Mapping[str, Any], key: str, keys: list[str], depth: int, node: Mapping[str, Any]) -> KeyError:
    prefix = ''.join(f'{part}.' for part in keys[:depth])
    paths = list(_paths(cfg))
    longer = [path for path in paths if path.endswith('.' + '.'.join(keys))]
    near = difflib.get_close_matches(keys[depth], [str(k) for k in node], n=1, cutoff=0.5)
    same = [path for path in paths if path.rpartition('.')[2] == keys[-1]]
    if longer:
        best = longer[0]
    elif near:
        best = '.'.join([prefix + near[0], *keys[depth + 1 :]])
    else:
        best = max(same, key=lambda path: difflib.SequenceMatcher(None, path, key).ratio(), default='')
    hint = f' Did you mean {best!r}?' if best else ''
    place = f'{prefix[:-1]!r}' if prefix else 'the config'
    return KeyError(
        f'override {key!r}: {place} has no key {keys[depth]!r}.{hint} Known there: {", ".join(map(str, node))}. '
        f'To add a new key write {"+" + key.removeprefix("+")!r}'
    )


def _assigned(node: Any, keys: Sequence[str], value: Any) -> Any:
    """`node` with `value` at `keys`; containers on the way are copied, missing dicts made."""
    if not keys:
        if isinstance(value, Mapping):
            value = ConfigDict(value)
            if isinstance(node, Mapping) and not value.get('_delete_'):
                return Config._merge_a_into_b(value, node)
            value.pop('_delete_', None)
        return value
    head, rest = keys[0], keys[1:]
    if isinstance(node, (list, tuple)):
        items = list(node)
        items[int(head)] = _assigned(items[int(head)], rest, value)
        return type(node)(items)
    result = ConfigDict() if node is ABSENT else node.copy()
    result[head] = _assigned(result.get(head, ABSENT), rest, value)
    return result


def _mapping(cfg: Config | Mapping[str, Any]) -> Mapping[str, Any]:
    return cfg._cfg_dict if isinstance(cfg, Config) else cfg


def _children(node: Any) -> list[tuple[Any, Any]]:
    if isinstance(node, Mapping):
        return list(node.items())
    return list(enumerate(node)) if isinstance(node, (list, tuple)) else []


def _paths(node: Any, prefix: str = '') -> Iterator[str]:
    """Dotted paths of everything inside `node`."""
    return (path for path, _ in _nodes(node, prefix))


def _nodes(node: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of everything inside `node`."""
    for key, value in _children(node):
        yield f'{prefix}{key}', value
        yield from _nodes(value, f'{prefix}{key}.')


def _at(node: Any, key: str) -> Any:
    """The value at a dotted key, or `ABSENT`."""
    for part in key.split('.'):
        node = {str(name): value for name, value in _children(node)}.get(part, ABSENT)
    return node


def _leaves(node: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of all that is no container of containers; lists of plain values count as one leaf."""
    for key, value in _children(node):
        inner = _children(value)
        if inner and (isinstance(value, Mapping) or any(_children(item) for _, item in inner)):
            yield from _leaves(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(a == b)
