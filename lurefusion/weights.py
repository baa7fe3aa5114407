"""Checkpoints: written whole or not at all, read without opening a stranger's pickle, loaded strictly.

What a checkpoint says of itself is in its meta information: `model` (the config it was trained with), `modalities` and
`tasks` in their order, `start` (digest of the weights that its stage began from), `config` and `processes`.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import HistoryBuffer, print_log
from safetensors import safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from lurefusion.choices import did_you_mean
from lurefusion.io.images import write_bytes

if TYPE_CHECKING:
    from lurefusion.models.base import FusionModel

WEIGHTS_DIR = Path(__file__).resolve().parent / 'weights'
#: shipped beside the networks, and no network that fuses
NO_MODEL = ('auto-prompt',)
#: in the folder of a pipeline: the names of its stages in their order
STAGES_FILE = 'stages.json'
#: what a training leaves in its folder, and the next one there must not take for its own
RUN_FILES = ('*.pth', 'last_checkpoint', 'latents', 'diverged')
#: in the meta information of a checkpoint: what it says of itself, as JSON
RECORD = 'lurefusion'
#: where other programs keep the tensors of a checkpoint
STATE_KEYS = ('state_dict', 'model_state_dict', 'params_ema', 'params', 'model', 'net', 'network')
#: what tells the tasks apart; everything else in the text encoder is about language
TASK_HEAD = 'text_encoder.projector.head.'


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


def run_checkpoints(work_dir: str | Path) -> list[Path]:
    """What the run in this folder wrote, the last first: the file named in `last_checkpoint`, then by largest N."""
    folder = Path(work_dir)
    found = {}
    for path in folder.glob('*.pth'):
        if match := re.fullmatch(r'(?:iter|epoch)_(\d+)\.pth', path.name):
            found[int(match[1])] = path
    paths = [found[number] for number in sorted(found, reverse=True)]
    record = folder / 'last_checkpoint'
    if record.is_file():
        # the folder may have been moved: of the path that was written down, the name counts
        name = record.read_bytes().rpartition(b'/')[2].strip().decode(errors='replace')
        paths = [path for path in folder.glob('*.pth') if path.name == name] + [p for p in paths if p.name != name]
    return paths


def latest_checkpoint(work_dir: str | Path) -> Path | None:
    """The first of `run_checkpoints`, whether it can be read or not."""
    return next(iter(run_checkpoints(work_dir)), None)


def whole_checkpoint(work_dir: str | Path) -> Path | None:
    """The last checkpoint of a run that can be read; those that cannot are named in a warning.

    Raises:
        ValueError: If there are checkpoints, and none can be read.
    """
    damaged = []
    for path in run_checkpoints(work_dir):
        try:
            read_weights(path)
        except ValueError as error:
            damaged.append(error)
            continue
        for problem in damaged:
            print_log(f'{problem}. The one before it is taken: {path}', logger='current', level=logging.WARNING)
        return path
    if damaged:
        shown = '\n'.join(f'  {problem}' for problem in damaged)
        raise ValueError(f'no checkpoint in {work_dir} can be read; remove them to begin anew:\n{shown}')
    return None


def set_aside(folder: str | Path, patterns: Sequence[str]) -> Path | None:
    """Move what an earlier run left (entries that match) into ``<folder>/earlier/<n>``; None if there is nothing.

    A result is what the present run wrote: nothing of another one may lie beside it under the same names.
    """
    folder = Path(folder)
    entries = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    if not entries:
        return None
    numbers = [int(path.name) for path in (folder / 'earlier').glob('*') if path.name.isdigit()]
    target = folder / 'earlier' / f'{max(numbers, default=0) + 1:03d}'
    target.mkdir(parents=True)
    for path in entries:
        path.rename(target / path.name)
    print_log(f'{folder} held an earlier run; its results are in {target} now', logger='current')
    return target


def shipped_weights() -> dict[str, Path]:
    """Name -> safetensors file of the fusion models that come with the package."""
    return {path.stem: path for path in sorted(WEIGHTS_DIR.glob('*.safetensors')) if path.stem not in NO_MODEL}


def find_weights(name: str | os.PathLike) -> Path:
    """A file as it is, the newest checkpoint of a run's folder (of a pipeline, its last stage), or shipped weights.

    A checkpoint of a run that cannot be read is passed over with a warning.

    Raises:
        ValueError: If no checkpoint of the run can be read.
        FileNotFoundError: If it is none of these, or the last stage of the pipeline has not been trained yet.
    """
    path, shipped = Path(name), shipped_weights()
    if path.is_file():
        return path
    if path.is_dir():
        if newest := whole_checkpoint(path):
            return newest
        if (path / STAGES_FILE).is_file():
            last = json.loads((path / STAGES_FILE).read_text())[-1]
            if newest := whole_checkpoint(path / last):
                return newest
            raise FileNotFoundError(f'{path} is a pipeline whose last stage, {last}, has no checkpoint yet')
    # before folders without a run: pictures, say, are often in one that is named like the network which made them
    if str(name) in shipped:
        return shipped[str(name)]
    if path.is_dir():
        stages = sorted(p.parent.name for p in path.glob('*/last_checkpoint'))
        hint = f'; there are runs in its folders {", ".join(stages)}' if stages else ''
        raise FileNotFoundError(f'no checkpoint (iter_*.pth) in {path}{hint}')
    known = ', '.join(shipped) or 'none'
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    raise FileNotFoundError(
        f'{name} is neither a file, a folder of a run, nor shipped weights.'
        f'{did_you_mean(str(name), list(shipped)) or did_you_mean(path.name, beside)} Shipped: {known}'
    )


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and meta information of a safetensors file or a checkpoint; never opens arbitrary pickles.

    Tensors under ``state_dict``, ``model``, ``params`` and the like are found; ``module.`` and ``_orig_mod.``, which
    wrappers put before every name, are taken off.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, an ONNX graph, or holds anything but dense tensors with names.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'no such file of weights: {path}')
    if path.suffix == '.onnx':
        raise ValueError(f'{path} is a whole model, not its weights: name it as the model (--model {path})')
    with path.open('rb') as file:
        head = file.read(9)
    if path.suffix == '.safetensors' or head[8:] == b'{':
        state, meta = _read_safetensors(path)
    else:
        state, meta = _read_pickle(path)
    return _plain_names(path, state), meta


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, 'pt') as file:
            return {key: file.get_tensor(key) for key in file.keys()}, _parsed(file.metadata() or {})
    except Exception as error:
        raise ValueError(
            f'{path} is no whole safetensors file ({path.stat().st_size} bytes; {error}); copy or download it again'
        ) from error


def _parsed(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Values that are JSON are ours; those of other programs, e.g. ``format: pt``, stay text."""
    meta: dict[str, Any] = {}
    for key, value in metadata.items():
        try:
            meta[key] = json.loads(value)
        except ValueError:
            meta[key] = value
    return meta


