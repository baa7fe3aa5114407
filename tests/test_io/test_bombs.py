"""Headers that promise more pixels than memory holds: refused by their number, before anything is decoded."""

import resource
import struct
import warnings
import zlib
from multiprocessing import get_context

import cv2
import numpy as np
import pytest
from PIL import Image

from lurefusion.datasets.verify import _size
from lurefusion.io import formats
from lurefusion.io.images import read_image
from lurefusion.io.labels import read_label

SIDE = 20000


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))


def png(side: int = SIDE) -> bytes:
    """With the first of its rows: what follows is not needed to fill the memory."""
    body = zlib.compress(bytes(side + 1) * 200)
    header = struct.pack('>IIBBBBB', side, side, 8, 0, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', body) + chunk(b'IEND', b'')


def tiff() -> bytes:
    tags = [(256, 4, SIDE), (257, 4, SIDE), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    tags += [(278, 4, SIDE), (279, 4, SIDE * SIDE)]
    body = b''.join(struct.pack('<HHII', tag, kind, 1, value) for tag, kind, value in tags)
    return b'II*\0' + struct.pack('<IH', 8, len(tags)) + body + struct.pack('<I', 0)


def webp() -> bytes:
    canvas = (SIDE - 1).to_bytes(3, 'little')
    body = b'WEBPVP8X' + struct.pack('<I', 10) + bytes(4) + canvas * 2
    return b'RIFF' + struct.pack('<I', len(body)) + body


def encoded(suffix: str) -> bytearray:
    return bytearray(cv2.imencode(suffix, np.zeros((16, 16), np.uint8))[1].tobytes())


def jpeg() -> bytes:
    data = encoded('.jpg')
    at = data.index(b'\xff\xc0')
    data[at + 5 : at + 9] = struct.pack('>HH', SIDE, SIDE)
    return bytes(data)


def bmp() -> bytes:
    data = encoded('.bmp')
    data[18:26] = struct.pack('<ii', SIDE, -SIDE)
    return bytes(data)


BOMBS = {
    'png': png,
    'tif': tiff,
    'webp': webp,
    'jpg': jpeg,
    'bmp': bmp,
    # kinds that are known by Pillow alone, under a name that they do not deserve
    'ppm.png': lambda: b'P6\n%d %d\n255\n' % (SIDE, SIDE) + bytes(99),
    'gif.png': lambda: b'GIF89a' + struct.pack('<HH', SIDE, SIDE) + bytes(3) + b'\x3b',
}


def measured(work, path, say) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        work(path)
        message = 'it was opened'
    except ValueError as error:
        message = str(error)
    say.send((message, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))


@pytest.mark.parametrize('kind', BOMBS)
def test_a_bomb_is_refused_by_its_pixels_and_costs_no_memory(tmp_path, kind):
    path = tmp_path / f'bomb.{kind}'
    path.write_bytes(BOMBS[kind]())
    for work in (read_image, read_label, lambda path: print(_size(str(path), decode=False, label=False))):
        told, writer = get_context('fork').Pipe(duplex=False)
        process = get_context('fork').Process(target=measured, args=(work, path, writer))
        process.start()
        message, megabytes = told.recv()
        process.join()
        if work in (read_image, read_label):
            # a lossy file is no label, whatever its size; Pillow has a limit of its own
            assert '20000x20000 pixels' in message or '400000000 pixels' in message or work is read_label, message
            assert 'bomb' in message
        assert megabytes < 40


def test_the_limit_is_the_users(tmp_path, monkeypatch):
    path = tmp_path / 'a.png'
    assert cv2.imwrite(str(path), np.zeros((30, 40), np.uint8))
    monkeypatch.setenv(formats.LIMIT, '1199')
    with pytest.raises(ValueError, match=r'a\.png says that it has 40x30 pixels.*1199 at most.*LUREFUSION_MAX_PIXELS'):
        read_image(path)
    with pytest.raises(ValueError, match='40x30 pixels'):
        read_label(path)
    monkeypatch.setenv(formats.LIMIT, '1200')
    assert read_image(path)[0].shape == (30, 40, 3)
    monkeypatch.setenv(formats.LIMIT, 'many')
    with pytest.raises(ValueError, match="must be a number of pixels, got 'many'"):
        read_image(path)


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.bmp', '.tif', '.webp', '.ppm'])
def test_the_size_that_a_header_names_is_that_of_the_picture(suffix):
    noise = np.random.default_rng(0).integers(0, 256, (24, 37, 3), np.uint8)
    done, data = cv2.imencode(suffix, noise)
    assert done
    assert formats.header_size(data.tobytes()) == (37, 24)
    assert formats.header_size(data.tobytes()[:9]) in ((0, 0), (37, 24))


def test_volumes_that_are_too_large(tmp_path):
    nibabel = pytest.importorskip('nibabel')
    header = nibabel.Nifti1Header()
    header.set_data_shape((30000, 30000, 1))
    header.set_data_dtype(np.uint8)
    header['vox_offset'] = 352
    (tmp_path / 'a.nii').write_bytes(header.binaryblock + bytes(100))
    with pytest.raises(ValueError, match='30000x30000 pixels'):
        read_image(tmp_path / 'a.nii')


def test_no_warning_of_pillow_reaches_the_user(tmp_path):
    path = tmp_path / 'a.ppm'
    # above the size of which Pillow warns, below the limit
    path.write_bytes(b'P5\n10000 10000\n255\n')
    with warnings.catch_warnings():
        warnings.simplefilter('error', Image.DecompressionBombWarning)
        assert formats.header_size(path.read_bytes()) == (10000, 10000)
