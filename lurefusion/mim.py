"""What MMEngine needs to find this package: an entry in its list of packages, and a loader for the shipped weights."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

LIST = 'mmengine.config.utils'
#: weights of `model-index.yml`: ``lurefusion://lure-tiny``
SCHEME = 'lurefusion://'


def announce() -> None:
    """Enter MMEngine's list of packages that hold configs, now or as soon as MMEngine is imported.

    `import lurefusion` does not import MMEngine itself: that would import torch for `lurefusion --help`.
    """
    if LIST in sys.modules:
        _enter(sys.modules[LIST])
    else:
        sys.meta_path.insert(0, _WhenImported())


def register_loader() -> None:
    """Let MMEngine's `load_checkpoint` take ``lurefusion://NAME``: shipped weights, or any file of `find_weights`."""
    from mmengine.runner import CheckpointLoader

    CheckpointLoader.register_scheme(prefixes=SCHEME, loader=_load, force=True)


def _load(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Tensors by name, on the CPU: MMEngine copies them to where the model is."""
    from lurefusion.weights import find_weights, read_weights

    return read_weights(find_weights(filename.removeprefix(SCHEME)))[0]


def _enter(module: ModuleType) -> None:
    # Not the name of the distribution, which leads MMEngine to site-packages even where the package lies in a checkout:
    # of a module, it takes the folder from which that is imported.
    module.MODULE2PACKAGE.setdefault('lurefusion', __name__)


class _WhenImported(MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != LIST:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                _enter(module)

            spec.loader.exec_module = exec_module
        return spec
