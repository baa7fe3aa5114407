"""Distances read off haze pairs: the ones that the haze was made with, and what is drawn of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from lurefusion.datasets.degradations import ramp_depth
from lurefusion.datasets.distances import BorrowedDepth, distance_of_pair
from lurefusion.datasets.paired import MissingDataError
from lurefusion.io.images import write_image
from lurefusion.registry import DATASETS, TRANSFORMS

HEIGHT, WIDTH = 120, 160


def scene(seed: int = 0) -> np.ndarray:
    """A textured picture (H,W,3) in [0, 0.7]."""
    coarse = np.random.default_rng(seed).uniform(0, 0.7, (30, 40, 3)).astype(np.float32)
    return np.clip(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST), 0, 0.7)


def hazy(clean: np.ndarray, distance: np.ndarray, airlight: float) -> np.ndarray:
    t = np.exp(-distance)[..., None]
    return clean * t + airlight * (1 - t)


@pytest.mark.parametrize('airlight', [1.0, 0.85])
def test_the_distance_of_the_haze_comes_back(airlight: float) -> None:
    distance = 1.5 * ramp_depth(HEIGHT, WIDTH, 1.0, 0.1, 3)
    found = distance_of_pair(hazy(scene(), distance, airlight), scene(), airlight)
    assert found.dtype == np.float32
    assert np.abs(found - distance).max() < 0.05
    assert np.abs(found - distance).mean() < 0.01


def test_what_is_as_bright_as_the_air_has_the_distance_of_what_is_around_it() -> None:
    clean = scene()
    clean[40:60, 60:90] = 1
    found = distance_of_pair(hazy(clean, np.full((HEIGHT, WIDTH), 0.8), 1.0), clean)
    np.testing.assert_allclose(found[45:55, 70:80], 0.8, atol=0.03)


@pytest.fixture
def pairs(tmp_path: Path) -> list[dict]:
    distance = ramp_depth(HEIGHT, WIDTH, 1.0, 0.0, 0)
    for number in range(2):
        write_image(tmp_path / f'RESIDE/S/clear/{number}.png', np.uint8(255 * scene(number)))
        for beta in (0.5, 1.5):
            picture = np.uint8(np.rint(255 * hazy(scene(number), beta * distance, 1.0)))
            write_image(tmp_path / f'RESIDE/S/hazy/{number}_{beta}.png', picture)
    return [dict(type='RESIDE', split='S', data_root=str(tmp_path))]


def drawn(transform: BorrowedDepth, seed: int = 0, **more: object) -> dict:
    sample = dict(images=dict(y=np.zeros((60, 100, 3), np.uint8)), rng=np.random.default_rng(seed))
    return transform(dict(sample, degradation=dict(type='Haze')) | more)


def test_a_window_of_a_scene_that_ends_at_one(pairs: list[dict]) -> None:
    transform = TRANSFORMS.build(dict(type='BorrowedDepth', pairs=pairs))
    for seed in range(6):
        depth = drawn(transform, seed)['depth']
        assert (depth.shape, depth.dtype) == ((60, 100), np.float32)
        # far at the top, as the scenes are
        assert depth[:3].mean() == pytest.approx(1, abs=0.05)
        assert 0 <= depth.min() <= depth[-3:].mean() < 0.5
        np.testing.assert_array_equal(drawn(transform, seed)['depth'], depth)
    assert not np.array_equal(drawn(transform, 0)['depth'], drawn(transform, 1)['depth'])


def test_only_for_haze_without_a_distance(pairs: list[dict]) -> None:
    transform = BorrowedDepth(pairs)
    assert 'depth' not in drawn(transform, degradation=dict(type='LowLight'))
    assert 'depth' not in drawn(transform, degradation=None)
    # of a fusion pair, one modality may be hazy
    assert 'depth' in drawn(transform, degradation=None, degradations=dict(vi=dict(type='Haze')))
    known = np.full((60, 100), 0.5, np.float32)
    assert drawn(transform, depth=known)['depth'] is known


def test_haze_is_made_with_it(pairs: list[dict]) -> None:
    cfg = dict(
        type='RestorationDataset', data_prefix=dict(y='RESIDE/S/clear'), data_root=pairs[0]['data_root'], task='hz',
        modality='vi', degradation=dict(type='Haze', beta=1.0, airlight=1.0),
        pipeline=[dict(type=name) for name in ('LoadImages', 'Degrade', 'PackInputs')],
    )  # fmt: skip
    cfg['pipeline'].insert(1, dict(type='BorrowedDepth', pairs=pairs, window=1.0))
    x, y = (DATASETS.build(cfg)[0]['inputs'][role].numpy() / 255 for role in 'xy')
    t = ((1 - x) / (1 - y)).mean((0, 2))
    # from exp(-1) at the top to 1 at the bottom
    assert t[:5].mean() == pytest.approx(np.exp(-1), abs=0.03)
    assert t[-5:].mean() > 0.9


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(pairs=[]), 'is a list of configs of data sets'),
        (dict(pairs=dict(type='RESIDE')), 'is a list of configs of data sets'),
        (dict(window=0.0), r'window lie in \(0, 1\], mixed in \[0, 1\]; got 1.0, 0.0, 0.3'),
        (dict(airlight=1.2), r'lie in \(0, 1\]'),
    ],
)
def test_options_out_of_range(pairs: list[dict], options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BorrowedDepth(**dict(dict(pairs=pairs), **options))


def test_pairs_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match='RESIDE'):
        BorrowedDepth([dict(type='RESIDE', split='S', data_root=str(tmp_path))])
