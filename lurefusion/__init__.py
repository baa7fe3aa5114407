"""lurefusion: degradation-aware multi-modal image fusion on MMEngine registries."""

import logging
from typing import Any

from lurefusion.mim import announce

# where pyiqa is installed, MMEngine imports bitsandbytes, which warns about kernels that nothing here uses
logging.getLogger('bitsandbytes').setLevel(logging.ERROR)
announce()

__version__ = '0.1.0'
__all__ = [
    'FolderReport',
    'FusionInferencer',
    '__version__',
    'inference_model',
    'init_model',
    'list_configs',
    'list_models',
    'load_config',
]

_HOMES = {
    'FusionInferencer': 'lurefusion.apis',
    'FolderReport': 'lurefusion.apis',
    'inference_model': 'lurefusion.apis',
    'init_model': 'lurefusion.apis',
    'list_models': 'lurefusion.apis',
    'load_config': 'lurefusion.config',
    'list_configs': 'lurefusion.config',
}


def __getattr__(name: str) -> Any:
    """The public API, imported when first used: `import lurefusion` alone costs nothing."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
