"""Flicker and warping error against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from lurefusion.evaluation import temporal
from lurefusion.evaluation.temporal import flicker, warping_error


def textured(seed: int = 0, side: int = 96) -> np.ndarray:
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), 2)
    return np.clip(128 + 40 * noise / noise.std(), 0, 255)


def test_flicker_of_an_alternation_is_its_height():
    frames = [np.full((8, 8), level, np.uint8) for level in (100, 110) * 6]
    assert flicker(frames) == pytest.approx(10)
    assert flicker([frame / 255 for frame in frames]) == pytest.approx(10)
    assert flicker([np.repeat(frame[..., None], 3, 2) for frame in frames]) == pytest.approx(10)


def test_flicker_counts_no_steady_change_and_no_motion():
    assert flicker(np.full((8, 8), level, np.uint8) for level in range(20, 60, 4)) == pytest.approx(0, abs=1e-9)
    assert flicker(np.roll(textured() / 255, n, axis=1) for n in range(5)) == pytest.approx(0, abs=1e-9)


def test_flicker_of_noise_is_that_of_its_second_differences():
    means = np.random.default_rng(0).normal(128, 3, 4000)
    # the variance of (a - 2b + c) / 2 is 6/4 of that of one
    assert flicker(np.full((1, 1), m / 255) for m in means) == pytest.approx(3 * 1.5**0.5, rel=0.05)


def test_warping_error_of_a_moving_picture_is_what_motion_does_not_explain():
    picture = textured()
    moving = [np.round(np.roll(picture, 2 * n, axis=1)).astype(np.uint8)[:, 10:-10] for n in range(4)]
    assert warping_error(moving, moving) < 1.5
    # without motion compensation it would be much
    assert np.sqrt(np.mean((moving[1].astype(float) - moving[0]) ** 2)) > 15
    # a fused clip that flickers by 8 levels
    flashing = [np.clip(frame.astype(int) + 8 * (n % 2), 0, 255).astype(np.uint8) for n, frame in enumerate(moving)]
    assert warping_error(flashing, moving) == pytest.approx(8, abs=0.7)
    noise = np.random.default_rng(0).normal(0, 5, (2, 96, 76))
    still = [moving[0]] * 2
    assert warping_error([(frame + n) / 255 for frame, n in zip(still, noise, strict=True)], still) == pytest.approx(
        5 * 2**0.5, rel=0.03
    )


def test_too_few_frames():
    with pytest.raises(ValueError, match='three frames or more, got 2'):
        flicker([np.zeros((8, 8))] * 2)
    with pytest.raises(ValueError, match='two frames or more'):
        warping_error([np.zeros((96, 96))], [np.zeros((96, 96))])
    with pytest.raises(ValueError, match='zip'):
        warping_error([np.zeros((96, 96))] * 2, [np.zeros((96, 96))])


def test_frames_of_which_nothing_can_be_followed_have_no_error(monkeypatch):
    monkeypatch.setattr(temporal, '_LOST', (0.0, -1.0))
    frames = [np.full((32, 32), level, np.uint8) for level in (10, 200)]
    assert np.isnan(temporal.warping_error(frames, frames))
