"""Cures for software that does not fit together: where MMEngine or transformers stop, import or trust too much."""

from __future__ import annotations

import importlib.util
import os
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

#: prefixes of what MMEngine reads by `torch.load` and may leave it to PyTorch what that takes
WEB = ('http://', 'https://')
#: MMEngine imports them for their optimisers where they are installed
OPTIMIZER_PACKAGES = ('bitsandbytes', 'transformers')

_torchvision_schemas: torch.library.Library | None = None


def allow_unmatched_torchvision() -> None:
    """Let torchvision be imported although its operators do not fit this torch (a CUDA build beside CPU torch).

    transformers' models import torchvision if it is installed, and its import dies with `operator torchvision::nms does
    not exist` when `_C` does not load. Declaring the two operators cures that; calling them still fails.
    """
    global _torchvision_schemas
    if 'torchvision' in sys.modules or _torchvision_schemas is not None or hasattr(torch.ops.torchvision, 'nms'):
        return
    spec = importlib.util.find_spec('torchvision')
    if spec is None or spec.origin is None:
        return
    for library in [path for path in Path(spec.origin).parent.glob('_C*') if path.suffix in ('.so', '.pyd', '.dylib')]:
        try:
            torch.ops.load_library(str(library))
            return
        except OSError:
            continue
    _torchvision_schemas = torch.library.Library('torchvision', 'DEF')
    for name in ('nms', 'qnms'):
        _torchvision_schemas.define(f'{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')


def onnxruntime() -> ModuleType:
    """ONNX Runtime, which reports nothing to its makers: what is fused here concerns nobody else.

    Official builds look up a server half a minute after the start, and keep a number of the machine in the home folder,
    unless this is set before the import.
    """
    os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')
    import onnxruntime as found

    return found


@contextmanager
def optional_optimizers_later() -> Iterator[None]:
    """Let `mmengine.model` be imported without the packages whose optimisers MMEngine registers on the way.

    bitsandbytes and transformers cost several times what fusing imports otherwise; `register_optional_optimizers` makes
    up for it where a network is trained.
    """
    hidden = [name for name in OPTIMIZER_PACKAGES if name not in sys.modules]
    # an import of a name that is None fails as that of a missing package
    sys.modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


def register_optional_optimizers() -> None:
    """Register the optimisers of bitsandbytes and transformers with MMEngine, unless they are."""
    from mmengine.optim.optimizer import builder

    for package in OPTIMIZER_PACKAGES:
        names = f'{package.upper()}_OPTIMIZERS'
        if not getattr(builder, names):
            setattr(builder, names, getattr(builder, f'register_{package}_optimizers')())


def open_no_pickles() -> None:
    """Let MMEngine read checkpoints (`load_from`, `init_cfg`) as tensors and plain values alone, with every PyTorch.

    What it reads from a disk and fetches from the web would else be opened as any pickle by PyTorch before 2.6, where
    its default was another, and what comes from the web by later ones too.
    """
    from mmengine.runner import CheckpointLoader

    CheckpointLoader.register_scheme(prefixes='', loader=_load_local, force=True)
    CheckpointLoader.register_scheme(prefixes=WEB, loader=_load_web, force=True)


def _load_local(filename: str, map_location: Any = None) -> Any:
    path = Path(filename).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'no such checkpoint: {path}')
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:
        raise ValueError(
            f'{path} is no checkpoint that can be read safely ({type(error).__name__}): it is damaged, or holds more '
            f'than tensors and plain values, which is not opened'
        ) from error


def _load_web(filename: str, map_location: Any = None, model_dir: str | None = None, progress: bool = False) -> Any:
    from mmengine.dist import barrier, get_rank

    # the first process fetches it, the others find it
    if get_rank():
        barrier()
    try:
        return torch.hub.load_state_dict_from_url(
            filename, model_dir=model_dir, map_location=map_location, progress=progress, weights_only=True
        )
    except pickle.UnpicklingError as error:
        raise ValueError(f'{filename} holds more than tensors and plain values, which is not opened') from error
    finally:
        if not get_rank():
            barrier()
