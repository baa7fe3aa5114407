"""Alignment of pairs against closed-form truth, what must be refused, files, sizes; and real pairs moved by a warp."""

import importlib.util
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from lurefusion.runtime.alignment import Alignment, corner_distance, resize_pair
from lurefusion.runtime.register import NotAligned, estimate


def scene(width=320, height=240, transform=None, seed=0, infrared=False):
    """A picture of 60 discs and bars drawn at any transform of the coordinates, without resampling any pixels.

    As infrared: the order of the grey levels is another, a third of the shapes is cold as the ground, edges are soft.
    """
    generator = np.random.default_rng(seed)
    matrix = np.eye(3) if transform is None else np.linalg.inv(transform)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    u, v, w = (row[0] * x + row[1] * y + row[2] for row in matrix)
    u, v = (u / w).astype(np.float32), (v / w).astype(np.float32)
    image = np.full((height, width), 0.5, np.float32)
    for number in range(60):
        cx, cy = generator.uniform(-30, 350), generator.uniform(-30, 270)
        turn, a, b = generator.uniform(0, math.pi), generator.uniform(6, 30), generator.uniform(6, 30)
        level, other = generator.uniform(0, 1, 2)
        p, q = (
            (u - cx) * math.cos(turn) + (v - cy) * math.sin(turn),
            (v - cy) * math.cos(turn) - (u - cx) * math.sin(turn),
        )
        if number % 2:
            outside = np.maximum(np.abs(p) - a, np.abs(q) - b)
        else:
            outside = np.hypot(p, q) - a
        cover = np.clip(0.5 - outside / (2 if infrared else 1), 0, 1)
        if not (infrared and number % 3 == 0):
            image += cover * ((other if infrared else level) - image)
    return image.astype(np.float32)


def similarity(scale, degrees, x, y, centre=(159.5, 119.5)):
    """(3, 3) about the centre of the picture, then a shift."""
    matrix = np.eye(3)
    matrix[:2] = cv2.getRotationMatrix2D(centre, degrees, scale)
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]]) @ matrix


VISIBLE = scene()
SHIFT = np.array([[1, 0, 13.4], [0, 1, -9.7], [0, 0, 1]])
SHEARED = np.array([[1.03, 0.015, -8], [0.01, 0.99, 6], [0, 0, 1]])
TILTED = np.array([[1.02, 0.01, -5], [-0.01, 1.03, 3], [4e-5, -5e-5, 1]])


@pytest.mark.parametrize(
    ('kind', 'truth'),
    [
        ('translation', SHIFT),
        ('affine', similarity(1.08, 4, 16, -12)),
        ('affine', similarity(0.92, -4, -10, 14)),
        ('affine', SHEARED),
        ('homography', TILTED),
    ],
)
def test_finds_the_transform(kind, truth):
    found = estimate(VISIBLE, scene(transform=truth, infrared=True), kind)
    assert corner_distance(found.transform, truth, (320, 240)) < 1
    assert found.residual < 1.6
    assert found.confidence > 0.95
    assert (found.kind, found.fixed_size, found.moving_size) == (kind, (320, 240), (320, 240))


@pytest.mark.parametrize(
    'change',
    [lambda i: 1 - i, lambda i: i**2, lambda i: i**0.5, lambda i: 0.4 + 0.05 * (1 - i)],
    ids=['inverted', 'darker', 'brighter', 'flat'],
)
def test_levels_do_not_matter(change):
    truth = similarity(1.05, -3, 9, 11)
    moving = change(scene(transform=truth, infrared=True))
    visible = np.repeat((255 * VISIBLE).astype(np.uint8)[..., None], 3, 2)
    found = estimate(visible, (65535 * moving).astype(np.uint16))
    assert corner_distance(found.transform, truth, (320, 240)) < 1


def test_pictures_of_unequal_size():
    truth = similarity(1.03, 2, 5, -7)
    small = cv2.resize(scene(transform=truth, infrared=True), (200, 150), interpolation=cv2.INTER_AREA)
    found = estimate(VISIBLE, small)
    # centres of pixels: x of the small picture is (x + 0.5) * 200 / 320 - 0.5
    to_small = np.array([[0.625, 0, -0.1875], [0, 0.625, -0.1875], [0, 0, 1]])
    assert corner_distance(found.transform, to_small @ truth, (320, 240)) < 0.6
    scaled = found.scaled((320, 240), (320, 240))
    assert corner_distance(scaled.transform, truth, (320, 240)) < 1
    # 16:10 of a 4:3 field: the same width, less height
    cropped = estimate(VISIBLE, scene(transform=truth, infrared=True)[20:-20])
    assert corner_distance(cropped.transform, np.array([[1, 0, 0], [0, 1, -20], [0, 0, 1]]) @ truth, (320, 240)) < 1


