"""Statistics of pictures against closed forms and hand-made pictures."""

import time

import cv2
import numpy as np
import pytest

from lurefusion.prompts.statistics import (
    DIRECTIONS,
    PERCENTILES,
    detail_lost,
    gradients,
    lines,
    picture_statistics,
    spread,
    tone_statistics,
)

SIGMA = 0.03


def grey(luma):
    return np.repeat(luma[..., None], 3, 2).astype(np.float32)


def noise(shape, sigma=SIGMA, seed=0):
    return np.random.default_rng(seed).normal(0, sigma, shape).astype(np.float32)


def immerkaer(luma):
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    return cv2.filter2D(luma, -1, kernel)[1:-1, 1:-1]


def test_tones_of_a_ramp_are_its_levels():
    ramp = np.tile(np.linspace(0, 1, 256, dtype=np.float32), (64, 1))
    found = tone_statistics(grey(ramp))
    for percent in PERCENTILES:
        assert found[f'luma_{percent:g}'] == pytest.approx(percent / 100, abs=1 / 255)
        assert found[f'stops_{percent:g}'] == pytest.approx(np.log2(percent / 100 + 1 / 64), abs=0.1)
    assert found['luma_mean'] == pytest.approx(0.5, abs=1e-5)
    assert found['luma_std'] == pytest.approx(1 / np.sqrt(12), abs=2e-3)
    assert [found[f'tone_{n}'] for n in range(16)] == pytest.approx([0.25] * 16, abs=2e-3)
    assert found['share_black'] == pytest.approx(np.sqrt(6 / 256), abs=1e-6)
    assert found['share_white'] == pytest.approx(np.sqrt(8 / 256), abs=1e-6)
    # blocks of 8 columns, steps of 1/255: the deviation of 0, ..., 7
    assert found['contrast_50'] == pytest.approx(np.log(np.std(np.arange(8)) / 255 + 1 / 16 / 255), abs=1e-3)


def test_colour_veil_and_thirds_of_hand_made_pictures():
    red = np.zeros((90, 90, 3), np.float32)
    red[..., 0] = 1
    found = tone_statistics(red)
    assert found['colour_mean'] == 1
    assert found['saturation_50'] == pytest.approx(1 / 1.02)
    assert found['dark_95'] == 0
    assert found['share_clipped'] == 1
    assert found['share_burnt'] == 0

    # a veil of 0.6 in the upper third, clear below: the dark channel is the least of all channels around
    veiled = np.zeros((90, 90, 3), np.float32)
    veiled[:30] = 0.6
    found = tone_statistics(veiled)
    # its window of 7 pixels reaches three rows into the veil
    assert found['dark_top'] == pytest.approx(0.6 * 27 / 30)
    assert found['dark_low'] == 0
    assert found['luma_top'] == pytest.approx(0.6, abs=1e-6)
    assert found['luma_middle'] == 0
    assert found['colour_mean'] == 0


@pytest.mark.parametrize('degrees', [0, 30, 75, 90, 150])
def test_gradients_of_a_grating_point_across_its_lines(degrees):
    y, x = np.mgrid[:200, :200].astype(np.float32)
    angle, frequency = np.deg2rad(degrees), 0.2
    grating = 0.5 + 0.4 * np.sin(frequency * (x * np.cos(angle) + y * np.sin(angle)))
    energy, straight, slant, shares = gradients(grating.astype(np.float32))
    # central differences of a sine: amplitude sin(f), mean square a half
    expected = [np.sin(frequency * f(angle)) ** 2 for f in (np.cos, np.sin)]
    assert energy == pytest.approx(0.5 * np.log(0.08 * sum(expected)), abs=0.01)
    assert straight == pytest.approx(np.cos(2 * angle), abs=0.02)
    assert slant == pytest.approx(np.sin(2 * angle), abs=0.02)
    assert shares.sum() == pytest.approx(1, abs=1e-3)
    # bins are left-closed: an angle on their border may fall on either side
    border = degrees / 180 * DIRECTIONS
    assert sum(shares[int(np.floor(border + d)) % DIRECTIONS] for d in (-0.05, 0.05)) > 0.97


def test_spread_measures_white_noise_and_is_blind_to_planes():
    y, x = np.mgrid[:200, :300].astype(np.float32)
    plane = 0.2 + 0.001 * x + 0.002 * y
    floor = np.log(1 / 16 / 255)
    assert spread(immerkaer(plane))[0] == pytest.approx(floor, abs=0.02)
    sigma, tail, skew = spread(immerkaer(plane + noise(plane.shape)))
    assert sigma == pytest.approx(np.log(SIGMA), abs=0.03)
    assert tail == pytest.approx(0, abs=0.03)
    assert skew == pytest.approx(0, abs=0.02)


