"""Part by part or as a whole: the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lurefusion.models import strips
from lurefusion.models.fusion import CrossBlock
from lurefusion.models.image_encoders import BaseBlock
from lurefusion.models.interactions import TGA
from lurefusion.models.layers import NAFBlock
from lurefusion.models.lure_tiny import LURETinyEncoder


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Many parts, with remainders, in both directions."""
    monkeypatch.setattr(strips, 'NUMBERS', 400)
    monkeypatch.setattr(strips, 'COLUMNS', 9)


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def randomised(block: nn.Module) -> nn.Module:
    """Zero-initialised scales would hide what is in the branches."""
    generator = torch.Generator().manual_seed(0)
    for parameter in block.parameters():
        parameter.data = 0.5 * torch.randn(parameter.shape, generator=generator)
    return block.eval()


@pytest.mark.parametrize(('height', 'width'), [(1, 1), (7, 5), (16, 33), (23, 18)])
def test_parts_cover_a_picture_once_with_a_pixel_around(height: int, width: int) -> None:
    picture = np.arange(height * width).reshape(height, width)
    seen = np.zeros_like(picture)
    for part in strips.parts(height, width, 16):
        seen[part.target] += 1
        np.testing.assert_array_equal(picture[part.outer][part.inner], picture[part.target])
        rows, columns = part.target
        assert part.outer[0] == slice(max(rows.start - 1, 0), min(rows.stop + 1, height))
        assert part.outer[1] == slice(max(columns.start - 1, 0), min(columns.stop + 1, width))
    assert (seen == 1).all()


def both(monkeypatch: pytest.MonkeyPatch, run) -> tuple[list[Tensor], list[Tensor]]:
    """Results part by part, and as a whole."""
    counted = []
    parts = strips.parts
    monkeypatch.setattr(strips, 'parts', lambda *size: (counted.append(size), parts(*size))[1])
    with torch.no_grad():
        made = run()
        assert counted
        monkeypatch.setattr(strips, 'in_parts', lambda x: False)
        counted.clear()
        whole = run()
        assert not counted
    return made, whole


@pytest.mark.parametrize('channels_last', [True, False])
@pytest.mark.parametrize('kind', ['naf', 'wide naf', 'modality', 'tga', 'cross', 'cross of three', 'encoder'])
def test_same_numbers(monkeypatch: pytest.MonkeyPatch, kind: str, channels_last: bool) -> None:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = [features(2, 8, 21, 26, seed=i).to(memory_format=layout) for i in range(3)]
    kept = [z.clone() for z in x]
    c, m = features(2, 12), torch.tensor([0, 1])
    if kind == 'naf':
        block = randomised(NAFBlock(8))
        run = lambda: [block(x[0])]  # noqa: E731
    elif kind == 'wide naf':
        block = randomised(NAFBlock(8, expand=4))
        run = lambda: [block(x[0])]  # noqa: E731
    elif kind == 'modality':
        block = randomised(BaseBlock(8, 2, 'add'))
        run = lambda: [block(x[0], m)]  # noqa: E731
    elif kind == 'tga':
        block = randomised(TGA(8, 12, num_heads=4))
        run = lambda: [block(x[0], c)]  # noqa: E731
    elif kind == 'encoder':
        block = randomised(LURETinyEncoder(12, channels=(12, 16), latent_channels=(12, 3), K_bt=(1, 1), K_tb=(1, 2),
                                           detail=dict(width=4), picture_latents=True))  # fmt: skip
        pictures = features(2, 3, 40, 56).sigmoid().to(memory_format=layout)
        run = lambda: block(pictures, c, m)  # noqa: E731
    else:
        count = 3 if 'three' in kind else 2
        block = randomised(CrossBlock(8, count, 4, 2.0, 'transposed', reverse=True))
        run = lambda: block(x[:count])  # noqa: E731
    for part, whole in zip(*both(monkeypatch, run), strict=True):
        scale = float(whole.abs().max())
        torch.testing.assert_close(part / scale, whole / scale, atol=3e-6, rtol=0)
    for before, after in zip(kept, x, strict=True):
        assert torch.equal(before, after)


def test_only_without_gradients_and_in_float32() -> None:
    x = features(1, 4, 8, 8)
    assert not strips.in_parts(x)
    with torch.no_grad():
        assert strips.in_parts(x)
        assert not strips.in_parts(x.bfloat16())
        assert not strips.in_parts(x.to('meta'))
        with torch.autocast('cpu', torch.bfloat16):
            assert not strips.in_parts(x)


def test_gradients_are_as_before() -> None:
    block = randomised(NAFBlock(8))
    x = features(1, 8, 12, 12).requires_grad_()
    block(x).square().mean().backward()
    assert x.grad.abs().max() > 0
    assert all(parameter.grad is not None for parameter in block.parameters())
