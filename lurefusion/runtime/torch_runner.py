"""PyTorch as a back-end: a `FusionModel` on a device."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lurefusion.runtime.memory import keep_freed_memory
from lurefusion.runtime.runner import Runner

if TYPE_CHECKING:
    from lurefusion.models.base import FusionModel


class TorchRunner(Runner):
    """Runs a model with PyTorch.

    Args:
        model: Is moved to the device and set to eval mode.
        device: See :func:`pick_device`.
        chroma_from: See :class:`Runner`.
        keep_memory: On a CPU, keep freed memory for the next picture, up to 512 MB; for the whole process, see
            :func:`lurefusion.runtime.memory.keep_freed_memory`.
    """

    def __init__(
        self,
        model: FusionModel,
        device: str | torch.device | None = None,
        chroma_from: str = 'fused',
        keep_memory: bool = True,
    ) -> None:
        self.device = pick_device(device)
        if keep_memory and self.device.type == 'cpu':
            keep_freed_memory()
        self.model = model.to(self.device).eval()
        self.modalities = model.modalities
        self.chroma = model.chroma
        self.prompts = model.prompts
        self.size_divisor = model.size_divisor
        self.running = model.running
        if self.device.type != 'cpu':
            self.running = model.running.in_layers()
        self.chroma_from = chroma_from

    @property
    def title(self) -> str:
        """Name of the model's class."""
        return type(self.model).__name__

    def fingerprint(self) -> str:
        """See :class:`Runner`: a hash of all weights, what the parts were built with, and the code of plug-ins."""
        found = hashlib.blake2b(super().fingerprint().encode(), digest_size=16)
        for name, part in self.model.named_modules():
            own = {k: v for k, v in vars(part).items() if k not in _OF_EVERY_MODULE}
            # what begins with _ may be kept from one run to the next
            own = {k: v for k, v in own.items() if not k.startswith('_') or isinstance(v, _SIMPLE | tuple)}
            found.update(f'{name} {type(part).__qualname__} {_plain(own)} {_own_code(type(part))}'.encode())
        for name, tensor in self.model.state_dict().items():
            found.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}'.encode())
            found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
        return found.hexdigest()

    def core(self, images: tuple[Tensor, ...], text: Tensor | None = None) -> Tensor:
        """See :class:`Runner`."""
        return self.model.core(images, text)

    def restore(self, x: Tensor, text: Tensor, modality: int) -> Tensor:
        """See :class:`Runner`."""
        return self.model.restore(x, text, modality)

    def encode_text(self, sentences: Sequence[str]) -> Tensor | None:
        """See :class:`Runner`."""
        return self.model.encode_text(sentences)

    def classify_text(self, sentences: Sequence[str]) -> np.ndarray:
        """See :class:`Runner`."""
        return self.model.classify_text(sentences)


if hasattr(os, 'register_at_fork'):
    # OpenMP's threads do not live on in a forked process, which would wait for them for ever
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
_SIMPLE = bool | int | float | str | None
_OF_EVERY_MODULE = frozenset(vars(torch.nn.Module()))


def _plain(value: Any) -> Any:
    """Numbers and words, in any containers and in one order, and digests of arrays; '' for everything else."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy() if value.dtype != torch.bfloat16 else value.detach().cpu().float().numpy()
    if isinstance(value, np.ndarray | np.generic):
        return f'{value.dtype} {value.shape} {hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()}'
    if is_dataclass(value) and not isinstance(value, type):
        return _plain({field.name: getattr(value, field.name) for field in fields(value)})
    if isinstance(value, torch.dtype | complex):
        return str(value)
    if isinstance(value, Mapping):
        return sorted((str(key), _plain(one)) for key, one in value.items())
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, set | frozenset):
        return sorted(str(_plain(one)) for one in value)
    return value if isinstance(value, _SIMPLE) else ''


@lru_cache
def _own_code(kind: type) -> str:
    """Code of a class and of its bases, as far as it is a plug-in's: of the others versions tell."""
    found = []
    for base in kind.__mro__:
        if base.__module__.split('.')[0] not in ('lurefusion', 'torch', 'mmengine', 'abc', 'builtins'):
            # typed in, there is no file
            with suppress(OSError, TypeError):
                found.append(inspect.getsource(base))
    return ''.join(found)


def devices() -> list[str]:
    """Names of the devices that there are: ``cpu``, ``cuda:0`` and so on, ``mps``."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = ['mps'] if torch.backends.mps.is_available() else []
    return ['cpu', *(f'cuda:{number}' for number in range(count)), *mps]


def pick_device(name: str | torch.device | None = None) -> torch.device:
    """The device of a name (``cpu``, ``cuda``, ``cuda:1``); None: CUDA where there is any.

    Raises:
        ValueError: If there is no such device here; says which there are.
    """
    if name is None:
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
        if device.type == 'meta':
            raise ValueError
        torch.zeros(1, device=device)
    # PyTorch reports a missing device by many kinds of errors
    except (RuntimeError, AssertionError, NotImplementedError, ValueError, TypeError, ImportError):
        raise ValueError(f'there is no device {str(name)!r} here; there are: {", ".join(devices())}') from None
    return device