def test_bright_streaks_have_tails_and_skew():
    streaks = np.full((200, 200), 0.3, np.float32) + noise((200, 200), 0.002)
    streaks[:, ::25] += 0.3
    _, tail, skew = spread(immerkaer(streaks.T.copy()))
    _, dark_tail, dark_skew = spread(immerkaer(1 - streaks.T))
    assert tail == pytest.approx(dark_tail, abs=1e-3)
    assert skew == pytest.approx(-dark_skew, abs=1e-3)
    # a vertical line is a plane to a kernel that is a product of second differences
    assert tail == pytest.approx(0, abs=0.1)
    dots = np.full((200, 200), 0.3, np.float32) + noise((200, 200), 0.002)
    dots[::20, ::20] += 0.3
    _, tail, skew = spread(immerkaer(dots))
    assert tail > 1
    assert skew > 0.5


@pytest.mark.parametrize('factor', [2, 4, 8])
def test_what_was_enlarged_loses_nothing_more(factor):
    small = np.random.default_rng(1).random((32, 40), dtype=np.float32)
    large = cv2.resize(small, (40 * factor, 32 * factor), interpolation=cv2.INTER_CUBIC)
    lost, kept = detail_lost(large, factor)
    fresh, _ = detail_lost(np.random.default_rng(1).random(large.shape, dtype=np.float32), factor)
    assert lost - kept < np.log(0.2)
    assert fresh > lost + 1
    # all of white noise but the mean of each block: sigma^2 (1 - 1/factor^2), and some of what cubic curves leave
    assert fresh == pytest.approx(np.log(np.sqrt(1 / 12)), abs=0.2)


def test_lines_find_columns_and_not_noise():
    columns = noise((1, 160), 0.05)
    picture = 0.5 + columns + noise((120, 160), 0.02)
    found = lines(picture)
    away = columns - cv2.blur(columns, (9, 1))
    assert found['offset'] == pytest.approx(np.log(away.std()), abs=0.05)
    deviation = (picture - cv2.blur(picture, (9, 1))).std()
    assert found['excess'] == pytest.approx(np.log(away.std() * np.sqrt(120) / deviation), abs=0.05)
    assert found['alike'] > 0.9
    plain = lines(0.5 + noise((120, 160), 0.02))
    assert plain['excess'] == pytest.approx(0, abs=0.15)
    assert abs(plain['alike']) < 0.3
    assert lines(picture.T)['alike'] < 0.3


def test_every_statistic_is_there_for_any_picture_and_type():
    rng = np.random.default_rng(0)
    names = list(picture_statistics(rng.random((48, 64, 3))))
    for picture in (
        np.zeros((8, 8, 3), np.uint8),
        np.full((9, 301, 3), 255, np.uint8),
        np.ones((500, 8, 3), np.float32),
        rng.random((1100, 900, 3), dtype=np.float32),
    ):
        found = picture_statistics(picture)
        assert list(found) == names
        assert np.isfinite(list(found.values())).all()
    levels = (rng.random((48, 64, 3)) * 255).astype(np.uint8)
    one, two = picture_statistics(levels), picture_statistics(levels.astype(np.float64) / 255)
    assert list(one.values()) == pytest.approx(list(two.values()), abs=1e-4)


def test_large_pictures_are_looked_at_in_windows():
    found = picture_statistics(grey(0.5 + noise((1500, 1400))).clip(0, 1))
    assert found['noise_0'] == pytest.approx(np.log(SIGMA), abs=0.05)


@pytest.mark.parametrize(
    ('picture', 'error', 'words'),
    [
        ([[0.0]], TypeError, 'NumPy array'),
        (np.zeros((8, 8, 3), np.int32), TypeError, 'int32'),
        (np.zeros((8, 8), np.uint8), ValueError, r'\(8, 8\)'),
        (np.zeros((7, 8, 3), np.uint8), ValueError, '8x8'),
        (np.full((8, 8, 3), 1.5), ValueError, '1.5'),
        (np.full((8, 8, 3), np.nan), ValueError, 'nan'),
    ],
)
def test_bad_pictures_are_refused(picture, error, words):
    with pytest.raises(error, match=words):
        picture_statistics(picture)


def test_a_picture_takes_little_time():
    picture = np.random.default_rng(0).integers(0, 256, (480, 640, 3)).astype(np.uint8)
    picture_statistics(picture)
    start = time.process_time()
    for _ in range(3):
        picture_statistics(picture)
    # 30 to 40 ms on a slow core; the limit leaves room for machines that are shared
    assert (time.process_time() - start) / 3 < 0.15
