"""Correlation and visual information fidelity of pictures, once: metrics and losses share them. Differentiable."""

from __future__ import annotations

import torch
from torch import Tensor


def rho(x: Tensor, y: Tensor, tiny: float = 0.0) -> Tensor:
    """Pearson's correlation (B,) of centred pictures (B,H,W), on the scale 0..255; 0 where one of them is constant.

    `tiny` is added to the product of both powers, which bounds the gradient where a picture is nearly constant.
    """
    power_x, power_y = (v.square().mean((-2, -1)) for v in (x, y))
    varies = (power_x > 1e-12) & (power_y > 1e-12)  # a constant leaves 1e-28, one odd pixel in a gigapixel 1e-9
    value = (x * y).mean((-2, -1)) / (torch.where(varies, power_x * power_y, torch.ones_like(power_x)) + tiny).sqrt()
    return torch.where(varies, value, torch.zeros_like(value)).clamp(-1, 1)


def vif_information(
    var_f: Tensor, var_s: Tensor, cov: Tensor, noise: float = 2.0, tiny: float = 1e-10
) -> tuple[Tensor, Tensor]:
    """Information (nats) about the source in F, and in the source itself, from window moments (B,H,W) -> (B,).

    Moments on the scale 0..255; `tiny` is the least variance that counts: that of single precision is 1e-2.
    """
    var_f, var_s = var_f.clamp_min(0), var_s.clamp_min(0)
    flat = (var_s < tiny) | (var_f < tiny)
    gain = (cov / (var_s + tiny)).masked_fill(flat, 0).clamp_min(0)
    rest = (var_f - gain * cov).clamp_min(tiny)
    kept = torch.log1p(gain.square() * var_s / (rest + noise))
    return kept.sum((-2, -1)), torch.log1p(var_s / noise).sum((-2, -1))
