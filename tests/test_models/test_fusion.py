from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from lurefusion.models.baselines import fuse_laplacian_pyramid
from lurefusion.models.fusion import (
    CrossAttentionFuser,
    CrossBlock,
    FusionRule,
    RuleFuser,
    WindowAttention,
)
from lurefusion.registry import FUSERS, FUSION_RULES

RULES = ('l1', 'l1_pyramid', 'mean', 'sum', 'exp', 'max', 'none')
CHANNELS = (4, 8)


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def latents(modalities: int = 2, height: int = 16, width: int = 12) -> list[list[Tensor]]:
    return [
        [rand(2, channels, height >> i, width >> i, seed=10 * m + i) for i, channels in enumerate(CHANNELS)]
        for m in range(modalities)
    ]


def fuser(**changes: Any) -> CrossAttentionFuser:
    torch.manual_seed(0)
    return CrossAttentionFuser(**{**dict(channels=CHANNELS, K_f=(1, 2), num_heads=2, ffn_ratio=2.0), **changes})


def naive_l1(z: list[np.ndarray], radius: int) -> np.ndarray:
    activity = [np.abs(s).sum(axis=1, keepdims=True) for s in z]
    window = (1, 1, 2 * radius + 1, 2 * radius + 1)
    activity = [ndimage.uniform_filter(a, window, mode='nearest') for a in activity]
    return sum(a * s for a, s in zip(activity, z, strict=True)) / (sum(activity) + 1e-8)


# rules


@pytest.mark.parametrize('radius', [0, 1, 3])
@pytest.mark.parametrize('modalities', [2, 3])
def test_l1_equals_scipy(radius: int, modalities: int) -> None:
    z = [rand(2, 4, 9, 7, seed=s) for s in range(modalities)]
    out = FUSION_RULES.build(dict(type='l1', radius=radius))(z)
    np.testing.assert_allclose(out, naive_l1([s.double().numpy() for s in z], radius), atol=1e-5)


def test_l1_takes_a_power_of_the_activity() -> None:
    z = [rand(2, 4, 9, 7, seed=s) for s in range(2)]
    activity = [np.abs(s.double().numpy()).sum(axis=1, keepdims=True) ** 0.25 for s in z]
    expected = sum(a * s.double().numpy() for a, s in zip(activity, z, strict=True)) / sum(activity)
    out = FUSION_RULES.build(dict(type='l1', radius=0, power=0.25))(z)
    np.testing.assert_allclose(out, expected, atol=1e-5)
    mean = FUSION_RULES.build(dict(type='l1', power=0))(z)
    np.testing.assert_allclose(mean, sum(z) / 2, atol=1e-6)
    silent = [torch.zeros(1, 4, 8, 8, requires_grad=True) for _ in range(2)]
    FUSION_RULES.build(dict(type='l1', power=0.25))(silent).sum().backward()
    assert silent[0].grad.isfinite().all()


def test_l1_pyramid_equals_opencv_and_scipy() -> None:
    z = [rand(1, 3, 21, 14, seed=s) for s in range(2)]
    rest, bands = [s[0].permute(1, 2, 0).double().numpy() for s in z], []
    for _ in range(2):
        coarse = [cv2.pyrDown(x) for x in rest]
        bands.append([x - cv2.pyrUp(c, dstsize=x.shape[1::-1]) for x, c in zip(rest, coarse, strict=True)])
        rest = coarse

    def weigh(parts: list[np.ndarray], power: float) -> np.ndarray:
        activity = [ndimage.uniform_filter(np.abs(x).sum(2), 3, mode='nearest')[..., None] ** power for x in parts]
        return sum(a * x for a, x in zip(activity, parts, strict=True)) / sum(activity)

    expected = weigh(rest, 0.5)
    for band in reversed(bands):
        expected = weigh(band, 2.0) + cv2.pyrUp(expected, dstsize=band[0].shape[1::-1])
    rule = FUSION_RULES.build(dict(type='l1_pyramid', radius=1, power=2.0, levels=2, base_power=0.5))
    np.testing.assert_allclose(rule(z)[0].permute(1, 2, 0), expected, atol=1e-4)


