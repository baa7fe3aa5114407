"""Time and memory of fusing a pair and of restoring a picture, in a fresh process for each number of threads.

    python benchmarks/inference.py [lure-tiny | CONFIG --weights W] [--size 480 640 --size 1024 1280] [--threads 1 2]
        [--runner torch onnx bf16 compile] [--batch 1 8]

The whole call is timed as a program sees it, arrays in and arrays out, warm; the parts are timed within the same calls.
Peak memory is the largest resident set of that process, with Python, libraries and weights. Beside them, measured in
the same process: the rate of a large fp32 matrix product and what share of it the network reaches, and fusing the luma
by a Laplacian pyramid with OpenCV. With several sizes, the exponent of time against pixels is printed. A time is always
that of one pair; ONNX Runtime is timed as a whole and does not restore single pictures.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

# parts of the model in the order of the table; what is left of the call is conversion, padding and text
PARTS = {'image_encoder': 'encoders', 'fuser': 'fuser', 'decoder': 'decoder'}


def in_bfloat16(core: Callable) -> Callable:
    """The same with 16-bit numbers where PyTorch's autocast on a CPU has them."""
    import torch

    def half(*given):
        with torch.autocast('cpu', torch.bfloat16):
            return core(*given).float()

    return half


def compiled(core: Callable) -> Callable:
    """By `torch.compile`: the first call of a size takes what the column says."""
    import torch

    return torch.compile(core)


#: ways to run a network in PyTorch that are tried here, and nowhere else: see docs/speed.md
CHANGED = {'bf16': in_bfloat16, 'compile': compiled}


def peak_megabytes() -> float:
    """Largest resident set of this process so far."""
    status = Path('/proc/self/status')
    if status.is_file():
        # not ru_maxrss: on Linux that also counts the parent from which the process was forked
        line = next(line for line in status.read_text().splitlines() if line.startswith('VmHWM'))
        return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == 'darwin' else 1024)


def matrix_product_rate(side: int = 1024, repeat: int = 5) -> float:
    """Best rate of a square fp32 matrix product on the threads in use, operations a second: the limit."""
    import torch

    a, best = torch.rand(side, side), float('inf')
    for _ in range(repeat):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best


def operations_per_pixel(network, side: int = 128) -> float:
    """Of matrix products and convolutions of fusing a pair."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    images = tuple(torch.rand(1, 3, side, side) for _ in network.modalities)
    text = None
    if network.prompts is not None:
        text = network.encode_text([network.prompts.canonical('pd')] * len(images)).detach()
    # with gradients: layers are then computed as wholes, without the pixels that parts share
    with FlopCounterMode(display=False) as counter:
        network.core(images, text)
    return counter.get_total_flops() / side**2


def laplacian_fusion(visible, infrared, levels: int = 4):
    """The luma of a pair by the larger coefficient of each band of a Laplacian pyramid, in OpenCV; (H,W) uint8."""
    import cv2
    import numpy as np

    fused = None
    rest = [cv2.cvtColor(visible, cv2.COLOR_RGB2GRAY).astype(np.float32), infrared.astype(np.float32)]
    bands = []
    for _ in range(levels):
        coarse = [cv2.pyrDown(x) for x in rest]
        one, two = (x - cv2.pyrUp(y, dstsize=x.shape[::-1]) for x, y in zip(rest, coarse, strict=True))
        bands.append(np.where(np.abs(one) > np.abs(two), one, two))
        rest = coarse
    fused = (rest[0] + rest[1]) / 2
    for band in reversed(bands):
        fused = cv2.pyrUp(fused, dstsize=band.shape[::-1]) + band
    return np.clip(np.rint(fused), 0, 255).astype(np.uint8)


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Of the first size, number of threads, runner and batch: median seconds and peak memory, in this process."""
    import cv2
    import numpy as np
    import torch

    from lurefusion.apis import FusionInferencer, init_model
    from lurefusion.datasets.scenes import render_scene

    size, batch, repeat = tuple(args.size[0]), args.batch[0], args.repeat
    torch.set_num_threads(args.threads[0])
    fuser = FusionInferencer(
        args.model, args.weights, device='cpu', runner='onnx' if args.runner[0] == 'onnx' else 'torch'
    )
    # drawn small: drawing a large scene takes more memory than fusing it
    scene = render_scene(2010, tuple(min(n, most) for n, most in zip(size, (480, 640), strict=True)), 'day')
    visible, infrared = (cv2.resize(x, size[::-1]) for x in (scene.visible, scene.infrared))
    pair = dict(vi=[visible] * batch, ir=[infrared] * batch)
    way = args.runner[0]
    network = init_model(args.model, args.weights, 'cpu') if way == 'onnx' else fuser.model
    said = 'the visible image is too dark'
    unchanged = network.core
    if way in CHANGED:
        network.core = CHANGED[way](network.core)
    spent, started, firsts = dict.fromkeys(PARTS, 0.0), {}, []

    children = dict(network.named_children())
    # of a network with other parts, all is the rest
    for name in PARTS.keys() & children.keys():
        part = children[name]
        part.register_forward_pre_hook(lambda *_, name=name: started.__setitem__(name, time.perf_counter()))
        part.register_forward_hook(
            lambda *_, name=name: spent.__setitem__(name, spent[name] + time.perf_counter() - started[name])
        )

    def timed(call) -> list[dict[str, float]]:
        rows = []
        for _ in range(repeat + 2):
            spent.update(dict.fromkeys(PARTS, 0.0))
            start = time.perf_counter()
            call()
            rows.append(dict(spent, whole=time.perf_counter() - start))
        firsts.append(rows[0]['whole'])
        return rows[2:]  # the first two warm up

    fused = timed(lambda: fuser(said, batch_size=batch, **pair))
    peak = peak_megabytes()
    flat = infrared if infrared.ndim == 2 else infrared[..., 0]
    pyramid = timed(lambda: laplacian_fusion(visible, flat))
    result = {name: statistics.median(row[name] for row in fused) / batch for name in (*PARTS, 'whole')}
    rate = matrix_product_rate()
    work = operations_per_pixel(network) * size[0] * size[1]
    result |= dict(
        rate=rate / 1e9, share=100 * work / rate / result['whole'],
        pyramid=statistics.median(row['whole'] for row in pyramid),
    )  # fmt: skip
    if way != 'torch':
        given = fuser(said, vi=visible, ir=infrared)
        network.core = unchanged
        error = np.mean((FusionInferencer(network)(said, vi=visible, ir=infrared) - given.astype(float)) ** 2)
        result['psnr'] = float(10 * np.log10(255**2 / max(error, 1e-12)))
    if way == 'torch':
        restored = timed(lambda: fuser.restore(visible, 'vi', 'it is too dark'))
        result['restore'] = statistics.median(row['whole'] for row in restored)
    slowest = max(row['whole'] for row in fused) / batch
    return result | dict(
        peak=peak, first=firsts[0], slowest=slowest, parameters=sum(p.numel() for p in network.parameters())
    )