def stripes(width=320, height=240, shift=0.0):
    x = np.arange(width) - shift
    return np.tile(0.5 + 0.3 * np.sin(x / 9 + 3 * np.sin(x / 40)), (height, 1)).astype(np.float32)


def grid(shift=0.0):
    y, x = np.mgrid[:240, :320]
    return (0.5 + 0.5 * np.sign(np.sin((x - shift) * math.pi / 8) * np.sin(y * math.pi / 8))).astype(np.float32)


@pytest.mark.parametrize(
    ('fixed', 'moving', 'kind'),
    [
        (VISIBLE, scene(seed=1, infrared=True), 'affine'),
        (VISIBLE, np.random.default_rng(0).random((240, 320)), 'affine'),
        (VISIBLE, np.random.default_rng(0).random((240, 320)), 'translation'),
        (VISIBLE, np.full((240, 320), 0.3), 'affine'),
        (np.zeros((240, 320, 3), np.uint8), VISIBLE, 'affine'),
        (stripes(), stripes(shift=5), 'translation'),
        (grid(), grid(3), 'translation'),
        (VISIBLE, scene(transform=similarity(1, 0, 120, 0), infrared=True), 'translation'),
    ],
    ids=['another scene', 'noise', 'noise shifted', 'one level', 'black', 'stripes', 'repeats', 'too far'],
)
def test_refuses(fixed, moving, kind):
    with pytest.raises(NotAligned, match='not aligned: '):
        estimate(fixed, moving, kind)


@pytest.mark.parametrize(
    ('changes', 'error', 'message'),
    [
        (dict(kind='rigid'), ValueError, "kind must be one of translation, affine, homography; got 'rigid'"),
        (dict(max_shift=0.4), ValueError, r'max_shift: expected 0 to 0\.25, got 0\.4'),
        (dict(fixed=VISIBLE[:40]), ValueError, r'fixed: expected .* at least 64 a side, got \(40, 320\)'),
        (dict(moving=VISIBLE[:64].repeat(2, 1)), ValueError, r'moving: strips longer than 5 times .* \(64, 640\)'),
        (dict(moving=VISIBLE * np.nan), ValueError, 'moving: some pixels are not finite'),
        (dict(moving=VISIBLE.astype(int)), TypeError, 'moving: expected an array of uint8, uint16 or float, got int64'),
        (dict(moving=np.stack([VISIBLE] * 4)), ValueError, 'moving: expected'),
        (
            dict(moving=VISIBLE[20:-20], kind='translation'),
            ValueError,
            'ratios differ: the fixed picture 320x240',
        ),
    ],
)
def test_bad_input(changes, error, message):
    with pytest.raises(error, match=message) as caught:
        estimate(**{**dict(fixed=VISIBLE, moving=VISIBLE), **changes})
    assert not isinstance(caught.value, NotAligned)


def alignment(transform=SHIFT, **changes):
    return Alignment(
        **{
            **dict(kind='affine', fixed_size=(320, 240), moving_size=(320, 240), residual=0.7, confidence=0.9),
            **changes,
        },
        transform=transform,
    )


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
def test_apply_shifts_whole_pixels_exactly(dtype):
    moving = (VISIBLE * (1 if dtype == np.float32 else np.iinfo(dtype).max)).astype(dtype)
    warped, seen = alignment(np.array([[1, 0, 20], [0, 1, -7], [0, 0, 1]])).apply(np.stack([moving] * 3, -1))
    assert warped.dtype == dtype
    assert warped.shape == (240, 320, 3)
    np.testing.assert_array_equal(warped[7:, :300, 1], moving[:-7, 20:])
    expected = np.zeros((240, 320), bool)
    expected[7:, :300] = True
    np.testing.assert_array_equal(seen, expected)


def test_apply_undoes_the_warp():
    moving = scene(transform=similarity(1.05, -3, 9, 11))
    warped, seen = alignment(similarity(1.05, -3, 9, 11)).apply(moving)
    assert 0.6 < seen.mean() < 1
    assert np.abs(warped - VISIBLE)[seen].mean() < 0.01
    assert np.abs(moving - VISIBLE).mean() > 0.05


def test_apply_smaller_does_not_alias():
    """Stripes of two pixels become grey, as in an area average."""
    moving = np.tile(np.array([0, 1], np.float32), (480, 320))
    half = alignment(np.array([[2, 0, 0.4], [0, 2, 0.5], [0, 0, 1]]), moving_size=(640, 480))
    assert np.abs(half.apply(moving)[0] - 0.5).max() < 0.2


def test_apply_names_the_size():
    with pytest.raises(ValueError, match=r'for moving pictures of 320x240, got 160x120; scaled\(fixed_size'):
        alignment().apply(np.zeros((120, 160)))