def test_l1_pyramid_of_a_high_power_chooses_like_the_laplacian_pyramid() -> None:
    z = [rand(1, 1, 40, 33, seed=s) for s in range(2)]
    rule = FUSION_RULES.build(dict(type='l1_pyramid', radius=0, power=400.0, levels=3))
    difference = (rule([s.double() for s in z]) - fuse_laplacian_pyramid([s.double() for s in z], 3)).abs()
    # a few coefficients are nearly of one size, where the choice is soft
    assert difference.median() < 1e-6


def test_l1_pyramid_takes_what_levels_a_latent_has() -> None:
    z = [rand(1, 4, 8, 6, seed=s) for s in range(2)]
    build = lambda levels: FUSION_RULES.build(dict(type='l1_pyramid', levels=levels))  # noqa: E731
    torch.testing.assert_close(build(9)(z), build(2)(z))
    tiny = [s[..., :2, :2] for s in z]
    torch.testing.assert_close(build(4)(tiny), sum(tiny) / 2)
    with pytest.raises(ValueError, match=r'levels >= 1 and base_power >= 0, got 0 and 0\.0'):
        build(0)


def test_l1_pyramid_of_silent_sources_has_finite_gradients() -> None:
    z = [torch.zeros(1, 4, 16, 16, requires_grad=True) for _ in range(2)]
    FUSION_RULES.build(dict(type='l1_pyramid', power=1.5, base_power=0.25))(z).sum().backward()
    assert z[0].grad.isfinite().all()


@pytest.mark.parametrize('name', ['l1', 'mean', 'exp', 'max'])
def test_convex_rules_stay_between_the_sources(name: str) -> None:
    rule, z = FUSION_RULES.build(name), [rand(2, 4, 8, 8, seed=s) for s in range(3)]
    out, stacked = rule(z), torch.stack(z)
    assert (out <= stacked.amax(0) + 1e-5).all()
    assert (out >= stacked.amin(0) - 1e-5).all()
    torch.testing.assert_close(rule([z[0], z[0]]), z[0])


@pytest.mark.parametrize('name', RULES)
def test_rules_are_symmetric_and_without_parameters(name: str) -> None:
    rule, (a, b) = FUSION_RULES.build(name), [rand(2, 4, 8, 8, seed=s) for s in range(2)]
    torch.testing.assert_close(rule([a, b]), rule([b, a]))
    assert rule([a, b]).shape == a.shape
    assert not list(rule.parameters())


def test_l1_is_the_mean_at_equal_activity() -> None:
    a = rand(2, 4, 8, 8)
    b = a.abs() * rand(2, 4, 8, 8, seed=1).sign()
    torch.testing.assert_close(FUSION_RULES.build('l1')([a, b]), (a + b) / 2)


def test_l1_of_silent_sources_is_zero_and_finite() -> None:
    z = [torch.zeros(1, 4, 8, 8, requires_grad=True) for _ in range(2)]
    out = FUSION_RULES.build('l1')(z)
    out.sum().backward()
    assert not out.any()
    assert z[0].grad.isfinite().all()
    with pytest.raises(ValueError, match=r'radius and power of the l1 rule must not be negative, got -1 and 1\.0'):
        FUSION_RULES.build(dict(type='l1', radius=-1))


def test_mean_sum_max_none_by_hand() -> None:
    a, b = torch.tensor([1.0, -4.0, 2.0]), torch.tensor([-3.0, 2.0, 2.0])
    z = [a.view(1, 3, 1, 1), b.view(1, 3, 1, 1)]
    expected = {'mean': [-1.0, -1.0, 2.0], 'sum': [-2.0, -2.0, 4.0], 'max': [-3.0, -4.0, 2.0], 'none': [0.0] * 3}
    for name, values in expected.items():
        assert FUSION_RULES.build(name)(z).flatten().tolist() == values, name


