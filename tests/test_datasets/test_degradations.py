import cv2
import numpy as np
import pytest
from scipy import fft, ndimage

from lurefusion.datasets.degradations import (
    Blur,
    Defocus,
    Degradation,
    Haze,
    Identity,
    LowContrast,
    LowLight,
    LowResolution,
    Noise,
    OverExposure,
    Rain,
    StripeNoise,
    ramp_depth,
)
from lurefusion.io.ranges import to_uint8
from lurefusion.registry import DEGRADATIONS

ALL = (Identity, LowContrast, LowResolution, Haze, OverExposure, LowLight, Defocus, Noise, StripeNoise, Blur, Rain)


def picture(height=37, width=50, channels=3, seed=0):
    """A smooth scene with texture, on the 8-bit grid."""
    rng = np.random.default_rng(seed)
    shape = (height, width, channels) if channels else (height, width)
    image = ndimage.gaussian_filter(rng.random(shape), (6, 6, 0)[: len(shape)])
    image = (image - image.min()) / np.ptp(image) * 0.8 + 0.1 + 0.1 * rng.uniform(-1, 1, shape)
    return to_uint8(image).astype(np.float32) / 255


def on_grid(image):
    return to_uint8(image).astype(np.float32) / 255


def rng(seed=0):
    return np.random.default_rng(seed)


def test_registry_holds_one_member_per_task():
    tasks = {DEGRADATIONS.get(name).task for name in DEGRADATIONS.known()}
    assert tasks >= {'pd', 'lc', 'sr', 'hz', 'oe', 'll', 'ns', 'st', 'bl', 'rn'}
    assert isinstance(DEGRADATIONS.build(dict(type='Haze', beta=1.5)), Haze)


@pytest.mark.parametrize('member', ALL)
@pytest.mark.parametrize('shape', [(37, 50, 3), (37, 50, 0), (8, 8, 3), (1, 3, 3)])
def test_output_is_on_the_8_bit_grid_and_the_input_untouched(member, shape):
    image = picture(*shape)
    before = image.copy()
    for seed in range(3):
        degraded, parameters = member()(image, rng(seed))
        assert degraded.shape == image.shape
        assert degraded.dtype == np.float32
        assert 0 <= degraded.min() <= degraded.max() <= 1
        np.testing.assert_allclose(degraded * 255, np.round(degraded * 255), atol=1e-4)
        assert not np.shares_memory(degraded, image)
        assert all(type(value) in (int, float) for value in parameters.values())
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize('member', ALL)
def test_seed_decides_everything(member):
    image = picture()
    first, again, *others = (member()(image, rng(seed)) for seed in (4, 4, *range(5, 12)))
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1] == again[1]
    if member is not Identity:
        assert any(first[1] != other[1] for other in others)


@pytest.mark.parametrize('member', [LowContrast, LowLight, Noise])
def test_grey_stays_grey(member):
    image = np.repeat(picture(channels=0)[..., None], 3, axis=2)
    options = {LowContrast: dict(noise=0.05), LowLight: dict(read=0.05), Noise: {}}
    degraded, _ = member(**options[member])(image, rng())
    np.testing.assert_array_equal(degraded[..., 0], degraded[..., 2])
    colour, _ = member()(picture(), rng())
    assert (colour[..., 0] != colour[..., 2]).any()


def test_identity():
    image = picture()
    degraded, parameters = Identity()(image, rng())
    np.testing.assert_array_equal(degraded, image)
    assert parameters == {}


def test_low_contrast_formula_from_the_recorded_parameters():
    image = picture(channels=0)
    degraded, p = LowContrast(noise=0.0)(image, rng(1))
    expected = on_grid(p['gain'] * (image - image.mean()) + p['level'])
    np.testing.assert_allclose(degraded, expected, atol=1.01 / 255)
    assert np.mean(degraded != expected) < 0.01
    assert 0.2 <= p['gain'] <= 0.6
    assert 0.3 <= p['level'] <= 0.6
    noisy, q = LowContrast(noise=0.01)(image, rng(1))
    residual = noisy - (q['gain'] * (image - image.mean()) + q['level'])
    # noise of 0.01 and the variance of rounding to 1/255
    assert residual.std() == pytest.approx(np.hypot(0.01, 1 / 255 / np.sqrt(12)), rel=0.1)


