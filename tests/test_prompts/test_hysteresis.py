"""A prompt for a clip does not flap."""

from __future__ import annotations

import pytest

from lurefusion.prompts.hysteresis import Hysteresis


def choices(sequence, rate=25, **options):
    held = Hysteresis(**options)
    return [held(probabilities, n / rate) for n, probabilities in enumerate(sequence)]


def test_guesses_that_flap_give_one_choice():
    flapping = [dict(haze=0.55, none=0.45), dict(haze=0.45, none=0.55)] * 100
    assert set(choices(flapping)) == {'haze'}
    single = [dict(none=1.0)] * 50 + [dict(haze=1.0)] + [dict(none=1.0)] * 50
    assert set(choices(single)) == {'none'}


def test_a_change_for_good_arrives_once_after_the_time_of_the_closed_form():
    found = choices([dict(none=1.0)] * 10 + [dict(haze=1.0)] * 60, tau=1.0, margin=0.2)
    # averages 1 - e and e with e = exp(-t): ahead by 0.2 when e < 0.4, t > 0.916 s or 22.9 frames
    assert found == ['none'] * 32 + ['haze'] * 38


def test_the_order_of_equals_does_not_matter():
    assert choices([dict(b=0.5, a=0.5)]) == choices([dict(a=0.5, b=0.5)]) == ['a']


@pytest.mark.parametrize('options', [dict(tau=0), dict(margin=1), dict(margin=-0.1), dict(tau=float('nan'))])
def test_options_that_make_no_sense(options):
    with pytest.raises(ValueError, match='tau must be positive and margin'):
        Hysteresis(**options)
    with pytest.raises(ValueError, match='no probabilities'):
        Hysteresis()({}, 0.0)
