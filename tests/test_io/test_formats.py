"""What files say beside their pixels, against Pillow and tifffile, which write and read it by themselves."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from lurefusion.io import formats
from lurefusion.io.images import decode, read_image

ORIENTATION = 0x0112


def picture(height=24, width=40, channels=3) -> np.ndarray:
    image = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 3)
    image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)
    return image if channels == 3 else np.ascontiguousarray(image[..., 0])


def saved(image: np.ndarray | Image.Image, kind: str, **kwargs) -> bytes:
    file = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(file, kind, **kwargs)
    return file.getvalue()


def oriented(kind: str, value: int, image: np.ndarray) -> bytes:
    if kind == 'TIFF':
        return saved(image, kind, tiffinfo={ORIENTATION: value})
    exif = Image.Exif()
    exif[0x010F] = 'A maker whose name is longer than four bytes'
    exif[ORIENTATION] = value
    return saved(image, kind, exif=exif, **(dict(lossless=True) if kind == 'WEBP' else dict(quality=98)))


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP', 'TIFF'])
@pytest.mark.parametrize('value', range(1, 9))
def test_pictures_are_read_as_viewers_show_them(tmp_path, kind, value):
    data = oriented(kind, value, picture())
    (tmp_path / 'a').write_bytes(data)
    read, _ = read_image(tmp_path / 'a')
    shown = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert read.shape == shown.shape == ((24, 40, 3) if value < 5 else (40, 24, 3))
    assert np.abs(read.astype(int) - shown).mean() < (1.5 if kind == 'JPEG' else 1e-9)


def test_deep_and_grey_pictures_turn_too(tmp_path):
    deep = picture(channels=0).astype(np.uint16) * 200
    for kind in ('PNG', 'TIFF'):
        (tmp_path / kind).write_bytes(oriented(kind, 6, deep))
        read, grey = read_image(tmp_path / kind, 'full')
        assert grey
        np.testing.assert_allclose(read[..., 0], np.rot90(deep, -1) / 65535, atol=1e-6)


@pytest.mark.parametrize(
    'exif',
    [b'', b'Exif\0\0', b'Exif\0\0II*\0', b'Exif\0\0MM\0*\0\0\0\x08\xff\xff\0\0', b'Exif\0\0II*\0\xff\xff\xff\xff'],
)
def test_broken_exif_leaves_the_picture_as_it_is(exif):
    image = picture()
    data = saved(image, 'JPEG', exif=exif)
    np.testing.assert_array_equal(formats.as_shown(image, data), image)
    assert formats.problem(data) is None


def test_a_preview_inside_of_a_jpeg_is_not_its_end():
    preview = saved(picture(8, 8), 'JPEG')
    data = saved(picture(96, 96), 'JPEG', comment=preview, quality=90)
    assert formats.problem(data) is None
    for kept in (len(data) // 2, len(data) - 2):
        assert 'cut off' in formats.problem(data[:kept])
    # only the preview is left
    assert 'cut off' in formats.problem(data[: len(preview) + 60])


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP', 'TIFF', 'BMP'])
@pytest.mark.parametrize('behind', [b'\0', bytes(5000), b'\xff' * 9000, saved(picture(16, 16), 'JPEG')])
def test_bytes_behind_the_end_do_not_matter(tmp_path, kind, behind):
    data = saved(picture(), kind, **(dict(lossless=True) if kind == 'WEBP' else {}))
    (tmp_path / 'plain').write_bytes(data)
    (tmp_path / 'more').write_bytes(data + behind)
    np.testing.assert_array_equal(read_image(tmp_path / 'more')[0], read_image(tmp_path / 'plain')[0])


@pytest.mark.parametrize('options', [dict(progressive=True), dict(restart_marker_rows=1), dict(quality=100)])
def test_all_kinds_of_jpeg_are_whole_or_cut_off(options):
    data = saved(picture(64, 96), 'JPEG', **options)
    assert formats.problem(data) is None
    for lost in (2, 100, len(data) // 2):
        assert 'cut off' in formats.problem(data[:-lost])
        # what a download that was given its size before leaves
        assert 'cut off' in formats.problem(data[:-lost] + bytes(lost))


def tiff(array: np.ndarray, **kwargs) -> bytes:
    tifffile = pytest.importorskip('tifffile')
    file = io.BytesIO()
    tifffile.imwrite(file, array, **kwargs)
    return file.getvalue()


RNG = np.random.default_rng(0)
BANDS = RNG.integers(0, 200, (24, 40, 7)).astype(np.uint8)


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (lambda: tiff(BANDS[..., :4], photometric='rgb', extrasamples=[0]), 'has 4 bands|no opaque alpha'),
        (lambda: tiff(BANDS[..., :4], photometric='minisblack', planarconfig='contig'), 'has 4 bands'),
        (lambda: tiff(BANDS[..., :5], photometric='minisblack', planarconfig='contig'), 'has 5 bands'),
        (lambda: tiff(BANDS[..., :5], photometric='rgb', planarconfig='contig'), 'has 5 bands'),
        (lambda: tiff(BANDS, photometric='minisblack', planarconfig='separate'), 'has 24 bands|has 7 bands|pages'),
        (lambda: tiff(BANDS[..., :2], photometric='minisblack', planarconfig='contig'), 'has 2 bands'),
        (lambda: tiff(BANDS[..., :2].astype(np.uint16), photometric='minisblack', extrasamples=[2]), 'second band'),
        (lambda: tiff(np.moveaxis(BANDS, 2, 0), photometric='minisblack'), 'holds several pictures'),
    ],
)
def test_bands_and_pages_that_would_be_lost_are_refused(tmp_path, data, message):
    (tmp_path / 'a.tif').write_bytes(data())
    with pytest.raises(ValueError, match=rf'a\.tif:? .*({message})'):
        read_image(tmp_path / 'a.tif')


def test_alpha_that_hides_nothing_is_dropped(tmp_path):
    rgba = np.dstack([picture(), np.full((24, 40), 255, np.uint8)])
    for name, data in (
        ('pillow.tif', saved(rgba, 'TIFF')),
        ('declared.tif', tiff(rgba, photometric='rgb', extrasamples=[2])),
        ('opencv.tif', cv2.imencode('.tif', cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA))[1].tobytes()),
        ('a.png', saved(rgba, 'PNG')),
    ):
        (tmp_path / name).write_bytes(data)
        np.testing.assert_array_equal(read_image(tmp_path / name)[0], rgba[..., :3], err_msg=name)
    rgba[3, 4, 3] = 9
    (tmp_path / 'opencv.tif').write_bytes(saved(rgba, 'TIFF'))
    with pytest.raises(ValueError, match='fourth band is no opaque alpha'):
        read_image(tmp_path / 'opencv.tif')


def test_a_smaller_copy_behind_the_picture_is_no_second_page(tmp_path):
    tifffile = pytest.importorskip('tifffile')
    with tifffile.TiffWriter(tmp_path / 'a.tif') as file:
        file.write(picture(channels=0))
        file.write(picture(channels=0)[::2, ::2], subfiletype=1)
    np.testing.assert_array_equal(read_image(tmp_path / 'a.tif')[0][..., 0], picture(channels=0))


@pytest.mark.parametrize('mode', ['1', 'P', 'LA', 'CMYK'])
def test_other_ways_to_store_colours_are_still_read(tmp_path, mode):
    image = Image.fromarray(picture()).convert(mode)
    for kind in ('PNG', 'TIFF'):
        if mode == 'CMYK' and kind == 'PNG':
            continue
        (tmp_path / kind).write_bytes(saved(image, kind))
        expected = np.asarray(image.convert('RGBA').convert('RGB')).astype(int)
        assert np.abs(read_image(tmp_path / kind)[0] - expected).mean() < 3


@pytest.mark.parametrize('big', [False, True])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.uint32])
def test_where_white_is_zero_hot_stays_hot(tmp_path, dtype, big):
    tifffile = pytest.importorskip('tifffile')
    top = np.iinfo(dtype).max
    image = picture(channels=1).astype(dtype) * (top // 255)
    tifffile.imwrite(tmp_path / 'a.tif', top - image, photometric='miniswhite', bigtiff=big)
    np.testing.assert_array_equal(decode(tmp_path / 'a.tif')[0], image)


@pytest.mark.parametrize('big', [False, True])
def test_tiffs_that_a_decoder_scrambles_are_refused(tmp_path, big):
    tifffile = pytest.importorskip('tifffile')
    path, deep = tmp_path / 'a.tif', picture().astype(np.uint16) * 257
    apart = dict(photometric='rgb', planarconfig='separate', bigtiff=big)
    for dtype in (np.uint16, np.float32):
        tifffile.imwrite(path, np.moveaxis(deep.astype(dtype), 2, 0), **apart)
        with pytest.raises(ValueError, match='stores its bands one after the other, with more than 8 bits'):
            read_image(path)
    # of 8 bits they are read as they are
    tifffile.imwrite(path, np.moveaxis(picture(), 2, 0), **apart)
    np.testing.assert_array_equal(read_image(path)[0], picture())
    tifffile.imwrite(path, deep[..., 0].astype(np.float32), photometric='miniswhite', bigtiff=big)
    with pytest.raises(ValueError, match='counts down from white'):
        read_image(path)
    tifffile.imwrite(path, np.stack([deep[..., 0]] * 3), photometric='minisblack', bigtiff=big)
    with pytest.raises(ValueError, match=r'holds several pictures \(pages\)'):
        read_image(path)