def test_over_exposure_closed_form():
    image = picture()
    degraded, p = OverExposure(stops=1.5)(image, rng())
    assert p == {'stops': 1.5, 'gamma': 2.2}
    np.testing.assert_array_equal(degraded, on_grid(image * np.float32(2 ** (1.5 / 2.2))))
    assert degraded[image > 0.8].min() == 1
    np.testing.assert_array_equal(OverExposure(stops=0)(image, rng())[0], image)


def test_low_light_formula_from_the_recorded_parameters():
    image = picture()
    degraded, p = LowLight(shot=0, read=0)(image, rng(3))
    np.testing.assert_array_equal(degraded, on_grid(p['gain'] * image.astype(np.float64) ** p['gamma']))
    assert degraded.mean() < 0.5 * image.mean()
    flat = np.full((200, 200, 3), 0.8, np.float32)
    noisy, q = LowLight(gain=0.5, gamma=1.0, shot=8e-4, read=0.02)(flat, rng())
    assert noisy.mean() == pytest.approx(0.4, abs=1e-3)
    assert noisy.std() == pytest.approx(np.sqrt(8e-4 * 0.4 + 0.02**2), rel=0.03)
    assert q['shot'] == 8e-4


def test_haze_closed_form_with_given_depth():
    image, depth = picture(), picture(channels=0, seed=7)
    degraded, p = Haze()(image, rng(2), depth)
    assert set(p) == {'beta', 'airlight'}
    transmission = np.exp(-p['beta'] * depth.astype(np.float64))[..., None]
    np.testing.assert_allclose(
        degraded, image * transmission + p['airlight'] * (1 - transmission), atol=0.5 / 255 + 1e-6
    )
    clear, _ = Haze()(image, rng(2), np.zeros_like(depth))
    np.testing.assert_array_equal(clear, image)


def test_haze_without_depth_thickens_upwards():
    image = np.zeros((64, 48, 3), np.float32)
    degraded, p = Haze(relief=0.0)(image, rng(2))
    depth = ((63 - np.arange(64)) / 64) ** p['ramp']
    expected = p['airlight'] * (1 - np.exp(-p['beta'] * depth))
    np.testing.assert_allclose(degraded[:, 0, 0], expected, atol=0.5 / 255 + 1e-5)
    assert (np.diff(degraded[:, 0, 0]) <= 0).all()
    hazy, q = Haze(relief=0.15)(image, rng(2))
    field = ramp_depth(64, 48, q['ramp'], q['relief'], q['relief_seed'])
    np.testing.assert_allclose(hazy[..., 1], q['airlight'] * (1 - np.exp(-q['beta'] * field)), atol=0.5 / 255 + 1e-5)
    assert field.std(axis=1).max() > 0.01
    assert 0 <= field.min() <= field.max() <= 1


def test_haze_with_a_camera_behind_it():
    image, depth = picture(64, 80), picture(64, 80, 0, seed=7)
    plain, p = Haze(beta=1.5, airlight=0.8)(image, rng(2), depth)
    noisy, q = Haze(beta=1.5, airlight=0.8, noise=0.02)(image, rng(2), depth)
    assert set(p) == {'beta', 'airlight'}
    expected = image * np.exp(-1.5 * depth)[..., None] + 0.8 * (1 - np.exp(-1.5 * depth))[..., None]
    drawn = np.random.default_rng(q['noise_seed']).standard_normal(image.shape, dtype=np.float32)
    np.testing.assert_allclose(noisy, on_grid(expected + 0.02 * drawn), atol=1.01 / 255)
    errors = []
    for quality in (95, 70):
        stored, r = Haze(beta=1.5, airlight=0.8, jpeg=(quality, quality))(image, rng(2), depth)
        assert r['jpeg'] == quality
        errors.append(np.abs(stored - plain).mean())
    assert 0 < errors[0] < errors[1] < 0.05
    grey, _ = Haze(jpeg=(80, 80))(image[..., 0].copy(), rng(2), depth)
    assert grey.shape == depth.shape


