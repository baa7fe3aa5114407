"""Damped clips: less flicker by the closed form of the average, the same pictures but for one gain and offset."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lurefusion.evaluation.temporal import flicker
from lurefusion.runtime.steady import Steady

RATE = 25
TEXTURE = np.random.default_rng(0).uniform(-0.1, 0.1, (24, 32))


def clip(means, contrasts=None):
    contrasts = np.ones(len(means)) if contrasts is None else contrasts
    return [m + c * (TEXTURE - TEXTURE.mean()) for m, c in zip(means, contrasts, strict=True)]


def damped(frames, tau):
    steady = Steady(tau)
    return [steady(frame, n / RATE) for n, frame in enumerate(frames)]


def test_the_mean_follows_the_exponential_average():
    means = 0.5 + 0.05 * np.random.default_rng(1).normal(size=30)
    share, expected = 1 - math.exp(-1 / RATE / 0.4), [means[0]]
    for mean in means[1:]:
        expected.append(expected[-1] + share * (mean - expected[-1]))
    np.testing.assert_allclose([frame.mean() for frame in damped(clip(means), 0.4)], expected, atol=1e-9)


def test_so_does_the_contrast():
    contrasts = np.where(np.arange(30) % 2, 0.95, 1.05)
    spreads = [frame.std() / TEXTURE.std() for frame in damped(clip([0.5] * 30, contrasts), 0.4)]
    share, expected = 1 - math.exp(-1 / RATE / 0.4), [contrasts[0]]
    for contrast in contrasts[1:]:
        expected.append(expected[-1] + share * (contrast - expected[-1]))
    np.testing.assert_allclose(spreads, expected, atol=1e-6)


@pytest.mark.parametrize('tau', [0.2, 0.5, 2.0])
def test_flicker_falls_by_the_gain_of_the_average(tau):
    frames = clip(0.5 + 0.04 * (-1.0) ** np.arange(200))
    share = 1 - math.exp(-1 / RATE / tau)
    # of an alternation every other frame, when it has settled
    before, after = flicker(frames[100:]), flicker(damped(frames, tau)[100:])
    assert before == pytest.approx(0.08 * 255)
    assert after / before == pytest.approx(share / (2 - share), rel=1e-3)


def test_nothing_changes_in_a_still_clip_nor_at_a_cut():
    still = clip([0.4] * 5)
    for frame, out in zip(still, damped(still, 1.0), strict=True):
        np.testing.assert_allclose(out, frame, atol=1e-12)
    cut = damped([*clip([0.3] * 3), *clip([0.7] * 3)], 10.0)
    np.testing.assert_array_equal(cut[3], clip([0.7])[0])
    assert cut[5].mean() == pytest.approx(0.7)


def test_colour_differences_and_types_stay():
    rng = np.random.default_rng(0)
    frames = [np.clip(rng.uniform(0.3, 0.6, (8, 8, 3)) + 0.03 * n, 0, 1).astype(np.float32) for n in range(4)]
    for frame, out in zip(frames, damped(frames, 1.0), strict=True):
        assert out.dtype == np.float32
        np.testing.assert_allclose(out[..., 0] - out[..., 2], frame[..., 0] - frame[..., 2], atol=1e-6)
    assert damped([np.ones((4, 4))] * 2, 1.0)[1].max() <= 1


@pytest.mark.parametrize('tau', [0, -1, math.inf, math.nan])
def test_time_constants_that_make_no_sense(tau):
    with pytest.raises(ValueError, match='positive number of seconds'):
        Steady(tau)
