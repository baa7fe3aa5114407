from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lurefusion.config import load_config
from lurefusion.models.image_encoders import LUREEncoder, TextGuidedDetail, bottleneck_plan
from lurefusion.registry import DECODERS, FUSERS, IMAGE_ENCODERS, INTERACTIONS

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


@pytest.mark.parametrize('inner_residual', [True, False])
def test_blocks_of_pixels_lose_nothing(inner_residual: bool) -> None:
    image_encoder = encoder(
        patch=2, channels=(20, 16), latent_channels=(12, 8), K_bt=(2, 1), K_tb=(2, 1), inner_residual=inner_residual
    )
    decoder = DECODERS.build(dict(type='LUREDecoder', K_dec=(1, 1)), channels=(12, 8), strides=image_encoder.strides)
    x, c, m = rand(2, 3, 16, 24), rand(2, 16), torch.tensor([0, 1])
    z = image_encoder(x, c, m)
    assert image_encoder.strides == (2, 4)
    assert [tuple(s.shape) for s in z] == [(2, 12, 8, 12), (2, 8, 4, 6)]
    assert (decoder(z) - x).abs().max() > 0.1
    image_encoder.start_as_identity()
    decoder.start_as_identity()
    z = image_encoder(x, c, m)
    torch.testing.assert_close(decoder(z), x, atol=1e-6, rtol=0)
    # the coarser latent starts as the picture of its size
    torch.testing.assert_close(z[1][:, :3], nn.functional.avg_pool2d(x, 4), atol=1e-6, rtol=0)


@pytest.mark.parametrize('patch', [1, 2])
def test_identity_starts_at_every_scale_that_has_room(patch: int) -> None:
    sizes = dict(channels=(12, 8, 8, 8), latent_channels=(12, 3, 3, 2), K_bt=(1,) * 4, K_tb=(1, 1, 2, 1))
    image_encoder = encoder(patch=patch, **sizes)
    x, c, m = rand(2, 3, 16, 32), rand(2, 16), torch.tensor([0, 1])
    image_encoder.start_as_identity()
    z = image_encoder(x, c, m)
    for scale in (1, 2):
        small = nn.functional.avg_pool2d(x, patch * 2**scale)
        torch.testing.assert_close(z[scale][:, :3], small, atol=1e-6, rtol=0)
    assert z[3].shape == (2, 2, 16 // patch // 8, 32 // patch // 8)


def test_picture_latents_have_no_pattern_and_grey_pictures_no_colour() -> None:
    sizes = dict(patch=2, channels=(12, 8), latent_channels=(14, 4), K_bt=(1, 1), K_tb=(1, 1))
    bare, image_encoder = encoder(**sizes), encoder(**sizes, picture_latents=True)
    image_encoder.load_state_dict(bare.state_dict())
    x, c, m = rand(2, 3, 16, 24), rand(2, 16), torch.tensor([0, 1])
    x[1] = x[1, :1]
    z, raw = image_encoder(x, c, m), bare(x, c, m)
    for a, b, count in zip(z, raw, (12, 3), strict=True):
        assert torch.equal(a[:, count:], b[:, count:])
    # by hand: pixel k of a block, colour by colour
    added = z[0][:, :12].reshape(2, 3, 4, 8, 12) - torch.stack(
        [x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)], dim=2
    )
    means = added.mean(dim=(3, 4))
    torch.testing.assert_close(means, means[:, :, :1].expand_as(means), atol=1e-6, rtol=0)
    # what is taken out is one number for each channel, and of a block's pixels together nothing
    taken = (raw[0] - z[0])[0, :12].reshape(3, 4, 8, 12)
    torch.testing.assert_close(taken, taken[:, :, :1, :1].expand_as(taken), atol=1e-6, rtol=0)
    torch.testing.assert_close(taken.sum(dim=1), torch.zeros(3, 8, 12), atol=1e-5, rtol=0)
    assert torch.equal(z[1][0], raw[1][0])
    grey = z[1][1, :3]
    torch.testing.assert_close(grey, raw[1][1, :3].mean(0, keepdim=True).expand_as(grey))
    assert torch.equal(z[0][1, :4], z[0][1, 4:8])
    with pytest.raises(ValueError, match=r'latent_channels of at least \[12, 3\], got \[14, 2\]'):
        encoder(**{**sizes, 'latent_channels': (14, 2)}, picture_latents=True)


