"""What a clip costs from file to file: CPU time a frame, with decoding and encoding, and what the network has of it.

    python benchmarks/video.py [lure-fast] [--frames 50] [--size 480 640]

Two H.264 clips are made of a rendered street that the camera passes, and fused into a third as `lurefusion fuse` does
it, with one thread. CPU time, so that other programs do not count; the first tenth of the frames is left out.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from fractions import Fraction
from pathlib import Path

GOAL = 10.0


def make_clips(folder: Path, frames: int, size: tuple[int, int]) -> dict[str, Path]:
    """Clips of a picture that moves by two pixels a frame."""
    from lurefusion.datasets.scenes import render_scene
    from lurefusion.io.video import open_writer

    height, width = size
    scene = render_scene(2010, (height, width + 2 * frames), 'day')
    paths = {}
    for name, picture in (('vi', scene.visible), ('ir', scene.infrared)):
        paths[name] = folder / f'{name}.mp4'
        with open_writer(paths[name], (width, height), Fraction(25)) as writer:
            for number in range(frames):
                writer.write(picture[:, 2 * number : 2 * number + width], number / 25, '')
    return paths


def measure(model: str, frames: int, size: tuple[int, int], prompt: str | None) -> dict[str, float]:
    """Milliseconds of CPU a frame: of all, and of its parts."""
    import torch

    from lurefusion.apis import FusionInferencer, clips
    from lurefusion.io.video import VideoWriter
    from lurefusion.runtime import runner as runner_module

    torch.set_num_threads(1)
    fuser = FusionInferencer(model, device='cpu')
    spent: dict[str, list[float]] = dict(network=[], encoding=[], decoding=[])

    def timed(name, call):
        def inner(*args, **kwargs):
            start = time.process_time()
            try:
                return call(*args, **kwargs)
            finally:
                spent[name].append(time.process_time() - start)

        return inner

    def timed_pairs(*args, **kwargs):
        pairs = clips_pairs(*args, **kwargs)
        step = timed('decoding', lambda: next(pairs, None))
        while (pair := step()) is not None:
            yield pair

    clips_pairs = clips.pair_by_time
    marks: list[float] = []
    with tempfile.TemporaryDirectory() as place:
        sources = make_clips(Path(place), frames, size)
        runner_module.finished_rows = timed('network', runner_module.finished_rows)
        clips.pair_by_time = timed_pairs
        VideoWriter.write = timed('encoding', VideoWriter.write)
        fuser.fuse_video(
            sources, Path(place) / 'out.mp4', prompt, tell=lambda name, total: marks.append(time.process_time())
        )
    skip = max(1, frames // 10)
    found = {name: 1e3 * sum(times[skip:frames]) / (frames - skip) for name, times in spent.items()}
    return dict(whole=1e3 * (marks[-1] - marks[skip - 1]) / (frames - skip), **found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', nargs='?', default='lure-fast')
    parser.add_argument('--frames', type=int, default=50)
    parser.add_argument('--size', type=int, nargs=2, default=(480, 640), metavar=('H', 'W'))
    parser.add_argument('--prompt')
    args = parser.parse_args()
    found = measure(args.model, args.frames, tuple(args.size), args.prompt)
    parts = ', '.join(f'{name} {found[name]:.1f}' for name in ('decoding', 'network', 'encoding'))
    rest = found['whole'] - sum(found[name] for name in ('decoding', 'network', 'encoding'))
    rate = 1e3 / found['whole']
    print(
        f'{args.model}, {args.frames} frames of {args.size[1]}x{args.size[0]}: {found["whole"]:.1f} ms of CPU a frame '
        f'({parts}, rest {rest:.1f}), {rate:.1f} frames a second of one core (at least {GOAL:g}: '
        f'{"yes" if rate >= GOAL else "no"})'
    )


if __name__ == '__main__':
    main()
