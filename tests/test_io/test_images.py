import os
import stat
import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage.color import rgb2ycbcr

from lurefusion.io.images import (
    IMAGE_SUFFIXES,
    as_rgb,
    colourfulness,
    read_image,
    umask,
    write_bytes,
    write_image,
)
from lurefusion.io.pairing import check_output, list_images, naming_advice, pair_files, refuse_overwrite, refuse_same
from lurefusion.io.ranges import parse_range, range_of, to_uint8, to_unit_range
from lurefusion.io.shared_range import shared_range
from lurefusion.ops.colour import rgb_to_ycbcr, ycbcr_to_rgb


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
    with pytest.raises(ValueError, match=r"LOW:HIGH or one of auto, percentile, minmax, full, agc, shared; got 'log'"):
        to_unit_range(np.zeros((2, 2)), 'log')
    with pytest.raises(ValueError, match='2 of 4 pixels are NaN or infinite'):
        to_unit_range(np.array([[0, np.nan], [np.inf, 1]]))


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_a_picture_that_is_not_finite_is_not_written_as_a_black_one(tmp_path, value):
    image = np.full((9, 9, 3), 0.5, np.float32)
    image[2, 3, 1] = value
    with pytest.raises(ValueError, match='1 of 243 values of the picture are not finite'):
        to_uint8(image)
    with pytest.raises(ValueError, match='not finite'):
        write_image(tmp_path / 'a.png', image)
    assert not list(tmp_path.iterdir())


def test_fixed_limits_are_the_same_for_every_frame_and_type():
    counts = np.array([[28000, 29500, 31000, 65535, 0]], np.uint16)
    expected = np.float32([[0, 0.5, 1, 1, 0]])
    np.testing.assert_array_equal(to_unit_range(counts, '28000:31000'), expected)
    np.testing.assert_array_equal(to_unit_range(counts.astype(np.float32), '28000:31000'), expected)
    np.testing.assert_allclose(to_unit_range(np.array([[-10.0, 15, 40]]), '-10:40'), [[0, 0.5, 1]])
    np.testing.assert_array_equal(to_unit_range(np.array([[0, 50, 150]], np.uint8), '50:150'), [[0, 0, 1]])
    np.testing.assert_array_equal(to_unit_range(np.array([[0.25, 0.75]]), '0.25:0.75'), [[0, 1]])


@pytest.mark.parametrize(
    ('dtype', 'mode'), [(np.uint8, '28000:31000'), (np.uint16, '70000:80000'), (np.int16, '-90000:-80000')]
)
def test_limits_that_a_type_cannot_reach_are_refused(dtype, mode):
    with pytest.raises(ValueError, match=rf'range {mode} lies outside of .* {np.dtype(dtype)} .*NAME={mode}'):
        to_unit_range(np.ones((4, 4), dtype), mode)


def test_what_users_write_for_a_range():
    for spec in ('ir=28000:31000 vi=full', ['ir=28000:31000', 'vi=full'], dict(ir='28000:31000', vi='full')):
        ranges = parse_range(spec, ('vi', 'ir'))
        assert [range_of(ranges, name) for name in ('vi', 'ir', 'ct')] == ['full', '28000:31000', 'auto']
    assert range_of(parse_range('minmax ir=-5:1e3'), 'vi') == 'minmax'
    for spec, message in (
        ('ir=31000:28000', 'lower limit must be below'),
        ('5:5', 'lower limit'),
        ('0:inf', 'both finite'),
        ('nan:1', 'both finite'),
        ('1:2:3', 'LOW:HIGH or one of'),
        (dict(ir=(1, 2)), 'LOW:HIGH or one of'),
        ('irr=full', "'irr' is no modality; there are vi, ir"),
        ('full agc', 'two ranges for all'),
        (['ir=full', 'ir=agc'], 'two ranges for ir'),
    ):
        with pytest.raises(ValueError, match=message):
            parse_range(spec, ('vi', 'ir'))


