"""Layers against loops over pixels, channels and heads in float64 NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lurefusion.models.layers import (
    GDFN,
    LayerNorm2d,
    ModalityEmbedding,
    NAFBlock,
    PointwiseConv,
    TransposedAttention,
    Upsample,
    conv1x1,
    depthwise3x3,
)


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def randomise(module: nn.Module, seed: int = 1) -> nn.Module:
    """Random values also where the initial ones are 0 or 1, so that no factor hides."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.5
    return module


def array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def close(actual: Tensor, expected: np.ndarray, rtol: float = 1e-4) -> None:
    np.testing.assert_allclose(array(actual), expected, rtol=rtol, atol=1e-4 * np.abs(expected).max())


# references, all on (B,C,H,W)


def naive_layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float = 1e-6) -> np.ndarray:
    out = np.empty_like(x)
    for b, i, j in np.ndindex(x.shape[0], *x.shape[2:]):
        pixel = x[b, :, i, j]
        mean = sum(pixel) / len(pixel)
        variance = sum((pixel - mean) ** 2) / len(pixel)
        out[b, :, i, j] = (pixel - mean) / math.sqrt(variance + eps) * weight + bias
    return out


def naive_conv1x1(x: np.ndarray, conv: nn.Conv2d) -> np.ndarray:
    matrix = array(conv.weight)[:, :, 0, 0]
    out = np.empty((x.shape[0], len(matrix), *x.shape[2:]))
    for b, i, j in np.ndindex(x.shape[0], *x.shape[2:]):
        out[b, :, i, j] = matrix @ x[b, :, i, j] + (0 if conv.bias is None else array(conv.bias))
    return out


def naive_depthwise3x3(x: np.ndarray, conv: nn.Conv2d) -> np.ndarray:
    kernel = array(conv.weight)
    out = np.zeros_like(x)
    for i, j, di, dj in np.ndindex(*x.shape[2:], 3, 3):
        row, column = i + di - 1, j + dj - 1
        if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
            out[:, :, i, j] += x[:, :, row, column] * kernel[:, 0, di, dj]
    return out if conv.bias is None else out + array(conv.bias)[:, None, None]


def naive_naf_block(x: np.ndarray, block: NAFBlock) -> np.ndarray:
    wide = naive_conv1x1(naive_layer_norm(x, array(block.norm1.weight), array(block.norm1.bias)), block.conv1)
    wide = naive_depthwise3x3(wide, block.conv2)
    half = wide.shape[1] // 2
    y = wide[:, :half] * wide[:, half:]
    y = y * naive_conv1x1(y.mean(axis=(2, 3), keepdims=True), block.sca)
    x = x + naive_conv1x1(y, block.conv3) * array(block.beta)
    wide = naive_conv1x1(naive_layer_norm(x, array(block.norm2.weight), array(block.norm2.bias)), block.conv4)
    return x + naive_conv1x1(wide[:, :half] * wide[:, half:], block.conv5) * array(block.gamma)


def naive_gdfn(x: np.ndarray, ffn: GDFN) -> np.ndarray:
    wide = naive_depthwise3x3(naive_conv1x1(x, ffn.project_in), ffn.dwconv)
    half = wide.shape[1] // 2
    gelu = np.vectorize(lambda t: t * 0.5 * (1 + math.erf(t / math.sqrt(2))))
    return naive_conv1x1(gelu(wide[:, :half]) * wide[:, half:], ffn.project_out)


def naive_mdta(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, attention: TransposedAttention, sign: float, row_weight: np.ndarray
) -> np.ndarray:
    batch, channels, height, width = q.shape
    heads, tau = attention.num_heads, array(attention.temperature).ravel()
    depth = channels // heads
    mixed = np.zeros((batch, channels, height * width))
    for b, head in np.ndindex(batch, heads):
        rows = slice(head * depth, (head + 1) * depth)
        q_dN, k_dN, v_dN = (t[b, rows].reshape(depth, -1) for t in (q, k, v))
        for r in range(depth):
            cosines = [q_dN[r] @ k_dN[s] / (np.linalg.norm(q_dN[r]) * np.linalg.norm(k_dN[s])) for s in range(depth)]
            weights = np.exp(sign * tau[head] * np.array(cosines))
            mixed[b, rows][r] = row_weight[b, head * depth + r] * (weights / weights.sum()) @ v_dN
    return naive_conv1x1(mixed.reshape(batch, channels, height, width), attention.project_out)


# the layers


