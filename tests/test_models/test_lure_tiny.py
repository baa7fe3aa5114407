"""What lure-tiny adds to the paper's parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lurefusion.models.fusion import CrossAttentionFuser
from lurefusion.models.image_encoders import LUREEncoder
from lurefusion.models.lure_tiny import LURETinyDecoder, LURETinyEncoder, LURETinyFuser, TextGuidedDetail, keep_chroma
from lurefusion.ops.colour import rgb_to_ycbcr
from lurefusion.registry import FUSERS, IMAGE_ENCODERS, INTERACTIONS

SIZES = dict(text_dim=16, channels=(8, 16), latent_channels=(4, 8), K_bt=(1, 1), K_tb=(1, 2))


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def encoder(seed: int = 0, **changes: Any) -> LURETinyEncoder:
    """One whose first values are those of the paper's."""
    torch.manual_seed(seed)
    return LURETinyEncoder(**{**SIZES, 'identity_start': False, **changes})


def fuser(**changes: Any) -> LURETinyFuser:
    torch.manual_seed(0)
    sizes = dict(channels=(12, 3), K_f=(1, 2), num_heads=2, ffn_ratio=2.0, widths=(8, 8))
    return LURETinyFuser(**{**sizes, **changes})


def test_without_its_additions_it_is_the_papers_encoder() -> None:
    plain = LUREEncoder(**SIZES)
    image_encoder = encoder(patch=1)
    image_encoder.load_state_dict(plain.state_dict())
    x, c, m = rand(2, 3, 16, 24), rand(2, 16), torch.tensor([0, 1])
    assert image_encoder.strides == plain.strides == (1, 2)
    assert all(torch.equal(a, b) for a, b in zip(image_encoder(x, c, m), plain(x, c, m), strict=True))
    assert [name for name, _ in image_encoder.named_parameters()] == [name for name, _ in plain.named_parameters()]


def test_parameters_are_numbered_in_the_order_in_which_a_picture_meets_them() -> None:
    """Checkpoints of optimizers number them, and trainings are resumed from these."""
    image_encoder = encoder(detail=dict(width=4))
    assert [name for name, _ in image_encoder.named_children()] == ['detail', 'stem', 'levels', 'down']


@pytest.mark.parametrize('start', [True, False])
def test_parts_start_as_their_options_say(start: bool) -> None:
    image_encoder = encoder(
        patch=2, channels=(12, 16), latent_channels=(12, 8), K_tb=(1, 1), identity_start=start, picture_latents=True
    )
    decoder = LURETinyDecoder((12, 8), image_encoder.strides, identity_start=start, K_dec=(1, 1))
    x = rand(2, 3, 16, 24)
    z = image_encoder(x, rand(2, 16), torch.tensor([0, 1]))
    assert torch.allclose(decoder(z), x, atol=1e-5) is start


def test_an_option_of_lure_tiny_for_the_papers_part_is_answered_with_the_part_to_name() -> None:
    cfg = dict(SIZES, type='LUREEncoder', patch=2, detail=dict(width=4))
    with pytest.raises(
        TypeError, match=r"unexpected keyword argument 'patch'\. LURETinyEncoder accepts patch, detail\."
    ):
        IMAGE_ENCODERS.build(cfg)
    with pytest.raises(TypeError, match=r"argument 'chroma'\..* LURETinyFuser accepts chroma\."):
        FUSERS.build(dict(type='CrossAttentionFuser', chroma=0), channels=(3,), num_modalities=2)
    with pytest.raises(TypeError, match=r"'channelz'\. Did you mean 'channels'\? It accepts: .*channel_plan"):
        IMAGE_ENCODERS.build(dict(type='LURETinyEncoder', channelz=(8,)))


@pytest.mark.parametrize('inner_residual', [True, False])
def test_blocks_of_pixels_lose_nothing(inner_residual: bool) -> None:
    image_encoder = encoder(
        patch=2, channels=(20, 16), latent_channels=(12, 8), K_bt=(2, 1), K_tb=(2, 1), inner_residual=inner_residual
    )
    decoder = LURETinyDecoder((12, 8), image_encoder.strides, identity_start=False, K_dec=(1, 1))
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
    # of the coarse latent one number for each colour, so that it is as bright as the finest
    moved = (z[1] - raw[1])[0, :3]
    torch.testing.assert_close(moved, moved[:, :1, :1].expand_as(moved), atol=1e-6, rtol=0)
    for i in (0, 1):
        finest = z[0][i, :12].reshape(3, -1).mean(1)
        torch.testing.assert_close(z[1][i, :3].mean(dim=(1, 2)), finest, atol=1e-6, rtol=0)
    grey = z[1][1, :3]
    assert torch.equal(grey, grey[:1].expand_as(grey))
    shape = raw[1][1, :3].mean(0)
    torch.testing.assert_close(grey[0] - grey[0].mean(), shape - shape.mean(), atol=1e-6, rtol=0)
    assert torch.equal(z[0][1, :4], z[0][1, 4:8])
    with pytest.raises(ValueError, match=r'latent_channels of at least \[12, 3\], got \[14, 2\]'):
        encoder(**{**sizes, 'latent_channels': (14, 2)}, picture_latents=True)


def test_identity_needs_room_for_the_picture() -> None:
    for inner_residual in (True, False):
        with pytest.raises(ValueError, match=r'patch=2 needs at least 12 channels .* got 8 and 4'):
            encoder(patch=2, inner_residual=inner_residual).start_as_identity()
    with pytest.raises(ValueError, match='patch must be 1, 2, 4'):
        encoder(patch=3)


