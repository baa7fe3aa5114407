"""Parameters and multiply-accumulate operations of a fusion model, per part.

    python tools/analysis_tools/get_flops.py lure-tiny --shape 480 640
    python tools/analysis_tools/get_flops.py configs/lure/stage2_ir_vi.py

Counted are matrix products and convolutions of one undegraded pair, as PyTorch's FlopCounterMode sees them; a
multiply-accumulate is two of its FLOPs. Element-wise work and the language model are not in it. Where the prompt
decides what is computed, as in lure-tiny, only trained weights tell: a config is counted with random ones.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from lurefusion.apis import RANDOM, Item, init_model
from lurefusion.cli import exit_code
from lurefusion.models import strips
from lurefusion.runtime.torch_runner import TorchRunner


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', help='name of shipped weights, a file of weights, or a config (random weights)')
    parser.add_argument('--shape', nargs=2, type=int, default=(480, 640), metavar=('HEIGHT', 'WIDTH'))
    return exit_code(show, **vars(parser.parse_args()))


def count(model: str, shape: tuple[int, int] = (480, 640)) -> dict[str, tuple[int, float]]:
    """Part -> (parameters, GMAC), with the sum under ``model``.

    Raises:
        ValueError: If a side is below 8 pixels.
    """
    if min(shape) < 8:
        raise ValueError(f'shape is height and width, at least 8 each; got {tuple(shape)}')
    # random gates decide what a network leaves out
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = init_model(model, RANDOM if model.endswith('.py') else None, device='cpu')
    noise = np.random.default_rng(0)
    pair = {name: noise.integers(0, 256, (*shape, 3), np.uint8) for name in network.modalities}
    # neighbouring parts overlap by a pixel, which is no cost of the network
    with strips.whole(), FlopCounterMode(display=False, depth=2) as counter:
        TorchRunner(network, 'cpu').run(Item('noise', pair))
    rows = {'model': (_parameters(network), counter.get_total_flops() / 2e9)}
    flops = counter.get_flop_counts()
    for name, part in network.named_children():
        if size := _parameters(part):
            # the network itself is not called, so that its parts are roots, which are counted under their class
            rows[name] = size, sum(flops.get(type(part).__name__, {}).values()) / 2e9
    return rows


def show(model: str, shape: tuple[int, int] = (480, 640)) -> None:
    """Print the table."""
    rows = count(model, shape)
    print(f'{model}, {shape[1]}x{shape[0]}\n\n| part | parameters | GMAC |\n|---|---:|---:|')
    for name, (size, gmac) in rows.items():
        print(f'| {name} | {size:,} | {gmac:.2f} |')


def _parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


if __name__ == '__main__':
    sys.exit(main())