def test_a_range_that_a_hot_object_takes_is_noted():
    image = np.random.default_rng(0).integers(29000, 30000, (50, 100)).astype(np.uint16)
    for hot, mode, noted in ((None, 'percentile', 0), (33000, 'percentile', 1), (33000, 'minmax', 1),
                             (None, 'full', 1), (33000, '29000:30000', 0), (33000, 'agc', 0)):  # fmt: skip
        frame, notes = image.copy(), []
        if hot:
            frame[:3, :50] = hot
        to_unit_range(frame, mode, notes)
        assert len(notes) == noted, (hot, mode, notes)
        assert all('is spent on 0 % of the pixels' in note for note in notes)
    for low, high in ((29000, 29200), (29900, 40000), (29100, 30000)):
        notes = []
        to_unit_range(image, f'{low}:{high}', notes)
        outside = float(((image < low) | (image > high)).mean())
        assert notes == [f'{outside:.0%} of the pixels lie outside of {low} to {high} and are clipped'] * (
            outside > 0.5
        )
    notes = []
    to_unit_range(image, '100:200', notes)
    assert 'no pixel lies between 100 and 200 (they are 290' in notes[0]


@pytest.mark.parametrize('dtype', [np.int8, np.uint16, np.int32, np.int64, np.uint64, '>u2', np.float16, np.float64])
def test_whole_numbers_up_to_255_are_8_bit_whatever_their_type(dtype):
    image = np.array([[0, 3, 100]], dtype)
    np.testing.assert_array_equal(to_unit_range(image), np.float32([[0, 3, 100]]) / np.float32(255))
    # asked for, the other modes are what they say
    assert to_unit_range(image, 'minmax')[0, 2] == 1


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
        ('empty.jpg', b''),
        ('end.png', cut('.png', 12)),
        ('end.jpg', cut('.jpg', 2)),
        ('half.bmp', cut('.bmp', 9000)),
        # 4 gigapixels
        ('huge.bmp', (lambda b: b[:18] + b'\x00\x00\x01\x00' * 2 + b[26:])(cut('.bmp', 9000))),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_unreadable_files_are_named(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(
        ValueError,
        match=rf'{name} is (not a readable image \({len(data)} bytes\)|cut off)|{name} says that it has 65536x65536',
    ):
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


def test_a_decoder_that_complains_does_not_clutter_the_screen(tmp_path, capfd):
    for name in ('half.bmp', 'half.tif', 'text.gif'):
        (tmp_path / name).write_bytes(b'GIF89a' + bytes(40) if 'gif' in name else cut(name[-4:], 9000))
        with pytest.raises(ValueError, match=f'{name} is not a readable image'):
            read_image(tmp_path / name)
    assert capfd.readouterr().err == ''


# pictures in memory


def in_memory(image: np.ndarray) -> dict[str, object]:
    """The same picture as programs hand it over."""
    from PIL import Image

    tensor = torch.from_numpy(image)
    kinds = dict(
        array=image,
        integers=image.astype(np.int64),
        floats=image.astype(np.float32),
        rounded=(image / np.float32(255)) * np.float32(255),
        sixteen=image.astype(np.uint16),
        strides=image[::-1, ::-1].copy()[::-1, ::-1],
        fortran=np.asfortranarray(image),
        pil=Image.fromarray(image),
        tensor=tensor,
        bfloat=tensor.to(torch.bfloat16).round(),
        grad=tensor.float().requires_grad_(),
    )
    if image.ndim == 3:
        kinds['channels first'] = tensor.permute(2, 0, 1)
        kinds['alpha'] = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    else:
        kinds['one channel'] = image[..., None]
        kinds['three channels'] = np.dstack([image] * 3)
        kinds['one channel first'] = tensor[None]
        kinds['palette'] = Image.fromarray(image).convert('P')
        kinds['grey and alpha'] = Image.fromarray(image).convert('LA')
    readonly = image.copy()
    readonly.flags.writeable = False
    return kinds | dict(readonly=readonly)


@pytest.mark.parametrize('channels', [3, 0])
def test_every_kind_of_picture_in_memory_is_what_its_file_is(tmp_path, channels):
    image = colours(21, 34, channels)
    from_file, grey = read_image(store(tmp_path / 'a.png', image))
    for name, picture in in_memory(image).items():
        pixels, is_grey = as_rgb(picture)
        pixels = np.round(pixels * 255).astype(np.uint8) if pixels.dtype == np.float32 else pixels
        np.testing.assert_array_equal(pixels, from_file, err_msg=name)
        assert is_grey is grey, name
        assert pixels.flags['C_CONTIGUOUS'], name
        torch.from_numpy(as_rgb(picture)[0])


@pytest.mark.parametrize('dtype', [np.uint16, np.float32, bool])
def test_deep_arrays_are_what_their_files_are(tmp_path, dtype):
    image = colours(channels=0, dtype=np.uint16)
    if dtype is bool:
        image = image > 30000
        path = store(tmp_path / 'a.png', image.astype(np.uint8) * 255)
    else:
        image = image.astype(dtype)
        path = store(tmp_path / 'a.tif', image)
    for mode in ('auto', 'minmax', '500:9000') if dtype is not bool else ('auto', 'full'):
        pixels, grey = as_rgb(image, mode)
        np.testing.assert_array_equal(pixels, read_image(path, mode)[0])
        assert grey


@pytest.mark.parametrize(
    ('picture', 'error', 'message'),
    [
        (colours().astype(np.float32) * 0.7, ValueError, 'may be grey levels or measurements; say which'),
        (np.linspace(-0.02, 1.04, 64).reshape(8, 8), ValueError, 'from -0.02 to 1.04 may be grey'),
        (np.linspace(-1, 1, 64).reshape(8, 8), ValueError, 'from -1 to 1 may be grey'),
        (np.zeros((8, 8, 2), np.uint8), ValueError, r'got \(8, 8, 2\)'),
        (np.zeros((8, 8, 5), np.uint8), ValueError, r'got \(8, 8, 5\)'),
        (np.zeros((3, 8, 9), np.uint8), ValueError, r'got \(3, 8, 9\); the channels come last'),
        (np.zeros((1, 8, 9, 3), np.uint8), ValueError, 'one picture, not a batch'),
        (np.zeros((0, 9), np.uint8), ValueError, r'got \(0, 9\)'),
        (np.zeros(8, np.uint8), ValueError, r'got \(8,\)'),
        (np.zeros((8, 8), complex), TypeError, 'got complex128'),
        (np.full((8, 8), 'a'), TypeError, 'got <U1'),
        ([[1, 2], [3, 4]], TypeError, 'tensor or PIL image, got list'),
        (None, TypeError, 'got NoneType'),
        (np.ma.masked_less(colours(channels=0), 9), ValueError, 'masked pixels'),
        (np.full((8, 8), np.inf), ValueError, '64 of 64 pixels are NaN or infinite'),
    ],
)
def test_what_is_no_clear_picture_is_refused(picture, error, message):
    with pytest.raises(error, match=message):
        as_rgb(picture)


def test_unclear_fractions_pass_with_a_range(tmp_path):
    image = colours(channels=0).astype(np.float32) * np.float32(0.7)
    np.testing.assert_allclose(as_rgb(image, '0:255')[0][..., 0], image / 255, atol=1e-6)
    np.testing.assert_array_equal(as_rgb(image, 'percentile')[0][..., 0], to_unit_range(image, 'percentile'))
    # a float file holds measurements, and says so
    notes = []
    read, _ = read_image(store(tmp_path / 'a.tif', image), notes=notes)
    np.testing.assert_array_equal(read[..., 0], to_unit_range(image, 'percentile'))
    assert 'taken as measurements' in notes[0]


@pytest.mark.parametrize('name', ['INFERNO', 'JET', 'HOT', 'RAINBOW', 'TURBO', 'PLASMA', 'HSV', 'VIRIDIS', 'WINTER'])
@pytest.mark.parametrize('quality', [None, 75])
def test_palettes_are_told_from_grey_and_from_noise(name, quality):
    grey = cv2.GaussianBlur(colours(120, 160, 0), (0, 0), 4)
    grey = cv2.normalize(grey, None, 0, 255, cv2.NORM_MINMAX)
    palette = cv2.applyColorMap(grey, getattr(cv2, f'COLORMAP_{name}'))
    if quality:
        palette = cv2.imdecode(cv2.imencode('.jpg', palette, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    spread, few = colourfulness(palette)
    assert spread > 25
    assert few
    assert colourfulness(np.dstack([grey] * 3))[0] == 0
    assert not colourfulness(colours(120, 160))[1]


@pytest.mark.parametrize(('count', 'each', 'few'), [(22, 4, True), (30, 3, False)])
def test_few_colours_are_a_quarter_of_the_pixels_at_most(count, each, few):
    # 95 % of the pixels are in 21 of 22 cells (88 / 4 = 22), and in 29 of 30 (90 / 4 = 22.5)
    numbers = np.repeat(np.arange(count), each)
    picture = np.stack([numbers % 15 * 16, numbers // 15 * 16, 0 * numbers], -1).astype(np.uint8)[None]
    assert colourfulness(picture)[1] is few


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
        ('a.png', np.zeros((4, 4, 5), np.uint8), r'got \(4, 4, 5\)'),
        ('a.tif', np.zeros((4, 4, 4), np.uint8), 'alpha is kept in .png files; or drop it'),
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


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_a_folder_without_permission_is_said(tmp_path):
    (tmp_path / 'locked').mkdir(mode=0o500)
    for path, folder in ((tmp_path / 'locked/a.png', False), (tmp_path / 'locked/new', True)):
        with pytest.raises(PermissionError, match=r'no permission to write in .*locked'):
            check_output(path, folder)


def test_outputs_that_cannot_be_written_are_refused_before(tmp_path):
    (tmp_path / 'file').write_text('x')
    (tmp_path / 'folder.png').mkdir()
    for path, folder, error, message in (
        ('out', False, ValueError, 'the suffix must be one of .png'),
        ('out.gif', False, ValueError, 'cannot write .*out.gif: the suffix'),
        ('folder.png', False, IsADirectoryError, 'it is a folder'),
        ('file/a.png', False, NotADirectoryError, 'file is a file, not a folder'),
        ('file', True, NotADirectoryError, 'file is a file, not a folder'),
        ('file/deep/er', True, NotADirectoryError, 'file is a file, not a folder'),
    ):
        with pytest.raises(error, match=message):
            check_output(tmp_path / path, folder)
    check_output(tmp_path / 'new/deep/a.PNG')
    check_output(tmp_path / 'new/deep', folder=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['file', 'folder.png']


def test_an_output_that_is_an_input_is_refused_under_any_name(tmp_path, monkeypatch):
    source = touch(tmp_path / 'vi', 'a.png', 'b.png') / 'a.png'
    (tmp_path / 'soft.png').symlink_to(source)
    (tmp_path / 'hard.png').hardlink_to(source)
    (tmp_path / 'linked').symlink_to(tmp_path / 'vi')
    monkeypatch.chdir(tmp_path)
    for path in (source, 'vi/a.png', 'soft.png', 'hard.png', 'linked/a.png', 'vi/../vi/a.png', './linked/../soft.png'):
        with pytest.raises(ValueError, match=r'is the input .*a\.png: choose another place, nothing was written'):
            refuse_overwrite([tmp_path / 'new.png', path], ['vi/b.png', source])
    for folder in ('linked', 'vi/.', tmp_path / 'vi'):
        with pytest.raises(ValueError, match='is the input vi'):
            refuse_overwrite([folder], ['gone', 'vi'])
    refuse_overwrite(['new.png', 'vi/b.png', 'vi/c.png'], [source])


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
    pairs = pair_files(dict(vi=vi, ir=ir)).pairs
    assert list(pairs) == ['a', 'b', 'd/c']
    assert pairs['b'] == dict(vi=vi / 'b.png', ir=ir / 'b.bmp')


def test_pairing_lists_every_orphan_of_every_role(tmp_path):
    vi = touch(tmp_path / 'vi', 'a.png', *(f'v{i:02}.png' for i in range(12)))
    ir = touch(tmp_path / 'ir', 'a.png', 'i1.png', 'i2.png')
    with pytest.raises(FileNotFoundError) as caught:
        pair_files(dict(vi=vi, ir=ir))
    message = str(caught.value)
    assert f'vi ({vi}) has no file for 2 of 15 stems: i1, i2' in message
    assert f'ir ({ir}) has no file for 12 of 15 stems: v00, v01' in message
    assert 'v09 and 2 more\n' in message


@pytest.mark.parametrize(
    ('vi', 'ir', 'advice'),
    [
        (('001_vis', '002_vis'), ('001_ir', '002_ir'), r'00._vis and 00._ir look like a pair: rename'),
        (('VIS0012', 'VIS0013'), ('IR0012', 'IR0013'), r'VIS001(.) and IR001\1 look like a pair: rename'),
        (('Scene1',), ('scene1',), 'Scene1 and scene1 differ in upper and lower case'),
        (('night/A1', 'x'), ('night/a1', 'x'), 'night/A1 and night/a1 differ in upper'),
        (('apple',), ('zoo',), None),
    ],
)
def test_names_that_cannot_be_paired_come_with_advice(tmp_path, vi, ir, advice):
    folders = dict(
        vi=touch(tmp_path / 'vi', *(f'{n}.png' for n in vi)), ir=touch(tmp_path / 'ir', *(f'{n}.PNG' for n in ir))
    )
    with pytest.raises(FileNotFoundError, match=advice or 'some have no partner') as caught:
        pair_files(folders)
    assert bool(advice) is any(words in str(caught.value) for words in ('look like', 'upper and lower'))
    assert naming_advice(dict(vi=list_images(folders['vi']))) == ''


def test_one_folder_for_two_modalities_is_refused(tmp_path):
    folder = touch(tmp_path / 'lytro', 'lytro-01-A.jpg', 'lytro-01-B.jpg')
    (tmp_path / 'link').symlink_to(folder)
    for other in (folder, str(folder) + '/', tmp_path / 'link', tmp_path / 'lytro/../lytro'):
        with pytest.raises(ValueError, match=r'near and far are the same folder, .*; sort it into one folder for each'):
            pair_files(dict(near=folder, far=other))
    with pytest.raises(ValueError, match='vi and ir are the same file'):
        refuse_same(dict(vi=folder / 'lytro-01-A.jpg', ir=str(folder / 'lytro-01-A.jpg')))
    refuse_same(dict(vi='gone', ir='gone', ct=np.zeros(3)))


def test_optional_roles_may_lack_files_and_add_none(tmp_path):
    vi = touch(tmp_path / 'vi', 'a.png', 'b.png')
    label = touch(tmp_path / 'label', 'b.png', 'z.png')
    pairs = pair_files(dict(vi=vi, label=label), optional=['label']).pairs
    assert pairs == dict(a=dict(vi=vi / 'a.png'), b=dict(vi=vi / 'b.png', label=label / 'b.png'))


def test_rounding_beyond_the_unit_range_is_no_measurement(tmp_path):
    picture = np.random.default_rng(0).random((24, 32)).astype(np.float32)
    picture[0, :2] = 0, 1
    beyond = picture.copy()
    beyond[0, :2] = -1e-7, np.nextafter(np.float32(1), np.float32(2))
    for mode in ('auto', 'percentile', 'minmax'):
        np.testing.assert_allclose(to_unit_range(beyond, mode), picture, atol=2e-7)
        assert to_unit_range(beyond, mode).max() <= 1
    np.testing.assert_allclose(as_rgb(beyond)[0][..., 0], picture, atol=2e-7)
    assert shared_range([picture, beyond]) is None
    # farther out it may be a measurement
    beyond[0, 1] = 1.01
    with pytest.raises(ValueError, match='may be grey levels or measurements'):
        as_rgb(beyond)


def test_limits_far_beyond_a_type_are_noted():
    notes: list[str] = []
    to_unit_range(np.full((8, 8), 200, np.uint8), '0:65535', notes)
    assert any('far wider than 0 to 255' in note for note in notes)
    notes.clear()
    to_unit_range(np.full((8, 8), 200, np.uint8), '0:300', notes)
    to_unit_range(np.full((8, 8), 200, np.uint16), '0:65535', notes)
    assert not notes


def test_accents_stored_in_two_ways_are_one_name(tmp_path):
    for role, form in (('vi', 'NFC'), ('ir', 'NFD')):
        write_image(tmp_path / role / f'{unicodedata.normalize(form, "café")}.png', np.zeros((8, 8), np.uint8))
    assert len(pair_files(dict(vi=tmp_path / 'vi', ir=tmp_path / 'ir')).pairs) == 1
    patterns = dict(vi=unicodedata.normalize('NFD', '{id}é'), ir=unicodedata.normalize('NFC', '{id}é'))
    assert list(pair_files(dict(vi=tmp_path / 'vi', ir=tmp_path / 'ir'), patterns=patterns).pairs) == ['caf']


def test_the_umask_is_read_without_being_changed(monkeypatch):
    wanted = os.umask(0o027)
    os.umask(0o027)
    try:
        monkeypatch.setattr(os, 'umask', lambda mask: pytest.fail('another thread would see it'))
        assert umask() == 0o027
    finally:
        monkeypatch.undo()
        os.umask(wanted)
