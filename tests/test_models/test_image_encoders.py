from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lurefusion.config import load_config
from lurefusion.models.image_encoders import LUREEncoder, bottleneck_plan
from lurefusion.registry import DECODERS, FUSERS, IMAGE_ENCODERS

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
TINY = dict(text_dim=16, channels=(8, 16), latent_channels=(4, 8), K_bt=(1, 1), K_tb=(1, 2))


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def encoder(seed: int = 0, **changes: Any) -> LUREEncoder:
    torch.manual_seed(seed)
    return LUREEncoder(**{**TINY, **changes})


def size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def parts(model: dict) -> list[nn.Module]:
    """Encoder, decoder and fuser of a config, without memory for their weights."""
    with torch.device('meta'):
        image_encoder = IMAGE_ENCODERS.build(model['image_encoder'], text_dim=256, num_modalities=2)
        channels, strides = image_encoder.out_channels, image_encoder.strides
        decoder = DECODERS.build(model['decoder'], channels=channels, strides=strides)
        return [image_encoder, decoder, FUSERS.build(model['fuser'], channels=channels, num_modalities=2)]


@pytest.mark.parametrize(
    ('channels', 'latent', 'steps', 'expected'),
    [
        (48, 16, 2, [48, 32, 16]),
        (96, 32, 2, [96, 64, 32]),
        (192, 64, 4, [192, 160, 128, 96, 64]),
        (384, 128, 8, [384, 352, 320, 288, 256, 224, 192, 160, 128]),
        (16, 8, 1, [16, 8]),
        (20, 8, 3, [20, 16, 12, 8]),
    ],
)
def test_published_channel_plans(channels: int, latent: int, steps: int, expected: list[int]) -> None:
    assert bottleneck_plan(channels, latent, steps) == expected
    assert bottleneck_plan(channels, latent, steps, 'first') == [channels] + [latent] * steps
    assert bottleneck_plan(channels, latent, steps, 'last') == [channels] * steps + [latent]


@pytest.mark.parametrize('plan', ['linear', 'first', 'last'])
@pytest.mark.parametrize('steps', [1, 2, 3, 5, 8])
def test_channel_plans_fall_to_the_latent_width_in_multiples_of_four(plan: str, steps: int) -> None:
    for channels, latent in ((48, 16), (20, 8), (128, 64), (64, 64)):
        widths = bottleneck_plan(channels, latent, steps, plan)
        assert len(widths) == steps + 1
        assert (widths[0], widths[-1]) == (channels, latent)
        assert widths == sorted(widths, reverse=True)
        assert all(width % 4 == 0 for width in widths)


def test_bad_channel_plans() -> None:
    with pytest.raises(ValueError, match="channel_plan must be one of linear, first, last; got 'cosine'"):
        bottleneck_plan(8, 4, 2, 'cosine')
    with pytest.raises(ValueError, match='K_tb must be at least 1, got 0'):
        encoder(K_tb=(1, 0))


def published_size(plan: str) -> int:
    """Encoder of Sec. 4.1, counted by hand: NAFBlock 7C^2 + 33C, TGA 4C^2 + 3hC + 288C + 18h + 4 at D = 256."""

    def naf(c: int) -> int:
        return 7 * c * c + 33 * c

    def tga(c: int) -> int:
        h = int(2.66 * c)
        return 4 * c * c + 3 * h * c + 288 * c + 18 * h + 4

    widths, latents = (48, 96, 192, 384), (16, 32, 64, 128)
    total = 27 * 48 + 48 + sum(4 * a * b + b for a, b in zip(widths[:-1], widths[1:], strict=True))
    for c, latent, k_bt, k_tb in zip(widths, latents, (1, 1, 2, 2), (2, 2, 4, 8), strict=True):
        total += k_bt * (tga(c) + naf(c) + 2 * c) + c * latent + latent
        steps = bottleneck_plan(c, latent, k_tb, plan)
        total += sum(tga(a) + naf(a) + a * b + b for a, b in zip(steps[:-1], steps[1:], strict=True))
    return total


@pytest.mark.parametrize(
    ('plan', 'expected', 'millions'),
    [('linear', 25_281_453, 25.28), ('last', 37_862_759, 37.86), ('first', 16_525_507, 16.53)],
)
def test_size_of_the_published_model(plan: str, expected: int, millions: float) -> None:
    model = load_config(CONFIGS / 'lure/stage2_ir_vi.py').model
    model.image_encoder.channel_plan = plan
    image_encoder, *rest = parts(model)
    assert size(image_encoder) == published_size(plan)
    total = size(image_encoder) + sum(size(part) for part in rest)
    assert total == expected
    assert round(total / 1e6, 2) == millions


def test_size_of_the_tiny_model() -> None:
    model = load_config(CONFIGS / 'lure/stage2_tiny_ir_vi.py').model
    sizes = [size(part) for part in parts(model)]
    assert 1.8e6 < sum(sizes) <= 2.0e6