def _read_pickle(path: Path) -> tuple[Mapping[str, Any], dict[str, Any]]:
    allow_resume()
    try:
        _check_archive(path)
        checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:
        reason = error if type(error) is ValueError else type(error).__name__
        raise ValueError(
            f'{path} is not a checkpoint that can be read safely ({path.stat().st_size} bytes, {reason}): it is '
            f'damaged, no checkpoint, or holds more than tensors and plain values, which is not opened'
        ) from error
    state: Any = checkpoint
    # e.g. {'model': {'state_dict': ...}}
    for _ in range(3):
        inner = [state.get(key) for key in STATE_KEYS] if isinstance(state, Mapping) else []
        state = next((node for node in inner if isinstance(node, Mapping)), state)
    if not isinstance(state, Mapping) or not state:
        raise ValueError(f'{path} holds no state_dict (looked for one under {", ".join(STATE_KEYS)})')
    meta = checkpoint.get('meta')
    meta = dict(meta) if isinstance(meta, Mapping) else {}
    record = meta.pop(RECORD, None)
    return state, {**meta, **(_parsed({RECORD: record})[RECORD] if isinstance(record, str) else {})}


def _check_archive(path: Path) -> None:
    """Of a zip archive, look at the checksums, which PyTorch does not; nothing is unpacked that is packed."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError('its parts are compressed, as PyTorch never writes them')
        if (part := archive.testzip()) is not None:
            raise ValueError(f'the checksum of its part {part!r} is wrong')


def _plain_names(path: Path, state: Mapping[Any, Any]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for key, value in state.items():
        if not isinstance(key, str):
            raise ValueError(f'{path} holds no state_dict: its keys are no names, the first is {key!r}')
        if not isinstance(value, Tensor):
            raise ValueError(f'{path} holds no state_dict: {key!r} is no tensor but {type(value).__name__}')
        if value.layout != torch.strided or value.is_meta or value.is_quantized:
            kind = 'without values' if value.is_meta else 'quantized' if value.is_quantized else str(value.layout)
            raise ValueError(f'{path}: {key!r} is no dense tensor ({kind}); save the weights as dense tensors')
        name = re.sub(r'^((module|_orig_mod)\.)+', '', key)
        if name in tensors:
            raise ValueError(f'{path} has two tensors called {name!r}, with and without the prefix of a wrapper')
        tensors[name] = value
    return tensors


def last_run(config: str | Path, stages: Sequence[str], work_dir: str | Path | None = None) -> Path:
    """Folder of the run of a config's only or last stage: the config's own folder, or one inside it for each stage.

    Args:
        config: Its file.
        stages: Names of its stages.
        work_dir: The folder; default: `work_dirs/` and the stem of the file.
    """
    stem = Path(config).stem
    base = Path(work_dir or Path('work_dirs') / stem)
    return base / stages[-1] if len(stages) > 1 or stages[0] != stem else base


def save_weights(state: Mapping[str, Tensor], path: str | Path, meta: Mapping[str, Any]) -> None:
    """Publish tensors as safetensors; `meta` values are stored as JSON."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    write_bytes(path, safetensors_bytes(tensors, {key: json.dumps(value) for key, value in meta.items()}))


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names and bytes of tensors, without those of losses: the content of weights, whatever their file."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        if not name.startswith('losses.'):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def described_model(path: str | Path, meta: Mapping[str, Any]) -> dict[str, Any]:
    """The model's config that weights carry: published ones, and checkpoints of a training.

    Raises:
        ValueError: If they carry none, or it names code by its path: a stranger's file must not choose what runs.
    """
    model = meta.get('model')
    if not isinstance(model, Mapping) or not isinstance(model.get('type'), str):
        raise ValueError(
            f'{path} does not say of which model it is; give the config too: --model CONFIG --weights {path}, '
            f'FusionInferencer(CONFIG, weights=...)'
        )
    model = {key: value for key, value in model.items() if key not in ('losses', 'frozen')}
    for name in _import_paths(model):
        raise ValueError(
            f'{path} names {name!r} as a part of its model, which is no registered name; it is not opened without a '
            f'config of yours'
        )
    return model


