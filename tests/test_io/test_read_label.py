"""Class ids come out of `read_label` as they were stored, whatever the way; what is no id is refused."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from lurefusion.io.labels import read_label

IDS = np.random.default_rng(0).integers(0, 9, (11, 14)).astype(np.uint8)
IDS[0, :3] = 255
FEW = (IDS % 4).astype(np.uint8)


def png(ids: np.ndarray, bits: int, kind: int) -> bytes:
    """A grey (0) or palette (3) PNG of few bits a pixel: neither Pillow nor OpenCV has a part in it."""
    height, width = ids.shape
    rows = b''
    for row in ids:
        digits = ''.join(f'{int(v):0{bits}b}' for v in row)
        digits += '0' * (-len(digits) % 8)
        rows += b'\0' + int(digits, 2).to_bytes(len(digits) // 8, 'big')

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))

    header = struct.pack('>IIBBBBB', width, height, bits, kind, 0, 0, 0)
    colours = chunk(b'PLTE', bytes(range(3 * 2**bits))) if kind else b''
    pixels = chunk(b'IDAT', zlib.compress(rows))
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + colours + pixels + chunk(b'IEND', b'')


def palette(ids: np.ndarray, colours: list[int]) -> Image.Image:
    image = Image.fromarray(ids)
    image.putpalette(colours + [0] * (768 - len(colours)))
    return image


VOC = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128, 128, 0, 128]
STORED = {
    '8 bit.png': IDS,
    '8 bit.bmp': IDS,
    '16 bit.png': IDS.astype(np.uint16),
    '16 bit.tif': IDS.astype(np.uint16),
    '32 bit.tif': IDS.astype(np.int32),
    'float.tif': IDS.astype(np.float32),
    'palette, VOC.png': palette(IDS, VOC),
    'palette, one red.png': palette(IDS, [0, 0, 0, 255, 0, 0]),
    'palette, all black.png': palette(IDS, []),
    'palette, grey the other way.png': palette(IDS, [255 - i // 3 for i in range(768)]),
    'palette.bmp': palette(IDS, VOC),
    'palette.tif': palette(IDS, VOC),
    'three equal channels.png': np.repeat(IDS[..., None], 3, 2),
    'with alpha.png': np.dstack([IDS, IDS, IDS, np.full_like(IDS, 255)]),
    'grey with alpha.png': Image.merge('LA', [Image.fromarray(IDS), Image.new('L', IDS.shape[::-1], 255)]),
    'losslessly.webp': Image.fromarray(np.repeat(IDS[..., None], 3, 2)),
}


@pytest.mark.parametrize('name', STORED)
def test_ids_are_read_as_stored(tmp_path, name):
    content = STORED[name]
    image = content if isinstance(content, Image.Image) else Image.fromarray(content)
    image.save(tmp_path / name, **(dict(lossless=True) if name.endswith('webp') else {}))
    found = read_label(tmp_path / name)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, IDS)


def test_deep_channels_keep_their_low_byte(tmp_path):
    for name in ('rgb.png', 'rgb.tif'):
        assert cv2.imwrite(str(tmp_path / name), np.repeat(IDS[..., None], 3, 2).astype(np.uint16))
        np.testing.assert_array_equal(read_label(tmp_path / name), IDS)


@pytest.mark.parametrize('bits', [1, 2, 4])
@pytest.mark.parametrize('kind', [0, 3])
def test_few_bits(tmp_path, bits, kind):
    ids = FEW % 2**bits
    (tmp_path / 'a.png').write_bytes(png(ids, bits, kind))
    np.testing.assert_array_equal(read_label(tmp_path / 'a.png'), ids)


def test_one_bit_files_of_other_formats(tmp_path):
    for name in ('a.bmp', 'a.tif'):
        Image.fromarray(FEW > 1).save(tmp_path / name)
        np.testing.assert_array_equal(read_label(tmp_path / name), FEW > 1)


def test_orientation_is_applied(tmp_path):
    tag = Image.Exif()
    tag[0x0112] = 6  # stored lying on its side
    Image.fromarray(IDS).save(tmp_path / 'a.png', exif=tag)
    np.testing.assert_array_equal(read_label(tmp_path / 'a.png'), np.rot90(IDS, -1))


def coloured() -> np.ndarray:
    return np.array(VOC, np.uint8).reshape(-1, 3)[IDS % 6]


REFUSED = {
    'coloured.png': (Image.fromarray(coloured()), '6 colours in 3 channels.*give each colour its id'),
    'mask.png': (
        Image.merge('LA', [Image.fromarray(IDS), Image.fromarray(IDS)]), 'a mask in its alpha channel'
    ),
    'big.png': (Image.fromarray(IDS.astype(np.uint16) * 26), 'values from 0 to 6630'),
    'negative.tif': (Image.fromarray(IDS.astype(np.int32) - 1), 'values from -1 to 254'),
    'halves.tif': (Image.fromarray(IDS / np.float32(2)), 'values that are not whole numbers'),
    'nan.tif': (Image.fromarray(np.where(IDS == 3, np.nan, IDS).astype(np.float32)), 'not whole numbers'),
    'lossy.jpg': (Image.fromarray(IDS), 'JPEG is lossy'),
    'lossy.webp': (Image.fromarray(IDS), 'WEBP is lossy'),
}  # fmt: skip


@pytest.mark.parametrize('name', REFUSED)
def test_what_is_no_id_is_refused(tmp_path, name):
    image, message = REFUSED[name]
    image.save(tmp_path / name)
    with pytest.raises(ValueError, match=rf'{name} is no label: .*{message}.*expected class ids 0 to 255'):
        read_label(tmp_path / name)


def test_unreadable_files_and_pages_are_named(tmp_path):
    Image.fromarray(IDS).save(tmp_path / 'pages.tif', save_all=True, append_images=[Image.fromarray(IDS)])
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (99, 99), np.uint8)).save(tmp_path / 'whole.png')
    (tmp_path / 'cut.png').write_bytes((tmp_path / 'whole.png').read_bytes()[:2000])
    (tmp_path / 'text.png').write_text('no picture')
    (tmp_path / 'empty.png').touch()
    for name, message in (
        ('pages.tif', '2 pages'), ('cut.png', 'cut off'), ('text.png', 'not a readable image'),
        ('empty.png', 'not a readable image'),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=rf'{name} is no label: .*{message}'):
            read_label(tmp_path / name)
    with pytest.raises(FileNotFoundError, match='no such label file'):
        read_label(tmp_path / 'gone.png')
