"""A config, whole: read, checked, with its plug-ins imported and overrides and data root applied."""

from __future__ import annotations

import inspect
import logging
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from lurefusion.config.files import data_folder, find_config
from lurefusion.config.keys import check_keys, drop_helpers, refuse_idle_names
from lurefusion.config.length import settle_length
from lurefusion.config.overrides import apply_options, parse_options
from lurefusion.config.reading import read
from lurefusion.config.tree import children, mapping_of
from lurefusion.plugins import load_plugins
from lurefusion.registry import SCOPE


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

    The length of a training is `train_cfg.max_iters`. Other counts of steps are numbers, or parts of it
    (`val_interval=0.25`), which are made numbers here; an override of the length takes both with it.

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
        ValueError: If the config is no Python file, fails to run or states what has no effect, an override has no `=`,
            or the training has no length.
    """
    overrides = parse_options(options)
    load_plugins()
    file = find_config(path)
    cfg, readings = read(file, foreign='::' in str(path) and not str(path).startswith(f'{SCOPE}::'))
    refuse_idle_names(cfg, readings)
    _import_custom_modules(cfg, file)
    drop_helpers(cfg, file)
    settle_length(cfg)
    apply_options(cfg, overrides)
    check_keys(cfg, file)
    if cfg.get('default_scope') is None:
        cfg.default_scope = SCOPE
    if data_root is not None:
        folder = data_folder(data_root)
        for key, value in mapping_of(cfg).items():
            if key.endswith('_dataloader') or key in ('probe', 'pictures', 'default_hooks', 'custom_hooks'):
                _write_data_root(value, folder)
    return cfg


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
    for _, child in children(node):
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
        else:
            _refuse_namesake(file, module)


def _refuse_namesake(file: Path, module: str) -> None:
    """ImportError where the module of that name which is nearest above the config is not the one that was imported."""
    inner = Path(*module.split('.'))
    for folder in file.parents:
        for candidate in (folder / inner.with_suffix('.py'), folder / inner / '__init__.py'):
            taken = getattr(sys.modules[module], '__file__', None)
            if candidate.is_file() and taken and not os.path.samefile(candidate, taken):
                raise ImportError(
                    f'{file}: custom_imports names {module!r}, which is {candidate} beside this config, but another '
                    f'module of that name was found first, {taken}: rename one of them',
                    name=module,
                )
            if candidate.is_file():
                return


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
