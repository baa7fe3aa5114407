"""One range for many pictures is that of all their pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lurefusion.io.shared_range import PERCENTILES, pictures_of, shared_range


def limits(pictures) -> list[float]:
    return [float(number) for number in shared_range(pictures).split(':')]


def test_sixteen_bit_counts_give_the_percentiles_of_all_pixels():
    rng = np.random.default_rng(0)
    clip = [(29000 + 40 * n + rng.normal(0, 300, (24, 32))).astype(np.uint16) for n in range(7)]
    assert limits(iter(clip)) == pytest.approx(np.percentile(np.stack(clip), PERCENTILES))
    # one glitch of one frame does not take the range
    clip[3][0, 0] = 65535
    assert limits(clip)[1] < 31000


def test_measured_floats_give_the_percentiles_of_all_pixels(monkeypatch):
    rng = np.random.default_rng(0)
    clip = [rng.normal(20 + n, 5, (24, 32)).astype(np.float32) for n in range(6)]
    assert limits(clip) == pytest.approx(np.percentile(np.stack(clip), PERCENTILES))
    # a long clip is thinned out, whatever the order: the same but for the sampling
    monkeypatch.setattr('lurefusion.io.shared_range._KEPT', 20_000)
    assert limits(clip * 20) == pytest.approx(np.percentile(np.stack(clip), PERCENTILES), abs=1.5)


@pytest.mark.parametrize(
    'picture',
    [
        np.arange(256, dtype=np.uint8).reshape(16, 16),
        np.arange(256, dtype=np.uint16).reshape(16, 16),
        np.linspace(0, 1, 256).reshape(16, 16),
        np.arange(256.0).reshape(16, 16),
    ],
)
def test_grey_levels_have_nothing_to_share(picture):
    assert shared_range([picture, picture]) is None


def test_what_gives_no_range():
    assert shared_range([np.full((4, 4), 300, np.uint16)]) == '300:301'
    with pytest.raises(ValueError, match='no readable picture'):
        shared_range([])
    # what is wrong with one is said when it is fused
    bad = np.array([[np.nan, 2], [3, 4]])
    with pytest.raises(ValueError, match='no readable picture'):
        shared_range([bad])
    assert shared_range([bad, np.full((4, 4), 300, np.uint16)]) == '300:301'


def test_files_come_as_they_are_stored(tmp_path):
    counts = np.arange(256, dtype=np.uint16).reshape(16, 16) * 200
    cv2.imwrite(str(tmp_path / 'a.png'), counts)
    cv2.imwrite(str(tmp_path / 'b.png'), np.full((4, 4, 4), 9, np.uint8))
    (tmp_path / 'c.png').write_bytes((tmp_path / 'a.png').read_bytes()[:100])
    one, two = pictures_of([tmp_path / f'{name}.png' for name in 'acb'])
    np.testing.assert_array_equal(one, counts)
    assert two.shape == (4, 4, 3)


def test_counts_and_measurements_side_by_side_share_nothing():
    counts, degrees = np.full((4, 4), 30000, np.uint16), np.linspace(18, 36, 16, dtype=np.float32).reshape(4, 4)
    with pytest.raises(ValueError, match='16-bit counts and measurements of another type'):
        shared_range([counts, degrees])