@pytest.mark.parametrize('inner_residual', [True, False])
@pytest.mark.parametrize('interaction', INTERACTIONS.known())
def test_identity_start_is_one_with_every_interaction(interaction: str, inner_residual: bool) -> None:
    image_encoder = encoder(
        patch=1, channels=(12, 16), latent_channels=(4, 8), K_bt=(2, 1), K_tb=(2, 1), inner_residual=inner_residual,
        interaction=dict(type=interaction),
    )  # fmt: skip
    image_encoder.start_as_identity()
    x, c = rand(2, 3, 16, 24), rand(2, 16)
    for m in (0, 1):
        z = image_encoder(x, c, torch.full((2,), m))
        torch.testing.assert_close(z[0][:, :3], x, atol=1e-6, rtol=0)
        torch.testing.assert_close(z[1][:, :3], nn.functional.avg_pool2d(x, 2), atol=1e-6, rtol=0)


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
    image_encoder = encoder(patch=1, detail=dict(width=8))
    x, c, m = rand(2, 3, 16, 24), rand(2, 16), torch.tensor([0, 1])
    nn.init.constant_(image_encoder.detail.gate.bias, 2)
    with_detail = image_encoder(x, c, m)
    body, image_encoder.detail = image_encoder.detail, None
    for a, b in zip(with_detail, image_encoder(x, c, m), strict=True):
        torch.testing.assert_close(a, b)
    sum(z.square().sum() for z in with_detail).backward()
    assert body.body[-1].weight.grad.abs().sum() > 0


def test_extras_are_what_the_encoder_says() -> None:
    x, texts = rand(2, 3, 16, 16), rand(5, 16)
    assert encoder().extras(x, texts) == {}
    with_detail = encoder(detail=dict(width=4))
    for p in with_detail.detail.parameters():
        p.data += 0.1 * rand(*p.shape, seed=1)
    found = with_detail.extras(x, texts)
    torch.testing.assert_close(found['detailed'], x + with_detail.detail.branch(x))
    torch.testing.assert_close(found['gates'], with_detail.detail.gate(texts)[:, 0])


@pytest.mark.parametrize('pixels', [1, 4])
def test_keep_chroma_is_luma_of_one_and_chroma_of_the_other(pixels: int) -> None:
    fused, owner = (torch.rand(2, 3 * pixels, 6, 5, generator=torch.Generator().manual_seed(s)) for s in range(2))
    # planes of one colour lie side by side, as pixel unshuffle makes them
    pictures = [x.double().unflatten(1, (3, pixels)) for x in (keep_chroma(fused, owner), fused, owner)]
    out, of_luma, of_chroma = ([plane.numpy() for plane in rgb_to_ycbcr(*x.unbind(1))] for x in pictures)
    np.testing.assert_allclose(out[0], of_luma[0], atol=1e-6)
    np.testing.assert_allclose(out[1], of_chroma[1], atol=1e-6)
    np.testing.assert_allclose(out[2], of_chroma[2], atol=1e-6)


@pytest.mark.parametrize('owner', [0, 1])
def test_colours_of_one_modality_stay_whatever_is_learned(owner: int) -> None:
    channels = (12, 3)
    net = fuser(chroma=owner, rule='l1_pyramid')
    for conv in net.zero:
        torch.nn.init.normal_(conv.weight)
    z = [[rand(2, c, 16 >> i, 12 >> i, seed=10 * m + i) for i, c in enumerate(channels)] for m in range(2)]
    sizes = dict(K_f=(1, 2), num_heads=2, ffn_ratio=2.0, widths=(8, 8))
    free = CrossAttentionFuser(channels, rule='l1_pyramid', **sizes)
    free.load_state_dict(net.state_dict())
    for fused, other, own in zip(net(z), free(z), z[owner], strict=True):
        parts = [rgb_to_ycbcr(*x.unflatten(1, (3, -1)).unbind(1)) for x in (fused, other, own)]
        torch.testing.assert_close(parts[0][0], parts[1][0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(parts[0][1], parts[2][1], atol=1e-4, rtol=1e-4)
        assert not torch.allclose(parts[1][1], parts[2][1], atol=1e-2)


def test_a_grey_owner_makes_the_fused_latents_grey() -> None:
    net = fuser(chroma=0)
    grey = [rand(1, 4, 16, 12).repeat(1, 3, 1, 1), rand(1, 1, 8, 6).expand(-1, 3, -1, -1)]
    coloured = [rand(1, 12, 16, 12, seed=1), rand(1, 3, 8, 6, seed=2)]
    for fused in net([grey, coloured]):
        red, green, blue = fused.unflatten(1, (3, -1)).unbind(1)
        torch.testing.assert_close(red, green)
        torch.testing.assert_close(green, blue)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(chroma=2), 'fuser.chroma is the number of a modality, 0 to 1; got 2'),
        (dict(chroma=-1), 'fuser.chroma is the number of a modality, 0 to 1; got -1'),
        (
            dict(chroma=0, channels=(4, 8)),
            r'fuser.chroma=0 needs latents that are RGB pictures .*latent_channels=\[4, 8\]',
        ),
    ],
)
def test_bad_owners_of_the_colour(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fuser(**changes)


def test_identity_needs_a_skip_that_adds() -> None:
    with pytest.raises(ValueError, match=r"decoder\.identity_start needs decoder\.skip='add'"):
        LURETinyDecoder((4, 8), (1, 2), K_dec=(1, 1), skip='concat')
