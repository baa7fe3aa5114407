import math

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d, fftconvolve
from scipy.stats import entropy as scipy_entropy

from lurefusion.evaluation import functional as fn
from lurefusion.evaluation.cards import (
    FUSION_METRICS,
    REFERENCE_METRICS,
    card_of,
    columns_of,
    compute,
    select_metrics,
)
from lurefusion.evaluation.pictures import Pictures, to_grey
from lurefusion.ops.windows import Window, gaussian_window

SOURCE_METRICS = [name for name in FUSION_METRICS if card_of(name).needs]
SINGLE_METRICS = ('AG', 'SD', 'SF', 'EN')


def picture(seed: int, height: int = 168, width: int = 193) -> np.ndarray:
    """Grey uint8 picture with structure at several scales."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width))
    for step in (1, 4, 16, 48):
        coarse = rng.normal(size=(height // step + 2, width // step + 2)) * step**0.5
        image += np.kron(coarse, np.ones((step, step)))[:height, :width]
    return np.clip(np.round(128 + 45 * (image - image.mean()) / image.std()), 0, 255).astype(np.uint8)


def tensor(image) -> torch.Tensor:
    return torch.as_tensor(np.asarray(image)).to(torch.uint8)[None, None]


@pytest.fixture(scope='module')
def scene():
    a, b = picture(1), picture(2)
    fused = np.clip(0.6 * a + 0.3 * b + 20 + np.random.default_rng(3).normal(0, 4, a.shape), 0, 255).astype(np.uint8)
    return fused, a, b


@pytest.fixture(scope='module')
def values(scene):
    fused, a, b = scene
    return compute(tensor(fused), [tensor(a), tensor(b)], variant='both')


# ------------------------------------------------------------ independent references


def test_ssim_and_psnr_equal_scikit_image(scene, values):
    skimage = pytest.importorskip('skimage.metrics')
    fused, a, b = scene
    options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    for column, data_range in (('SSIM', 255), ('SSIM_paper', 1)):
        expected = [
            skimage.structural_similarity(fused.astype(float), s.astype(float), data_range=data_range, **options)
            for s in (a, b)
        ]
        assert float(values[column]) == pytest.approx(np.mean(expected), rel=1e-9)
    uniform = [
        skimage.structural_similarity(fused, s, data_range=255, win_size=7, use_sample_covariance=False) for s in (a, b)
    ]
    sources = [tensor(a), tensor(b)]
    assert float(fn.ssim(tensor(fused), sources, window='uniform', aggregate='sum')) == pytest.approx(sum(uniform))
    mse = np.mean([skimage.mean_squared_error(fused, s) for s in (a, b)])
    assert float(values['PSNR']) == pytest.approx(10 * math.log10(255**2 / mse), rel=1e-12)
    each = [skimage.peak_signal_noise_ratio(s, fused, data_range=255) for s in (a, b)]
    assert float(fn.psnr(tensor(fused), sources, aggregate='mean')) == pytest.approx(np.mean(each), rel=1e-12)


def test_psnr_variants_are_one_number_in_three_units(scene):
    fused, a, b = (tensor(x) for x in scene)
    decibel, paper, literature = (fn.psnr(fused, [a, b], variant=v) for v in ('standard', 'paper', 'literature'))
    rmse = math.sqrt(np.mean([np.mean((scene[0] / 255 - s / 255) ** 2) for s in scene[1:]]))
    assert float(paper) == pytest.approx(10 * math.log10(255 / rmse), rel=1e-12)
    assert float(literature) == pytest.approx(2 * float(paper), rel=1e-12)
    assert float(decibel) == pytest.approx(2 * float(paper) - 48.13, abs=1e-3)


def test_statistics_equal_numpy_and_scipy(scene, values):
    fused, a, b = (x.astype(float) for x in scene)
    expected = {
        'CC': np.mean([np.corrcoef(fused.ravel(), s.ravel())[0, 1] for s in (a, b)]),
        'SCD': np.corrcoef((fused - b).ravel(), a.ravel())[0, 1] + np.corrcoef((fused - a).ravel(), b.ravel())[0, 1],
        'SD': fused.std(),
        'AG': np.sqrt(sum(g**2 for g in np.gradient(fused)) / 2).mean(),
        'SF': math.hypot(np.sqrt(np.mean(np.diff(fused, axis=0) ** 2)), np.sqrt(np.mean(np.diff(fused, axis=1) ** 2))),
        'EN': scipy_entropy(np.bincount(fused.astype(int).ravel(), minlength=256), base=2),
    }
    for name, value in expected.items():
        assert float(values[name]) == pytest.approx(value, rel=1e-10), name


def test_forward_average_gradient(scene):
    x = scene[0].astype(float)
    gx, gy = np.diff(x, axis=1)[:-1], np.diff(x, axis=0)[:, :-1]
    expected = np.sqrt((gx**2 + gy**2) / 2).mean()
    assert float(fn.average_gradient(tensor(x), difference='forward')) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(('odd', 'data_range'), [('zeros', 255), ('replicate', 255), ('drop', 1), ('zeros', 1)])
def test_ms_ssim_equals_two_dimensional_windows(odd, data_range):
    x, y = (picture(s, 187, 181).astype(float) for s in (4, 5))
    y = 0.7 * x + 0.3 * y
    y = np.round(y)
    window = np.outer(gaussian_window(11, 1.5), gaussian_window(11, 1.5))

    def blur(image):
        return fftconvolve(image, window, mode='valid')

    def halve(image):
        if odd == 'zeros':
            image = np.pad(image, [(n % 2, n % 2) for n in image.shape])
        elif odd == 'replicate':
            image = np.pad(image, [(0, n % 2) for n in image.shape], mode='edge')
        h, w = (n // 2 * 2 for n in image.shape)
        return (image[:h:2, :w:2] + image[1:h:2, :w:2] + image[:h:2, 1:w:2] + image[1:h:2, 1:w:2]) / 4

    expected, p, q = 1.0, x, y
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    for scale, weight in enumerate(fn.MS_SSIM_WEIGHTS):
        mp, mq = blur(p), blur(q)
        vp, vq, cov = blur(p * p) - mp**2, blur(q * q) - mq**2, blur(p * q) - mp * mq
        term = (2 * cov + c2) / (vp + vq + c2)
        if scale == 4:
            term = term * (2 * mp * mq + c1) / (mp**2 + mq**2 + c1)
        expected *= term.mean() ** weight
        p, q = halve(p), halve(q)
    own = fn.ms_ssim(tensor(x), [tensor(y)], data_range=data_range, odd=odd)
    assert float(own) == pytest.approx(expected, rel=1e-6)


def test_vif_equals_two_dimensional_windows(scene, values):
    total = 0.0
    for source in scene[1:]:
        ref, dist, kept, available = source.astype(float), scene[0].astype(float), 0.0, 0.0
        for size in (17, 9, 5, 3):
            window = np.outer(gaussian_window(size, size / 5), gaussian_window(size, size / 5))
            if size < 17:
                ref, dist = (convolve2d(x, window, mode='valid')[::2, ::2] for x in (ref, dist))
            mr, md, rr, dd, rd = (
                convolve2d(x, window, mode='valid') for x in (ref, dist, ref * ref, dist * dist, ref * dist)
            )
            vr, vd, cov = rr - mr**2, dd - md**2, rd - mr * md
            gain = np.maximum(cov / vr, 0)
            rest = vd - gain * cov
            kept += np.log(1 + gain**2 * vr / (rest + 2)).sum()
            available += np.log(1 + vr / 2).sum()
        total += kept / available
    assert float(values['VIF']) == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize('border', ['zeros', 'replicate'])
def test_qabf_equals_plain_loops(border):
    fused, a, b = (picture(s, 9, 11).astype(float) for s in (6, 7, 8))
    kept = weight = 0.0

    def edges(image):
        padded = np.pad(image, 1) if border == 'zeros' else np.pad(image, 1, mode='edge')
        strength, angle = np.zeros(image.shape), np.zeros(image.shape)
        for y, x in np.ndindex(*image.shape):
            w = padded[y : y + 3, x : x + 3]
            gx = w[0, 0] + 2 * w[1, 0] + w[2, 0] - w[0, 2] - 2 * w[1, 2] - w[2, 2]
            gy = w[2, 0] + 2 * w[2, 1] + w[2, 2] - w[0, 0] - 2 * w[0, 1] - w[0, 2]
            strength[y, x], angle[y, x] = math.hypot(gx, gy), math.atan(gy / gx) if gx else math.pi / 2
        return strength, angle

    sf, af = edges(fused)
    for source in (a, b):
        ss, angles = edges(source)
        for y, x in np.ndindex(*fused.shape):
            ratio = 1.0 if ss[y, x] == sf[y, x] else min(ss[y, x], sf[y, x]) / max(ss[y, x], sf[y, x])
            alike = 1 - abs(angles[y, x] - af[y, x]) / (math.pi / 2)
            quality = 0.9994 / (1 + math.exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + math.exp(-22 * (alike - 0.8)))
            kept, weight = kept + quality * ss[y, x], weight + ss[y, x]
    own = fn.qabf(tensor(fused), [tensor(a), tensor(b)], border=border)
    assert float(own) == pytest.approx(kept / weight, rel=1e-6)


def published_qabf(fused: np.ndarray, *sources: np.ndarray) -> float:
    """With conv2, as the published codes have it; it turns the kernels round."""
    across, down = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]), np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]])

    def edges(image):
        sx, sy = (convolve2d(image.astype(float), kernel, 'same') for kernel in (across, down))
        return np.hypot(sx, sy), np.where(sx == 0, np.pi / 2, np.arctan(sy / np.where(sx == 0, 1, sx)))

    (gf, af), kept, weight = edges(fused), 0.0, 0.0
    for source in sources:
        g, a = edges(source)
        ratio = np.where(g == gf, 1, np.minimum(g, gf) / np.maximum(np.maximum(g, gf), 1e-12))
        alike = 1 - np.abs(a - af) / (np.pi / 2)
        quality = 0.9994 / (1 + np.exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + np.exp(-22 * (alike - 0.8)))
        kept, weight = kept + (quality * g).sum(), weight + g.sum()
    return kept / weight


TURNS = {
    'as it is': lambda x: x,
    'upside down': lambda x: x[::-1],
    'mirrored': lambda x: x[:, ::-1],
    'half a turn': lambda x: x[::-1, ::-1],
    'quarter of a turn': np.rot90,
    'transposed': np.transpose,
}


@pytest.mark.parametrize('turn', TURNS)
def test_qabf_has_the_sign_of_the_published_codes(turn, scene):
    # flat areas and few levels, so that many horizontal derivatives are 0: there the sign decides
    fused, a, b = (np.ascontiguousarray(TURNS[turn](x // 16 * 16)) for x in scene)
    own = float(fn.qabf(tensor(fused), [tensor(a), tensor(b)]))
    assert own == pytest.approx(published_qabf(fused, a, b), rel=1e-6)
    other_sign = published_qabf(fused[:, ::-1], a[:, ::-1], b[:, ::-1])
    assert abs(own - other_sign) > 1e-5


def test_qcv_equals_plain_loops():
    fused, a, b = (picture(s, 39, 50).astype(float) for s in (9, 10, 11))
    v, u = np.meshgrid(np.fft.fftfreq(39) * 39 / 4, np.fft.fftfreq(50) * 50 / 4, indexing='ij')
    r = np.hypot(u, v)
    csf = 2.6 * (0.0192 + 0.144 * r) * np.exp(-((0.144 * r) ** 1.1))
    top = bottom = 0.0
    kernel = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])
    for source in (a, b):
        seen = np.fft.ifft2(np.fft.fft2(fused - source) * csf).real
        padded = np.pad(source, 1, mode='edge')
        strength = np.hypot(convolve2d(padded, kernel, mode='valid'), convolve2d(padded, kernel.T, mode='valid'))
        for y in range(0, 32, 16):
            for x in range(0, 48, 16):
                saliency = (strength[y : y + 16, x : x + 16] ** 5).sum()
                top += saliency * (seen[y : y + 16, x : x + 16] ** 2).mean()
                bottom += saliency
    assert float(fn.qcv(tensor(fused), [tensor(a), tensor(b)])) == pytest.approx(top / bottom, rel=1e-9)


# ------------------------------------------------------------ 4x4 by hand


def test_mutual_information_by_hand():
    columns = np.array([[0, 0, 9, 9]] * 4)
    rows = columns.T
    # F repeats S1 (1 bit), and is independent of S2: all four combinations four times
    assert float(fn.mutual_information(tensor(columns), [tensor(columns), tensor(rows)])) == pytest.approx(1)
    # one more level: H(F) = 1.5 bits, H(S) = 1 bit, S is a function of F, so MI = 1 bit
    three = np.array([[0, 5, 9, 9]] * 4)
    assert float(fn.entropy(tensor(three))) == pytest.approx(1.5)
    assert float(fn.mutual_information(tensor(three), [tensor(columns)])) == pytest.approx(1)
    nats = fn.mutual_information(tensor(three), [tensor(columns), tensor(columns)], base='nats', aggregate='mean')
    assert float(nats) == pytest.approx(math.log(2))


def test_scd_by_hand():
    a = np.array([[0, 0, 8, 8]] * 4)
    b = a.T
    # F - B = A and F - A = B
    assert float(fn.scd(tensor(a + b), [tensor(a), tensor(b)])) == pytest.approx(2)
    # F = (A + B) / 2: F - B = (A - B) / 2, whose correlation with A is 1 / sqrt 2
    assert float(fn.scd(tensor((a + b) // 2), [tensor(a), tensor(b)])) == pytest.approx(math.sqrt(2))
    # F = A: F - B = A - B gives 1 / sqrt 2, and F - A is constant
    assert float(fn.scd(tensor(a), [tensor(a), tensor(b)])) == pytest.approx(math.sqrt(0.5))


def test_qabf_by_hand():
    source = np.array([[0, 0, 10, 10]] * 4)
    fused = source // 2
    flat = np.full((4, 4), 7)
    # everywhere on the two edge columns: strengths 40 and 20, the same orientation; the flat source weighs nothing
    expected = 0.9994 / (1 + math.exp(0)) * 0.9879 / (1 + math.exp(-22 * 0.2))
    own = fn.qabf(tensor(fused), [tensor(source), tensor(flat)], border='replicate')
    assert float(own) == pytest.approx(expected, rel=1e-6)


def test_vif_by_hand():
    source = torch.tensor([[0, 0, 4, 4]] * 4, dtype=torch.float64)[None]
    window = [0.25] * 4
    s, f = Window(source, window), Window(source / 2, window)
    assert (float(s.variance), float(f.variance), float(f.covariance(s))) == (4, 1, 2)
    # gain 2/4, nothing unexplained: log(1 + 0.25 * 4 / 2) of log(1 + 4 / 2)
    kept, available = fn.vif_information(f.variance, s.variance, f.covariance(s))
    assert float(kept) == pytest.approx(math.log(1.5))
    assert float(available) == pytest.approx(math.log(3))


# ------------------------------------------------------------ limits and invariances


def test_identical_pictures(scene):
    x = tensor(scene[1])
    got = {c: float(v) for c, v in compute(x, [x, x], SOURCE_METRICS, 'both').items()}
    entropy = float(fn.entropy(x))
    perfect_edge = 0.9994 / (1 + math.exp(-7.5)) * 0.9879 / (1 + math.exp(-4.4))
    expected = dict(CC=1, SCD=0, SSIM=1, VIF=2, MI=2 * entropy, Qabf=perfect_edge, Qcv=0, PSNR=math.inf)
    expected |= {'MS-SSIM': 1, 'PSNR_paper': math.inf, 'SSIM_paper': 1, 'MS-SSIM_paper': 1}
    assert got == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_constant_pictures_have_the_documented_values(scene):
    flat, other = torch.full((1, 3, 200, 196), 90, dtype=torch.uint8), tensor(picture(1, 200, 196))
    everything = compute(flat, [flat, flat], variant='both')
    assert all(not math.isnan(float(v)) for v in everything.values())
    for name in ('CC', 'SCD', 'AG', 'SD', 'SF', 'EN', 'MI', 'VIF', 'Qcv'):
        assert float(everything[name]) == 0, name
    assert float(fn.qabf(flat, [flat, flat], border='replicate')) == 0
    assert float(fn.qabf(flat * 0, [flat * 0, flat * 0])) == 0
    assert float(everything['SSIM']) == float(everything['MS-SSIM']) == pytest.approx(1)
    for fused, sources in ((flat, [other, flat]), (other, [flat, flat])):
        got = compute(fused, sources, variant='both')
        assert all(math.isfinite(float(v)) for v in got.values()), got
        assert float(got['MI']) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize('name', [m for m in FUSION_METRICS if m not in ('Qabf', 'NIQE')])
def test_transposing_or_swapping_the_pair_changes_nothing(name, scene, values):
    fused, a, b = scene
    turned = compute(tensor(fused.T.copy()), [tensor(b.T.copy()), tensor(a.T.copy())], [name], 'both')
    for column, value in turned.items():
        assert float(value) == pytest.approx(float(values[column]), rel=1e-9), column


@pytest.mark.parametrize('turn', TURNS)
@pytest.mark.parametrize('name', [m for m in FUSION_METRICS if m not in ('Qabf', 'NIQE')])
def test_mirror_images_score_alike(name, turn):
    # sides at which every grid of the metric lies symmetrically: blocks of 16, 2x2 means, every second window of VIF
    side = (161, 169) if name == 'VIF' else (176, 192)
    pictures = [picture(seed, *side) for seed in (1, 2, 3)]
    before, after = (
        compute(tensor(f), [tensor(a), tensor(b)], [name], 'both')
        for f, a, b in (pictures, [np.ascontiguousarray(TURNS[turn](x)) for x in pictures])
    )
    for column, value in before.items():
        assert float(after[column]) == pytest.approx(float(value), rel=1e-9), column


@pytest.mark.parametrize('name', SOURCE_METRICS)
def test_the_order_of_the_sources_does_not_matter(name, scene):
    fused, a, b = (tensor(x) for x in scene)
    before, after = (compute(fused, sources, [name], 'both') for sources in ([a, b], [b, a]))
    for column, value in before.items():
        assert float(after[column]) == pytest.approx(float(value), rel=1e-9), column


@pytest.mark.parametrize('name', ['CC', 'SCD', 'PSNR', 'MI', 'EN', 'SD', 'AG', 'SF', 'Qcv', 'Qabf'])
def test_negatives_score_alike(name, scene):
    options = dict(Qabf=dict(border='replicate'))  # outside the picture is black, not white
    before, after = (
        compute(tensor(f), [tensor(a), tensor(b)], [name], options=options)[name]
        for f, a, b in (scene, [255 - x for x in scene])
    )
    assert float(after) == pytest.approx(float(before), rel=1e-6)


@pytest.mark.parametrize(('name', 'factor'), [('CC', 1), ('SCD', 1), ('MI', 1), ('EN', 1), ('Qabf', 1), ('SD', 2),
                                              ('AG', 2), ('SF', 2), ('Qcv', 4)])  # fmt: skip
def test_twice_the_contrast(name, factor, scene):
    halves = [x // 2 for x in scene]
    before, after = (compute(tensor(f), [tensor(a), tensor(b)], [name])[name] for f, a, b in
                     (halves, [2 * x for x in halves]))  # fmt: skip
    assert float(after) == pytest.approx(factor * float(before), rel=1e-6)


def test_all_with_a_reference_has_the_reference_metrics(scene):
    fused, a, b = (tensor(x) for x in scene)
    got = compute(fused, [a, b], 'all', 'both', reference=a, too_small='nan')
    assert float(got['PSNR_ref']) == float(fn.reference_psnr(fused, a))
    assert float(got['SSIM_ref']) == float(fn.reference_ssim(fused, a))
    assert set(got) - set(compute(fused, [a, b], 'all', 'both')) == {'PSNR_ref', 'SSIM_ref'}


@pytest.mark.parametrize(('name', 'shift'), [('CC', 30), ('SCD', 30), ('SD', 30), ('AG', 30), ('SF', 30), ('EN', 30)])
def test_adding_a_constant_to_all_pictures_changes_nothing(name, shift, scene):
    pictures = [np.clip(x, 0, 220) for x in scene]
    before, after = (compute(tensor(f), [tensor(a), tensor(b)], [name])[name] for f, a, b in
                     (pictures, [x + shift for x in pictures]))  # fmt: skip
    assert float(after) == pytest.approx(float(before), rel=1e-9)


@pytest.mark.parametrize('name', ['MI', 'EN'])
def test_relabelling_grey_levels_changes_nothing(name, scene):
    order = np.random.default_rng(0).permutation(256).astype(np.uint8)
    before, after = (compute(tensor(f), [tensor(a), tensor(b)], [name])[name] for f, a, b in
                     (scene, [order[x] for x in scene]))  # fmt: skip
    assert float(after) == pytest.approx(float(before), rel=1e-12)


# ------------------------------------------------------------ tensors


def test_dtypes_give_one_number_and_batches_are_rows():
    rng = np.random.default_rng(0)
    colour = torch.from_numpy(rng.integers(0, 256, (3, 3, 170, 200), dtype=np.uint8))
    grey = torch.from_numpy(rng.integers(0, 256, (3, 1, 170, 200), dtype=np.uint8))
    names = [m for m in FUSION_METRICS if m != 'NIQE']
    whole = compute(colour, {'vi': colour.flip(0), 'ir': grey}, names, 'both')
    for dtype in (torch.float32, torch.float64):
        other = compute((colour.to(dtype) / 255), {'vi': colour.flip(0).to(dtype) / 255, 'ir': grey}, names, 'both')
        for column, value in whole.items():
            assert value.shape == (3,)
            assert value.dtype == torch.float64
            torch.testing.assert_close(other[column], value, rtol=1e-6, atol=1e-9)
    second = compute(colour[1:2], [colour.flip(0)[1:2], grey[1:2]], names, 'both')
    for column, value in second.items():
        assert float(value) == pytest.approx(float(whole[column][1]), rel=1e-9)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_gpu_equals_cpu(scene, values):
    fused, a, b = (tensor(x).cuda() for x in scene)
    for column, value in compute(fused, [a, b], variant='both').items():
        torch.testing.assert_close(value.cpu(), values[column], rtol=1e-4, atol=1e-8)


def test_grey_rounds_halves_to_even_and_keeps_equal_channels():
    exact_halves = torch.tensor([[0, 0, 250], [100, 100, 105], [7, 7, 7]], dtype=torch.uint8)[:, :, None, None]
    # 28.5, 100.57 and 7
    assert to_grey(exact_halves).flatten().tolist() == [28, 101, 7]


def test_three_sources():
    pictures = [tensor(picture(s, 170, 170)) for s in range(4)]
    got = compute(pictures[0], pictures[1:], [m for m in SOURCE_METRICS if m != 'SCD'], 'both')
    singles = [compute(pictures[0], [p], ['CC', 'SSIM', 'VIF', 'MI']) for p in pictures[1:]]
    for name, combine in (('CC', np.mean), ('SSIM', np.mean), ('VIF', np.sum), ('MI', np.sum)):
        assert float(got[name]) == pytest.approx(combine([float(s[name]) for s in singles])), name
    with pytest.raises(ValueError, match='two sources, got 3'):
        fn.scd(pictures[0], pictures[1:])


def test_reference_metrics(scene):
    skimage = pytest.importorskip('skimage.metrics')
    rng = np.random.default_rng(0)
    clean, noisy = rng.integers(0, 256, (2, 30, 40, 3), dtype=np.uint8)
    a, b = (torch.from_numpy(x.transpose(2, 0, 1).copy())[None] for x in (noisy, clean))
    got = compute(a, [b], ['PSNR_ref', 'SSIM_ref'], reference=b)
    expected = skimage.structural_similarity(noisy, clean, data_range=255, gaussian_weights=True, sigma=1.5,
                                             use_sample_covariance=False, channel_axis=2)  # fmt: skip
    assert float(got['SSIM_ref']) == pytest.approx(expected, rel=1e-9)
    assert float(got['PSNR_ref']) == pytest.approx(skimage.peak_signal_noise_ratio(clean, noisy, data_range=255))
    with pytest.raises(ValueError, match='PSNR_ref needs a reference'):
        compute(a, [b], ['PSNR_ref'])


# ------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ('fused', 'sources', 'error', 'words'),
    [
        (torch.zeros(1, 1, 20, 20), [torch.zeros(1, 1, 20, 21)], ValueError, 'height and width must be equal'),
        (torch.full((1, 1, 20, 20), 200.0), [], ValueError, r'must lie in \[0, 1\], got values from 200'),
        (torch.full((1, 1, 20, 20), math.nan), [], ValueError, 'got values from nan'),
        (torch.zeros(1, 1, 20, 20, dtype=torch.int32), [], TypeError, 'got torch.int32'),
        (torch.zeros(3, 20, 20), [], ValueError, r'expected a tensor \(B, 1\|3, H, W\)'),
        (np.zeros((1, 1, 20, 20)), [], TypeError, 'got ndarray'),
        (torch.zeros(1, 1, 20, 20), torch.zeros(1, 1, 20, 20), TypeError, 'sources must be a sequence or a dict'),
    ],
)
def test_bad_tensors(fused, sources, error, words):
    with pytest.raises(error, match=words):
        Pictures(fused, sources)


@pytest.mark.parametrize(
    ('name', 'side', 'words'), [('MS-SSIM', 160, '161x161'), ('VIF', 40, '41x41'), ('SSIM', 10, '11x11')]
)
def test_small_pictures(name, side, words):
    x = tensor(picture(0, side, side))
    with pytest.raises(ValueError, match=f'{words} pixels, got {side}x{side}'):
        compute(x, [x, x], [name])
    assert math.isnan(float(compute(x, [x, x], [name], too_small='nan')[name]))
    enough = tensor(picture(0, side + 1, side + 1))
    assert math.isfinite(float(compute(enough, [enough, enough], [name])[name]))


def test_bad_options(scene):
    fused, a, b = (tensor(x) for x in scene)
    with pytest.raises(ValueError, match="variant must be one of standard, paper; got 'Paper'"):
        fn.ssim(fused, [a, b], variant='Paper')
    with pytest.raises(ValueError, match="aggregate must be one of mean, sum; got 'max'"):
        fn.vif(fused, [a, b], aggregate='max')
    with pytest.raises(ValueError, match='at least 1 source'):
        fn.correlation(fused)
    with pytest.raises(KeyError, match="Did you mean 'SSIM'"):
        compute(fused, [a, b], ['SSMI'])
    with pytest.raises(KeyError, match='variant="paper"'):
        select_metrics(['PSNR_paper'])
    with pytest.raises(KeyError, match='NoReferenceIQA'):
        select_metrics(['MUSIQ'])
    with pytest.raises(ValueError, match='variant must be one of'):
        columns_of(['CC'], 'all')


# ------------------------------------------------------------ colours and heat


def coloured(seed: int, height: int = 40, width: int = 50) -> np.ndarray:
    return np.random.default_rng(seed).integers(40, 200, (height, width, 3)).astype(np.uint8)


def rgb(image: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(image).permute(2, 0, 1)[None]


def test_chroma_and_hue_equal_scikit_image():
    convert = pytest.importorskip('skimage.color').rgb2ycbcr
    image, reference = coloured(0), coloured(1)
    # scikit-image has studio swing: 224 levels of chroma instead of 255
    own, wanted = ((convert(x)[..., 1:] - 128) * 255 / 224 for x in (image, reference))
    sizes = np.linalg.norm(own, axis=-1), np.linalg.norm(wanted, axis=-1)
    there = sizes[1] >= 10
    assert float(fn.chroma_kept(rgb(image), rgb(reference))) == pytest.approx(
        100 * sizes[0][there].sum() / sizes[1][there].sum(), rel=1e-3
    )
    cosine = (own * wanted).sum(-1) / np.maximum(sizes[0] * sizes[1], 1e-9)
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    weight = sizes[1] * there * (sizes[0] >= 2)
    expected = (angle * weight).sum() / weight.sum()
    assert float(fn.hue_shift(rgb(image), rgb(reference))) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize('share', [0.25, 0.5, 1.0])
def test_paler_colours_keep_their_hue(share):
    # even steps: half of a colour is a whole number of levels
    reference = 128 + 8 * np.random.default_rng(2).integers(-8, 9, (40, 50, 3))
    grey = reference @ np.array([0.299, 0.587, 0.114])
    paler = np.round(grey[..., None] + share * (reference - grey[..., None])).astype(np.uint8)
    kept = float(fn.chroma_kept(rgb(paler), rgb(reference.astype(np.uint8))))
    assert kept == pytest.approx(100 * share, abs=0.5)
    assert float(fn.hue_shift(rgb(paler), rgb(reference.astype(np.uint8)))) < 2
    brighter = (reference + 20).astype(np.uint8)
    assert float(fn.chroma_kept(rgb(brighter), rgb(reference.astype(np.uint8)))) == pytest.approx(100)
    assert float(fn.hue_shift(rgb(brighter), rgb(reference.astype(np.uint8)))) == pytest.approx(0, abs=1e-3)


def test_pictures_without_colour_have_neither():
    grey = np.repeat(coloured(0)[..., :1], 3, axis=2)
    assert math.isnan(float(fn.chroma_kept(rgb(coloured(1)), rgb(grey))))
    assert math.isnan(float(fn.hue_shift(rgb(coloured(1)), rgb(grey))))
    assert float(fn.chroma_kept(rgb(grey), rgb(coloured(1)))) == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match='colours are those of RGB pictures'):
        fn.hue_shift(tensor(grey[..., 0]), rgb(grey))


def test_heat_against_loops():
    image, source = coloured(3, 30, 36), coloured(4, 30, 36)
    target = np.zeros((30, 36), bool)
    target[2:8, 3:6] = target[20:26, 30:36] = True
    source[target] = np.minimum(source[target] + 60, 255)
    ring = np.zeros_like(target)
    for row, column in zip(*np.nonzero(target), strict=True):
        ring[max(row - 4, 0) : row + 5, max(column - 4, 0) : column + 5] = True
    ring &= ~target
    contrasts = []
    for picture_ in (image, source):
        luma = np.round(picture_ @ np.array([0.299, 0.587, 0.114]))
        contrasts.append(luma[target].mean() - luma[ring].mean())
    got = fn.heat_kept(rgb(image), rgb(source), torch.as_tensor(target)[None], around=4)
    assert float(got) == pytest.approx(100 * contrasts[0] / contrasts[1], rel=1e-6)


@pytest.mark.parametrize(('levels', 'targets'), [(9, True), (40, False)])
def test_heat_that_is_not_there(levels, targets):
    source = np.full((30, 36, 3), 50, np.uint8)
    target = np.zeros((30, 36), bool)
    target[10:15, 10:15] = targets
    source[target] += np.uint8(levels)
    assert math.isnan(float(fn.heat_kept(rgb(coloured(0, 30, 36)), rgb(source), torch.as_tensor(target)[None])))
    with pytest.raises(ValueError, match=r'target \(1, 5, 5\) must be'):
        fn.heat_kept(rgb(source), rgb(source), torch.zeros(1, 5, 5, dtype=torch.bool))


def test_every_card_is_complete(values):
    names = (*FUSION_METRICS, *REFERENCE_METRICS)
    assert len(names) == 18
    for name in names:
        card = card_of(name)
        assert card.name == name
        assert card.function.__doc__
        assert (card.aggregation != '') == (card.needs == ('sources',)), name
    assert [c for c in values if c.endswith('_paper')] == ['PSNR_paper', 'SSIM_paper', 'MS-SSIM_paper']
    for column, value in values.items():
        low, high = card_of(column).range
        assert low <= float(value) <= high, column