def test_layer_norm_equals_loops_and_is_no_group_norm() -> None:
    norm = randomise(LayerNorm2d(6))
    x = rand(2, 6, 4, 5) * 3 + 1
    close(norm(x), naive_layer_norm(array(x), array(norm.weight), array(norm.bias)))
    plain = LayerNorm2d(6)(x)
    torch.testing.assert_close(plain.mean(1), torch.zeros(2, 4, 5), atol=1e-6, rtol=0)
    torch.testing.assert_close(plain.var(1, unbiased=False), torch.ones(2, 4, 5), atol=1e-4, rtol=0)
    pooled = nn.GroupNorm(1, 6)(x)
    assert (plain - pooled).abs().max() > 0.1


def test_layer_norm_keeps_dtype_and_memory_layout() -> None:
    x = rand(2, 8, 4, 5).contiguous(memory_format=torch.channels_last)
    assert LayerNorm2d(8)(x).is_contiguous(memory_format=torch.channels_last)
    assert LayerNorm2d(8)(x.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize('bias', [True, False])
def test_pointwise_convolution_is_a_convolution(bias: bool) -> None:
    conv = randomise(conv1x1(5, 7, bias=bias))
    assert isinstance(conv, PointwiseConv)
    x = rand(2, 5, 3, 4)
    close(conv(x), naive_conv1x1(array(x), conv))
    torch.testing.assert_close(conv(x), nn.functional.conv2d(x, conv.weight, conv.bias))


def test_depthwise_convolution_pads_with_zeros() -> None:
    conv = randomise(depthwise3x3(3, bias=True))
    x = rand(2, 3, 4, 5)
    close(conv(x), naive_depthwise3x3(array(x), conv))


def test_naf_block_equals_loops() -> None:
    block = randomise(NAFBlock(4))
    x = rand(2, 4, 5, 3)
    close(block(x), naive_naf_block(array(x), block))


@pytest.mark.parametrize('channels', [4, 16, 48])
def test_naf_block_is_the_identity_at_first_and_has_the_published_size(channels: int) -> None:
    block = NAFBlock(channels)
    x = rand(2, channels, 6, 7)
    assert torch.equal(block(x), x)
    assert sum(p.numel() for p in block.parameters()) == 7 * channels**2 + 33 * channels


def test_every_parameter_of_the_naf_block_learns_after_one_step() -> None:
    torch.manual_seed(0)
    block = NAFBlock(4)
    optimizer = torch.optim.SGD(block.parameters(), lr=0.1)
    x = rand(2, 4, 6, 6)
    for step in range(2):
        optimizer.zero_grad()
        block(x).pow(3).sum().backward()
        silent = {name for name, p in block.named_parameters() if not p.grad.any()}
        if step == 0:
            assert silent == {name for name, _ in block.named_parameters()} - {'beta', 'gamma'}
        optimizer.step()
    assert not silent


@pytest.mark.parametrize(('channels', 'ratio', 'hidden'), [(4, 2.66, 10), (8, 2.0, 16), (48, 2.66, 127)])
def test_gdfn_equals_loops(channels: int, ratio: float, hidden: int) -> None:
    ffn = GDFN(channels, ratio)
    assert ffn.project_out.in_channels == hidden
    assert sum(p.numel() for p in ffn.parameters()) == 3 * hidden * channels + 18 * hidden
    if channels < 48:
        x = rand(2, channels, 3, 4)
        close(ffn(x), naive_gdfn(array(x), ffn))


@pytest.mark.parametrize('reverse', [False, True])
@pytest.mark.parametrize('heads', [1, 2, 4])
@pytest.mark.parametrize('weighted', [False, True])
def test_transposed_attention_equals_loops_over_heads(reverse: bool, heads: int, weighted: bool) -> None:
    attention = TransposedAttention(8, heads, reverse=reverse)
    attention.temperature.data = 1 + 2 * torch.rand(heads, 1, 1, generator=torch.Generator().manual_seed(3))
    # rows of very different length: only their directions may count
    q, k, v = (rand(2, 8, 4, 3, seed=s) * torch.logspace(-2, 2, 8)[:, None, None] for s in range(3))
    row_weight = rand(2, 8, seed=4).sigmoid() if weighted else None
    weights = np.ones((2, 8)) if row_weight is None else array(row_weight)
    expected = naive_mdta(array(q), array(k), array(v), attention, -1.0 if reverse else 1.0, weights)
    close(attention(q, k, v, row_weight=row_weight), expected, rtol=1e-3)


def test_attention_weights_stay_inside_the_heads_and_sum_to_one() -> None:
    attention = TransposedAttention(8, 2)
    weights = attention.attention(rand(2, 8, 4, 4), rand(2, 8, 4, 4, seed=1))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 8))
    assert not weights[:, :4, 4:].any()
    assert not weights[:, 4:, :4].any()
    assert (weights[:, :4, :4] > 0).all()
    assert 'other_head' not in attention.state_dict()