def _import_paths(node: Any, key: str = '') -> Iterator[str]:
    """Values that a registry would take for the place of a module to import, with or without `type` before them."""
    if isinstance(node, Mapping):
        for name, child in node.items():
            # a prompt is words alone, from which nothing is built
            yield from _import_paths(child, str(name)) if name != 'prompts' else ()
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield from _import_paths(child, key)
    elif isinstance(node, str) and key != 'path' and re.fullmatch(r'\w+((\.|::?)\w+)+', node):
        yield node


def record_of(model: FusionModel) -> dict[str, Any]:
    """What weights of this model have to say of themselves: the order of its modalities and tasks."""
    record = dict(modalities=list(model.modalities))
    return record if model.prompts is None else dict(record, tasks=list(model.prompts.keys))


def _recorded(meta: Mapping[str, Any], key: str) -> list[str] | None:
    """Of weights that were published before the order was written down, the model's config has it."""
    model = meta.get('model') if isinstance(meta.get('model'), Mapping) else {}
    source = {'modalities': model, 'tasks': model.get('prompts') or {}}[key]
    names = meta.get(key) or source.get(key)
    return [str(name) for name in names] if isinstance(names, (list, tuple)) else None


def load_weights(model: FusionModel, path: str | Path, prefixes: Sequence[str] | None = None) -> None:
    """Read a file and load it strictly; the order of its modalities and tasks is held against the model's.

    Args:
        model: Receives the tensors.
        path: Safetensors file or checkpoint.
        prefixes: As in :func:`load_into`.

    Raises:
        ValueError: If the file is damaged, does not fit, or was trained with modalities or tasks in another order.
    """
    path = Path(path)
    state, meta = read_weights(path)
    _check_order(model, meta, path, ('modalities', 'tasks'))
    load_into(model, state, prefixes, origin=path.stem if path in shipped_weights().values() else str(path))


