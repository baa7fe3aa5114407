"""Make weights that ship of a checkpoint: python tools/publish_model.py CONFIG CHECKPOINT OUT.safetensors [--half]."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from mmengine.logging import print_log

from lurefusion.cli import exit_code
from lurefusion.config import load_stages
from lurefusion.evaluation.prompt_check import tasks_alike
from lurefusion.registry import MODELS
from lurefusion.weights import find_weights, load_weights, read_weights, record_of, save_weights


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='the stage or pipeline that was trained')
    parser.add_argument('checkpoint', help='its checkpoint, or the folder of its run')
    parser.add_argument('out', help='file to write, NAME.safetensors; in lurefusion/weights/ it is known by NAME')
    parser.add_argument('--half', action='store_true', help='store 16-bit floats: half the size')
    return exit_code(publish, **vars(parser.parse_args()))


def publish(config: str, checkpoint: str, out: str, half: bool = False) -> None:
    """Write tensors and model config as safetensors, after the model was built from just these and loaded.

    Says where the network does not read its prompt, see :func:`tasks_alike`.
    """
    if Path(out).suffix != '.safetensors':
        raise ValueError(f'out must be a .safetensors file, got {out!r}')
    names, cfgs = load_stages(config)
    model_cfg = {key: value for key, value in cfgs[-1].model.to_dict().items() if key not in ('losses', 'frozen')}
    path = find_weights(checkpoint)
    network = MODELS.build(dict(model_cfg))
    load_weights(network, path)
    for modality, pairs in tasks_alike(network.eval()).items():
        named = ', '.join(f'{a} and {b}' for a, b in pairs)
        print_log(f'a picture of {modality} becomes the same for {named}: is a layer dead?', level=logging.WARNING)
    state, meta = read_weights(path)
    own = network.state_dict()
    state = {key: value for key, value in state.items() if not key.startswith('losses.')}
    if foreign := sorted(state.keys() - own.keys()):
        print_log(f'{path}: the network has no {", ".join(foreign)}: left out', level=logging.WARNING)
    state = {key: value for key, value in state.items() if key in own}
    if half:
        state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    save_weights(
        state,
        out,
        dict(
            record_of(network),
            model=model_cfg,
            config=names[-1],
            seed=meta.get('seed'),
            iterations=meta.get('iter'),
        ),
    )
    size = Path(out).stat().st_size / 1e6
    print(f'{out}: {sum(value.numel() for value in state.values()):,} values, {size:.2f} MB')


if __name__ == '__main__':
    sys.exit(main())
