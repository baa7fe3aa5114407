"""Time and memory of fusing a pair and of restoring a picture, in a fresh process for each number of threads.

    python benchmarks/inference.py [lure-tiny | CONFIG --weights W] [--size 480 640] [--threads 1 2] [--repeat 7]

The whole call is timed as a program sees it, arrays in and arrays out, warm; the parts are timed within the same calls.
Peak memory is the largest resident set of that process, with Python, libraries and weights.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

# parts of the model in the order of the table; what is left of the call is conversion, padding and text
PARTS = {'image_encoder': 'encoders', 'fuser': 'fuser', 'decoder': 'decoder'}


def peak_megabytes() -> float:
    """Largest resident set of this process so far."""
    status = Path('/proc/self/status')
    if status.is_file():
        # not ru_maxrss: on Linux that also counts the parent from which the process was forked
        line = next(line for line in status.read_text().splitlines() if line.startswith('VmHWM'))
        return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == 'darwin' else 1024)


def measure(model: str, weights: str | None, size: tuple[int, int], threads: int, repeat: int) -> dict[str, float]:
    """Median seconds of the calls and of their parts, and the peak memory; run in a process of its own."""
    import torch

    from lurefusion.apis import FusionInferencer
    from lurefusion.datasets.scenes import render_scene

    torch.set_num_threads(threads)
    fuser = FusionInferencer(model, weights, device='cpu')
    network = fuser.model.float()
    scene = render_scene(2010, size, 'day')
    pair = dict(vi=scene.visible, ir=scene.infrared)
    spent, started = dict.fromkeys(PARTS, 0.0), {}

    for name in PARTS:
        part = network.get_submodule(name)
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
        return rows[2:]  # the first two warm up

    fused = timed(lambda: fuser('the visible image is too dark', **pair))
    peak = peak_megabytes()
    restored = timed(lambda: fuser.restore(scene.visible, 'vi', 'it is too dark'))
    result = {name: statistics.median(row[name] for row in fused) for name in (*PARTS, 'whole')}
    result |= dict(restore=statistics.median(row['whole'] for row in restored), peak=peak)
    return result | dict(
        slowest=max(row['whole'] for row in fused), parameters=sum(p.numel() for p in network.parameters())
    )


def table(results: dict[int, dict[str, float]]) -> str:
    """Markdown, a row for each number of threads."""
    from lurefusion.io.tables import markdown_table

    head = ['threads', 'pair, s', 'slowest, s', *(f'{title}, %' for title in PARTS.values()), 'rest, %']
    head += ['one picture restored, s', 'peak memory, MB']
    lines = []
    for threads, row in results.items():
        shares = [100 * row[name] / row['whole'] for name in PARTS]
        cells = [f'{row["whole"]:.3f}', f'{row["slowest"]:.3f}', *(f'{s:.1f}' for s in (*shares, 100 - sum(shares)))]
        lines.append([threads, *cells, f'{row["restore"]:.3f}', f'{row["peak"]:.0f}'])
    return markdown_table(head, lines, text=())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', nargs='?', default='lure-tiny', help='shipped weights, or a config')
    parser.add_argument('--weights', help="checkpoint of the config, or 'random'")
    parser.add_argument('--size', type=int, nargs=2, default=(480, 640), metavar=('H', 'W'))
    parser.add_argument('--threads', type=int, nargs='+', default=[1, 2])
    parser.add_argument('--repeat', type=int, default=7, help='timed calls; the median counts')
    parser.add_argument('--child', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        numbers = measure(args.model, args.weights, tuple(args.size), args.threads[0], args.repeat)
        print(json.dumps(numbers))
        return
    results = {}
    for threads in args.threads:
        command = [sys.executable, __file__, args.model, '--child', '--threads', str(threads)]
        command += ['--size', *map(str, args.size), '--repeat', str(args.repeat)]
        command += ['--weights', args.weights] if args.weights else []
        environment = os.environ | {'OMP_NUM_THREADS': str(threads)}
        out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
        results[threads] = json.loads(out.splitlines()[-1])
    parameters = results[args.threads[0]]['parameters']
    height, width = args.size
    print(f'{args.model}, {parameters / 1e6:.2f} M parameters, fp32, {width}x{height}, median of {args.repeat}\n')
    print(table(results), end='')


if __name__ == '__main__':
    main()
