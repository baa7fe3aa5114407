"""Every metric of a fused picture once: formula, unit, range, direction, source, and one value per picture.

All functions take `fused` (B, 1|3, H, W) and `sources`, a sequence or a dict of tensors of the same B, H, W: uint8, or
floating in [0, 1] (never guessed: other ranges are an error). Pictures are rounded to 8 bit, turned grey with
round(0.299 R + 0.587 G + 0.114 B), and measured on the 0..255 scale in double precision, on the device they are on; so
float32 and float64 input, CPU and GPU give the same numbers. Every function returns (B,) float64.

In the formulas F is the fused picture, S_k are the K sources, H x W the size, rho Pearson's correlation. Where papers
print several conventions under one name, the convention is an argument: `aggregate` ('mean' or 'sum' over the
sources), `base` ('bits' or 'nats'), and `variant`:

``standard``
    The textbook definition.
``paper``
    The constants that the tables of LURE and of most fusion papers are consistent with: PSNR is 10 log10(255 / RMSE)
    with the RMSE of pictures in [0, 1], and SSIM and MS-SSIM use the stabilisers of pictures in [0, 1] on 0..255 data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lurefusion.choices import one_of
from lurefusion.evaluation.pictures import Pictures, Sources, to_grey
from lurefusion.ops.colour import rgb_to_ycbcr
from lurefusion.ops.gradients import gradient_magnitude, sobel
from lurefusion.ops.likeness import rho, vif_information
from lurefusion.ops.ssim import MS_SSIM_WEIGHTS
from lurefusion.ops.windows import Window, filter_valid, gaussian_window

VARIANTS = ('standard', 'paper')
MS_SSIM_MIN_SIDE = {'zeros': 161, 'replicate': 161, 'drop': 176}  # 11 pixels must be left at the fifth scale
VIF_MIN_SIDE = 41  # the 3-pixel window must fit at the fourth scale
QCV_BLOCK = 16


def _aggregate(values: Tensor | Sequence[Tensor], how: str) -> Tensor:
    values = values if isinstance(values, Tensor) else torch.stack(list(values))
    return values.mean(0) if one_of('aggregate', how, ('mean', 'sum')) == 'mean' else values.sum(0)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """numerator / denominator, and 0 where the denominator is 0."""
    return torch.where(denominator > 0, numerator / denominator.clamp_min(1e-300), torch.zeros_like(numerator))


def correlation(fused: Tensor | Pictures, sources: Sources | None = None, *, aggregate: str = 'mean') -> Tensor:
    """CC: mean over k of rho(F, S_k). No unit, in [-1, 1], higher is better. A constant picture counts 0."""
    pictures = Pictures.of(fused, sources, least=1)
    centre, others = pictures.centred
    return _aggregate([rho(centre, s) for s in others], aggregate)


def scd(fused: Tensor | Pictures, sources: Sources | None = None, *, aggregate: str = 'sum') -> Tensor:
    """SCD, sum of the correlations of differences: rho(F - S_2, S_1) + rho(F - S_1, S_2).

    No unit, in [-2, 2], higher is better; a constant difference or source counts 0. Defined for two sources (ValueError
    otherwise). Source: Aslantas and Bendes, AEU 2015.
    """
    pictures = Pictures.of(fused, sources, least=2)
    if len(pictures.sources) != 2:
        raise ValueError(f'SCD is defined for two sources, got {len(pictures.sources)}')
    centre, (first, second) = pictures.centred
    return _aggregate([rho(centre - second, first), rho(centre - first, second)], aggregate)


def psnr(
    fused: Tensor | Pictures, sources: Sources | None = None, *, variant: str = 'standard', aggregate: str = 'mse'
) -> Tensor:
    """PSNR: 10 log10(255^2 / MSE), MSE the mean over k of mean((F - S_k)^2). In dB, higher is better.

    Args:
        variant: ``paper`` = 10 log10(255 / RMSE) with the RMSE of pictures in [0, 1], which is (dB + 48.13) / 2;
            ``literature`` = twice that, 20 log10(255 / RMSE), as evaluation kits of fusion papers print it.
        aggregate: ``mse`` (one PSNR of the mean MSE), or ``mean`` / ``sum`` of the PSNR against each source.

    A fused picture equal to all sources gives infinity.
    """
    pictures = Pictures.of(fused, sources, least=1)
    one_of('variant', variant, (*VARIANTS, 'literature'))
    one_of('aggregate', aggregate, ('mse', 'mean', 'sum'))
    decibel = 10 * torch.log10(255**2 / (pictures.mse.mean(0, keepdim=True) if aggregate == 'mse' else pictures.mse))
    if variant != 'standard':
        decibel = decibel + 20 * math.log10(255)
        decibel = decibel / 2 if variant == 'paper' else decibel
    return _aggregate(decibel, 'sum' if aggregate == 'sum' else 'mean')


def _data_range(variant: str, data_range: float | None) -> float:
    one_of('variant', variant, VARIANTS)
    return float(data_range) if data_range is not None else {'standard': 255.0, 'paper': 1.0}[variant]


def ssim(
    fused: Tensor | Pictures,
    sources: Sources | None = None,
    *,
    variant: str = 'standard',
    aggregate: str = 'mean',
    window: str = 'gaussian',
    data_range: float | None = None,
) -> Tensor:
    """SSIM, mean over k of SSIM(F, S_k): 11x11 Gaussian, sigma 1.5, windows that fit, C1 = (0.01 L)^2, C2 = (0.03 L)^2.

    Args:
        variant: L = 255 (``standard``) or 1 (``paper``), on 0..255 data.
        window: ``gaussian``, or ``uniform`` for 7x7 means.
        data_range: Another L.

    No unit, in [-1, 1], higher is better; two equal constant pictures give 1. ValueError below 11x11 (7x7) pixels.
    Source: Wang et al., IEEE TIP 2004.
    """
    pictures = Pictures.of(fused, sources, least=1)
    one_of('window', window, ('gaussian', 'uniform'))
    pictures.need_side('SSIM', 11 if window == 'gaussian' else 7)
    terms = pictures.ssim_terms(_data_range(variant, data_range), window=window)
    return _aggregate([full for full, _ in terms], aggregate)


def ms_ssim(
    fused: Tensor | Pictures,
    sources: Sources | None = None,
    *,
    variant: str = 'standard',
    aggregate: str = 'mean',
    data_range: float | None = None,
    odd: str = 'zeros',
) -> Tensor:
    """MS-SSIM over five scales (2x2 means between them), mean over k of MS-SSIM(F, S_k).

    Product of the mean contrast-structure terms of scales 1 to 4 and the mean SSIM of scale 5, to the powers 0.0448,
    0.2856, 0.3001, 0.2363, 0.1333; a negative mean counts 0. `variant`, `data_range` and the window as in :func:`ssim`.

    Args:
        odd: What the 2x2 means do at a side of odd length: ``zeros`` around the picture, as in the wide-spread
            pytorch-msssim, ``replicate`` the last line, as in the original MATLAB code, or ``drop`` it. The values
            differ by up to about 0.002.

    No unit, in [0, 1], higher is better. ValueError if a side is below 161 pixels (``drop``: 176). Source: Wang et al.,
    Asilomar 2003.
    """
    pictures = Pictures.of(fused, sources, least=1)
    pictures.need_side('MS-SSIM', MS_SSIM_MIN_SIDE[one_of('odd', odd, tuple(MS_SSIM_MIN_SIDE))])
    span = _data_range(variant, data_range)
    scales = [pictures.ssim_terms(span, scale, odd=odd) for scale in range(len(MS_SSIM_WEIGHTS))]
    values = []
    for source in range(len(pictures.sources)):
        factors = [terms[source][1] for terms in scales[:-1]] + [scales[-1][source][0]]
        values.append(math.prod(f.clamp_min(0) ** w for f, w in zip(factors, MS_SSIM_WEIGHTS, strict=True)))
    return _aggregate(values, aggregate)


def average_gradient(
    fused: Tensor | Pictures, sources: Sources | None = None, *, difference: str = 'central'
) -> Tensor:
    """AG: mean of sqrt((gx^2 + gy^2) / 2), gx and gy central differences, one-sided at the border.

    Args:
        difference: ``central``, or ``forward`` for first differences over the (H-1) x (W-1) pixels that have both.

    In grey levels per pixel, in [0, 255], higher is better (noise raises it too). Constant: 0. ValueError below 2x2.
    """
    pictures = Pictures.of(fused, sources)
    pictures.need_side('AG', 2)
    x = pictures.fused
    if one_of('difference', difference, ('central', 'forward')) == 'forward':
        gx, gy = (x[:, :, 1:] - x[:, :, :-1])[:, :-1], (x[:, 1:] - x[:, :-1])[:, :, :-1]
    else:
        gx, gy = (_central_difference(x, dim) for dim in (-1, -2))
    return (gx.square().addcmul_(gy, gy) / 2).sqrt_().mean((-2, -1))


def _central_difference(x: Tensor, dim: int) -> Tensor:
    length = x.shape[dim]
    out = torch.empty_like(x)
    out.narrow(dim, 0, 1).copy_(x.narrow(dim, 1, 1) - x.narrow(dim, 0, 1))
    out.narrow(dim, length - 1, 1).copy_(x.narrow(dim, length - 1, 1) - x.narrow(dim, length - 2, 1))
    if length > 2:
        out.narrow(dim, 1, length - 2).copy_((x.narrow(dim, 2, length - 2) - x.narrow(dim, 0, length - 2)) / 2)
    return out


def standard_deviation(fused: Tensor | Pictures, sources: Sources | None = None) -> Tensor:
    """SD: sqrt(mean((F - mean F)^2)), the population value. In grey levels, in [0, 127.5], higher is better."""
    centre, _ = Pictures.of(fused, sources).centred
    return centre.square().mean((-2, -1)).sqrt()


def spatial_frequency(fused: Tensor | Pictures, sources: Sources | None = None) -> Tensor:
    """SF: sqrt(mean(dx^2) + mean(dy^2)) of first differences, each over the pixels that have one.

    In grey levels per pixel, in [0, 255 sqrt 2], higher is better (noise raises it too). Constant: 0. ValueError below
    2x2. Source: Eskicioglu and Fisher, IEEE Trans. Communications 1995.
    """
    pictures = Pictures.of(fused, sources)
    pictures.need_side('SF', 2)
    x = pictures.fused
    rows, columns = (x[:, :, 1:] - x[:, :, :-1]), (x[:, 1:] - x[:, :-1])
    return (rows.square_().mean((-2, -1)) + columns.square_().mean((-2, -1))).sqrt()


def _to_base(bits: Tensor, base: str) -> Tensor:
    return bits if one_of('base', base, ('bits', 'nats')) == 'bits' else bits * math.log(2)


def entropy(fused: Tensor | Pictures, sources: Sources | None = None, *, base: str = 'bits') -> Tensor:
    """EN: -sum p log2 p over the 256 grey levels of F. In bits, in [0, 8], higher is better. Constant: 0."""
    return _to_base(Pictures.of(fused, sources).entropies[0], base)


def mutual_information(
    fused: Tensor | Pictures, sources: Sources | None = None, *, aggregate: str = 'sum', base: str = 'bits'
) -> Tensor:
    """MI: sum over k of H(S_k) + H(F) - H(S_k, F) from 256 x 256 joint histograms.

    In bits, in [0, 8 K], higher is better; a constant picture counts 0. Source: Qu et al., Electronics Letters 2002.
    """
    pictures = Pictures.of(fused, sources, least=1)
    return _aggregate(_to_base(pictures.entropies[1], base), aggregate)


def vif(fused: Tensor | Pictures, sources: Sources | None = None, *, aggregate: str = 'sum') -> Tensor:
    """VIF in the pixel domain, sum over k of VIF(F given S_k as the reference).

    Four scales with Gaussian windows of N = 17, 9, 5, 3 pixels, sigma N/5, windows that fit, subsampled by 2 between
    them, noise variance 2: sum log(1 + g^2 s^2 / (v^2 + 2)) / sum log(1 + s^2 / 2), both sums over scales and windows.

    No unit, 0 for no information and 1 per source for an exact copy (above 1 when contrast is raised), higher is
    better. A constant source counts 0. ValueError if a side is below 41 pixels. Source: Sheikh and Bovik, IEEE TIP
    2006.
    """
    pictures = Pictures.of(fused, sources, least=1)
    pictures.need_side('VIF', VIF_MIN_SIDE)
    level = [pictures.fused, *pictures.sources]
    preserved = [torch.zeros(())] * len(pictures.sources)
    available = list(preserved)
    for size in (17, 9, 5, 3):
        window = gaussian_window(size, size / 5)
        if size < 17:
            level = [filter_valid(x, window, step=2) for x in level]
        fused_window, *source_windows = (Window(x, window) for x in level)
        for k, source in enumerate(source_windows):
            gain, total = vif_information(fused_window.variance, source.variance, fused_window.covariance(source))
            preserved[k], available[k] = preserved[k] + gain, available[k] + total
    return _aggregate([_ratio(p, a) for p, a in zip(preserved, available, strict=True)], aggregate)


def qabf(fused: Tensor | Pictures, sources: Sources | None = None, *, border: str = 'zeros') -> Tensor:
    """Qabf: how much of the sources' edge strength and orientation F keeps, weighted by the sources' edge strength.

    Sobel strength g and orientation a; G = min(g_S, g_F) / max(g_S, g_F), A = 1 - |a_S - a_F| / (pi / 2);
    Q = 0.9994 / (1 + exp(-15 (G - 0.5))) * 0.9879 / (1 + exp(-22 (A - 0.8))); the result is sum g_S Q / sum g_S over
    all pixels and sources.

    Args:
        border: What Sobel sees outside the picture: ``zeros``, as in the published codes (a bright picture then has an
            edge all around, which every fused picture keeps; up to 0.05 higher on small pictures), or ``replicate``.

    The horizontal derivative has the sign of the published codes, which convolve (left minus right). It counts: where
    it is 0, the angle is +pi/2, and an angle near -pi/2 is the same orientation but counts as opposite. So a picture
    and its mirror image may differ in the third decimal.

    No unit, in [0, 1], higher is better. Sources without any edge give 0 (a constant source still has its frame under
    ``zeros``, unless it is black). Source: Xydeas and Petrovic, Electronics Letters 2000.
    """
    pictures = Pictures.of(fused, sources, least=1)
    # Sobel of 8-bit values is exact in single precision, and the rest is good to 1e-6 at half the cost
    fused_edges, *source_edges = (
        _strength_and_angle(*sobel(x.float(), border)) for x in (pictures.fused, *pictures.sources)
    )
    strength_f, angle_f = fused_edges
    kept = weights = 0
    for strength, angle in source_edges:
        ratio = torch.minimum(strength, strength_f).div_(torch.maximum(strength, strength_f).clamp_min_(1e-12))
        ratio.masked_fill_(strength == strength_f, 1)
        alike = (angle - angle_f).abs_().mul_(-2 / math.pi)
        quality = ratio.sub_(0.5).mul_(15).sigmoid_() * alike.add_(0.2).mul_(22).sigmoid_()
        kept = kept + (quality * strength).sum((-2, -1), dtype=torch.float64)
        weights = weights + strength.sum((-2, -1), dtype=torch.float64)
    return 0.9994 * 0.9879 * _ratio(kept, weights)


def _strength_and_angle(gx: Tensor, gy: Tensor) -> tuple[Tensor, Tensor]:
    # conv2 of the published codes turns the kernel round: their gx is left minus right
    angle = torch.atan(gy / torch.where(gx == 0, torch.ones_like(gx), -gx))
    return (gx.square() + gy.square()).sqrt_(), angle.masked_fill_(gx == 0, math.pi / 2)


def qcv(fused: Tensor | Pictures, sources: Sources | None = None, *, exponent: float = 5.0) -> Tensor:
    """Qcv: mean squared difference F - S_k as the eye filters it, over 16x16 blocks weighted by their saliency.

    The difference is filtered with Mannos and Sakrison's contrast sensitivity (4 degrees of view); a block's saliency
    is the sum of its Sobel strength to the power `exponent`.

    In squared grey levels, 0 or more, LOWER is better; 0 for a copy of all sources. Sources without any edge weigh all
    blocks alike. Rows and columns past the last whole block are left out; ValueError below 16x16. Source: Chen and
    Varshney, Information Fusion 2007.
    """
    pictures = Pictures.of(fused, sources, least=1)
    pictures.need_side('Qcv', QCV_BLOCK)
    height, width = pictures.size
    device = pictures.fused.device
    v = torch.fft.fftfreq(height, d=1 / height, device=device, dtype=torch.float64) / 4
    u = torch.fft.rfftfreq(width, d=1 / width, device=device, dtype=torch.float64) / 4
    radius = torch.hypot(v[:, None], u[None])
    sensitivity = 2.6 * (0.0192 + 0.144 * radius) * torch.exp(-((0.144 * radius) ** 1.1))
    saliency, error = [], []
    for source in pictures.sources:
        seen = torch.fft.irfft2(torch.fft.rfft2(pictures.fused - source) * sensitivity, s=(height, width))
        error.append(F.avg_pool2d(seen.square()[:, None], QCV_BLOCK))
        strength = gradient_magnitude(source, 'l2', epsilon=0) / 1443  # Sobel's largest strength, against overflow
        saliency.append(F.avg_pool2d(strength[:, None] ** exponent, QCV_BLOCK))
    weight, error = torch.stack(saliency, 1).flatten(1), torch.stack(error, 1).flatten(1)
    total = weight.sum(1, keepdim=True)
    weight = torch.where(total > 0, weight / total.clamp_min(1e-300), torch.full_like(weight, 1 / weight.shape[1]))
    return (weight * error).sum(1)


def reference_psnr(image: Tensor, reference: Tensor) -> Tensor:
    """PSNR of restored pictures against one clean reference on 8-bit RGB (grey if either is): 10 log10(255^2 / MSE) dB.

    Higher is better; equal pictures give infinity.
    """
    a, b = _levels(image, reference)
    return 10 * torch.log10(255**2 / (a - b).square().mean((1, 2, 3)))


def reference_ssim(image: Tensor, reference: Tensor) -> Tensor:
    """SSIM (standard constants) of restored pictures against one clean reference, mean over the channels of 8-bit RGB.

    In [-1, 1], higher is better. ValueError below 11x11 pixels.
    """
    a, b = _levels(image, reference)
    batch, channels = a.shape[:2]
    flat = Pictures(a.flatten(0, 1)[:, None].to(torch.uint8), [b.flatten(0, 1)[:, None].to(torch.uint8)])
    return ssim(flat).view(batch, channels).mean(1)


# grey levels of chroma from which a pixel counts as coloured, and below which its hue is noise
COLOURED, HUELESS = 10.0, 2.0


def chroma_kept(image: Tensor, reference: Tensor) -> Tensor:
    """Chroma of a picture where the reference is coloured, as a share of the reference's.

    100 sum|c| / sum|c_ref| over the pixels with |c_ref| >= 10, c = (Cb, Cr) in grey levels. In [0, inf), percent, best
    at 100; NaN where less than a thousandth of the pixels is coloured. Hue does not count, see :func:`hue_shift`.
    """
    own, wanted, coloured = _chroma(image, reference)
    kept, there = (torch.linalg.vector_norm(c, dim=1) * coloured for c in (own, wanted))
    return _where_coloured(100 * kept.sum((1, 2)) / there.sum((1, 2)), coloured)


def hue_shift(image: Tensor, reference: Tensor) -> Tensor:
    """Mean angle in the (Cb, Cr) plane to the reference where that is coloured, weighted by its chroma.

    Pixels that are left with less than 2 grey levels of chroma have no hue and do not count. In [0, 180] degrees, lower
    is better; NaN as in :func:`chroma_kept`.
    """
    own, wanted, coloured = _chroma(image, reference)
    weight = torch.linalg.vector_norm(wanted, dim=1) * coloured * (torch.linalg.vector_norm(own, dim=1) >= HUELESS)
    across = own[:, 0] * wanted[:, 1] - own[:, 1] * wanted[:, 0]
    angle = torch.rad2deg(torch.atan2(across, (own * wanted).sum(1)).abs())
    return _where_coloured((angle * weight).sum((1, 2)) / weight.sum((1, 2)), coloured)


def heat_kept(image: Tensor, source: Tensor, target: Tensor, around: int = 8, least: float = 10.0) -> Tensor:
    """How far targets stand out of their surroundings in a fused picture, as a share of how far they do in one source.

    100 (m_F(T) - m_F(R)) / (m_S(T) - m_S(R)), m the mean grey value over the targets T, or over the ring R of `around`
    pixels about them. In percent, best at 100; below 0 where they are darker than their surroundings in one of the two
    pictures and brighter in the other. NaN without targets, or where the source tells them by less than `least` levels.

    Args:
        image: Fused, (B, 1|3, H, W).
        source: Of the same size.
        target: Where the targets are, (B,H,W) bool.
        around: Width of the ring.
        least: Grey levels.
    """
    if target.shape != image.shape[:1] + image.shape[2:]:
        raise ValueError(f'target {tuple(target.shape)} must be (B, H, W) of the image, {tuple(image.shape)}')
    grown = F.max_pool2d(target[:, None].double(), 2 * around + 1, stride=1, padding=around)[:, 0] > 0
    ring = (grown & ~target).double()
    inside = target.double()
    contrasts = [
        (grey * inside).sum((1, 2)) / inside.sum((1, 2)) - (grey * ring).sum((1, 2)) / ring.sum((1, 2))
        for grey in (to_grey(image), to_grey(source))
    ]
    return torch.where(contrasts[1].abs() >= least, 100 * contrasts[0] / contrasts[1], math.nan)


def _chroma(image: Tensor, reference: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cb and Cr of both, (B,2,H,W), and where the reference is coloured, (B,H,W)."""
    if not image.shape[1] == reference.shape[1] == 3:
        raise ValueError(f'colours are those of RGB pictures, got {tuple(image.shape)} and {tuple(reference.shape)}')
    own, wanted = (torch.stack(rgb_to_ycbcr(*x.unbind(1))[1:], 1) for x in _levels(image, reference))
    return own, wanted, torch.linalg.vector_norm(wanted, dim=1) >= COLOURED


def _where_coloured(values: Tensor, coloured: Tensor) -> Tensor:
    return torch.where(coloured.double().mean((1, 2)) >= 1e-3, values, math.nan)


def _levels(image: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    if image.shape[1] == reference.shape[1] == 3:
        a, b = (torch.stack([to_grey(x[:, c : c + 1]) for c in range(3)], 1) for x in (image, reference))
    else:
        a, b = to_grey(image)[:, None], to_grey(reference)[:, None]
    if a.shape != b.shape:
        raise ValueError(f'image {tuple(image.shape)} and reference {tuple(reference.shape)} differ in size')
    return a, b
