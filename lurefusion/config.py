"""Reading configs: shipped ones by name, bases out of any package, plug-ins, checked overrides, the data root.

A config is Python code and runs when it is loaded (that is MMEngine's way): load only configs that you trust.
"""

from __future__ import annotations

import ast
import difflib
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module, invalidate_caches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log

from lurefusion.registry import SCOPE, did_you_mean, load_plugins

DATA_ROOT_VARIABLE = 'LUREFUSION_DATA'

# Dicts whose keys are names that the user chooses, not arguments: a new key is no mistake there.
OPEN_DICTS = frozenset({'losses', 'custom_keys', 'default_hooks', 'env_cfg', 'mp_cfg', 'dist_cfg', 'metainfo'})

# Arguments of MMEngine's Runner that a config may leave out.
RUNNER_KEYS = frozenset(
    {
        'work_dir', 'load_from', 'resume', 'launcher', 'env_cfg', 'log_processor', 'log_level', 'visualizer',
        'default_scope', 'randomness', 'experiment_name', 'custom_hooks', 'default_hooks', 'param_scheduler',
        'auto_scale_lr', 'model_wrapper_cfg', 'custom_imports', 'val_cfg', 'test_cfg',
    }
)  # fmt: skip


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

    Args:
        path: A .py file, or `lurefusion::lure/stage1_ir_vi.py` (see `list_configs`).
        options: Overrides, `{'model.decoder.width': 8}` or `['model.decoder.width=8', ...]`. A key must exist in the
            config, be a top-level argument of MMEngine's Runner, or be a new name in one of `OPEN_DICTS`; `+key` adds
            any key, whatever is missing on its way. Elements of lists are addressed by index:
            `train_dataloader.dataset.datasets.0.x`. A dict merges into a dict, or replaces it with `_delete_=True`.
        data_root: Folder that relative data roots start from; see `resolve_data_root`. It is put into the environment
            variable LUREFUSION_DATA of this process, so that data loading processes see it too.

    Returns:
        The config, with `default_scope='lurefusion'` if it names no other.

    Raises:
        FileNotFoundError: If the config, a base or `data_root` does not exist; names the nearest shipped config.
        ImportError: If a module of `custom_imports` fails; shows its own traceback and the folders looked in.
        KeyError: If an override has no place in the config; suggests the nearest key.
        TypeError: If an override goes into something that is not a dict or list.
        ValueError: If the config is no Python file, or an override has no `=`.
    """
    overrides = parse_options(options)
    load_plugins()
    file = find_config(path)
    with _package_bases():
        cfg = Config.fromfile(str(file), import_custom_modules=False)
    _import_custom_modules(cfg, file)
    apply_options(cfg, overrides)
    if cfg.get('default_scope') is None:
        cfg.default_scope = SCOPE
    if data_root is not None:
        folder = Path(data_root).expanduser().resolve()
        if not folder.is_dir():
            raise FileNotFoundError(f'data_root: {str(data_root)!r} is not a folder (looked at {folder})')
        os.environ[DATA_ROOT_VARIABLE] = str(folder)
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
        FileNotFoundError: If there is none; the message names the nearest shipped config.
        ModuleNotFoundError: If the package of `package::name` is not installed.
        ValueError: If the file is not a Python file.
    """
    text = os.fspath(path)
    if '::' in text:
        return _package_config(text)
    file = Path(text).expanduser().resolve()
    if not file.is_file():
        raise FileNotFoundError(f'config {text!r} does not exist (looked at {file}).{_nearest_config(text)}')
    if file.suffix != '.py':
        raise ValueError(f'a config is a Python file (.py), got {text!r}')
    return file


def resolve_data_root(path: str | Path) -> Path:
    """Absolute folder of a data root.

    An absolute `path` stays. A relative one starts from `$LUREFUSION_DATA`, which `load_config(data_root=...)` sets;
    without it from `data/` in the current folder. Nothing is checked on disk.
    """
    root = Path(os.environ.get(DATA_ROOT_VARIABLE) or 'data').expanduser()
    return Path(os.path.abspath(root / Path(path).expanduser()))


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
    """Refuse overrides that have a place in none of `cfgs`.

    Raises:
        KeyError: Names the first such key and the nearest one that exists.
        TypeError: If the key goes into something that is not a dict or list.
    """
    for key, value in options.items():
        objections = [_objection(_mapping(cfg), key, value) for cfg in cfgs]
        if objections and None not in objections:
            # The most helpful answer comes from the config that has the longest part of the key.
            raise max(objections, key=lambda found: found[0])[1]


def apply_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Check overrides and write them into `cfg`, all or none; rules and errors as in `load_config`."""
    content: Any = _mapping(cfg)
    for key, value in options.items():
        check_options({key: value}, content)
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


def _nearest_config(path: str) -> str:
    names = {name.partition('::')[2]: name for name in list_configs()}
    tail = Path(path).as_posix().rpartition('configs/')[2]
    hint = did_you_mean(tail, list(names)) or did_you_mean(Path(path).name, [Path(name).name for name in names])
    for inner, name in names.items():
        if f"'{inner}'" in hint or f"'{Path(inner).name}'" in hint:
            return f' Did you mean {name!r}?'
    return f' Shipped configs: {", ".join(names.values())}'


@contextmanager
def _package_bases() -> Iterator[None]:
    """Let `package::file` bases be found without pkg_resources and without MMEngine's list of packages."""
    original = Config._get_cfg_path

    def find_base(base: str, filename: str) -> tuple[str, str | None]:
        if '::' not in base:
            return original(base, filename)
        package = base.partition('::')[0]
        # The scope marks foreign types; ours are found through default_scope.
        return str(_package_config(base)), None if package == SCOPE else package

    Config._get_cfg_path = staticmethod(find_base)
    try:
        yield
    finally:
        Config._get_cfg_path = staticmethod(original)


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
    for key, value in _children(node):
        yield f'{prefix}{key}'
        yield from _paths(value, f'{prefix}{key}.')


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