def test_attention_ignores_the_length_of_query_rows() -> None:
    attention = TransposedAttention(8, 2)
    q, k, v = (rand(1, 8, 5, 5, seed=s) for s in range(3))
    scale = torch.rand(1, 8, 1, 1, generator=torch.Generator().manual_seed(5)) + 0.1
    torch.testing.assert_close(attention(q * scale, k, v), attention(q, k, v), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('value', [0.0, 0.5])
def test_attention_survives_constant_channels(value: float) -> None:
    attention = TransposedAttention(8, 2)
    q, k, v = (rand(1, 8, 4, 4, seed=s) for s in range(3))
    q[:, 0], k[:, 1], q[:, 4:], k[:, 4:] = value, value, value, value
    q, k, v = (t.requires_grad_() for t in (q, k, v))
    out = attention(q, k, v)
    out.square().sum().backward()
    assert out.isfinite().all()
    for t in (q, k, v, attention.temperature):
        assert t.grad.isfinite().all()
    # zero and constant rows all look alike: every key of the head weighs the same
    torch.testing.assert_close(attention.attention(q, k)[0, 4:, 4:], torch.full((4, 4), 0.25))


def test_attention_under_bfloat16_stays_close_to_float32() -> None:
    attention = TransposedAttention(16, 4)
    q, k, v = (rand(2, 16, 16, 16, seed=s) for s in range(3))
    exact = attention(q, k, v)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        low = attention(q.bfloat16(), k.bfloat16(), v.bfloat16())
        weights = attention.attention(q.bfloat16(), k.bfloat16())
    assert low.dtype == torch.bfloat16
    assert weights.dtype == torch.float32
    assert (low.float() - exact).norm() / exact.norm() < 0.02
    # 65504 is the largest float16: the sums of squares must not be taken in half precision
    assert attention.attention(100 * q.half(), 100 * k.half()).isfinite().all()


@pytest.mark.parametrize('module', [NAFBlock(8), GDFN(8)])
def test_blocks_under_bfloat16_stay_close_to_float32(module: nn.Module) -> None:
    randomise(module)
    x = rand(2, 8, 8, 8)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        low = module(x)
    exact = module(x)
    assert (low.float() - exact).norm() / exact.norm() < 0.03


def test_heads_must_divide_channels() -> None:
    with pytest.raises(ValueError, match='num_heads=3 does not divide channels=8'):
        TransposedAttention(8, 3)


def test_modality_embedding_kinds() -> None:
    torch.manual_seed(0)
    x, m = rand(3, 64, 4, 4), torch.tensor([0, 1, 1])
    add = ModalityEmbedding(64, 2, 'add')
    torch.testing.assert_close(add(x, m), x + add.table.weight[m][:, :, None, None])
    assert add.table.weight.std().item() == pytest.approx(0.02, rel=0.3)
    film = ModalityEmbedding(64, 2, 'film')
    assert film.table.weight.shape == (2, 128)
    assert torch.equal(film(x, m), x)
    randomise(film)
    scale, shift = film.table.weight[m][:, :64, None, None], film.table.weight[m][:, 64:, None, None]
    torch.testing.assert_close(film(x, m), (1 + scale) * x + shift)
    none = ModalityEmbedding(64, 2, 'none')
    assert none(x, m) is x
    assert not list(none.parameters())
    with pytest.raises(ValueError, match="modality_embedding must be one of add, film, none; got 'sum'"):
        ModalityEmbedding(8, 2, 'sum')


def test_upsample_places_four_channels_in_each_square() -> None:
    up = Upsample(8, 4)
    x = rand(2, 8, 3, 5)
    wide = up.conv(x)
    out = up(x)
    assert out.shape == (2, 4, 6, 10)
    for c, i, j in np.ndindex(4, 6, 10):
        torch.testing.assert_close(out[:, c, i, j], wide[:, 4 * c + 2 * (i % 2) + j % 2, i // 2, j // 2])
    assert sum(p.numel() for p in Upsample(128, 64).parameters()) == 128 * 256