def test_identity_needs_room_for_the_picture() -> None:
    for inner_residual in (True, False):
        with pytest.raises(ValueError, match=r'patch=2 needs at least 12 channels .* got 8 and 4'):
            encoder(patch=2, inner_residual=inner_residual).start_as_identity()
    with pytest.raises(ValueError, match='patch must be 1, 2, 4'):
        encoder(patch=3)


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


def detail_branch(seed: int = 0) -> TextGuidedDetail:
    """One whose last convolution is past its start, opened by a positive first entry of c."""
    torch.manual_seed(seed)
    detail = TextGuidedDetail(text_dim=4, width=8)
    with torch.no_grad():
        nn.init.normal_(detail.body[-1].weight)
        detail.gate.weight[:] = torch.tensor([1.0, 0, 0, 0])
        detail.gate.bias[:] = 0
    return detail


@torch.no_grad()
def test_detail_adds_its_branch_as_far_as_the_text_opens_it() -> None:
    detail, x = detail_branch(), rand(4, 3, 12, 20)
    c = torch.tensor([[-3.0, 1, 1, 1], [0.25, 1, 1, 1], [1, 1, 1, 1], [7, 1, 1, 1]])
    added = detail.branch(x)
    assert added.abs().mean() > 0.01
    for mode in (True, False):
        out = detail.train(mode)(x, c)
        assert torch.equal(out[0], x[0])
        for row, share in ((1, 0.25), (2, 1), (3, 1)):
            torch.testing.assert_close(out[row], x[row] + share * added[row])
    # a picture does not change with the texts of others
    torch.testing.assert_close(detail(x[:1], c[:1]), x[:1], atol=0, rtol=0)


@torch.no_grad()
def test_detail_does_not_see_the_brightness() -> None:
    detail, x = detail_branch(), rand(1, 3, 40, 44)
    torch.testing.assert_close(detail.branch(x), detail.branch(x + 0.5), atol=1e-5, rtol=0)
    # a flat picture has no detail: what comes out is that of zeros
    torch.testing.assert_close(detail.branch(torch.full_like(x, 0.7)), detail.branch(torch.zeros_like(x)))


def test_detail_starts_as_nothing_and_learns() -> None:
    image_encoder = encoder(detail=dict(width=8))
    x, c, m = rand(2, 3, 16, 24), rand(2, 16), torch.tensor([0, 1])
    nn.init.constant_(image_encoder.detail.gate.bias, 2)
    with_detail = image_encoder(x, c, m)
    body, image_encoder.detail = image_encoder.detail, None
    for a, b in zip(with_detail, image_encoder(x, c, m), strict=True):
        torch.testing.assert_close(a, b)
    sum(z.square().sum() for z in with_detail).backward()
    assert body.body[-1].weight.grad.abs().sum() > 0


@pytest.mark.parametrize('inner_residual', [True, False])
@pytest.mark.parametrize('interaction', INTERACTIONS.known())
def test_identity_start_is_one_with_every_interaction(interaction: str, inner_residual: bool) -> None:
    image_encoder = encoder(
        channels=(12, 16), latent_channels=(4, 8), K_bt=(2, 1), K_tb=(2, 1), interaction=dict(type=interaction),
        inner_residual=inner_residual,
    )  # fmt: skip
    image_encoder.start_as_identity()
    x, c = rand(2, 3, 16, 24), rand(2, 16)
    for m in (0, 1):
        z = image_encoder(x, c, torch.full((2,), m))
        torch.testing.assert_close(z[0][:, :3], x, atol=1e-6, rtol=0)
        torch.testing.assert_close(z[1][:, :3], nn.functional.avg_pool2d(x, 2), atol=1e-6, rtol=0)


def test_extras_are_what_the_encoder_says() -> None:
    x, texts = rand(2, 3, 16, 16), rand(5, 16)
    assert encoder().extras(x, texts) == {}
    with_detail = encoder(detail=dict(width=4))
    for p in with_detail.detail.parameters():
        p.data += 0.1 * rand(*p.shape, seed=1)
    found = with_detail.extras(x, texts)
    torch.testing.assert_close(found['detailed'], x + with_detail.detail.branch(x))
    torch.testing.assert_close(found['gates'], with_detail.detail.gate(texts)[:, 0])
