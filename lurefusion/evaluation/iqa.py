"""No-reference scores of pyiqa's networks, with weights from a folder that the user fills; never a download."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lurefusion.evaluation.cards import NetworkCard
from lurefusion.registry import MEASURES


def network_card(name: str) -> NetworkCard:
    """Card of a network score.

    Raises:
        KeyError: If there is none of that name.
    """
    card = MEASURES.require(name)
    if not isinstance(card, NetworkCard):
        known = [known for known in MEASURES.known() if isinstance(MEASURES.get(known), NetworkCard)]
        raise KeyError(f'{name!r} is no score of a network. Known: {", ".join(known)}')
    return card


def unavailable(name: str, weights_dir: str | os.PathLike) -> str | None:
    """`not available: put FILE into DIR`, or None when every file of the network `name` is there."""
    missing = [file for file in network_card(name).files if not (Path(weights_dir) / file).is_file()]
    return f'not available: put {", ".join(missing)} into {weights_dir}' if missing else None


class NetworkScore:
    """One network of pyiqa.

    Args:
        name: One of the networks, see `lurefusion.evaluation.cards.NetworkCard`.
        weights_dir: Folder with the files that the card names, all side by side.
        device: Where it runs.

    Attributes:
        reason: Why there are no scores (`not available: ...`), or None.
    """

    def __init__(self, name: str, weights_dir: str | os.PathLike, device: str | torch.device = 'cpu') -> None:
        self.card = network_card(name)
        self.net: Any = None
        self.reason = unavailable(name, weights_dir)
        if self.reason is None:
            try:
                with _offline(Path(weights_dir)):
                    import pyiqa

                    self.net = pyiqa.create_metric(self.card.network, device=torch.device(device))
            except ImportError as error:
                self.reason = f'not available: pip install "lurefusion[iqa]" ({error})'
            except Exception as error:
                # whatever a foreign package raises, the other columns go on
                self.reason = (
                    f'not available: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ""}'
                )

    def __call__(self, images: Tensor) -> Tensor:
        """(B,3,H,W) RGB in [0,1] -> (B,) float64 on the CPU.

        Raises:
            RuntimeError: If the network is not available.
        """
        if self.net is None:
            raise RuntimeError(f'{self.card.name} is {self.reason}')
        # one picture at a time: some of the networks average over the batch; seeded, since MANIQA crops at random
        scores = []
        with torch.random.fork_rng(), torch.no_grad():
            for image in images.float():
                torch.manual_seed(0)
                scores.append(float(self.net(image[None]).mean()))
        return torch.tensor(scores, dtype=torch.float64)


@contextlib.contextmanager
def _offline(weights_dir: Path) -> Iterator[None]:
    """pyiqa sees `weights_dir` as each of its caches, reads no pickle, and finds no network."""
    from lurefusion.compat import allow_unmatched_torchvision

    allow_unmatched_torchvision()
    hub_dir = torch.hub.get_dir()
    with contextlib.ExitStack() as stack:
        cache = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for place in ('pyiqa', 'checkpoints', 'clip'):
            (cache / place).mkdir()
            for file in weights_dir.resolve().iterdir():
                (cache / place / file.name).symlink_to(file)
        for name in ('HF_HUB_OFFLINE', 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'):
            stack.callback(_set_environment, name, os.environ.get(name))
            os.environ[name] = '1'
        torch.hub.set_dir(str(cache))
        stack.callback(torch.hub.set_dir, hub_dir)
        stack.enter_context(_replaced(socket.socket, 'connect', _refuse))
        stack.enter_context(_replaced(socket, 'getaddrinfo', _refuse))
        import pyiqa.archs.liqe_arch
        import pyiqa.utils.download_util
        import timm
        import torchvision.models

        for module in (pyiqa.archs.liqe_arch, pyiqa.utils.download_util):
            stack.enter_context(_replaced(module, 'DEFAULT_CACHE_DIR', str(cache / 'pyiqa')))
        # the checkpoints of MANIQA and ARNIQA hold their backbones: the weights asked for first are overwritten
        create, resnet = timm.create_model, torchvision.models.resnet50

        def bare_create(*args: Any, **kwargs: Any) -> torch.nn.Module:
            return create(*args, **{**kwargs, 'pretrained': False})

        def bare_resnet(**_: Any) -> torch.nn.Module:
            return resnet(weights=None)

        stack.enter_context(_replaced(timm, 'create_model', bare_create))
        stack.enter_context(_replaced(torchvision.models, 'resnet50', bare_resnet))
        yield


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


def _set_environment(name: str, value: str | None) -> None:
    os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def _refuse(*_: Any, **__: Any) -> None:
    raise ConnectionRefusedError('a weight file is missing or damaged, and nothing is ever downloaded')