def take_over(model: FusionModel, path: str | Path, prefixes: Sequence[str] | None = None) -> None:
    """Start a training from the parts of other weights.

    Where the tasks differ, the text encoder keeps what was learned of language (its projector). The head that tells the
    tasks apart keeps the rows of the tasks that the file knows, and starts anew for others.

    Args:
        model: Receives the tensors.
        path: Safetensors file or checkpoint.
        prefixes: Parts; None: those that the file and the model have both.

    Raises:
        ValueError: As :func:`load_weights`, but for the tasks; or if file and model have no part in common.
    """
    state, meta = read_weights(path)
    _check_order(model, meta, path, ('modalities',))
    own = model.state_dict()
    if prefixes is None:
        parts = [{key.split('.')[0] for key in tensors} - {'losses', 'data_preprocessor'} for tensors in (own, state)]
        prefixes = sorted(parts[0] & parts[1])
        if not prefixes:
            raise ValueError(f'{path} and the model have no part in common: {sorted(parts[1])}, {sorted(parts[0])}')
    tasks, mine = _recorded(meta, 'tasks'), record_of(model).get('tasks')
    # of another width: refused below, by name
    heads = [k for k in state if k in own and k.startswith(TASK_HEAD) and state[k].shape[1:] == own[k].shape[1:]]
    if (tasks and mine and tasks != mine) or any(state[key].shape != own[key].shape for key in heads):
        known = [task for task in mine or () if task in (tasks or ())]
        if len(known) < len(mine or ()) or not known:
            print_log(
                f'{path} knows the tasks {tasks}, the model {mine}: what tells the others apart starts anew; where it '
                f'does not train, free sentences about them are told by words alone',
                logger='current', level=logging.WARNING,
            )  # fmt: skip
        for key in heads:
            rows = own[key].clone()
            for task in known:
                rows[mine.index(task)] = state[key][tasks.index(task)]
            state[key] = rows
    load_into(model, state, prefixes, origin=str(path))


def _check_order(model: FusionModel, meta: Mapping[str, Any], path: str | Path, keys: Sequence[str]) -> None:
    mine = record_of(model)
    for key in keys:
        theirs = _recorded(meta, key)
        if theirs and key in mine and theirs != mine[key]:
            config = 'model.prompts.tasks' if key == 'tasks' else 'model.modalities'
            raise ValueError(
                f'{path} was trained with the {key} {theirs}, the model has {mine[key]}: position is meaning, so '
                f'set {config} to the first'
            )


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
        ValueError: On the first keys that are missing, unexpected, of another shape or with values that are not finite.
    """
    own = model.state_dict()
    if prefixes is None:
        prefixes = sorted({key.split('.')[0] for key in own} - {'losses', 'data_preprocessor'})
    chosen, counts = {}, []
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
        problems += [
            f'type: {key} is {state[key].dtype} in the checkpoint, {own[key].dtype} in the model'
            for key in sorted(wanted & given)
            if state[key].is_floating_point() != own[key].is_floating_point() or state[key].is_complex()
        ]
        if problems:
            more = f'\n  ... and {len(problems) - 5} more' if len(problems) > 5 else ''
            raise ValueError(
                f'{origin} does not fit {prefix!r} of this model; is it of another config? First wrong keys:\n  '
                + '\n  '.join(problems[:5]) + more
            )  # fmt: skip
        chosen.update({key: state[key] for key in wanted})
        counts.append(f'{prefix} {len(wanted)}')
    broken = [key for key, value in chosen.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise ValueError(
            f'{origin} has {len(broken)} tensors with values that are not finite, the first is {broken[0]!r}: the '
            f'training that wrote it had diverged'
        )
    model.load_state_dict(chosen, strict=False)
    print_log(f'loaded from {origin}: tensors of {", ".join(counts)}', logger='current')
