"""Where text meets image: TGA (LURE, Sec. 3) and the ways of others that it is compared with.

Every block takes x (B,C,H,W) and the text vector c (B,text_dim) and returns (B,C,H,W).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lurefusion.models import strips
from lurefusion.models.layers import (
    GDFN,
    LayerNorm2d,
    NAFBlock,
    TransposedAttention,
    conv1x1,
    depthwise3x3,
    split_evenly,
)
from lurefusion.registry import INTERACTIONS


class Interaction(nn.Module):
    """Base of all interactions: knows its widths.

    Args:
        channels: C of the image features.
        text_dim: Width of the text vector.
    """

    def __init__(self, channels: int, text_dim: int) -> None:
        super().__init__()
        self.channels = channels
        self.text_dim = text_dim

    def let_pass(self, count: int) -> None:
        """Set the initial values so that the first `count` channels come out as they went in, whatever c is.

        `image_encoder.identity_start` of `LURETinyEncoder` asks for it. A start only: every value trains.

        Raises:
            ValueError: If the class does not define it.
        """
        raise ValueError(
            f'image_encoder.identity_start=True asks for let_pass(count) of the interaction {type(self).__name__}, '
            f'which does not define it: set the values there so that the first `count` channels come out as they went '
            f'in (`pass` where they do anyway), or set image_encoder.identity_start=False'
        )


class _TransformerBlock(Interaction):
    """Pre-norm residual pair: y = x + mix(LN(x), c); out = y + GDFN(LN(y)).

    Members define `mix`, and `mix_out`, the convolution that comes last in it.
    """

    def __init__(self, channels: int, text_dim: int, ffn_ratio: float = 2.66) -> None:
        super().__init__(channels, text_dim)
        self.norm1 = LayerNorm2d(channels)
        self.norm2 = LayerNorm2d(channels)
        self.ffn = GDFN(channels, ffn_ratio)

    def mix(self, h: Tensor, c: Tensor) -> Tensor:
        """The half in which text and image meet; h is the normed feature."""
        raise NotImplementedError

    @property
    def mix_out(self) -> nn.Conv2d:
        """Last layer of `mix`: attention's projection, where there is no other."""
        return self.attention.project_out

    @torch.no_grad()
    def let_pass(self, count: int) -> None:
        """Nothing is added to these channels of the residual stream."""
        self.mix_out.weight[:count] = 0
        self.ffn.project_out.weight[:count] = 0

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """x (B,C,h,w), c (B,text_dim), to (B,C,h,w)."""
        x = x + self.mix(self.norm1(x), c)
        return x + self.ffn(self.norm2(x))


@INTERACTIONS.register_module(name=['TGA', 'tga'])
class TGA(_TransformerBlock):
    """Text-guided attention block: channel weights from text make the query (LURE, Sec. 3).

    w = sigmoid(Linear(c)); Q = DW(P_q(h * w)); K, V = DW(P_kv(h)); transposed attention with `num_heads` heads. The
    gate stands
    *before* the query projection: after it, the L2 norm of the query's rows would cancel it exactly.

    Args:
        channels: C, a multiple of `num_heads`.
        text_dim: Width of c.
        num_heads: Attention heads (paper: 4).
        ffn_ratio: Hidden width of the GDFN over C.
    """

    def __init__(self, channels: int, text_dim: int, num_heads: int = 4, ffn_ratio: float = 2.66) -> None:
        super().__init__(channels, text_dim, ffn_ratio)
        self.gate = nn.Linear(text_dim, channels)
        self.q = nn.Sequential(conv1x1(channels, channels), depthwise3x3(channels))
        self.kv = nn.Sequential(conv1x1(channels, 2 * channels), depthwise3x3(2 * channels))
        self.attention = TransposedAttention(channels, num_heads)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """x (B,C,h,w), c (B,text_dim), to (B,C,h,w)."""
        # what derives from it mixes in another way
        if type(self) is TGA and strips.in_parts(x):
            return strips.text_block(self, x, self.gate(c).sigmoid())
        return super().forward(x, c)

    def query(self, h: Tensor, w: Tensor, c: Tensor) -> Tensor:
        """(B,C,H,W) query from the normed feature h and the channel weights w (B,C)."""
        return self.q(h * w[:, :, None, None])

    def mix(self, h: Tensor, c: Tensor) -> Tensor:
        """h (B,C,h,w) normalised, c (B,text_dim), to (B,C,h,w)."""
        w = self.gate(c).sigmoid().to(h.dtype)
        k, v = self.kv(h).chunk(2, dim=1)
        return self.attention(self.query(h, w, c), k, v)


@INTERACTIONS.register_module(name=['TGABias', 'tga_bias'])
class TGABias(TGA):
    """TGA whose query also gets a bias from text: Q + W c."""

    def __init__(self, channels: int, text_dim: int, num_heads: int = 4, ffn_ratio: float = 2.66) -> None:
        super().__init__(channels, text_dim, num_heads, ffn_ratio)
        self.bias = nn.Linear(text_dim, channels)

    def query(self, h: Tensor, w: Tensor, c: Tensor) -> Tensor:
        """As TGA, plus b(c): (B,C,h,w)."""
        return super().query(h, w, c) + self.bias(c)[:, :, None, None].to(h.dtype)


