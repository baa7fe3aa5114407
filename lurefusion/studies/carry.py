"""An unfinished training in two small files, to go on with it elsewhere.

FILE.safetensors are the weights that count (their averages, where there is an EMAHook); FILE.training.safetensors is
what else it takes to go on. Together they are a third of the checkpoint: 16 bits a number, of the optimizer the second
moments (first moments form anew within some ten steps), steps, schedules and seed. What goes on is the same training,
not the same to the last bit.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lurefusion.io.images import write_bytes
from lurefusion.weights import allow_resume, find_weights, read_weights, save_weights

RAW = 'ema_state_dict.'
MOMENT = 'second_moment.'
KEPT = ('epoch', 'iter', 'seed', 'dataset_meta')


def pack(folder: str, file: str) -> None:
    """Write both files.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        ValueError: If it holds no optimizer to go on with, or the file is no .safetensors.
    """
    if Path(file).suffix != '.safetensors':
        raise ValueError(f'the file to write must be a .safetensors file, got {file!r}')
    path = find_weights(folder)
    read_weights(path)  # says what is wrong with what is no checkpoint
    allow_resume()
    checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    if lacking := [key for key in ('optimizer', 'param_schedulers', 'meta') if not checkpoint.get(key)]:
        raise ValueError(f'{path} has no {", ".join(lacking)}: it is not the checkpoint of a training to go on with')
    # with an EMAHook, these are the averages, and the weights that are trained lie beside them
    weights = {key: _short(value) for key, value in checkpoint['state_dict'].items()}
    rest = {RAW + key: _short(value) for key, value in checkpoint.get('ema_state_dict', {}).items()}
    optimizer, steps = checkpoint['optimizer'], {}
    moments = {'step', 'exp_avg', 'exp_avg_sq'}
    if any({*state} != moments for state in optimizer['state'].values()) or any(
        'betas' not in group for group in optimizer['param_groups']
    ):
        raise ValueError(f'{path}: only trainings by Adam or AdamW, without amsgrad, can be carried')
    for number, state in optimizer['state'].items():
        steps[number] = float(state['step'])
        # bfloat16: squares of gradients span more than the exponents of float16
        rest[f'{MOMENT}{number}'] = state['exp_avg_sq'].bfloat16()
    meta = dict(
        meta={key: checkpoint['meta'].get(key) for key in KEPT},
        schedules=checkpoint['param_schedulers'],
        groups=optimizer['param_groups'],
        steps=steps,
    )
    save_weights(weights, file, dict(iterations=checkpoint['meta']['iter']))
    save_weights(rest, _beside(file), meta)
    for written in (Path(file), _beside(file)):
        print(f'{written}: iteration {checkpoint["meta"]["iter"]}, {written.stat().st_size / 1e6:.1f} MB')


def unpack(file: str, folder: str) -> None:
    """Write ``iter_N.pth`` into the folder of the run.

    Raises:
        FileNotFoundError: If one of the files is missing.
        ValueError: If they were not made by :func:`pack`, or not of one checkpoint, or the checkpoint is there already.
    """
    for path in (Path(file), _beside(file)):
        if not path.is_file():
            raise FileNotFoundError(f'no such file: {path}')
    weights, of_weights = read_weights(file)
    rest, meta = read_weights(_beside(file))
    if not {'meta', 'schedules', 'groups', 'steps'} <= set(meta):
        raise ValueError(f'{_beside(file)} was not made by "pack" of tools/carry_training.py')
    if of_weights.get('iterations') != meta['meta']['iter']:
        raise ValueError(
            f'{file} is of iteration {of_weights.get("iterations")}, {_beside(file)} of {meta["meta"]["iter"]}; '
            f'pack both anew'
        )
    raw = {key.removeprefix(RAW): _long(value) for key, value in rest.items() if key.startswith(RAW)}
    checkpoint: dict[str, Any] = dict(
        meta=meta['meta'],
        message_hub=dict(log_scalars=OrderedDict(), runtime_info=OrderedDict(), resumed_keys=OrderedDict()),
        param_schedulers=meta['schedules'],
        optimizer=dict(state=_moments(rest, meta['steps']), param_groups=_tuples(meta['groups'])),
        state_dict=OrderedDict((key, _long(value)) for key, value in weights.items()),
    )
    if raw:
        checkpoint['ema_state_dict'] = OrderedDict(raw)
    target = Path(folder) / f'iter_{meta["meta"]["iter"]}.pth'
    if target.exists():
        raise ValueError(f'{target} is there already; go on with it, or choose another folder')
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    write_bytes(target, buffer.getvalue())
    print(f'{target}; go on with tools/train.py CONFIG --resume --work-dir {folder}')


def _beside(file: str) -> Path:
    return Path(file).with_suffix('.training.safetensors')


def _short(value: Tensor) -> Tensor:
    return value.half() if value.dtype == torch.float32 else value


def _long(value: Tensor) -> Tensor:
    return value.float() if value.dtype == torch.float16 else value


def _moments(tensors: dict[str, Tensor], steps: dict[str, float]) -> dict[int, dict[str, Tensor]]:
    moments = {number: tensors[f'{MOMENT}{number}'].float() for number in steps}
    return {
        int(number): dict(step=torch.tensor(steps[number]), exp_avg=torch.zeros_like(square), exp_avg_sq=square)
        for number, square in moments.items()
    }


def _tuples(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    # JSON knows no tuples, and the optimizer compares betas as it was given them
    return [dict(group, betas=tuple(group['betas'])) for group in groups]
