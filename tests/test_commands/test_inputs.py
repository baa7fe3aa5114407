"""What people give to `lurefusion fuse`, and what each gets: a picture, or one line that says why not; never both."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from lurefusion.cli import main
from lurefusion.io.images import read_image

HEIGHT, WIDTH = 24, 32
SHAPE = HEIGHT, WIDTH
RNG = np.random.default_rng(0)
COLOUR = cv2.GaussianBlur(RNG.integers(0, 256, (*SHAPE, 3), np.uint8), (0, 0), 2)
GREY = np.ascontiguousarray(COLOUR[::-1, :, 1])
COUNTS = GREY.astype(np.uint16) * 20 + 29000
ALPHA = np.dstack([COLOUR, np.linspace(0, 255, HEIGHT * WIDTH).reshape(SHAPE).astype(np.uint8)])
HOLES = np.where(GREY > 120, np.nan, GREY).astype(np.float32)


def cv(image: np.ndarray, suffix: str, *options: int) -> bytes:
    image = image if image.ndim == 2 else image[..., [2, 1, 0, 3][: image.shape[2]]]
    return cv2.imencode(suffix, np.ascontiguousarray(image), options)[1].tobytes()


def pil(image: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def moving(kind: str) -> bytes:
    frames = [Image.fromarray(np.roll(COLOUR, 4 * n, 0)) for n in range(3)]
    return pil(frames[0], kind, save_all=True, append_images=frames[1:])


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return pil(np.rot90(COLOUR).copy(), 'JPEG', exif=exif, quality=95)


def huge_png() -> bytes:
    """A header that promises 60000 x 60000 pixels, and nothing behind it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))

    header = struct.pack('>IIBBBBB', 60000, 60000, 8, 2, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(b'')) + chunk(b'IEND', b'')