def test_modality_tables_of_the_published_model() -> None:
    image_encoder = parts(load_config(CONFIGS / 'lure/stage2_ir_vi.py').model)[0]
    tables = [m for m in image_encoder.modules() if isinstance(m, nn.Embedding)]
    assert sum(table.weight.numel() for table in tables) == 2 * (48 + 96 + 2 * 192 + 2 * 384)


def test_latents_halve() -> None:
    z = encoder(channels=(8, 12, 16), latent_channels=(4, 8, 12), K_bt=(1, 0, 1), K_tb=(1, 1, 1))(
        rand(2, 3, 16, 24), rand(2, 16), torch.tensor([0, 1])
    )
    assert [tuple(s.shape) for s in z] == [(2, 4, 16, 24), (2, 8, 8, 12), (2, 12, 4, 6)]


def test_declares_what_comes_out() -> None:
    image_encoder = encoder(latent_channels=[4, 8])
    assert image_encoder.out_channels == (4, 8)
    assert image_encoder.strides == (1, 2)


def test_level_equals_its_equation() -> None:
    image_encoder = encoder(K_bt=(2, 1), K_tb=(2, 1), latent_channels=(4, 8), channels=(12, 16))
    x, c, m = rand(2, 3, 8, 8), rand(2, 16), torch.tensor([1, 0])
    for p in image_encoder.parameters():
        p.data += 0.1 * rand(*p.shape, seed=1)
    level, u = image_encoder.levels[0], image_encoder.stem(x)
    for text_block, base in zip(level.base_text, level.base, strict=True):
        t = text_block(u, c)
        u = base.block(t + base.modality.table.weight[m][:, :, None, None])
    d = u
    for text_block, (block, drop) in zip(level.bottleneck_text, level.bottleneck, strict=True):
        d = nn.functional.conv2d(block(text_block(d, c)), drop.weight, drop.bias)
    phi_t = nn.functional.conv2d(u, level.linear.weight, level.linear.bias)
    torch.testing.assert_close(image_encoder(x, c, m)[0], phi_t - d, atol=1e-4, rtol=1e-4)


def test_inner_residual_is_a_linear_branch_alone() -> None:
    full, bare = encoder(), encoder(inner_residual=False)
    extra = set(full.state_dict()) - set(bare.state_dict())
    assert extra == {f'levels.{i}.linear.{name}' for i in range(2) for name in ('weight', 'bias')}
    assert size(full) - size(bare) == sum(c * latent + latent for c, latent in ((8, 4), (16, 8)))
    bare.load_state_dict({k: v for k, v in full.state_dict().items() if k not in extra})
    for level in full.levels:
        nn.init.zeros_(level.linear.weight)
        nn.init.zeros_(level.linear.bias)
    args = rand(2, 3, 16, 16), rand(2, 16), torch.tensor([0, 1])
    for z, d in zip(full(*args), bare(*args), strict=True):
        torch.testing.assert_close(z, -d)


@pytest.mark.parametrize(('kind', 'heard'), [('add', True), ('film', False), ('none', False)])
def test_modality_embedding_kinds(kind: str, heard: bool) -> None:
    image_encoder = encoder(modality_embedding=kind)
    x, c = rand(1, 3, 16, 16), rand(1, 16)
    one, two = (image_encoder(x, c, torch.tensor([m])) for m in range(2))
    # film starts as the identity
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True)) is not heard
    tables = [m for m in image_encoder.modules() if isinstance(m, nn.Embedding)]
    assert len(tables) == (0 if kind == 'none' else 2)
    if kind == 'film':
        for table in tables:
            nn.init.normal_(table.weight)
        two = image_encoder(x, c, torch.tensor([1]))
        assert (image_encoder(x, c, torch.tensor([0]))[0] - two[0]).abs().max() > 1e-3


def test_text_reaches_every_scale() -> None:
    image_encoder, x, m = encoder(), rand(1, 3, 16, 16), torch.tensor([0])
    one, two = (image_encoder(x, rand(1, 16, seed=s), m) for s in (1, 2))
    assert all((a - b).abs().max() > 1e-4 for a, b in zip(one, two, strict=True))


def test_rows_do_not_touch_each_other() -> None:
    image_encoder = encoder()
    x, c, m = rand(3, 3, 16, 16), rand(3, 16), torch.tensor([0, 1, 0])
    whole = image_encoder(x, c, m)
    for i in range(3):
        for z, alone in zip(whole, image_encoder(x[i : i + 1], c[i : i + 1], m[i : i + 1]), strict=True):
            torch.testing.assert_close(z[i : i + 1], alone, atol=1e-5, rtol=1e-4)


def test_lists_of_different_length_and_unknown_options_are_named() -> None:
    with pytest.raises(ValueError, match=r"one entry per level.*'K_tb': 3"):
        encoder(K_tb=(1, 1, 1))
    with pytest.raises(ValueError, match='num_heads=3 does not divide channels=8'):
        encoder(interaction=dict(type='TGA', num_heads=3))
    with pytest.raises(KeyError, match="Did you mean 'TGA'"):
        encoder(interaction='TGAA')
    with pytest.raises(ValueError, match='modality_embedding must be one of'):
        encoder(modality_embedding='sum')