def test_exp_is_a_softmax_of_channel_sums_without_overflow() -> None:
    z = [rand(1, 4, 3, 3, seed=s) for s in range(2)]
    sums = np.stack([s.double().numpy().sum(axis=1, keepdims=True) for s in z])
    weights = np.exp(sums) / np.exp(sums).sum(axis=0)
    expected = sum(w * s.numpy() for w, s in zip(weights, z, strict=True))
    np.testing.assert_allclose(FUSION_RULES.build('exp')(z), expected, atol=1e-5)
    huge = [1e4 * s for s in z]
    assert FUSION_RULES.build('exp')(huge).isfinite().all()


def test_a_rule_keeps_the_shape() -> None:
    class Pooled(FusionRule):
        def forward(self, z: list[Tensor]) -> Tensor:
            return z[0].mean(1, keepdim=True)

    message = r'fusion rule Pooled returned \(2, 1, 16, 12\) for latents of \(2, 4, 16, 12\)'
    with pytest.raises(ValueError, match=message):
        RuleFuser(CHANNELS, rule=dict(type=Pooled))(latents())
    with pytest.raises(ValueError, match=message):
        fuser(rule=dict(type=Pooled))(latents())


@pytest.mark.parametrize('name', RULES)
def test_rule_fuser_applies_the_rule_to_every_scale(name: str) -> None:
    z = latents(3)
    fused = FUSERS.build(dict(type='RuleFuser', rule=name), channels=CHANNELS, num_modalities=3)(z)
    rule = FUSION_RULES.build(name)
    for i, out in enumerate(fused):
        torch.testing.assert_close(out, rule([z[m][i] for m in range(3)]))


# cross attention


@pytest.mark.parametrize('rule', ['l1', 'mean', 'sum'])
@pytest.mark.parametrize('attention', ['transposed', 'window'])
@pytest.mark.parametrize('modalities', [2, 3])
def test_starts_as_the_rule_exactly(rule: str, attention: str, modalities: int) -> None:
    z = latents(modalities)
    fused = fuser(rule=rule, attention=attention, num_modalities=modalities)(z)
    expected = RuleFuser(CHANNELS, modalities, rule)(z)
    assert all(torch.equal(a, b) for a, b in zip(fused, expected, strict=True))


@pytest.mark.parametrize('attention', ['transposed', 'window'])
@pytest.mark.parametrize('modalities', [2, 3])
@pytest.mark.parametrize(('reverse', 'widths'), [(False, None), (True, None), (False, (8, 12))])
def test_everything_learns_after_the_zero_convolution_moved(
    attention: str, modalities: int, reverse: bool, widths: tuple[int, ...] | None
) -> None:
    net = fuser(attention=attention, num_modalities=modalities, reverse=reverse, widths=widths)
    z = latents(modalities)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    silent = []
    for _ in range(2):
        optimizer.zero_grad()
        sum((s - 1).square().mean() for s in net(z)).backward()
        silent.append({name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()})
        optimizer.step()
    assert silent[0] == {name for name, _ in net.named_parameters() if not name.startswith('zero.')}
    assert silent[1] == set()


def test_widths_are_those_of_the_blocks_alone() -> None:
    net, z = fuser(widths=(8, 12), zero_init=False), latents()
    assert [s.shape for s in net(z)] == [s.shape for s in z[0]]
    assert [block.norm1[0].weight.numel() for scale in net.cross for block in scale] == [8, 12, 12]
    assert all(torch.equal(a, b) for a, b in zip(fuser(widths=(8, 12))(z), RuleFuser(CHANNELS)(z), strict=True))


@pytest.mark.parametrize(
    ('rule', 'zero_init', 'starts_at_zero'),
    [('l1', None, True), ('none', None, False), ('none', True, True), ('l1', False, False)],
)
def test_zero_init(rule: str, zero_init: bool | None, starts_at_zero: bool) -> None:
    net = fuser(rule=rule, zero_init=zero_init)
    assert [not conv.weight.any() and not conv.bias.any() for conv in net.zero] == [starts_at_zero] * 2
    fused = net(latents())
    if rule == 'none':
        assert any(s.any() for s in fused) is not starts_at_zero


