"""Ask for many pictures, and see that memory does not grow.

python benchmarks/soak.py inferencer --requests 2000
python benchmarks/soak.py page --requests 500

`inferencer`: one `FusionInferencer`, from files, pairs of three sizes and prompts in turn. `page`: a page of
`lurefusion demo` of its own is asked again and again, with prompts in turn; each request sends a pair of rendered
pictures, every 25th also for a preview, every twentieth an archive, every fiftieth a bad file. Prints the resident
memory on the way and at the end, and the temporary files that the page holds (they are kept for a minute).
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

PROMPTS = ('', 'it is too dark', 'visible haze, infrared of low contrast', 'auto')
SETTLED = 100


@contextmanager
def running(model: str, place: Path) -> Iterator[tuple[int, str]]:
    """Process number and address of a page."""
    log = place / 'log'
    command = [sys.executable, '-u', '-m', 'lurefusion', 'demo', '--model', model, '--keep', '60']
    with log.open('w') as file:
        page = subprocess.Popen(command, stdout=file, stderr=file, env={**os.environ, 'TMPDIR': str(place)})
    try:
        found = None
        while found is None:
            if page.poll() is not None:
                raise RuntimeError(log.read_text())
            time.sleep(0.5)
            found = re.search(r'^(http://\S+) \(Ctrl', log.read_text(), flags=re.MULTILINE)
        yield page.pid, found[1]
    finally:
        page.terminate()
        page.wait(60)


def resident(pid: int) -> float:
    """MB of memory that a process holds."""
    [pages] = re.findall(r'^VmRSS:\s+(\d+) kB', Path(f'/proc/{pid}/status').read_text(), flags=re.MULTILINE)
    return int(pages) / 1024


def write_pair(place: Path, side: int) -> dict[str, Path]:
    """A rendered pair."""
    from lurefusion.datasets.scenes import render_scene
    from lurefusion.io.images import write_image

    scene = render_scene(5, (side * 3 // 4, side), time='day')
    paths = {'vi': place / f'vi_{side}.png', 'ir': place / f'ir_{side}.png'}
    for path, picture in zip(paths.values(), (scene.visible, scene.infrared), strict=True):
        write_image(path, picture)
    return paths


def soak_inferencer(requests: int, model: str, side: int) -> None:
    """Fuse with one inferencer, and print a table."""
    from lurefusion import FusionInferencer

    fuser = FusionInferencer(model)
    start = resident(os.getpid())
    with tempfile.TemporaryDirectory() as folder:
        work = zip(
            cycle([write_pair(Path(folder), s) for s in (side, side * 5 // 4, side * 3 // 4)]),
            cycle(PROMPTS),
            strict=True,
        )
        print(f'{model}, {side * 3 // 4} to {side * 5 // 4} pixels wide\n\n| pairs | resident, MB |\n|---|---|')
        for number in range(1, requests + 1):
            pair, prompt = next(work)
            fuser(**pair, prompt=prompt or None)
            if number in (1, SETTLED, requests) or number % 200 == 0:
                print(f'| {number} | {resident(os.getpid()):.0f} |', flush=True)
    print(f'\nat its start {start:.0f} MB; at the end {resident(os.getpid()):.0f} MB')


def soak_page(requests: int, model: str, side: int) -> None:
    """Ask a page, and print a table."""
    from gradio_client import Client, handle_file

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        pair, archive = write_pair(place, side), place / 'pairs.zip'
        with zipfile.ZipFile(archive, 'w') as file:
            for name, path in pair.items():
                file.write(path, f'{name}/1.png')
        bad = place / 'bad.png'
        bad.write_bytes(b'no picture')
        with running(model, place) as (pid, address):
            client = Client(address, verbose=False, analytics_enabled=False, httpx_kwargs=dict(timeout=600))
            start, prompts = resident(pid), cycle(PROMPTS)
            print(f'{model}, {side}x{side * 3 // 4} pixels\n\n| requests | resident, MB | temporary files |')
            print('|---|---|---|')
            for number in range(1, requests + 1):
                prompt = next(prompts)
                said = dict(auto=prompt == 'auto', prompt=prompt.replace('auto', ''), model=model)
                if number % 25 == 1:
                    for name, path in pair.items():
                        problem, _ = client.predict(handle_file(str(path)), api_name=f'/picture_{name}')
                        assert not problem, problem
                if number % 50 == 0:
                    problem, _ = client.predict(handle_file(str(bad)), api_name='/picture_vi')
                    assert 'cannot be read' in problem, problem
                elif number % 20 == 0:
                    problem, *_ = client.predict(handle_file(str(archive)), *said.values(), api_name='/folder')
                    assert not problem, problem
                else:
                    files = {name: handle_file(str(path)) for name, path in pair.items()}
                    problem, *_ = client.predict(**files, **said, api_name='/fuse')
                    assert not problem, problem
                if number in (1, SETTLED, requests) or number % 100 == 0:
                    files = sum(path.is_file() for path in place.rglob('*'))
                    print(f'| {number} | {resident(pid):.0f} | {files} |', flush=True)
            print(f'\nat its start {start:.0f} MB; at the end {resident(pid):.0f} MB')
        left = list(place.glob('lurefusion-page-*'))
        print(f'temporary folders after it ended: {len(left)}')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('through', nargs='?', choices=('inferencer', 'page'), default='inferencer')
    parser.add_argument('--requests', type=int, default=500)
    parser.add_argument('--model', default='lure-fast')
    parser.add_argument('--side', type=int, default=128, help='width of the pictures')
    args = parser.parse_args()
    (soak_page if args.through == 'page' else soak_inferencer)(args.requests, args.model, args.side)


if __name__ == '__main__':
    main()
