"""Cures for software that does not fit together, each where MMEngine or transformers would otherwise stop."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import torch

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
