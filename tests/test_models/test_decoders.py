from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lurefusion.models.decoders import LUREDecoder
from lurefusion.models.lure_tiny import LURETinyDecoder

CHANNELS = (4, 8, 12)


def decoder(**changes: object) -> LUREDecoder:
    torch.manual_seed(0)
    return LUREDecoder(**{**dict(channels=CHANNELS, strides=(1, 2, 4), K_dec=(1, 1, 2)), **changes})


def latents(batch: int = 2, height: int = 16, width: int = 24, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(batch, channels, height >> i, width >> i, generator=generator)
        for i, channels in enumerate(CHANNELS)
    ]


def squares(x: Tensor) -> Tensor:
    """Four channels become a square of 2x2 pixels."""
    batch, channels, height, width = x.shape
    out = x.new_empty(batch, channels // 4, 2 * height, 2 * width)
    for i, j in np.ndindex(2, 2):
        out[:, :, i::2, j::2] = x[:, 2 * i + j :: 4]
    return out


@pytest.mark.parametrize('skip', ['add', 'concat'])
@pytest.mark.parametrize(('height', 'width'), [(4, 4), (16, 24)])
def test_shape(skip: str, height: int, width: int) -> None:
    assert decoder(skip=skip)(latents(2, height, width)).shape == (2, 3, height, width)


def test_blocks_of_pixels_come_as_channels() -> None:
    net, z = decoder(strides=(2, 4, 8)), latents()
    out = net(z)
    assert out.shape == (2, 3, 32, 48)
    y = F.conv2d(squares(F.conv2d(z[2], net.up[1].conv.weight)) + z[1], net.up[0].conv.weight)
    y = F.conv2d(squares(y) + z[0], net.end.weight, net.end.bias, padding=1)
    torch.testing.assert_close(out, squares(y), atol=1e-5, rtol=1e-4)


def test_widths_of_its_own() -> None:
    net, z = decoder(widths=(8, 8, 16)), latents()
    y = [F.conv2d(s, enter.weight, enter.bias) for s, enter in zip(z, net.enter, strict=True)]
    for i in (1, 0):
        y[i] = y[i] + squares(F.conv2d(y[i + 1], net.up[i].conv.weight))
    torch.testing.assert_close(net(z), F.conv2d(y[0], net.end.weight, net.end.bias, padding=1), atol=1e-5, rtol=1e-4)
    start = LURETinyDecoder(CHANNELS, (1, 2, 4), K_dec=(1, 1, 2), widths=(8, 8, 16))
    torch.testing.assert_close(start(z), z[0][:, :3], atol=1e-6, rtol=0)


@pytest.mark.parametrize('skip', ['add', 'concat'])
def test_closed_form_at_first(skip: str) -> None:
    net, z = decoder(skip=skip), latents()
    y = z[2]
    for i in (1, 0):
        y = squares(F.conv2d(y, net.up[i].conv.weight))
        y = y + z[i] if skip == 'add' else F.conv2d(torch.cat([y, z[i]], 1), net.merge[i].weight)
    torch.testing.assert_close(net(z), F.conv2d(y, net.end.weight, net.end.bias, padding=1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('skip', ['add', 'concat'])
def test_linear_in_the_latents_at_first_and_not_later(skip: str) -> None:
    net, one, two = decoder(skip=skip), latents(seed=1), latents(seed=2)

    def deviation() -> float:
        offset = net([torch.zeros_like(z) for z in one])
        mixed = net([0.3 * a - 2 * b for a, b in zip(one, two, strict=True)]) - offset
        return (mixed - (0.3 * (net(one) - offset) - 2 * (net(two) - offset))).abs().max().item()

    assert deviation() < 1e-5
    for blocks in net.blocks:
        for block in blocks:
            block.beta.data.fill_(0.5)
    assert deviation() > 1e-3


def test_every_parameter_learns_after_one_step() -> None:
    net = decoder(skip='concat')
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        net(latents()).square().mean().backward()
        silent = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
        optimizer.step()
    assert not silent


def test_output_is_not_clamped() -> None:
    out = decoder()([100 * z for z in latents()])
    assert out.min() < -1
    assert out.max() > 2


def test_published_size() -> None:
    net = LUREDecoder()
    widths = (16, 32, 64, 128)
    expected = sum(7 * c * c + 33 * c for c in widths) + sum(
        4 * a * b for a, b in zip(widths, widths[1:], strict=False)
    )
    assert sum(p.numel() for p in net.parameters()) == expected + 3 * 16 * 9 + 3


def test_sizes_that_do_not_halve() -> None:
    z = latents()
    z[1] = z[1][..., :-1]
    with pytest.raises(ValueError, match=r'halve exactly, got \[\(16, 24\), \(8, 11\), \(4, 6\)\].*multiple of 4'):
        decoder()(z)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(strides=(1, 2, 8)), r'strides that double; the image encoder has \(1, 2, 8\)'),
        (dict(K_dec=(1, 1)), 'K_dec has 2 entries for 3 latents'),
        (dict(widths=(4, 8)), 'decoder.widths has 2 entries for 3 latents'),
        (dict(skip='mul'), "skip must be one of add, concat; got 'mul'"),
    ],
)
def test_bad_options(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decoder(**changes)
