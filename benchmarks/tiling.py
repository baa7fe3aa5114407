"""Whole against tiled: PSNR of a rendered pair fused both ways, for every task; and the memory of a large pair.

    python benchmarks/tiling.py [lure-tiny] [--size 1536 2048] [--large 3072 4096]

Tiles are those that a back-end uses which holds all of a layer at once (a GPU, ONNX Runtime): PSNR in dB over the three
channels, and the largest difference in grey levels of 8 bits, both of the picture and of the step across the lines
where tiles meet. `--large` runs one pair of that size in a process of its own and prints its largest resident set.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

GOAL = 45.0


def compare(model: str, size: tuple[int, int]) -> list[list[str]]:
    """A line for each task, at the modality that it belongs to."""
    import numpy as np

    from lurefusion.apis import FusionInferencer
    from lurefusion.datasets.scenes import render_scene

    fuser = FusionInferencer(model, device='cpu')
    scene = render_scene(2010, size, 'day')
    pair = dict(vi=scene.visible, ir=scene.infrared)
    whole_options, lines = fuser.runner.running, []
    tiled_options = whole_options.in_layers()
    bank = fuser.runner.prompts
    for task in bank.keys:
        prompt = {bank.task(task).modality or 'vi': task}
        fuser.runner.running = whole_options
        whole = fuser.predict(prompt, **pair).picture
        fuser.runner.running = tiled_options
        tiled = fuser.predict(prompt, **pair).picture
        difference = tiled - whole
        psnr = -10 * np.log10(max(float(np.square(difference).mean()), 1e-12))
        step = max(float(np.abs(np.diff(difference, axis=axis)).max()) for axis in (0, 1))
        cells = [f'{psnr:.1f}', f'{255 * np.abs(difference).max():.2f}', f'{255 * step:.2f}']
        lines.append([task, *cells, 'yes' if psnr >= GOAL else 'no'])
    return lines


def fuse_one(model: str, size: tuple[int, int]) -> float:
    """Megabytes that fusing a pair of a size takes, Python, libraries and weights among them."""
    import numpy as np
    from inference import peak_megabytes

    from lurefusion.apis import FusionInferencer

    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    FusionInferencer(model, device='cpu').predict(vi=noise, ir=noise[::-1, :, 0].copy())
    return peak_megabytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', nargs='?', default='lure-tiny')
    parser.add_argument('--size', type=int, nargs=2, default=(1536, 2048), metavar=('H', 'W'))
    parser.add_argument('--large', type=int, nargs=2, metavar=('H', 'W'), help='only the memory of one pair')
    parser.add_argument('--child', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(fuse_one(args.model, tuple(args.large)))
        return
    if args.large:
        command = [sys.executable, __file__, args.model, '--large', *map(str, args.large), '--child']
        memory = float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()[-1])
        print(f'{args.model}: a pair of {args.large[1]}x{args.large[0]} takes {memory / 1024:.2f} GB')
        return
    from lurefusion.io.tables import markdown_table

    head = ['task', 'PSNR, dB', 'largest difference', 'largest step', f'at least {GOAL:g} dB']
    print(markdown_table(head, compare(args.model, tuple(args.size)), text=(0, 4)))


if __name__ == '__main__':
    main()