def test_noise_formula_and_deviation():
    # coloured: equal channels get equal noise
    flat = np.broadcast_to(np.float32([0.4, 0.5, 0.6]), (200, 200, 3)).copy()
    degraded, p = Noise(sigma=0.05, shot=4e-3)(flat, rng())
    drawn = np.random.default_rng(p['noise_seed']).standard_normal(flat.shape, dtype=np.float32)
    deviation = np.sqrt(0.05**2 + 4e-3 * flat.astype(float))
    np.testing.assert_allclose(degraded, on_grid(flat + deviation * drawn), atol=1.01 / 255)
    assert degraded.std((0, 1)) == pytest.approx(deviation[0, 0], rel=0.03)
    np.testing.assert_array_equal(Noise(sigma=0, shot=0)(flat, rng())[0], on_grid(flat))


@pytest.mark.parametrize('lines', ['columns', 'rows', 'random'])
@pytest.mark.parametrize('channels', [0, 3])
def test_stripes_are_one_gain_and_offset_a_line(lines, channels):
    image = picture(64, 80, channels)
    seen = set()
    for seed in range(6):
        degraded, p = StripeNoise(offset=0.05, gain=0.1, lines=lines)(image, rng(seed))
        seen.add(p['rows'])
        # every line by itself: an affine map of what was there
        turned = [part if p['rows'] else np.swapaxes(part, 0, 1) for part in (image, degraded)]
        gains, offsets = [], []
        for before, after in zip(*turned, strict=True):
            inside = (after > 0) & (after < 1)
            slope, offset = np.polyfit(before[inside], after[inside], 1)
            assert np.abs(after - slope * before - offset)[inside].max() < 1.5 / 255
            gains.append(slope)
            offsets.append(offset)
        assert np.std(gains) == pytest.approx(0.1, rel=0.4)
        assert np.std(offsets) == pytest.approx(0.05, rel=0.4)
    assert seen == dict(columns={0}, rows={1}, random={0, 1})[lines]


def test_blur_equals_scipy_and_opencv():
    image = picture(40, 50)
    degraded, p = Blur(sigma=1.5, kind='gaussian')(image, rng())
    assert p == {'sigma': 1.5}
    expected = ndimage.gaussian_filter(image.astype(float), (1.5, 1.5, 0), mode='mirror', truncate=4)
    np.testing.assert_allclose(degraded, expected, atol=1.5 / 255)
    degraded, p = Blur(length=(9, 9), kind='motion')(image, rng(1))
    assert p['length'] == 9
    assert 0 <= p['angle'] <= 180


@pytest.mark.parametrize(('angle', 'along'), [(0.0, 0), (90.0, 1), (180.0, 0)])
def test_motion_smears_along_its_direction(angle, along, monkeypatch):
    dot = np.zeros((31, 31), np.float32)
    dot[15, 15] = 1
    monkeypatch.setattr('lurefusion.datasets.degradations.blur.draw', lambda rng, ends: angle)
    degraded, _ = Blur(length=(9, 9), kind='motion')(dot, rng())
    profile = degraded.sum(1 - along)
    np.testing.assert_allclose(profile[11:20], 28 / 255, atol=1.1 / 255)
    assert profile[:11].max() == profile[20:].max() == 0
    assert (degraded.sum(along) > 0).sum() == 1


