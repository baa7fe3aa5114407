"""Distances between latents, and the diagnostics of the latent space."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def _centred(z: Tensor, z_pd: Tensor) -> tuple[Tensor, Tensor]:
    mean = 0.5 * (z.mean(dim=(0, 2, 3), keepdim=True) + z_pd.mean(dim=(0, 2, 3), keepdim=True)).detach()
    return z - mean, z_pd - mean


def latent_distance(z: Tensor, z_pd: Tensor, kind: str = 'pix') -> Tensor:
    """1 - Γ(z, z_pd) of one scale (LURE, Eq. 3), 0-dim.

    Args:
        z, z_pd: Latents (B,L,h,w).
        kind: ``pix`` cosine over the channels of each pixel; ``flat`` cosine of whole latents; ``cc`` Pearson
            correlation over the pixels of each channel (CDDFuse, Conti-Fuse), without channels whose deviation is
            below 1e-4; ``cpix`` as ``pix`` after subtracting the common mean of each channel; ``mse`` squared
            distance of each channel over its variance in z_pd, clamped to at least 1e-6: unlike a cosine it sees
            lengths, and its optimum, the conditional mean, leaves the mean latent of every task the same.
    """
    if kind == 'mse':
        variance = z_pd.detach().var(dim=(0, 2, 3), correction=0).clamp(min=1e-6)
        return ((z - z_pd).square().mean(dim=(0, 2, 3)) / variance).mean()
    if kind == 'cpix':
        z, z_pd = _centred(z, z_pd)
    if kind in ('pix', 'cpix'):
        return 1 - F.cosine_similarity(z, z_pd, dim=1).mean()
    if kind == 'flat':
        return 1 - F.cosine_similarity(z.flatten(1), z_pd.flatten(1), dim=1).mean()
    a = z - z.mean(dim=(2, 3), keepdim=True)
    b = z_pd - z_pd.mean(dim=(2, 3), keepdim=True)
    var_a, var_b = a.square().mean(dim=(2, 3)), b.square().mean(dim=(2, 3))
    valid = (var_a > 1e-8) & (var_b > 1e-8)
    # masked before the root: a crop of constant infrared has variance 0
    scale = torch.where(valid, var_a * var_b, torch.ones_like(var_a)).sqrt()
    correlation = ((a * b).mean(dim=(2, 3)) / scale).clamp(-1, 1)
    return torch.where(valid, 1 - correlation, torch.zeros_like(correlation)).sum() / valid.sum().clamp(min=1)


@torch.no_grad()
def latent_diagnostics(latents: Sequence[Tensor], latents_pd: Sequence[Tensor]) -> dict[str, Tensor]:
    """How far the latent space is unified, and whether it is so trivially; per scale i, 0-dim, without gradient.

    A high cosine alone proves nothing: a common offset of all latents gives it too. So beside `gamma_i` (per-pixel
    cosine of degraded and pseudo-degraded latents) stand `gamma_centred_i` (the same without the common mean),
    `cross_image_i` (cosine between *different* images; only for batches of two or more), `norm_ratio_i`
    (‖z‖ / ‖z_pd‖) and `erank_i` (:func:`effective_rank` of the 8x8-pooled features).

    Args:
        latents, latents_pd: Lists over scales of (B,L_i,h_i,w_i).
    """
    values = {}
    for i, (z, z_pd) in enumerate(zip(latents, latents_pd, strict=True)):
        z, z_pd = z.float(), z_pd.float()
        values[f'gamma_{i}'] = 1 - latent_distance(z, z_pd, 'pix')
        values[f'gamma_centred_{i}'] = 1 - latent_distance(z, z_pd, 'cpix')
        if len(z_pd) > 1:
            values[f'cross_image_{i}'] = F.cosine_similarity(z_pd, z_pd.roll(1, dims=0), dim=1).mean()
        values[f'norm_ratio_{i}'] = (z.flatten(1).norm(dim=1) / z_pd.flatten(1).norm(dim=1).clamp(min=1e-12)).mean()
        pooled = F.adaptive_avg_pool2d(z_pd, (min(8, z_pd.shape[2]), min(8, z_pd.shape[3])))
        values[f'erank_{i}'] = effective_rank(pooled.flatten(2).transpose(1, 2).flatten(0, 1))
    return values


def effective_rank(rows: Tensor) -> Tensor:
    """exp(H(σ/Σσ)) of the centred features (Roy & Vetterli 2007): (N,D) -> 0-dim, between 1 and min(N - 1, D).

    Not a number where a feature is none: the decomposition itself would raise.
    """
    if not bool(rows.isfinite().all()):
        return rows.new_full((), float('nan'))
    spectrum = torch.linalg.svdvals(rows - rows.mean(dim=0))
    share = spectrum / spectrum.sum().clamp(min=1e-12)
    return torch.special.entr(share).sum().exp()
