"""The blocks of the network at inference on a CPU: part by part of the picture, with the same numbers.

What a block holds within it is two to four times as wide as its input, and goes through the memory many times where the
picture is computed as a whole. Here every chain of layers runs on a part of the picture that stays in the cache (about
2 MB), with one pixel around it for the 3x3 convolutions. What a block takes over all pixels (channel attention,
transposed attention) is summed over the parts first, so that they all share it: nothing is approximated, there are no
seams, and of what is wide no more is held than a part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from lurefusion.models.fusion import CrossBlock
    from lurefusion.models.interactions import TGA
    from lurefusion.models.layers import GDFN, LayerNorm2d, NAFBlock, TransposedAttention

# numbers in the widest tensor of a part: 2 MB, about a second-level cache; half and twice are within 10 %
NUMBERS = 2**19
# columns of a part
COLUMNS = 384

_allowed = True


@contextmanager
def whole() -> Iterator[None]:
    """Inside of it, blocks are computed as wholes: to count operations once, and to try what an export traces."""
    global _allowed
    before, _allowed = _allowed, False
    try:
        yield
    finally:
        _allowed = before


def in_parts(x: Tensor) -> bool:
    """Whether x is to be computed part by part: float32 on a CPU, without gradients, and no graph is being recorded."""
    return (
        _allowed
        and x.device.type == 'cpu'
        and x.dtype == torch.float32
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not torch.is_autocast_enabled('cpu')
    )


class Part(NamedTuple):
    """A rectangle of pixels: `outer` with what is around it and in the picture, `inner` without, within `outer`."""

    outer: tuple[slice, slice]
    inner: tuple[slice, slice]
    target: tuple[slice, slice]


def parts(height: int, width: int, channels: int) -> Iterator[Part]:
    """Rectangles that cover a picture, each of at most about `NUMBERS` numbers with so many channels."""
    columns = -(-width // -(-width // COLUMNS))
    return rectangles(height, width, max(NUMBERS // (channels * columns), 4), columns)


def rectangles(height: int, width: int, rows: int, columns: int, border: int = 1) -> Iterator[Part]:
    """Rectangles of at most rows x columns that cover a picture, with `border` pixels around them."""
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        for left in range(0, width, columns):
            right = min(left + columns, width)
            above, before = min(top, border), min(left, border)
            yield Part(
                (slice(top - above, min(bottom + border, height)), slice(left - before, min(right + border, width))),
                (slice(above, above + bottom - top), slice(before, before + right - left)),
                (slice(top, bottom), slice(left, right)),
            )


def runs(pixels: int, channels: int) -> Iterator[slice]:
    """Runs of pixels for chains without 3x3 convolutions."""
    step = max(NUMBERS // channels, 256)
    for start in range(0, pixels, step):
        yield slice(start, min(start + step, pixels))


def pixels_last(x: Tensor) -> Tensor:
    """(B,C,h,w) as contiguous (B,h,w,C); a view where x is channels-last."""
    return x.permute(0, 2, 3, 1).contiguous()


def row_by_row(encode: Callable[..., list[Tensor]], *rows: Tensor) -> list[Tensor]:
    """A batch of tensors, each picture by itself: the features of one are freed before the next."""
    found = [encode(*(x[i : i + 1] for x in rows)) for i in range(len(rows[0]))]
    return [torch.cat(z) for z in zip(*found, strict=True)]


def channels_first(x: Tensor) -> Tensor:
    """(B,h,w,C) as channels-last (B,C,h,w)."""
    return x.permute(0, 3, 1, 2)


def matrix(conv: nn.Conv2d) -> Tensor:
    """(out,in) of a 1x1 convolution."""
    return conv.weight[:, :, 0, 0]


def normed(norm: LayerNorm2d, x: Tensor) -> Tensor:
    """Layer norm of (...,C)."""
    return F.layer_norm(x, (x.shape[-1],), norm.weight, norm.bias, norm.eps)


def depthwise(x: Tensor, weight: Tensor, bias: Tensor | None, inner: tuple[slice, slice]) -> Tensor:
    """3x3 convolution of every channel of a part (h,w,C); its inner pixels (h',w',C)."""
    out = F.conv2d(x[None].permute(0, 3, 1, 2), weight, bias, padding=1, groups=x.shape[-1])
    return out.permute(0, 2, 3, 1)[0][inner]


def naf(block: NAFBlock, x: Tensor, shift: Tensor | None = None) -> Tensor:
    """A :class:`NAFBlock` of x (B,C,h,w), or of x + shift (B,C)."""
    source = pixels_last(x)
    out = torch.empty_like(source)
    batch, height, width, channels = source.shape
    wide = block.conv1.out_channels
    half = wide // 2
    first, fourth = matrix(block.conv1), matrix(block.conv4)
    beta, gamma = block.beta.view(-1, 1), block.gamma.view(-1, 1)
    fifth, fifth_bias = matrix(block.conv5) * gamma, block.conv5.bias * gamma[:, 0]
    for i in range(batch):
        # each pixel of the result takes the place of the gated one that it is made of
        gated = out[i] if half == channels else source.new_empty(height, width, half)
        total = source.new_zeros(half)
        for part in parts(height, width, wide):
            h = source[i][part.outer]
            h = normed(block.norm1, h if shift is None else h + shift[i])
            h = depthwise(F.linear(h, first, block.conv1.bias), block.conv2.weight, block.conv2.bias, part.inner)
            y = torch.mul(h[..., :half], h[..., half:], out=gated[part.target])
            total += y.sum((0, 1))
        scale = F.linear(total / (height * width), matrix(block.sca), block.sca.bias)
        third, third_bias = matrix(block.conv3) * scale * beta, block.conv3.bias * beta[:, 0]
        if shift is not None:
            third_bias = third_bias + shift[i]
        pixels, stored, target = source[i].view(-1, channels), gated.view(-1, half), out[i].view(-1, channels)
        for run in runs(height * width, wide):
            y = F.linear(stored[run], third, third_bias).add_(pixels[run])
            h = F.linear(normed(block.norm2, y), fourth, block.conv4.bias)
            h = F.linear(torch.mul(h[:, :half], h[:, half:]), fifth, fifth_bias)
            torch.add(y, h, out=target[run])
    return channels_first(out)


class Projection(NamedTuple):
    """What makes q, k and v of a feature (h,w,C): norm, 1x1 convolution (3C,C), depthwise convolution (3C,1,3,3)."""

    norm: LayerNorm2d
    pointwise: Tensor
    depthwise: Tensor

    def __call__(self, x: Tensor, inner: tuple[slice, slice]) -> tuple[Tensor, Tensor, Tensor]:
        h = F.linear(normed(self.norm, x), self.pointwise)
        return depthwise(h, self.depthwise, None, inner).chunk(3, dim=-1)


def projection(norm: LayerNorm2d, q: nn.Sequential, kv: nn.Sequential, gate: Tensor | None = None) -> Projection:
    """Of the layers of a block; `gate` (C,) scales the channels of what the query is made of."""
    query = matrix(q[0]) if gate is None else matrix(q[0]) * gate
    return Projection(norm, torch.cat([query, matrix(kv[0])]), torch.cat([q[1].weight, kv[1].weight]))


def attend(
    sources: Sequence[Tensor],
    projections: Sequence[Projection],
    attentions: Sequence[TransposedAttention],
    others: Sequence[Sequence[int]],
) -> tuple[list[Tensor], list[Tensor]]:
    """First half of transposed attention.

    Args:
        sources: Features (h,w,C), each with its projection and attention.
        projections: See above.
        attentions: See above.
        others: For each the numbers of the features whose k and v it looks at, in the mean; itself for self-attention.

    Returns:
        For each, its values (h,w,C), and the (C,C) matrix that mixes them.
    """
    height, width, channels = sources[0].shape
    values = [torch.empty_like(x) for x in sources]
    logits = [x.new_zeros(channels, channels) for x in sources]
    squares = [x.new_zeros(2, channels) for x in sources]
    for part in parts(height, width, 3 * channels):
        made = [project(x[part.outer], part.inner) for project, x in zip(projections, sources, strict=True)]
        for i, (q, _, _) in enumerate(made):
            k, v = (_mean([made[j][place] for j in others[i]]) for place in (1, 2))
            values[i][part.target] = v
            q, k = q.reshape(-1, channels), k.reshape(-1, channels)
            logits[i] += q.T @ k
            squares[i][0] += q.square().sum(0)
            squares[i][1] += k.square().sum(0)
    mixings = []
    for attention, products, squared in zip(attentions, logits, squares, strict=True):
        q_norm, k_norm = squared.clamp_min(1e-12).sqrt()[:, None]
        mixings.append(matrix(attention.project_out) @ attention.weights(products[None], q_norm, k_norm)[0])
    return values, mixings


def _mean(found: list[Tensor]) -> Tensor:
    return found[0] if len(found) == 1 else sum(found) / len(found)


def mix_and_feed(x: Tensor, values: Tensor, mixing: Tensor, norm: LayerNorm2d, ffn: GDFN, out: Tensor) -> None:
    """Second half: y = x + mixing values, out = y + ffn(norm(y)); all (h,w,C)."""
    height, width, _ = x.shape
    wide = ffn.project_in.out_channels
    inwards, outwards = matrix(ffn.project_in), matrix(ffn.project_out)
    for part in parts(height, width, wide):
        y = F.linear(values[part.outer], mixing).add_(x[part.outer])
        h = depthwise(F.linear(normed(norm, y), inwards), ffn.dwconv.weight, None, part.inner)
        a, b = h.chunk(2, dim=-1)
        h = F.linear(F.gelu(a).mul_(b), outwards)
        torch.add(y[part.inner], h, out=out[part.target])


def text_block(block: TGA, x: Tensor, gate: Tensor) -> Tensor:
    """A :class:`lurefusion.models.interactions.TGA` of x (B,C,h,w) with the channel weights `gate` (B,C)."""
    source = pixels_last(x)
    out = torch.empty_like(source)
    for i, feature in enumerate(source):
        project = projection(block.norm1, block.q, block.kv, gate[i])
        [values], [mixing] = attend([feature], [project], [block.attention], [[0]])
        mix_and_feed(feature, values, mixing, block.norm2, block.ffn, out[i])
    return channels_first(out)


def cross_block(block: CrossBlock, z: Sequence[Tensor]) -> list[Tensor]:
    """A :class:`lurefusion.models.fusion.CrossBlock` with transposed attention of latents, M times (B,C,h,w)."""
    sources = [pixels_last(s) for s in z]
    out = [torch.empty_like(s) for s in sources]
    projections = [projection(*layers) for layers in zip(block.norm1, block.q, block.kv, strict=True)]
    others = [[j for j in range(len(z)) if j != i] for i in range(len(z))]
    for row in range(len(z[0])):
        features = [s[row] for s in sources]
        mixed = attend(features, projections, block.attention, others)
        for i, (values, mixing) in enumerate(zip(*mixed, strict=True)):
            mix_and_feed(features[i], values, mixing, block.norm2[i], block.ffn[i], out[i][row])
    return [channels_first(s) for s in out]
