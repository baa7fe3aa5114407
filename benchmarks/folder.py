"""What a folder of small pairs costs beside the network: CPU time a pair, in steady state.

    python benchmarks/folder.py [lure-tiny] [--pairs 500] [--size 120 160]

Pairs are rendered once and fused as `lurefusion fuse` does it, in this process with one thread. The network's own time
is that of the very calls of the job (padding, text and network, no files). CPU time, so that other programs do not
count; the first tenth of the pairs warms up and is left out. `again`: the same command when nothing has changed.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

GOAL = 1.3


def make_pairs(folder: Path, count: int, size: tuple[int, int], kinds: int = 10) -> None:
    """`count` pairs, of `kinds` scenes that differ."""
    from lurefusion.datasets.scenes import render_scene
    from lurefusion.io.images import write_image

    for number in range(count):
        files = {role: folder / role / f'{number:04}.png' for role in ('vi', 'ir')}
        if number < kinds:
            scene = render_scene(2010 + number, size, 'day')
            write_image(files['vi'], scene.visible)
            write_image(files['ir'], scene.infrared)
        else:
            for role, file in files.items():
                shutil.copyfile(folder / role / f'{number % kinds:04}.png', file)


def measure(model: str, count: int, size: tuple[int, int], batch: int, prompt: str | None) -> dict[str, float]:
    """Milliseconds of CPU a pair: of the whole job, of the network in it, and of finding that nothing has changed."""
    import torch

    from lurefusion.apis import FusionInferencer
    from lurefusion.runtime import runner as runner_module

    torch.set_num_threads(1)
    fuser = FusionInferencer(model, device='cpu')
    inner, own = runner_module.finished_rows, []

    def timed(*args, **kwargs):
        start = time.process_time()
        out = inner(*args, **kwargs)
        own.append(time.process_time() - start)
        return out

    runner_module.finished_rows = timed
    marks: list[float] = []
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        make_pairs(root, count, size)
        folders = {role: root / role for role in ('vi', 'ir')}
        options = dict(batch_size=batch, tell=lambda outcome, total: marks.append(time.process_time()))
        fuser.fuse_folders(folders, root / 'out', prompt, **options)
        start = time.process_time()
        fuser.fuse_folders(folders, root / 'out', prompt, **options)
        again = time.process_time() - start
    runner_module.finished_rows = inner
    skip = count // 10 // batch * batch
    whole = (marks[count - 1] - marks[skip - 1 if skip else 0]) / (count - max(skip, 1))
    network = sum(own[skip // batch :]) / (count - skip)
    return dict(whole=1e3 * whole, network=1e3 * network, again=1e3 * again / count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', nargs='?', default='lure-tiny')
    parser.add_argument('--pairs', type=int, default=500)
    parser.add_argument('--size', type=int, nargs=2, default=(120, 160), metavar=('H', 'W'))
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--prompt')
    args = parser.parse_args()
    found = measure(args.model, args.pairs, tuple(args.size), args.batch_size, args.prompt)
    factor = found['whole'] / found['network']
    print(
        f'{args.model}, {args.pairs} pairs of {args.size[1]}x{args.size[0]}, batches of {args.batch_size}: '
        f'{found["whole"]:.1f} ms a pair, the network {found["network"]:.1f} ms: {factor:.2f} times as much '
        f'(at most {GOAL}: {"yes" if factor <= GOAL else "no"}); again {found["again"]:.2f} ms a pair'
    )


if __name__ == '__main__':
    main()