@INTERACTIONS.register_module(name=['TGARow', 'tga_row'])
class TGARow(TGA):
    """TGA whose channel weights also scale the rows of the attention's output."""

    def mix(self, h: Tensor, c: Tensor) -> Tensor:
        """h (B,C,h,w) normalised, c (B,text_dim), to (B,C,h,w)."""
        w = self.gate(c).sigmoid().to(h.dtype)
        k, v = self.kv(h).chunk(2, dim=1)
        return self.attention(self.query(h, w, c), k, v, row_weight=w)


@INTERACTIONS.register_module(name=['TGASpatial', 'tga_spatial'])
class TGASpatial(_TransformerBlock):
    """The text is one query per head; sigmoid(q K / sqrt(d)) is a map that says where V passes."""

    def __init__(self, channels: int, text_dim: int, num_heads: int = 4, ffn_ratio: float = 2.66) -> None:
        super().__init__(channels, text_dim, ffn_ratio)
        self.depth = split_evenly(channels, num_heads)
        self.num_heads = num_heads
        self.q = nn.Linear(text_dim, channels)
        self.kv = nn.Sequential(conv1x1(channels, 2 * channels), depthwise3x3(2 * channels))
        self.project_out = conv1x1(channels, channels)

    @property
    def mix_out(self) -> nn.Conv2d:
        """Last layer of `mix`."""
        return self.project_out

    def mix(self, h: Tensor, c: Tensor) -> Tensor:
        """h (B,C,h,w) normalised, c (B,text_dim), to (B,C,h,w)."""
        k, v = self.kv(h).chunk(2, dim=1)
        q = self.q(c)[:, :, None, None].to(h.dtype)
        where = (q * k).unflatten(1, (self.num_heads, self.depth)).sum(2).mul(self.depth**-0.5).sigmoid()
        return self.project_out(v * where.repeat_interleave(self.depth, dim=1))


@INTERACTIONS.register_module(name=['Gate', 'gate'])
class Gate(_TransformerBlock):
    """The row "TGA -> Gate" of Table 6: text weights the channels passively; same feed-forward network as TGA."""

    def __init__(self, channels: int, text_dim: int, ffn_ratio: float = 2.66, num_heads: int = 4) -> None:
        # num_heads is accepted and unused, so that a config may swap TGA for Gate by the type alone
        super().__init__(channels, text_dim, ffn_ratio)
        self.gate = nn.Linear(text_dim, channels)
        self.project_out = conv1x1(channels, channels)

    @property
    def mix_out(self) -> nn.Conv2d:
        """Last layer of `mix`."""
        return self.project_out

    def mix(self, h: Tensor, c: Tensor) -> Tensor:
        """h (B,C,h,w) normalised, c (B,text_dim), to (B,C,h,w)."""
        return self.project_out(h * self.gate(c).sigmoid()[:, :, None, None].to(h.dtype))


@INTERACTIONS.register_module(name=['NoInteraction', 'none'])
class NoInteraction(_TransformerBlock):
    """TGA without text (every channel weight 1): what the network does when nobody tells it the degradation."""

    def __init__(self, channels: int, text_dim: int, num_heads: int = 4, ffn_ratio: float = 2.66) -> None:
        super().__init__(channels, text_dim, ffn_ratio)
        self.qkv = nn.Sequential(conv1x1(channels, 3 * channels), depthwise3x3(3 * channels))
        self.attention = TransposedAttention(channels, num_heads)

    def mix(self, h: Tensor, c: Tensor) -> Tensor:
        """h (B,C,h,w) normalised, to (B,C,h,w); c is not looked at."""
        return self.attention(*self.qkv(h).chunk(3, dim=1))


@INTERACTIONS.register_module(name=['ICB', 'icb'])
class ICB(Interaction):
    """Instruction-conditioned block of InstructIR: NAFBlock((x * gamma + beta) * sigmoid(Linear(c))) + x.

    gamma and beta start at zero as published, so the text receives no gradient in the first step.
    """

    def __init__(self, channels: int, text_dim: int, num_heads: int = 4, ffn_ratio: float = 2.66) -> None:
        super().__init__(channels, text_dim)
        self.gate = nn.Linear(text_dim, channels)
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.block = NAFBlock(channels)

    @torch.no_grad()
    def let_pass(self, count: int) -> None:
        """These channels enter the block as 0, and it adds nothing to them."""
        for scale in (self.gamma, self.beta, self.block.gamma, self.block.beta):
            scale[:, :count] = 0

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """x (B,C,h,w), c (B,text_dim), to (B,C,h,w)."""
        gate = self.gate(c).sigmoid()[:, :, None, None].to(x.dtype)
        return x + self.block((x * self.gamma + self.beta) * gate)


@INTERACTIONS.register_module(name=['FiLM', 'film'])
class FiLM(Interaction):
    """Semantic guidance of Text-IF: an MLP on the text gives (gamma, beta); (1 + gamma) * x + beta."""

    def __init__(self, channels: int, text_dim: int, num_heads: int = 4, ffn_ratio: float = 2.66) -> None:
        super().__init__(channels, text_dim)
        self.hidden = nn.Linear(text_dim, 2 * text_dim)
        self.affine = nn.Linear(2 * text_dim, 2 * channels)

    @torch.no_grad()
    def let_pass(self, count: int) -> None:
        """gamma = beta = 0 for these channels."""
        for rows in self.affine.weight.chunk(2), self.affine.bias.chunk(2):
            for part in rows:
                part[:count] = 0

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """x (B,C,h,w), c (B,text_dim), to (B,C,h,w)."""
        gamma, beta = self.affine(F.leaky_relu(self.hidden(c)))[:, :, None, None].to(x.dtype).chunk(2, dim=1)
        return (1 + gamma) * x + beta