def test_scaled():
    twice = alignment(residual=0.5).scaled((640, 480), (160, 120))
    # the outer corner (-0.5, -0.5) of the fixed picture lies 13.4, -9.7 pixels of 320 from that of the moving one
    np.testing.assert_allclose(twice.transform @ [-0.5, -0.5, 1], [13.4 / 2 - 0.5, -9.7 / 2 - 0.5, 1])
    np.testing.assert_allclose(twice.transform[:2, :2], np.eye(2) / 4)
    assert twice.residual == 1
    with pytest.raises(ValueError, match=r'aspect ratios differ: the fixed pictures of the alignment 320x240.*320x256'):
        alignment().scaled((320, 256), (320, 240))


def test_file(tmp_path):
    path = tmp_path / 'transforms' / 'rig.json'
    alignment(TILTED, kind='homography').save(path)
    again = Alignment.load(path)
    np.testing.assert_array_equal(again.transform, TILTED)
    assert (again.kind, again.fixed_size, again.residual, again.confidence) == ('homography', (320, 240), 0.7, 0.9)
    assert [p.name for p in path.parent.iterdir()] == ['rig.json']


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda c: '{', 'is no alignment that lurefusion has written'),
        (lambda c: '[1, 2]', 'it does not say "format"'),
        (lambda c: json.dumps({**c, 'format': 'other'}), 'it does not say "format"'),
        (lambda c: json.dumps({k: v for k, v in c.items() if k != 'residual'}), 'residual missing'),
        (lambda c: json.dumps({**c, 'transform': [[1, 0, 0]] * 3}), 'can be inverted'),
        (lambda c: json.dumps({**c, 'transform': 'unit'}), 'is no alignment'),
        (lambda c: json.dumps({**c, 'kind': 'rigid'}), 'kind must be one of'),
        (lambda c: json.dumps({**c, 'fixed_size': [320]}), 'is no alignment'),
        (lambda c: json.dumps({**c, 'moving_size': 3}), 'is no alignment'),
    ],
)
def test_foreign_file(tmp_path, change, message):
    path = tmp_path / 'a.json'
    alignment().save(path)
    path.write_text(change(json.loads(path.read_text())))
    with pytest.raises(ValueError, match=message) as error:
        Alignment.load(path)
    assert str(path) in str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no such file of an alignment: .*none\.json'):
        Alignment.load(tmp_path / 'none.json')


def test_alignments_are_frozen():
    with pytest.raises(ValueError, match='read-only'):
        alignment().transform[0, 0] = 2


@pytest.mark.parametrize(('to', 'size'), [('vi', (48, 64)), ('ir', (24, 32))])
def test_resize_pair(to, size):
    generator = np.random.default_rng(0)
    vi = generator.integers(0, 256, (48, 64, 3), np.uint8)
    ir = generator.random((24, 32)).astype(np.float32)
    small, large = vi.reshape(24, 2, 32, 2, 3).mean((1, 3)), ir
    vi_out, ir_out = resize_pair(dict(vi=vi, ir=ir), to).values()
    assert vi_out.shape == (*size, 3)
    assert ir_out.shape == size
    assert (vi_out.dtype, ir_out.dtype) == (np.uint8, np.float32)
    if to == 'ir':
        assert ir_out is ir
        assert np.abs(vi_out - small).max() <= 1  # the area average
    else:
        assert vi_out is vi
        assert large.min() <= ir_out.min() < ir_out.max() <= large.max()


def test_resize_pair_refuses():
    with pytest.raises(ValueError, match="resize must be one of vi, ir; got 'both'"):
        resize_pair(dict(vi=np.zeros((4, 4)), ir=np.zeros((4, 4))), 'both')
    with pytest.raises(
        ValueError, match=r'aspect ratios differ: the picture vi 640x480, the picture ir 640x512.*register'
    ):
        resize_pair(dict(vi=np.zeros((480, 640)), ir=np.zeros((512, 640))), 'vi')
    # a row more or less is rounding
    assert resize_pair(dict(vi=np.zeros((480, 640)), ir=np.zeros((257, 341))), 'vi')['ir'].shape == (480, 640)


@pytest.mark.real_data
@pytest.mark.parametrize('name', ['RoadScene/val', 'MSRS/test_dev day'])
def test_real_pairs(data_root, name):
    """Eight pairs; benchmarks/registration.py measures all of them."""
    path = Path(__file__).resolve().parents[2] / 'benchmarks' / 'registration.py'
    spec = importlib.util.spec_from_file_location('registration', path)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    row = benchmark.measure(data_root, name, 'affine', 8, 1)
    assert row['accepted, %'] >= 75
    assert row['median (own)'] < 1.5
    assert row['median (given)'] < 8
    assert row['strangers, %'] == 0
