"""Tone: statistics of areas, maps of gain and offset, the gate of the text."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lurefusion.models.lure_tiny import LURETinyEncoder
from lurefusion.models.tone import TextGuidedTone, area_means, area_statistics, enlarged, toned


def blocks_of(picture: torch.Tensor) -> torch.Tensor:
    return F.pixel_unshuffle(picture, 2)


def latents_of(picture: torch.Tensor) -> list[torch.Tensor]:
    return [blocks_of(picture), *(F.avg_pool2d(picture, side) for side in (4, 8, 16))]


def open_tone(**options) -> TextGuidedTone:
    """Opened for every text, with maps that depend on what it sees."""
    torch.manual_seed(0)
    tone = TextGuidedTone(6, **{'members': 2, 'width': 8, 'depth': 1, 'grid': (4, 6), **options}).eval()
    with torch.no_grad():
        tone.gate.weight.zero_()
        tone.gate.bias.fill_(1.5)
        for head in tone.heads:
            head.maps.weight.normal_(std=0.3)
            head.maps.bias.normal_(std=0.1)
    return tone


def test_area_statistics_of_a_picture():
    rng = np.random.default_rng(0)
    picture = rng.random((1, 3, 32, 48), dtype=np.float32)
    found = area_statistics(blocks_of(torch.from_numpy(picture)), 8)[0].numpy()
    areas = picture[0].reshape(3, 2, 16, 3, 16).transpose(0, 1, 3, 2, 4).reshape(3, 2, 3, 256)
    expected = np.concatenate([areas.mean(-1), areas.min(-1), areas.max(-1), areas.std(-1)])
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize('size', [(24, 32), (5, 7), (3, 3)])
def test_area_means_are_integrals_of_the_cells(size):
    values = np.random.default_rng(1).random((10, 14))
    # every cell in 60 x 60 parts, of which each new cell has a whole number
    fine = np.kron(values, np.ones((size[0], size[1])))
    expected = fine.reshape(size[0], 10, size[1], 14).mean((1, 3))
    found = area_means(torch.from_numpy(values)[None, None], size)[0, 0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_gain_and_offset_by_hand():
    z = torch.full((1, 12, 4, 4), 0.5)
    gain, offset = (
        torch.tensor(values).reshape(1, 3, 1, 1).expand(-1, -1, 4, 4) for values in ((1.0, 2.0, 0.5), (0.1, 0.0, -0.1))
    )
    colours = toned(z, gain, offset).unflatten(1, (3, 4))[0, :, :, 0, 0]
    expected = torch.tensor([0.6, 1.0, 0.15])
    torch.testing.assert_close(colours, expected[:, None].expand(3, 4))


@pytest.mark.parametrize('size', [(24, 10), (4, 6), (5, 5), (1, 1)])
def test_maps_are_enlarged_bilinearly(size):
    maps = torch.rand(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(maps, size, mode='bilinear')
    torch.testing.assert_close(enlarged(maps, torch.zeros(1, 1, *size)), expected)


def test_starts_as_identity_and_ends_there_where_the_gate_is_closed():
    picture = torch.rand(2, 3, 32, 48)
    latents, c, grey = latents_of(picture), torch.rand(2, 6), torch.tensor([False, False])
    fresh = TextGuidedTone(6, width=8, depth=1, grid=(4, 6)).train()
    for z, out in zip(latents, fresh(blocks_of(picture), latents, c, grey), strict=True):
        torch.testing.assert_close(out, z)
    closed = open_tone()
    closed.gate.bias.data.fill_(-0.1)
    for mode in (True, False):
        for z, out in zip(latents, closed.train(mode)(blocks_of(picture), latents, c, grey), strict=True):
            assert torch.equal(out, z)


def test_rows_of_other_texts_stay_as_they_are():
    tone, picture = open_tone(), torch.rand(2, 3, 32, 48)
    with torch.no_grad():
        tone.gate.weight[0, 0] = 4.0
        tone.gate.bias.fill_(-2.0)
    c = torch.zeros(2, 6)
    c[1, 0] = 1
    latents = latents_of(picture)
    out = tone(blocks_of(picture), latents, c, torch.tensor([False, False]))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(out, latents, strict=True))
    assert all((a[1] - b[1]).abs().mean() > 0.01 for a, b in zip(out, latents, strict=True))


def test_grey_pictures_stay_grey():
    grey = torch.rand(1, 1, 32, 48).expand(-1, 3, -1, -1)
    tone, c = open_tone(), torch.rand(1, 6)
    for z in tone(blocks_of(grey), latents_of(grey), c, torch.tensor([True])):
        red, green, blue = z.unflatten(1, (3, -1)).unbind(1)
        torch.testing.assert_close(red, green)
        torch.testing.assert_close(green, blue)
    coloured = tone(blocks_of(grey), latents_of(grey), c, torch.tensor([False]))[0].unflatten(1, (3, -1))
    assert (coloured[:, 0] - coloured[:, 1]).abs().max() > 0.01


def test_a_scene_means_the_same_at_any_resolution():
    tone, picture, c = open_tone(), torch.rand(1, 3, 32, 48), torch.rand(1, 6)
    large = picture.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    # areas of the same share of the picture
    seen = []
    for x, tone.side in ((picture, 4), (large, 16)):
        seen.append(tone.read(blocks_of(x), blocks_of(x)))
    torch.testing.assert_close(*seen)
    torch.testing.assert_close(*(tone.answer(s, c)[0] for s in seen))


def test_every_weight_gets_a_gradient():
    tone, picture = open_tone().train(), torch.rand(2, 3, 32, 48)
    tone.gate.bias.data.fill_(0.5)
    out = tone(blocks_of(picture), latents_of(picture), torch.rand(2, 6), torch.tensor([False, False]))
    out[0].square().mean().backward()
    assert [name for name, value in tone.named_parameters() if value.grad is None or not value.grad.abs().sum()] == []


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(tone=dict(grid=(3, 4))), 'tone.grid must be two even numbers, got .3, 4.'),
        (dict(tone={}, picture_latents=False), 'tone needs latents that are pictures.*picture_latents=False'),
        (dict(tone={}, latent_channels=(16, 3)), r'tone needs latents that are pictures.*\[16, 3\]'),
    ],
)
def test_what_does_not_fit_is_said(options, message):
    arguments = dict(channels=(16, 8), latent_channels=(12, 3), K_bt=(1, 1), K_tb=(1, 1), picture_latents=True)
    with pytest.raises(ValueError, match=message):
        LURETinyEncoder(text_dim=6, interaction=dict(type='TGA', num_heads=1), **{**arguments, **options})


def test_half_precision_around_it_changes_nothing():
    tone, picture, c = open_tone(), torch.rand(1, 3, 32, 48), torch.rand(1, 6)
    arguments = blocks_of(picture), latents_of(picture), c, torch.tensor([False])
    with torch.no_grad():
        expected = tone(*arguments)
        with torch.autocast('cpu', torch.bfloat16):
            found = tone(*arguments)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)