def table(results: list[dict[str, float]]) -> str:
    """Markdown, a row for each size, number of threads, runner and batch."""
    from lurefusion.io.tables import markdown_table

    head = ['height', 'width', 'threads', 'runner', 'batch', 'pair, s', 'slowest, s', 'pairs a second']
    head += [*(f'{title}, %' for title in PARTS.values()), 'rest, %', 'one picture restored, s', 'peak memory, MB']
    head += ['first call, s', 'PSNR to torch, dB', 'matrix product, GFLOP/s', 'of its rate, %', 'Laplacian pyramid, s']
    lines = []
    for row in results:
        shares = [100 * row[name] / row['whole'] for name in PARTS]
        restored = f'{row["restore"]:.3f}' if 'restore' in row else '-'
        cells = [f'{row["whole"]:.3f}', f'{row["slowest"]:.3f}', f'{1 / row["whole"]:.2f}']
        cells += [f'{s:.1f}' for s in (*shares, 100 - sum(shares))]
        cells += [restored, f'{row["peak"]:.0f}', f'{row["first"]:.2f}']
        cells += [f'{row["psnr"]:.1f}' if 'psnr' in row else '-', f'{row["rate"]:.0f}', f'{row["share"]:.0f}']
        place = [row[name] for name in ('height', 'width', 'threads', 'runner', 'batch')]
        lines.append([*place, *cells, f'{row["pyramid"]:.4f}'])
    return markdown_table(head, lines, text=())


def exponent(pixels: list[float], seconds: list[float]) -> float:
    """Slope of log time against log pixels: 1 where the time of a pixel does not depend on the size."""
    import numpy as np

    return float(np.polyfit(np.log(pixels), np.log(seconds), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', nargs='?', default='lure-tiny', help='shipped weights, or a config')
    parser.add_argument('--weights', help="checkpoint of the config, or 'random'")
    parser.add_argument(
        '--size', type=int, nargs=2, action='append', metavar=('H', 'W'), help='default: 480 640; may be repeated'
    )
    parser.add_argument('--threads', type=int, nargs='+', default=[1, 2])
    parser.add_argument('--runner', nargs='+', default=['torch'], choices=['torch', 'onnx', *CHANGED])
    parser.add_argument('--batch', type=int, nargs='+', default=[1], help='pairs that are run together')
    parser.add_argument('--repeat', type=int, default=7, help='timed calls; the median counts')
    parser.add_argument('--quick', action='store_true', help='one thread, 48x64 and 96x128, to see that it works')
    parser.add_argument('--json', type=Path, help='write the numbers to this file, too')
    parser.add_argument('--child', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.quick:
        args.threads, args.repeat, args.size = [1], 2, args.size or [[48, 64], [96, 128]]
    args.size = sizes = args.size or [[480, 640]]
    if args.child:
        print(json.dumps(measure(args)))
        return
    results = []
    for (height, width), threads, runner, batch in itertools.product(sizes, args.threads, args.runner, args.batch):
        command = [sys.executable, __file__, args.model, '--child', '--threads', str(threads)]
        command += ['--size', str(height), str(width), '--repeat', str(args.repeat)]
        command += ['--runner', runner, '--batch', str(batch)]
        command += ['--weights', args.weights] if args.weights else []
        environment = os.environ | {'OMP_NUM_THREADS': str(threads)}
        out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
        place = dict(height=height, width=width, threads=threads, runner=runner, batch=batch)
        results.append(place | json.loads(out.splitlines()[-1]))
        print(f'{place}: {results[-1]["whole"]:.3f} s', file=sys.stderr)
    print(f'{args.model}, {results[0]["parameters"] / 1e6:.2f} M parameters, fp32, median of {args.repeat}\n')
    print(table(results), end='')
    if len(sizes) > 1:
        print()
    ways = itertools.product(args.threads, args.runner, args.batch) if len(sizes) > 1 else ()
    for threads, runner, batch in ways:
        rows = [row for row in results if (row['threads'], row['runner'], row['batch']) == (threads, runner, batch)]
        slope = exponent([row['height'] * row['width'] for row in rows], [row['whole'] for row in rows])
        print(f'threads {threads}, {runner}, batch {batch}: time grows with pixels to the power of {slope:.2f}')
    if args.json:
        from lurefusion.io.images import write_bytes

        write_bytes(args.json, json.dumps(results, indent=2).encode())


if __name__ == '__main__':
    main()