def flipped(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 0xFF]) + data[len(data) // 2 + 1 :]


PNG, JPEG = cv(COLOUR, '.png'), cv(COLOUR, '.jpg')
BANDS = np.dstack([COLOUR, COLOUR[..., :2]])

# what it is: (file of the visible picture, its bytes, words of the command, a colour or grey picture, or the error)
INPUTS: dict[str, tuple[str, Callable[[], bytes] | bytes, tuple[str, ...], str]] = {
    'PNG': ('a.png', PNG, (), 'colour'),
    'JPEG': ('a.jpg', JPEG, (), 'colour'),
    'JPEG, upper case': ('A.JPEG', JPEG, (), 'colour'),
    'JPEG, progressive': ('a.jpg', lambda: pil(COLOUR, 'JPEG', progressive=True), (), 'colour'),
    'JPEG, CMYK': ('a.jpg', lambda: pil(Image.fromarray(COLOUR).convert('CMYK'), 'JPEG'), (), 'colour'),
    'JPEG, grey': ('a.jpg', lambda: cv(GREY, '.jpg'), (), 'grey'),
    'JPEG on its side': ('a.jpg', turned, (), 'colour'),
    'PNG called JPEG': ('a.jpg', PNG, (), 'colour'),
    'PNG, grey': ('a.png', lambda: cv(GREY, '.png'), (), 'grey'),
    'PNG, three equal channels': ('a.png', lambda: cv(np.dstack([GREY] * 3), '.png'), (), 'grey'),
    'PNG, palette': ('a.png', lambda: pil(Image.fromarray(COLOUR).quantize(64), 'PNG'), (), 'colour'),
    'PNG, one bit': ('a.png', lambda: pil(Image.fromarray(GREY).convert('1'), 'PNG'), (), 'grey'),
    'PNG, alpha': ('a.png', lambda: cv(ALPHA, '.png'), (), 'colour'),
    'PNG, alpha kept': ('a.png', lambda: cv(ALPHA, '.png'), ('--alpha', 'keep'), 'alpha'),
    'PNG, no alpha to keep': ('a.png', PNG, ('--alpha', 'keep'), 'colour'),
    'PNG, grey and alpha': ('a.png', lambda: pil(Image.fromarray(ALPHA).convert('LA'), 'PNG'), (), 'grey'),
    'PNG, 16 bit': ('a.png', lambda: cv(COLOUR.astype(np.uint16) * 257, '.png'), (), 'colour'),
    'PNG, 16 bit, grey': ('a.png', lambda: cv(COUNTS, '.png'), (), 'grey'),
    'PNG, 8 of 16 bit': ('a.png', lambda: cv(COLOUR.astype(np.uint16), '.png'), (), 'colour'),
    'BMP': ('a.bmp', lambda: cv(COLOUR, '.bmp'), (), 'colour'),
    'WebP': ('a.webp', lambda: pil(COLOUR, 'WEBP'), (), 'colour'),
    'TIFF': ('a.tif', lambda: cv(COLOUR, '.tif'), (), 'colour'),
    'TIFF, counts': ('a.tiff', lambda: cv(COUNTS, '.tif'), ('--range', 'vi=29000:34100'), 'grey'),
    'TIFF, fractions': ('a.tif', lambda: cv(GREY.astype(np.float32) / 255, '.tif'), (), 'grey'),
    'TIFF, degrees': ('a.tif', lambda: cv(GREY.astype(np.float32) / 7 - 9.5, '.tif'), (), 'grey'),
    'TIFF, fax': ('a.tif', lambda: pil(Image.fromarray(GREY).convert('1'), 'TIFF', compression='group4'), (), 'grey'),
    'GIF of one picture': ('a.gif', lambda: pil(COLOUR, 'GIF'), (), 'colour'),
    'bytes behind the end': ('a.png', PNG + b'more', (), 'colour'),
    'a name with spaces': ('a picture (1) ü.png', PNG, (), 'colour'),
    'one level': ('a.png', lambda: cv(np.full(SHAPE, 90, np.uint8), '.png'), (), 'grey'),
    'another size': ('a.png', lambda: cv(COLOUR[::2, ::2], '.png'), ('--resize', 'ir'), 'colour'),
    # refused
    'another size, unsaid': ('a.png', lambda: cv(COLOUR[::2, ::2], '.png'), (), 'vi 16x12'),
    'another field': ('a.png', lambda: cv(COLOUR[:, ::2], '.png'), ('--resize', 'ir'), 'aspect ratios differ'),
    'nothing to align by': ('a.png', PNG, ('--register', 'affine'), 'at least 64x64'),
    'alpha into a JPEG': ('a.png', PNG, ('--alpha', 'keep', '--out', 'fused.jpg'), 'alpha is kept in .png files'),
    'empty': ('a.png', b'', (), 'is not a readable image (0 bytes)'),
    'text': ('a.png', b'no picture', (), 'is not a readable image (10 bytes)'),
    'half a PNG': ('a.png', PNG[: len(PNG) // 2], (), 'is cut off'),
    'half a JPEG': ('a.jpg', JPEG[: len(JPEG) // 2], (), 'is cut off'),
    'half a TIFF': ('a.tif', lambda: cv(COLOUR, '.tif')[:900], (), 'is not a readable image'),
    'half a WebP': ('a.webp', lambda: pil(COLOUR, 'WEBP')[:-40], (), 'is cut off'),
    'a wrong bit': ('a.png', flipped(PNG), (), 'wrong checksum'),
    'too many pixels': ('a.png', huge_png, (), '60000x60000 pixels, which is not opened'),
    'GIF that moves': ('a.gif', lambda: moving('GIF'), (), 'is an animation'),
    'WebP that moves': ('a.webp', lambda: moving('WEBP'), (), 'is an animation'),
    'PNG that moves': ('a.png', lambda: moving('PNG'), (), 'is an animation'),
    'TIFF of pages': ('a.tif', lambda: moving('TIFF'), (), 'holds several pictures (pages)'),
    'TIFF, not a number': ('a.tif', lambda: cv(HOLES, '.tif'), (), 'pixels are NaN'),
    'TIFF, transparent': ('a.tif', lambda: pil(ALPHA, 'TIFF'), (), 'is no opaque alpha'),
    'too small': ('a.png', lambda: cv(COLOUR[:7], '.png'), (), '32x7 pixels; at least 8x8'),
    'the infrared one': ('a.png', lambda: cv(GREY, '.png'), (), 'are one picture, pixel by pixel'),
    'DICOM that is none': ('a.dcm', b'no picture', (), 'a.dcm'),
    'a slice of no file': ('a.nii:4', b'', (), 'no such picture, folder or video'),
}


@pytest.mark.parametrize('what', INPUTS)
def test_every_input_gives_a_picture_or_one_line(what, tmp_path, capsys, monkeypatch):
    name, data, words, expected = INPUTS[what]
    monkeypatch.chdir(tmp_path)
    Path('in').mkdir()
    if ':' not in name:
        Path('in', name).write_bytes(data() if callable(data) else data)
    infrared = GREY if what == 'the infrared one' else 255 - GREY
    Path('in/ir.png').write_bytes(cv(infrared, '.png'))
    out = [] if '--out' in words else ['--out', 'fused.png']
    model = ['--model', 'lurefusion::baselines/average_ir_vi.py', '--device', 'cpu']
    code = main(['fuse', '--vi', f'in/{name}', '--ir', 'in/ir.png', *out, *model, *words])
    errors = capsys.readouterr().err
    assert 'Traceback' not in errors
    left = sorted(path.name for path in tmp_path.iterdir())
    if expected not in ('colour', 'grey', 'alpha'):
        assert code == 1
        [line] = [line for line in errors.splitlines() if line.startswith('error: ')]
        assert expected in line
        assert left == ['in']
        return
    assert (code, left) == (0, ['fused.png', 'in']), errors
    stored = cv2.imread('fused.png', cv2.IMREAD_UNCHANGED)
    assert stored.shape == {'colour': (*SHAPE, 3), 'grey': SHAPE, 'alpha': (*SHAPE, 4)}[expected]
    if expected == 'alpha':
        np.testing.assert_array_equal(stored[..., 3], ALPHA[..., 3])
    # it is the scene: the mean of the luminances of both
    range_ = words[-1].removeprefix('vi=') if '--range' in words else 'auto'
    visible = cv2.resize(read_image(f'in/{name}', range_)[0], (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    visible = visible if visible.dtype == np.uint8 else (255 * visible).astype(np.uint8)
    luma = cv2.cvtColor(visible, cv2.COLOR_RGB2GRAY)
    fused = cv2.cvtColor(read_image('fused.png')[0], cv2.COLOR_RGB2GRAY)
    assert np.abs(fused - (luma.astype(float) + infrared) / 2).mean() < 4
