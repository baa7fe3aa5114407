"""Checkpoints: written whole or not at all, read without opening a stranger's pickle, loaded strictly."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import HistoryBuffer, print_log
from safetensors import safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from lurefusion.images import write_bytes
from lurefusion.registry import did_you_mean

WEIGHTS_DIR = Path(__file__).resolve().parent.parent / 'weights'


class AtomicBackend(LocalBackend):
    """MMEngine's local files, under a temporary name first: a training killed while it saves leaves no half file."""

    def put(self, obj: bytes | io.BytesIO, filepath: str | Path) -> None:
        """Write bytes."""
        write_bytes(filepath, obj.getvalue() if isinstance(obj, io.BytesIO) else bytes(obj))

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text."""
        write_bytes(filepath, obj.encode(encoding))


register_backend('atomic', AtomicBackend, force=True)


def _history_method(owner: Any, name: str) -> Any:
    """`getattr` for the unpickler, of nothing but the statistics methods that a HistoryBuffer pickles."""
    if owner is not HistoryBuffer or name not in ('max', 'min', 'mean', 'current'):
        raise ValueError(f'a checkpoint asked for attribute {name!r} of {owner!r}, which is refused')
    return getattr(owner, name)


def allow_resume() -> None:
    """Let `torch.load(weights_only=True)` read the run history in MMEngine's checkpoints (numbers), nothing more."""
    multiarray = np._core.multiarray if hasattr(np, '_core') else np.core.multiarray
    dtypes = [type(np.dtype(t)) for t in (np.float64, np.float32, np.int64, np.int32, np.bool_)]
    torch.serialization.add_safe_globals(
        [HistoryBuffer, multiarray._reconstruct, multiarray.scalar, np.ndarray, np.dtype, *dtypes]
        + [(_history_method, 'builtins.getattr')]
    )


def latest_checkpoint(work_dir: str | Path) -> Path | None:
    """Newest ``iter_N.pth`` of a run, by N."""
    found = {}
    for path in Path(work_dir).glob('*.pth'):
        if match := re.fullmatch(r'(?:iter|epoch)_(\d+)\.pth', path.name):
            found[int(match[1])] = path
    return found[max(found)] if found else None


def shipped_weights() -> dict[str, Path]:
    """Name -> safetensors file of the weights that come with the package."""
    return {path.stem: path for path in sorted(WEIGHTS_DIR.glob('*.safetensors'))}


def find_weights(name: str | Path) -> Path:
    """A file as it is, the newest checkpoint of a run's folder, or shipped weights by name.

    Raises:
        FileNotFoundError: If it is none of these.
    """
    path = Path(name)
    if path.is_file():
        return path
    if path.is_dir():
        if newest := latest_checkpoint(path):
            return newest
        raise FileNotFoundError(f'no checkpoint (iter_*.pth) in {path}')
    shipped = shipped_weights()
    if str(name) in shipped:
        return shipped[str(name)]
    known = ', '.join(shipped) or 'none'
    raise FileNotFoundError(
        f'{name} is neither a file, a folder of a run, nor shipped weights.{did_you_mean(str(name), list(shipped))} '
        f'Shipped: {known}'
    )


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and meta information of a safetensors file or a checkpoint; never opens arbitrary pickles.

    Raises:
        ValueError: If the file is not a checkpoint.
    """
    path = Path(path)
    if path.suffix == '.safetensors':
        with safe_open(path, 'pt') as file:
            meta = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
            return {key: file.get_tensor(key) for key in file.keys()}, meta
    allow_resume()
    try:
        checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:
        raise ValueError(f'{path} is not a checkpoint that can be read safely: {error}') from error
    state = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, Mapping) else None
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f'{path} holds no state_dict')
    return {key.removeprefix('module.'): value for key, value in state.items()}, checkpoint.get('meta', {})


def save_weights(state: Mapping[str, Tensor], path: str | Path, meta: Mapping[str, Any]) -> None:
    """Publish tensors as safetensors; `meta` values are stored as JSON."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    write_bytes(path, safetensors_bytes(tensors, {key: json.dumps(value) for key, value in meta.items()}))


def load_into(
    model: nn.Module, state: Mapping[str, Tensor], prefixes: Sequence[str] | None = None, origin: str = 'checkpoint'
) -> None:
    """Strict loading of whole parts.

    Args:
        model: Receives the tensors.
        state: The checkpoint's tensors.
        prefixes: Parts to load, e.g. ``('text_encoder', 'image_encoder')``; None: everything but the losses' counters.
        origin: Named in messages.

    Raises:
        ValueError: On the first keys that are missing, unexpected or of another shape.
    """
    own = model.state_dict()
    if prefixes is None:
        prefixes = sorted({key.split('.')[0] for key in own} - {'losses', 'data_preprocessor'})
    chosen = {}
    for prefix in prefixes:
        wanted = {key for key in own if key.startswith(prefix + '.')}
        if not wanted:
            raise ValueError(f'init_from names {prefix!r}, which has no tensors in the model')
        given = {key for key in state if key.startswith(prefix + '.')}
        problems = [f'missing: {key}' for key in sorted(wanted - given)]
        problems += [f'unexpected: {key}' for key in sorted(given - wanted)]
        problems += [
            f'shape: {key} is {tuple(state[key].shape)} in the checkpoint, {tuple(own[key].shape)} in the model'
            for key in sorted(wanted & given)
            if state[key].shape != own[key].shape
        ]
        if problems:
            more = f'\n  ... and {len(problems) - 5} more' if len(problems) > 5 else ''
            raise ValueError(
                f'{origin} does not fit {prefix!r} of this model; is it of another config? First wrong keys:\n  '
                + '\n  '.join(problems[:5]) + more
            )  # fmt: skip
        chosen.update({key: state[key] for key in wanted})
        print_log(f'loaded {len(wanted)}/{len(wanted)} tensors of {prefix} from {origin}', logger='current')
    model.load_state_dict(chosen, strict=False)