@pytest.mark.parametrize('modalities', [2, 3])
def test_cross_block_asks_the_others(modalities: int) -> None:
    torch.manual_seed(0)
    block = CrossBlock(8, modalities, 2, 2.0, 'transposed', False)
    z = [rand(2, 8, 6, 5, seed=m) for m in range(modalities)]
    h = [block.norm1[m](z[m]) for m in range(modalities)]
    for m, out in enumerate(block(z)):
        others = [block.kv[o](h[o]) for o in range(modalities) if o != m]
        k, v = torch.stack(others).mean(0).split(8, dim=1)
        q = block.q[m](h[m])
        heads = []
        for q_h, k_h, v_h in zip(*(t.flatten(2).chunk(2, 1) for t in (q, k, v)), strict=True):
            heads.append((F.normalize(q_h, dim=-1) @ F.normalize(k_h, dim=-1).mT).softmax(-1) @ v_h)
        y = z[m] + F.conv2d(torch.cat(heads, 1).view_as(z[m]), block.attention[m].project_out.weight)
        torch.testing.assert_close(out, y + block.ffn[m](block.norm2[m](y)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('reverse', [False, True])
@pytest.mark.parametrize(('height', 'width'), [(8, 8), (16, 8), (13, 10), (5, 17)])
def test_window_attention_equals_loops(reverse: bool, height: int, width: int) -> None:
    torch.manual_seed(0)
    attention = WindowAttention(6, num_heads=2, reverse=reverse)
    q, k, v = (rand(2, 6, height, width, seed=s) for s in range(3))
    rows, columns = -(-height // 8) * 8, -(-width // 8) * 8
    padding = ((0, 0), (0, 0), (0, rows - height), (0, columns - width))
    q_p, k_p, v_p = (np.pad(t.double().numpy(), padding, mode='edge') for t in (q, k, v))
    mixed = np.zeros_like(v_p)
    for b, head, i, j in np.ndindex(2, 2, rows // 8, columns // 8):
        place = b, slice(3 * head, 3 * head + 3), slice(8 * i, 8 * i + 8), slice(8 * j, 8 * j + 8)
        q_dN, k_dN, v_dN = (t[place].reshape(3, 64) for t in (q_p, k_p, v_p))
        weights = np.exp((-1 if reverse else 1) * q_dN.T @ k_dN / np.sqrt(3))
        mixed[place] = (v_dN @ (weights / weights.sum(axis=1, keepdims=True)).T).reshape(3, 8, 8)
    matrix = attention.project_out.weight[:, :, 0, 0].detach().double().numpy()
    expected = np.einsum('oc,bchw->bohw', matrix, mixed[..., :height, :width])
    np.testing.assert_allclose(attention(q, k, v).detach(), expected, atol=1e-5)


def test_modalities_have_weights_of_their_own() -> None:
    net = fuser(zero_init=False)
    z = latents()
    assert (net(z)[0] - net(z[::-1])[0]).abs().max() > 1e-3


def test_published_size() -> None:
    net = CrossAttentionFuser()

    def block(c: int) -> int:
        h = int(2.66 * c)
        return 2 * (4 * c * c + 27 * c + 4 + 4 * c + 3 * h * c + 18 * h)

    widths, depths = (16, 32, 64, 128), (1, 1, 2, 2)
    expected = sum(k * block(c) + 3 * c * c + 2 * c for c, k in zip(widths, depths, strict=True))
    assert sum(p.numel() for p in net.parameters()) == expected
    assert round(expected / 1e6, 3) == 1.145


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(K_f=(1, 1, 1)), 'fuser.K_f has 3 entries for 2 latents'),
        (dict(widths=(4,)), 'fuser.widths has 1 entries for 2 latents'),
        (dict(num_modalities=1), 'at least two modalities, got 1'),
        (dict(attention='full'), "attention must be one of transposed, window; got 'full'"),
        (dict(num_heads=3), 'num_heads=3 does not divide channels=4'),
        (dict(num_heads=3, attention='window'), 'num_heads=3 does not divide channels=4'),
    ],
)
def test_bad_options(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fuser(**changes)


def test_unknown_rule_is_named() -> None:
    with pytest.raises(KeyError, match='is not a registered fusion rule'):
        fuser(rule='median')
