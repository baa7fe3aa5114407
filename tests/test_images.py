import os
import stat
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage.color import rgb2ycbcr

from lurefusion.images import (
    IMAGE_SUFFIXES,
    list_images,
    pair_by_stem,
    read_image,
    rgb_to_ycbcr,
    to_uint8,
    to_unit_range,
    write_bytes,
    write_image,
    ycbcr_to_rgb,
)


def colours(height=21, width=34, channels=3, dtype=np.uint8):
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(5).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def store(path: Path, image: np.ndarray) -> Path:
    """The picture as OpenCV stores it, RGB(A) given."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    assert cv2.imwrite(str(path), image)
    return path


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b'x')
    return folder


# colour


@pytest.mark.parametrize('kind', [np.asarray, torch.from_numpy])
def test_ycbcr_goes_round(kind):
    red, green, blue = kind(np.random.default_rng(0).random((3, 9, 7)))
    for back, plane in zip(ycbcr_to_rgb(*rgb_to_ycbcr(red, green, blue)), (red, green, blue), strict=True):
        assert type(back) is type(plane)
        np.testing.assert_allclose(back, plane, atol=1e-5)


def test_ycbcr_of_greys_and_primaries():
    for grey in (0.0, 0.3, 1.0):
        np.testing.assert_allclose(rgb_to_ycbcr(grey, grey, grey), (grey, 0, 0), atol=1e-6)
    np.testing.assert_allclose(rgb_to_ycbcr(1.0, 0.0, 0.0), (0.299, -0.299 / 1.772, 0.5), atol=1e-5)
    np.testing.assert_allclose(rgb_to_ycbcr(0.0, 0.0, 1.0), (0.114, 0.5, -0.114 / 1.402), atol=1e-5)


def test_ycbcr_agrees_with_opencv_and_scikit_image():
    image = np.random.default_rng(1).random((12, 15, 3)).astype(np.float32)
    y, cb, cr = rgb_to_ycbcr(*np.moveaxis(image, 2, 0))
    reference = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
    # OpenCV rounds the chroma factors to 0.713 and 0.564
    np.testing.assert_allclose(np.dstack([y, cr + 0.5, cb + 0.5]), reference, atol=5e-4)
    # scikit-image: studio range, Y in 16..235, chroma in 16..240
    studio = np.dstack([16 + 219 * y, 128 + 224 * cb, 128 + 224 * cr])
    np.testing.assert_allclose(studio, rgb2ycbcr(image.astype(np.float64)), atol=2e-3)


# value range


@pytest.mark.parametrize('mode', ['percentile', 'minmax', 'full', 'agc'])
def test_8_bit_and_unit_floats_are_never_stretched(mode):
    image = np.array([[10, 200]], np.uint8)
    np.testing.assert_array_equal(to_unit_range(image, mode), np.float32([[10, 200]]) / 255)
    np.testing.assert_array_equal(to_unit_range(np.array([[True, False]]), mode), [[1, 0]])
    unit = to_unit_range(np.array([[0.2, 0.7]]), mode)
    np.testing.assert_array_equal(unit, np.float32([[0.2, 0.7]]))
    assert unit.dtype == np.float32


def test_range_modes_against_closed_forms():
    values = np.arange(5001, dtype=np.uint16).reshape(3, 1667) + 1000
    np.testing.assert_allclose(to_unit_range(values, 'full'), values / 65535, atol=1e-6)
    np.testing.assert_allclose(to_unit_range(values, 'minmax'), (values - 1000.0) / 5000, atol=1e-6)
    # of 5001 evenly spaced values the 0.1 and 99.9 percentiles are the 6th from either end
    expected = np.clip((values - 1005.0) / 4990, 0, 1)
    np.testing.assert_allclose(to_unit_range(values, 'percentile'), expected, atol=1e-6)
    np.testing.assert_allclose(to_unit_range(values), expected, atol=1e-6)
    # equalising an even histogram gives the rank
    np.testing.assert_allclose(to_unit_range(values, 'agc'), (values - 1000.0) / 5000, atol=2e-3)


def test_floats_beyond_one():
    image = np.array([[-2.0, 0.0, 6.0]])
    np.testing.assert_allclose(to_unit_range(image, 'minmax'), [[0, 0.25, 1]], atol=1e-6)
    np.testing.assert_allclose(to_unit_range(image, 'full'), [[0, 0, 1]], atol=1e-6)


def test_agc_limits_what_one_level_takes():
    # 99 % of the frame is one level: plain equalisation would leave it 99 % of the range
    image = np.full((100, 100), 500, np.uint16)
    image[:1] = np.arange(1000, 9000, 80)
    result = to_unit_range(image, 'agc')
    assert result.max() == 1
    assert result[50, 50] == pytest.approx(40 / (40 + 100), abs=0.05)
    assert (np.diff(result[0]) >= 0).all()


@pytest.mark.parametrize('mode', ['percentile', 'minmax', 'full', 'agc'])
def test_constant_frames_stay_finite(mode):
    result = to_unit_range(np.full((4, 4), 3000, np.uint16), mode)
    assert np.ptp(result) == 0
    assert 0 <= result[0, 0] <= 1


def test_one_hot_pixel_does_not_leave_an_empty_range():
    image = np.full((100, 100), 700, np.uint16)
    image[3, 3] = 900
    result = to_unit_range(image)
    assert result[3, 3] == 1
    assert result[0, 0] == 0


def test_range_errors():
    with pytest.raises(ValueError, match=r"percentile, minmax, full, agc; got 'log'"):
        to_unit_range(np.zeros((2, 2)), 'log')
    with pytest.raises(ValueError, match='2 of 4 pixels are NaN or infinite'):
        to_unit_range(np.array([[0, np.nan], [np.inf, 1]]))


def test_to_uint8_clips_and_rounds():
    np.testing.assert_array_equal(to_uint8(np.array([-1, 0, 0.5 / 255 + 1e-6, 0.999, 2])), [0, 0, 1, 255, 255])


# reading


@pytest.mark.parametrize('suffix', ['.png', '.bmp', '.tif', '.tiff', '.PNG'])
@pytest.mark.parametrize('channels', [3, 0])
def test_reads_8_bit_losslessly(tmp_path, suffix, channels):
    image = colours(channels=channels)
    read, grey = read_image(store(tmp_path / f'a{suffix}', image))
    assert read.dtype == np.uint8
    assert read.flags['C_CONTIGUOUS']
    assert grey is (channels == 0)
    np.testing.assert_array_equal(read, image if channels else np.dstack([image] * 3))


@pytest.mark.parametrize('suffix', ['.jpg', '.jpeg'])
def test_reads_jpeg(tmp_path, suffix):
    image = cv2.GaussianBlur(colours(64, 64), (0, 0), 8)
    read, grey = read_image(store(tmp_path / f'a{suffix}', image))
    assert not grey
    assert np.abs(read.astype(int) - image).mean() < 2


def test_three_equal_channels_are_grey_and_alpha_is_dropped(tmp_path):
    plane = colours(channels=0)
    assert read_image(store(tmp_path / 'grey.png', np.dstack([plane] * 3)))[1]
    image = colours(channels=4)
    read, grey = read_image(store(tmp_path / 'rgba.png', image))
    assert not grey
    np.testing.assert_array_equal(read, image[..., :3])


@pytest.mark.parametrize('suffix', ['.png', '.tif'])
@pytest.mark.parametrize('channels', [3, 0])
def test_reads_16_bit(tmp_path, suffix, channels):
    image = colours(channels=channels, dtype=np.uint16)
    path = store(tmp_path / f'a{suffix}', image)
    read, grey = read_image(path, 'full')
    assert read.dtype == np.float32
    assert grey is (channels == 0)
    np.testing.assert_allclose(read, (image if channels else np.dstack([image] * 3)) / 65535, atol=1e-6)
    np.testing.assert_array_equal(read_image(path)[0], read_image(path, 'percentile')[0])


def test_reads_float_tif(tmp_path):
    image = np.random.default_rng(0).random((9, 11)).astype(np.float32)
    read, grey = read_image(store(tmp_path / 'unit.tif', image))
    assert grey
    np.testing.assert_array_equal(read[..., 0], image)
    celsius, _ = read_image(store(tmp_path / 'celsius.tif', image * 40 - 5), 'minmax')
    np.testing.assert_allclose(celsius[..., 1], (image - image.min()) / np.ptp(image), atol=1e-5)


def cut(name: str, part: float) -> bytes:
    return cv2.imencode(name, cv2.GaussianBlur(colours(96, 96), (0, 0), 2))[1].tobytes()[: -int(part)]


@pytest.mark.parametrize(
    ('name', 'data'),
    [
        ('text.png', b'not a picture at all'),
        ('empty.png', b''),
        ('empty.jpg', b''),
        ('end.png', cut('.png', 12)),
        ('half.png', cut('.png', 3000)),
        ('end.jpg', cut('.jpg', 2)),
        ('half.jpg', cut('.jpg', 1000)),
        ('half.bmp', cut('.bmp', 9000)),
        ('half.tif', cut('.tif', 9000)),
        # 4 gigapixels
        ('huge.bmp', (lambda b: b[:18] + b'\x00\x00\x01\x00' * 2 + b[26:])(cut('.bmp', 9000))),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_unreadable_files_are_named(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=rf'{name} is (not a readable image \({len(data)} bytes\)|cut off)'):
        read_image(tmp_path / name)


def test_cut_off_is_noticed_even_where_the_decoder_does_not(tmp_path, monkeypatch):
    # some OpenCV versions fill the missing rest with grey, without an error
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: colours())
    for name, data in (('a.png', cut('.png', 200)), ('a.jpg', cut('.jpg', 2))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=f'{name} is cut off'):
            read_image(tmp_path / name)


def test_missing_file_and_nan_pixels_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'gone\.png'):
        read_image(tmp_path / 'gone.png')
    with pytest.raises(FileNotFoundError, match='no such image file'):
        read_image(tmp_path)
    image = np.ones((8, 8), np.float32)
    image[2, 3] = np.nan
    with pytest.raises(ValueError, match=r'heat\.tif: 1 of 64 pixels are NaN'):
        read_image(store(tmp_path / 'heat.tif', image))


@pytest.mark.parametrize('quality', [101, 80])
@pytest.mark.parametrize('shape', [(20, 30, 3), (8, 9, 3)])
def test_webp_is_read_and_listed(tmp_path, quality, shape):
    image = colours(*shape[:2])
    data = cv2.imencode('.webp', image[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()
    (tmp_path / 'a.webp').write_bytes(data)
    read, grey = read_image(tmp_path / 'a.webp')
    # above 100 is without losses
    expected = image if quality > 100 else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(read, expected)
    assert not grey
    assert list(list_images(tmp_path)) == ['a']
    (tmp_path / 'a.webp').write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r'a\.webp is (cut off|not a readable image)'):
        read_image(tmp_path / 'a.webp')


# writing


@pytest.mark.parametrize('suffix', [s for s in IMAGE_SUFFIXES if s not in ('.jpg', '.jpeg')])
@pytest.mark.parametrize('shape', [(8, 9, 3), (8, 9), (8, 9, 1)])
def test_written_pictures_come_back(tmp_path, suffix, shape):
    image = colours(*shape[:2], channels=shape[2] if len(shape) == 3 else 0)
    path = tmp_path / 'new' / 'folder' / f'a{suffix}'
    write_image(path, image)
    expected = np.broadcast_to(image.reshape(8, 9, -1), (8, 9, 3))
    np.testing.assert_array_equal(read_image(path)[0], expected)
    write_image(path, image.astype(np.float32) / 255)
    np.testing.assert_array_equal(read_image(path)[0], expected)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ('name', 'image', 'message'),
    [
        ('a.webp', np.zeros((4, 4), np.uint8), 'suffix must be one of .png'),
        ('a.png', np.zeros((4, 4, 4), np.uint8), r'got \(4, 4, 4\)'),
        ('a.png', np.zeros(4, np.uint8), r'got \(4,\)'),
        ('a.png', np.zeros((4, 4), np.uint16), 'expected uint8 or float in .*got uint16'),
    ],
)
def test_refuses_to_write(tmp_path, name, image, message):
    with pytest.raises(ValueError, match=message):
        write_image(tmp_path / name, image)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / 'a.png'
    write_bytes(path, b'old')

    def refuse(*_):
        raise OSError('disk full')

    monkeypatch.setattr(os, 'replace', refuse)
    with pytest.raises(OSError, match='disk full'):
        write_bytes(path, b'new')
    monkeypatch.undo()
    with pytest.raises(TypeError):
        write_bytes(path, 'text')
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {'a.png': b'old'}


@pytest.mark.skipif(os.name != 'posix', reason='permission bits of POSIX')
@pytest.mark.parametrize('umask', [0o022, 0o077, 0o002])
def test_permission_bits_follow_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_bytes(tmp_path / 'a', b'x')
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / 'a').stat().st_mode) == 0o666 & ~umask


# listing and pairing


def test_lists_nested_folders_and_leaves_out_what_is_no_image(tmp_path):
    touch(tmp_path, 'b.PNG', 'a.jpg', 'drive_1/0001.png', 'drive_2/0001.tif', 'two.dots.bmp')
    touch(tmp_path, 'notes.txt', '.a.png', '.hidden/a.png', '.c.png.tmp', '__MACOSX/._b.png')
    (tmp_path / 'folder.png').mkdir()
    files = list_images(tmp_path)
    assert set(files) == {'a', 'b', 'drive_1/0001', 'drive_2/0001', 'two.dots'}
    assert files['drive_2/0001'] == tmp_path / 'drive_2' / '0001.tif'
    assert list(files.values()) == sorted(files.values())


def test_a_hidden_folder_above_the_data_does_not_matter(tmp_path):
    assert list(list_images(touch(tmp_path / '.cache' / 'vi', 'a.png'))) == ['a']


def test_list_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no such folder: .*gone'):
        list_images(tmp_path / 'gone')
    with pytest.raises(ValueError, match=r'no image in .*\(looked for .png, '):
        list_images(touch(tmp_path / 'text', 'a.txt'))
    with pytest.raises(ValueError, match=r'two images of one stem .*a\.jpg and a\.png'):
        list_images(touch(tmp_path / 'twice', 'a.png', 'a.jpg'))


def test_pairs_by_stem_whatever_the_suffix(tmp_path):
    vi = touch(tmp_path / 'vi', 'b.png', 'a.jpg', 'd/c.png')
    ir = touch(tmp_path / 'ir', 'a.png', 'b.bmp', 'd/c.tif')
    pairs = pair_by_stem(dict(vi=vi, ir=ir))
    assert list(pairs) == ['a', 'b', 'd/c']
    assert pairs['b'] == dict(vi=vi / 'b.png', ir=ir / 'b.bmp')


def test_pairing_lists_every_orphan_of_every_role(tmp_path):
    vi = touch(tmp_path / 'vi', 'a.png', *(f'v{i:02}.png' for i in range(12)))
    ir = touch(tmp_path / 'ir', 'a.png', 'i1.png', 'i2.png')
    with pytest.raises(FileNotFoundError) as caught:
        pair_by_stem(dict(vi=vi, ir=ir))
    message = str(caught.value)
    assert f'vi ({vi}) has no file for 2 of 15 stems: i1, i2' in message
    assert f'ir ({ir}) has no file for 12 of 15 stems: v00, v01' in message
    assert message.endswith('v09 and 2 more')


def test_optional_roles_may_lack_files_and_add_none(tmp_path):
    vi = touch(tmp_path / 'vi', 'a.png', 'b.png')
    label = touch(tmp_path / 'label', 'b.png', 'z.png')
    pairs = pair_by_stem(dict(vi=vi, label=label), optional=['label'])
    assert pairs == dict(a=dict(vi=vi / 'a.png'), b=dict(vi=vi / 'b.png', label=label / 'b.png'))
