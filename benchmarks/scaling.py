"""What several processes gain at most: time of a training step against time to add up its gradients, of the processor.

    python benchmarks/scaling.py CONFIG [--size 192] [--batch 2] [--processes 2] [--checkpoint image_encoder decoder]

The step is forward and backward of the config's model on noise, its text encoder a bag of words, since none is
downloaded. The all-reduce is gloo's, of as many bytes as there are gradients, among forked processes on this machine.
Time is that of the processor (`time.process_time`), so that other programs do not count; a network's latency and
bandwidth come on top, and hide behind the backward pass as far as DDP can let them. Printed too: what the forward pass
keeps for the backward pass, with `--checkpoint` where the blocks of these parts are computed twice.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
from typing import Any

import torch
from mmengine.registry import init_default_scope
from torch import multiprocessing

from lurefusion.config import load_config
from lurefusion.engine.strategies import checkpoint_blocks
from lurefusion.registry import MODELS
from lurefusion.structures import FusionDataSample


def build(config: str) -> Any:
    """The model in training mode, without what needs files of others."""
    cfg = load_config(config)
    cfg.model.text_encoder.backbone = dict(type='HashBag', dim=768)
    for name, loss in cfg.model.losses.items():
        if loss and loss['type'] == 'PerceptualLoss':
            cfg.model.losses[name] = None
    init_default_scope('lurefusion')
    return MODELS.build(cfg.model).train()


def step(model: Any, batch: int, size: int) -> tuple[float, int]:
    """Seconds of the processor for forward and backward, and bytes that are kept between the two."""
    fusion = model.stage == 'fusion'
    noise = {role: torch.rand(batch, 3, size, size) for role in (model.modalities if fusion else ('x', 'y'))}
    samples = [FusionDataSample() for _ in range(batch)]
    for number, sample in enumerate(samples):
        sample.set_metainfo(dict(task=model.prompts.keys[0], modality=model.modalities[0], seed=number))
    kept: dict[int, int] = {}

    def keep(value: torch.Tensor) -> torch.Tensor:
        storage = value.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return value

    start = time.process_time()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        losses = model(noise, samples, mode='loss')
        held = sum(kept.values())
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    return time.process_time() - start, held


def reduce(rank: int, processes: int, port: int, count: int, seconds: Any) -> None:
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo', rank=rank, world_size=processes)
    gradients = torch.ones(count)
    torch.distributed.all_reduce(gradients)
    repeats = 5
    start = time.process_time()
    for _ in range(repeats):
        torch.distributed.all_reduce(gradients)
    seconds[rank] = (time.process_time() - start) / repeats
    torch.distributed.destroy_process_group()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', nargs='?', default='lurefusion::lure/stage1_demo.py')
    parser.add_argument('--size', type=int, default=64, help='side of the pictures')
    parser.add_argument('--batch', type=int, default=1, help='pictures of one process')
    parser.add_argument('--processes', type=int, default=2)
    parser.add_argument('--checkpoint', nargs='*', default=[], help='parts whose blocks are computed twice')
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = build(args.config)
    if args.checkpoint:
        checkpoint_blocks(model, args.checkpoint)
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    step(model, 1, 32)
    taken, held = step(model, args.batch, args.size)
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    seconds = multiprocessing.get_context('fork').Array('d', args.processes)
    arguments = (args.processes, port, count, seconds)
    multiprocessing.start_processes(reduce, arguments, nprocs=args.processes, start_method='fork')
    added = max(seconds)
    print(f'{args.config}: {count / 1e6:.2f} M parameters train, {4 * count / 1e6:.1f} MB of gradients')
    print(f'step of {args.batch} x {args.size} x {args.size}: {taken:.3f} s, {held / 1e6:.0f} MB kept for backward')
    print(f'all-reduce of {args.processes} processes: {added:.4f} s')
    print(f'efficiency: {taken / (taken + added):.1%} where nothing overlaps')
    return 0


if __name__ == '__main__':
    sys.exit(main())
