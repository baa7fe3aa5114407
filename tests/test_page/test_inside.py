"""Pictures for the curious, where the answer is known: the mean, the maximum, one picture alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lurefusion.models.baselines import BaselineFuser
from lurefusion.page.inside import SIDE, main_axes, pictures_of_latents, pictures_of_shares, shares, shrunk
from lurefusion.runtime.torch_runner import TorchRunner
from lurefusion.structures import Item


def runner_of(method: str) -> TorchRunner:
    return TorchRunner(BaselineFuser(method, chroma=None, eight_bit=False), 'cpu')


def smooth(seed: int) -> torch.Tensor:
    low = torch.rand(1, 1, 4, 5, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(low, (48, 60), mode='bilinear').expand(1, 3, 48, 60).contiguous()


def test_the_mean_takes_half_of_each() -> None:
    brightness, _ = shares(runner_of('average'), [smooth(0), smooth(1)], None)
    torch.testing.assert_close(brightness, torch.full((48, 60), 0.5), atol=1e-4, rtol=0)


def test_the_maximum_takes_the_brighter_one() -> None:
    one, other = smooth(0), smooth(1)
    brightness, _ = shares(runner_of('max'), [one, other], None)
    gap = (other - one)[0, 0]
    # where a step does not change who is the brighter
    sure = gap.abs() > 0.15
    torch.testing.assert_close(brightness[sure], (gap > 0).float()[sure], atol=0.01, rtol=0)
    assert sure.float().mean() > 0.3


def test_detail_is_of_the_picture_that_has_it() -> None:
    noise = torch.rand(1, 1, 48, 60, generator=torch.Generator().manual_seed(0)).expand(1, 3, 48, 60)
    flat = torch.full((1, 3, 48, 60), 0.5)
    for pair, expected in (([flat, noise], 1.0), ([noise, flat], 0.0)):
        _, detail = shares(runner_of('average'), pair, None)
        torch.testing.assert_close(detail, torch.full((48, 60), expected), atol=0.02, rtol=0)
    # nothing in either: neither is said to have it
    _, detail = shares(runner_of('average'), [flat, flat], None)
    torch.testing.assert_close(detail, torch.full((48, 60), 0.5))


def test_large_pictures_are_looked_at_small() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 512, 3), np.uint8)
    images = shrunk(Item('a', dict(vi=noise, ir=noise)), runner_of('average'))
    assert [tuple(image.shape) for image in images] == [(1, 3, 150, SIDE)] * 2


def test_pictures_and_captions() -> None:
    drawn = pictures_of_shares(runner_of('average'), [smooth(0), smooth(1)], None)
    assert [caption for _, caption in drawn] == [
        'Whose brightness (yellow: infrared, violet: visible)',
        'Whose detail (yellow: infrared, violet: visible)',
    ]
    assert {picture.shape for picture, _ in drawn} == {(48, 60, 3)}
    assert pictures_of_latents(runner_of('average').model, [smooth(0), smooth(1)], Item('a', {})) == []


def test_main_axes_are_those_of_both_together() -> None:
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(6, 400)) * np.array([9, 5, 3, 0.1, 0.1, 0.1])[:, None]
    one, other = (part.reshape(6, 10, 20) for part in np.split(spread, 2, axis=1))
    drawn = main_axes([one, other])
    assert [picture.shape for picture in drawn] == [(10, 20, 3)] * 2
    assert {picture.dtype for picture in drawn} == {np.dtype(np.uint8)}
    for axis in range(3):
        seen = np.concatenate([picture[..., axis].ravel() for picture in drawn]).astype(float)
        true = np.concatenate([part[axis].ravel() for part in (one, other)])
        assert abs(np.corrcoef(seen, true)[0, 1]) > 0.98
    # what lies at one place has one colour
    same = main_axes([one, one])
    np.testing.assert_array_equal(same[0], same[1])


@pytest.mark.parametrize('channels', [1, 2])
def test_latents_of_few_channels(channels: int) -> None:
    z = np.random.default_rng(0).normal(size=(channels, 4, 5))
    assert not main_axes([z, z])[0][..., channels:].any()