def test_rain_is_bright_streaks_before_a_veil():
    image = np.full((120, 160, 3), 0.3, np.float32)
    options = dict(density=0.01, length=(15, 15), angle=0.0, opacity=0.5, veil=0.1, light=0.9)
    degraded, p = Rain(**options)(image, rng(3))
    veiled = 0.9 * 0.3 + 0.1 * 0.9
    assert degraded.min() == pytest.approx(veiled, abs=1 / 255)
    # the strongest possible streak
    assert degraded.max() == pytest.approx(0.5 * veiled + 0.5 * 0.9, abs=1 / 255)
    wet = degraded[..., 0] > veiled + 1 / 255
    assert 0.05 < wet.mean() < 0.2
    # streaks stand upright: much longer than wide
    down, across = (np.mean(wet[1:] & wet[:-1]), np.mean(wet[:, 1:] & wet[:, :-1]))
    assert down > 3 * across
    again, _ = Rain(**dict(options, density=0.0, veil=0.0))(image, rng(3))
    np.testing.assert_array_equal(again, on_grid(image))
    assert set(p) == {*options, 'drop_seed'}


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (lambda: StripeNoise(lines='diagonal'), "lines must be one of columns, rows, random; got 'diagonal'"),
        (lambda: Blur(kind='box'), "kind must be one of gaussian, motion, random; got 'box'"),
        (lambda: Blur(length=(9, 5)), 'length must be ascending'),
        (lambda: Noise(sigma=-0.1), 'sigma must be ascending and within'),
        (lambda: Rain(opacity=1.5), r'opacity must be ascending and within \[0, 1\]'),
        (lambda: Haze(jpeg=(0, 90)), r'jpeg must be ascending and within \[1, 100\]'),
    ],
)
def test_ranges_of_the_new_ones_are_checked(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def high_frequencies(image, scale):
    """Energy above the Nyquist frequency of the reduced image, in the cosine transform (no wrap-around)."""
    spectrum = fft.dctn(image, norm='ortho') ** 2
    fy, fx = np.meshgrid(*(np.arange(n) / (2 * n) for n in image.shape), indexing='ij')
    return spectrum[np.maximum(fy, fx) > 0.5 / scale].sum()


@pytest.mark.parametrize('down', ['area', 'cubic'])
@pytest.mark.parametrize('scale', [4, 8])
def test_low_resolution_removes_high_frequencies_and_keeps_the_mean(down, scale):
    image = picture(128, 96, 0)
    degraded, p = LowResolution(scales=(scale,), down=down)(image, rng())
    assert p['scale'] == scale
    assert high_frequencies(degraded, scale) < 0.1 * high_frequencies(image, scale)
    assert degraded.mean() == pytest.approx(image.mean(), abs=2e-3)


def test_low_resolution_against_block_means():
    image = picture(32, 48, 3)
    degraded, _ = LowResolution(scales=(4,), down='area')(image, rng())
    blocks = on_grid(image.reshape(8, 4, 12, 4, 3).mean(axis=(1, 3)))
    expected = on_grid(cv2.resize(blocks, (48, 32), interpolation=cv2.INTER_CUBIC))
    np.testing.assert_allclose(degraded, expected, atol=1.01 / 255)


def test_low_resolution_does_not_alias():
    stripes = np.zeros((64, 64), np.float32)
    stripes[:, ::2] = 1
    for down in ('area', 'cubic'):
        degraded, _ = LowResolution(scales=(4,), down=down)(stripes, rng())
        assert np.ptp(degraded[8:-8, 8:-8]) < 0.03


@pytest.mark.parametrize('size', [(41, 53), (7, 9), (3, 2)])
def test_low_resolution_takes_any_size(size):
    image = np.full((*size, 3), 100 / 255, np.float32)
    for down in ('area', 'cubic'):
        degraded, _ = LowResolution(down=down)(image, rng())
        np.testing.assert_allclose(degraded, image, atol=1e-6)


def test_defocus_blurs_one_side_and_two_make_a_pair():
    image = picture(64, 48)
    depth = np.repeat(np.linspace(1, 0, 64, dtype=np.float32)[:, None], 48, 1)
    far, near = (Defocus(side, sigma=2.0)(image, rng(), depth)[0] for side in ('far', 'near'))
    blurred = on_grid(ndimage.gaussian_filter(image, (2, 2, 0), mode='mirror', truncate=4))
    top, bottom = slice(8, 28), slice(36, 56)
    for degraded, sharp, soft in ((far, bottom, top), (near, top, bottom)):
        np.testing.assert_array_equal(degraded[sharp], image[sharp])
        np.testing.assert_allclose(degraded[soft, 8:-8], blurred[soft, 8:-8], atol=2.5 / 255)
        assert np.abs(degraded[soft] - image[soft]).mean() > 5 / 255
    made, parameters = Defocus()(image, rng())
    assert {'distance', 'sigma', 'ramp', 'relief', 'relief_seed'} == set(parameters)
    assert 0 < np.abs(made - image).mean()
    with pytest.raises(ValueError, match="side must be one of far, near; got 'left'"):
        Defocus('left')


def test_low_resolution_draws_its_options():
    image = picture(16, 16, 0)
    drawn = [LowResolution(blur=(0.5, 1.0), down='random')(image, rng(seed))[1] for seed in range(30)]
    assert {p['scale'] for p in drawn} == {4, 8}
    assert {p['area'] for p in drawn} == {0, 1}
    assert all(0.5 <= p['blur'] <= 1 for p in drawn)


@pytest.mark.parametrize(
    ('image', 'message'),
    [
        (np.zeros((4, 4), np.uint8), 'must be float32'),
        (np.zeros((4, 4), np.float64), 'got float64'),
        (np.full((4, 4), np.nan, np.float32), 'NaN'),
        (np.full((4, 4), 1.5, np.float32), 'from 1.5 to 1.5'),
        (np.full((4, 4), -0.1, np.float32), r'must lie in \[0, 1\]'),
        (np.zeros((3, 4, 4), np.float32), r'\(H, W, 3\) or \(H, W\).*got \(3, 4, 4\)'),
        (np.zeros((0, 4), np.float32), 'not empty'),
    ],
)
def test_bad_images_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        Identity()(image, rng())


def test_bad_depth_and_rng_are_refused():
    image = picture()
    with pytest.raises(ValueError, match=r'size of the image, \(37, 50\); got \(4, 4\)'):
        Haze()(image, rng(), np.zeros((4, 4), np.float32))
    with pytest.raises(ValueError, match='depth must lie'):
        Haze()(image, rng(), np.full((37, 50), 2, np.float32))
    with pytest.raises(TypeError, match='Generator'):
        Haze()(image, 3)
    with pytest.raises(TypeError, match='NumPy array'):
        Haze()([[0.5]], rng())


@pytest.mark.parametrize(
    ('member', 'arguments'),
    [
        (LowContrast, dict(gain=(0.6, 0.2))),
        (LowContrast, dict(level=(0.3, 1.2))),
        (LowContrast, dict(noise=-0.1)),
        (LowResolution, dict(scales=())),
        (LowResolution, dict(scales=(1,))),
        (LowResolution, dict(blur=(1, 0))),
        (LowResolution, dict(down='nearest')),
        (Haze, dict(beta=(2, 1))),
        (Haze, dict(airlight=(0.7, 1.2))),
        (OverExposure, dict(stops=(2.0, 0.8))),
        (OverExposure, dict(gamma=0)),
        (LowLight, dict(read=float('nan'))),
        (LowLight, dict(gain=(0.1, 0.2, 0.3))),
    ],
)
def test_bad_ranges_are_refused_by_name(member, arguments):
    with pytest.raises(ValueError, match=f'{next(iter(arguments))} must be'):
        member(**arguments)


def test_a_plugged_in_member_is_clipped_and_rounded():
    class Bright(Degradation):
        task = 'oe'

        def degrade(self, image, rng, depth):
            return image + 0.6, {}

    degraded, _ = Bright()(picture(), rng())
    assert degraded.max() == 1
    np.testing.assert_array_equal(degraded, on_grid(degraded))


class InPlace(Degradation):
    task = 'll'

    def degrade(self, image, rng, depth):
        image *= 0.3
        return image, {}


class Wrong(Degradation):
    task = 'll'

    def __init__(self, make):
        self.make = make

    def degrade(self, image, rng, depth):
        return self.make(image), {}


def test_a_degradation_that_works_in_place_leaves_the_clean_picture():
    clean = np.full((8, 8, 3), 0.5, np.float32)
    out, _ = InPlace()(clean, np.random.default_rng(0))
    assert (clean == 0.5).all()
    assert out.mean() == pytest.approx(0.15, abs=0.002)


@pytest.mark.parametrize(
    'make', [lambda x: (x * 255).astype(np.uint8), lambda x: x[2:], lambda x: x[..., 0], lambda x: x.tolist()]
)
def test_what_a_degradation_returns_is_looked_at(make):
    with pytest.raises(ValueError, match=r'Wrong\.degrade must return a floating array'):
        Wrong(make)(np.full((8, 8, 3), 0.5, np.float32), np.random.default_rng(0))
