from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lurefusion.models.interactions import (
    ICB,
    TGA,
    FiLM,
    Gate,
    Interaction,
    NoInteraction,
    TGABias,
    TGARow,
    TGASpatial,
)
from lurefusion.registry import INTERACTIONS

KINDS = {
    'tga': TGA,
    'tga_bias': TGABias,
    'tga_row': TGARow,
    'tga_spatial': TGASpatial,
    'gate': Gate,
    'none': NoInteraction,
    'icb': ICB,
    'film': FiLM,
}
TEXT_DIM = 32


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(kind: str, channels: int = 16, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return INTERACTIONS.build(kind, channels=channels, text_dim=TEXT_DIM)


class GateAfterProjection(TGA):
    """What the block must not be: the gate scales whole rows of the query, and the L2 norm undoes that."""

    def query(self, h: Tensor, w: Tensor, c: Tensor) -> Tensor:
        return self.q(h) * w[:, :, None, None]


def conv(x: Tensor, layer: nn.Conv2d) -> Tensor:
    return F.conv2d(x, layer.weight, layer.bias, padding=layer.padding, groups=layer.groups)


def norm(x: Tensor, layer: nn.Module) -> Tensor:
    return F.layer_norm(x.movedim(1, -1), x.shape[1:2], layer.weight, layer.bias, 1e-6).movedim(-1, 1)


def ffn(x: Tensor, layer: nn.Module) -> Tensor:
    a, b = conv(conv(x, layer.project_in), layer.dwconv).chunk(2, 1)
    return conv(F.gelu(a) * b, layer.project_out)


def attend(q: Tensor, k: Tensor, v: Tensor, block: nn.Module, row_weight: Tensor | None = None) -> Tensor:
    heads = []
    for head, (q_h, k_h, v_h) in enumerate(zip(*(t.flatten(2).chunk(4, 1) for t in (q, k, v)), strict=True)):
        logits = F.normalize(q_h, dim=-1) @ F.normalize(k_h, dim=-1).mT
        heads.append((logits * block.attention.temperature[head]).softmax(-1) @ v_h)
    out = torch.cat(heads, 1).view_as(v)
    if row_weight is not None:
        out = out * row_weight
    return conv(out, block.attention.project_out)


def reference(kind: str, block: nn.Module, x: Tensor, c: Tensor) -> Tensor:
    """Each block written down from its equation."""
    if kind == 'icb':
        gate = block.gate(c).sigmoid()[:, :, None, None]
        return x + block.block((x * block.gamma + block.beta) * gate)
    if kind == 'film':
        affine = block.affine(F.leaky_relu(block.hidden(c)))[:, :, None, None]
        return (1 + affine[:, : x.shape[1]]) * x + affine[:, x.shape[1] :]
    h = norm(x, block.norm1)
    if kind == 'none':
        q, k, v = conv(conv(h, block.qkv[0]), block.qkv[1]).chunk(3, 1)
        y = x + attend(q, k, v, block)
    elif kind == 'gate':
        y = x + conv(h * block.gate(c).sigmoid()[:, :, None, None], block.project_out)
    elif kind == 'tga_spatial':
        k, v = conv(conv(h, block.kv[0]), block.kv[1]).chunk(2, 1)
        q = block.q(c)
        heads = []
        for q_h, k_h, v_h in zip(q.chunk(4, 1), k.chunk(4, 1), v.chunk(4, 1), strict=True):
            where = torch.einsum('bd,bdhw->bhw', q_h, k_h) / q_h.shape[1] ** 0.5
            heads.append(v_h * where.sigmoid()[:, None])
        y = x + conv(torch.cat(heads, 1), block.project_out)
    else:
        w = block.gate(c).sigmoid()[:, :, None, None]
        q = conv(conv(h * w, block.q[0]), block.q[1])
        k, v = conv(conv(h, block.kv[0]), block.kv[1]).chunk(2, 1)
        if kind == 'tga_bias':
            q = q + block.bias(c)[:, :, None, None]
        y = x + attend(q, k, v, block, row_weight=w if kind == 'tga_row' else None)
    return y + ffn(norm(y, block.norm2), block.ffn)


@pytest.mark.parametrize('kind', KINDS)
def test_equals_its_equation(kind: str) -> None:
    block = build(kind)
    assert type(block) is KINDS[kind]
    for seed, parameter in enumerate(block.parameters()):
        parameter.data += 0.1 * rand(*parameter.shape, seed=seed)
    x, c = rand(2, 16, 6, 5), rand(2, TEXT_DIM, seed=1)
    out = block(x, c)
    assert out.shape == x.shape
    torch.testing.assert_close(out, reference(kind, block, x, c), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('kind', KINDS)
def test_every_parameter_learns(kind: str) -> None:
    block = build(kind)
    x, c = rand(2, 16, 6, 6), rand(2, TEXT_DIM, seed=1)
    optimizer = torch.optim.SGD(block.parameters(), lr=0.05)
    silent = []
    for _ in range(2):
        optimizer.zero_grad()
        block(x, c).pow(3).mean().backward()
        silent.append({name for name, p in block.named_parameters() if p.grad is None or not p.grad.any()})
        optimizer.step()
    # gamma = beta = 0, so that the first step moves them and the inner block's own beta and gamma alone
    late = {'gate.weight', 'gate.bias'} | {f'block.{name}' for name, _ in build('icb').block.named_parameters()}
    expected = late - {'block.beta', 'block.gamma'} if kind == 'icb' else set()
    assert silent == [expected, set()]


@pytest.mark.parametrize('kind', [kind for kind in KINDS if kind != 'none'])
def test_text_is_heard_and_learns(kind: str) -> None:
    block = build(kind)
    x = rand(2, 16, 8, 8)
    if kind == 'icb':
        for parameter in (block.gamma, block.beta):
            nn.init.constant_(parameter, 0.5)
    text = rand(2, TEXT_DIM, seed=1).requires_grad_()
    out = block(x, text)
    assert (out - block(x, rand(2, TEXT_DIM, seed=2))).abs().max() > 1e-4
    out.square().sum().backward()
    assert text.grad.norm() > 1e-4


def test_no_interaction_is_deaf() -> None:
    block, x = build('none'), rand(2, 16, 8, 8)
    assert torch.equal(block(x, rand(2, TEXT_DIM, seed=1)), block(x, rand(2, TEXT_DIM, seed=2)))


def test_icb_is_the_identity_at_first() -> None:
    block, x = build('icb'), rand(2, 16, 8, 8)
    assert torch.equal(block(x, rand(2, TEXT_DIM)), x)


def test_gate_after_the_query_projection_cancels() -> None:
    torch.manual_seed(0)
    good, dead = TGA(16, TEXT_DIM), GateAfterProjection(16, TEXT_DIM)
    dead.load_state_dict(good.state_dict())
    x = rand(1, 16, 16, 16)

    def sensitivity(block: nn.Module) -> tuple[float, float]:
        text = rand(1, TEXT_DIM, seed=1).requires_grad_()
        out = block(x, text)
        out.square().mean().backward()
        difference = (out - block(x, rand(1, TEXT_DIM, seed=2))).abs().max()
        return difference.item(), text.grad.norm().item()

    (difference, gradient), (no_difference, no_gradient) = sensitivity(good), sensitivity(dead)
    assert difference > 1e-4
    assert gradient > 1e-6
    assert no_difference < 1e-5
    assert no_gradient < 1e-3 * gradient


def test_text_of_one_row_does_not_reach_another() -> None:
    block, x, c = build('tga'), rand(2, 16, 8, 8), rand(2, TEXT_DIM, seed=1)
    other = torch.cat([c[:1], rand(1, TEXT_DIM, seed=3)])
    out, changed = block(x, c), block(x, other)
    torch.testing.assert_close(out[0], changed[0])
    assert (out[1] - changed[1]).abs().max() > 1e-4


@pytest.mark.parametrize(('channels', 'ratio'), [(48, 2.66), (96, 2.66), (16, 2.0)])
def test_size_of_tga(channels: int, ratio: float) -> None:
    block = TGA(channels, 256, num_heads=4, ffn_ratio=ratio)
    h = int(ratio * channels)
    expected = 4 * channels**2 + 3 * h * channels + 288 * channels + 18 * h + 4
    assert sum(p.numel() for p in block.parameters()) == expected


@pytest.mark.parametrize('kind', ['tga', 'tga_row', 'tga_spatial', 'none'])
def test_heads_must_divide_channels(kind: str) -> None:
    with pytest.raises(ValueError, match='num_heads=3 does not divide channels=16'):
        INTERACTIONS.build(dict(type=kind, num_heads=3), channels=16, text_dim=TEXT_DIM)


@pytest.mark.parametrize('kind', KINDS)
def test_a_config_may_swap_the_type_alone(kind: str) -> None:
    block = INTERACTIONS.build(dict(type=kind, num_heads=2, ffn_ratio=2.0), channels=8, text_dim=TEXT_DIM)
    assert block(rand(1, 8, 4, 4), rand(1, TEXT_DIM)).shape == (1, 8, 4, 4)


@pytest.mark.parametrize('kind', KINDS)
def test_bfloat16_stays_close_to_float32(kind: str) -> None:
    block = build(kind)
    x, c = rand(2, 16, 8, 8), rand(2, TEXT_DIM, seed=1)
    exact = block(x, c)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        low = block(x, c)
    assert (low.float() - exact).norm() / exact.norm() < 0.02


@pytest.mark.parametrize('kind', INTERACTIONS.known())
@pytest.mark.parametrize('count', [3, 12])
def test_every_interaction_lets_channels_pass(kind: str, count: int) -> None:
    block = build(kind)
    for seed, parameter in enumerate(block.parameters()):
        parameter.data += 0.3 * rand(*parameter.shape, seed=seed)
    x, c = rand(2, 16, 6, 5), rand(2, TEXT_DIM, seed=1)
    assert (block(x, c) - x)[:, :count].abs().max() > 1e-2
    block.let_pass(count)
    out = block(x, c)
    torch.testing.assert_close(out[:, :count], x[:, :count], atol=1e-6, rtol=0)
    # the others do as before, and all may learn
    assert (out - x)[:, count:].abs().max() > 1e-2
    assert all(parameter.requires_grad for parameter in block.parameters())


def test_interaction_that_does_not_say_how_is_named() -> None:
    class Silent(Interaction):
        def forward(self, x: Tensor, c: Tensor) -> Tensor:
            return 2 * x

    with pytest.raises(ValueError, match=r'identity_start=True asks for let_pass\(count\) of the interaction Silent'):
        Silent(8, TEXT_DIM).let_pass(3)
