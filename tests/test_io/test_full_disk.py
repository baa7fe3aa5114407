"""A disk that is really full, where mounting one is allowed: one clear error, the former file stays."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from lurefusion.cli import main
from lurefusion.evaluation.latents import Latents
from lurefusion.io.images import write_bytes, write_image
from lurefusion.io.video import open_writer
from lurefusion.weights import AtomicBackend, save_weights

SIZE = 256 * 1024
NOISE = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    place = tmp_path / 'disk'
    place.mkdir()
    done = subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', f'size={SIZE}', 'tmpfs', str(place)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip('mounting a file system is not allowed here')
    yield place
    subprocess.run(['umount', str(place)], check=True)


def video(path: Path) -> None:
    pytest.importorskip('av')
    with open_writer(path, (400, 400), codec='ffv1', pixel_format='bgr0') as writer:
        for number in range(4):
            writer.write(np.roll(NOISE, number, 0), number / 25, '')


def latents(path: Path) -> None:
    names = np.array(['a'] * 400)
    Latents(np.random.default_rng(0).random((400, 400)).astype(np.float32), names, names, names).save(path)


WRITERS: dict[str, Callable[[Path], None]] = {
    'a.png': lambda path: write_image(path, NOISE),
    'report.md': lambda path: write_bytes(path, bytes(2 * SIZE)),
    'iter_2.pth': lambda path: AtomicBackend().put(bytes(2 * SIZE), path),
    'weights.safetensors': lambda path: save_weights(dict(w=torch.zeros(SIZE)), path, {}),
    'latents.npz': latents,
    'clip.mkv': video,
}


@pytest.mark.parametrize('name', WRITERS)
def test_the_former_file_stays(disk, name):
    path = disk / name
    path.write_bytes(b'former')
    with pytest.raises(OSError, match='No space left on device') as caught:
        WRITERS[name](path)
    assert name in str(caught.value)
    assert path.read_bytes() == b'former'
    assert os.listdir(disk) == [name]


def test_a_folder_stops_at_a_full_disk_and_goes_on_when_there_is_room(disk, tmp_path, capsys):
    for number in range(4):
        write_image(tmp_path / f'vi/{number}.png', NOISE[:200, :200])
        write_image(tmp_path / f'ir/{number}.png', NOISE[200:, 200:, 0])
    words = ['--vi', str(tmp_path / 'vi'), '--ir', str(tmp_path / 'ir'), '--out', str(disk / 'out')]
    words += ['--model', 'lurefusion::baselines/average_ir_vi.py', '--device', 'cpu']
    filler = disk / 'filler'
    filler.write_bytes(bytes(SIZE // 2))
    assert main(['fuse', *words]) == 1
    assert os.strerror(errno.ENOSPC) in capsys.readouterr().err
    assert len(list((disk / 'out').glob('*.png'))) < 4
    assert not list((disk / 'out').glob('.*.p*'))
    filler.unlink()
    for role in ('vi', 'ir'):
        for number in range(2, 4):
            (tmp_path / role / f'{number}.png').unlink()
    assert main(['fuse', *words]) == 0
    assert len(list((disk / 'out').glob('*.png'))) == 2
