"""Which back-end runs a network, from what a user names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from lurefusion import __version__
from lurefusion.apis.models import DEFAULT_MODEL, init_model
from lurefusion.choices import one_of
from lurefusion.io.digests import digest
from lurefusion.models.base import FusionModel
from lurefusion.runtime.runner import Runner
from lurefusion.runtime.torch_runner import TorchRunner

#: back-ends by name
RUNNERS = ('torch', 'onnx')


def runner_of(model: Any, weights: str | None, device: str | None, kind: str | None = None) -> Runner:
    """What runs a network; arguments as `model`, `weights`, `device` and `runner` of `FusionInferencer`."""
    one_of('runner', kind, RUNNERS, optional=True)
    if isinstance(model, FusionModel | Runner):
        if weights is not None:
            raise ValueError(f'a network that is built has its weights: leave weights={weights!r} out')
        if isinstance(model, Runner):
            if device is not None or kind is not None:
                raise ValueError(f'a runner has its device and kind: leave device={device!r}, runner={kind!r} out')
            return model
        if kind == 'onnx':
            return onnx_runner_of(model, type(model).__name__, device)
        own = next((parameter.device for parameter in model.parameters()), None)
        return TorchRunner(model, device or own)
    if str(model).endswith('.onnx'):
        if weights is not None or kind == 'torch':
            raise ValueError(f'{model} is run by ONNX Runtime and has its weights: leave weights and runner out')
        from lurefusion.runtime.onnx_runner import OnnxRunner

        return OnnxRunner(model, device)
    if kind == 'onnx':
        return onnx_runner_of(init_model(model, weights, 'cpu'), str(model or weights or DEFAULT_MODEL), device)
    network = init_model(model, weights, device)
    return TorchRunner(network, device)


def onnx_runner_of(model: FusionModel, name: str, device: str | None = None) -> Runner:
    """A network run by ONNX Runtime, exported into the user's cache unless these very weights have been.

    The file is in `$XDG_CACHE_HOME/lurefusion` (default `~/.cache/lurefusion`), named by a fingerprint of the network
    and of its prompts.
    """
    # heavy, and only needed here
    from lurefusion.export import export_onnx, metadata_of, need_onnx, table_of
    from lurefusion.runtime.onnx_runner import FORMAT, OnnxRunner

    need_onnx()
    cache = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'lurefusion'
    network = TorchRunner(model, 'cpu').fingerprint()
    # what the file says of tasks and sentences is none of the network's
    path = cache / f'{digest([FORMAT, __version__, network, metadata_of(model, name, table_of(model))])}.onnx'
    if path.is_file():
        try:
            return OnnxRunner(path, device)
        except ValueError as error:
            if device not in (None, 'cpu'):
                raise
            print_log(f'{error}: made anew', logger='current')
    print_log(f'exporting {name} once, to {path}', logger='current')
    export_onnx(model, path, name)
    return OnnxRunner(path, device)
