import copy
import math
import re
from functools import partial

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from lurefusion.evaluation import functional as fn
from lurefusion.models.losses import (
    ChromaLoss,
    ColorLoss,
    DetailLoss,
    GradLoss,
    HotTargetLoss,
    IntensityMaxLoss,
    Loss,
    LossSet,
    MeanLatentLoss,
    PatternLoss,
    PerceptualLoss,
    PyramidLoss,
    QualityLoss,
    ReconLoss,
    SSIMLoss,
    TaskLoss,
    TextLoss,
    UnifiedLoss,
    VGG16Features,
    latent_diagnostics,
    latent_distance,
)
from lurefusion.models.losses.quality import SPREAD
from lurefusion.models.losses.vgg import vgg16_layers
from lurefusion.ops.colour import luma, ycbcr
from lurefusion.ops.gradients import gradient_magnitude, laplacian, sobel
from lurefusion.ops.ssim import ssim
from lurefusion.registry import LOSSES

KINDS = ['pix', 'flat', 'cc', 'cpix', 'mse']


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=generator(seed))


def grey(*shape, seed=0):
    batch, height, width = shape
    return rand(batch, 1, height, width, seed=seed).expand(-1, 3, -1, -1).contiguous()


def restoration(batch=2, size=16, requires_grad=True, seed=0):
    shapes = [(batch, 4, size, size), (batch, 8, size // 2, size // 2)]
    quantities = {
        'pred': rand(batch, 3, size, size, seed=seed),
        'target': rand(batch, 3, size, size, seed=seed + 1),
        'pred_pd': rand(batch, 3, size, size, seed=seed + 2),
        'latents': [torch.randn(*s, generator=generator(seed + 3)) for s in shapes],
        'latents_pd': [torch.randn(*s, generator=generator(seed + 4)) for s in shapes],
        'logits': torch.randn(2 * batch, 6, generator=generator(seed + 5)),
        'labels': torch.arange(2 * batch) % 6,
        'num_pd': batch,
        'm': torch.ones(batch, dtype=torch.long),
    }
    if requires_grad:
        quantities['pred'].requires_grad_()
    return quantities


def fusion(size=24, names=('vi', 'ir'), batch=2):
    sources = {name: rand(batch, 3, size, size, seed=i + 1) for i, name in enumerate(names)}
    return {'fused': rand(batch, 3, size, size).requires_grad_(), 'sources': sources}


# functions


def test_chroma_of_grey_is_zero():
    y, cb, cr = ycbcr(grey(2, 8, 8))
    assert y.shape == (2, 1, 8, 8)
    torch.testing.assert_close(torch.cat((cb, cr)), torch.zeros(4, 1, 8, 8), atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match=r'RGB image'):
        luma(rand(2, 1, 8, 8))


# restoration


@pytest.mark.parametrize('grad', ['l1', 'l2'])
def test_task_loss_against_its_definition(grad):
    q = restoration(requires_grad=False)

    def magnitude(image):
        gx = np.stack([[ndimage.sobel(c, axis=1, mode='nearest') for c in i] for i in image.numpy()])
        gy = np.stack([[ndimage.sobel(c, axis=0, mode='nearest') for c in i] for i in image.numpy()])
        return np.abs(gx) + np.abs(gy) if grad == 'l1' else np.sqrt(gx**2 + gy**2 + 1e-6)

    expected = np.abs(q['pred'] - q['target']).mean().item()
    expected += 0.3 * np.abs(magnitude(q['pred']) - magnitude(q['target'])).mean()
    value = TaskLoss(alpha_task=0.3, grad=grad)(q['pred'], q['target'])
    assert value.ndim == 0
    assert value.item() == pytest.approx(expected, rel=1e-5)
    assert TaskLoss(grad=grad)(q['target'], q['target']).item() == 0
    with pytest.raises(ValueError, match='l3'):
        TaskLoss(grad='l3')


def test_l2_magnitude_has_a_finite_gradient_on_a_constant_image():
    image = torch.full((1, 3, 8, 8), 0.5, requires_grad=True)
    gradient_magnitude(image, 'l2').sum().backward()
    assert image.grad.isfinite().all()


def test_chroma_loss_by_hand():
    clean = torch.tensor([0.6, 0.4, 0.3]).view(1, 3, 1, 1).expand(1, 3, 20, 20)
    grey = torch.full_like(clean, float(luma(clean)[0, 0, 0, 0]))
    cb, cr = (float(plane[0, 0, 0, 0]) for plane in ycbcr(clean)[1:])
    size = math.sqrt(cb**2 + cr**2 + 1e-6) - 1e-3
    # all chroma is lost: half of |cb| + |cr| (a mean of two planes), and its amount
    assert ChromaLoss(amount=0.0)(grey, clean).item() == pytest.approx((abs(cb) + abs(cr)) / 2, rel=1e-4)
    assert ChromaLoss(amount=1.0)(grey, clean).item() == pytest.approx((abs(cb) + abs(cr)) / 2 + size, rel=1e-3)
    # of brightness it sees nothing
    assert ChromaLoss()(clean + 0.1, clean).item() == pytest.approx(0, abs=1e-6)


def test_chroma_loss_asks_for_the_amount_where_the_places_differ():
    # right amount, wrong hues by pixels: the pixelwise distance alone would prefer grey
    clean = rand(1, 3, 40, 40)
    moved = clean.roll((3, 5), dims=(2, 3))
    grey = luma(clean).expand(-1, 3, -1, -1)
    assert ChromaLoss(amount=0.0)(moved, clean) > ChromaLoss(amount=0.0)(grey, clean)
    assert ChromaLoss(amount=2.0)(moved, clean) < ChromaLoss(amount=2.0)(grey, clean)


@pytest.mark.parametrize('bad', [dict(amount=-1.0), dict(radius=-1)])
def test_chroma_loss_refuses_negative_options(bad):
    with pytest.raises(ValueError, match='must not be negative'):
        ChromaLoss(**bad)


def test_recon_loss():
    q = restoration()
    assert ReconLoss()(q['pred_pd'], q['target']).item() == pytest.approx((q['pred_pd'] - q['target']).abs().mean())


@pytest.mark.parametrize('kind', KINDS)
def test_unified_loss_is_zero_for_equal_latents(kind):
    latents = restoration()['latents']
    assert UnifiedLoss(kind)(latents, latents).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize('kind', ['pix', 'flat', 'cc'])
def test_unified_loss_is_invariant_to_positive_scaling(kind):
    q = restoration()
    scaled = [3.7 * z for z in q['latents']]
    loss = UnifiedLoss(kind)
    torch.testing.assert_close(loss(scaled, q['latents_pd']), loss(q['latents'], q['latents_pd']))


def test_only_cc_is_blind_to_channel_offsets():
    z = restoration()['latents'][0]
    shifted = z + 2 * torch.randn(1, z.shape[1], 1, 1, generator=generator(9))
    assert latent_distance(shifted, z, 'cc').item() == pytest.approx(0, abs=1e-5)
    assert latent_distance(shifted, z, 'pix').item() > 0.1


def test_pix_and_cc_against_numpy():
    q = restoration()
    z, z_pd = q['latents'][0].numpy(), q['latents_pd'][0].numpy()
    cosine = (z * z_pd).sum(1) / np.linalg.norm(z, axis=1) / np.linalg.norm(z_pd, axis=1)
    tensors = q['latents'][0], q['latents_pd'][0]
    assert latent_distance(*tensors, 'pix').item() == pytest.approx(1 - cosine.mean(), abs=1e-5)
    pearson = [np.corrcoef(z[b, c].ravel(), z_pd[b, c].ravel())[0, 1] for b in range(2) for c in range(z.shape[1])]
    assert latent_distance(*tensors, 'cc').item() == pytest.approx(1 - np.mean(pearson), abs=1e-5)


def test_mse_against_numpy_and_sees_lengths():
    q = restoration()
    z, z_pd = q['latents'][0].numpy(), q['latents_pd'][0].numpy()
    parts = [((z[:, c] - z_pd[:, c]) ** 2).mean() / z_pd[:, c].var() for c in range(z.shape[1])]
    assert latent_distance(q['latents'][0], q['latents_pd'][0], 'mse').item() == pytest.approx(np.mean(parts), rel=1e-4)
    assert latent_distance(2 * q['latents_pd'][0], q['latents_pd'][0], 'mse').item() > 0.9


def test_cc_skips_constant_channels():
    z = torch.randn(1, 2, 6, 6, generator=generator())
    z_pd = -z.clone()
    z_pd[:, 1] = 0.3
    assert latent_distance(z, z_pd, 'cc').item() == pytest.approx(2, abs=1e-5)


@pytest.mark.parametrize('kind', KINDS)
def test_unified_loss_has_finite_gradients_on_constant_latents(kind):
    z = torch.full((2, 4, 6, 6), 0.5, requires_grad=True)
    z_pd = torch.full((2, 4, 6, 6), 0.2, requires_grad=True)
    UnifiedLoss(kind)([z], [z_pd]).backward()
    assert z.grad.isfinite().all()
    assert z_pd.grad.isfinite().all()


def test_unified_loss_scale_weights_and_detached_target():
    q = restoration()
    for z in (*q['latents'], *q['latents_pd']):
        z.requires_grad_()
    one, two = (latent_distance(z, p) for z, p in zip(q['latents'], q['latents_pd'], strict=True))
    torch.testing.assert_close(UnifiedLoss()(q['latents'], q['latents_pd']), (one + two) / 2)
    torch.testing.assert_close(
        UnifiedLoss(scale_weights=(3, 1))(q['latents'], q['latents_pd']), 0.75 * one + 0.25 * two
    )
    UnifiedLoss(detach_target=True)(q['latents'], q['latents_pd']).backward()
    assert q['latents_pd'][0].grad is None
    assert q['latents'][0].grad.abs().sum() > 0
    with pytest.raises(ValueError, match='2 and 2 scales of latents, but 3'):
        UnifiedLoss(scale_weights=(1, 1, 1))(q['latents'], q['latents_pd'])
    with pytest.raises(ValueError, match='pixel'):
        UnifiedLoss('pixel')


def scales_of(rows, seed=0):
    """Two scales of latents whose spatial means are the rows (B,5)."""
    noise = [torch.randn(len(rows), c, s, s, generator=generator(seed)) for c, s in ((2, 4), (3, 2))]
    parts = rows.float().split([2, 3], dim=1)
    return [n - n.mean(dim=(2, 3), keepdim=True) + p[:, :, None, None] for n, p in zip(noise, parts, strict=True)]


@pytest.fixture
def gaussian():
    """40 batches of 25 means of clean latents, N(mu, A A^T), thin along one axis; and a loss that has seen them.

    The second modality's are three times as wide.
    """
    mixing = torch.randn(5, 5, generator=generator(1)).double()
    mixing[:, 0] *= 0.02
    mu = torch.tensor([3.0, -1.0, 0.5, 0.0, 2.0]).double()
    rows = mu + torch.randn(40, 25, 5, generator=generator(2)).double() @ mixing.mT
    loss = MeanLatentLoss(width=5, momentum=1e-3)
    centre = rows.mean(dim=(0, 1))
    for batch in rows:
        z = scales_of(torch.cat([batch, centre + 3 * (batch - centre)]))
        loss(z, z, torch.arange(2).repeat_interleave(25))
    return rows.flatten(0, 1), mixing, loss.eval()


def first(latents):
    """(B,) int64: all of the first modality."""
    return torch.zeros(len(latents[0]), dtype=torch.long)


def means_apart(loss, z, z_pd, m=0):
    """The loss of two sets of means (B,5) of one modality."""
    return loss(scales_of(z), scales_of(z_pd, seed=1), torch.full((len(z),), m)).item()


def test_mean_latent_loss_against_numpy(gaussian):
    rows, _, loss = gaussian
    covariance = np.cov(rows.numpy(), rowvar=False, bias=True)
    for m, factor in enumerate((1, 9)):
        np.testing.assert_allclose(loss.mean[m], rows.mean(0), atol=1e-6)
        spread = loss.second[m] - torch.outer(loss.mean[m], loss.mean[m])
        np.testing.assert_allclose(spread, factor * covariance, atol=1e-4)
    z, z_pd = rows[:7] + 0.3, rows[7:14]
    correlation = np.corrcoef(rows.numpy(), rowvar=False) + loss.ridge * np.eye(5)
    offsets = (z - z_pd).numpy() / np.sqrt(covariance.diagonal())
    distances = np.array([o @ np.linalg.solve(correlation, o) for o in offsets]) / 5
    assert means_apart(loss, z, z_pd) == pytest.approx(np.log1p(distances).mean(), rel=1e-3)
    # in the wider modality the same offset is a third
    assert means_apart(loss, z, z_pd, 1) == pytest.approx(np.log1p(distances / 9).mean(), rel=1e-3)


def test_mean_latent_loss_counts_in_deviations_of_the_clean_latents_along_every_axis(gaussian):
    rows, mixing, loss = gaussian
    # two draws of one Gaussian in d dimensions are 2 chi^2(d) apart
    draws = np.log1p(2 * np.random.default_rng(0).chisquare(5, 100_000) / 5).mean()
    assert means_apart(loss, rows[:500], rows[500:]) == pytest.approx(draws, rel=0.1)
    # moved by k deviations along one column of A, thin or not: k^2 / d
    for axis in range(5):
        moved = means_apart(loss, rows + 3 * mixing[:, axis], rows)
        assert moved == pytest.approx(np.log1p(9 / 5), rel=0.1)


def test_mean_latent_loss_is_zero_for_equal_means_and_leaves_the_pseudo_latents_alone(gaussian):
    rows, _, loss = gaussian
    assert means_apart(loss, rows, rows) == pytest.approx(0, abs=1e-6)
    latents, latents_pd = ([z.requires_grad_() for z in scales_of(r)] for r in (rows[:4], rows[4:8]))
    loss.train()(latents, latents_pd, first(latents)).backward()
    assert all(z.grad.isfinite().all() and z.grad.abs().sum() > 0 for z in latents)
    assert all(z.grad is None for z in latents_pd)


def test_mean_latent_loss_keeps_statistics_of_the_pseudo_latents_in_training_alone():
    q = restoration()
    loss = MeanLatentLoss(width=12, momentum=0.4)
    means = torch.cat([z.mean(dim=(2, 3)) for z in q['latents_pd']], dim=1).double()
    # two pictures, twelve channels: the ridge keeps it defined
    assert loss(q['latents'], q['latents_pd'], q['m']).isfinite()
    torch.testing.assert_close(loss.mean[1], means.mean(0))
    torch.testing.assert_close(loss.second[1], means.mT @ means / 2)
    assert not loss.mean[0].any()
    before = copy.deepcopy(loss.state_dict())
    loss.eval()(q['latents_pd'], q['latents'], q['m'])
    assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())
    loss.train()
    for share in (1 / 2, 0.4):  # of the third batch, 1/3 would be less than the momentum
        expected = (1 - share) * loss.mean[1] + share * means.mean(0) * 2
        loss(q['latents'], [2 * z for z in q['latents_pd']], q['m'])
        torch.testing.assert_close(loss.mean[1], expected)
    resumed = MeanLatentLoss(width=12)
    resumed.load_state_dict(loss.state_dict())
    args = q['latents'], q['latents_pd'], q['m']
    torch.testing.assert_close(resumed.eval()(*args), loss.eval()(*args))
    assert resumed.batches.tolist() == [0, 3]


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_mean_latent_loss_survives_a_bad_batch(bad):
    q = restoration()
    loss = MeanLatentLoss(width=12, momentum=0.4)
    args = q['latents'], q['latents_pd'], q['m']
    loss(*args)
    before = copy.deepcopy(loss.state_dict())
    # what ends a training that diverges sees no error, but a loss that is no number
    assert loss(q['latents'], [z * bad for z in q['latents_pd']], q['m']).isnan()
    assert all(torch.equal(loss.state_dict()[name], before[name]) for name in ('mean', 'second'))
    assert loss([z * bad for z in q['latents']], q['latents_pd'], q['m']).isnan()
    assert loss(*args).isfinite()


def test_mean_latent_loss_names_what_is_wrong():
    q = restoration()
    with pytest.raises(ValueError, match=r'width=8, but the latents have 12 channels'):
        MeanLatentLoss(width=8)(q['latents'], q['latents_pd'], q['m'])
    for bad in (dict(ridge=0), dict(momentum=0), dict(momentum=1.1)):
        with pytest.raises(ValueError, match=r'ridge must be above 0 and momentum in \(0, 1\]'):
            MeanLatentLoss(width=8, **bad)


def test_pyramid_loss_by_hand():
    """The finest scale is the picture in blocks, the second but for its free channel, the third 0.25 off."""
    target = torch.rand(2, 3, 8, 8, generator=generator(5))
    blocks = torch.stack([target[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)], dim=2).flatten(1, 2)
    shrunk = [target.reshape(2, 3, 8 // s, s, 8 // s, s).mean(dim=(3, 5)) for s in (4, 8)]
    latents_pd = [blocks, torch.cat([shrunk[0], torch.full((2, 1, 2, 2), 7.0)], dim=1), shrunk[1] - 0.25]
    assert PyramidLoss()(latents_pd, target).item() == pytest.approx(0.25 / 3, abs=1e-6)
    assert PyramidLoss()([target + 1], target).item() == pytest.approx(1, abs=1e-6)
    for bad, needed, found in (([blocks[:, :11]], [12], [11]), ([blocks, shrunk[0][:, :2]], [12, 3], [12, 2])):
        message = f'latent_channels of at least {needed}, got {found}'
        with pytest.raises(ValueError, match=re.escape(message)):
            PyramidLoss()(bad, target)


def test_text_loss_gives_pseudo_rows_their_share():
    q = restoration()
    rows = -torch.log_softmax(q['logits'], dim=1)[torch.arange(4), q['labels']]
    expected = (rows[0] + rows[1] + 0.2 * rows[2] + 0.2 * rows[3]) / 2.4
    torch.testing.assert_close(TextLoss()(q['logits'], q['labels'], 2), expected)
    torch.testing.assert_close(TextLoss()(q['logits'], q['labels'], 0), rows.mean())
    with pytest.raises(ValueError, match='num_pd'):
        TextLoss()(q['logits'], q['labels'], 5)


def test_detail_loss():
    target = torch.zeros(3, 3, 4, 4)
    degraded = torch.stack([torch.full((3, 4, 4), v) for v in (0.1, 0.2, 0.5)])
    detailed = torch.stack([torch.full((3, 4, 4), v) for v in (0.05, 0.2, 0.9)])
    tasks = ['sr', 'sr', 'hz', 'pd', 'pd', 'pd', 'pd']
    gates = torch.tensor([2.0, 1.0, 0.5, -1.0, -0.5, -0.25, 0.0])
    # only the pictures of the task count, each by what was lost
    relative = (0.05**2 / (0.1**2 + 1e-5) + 0.2**2 / (0.2**2 + 1e-5)) / 2
    # opened: 0 and 0.5 short of 1.5; closed: 1, 0, 0, 0.25 and 0.5 above -0.5
    hinge = 0.25 + (1 + 0.25 + 0.5) / 5
    pred = torch.stack([torch.full((3, 4, 4), v) for v in (0.02, 0.1, 0.9)])
    quantities = dict(degraded=degraded, detailed=detailed, pred=pred, target=target, gates=gates, tasks=tasks)
    assert DetailLoss()(**quantities).item() == pytest.approx(relative + hinge, rel=1e-5)
    assert DetailLoss(gate_weight=0)(**quantities).item() == pytest.approx(relative, rel=1e-5)
    assert DetailLoss(tasks=('lc',), gate_weight=0)(**quantities).item() == 0
    # what the network makes of it
    restored = (0.02**2 / (0.1**2 + 1e-5) + 0.1**2 / (0.2**2 + 1e-5)) / 2
    assert DetailLoss(gate_weight=0, whole=True)(**quantities).item() == pytest.approx(restored, rel=1e-5)


def test_latent_diagnostics():
    q = restoration(batch=3, size=32)
    scaled = [2 * z for z in q['latents']]
    values = latent_diagnostics(scaled, q['latents'])
    names = ('gamma', 'gamma_centred', 'cross_image', 'norm_ratio', 'erank')
    assert set(values) == {f'{name}_{i}' for name in names for i in range(2)}
    assert not any('loss' in key for key in values)
    assert values['gamma_0'].item() == pytest.approx(1, abs=1e-5)
    assert values['norm_ratio_1'].item() == pytest.approx(2, rel=1e-5)
    assert abs(values['cross_image_0'].item()) < 0.1
    assert 3.5 < values['erank_0'].item() <= 4
    # a common offset makes every raw cosine high; the centred one is not fooled
    offset = [z + 30 for z in q['latents']], [z + 30 for z in q['latents_pd']]
    fooled = latent_diagnostics(*offset)
    assert fooled['gamma_0'] > 0.99
    assert fooled['cross_image_0'] > 0.99
    assert abs(fooled['gamma_centred_0'].item()) < 0.1
    rank_one = torch.randn(2, 1, 16, 16, generator=generator()) * torch.ones(1, 5, 1, 1)
    assert latent_diagnostics([rank_one], [rank_one])['erank_0'].item() == pytest.approx(1, abs=1e-3)
    assert 'cross_image_0' not in latent_diagnostics([rank_one[:1]], [rank_one[:1]])


# fusion


def test_color_loss():
    q = fusion()
    vi = q['sources']['vi']
    brighter = vi + grey(2, 24, 24, seed=5)
    assert ColorLoss()(brighter, q['sources']).item() == pytest.approx(0, abs=1e-6)
    weights = np.array([[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    difference = (q['fused'] - q['sources']['ir']).detach().numpy()
    expected = np.abs(np.einsum('kc,bchw->kbhw', weights, difference)).mean(axis=(1, 2, 3)).sum()
    assert ColorLoss('ir')(**q).item() == pytest.approx(expected, rel=1e-5)
    with pytest.raises(KeyError, match="'pet'; the sources are vi, ir"):
        ColorLoss('pet')(**q)


def test_color_loss_of_all_sources_follows_the_more_colourful_one():
    q = fusion()
    sources = {'a': q['sources']['vi'], 'b': grey(2, 24, 24)}
    torch.testing.assert_close(ColorLoss(None)(q['fused'], sources), ColorLoss('a')(q['fused'], sources))
    sources['b'] = rand(2, 3, 24, 24, seed=7)
    planes = np.stack([[ycbcr(image)[k].numpy() for k in (1, 2)] for image in (q['sources']['vi'], sources['b'])])
    target = (planes * np.abs(planes)).sum(0) / np.abs(planes).sum(0)
    own = np.stack([plane.detach().numpy() for plane in ycbcr(q['fused'])[1:]])
    expected = np.abs(own - target).mean(axis=(1, 2, 3, 4)).sum()
    assert ColorLoss(None)(q['fused'], sources).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('mode', ['position', 'sum'])
@pytest.mark.parametrize('names', [('vi', 'ir'), ('a', 'b', 'c')])
def test_grad_loss_is_zero_when_the_gradients_equal_the_maximum(mode, names):
    strong = grey(2, 16, 16)
    weak = {name: 0.5 * strong / (i + 1) + 0.1 for i, name in enumerate(names[1:])}
    sources = {**weak, names[0]: strong}
    # luma gradients count: neither the level nor the sign matters
    assert GradLoss(mode)(0.7 - strong, sources).item() == pytest.approx(0, abs=1e-6)
    assert GradLoss(mode)(0.5 * strong, sources).item() > 0.1


@pytest.mark.parametrize('mode', ['position', 'sum'])
def test_grad_loss_against_scipy(mode):
    q = fusion(names=('a', 'b', 'c'))
    images = [luma(x).detach().numpy() for x in (q['fused'], *q['sources'].values())]
    gx, gy = (np.abs([[ndimage.sobel(b[0], axis=axis, mode='nearest') for b in i] for i in images]) for axis in (1, 0))
    maps = [gx + gy] if mode == 'sum' else [gx, gy]
    expected = sum(np.abs(g[0] - g[1:].max(axis=0)).mean() for g in maps)
    assert GradLoss(mode)(**q).item() == pytest.approx(expected, rel=1e-5)


def test_pattern_loss_sees_alternating_rows_that_sobel_does_not():
    flat = torch.full((2, 3, 16, 12), 0.5)
    rows = torch.where(torch.arange(16) % 2 == 0, 0.1, -0.1)[:, None]
    for alternating in (flat + rows, flat.mT + rows.mT):
        sources = dict(vi=torch.full_like(alternating, 0.3), ir=torch.full_like(alternating, 0.7))
        # the second difference of +-a is 4 a
        assert PatternLoss()(alternating, sources).item() == pytest.approx(0.4, rel=1e-5)
        inner = sobel(luma(alternating))
        assert max(g[..., 1:-1, 1:-1].abs().max().item() for g in inner) == pytest.approx(0, abs=1e-6)
        # what a source has too is no pattern
        assert PatternLoss()(alternating, dict(sources, ir=1 - alternating)).item() == pytest.approx(0, abs=1e-6)


def test_pattern_loss_against_numpy():
    q = fusion(names=('a', 'b', 'c'))
    fused, *sources = (luma(x).detach().numpy()[:, 0] for x in (q['fused'], *q['sources'].values()))
    expected = 0
    for axis in (1, 2):
        second, *others = (np.abs(np.diff(x, 2, axis=axis)) for x in (fused, *sources))
        expected += np.maximum(second - np.max(others, axis=0), 0).mean()
    assert PatternLoss()(**q).item() == pytest.approx(expected, rel=1e-5)


def test_hot_target_loss_by_hand():
    ir, vi = torch.zeros(1, 3, 40, 40), torch.full((1, 3, 40, 40), 0.5)
    ir[..., 20, 20] = 1
    loss = HotTargetLoss(radius=1)
    sources = dict(vi=vi, ir=ir)
    # above the mean of its 3x3 box the target has 8/9; its neighbours are below theirs and do not count
    assert loss(vi, sources).item() == pytest.approx(8 / 9 / 1600, rel=1e-4)
    assert loss(ir, sources).item() == 0
    # brightness of the surroundings is not asked for, more contrast than the source has is no fault
    assert loss(0.3 + 2 * ir, sources).item() == 0
    assert HotTargetLoss(radius=1, threshold=0.9)(vi, sources).item() == 0


def test_hot_target_loss_against_scipy():
    q = fusion()
    fused, hot = (luma(x).detach().double().numpy()[:, 0] for x in (q['fused'], q['sources']['ir']))

    def over_surroundings(x):
        size, ones = (1, 5, 5), np.ones_like(x)
        mean = ndimage.uniform_filter(x, size, mode='constant') / ndimage.uniform_filter(ones, size, mode='constant')
        return x - mean

    fused, hot = over_surroundings(fused), over_surroundings(hot)
    expected = (np.maximum(hot - fused, 0) * (hot > 0.1)).mean()
    assert HotTargetLoss(radius=2, threshold=0.1)(**q).item() == pytest.approx(expected, rel=1e-4)
    with pytest.raises(KeyError, match="looks for targets in 'nir'; the sources are vi, ir"):
        HotTargetLoss('nir')(**q)


def test_intensity_max_loss_takes_the_brighter_source_whole():
    q = fusion()
    vi, ir = q['sources']['vi'], q['sources']['ir']
    target = torch.where(ir.mean(1, keepdim=True) > vi.mean(1, keepdim=True), ir, vi)
    assert IntensityMaxLoss()(target, q['sources']).item() == 0
    torch.testing.assert_close(IntensityMaxLoss()(**q), (q['fused'] - target).abs().mean())


def test_intensity_max_loss_of_luma_leaves_the_colours_alone():
    q = fusion()
    brightest = torch.maximum(*(luma(source) for source in q['sources'].values()))
    loss = IntensityMaxLoss('luma')
    assert loss(brightest.expand(-1, 3, -1, -1), q['sources']).item() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(loss(**q), (luma(q['fused']) - brightest).abs().mean())
    with pytest.raises(ValueError, match="space must be one of rgb, luma; got 'hsv'"):
        IntensityMaxLoss('hsv')


def test_ssim_loss_weights_per_source():
    q = fusion()
    one = {name: 1 - ssim(luma(q['fused']), luma(s)).mean() for name, s in q['sources'].items()}
    torch.testing.assert_close(SSIMLoss()(**q), one['vi'] + one['ir'])
    torch.testing.assert_close(SSIMLoss(weights={'ir': 0.3})(**q), 0.3 * one['ir'])
    with pytest.raises(KeyError, match='mri'):
        SSIMLoss(weights={'mri': 1.0})(**q)


def test_perceptual_u2_against_its_definition():
    q = fusion(names=('a', 'b', 'c'))
    q['sources']['b'] = 0.3 * q['sources']['b']
    out, images = luma(q['fused']), [luma(s) for s in q['sources'].values()]
    energy = torch.stack([laplacian(i).square().mean(dim=(1, 2, 3)) for i in images])
    degrees = (3 * energy / energy.sum(0)).softmax(0)
    assert (degrees[1] < degrees[0]).all()
    terms = [1 - ssim(out, i) + 20 * (out - i).square().mean(dim=(1, 2, 3)) for i in images]
    expected = (degrees * torch.stack(terms)).sum(0).mean()
    torch.testing.assert_close(PerceptualLoss('u2')(**q), expected)


def test_perceptual_falls_back_to_u2_without_weights(monkeypatch):
    lines = []
    monkeypatch.setattr('lurefusion.models.losses.fusion.print_log', lambda text, **_: lines.append(text))
    loss = PerceptualLoss()
    assert len(lines) == 1
    assert "mode 'u2' is used" in lines[0]
    assert loss.mode == 'u2'
    q = fusion()
    torch.testing.assert_close(loss(**q), PerceptualLoss('u2')(**q))


@pytest.fixture(scope='module')
def vgg_file(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('vgg') / 'vgg16.pth'
    state = {f'features.{k}': v for k, v in vgg16_layers().state_dict().items()}
    torch.save({**state, 'classifier.0.weight': torch.zeros(1)}, path)
    return path


def test_vgg_loss_is_frozen_and_not_saved(vgg_file):
    loss = PerceptualLoss(weights=str(vgg_file))
    assert loss.mode == 'vgg'
    assert set(loss.state_dict()) == {'step'}
    assert not list(loss.parameters())
    loss.train()
    assert not loss._vgg[0].training
    q = fusion(size=32)
    value = loss(**q)
    value.backward()
    assert q['fused'].grad.abs().sum() > 0
    assert loss(q['sources']['vi'], {'vi': q['sources']['vi']}).item() == 0
    assert all(p.grad is None for p in loss._vgg[0].parameters())

    vgg = loss._vgg[0]
    out = vgg(luma(q['fused']))
    sources = [vgg(luma(s)) for s in q['sources'].values()]
    energy = torch.stack([sum(laplacian(f).square().mean(dim=(1, 2, 3)) for f in s) / 5 for s in sources])
    degrees = (2 * energy / energy.sum(0)).softmax(0)
    distance = torch.stack(
        [sum((a - b).square().mean(dim=(1, 2, 3)) for a, b in zip(out, s, strict=True)) / 5 for s in sources]
    )
    torch.testing.assert_close(value, (degrees * distance).sum(0).mean())


def test_vgg_features_are_the_last_relu_of_each_block(vgg_file, tmp_path):
    from safetensors.torch import save_file

    state = torch.load(vgg_file, weights_only=True)
    save_file(state, tmp_path / 'vgg16.safetensors')
    vgg = VGG16Features(tmp_path / 'vgg16.safetensors', 'caffe')
    image = rand(1, 3, 32, 32)
    features = vgg(image)
    assert [f.shape[1:] for f in features] == [
        (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2),
    ]  # fmt: skip
    x = image[:, [2, 1, 0]] * 255 - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    expected = []
    for block in ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)):
        x = nn.functional.max_pool2d(x, 2) if block[0] else x
        for n in block:
            x = nn.functional.conv2d(x, state[f'features.{n}.weight'], state[f'features.{n}.bias'], padding=1).relu()
        expected.append(x)
    for feature, reference in zip(features, expected, strict=True):
        torch.testing.assert_close(feature, reference)


def test_bad_vgg_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'vgg16\.pth'):
        PerceptualLoss(weights=str(tmp_path / 'vgg16.pth'))
    torch.save({'features.0.weight': torch.zeros(2)}, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=r'features\.0\.weight: expected \(64, 3, 3, 3\), got \(2,\)'):
        VGG16Features(tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='imagenet, caffe'):
        VGG16Features(tmp_path / 'other.pth', 'tf')


def test_degrees_sum_to_one_and_are_free_of_scale():
    energies = rand(3, 4)
    loss = PerceptualLoss('u2')
    torch.testing.assert_close(loss.degrees(energies).sum(0), torch.ones(4))
    torch.testing.assert_close(loss.degrees(1e-4 * energies), loss.degrees(energies))
    torch.testing.assert_close(loss.degrees(torch.zeros(2, 1)), torch.full((2, 1), 0.5))
    fixed = PerceptualLoss('u2', temperature=2.0).degrees(torch.tensor([[2.0], [0.0]]))
    assert fixed[0, 0].item() == pytest.approx(math.e / (math.e + 1))


@pytest.mark.parametrize('loss', [TaskLoss(), TaskLoss(grad='l2'), ReconLoss(), ChromaLoss()])
def test_restoration_gradients_are_finite_on_constant_images(loss):
    pred, target = (torch.full((1, 3, 16, 16), v, requires_grad=True) for v in (0.5, 0.2))
    loss(pred, target).backward()
    assert pred.grad.isfinite().all()


@pytest.mark.parametrize(
    'loss',
    [
        ColorLoss(),
        GradLoss(),
        GradLoss('sum'),
        HotTargetLoss(),
        IntensityMaxLoss(),
        PatternLoss(),
        QualityLoss(),
        SSIMLoss(),
        PerceptualLoss('u2'),
    ],
)
def test_fusion_gradients_are_finite_on_constant_images(loss):
    fused, vi, ir = (torch.full((1, 3, 48, 48), v, requires_grad=True) for v in (0.5, 0.2, 0.2))
    value = loss(fused, {'vi': vi, 'ir': ir})
    value.backward()
    assert value.ndim == 0
    assert fused.grad.isfinite().all()


def test_source_of_another_shape_is_named():
    q = fusion()
    q['sources']['ir'] = q['sources']['ir'][:, :1]
    for loss in (
        GradLoss(),
        HotTargetLoss(),
        IntensityMaxLoss(),
        PatternLoss(),
        PerceptualLoss('u2'),
        ColorLoss(),
        QualityLoss(),
    ):
        with pytest.raises(ValueError, match="source 'ir' is"):
            loss(**q)


def scene(size=192, seed=0):
    """Two pictures of whole grey levels with edges and areas, and a mean of them."""
    vi, ir = (
        torch.from_numpy(ndimage.gaussian_filter(rand(2, size, size, seed=seed + k).numpy(), (0, 3, 3)))[:, None]
        for k in (0, 1)
    )
    vi, ir = (((x - x.amin()) / (x.amax() - x.amin()) * 255).round() / 255 for x in (vi, ir))
    fused = ((0.6 * vi + 0.4 * ir.square()) * 255).round() / 255
    return [x.expand(-1, 3, -1, -1).contiguous() for x in (fused, vi, ir)]


@pytest.mark.parametrize('seed', [0, 5, 11])
def test_quality_loss_is_the_metrics(seed):
    fused, vi, ir = scene(seed=seed)
    measures = {
        'CC': fn.correlation,
        'SCD': fn.scd,
        'PSNR': fn.psnr,
        'SSIM': fn.ssim,
        'MS-SSIM': fn.ms_ssim,
        'VIF': fn.vif,
        'Qabf': partial(fn.qabf, border='replicate'),
    }
    total = 0
    for name, measure in measures.items():
        loss = QualityLoss(weights=dict.fromkeys(set(SPREAD) - {name}, 0.0))
        found = -SPREAD[name] * loss(fused, dict(vi=vi, ir=ir)).item()
        # angles without jumps
        tolerance = dict(abs=0.02) if name == 'Qabf' else dict(rel=2e-4)
        assert found == pytest.approx(measure(fused, [vi, ir]).mean().item(), **tolerance), name
        total -= found / SPREAD[name]
    assert QualityLoss()(fused, dict(vi=vi, ir=ir)).item() == pytest.approx(total, rel=1e-5)


def test_following_the_gradient_of_the_quality_loss_raises_every_metric():
    fused, vi, ir = scene()
    picture = (0.5 * fused + 0.2).requires_grad_()
    optimizer = torch.optim.Adam([picture], lr=0.003)
    start = [
        fn.ssim(picture.detach(), [vi, ir]),
        fn.scd(picture.detach(), [vi, ir]),
        fn.vif(picture.detach(), [vi, ir]),
    ]
    for _ in range(60):
        optimizer.zero_grad()
        QualityLoss()(picture, dict(vi=vi, ir=ir)).backward()
        optimizer.step()
    end = picture.detach().clamp(0, 1)
    for before, after in zip(start, [m(end, [vi, ir]) for m in (fn.ssim, fn.scd, fn.vif)], strict=True):
        assert (after > before + 0.005).all()


def test_quality_loss_names_what_is_wrong():
    with pytest.raises(ValueError, match=r"no metric 'MSSSIM'.*MS-SSIM"):
        QualityLoss(weights=dict(MSSSIM=1))
    with pytest.raises(ValueError, match='negative, got VIF=-1'):
        QualityLoss(weights=dict(VIF=-1))
    for weight in (float('nan'), float('inf')):
        with pytest.raises(ValueError, match='finite'):
            QualityLoss(weights=dict(VIF=weight))
    small = rand(1, 3, 32, 64)
    with pytest.raises(ValueError, match='at least 41 pixels'):
        QualityLoss()(small, dict(vi=small, ir=small))
    third = rand(1, 3, 48, 48)
    sources = dict(a=third, b=third, c=third)
    with pytest.raises(ValueError, match=r'two sources, got 3: QualityLoss.weights=dict\(SCD=0\)'):
        QualityLoss()(third, sources)
    assert QualityLoss(weights=dict(SCD=0))(third, sources).isfinite()


# the set


def stage_losses(**changes):
    losses = dict(
        task=dict(type='TaskLoss'),
        unified=dict(type='UnifiedLoss', weight=0.2, warmup=4),
        recon=dict(type='ReconLoss'),
        text=dict(type='TextLoss', weight=0.1),
    )
    return {**losses, **changes}


def test_loss_set_weights_every_member():
    q = restoration()
    values = LossSet(stage_losses())(q)
    assert list(values) == ['loss_task', 'loss_unified', 'loss_recon', 'loss_text']
    torch.testing.assert_close(values['loss_text'], 0.1 * TextLoss()(q['logits'], q['labels'], 2))
    sum(values.values()).backward()
    assert q['pred'].grad.abs().sum() > 0


def test_loss_set_leaves_out_none_and_zero_weights():
    losses = LossSet(stage_losses(recon=None, text=dict(type='TextLoss', weight=0)))
    q = restoration()
    del q['pred_pd'], q['logits']
    assert list(losses(q)) == ['loss_task', 'loss_unified']
    assert 'recon' not in losses
    assert losses['text'].step == 0


def test_missing_quantities_unknown_types_and_arguments_are_named():
    q = restoration()
    del q['latents_pd']
    with pytest.raises(KeyError, match=r"loss 'unified' \(UnifiedLoss\) needs latents, latents_pd; .* latents_pd. It"):
        LossSet(stage_losses())(q)
    with pytest.raises(KeyError, match="Did you mean 'GradLoss'"):
        LossSet(dict(grad=dict(type='GradLos')))
    with pytest.raises(TypeError, match="Did you mean 'kind'"):
        LossSet(dict(unified=dict(type='UnifiedLoss', kinds='pix')))


def test_warmup_rises_linearly_and_survives_a_state_dict_round_trip():
    q = restoration()
    full = UnifiedLoss()(q['latents'], q['latents_pd']).item() * 0.2
    losses = LossSet(stage_losses())
    seen = [losses(q)['loss_unified'].item() for _ in range(2)]
    losses.eval()
    assert losses(q)['loss_unified'].item() == pytest.approx(seen[-1])
    resumed = LossSet(stage_losses())
    resumed.load_state_dict(losses.state_dict())
    seen += [resumed(q)['loss_unified'].item() for _ in range(3)]
    assert seen == pytest.approx([full / 4, full / 2, 3 * full / 4, full, full], rel=1e-5)
    assert resumed['unified'].step == 5


@pytest.mark.parametrize(('warmup', 'weights'), [(2, [0, 0, 0.25, 0.5, 0.5]), (0, [0, 0, 0.5, 0.5, 0.5])])
def test_a_loss_that_starts_later(warmup, weights):
    q = restoration()
    losses = LossSet(dict(mean=dict(type='MeanLatentLoss', width=12, weight=0.5, start=2, warmup=warmup)))
    values = []
    for _ in weights:
        values.append(losses(q)['loss_mean'].item())
        # statistics are gathered from the first call on, and do not change: it is one batch
        raw = losses['mean'].eval()(q['latents'], q['latents_pd'], q['m']).item()
        losses.train()
    assert values == pytest.approx([weight * raw for weight in weights], rel=1e-5)
    assert raw > 0
    with pytest.raises(ValueError, match='start must be a whole number of training calls, at least 0; got -1'):
        MeanLatentLoss(width=12, start=-1)


def fusion_losses(**changes):
    losses = dict(
        color=dict(type='ColorLoss'),
        grad=dict(type='GradLoss', weight=10 / 12),
        per=dict(type='PerceptualLoss', mode='u2', weight='auto:grad'),
    )
    return {**losses, **changes}


def norm_of(value, prediction):
    return torch.autograd.grad(value, prediction, retain_graph=True)[0].norm().item()


def test_automatic_weight_equalises_the_gradients_once_and_is_kept():
    q = fusion()
    losses = LossSet(fusion_losses())
    losses.eval()
    assert losses(q)['loss_per'].item() == 0
    losses.train()
    values = losses(q)
    assert norm_of(values['loss_per'], q['fused']) == pytest.approx(norm_of(values['loss_grad'], q['fused']), rel=1e-4)
    weight = losses['per'].auto_weight.clone()
    sum(values.values()).backward()
    assert q['fused'].grad.isfinite().all()

    resumed = LossSet(fusion_losses())
    resumed.load_state_dict(copy.deepcopy(losses.state_dict()))
    other = fusion(names=('ir', 'vi'))
    torch.testing.assert_close(resumed(other)['loss_per'], weight * PerceptualLoss('u2')(**other))
    assert resumed['per'].auto_weight == weight


def test_automatic_weight_in_a_single_stage_looks_at_the_prediction_of_its_losses():
    q = fusion()
    alone = LossSet(fusion_losses())(q)
    together = LossSet({**stage_losses(), **fusion_losses()})({**restoration(size=24), **q})
    assert together['loss_per'].item() == pytest.approx(alone['loss_per'].item(), rel=1e-6)
    assert set(together) > set(alone)


def test_automatic_weight_waits_while_a_gradient_vanishes():
    losses = LossSet(dict(a=dict(type='TaskLoss'), b=dict(type='TaskLoss', grad='l2', weight='auto:a')))
    same = torch.full((1, 3, 8, 8), 0.5)
    assert losses(dict(pred=same.clone().requires_grad_(), target=same))['loss_b'].item() == 0
    assert losses['b'].auto_weight.isnan()
    losses(restoration())
    assert losses['b'].auto_weight > 0


def test_automatic_weight_follows_a_chain_and_refuses_nonsense():
    chain = fusion_losses(ssim=dict(type='SSIMLoss', weight='auto:per'))
    q = fusion()
    values = LossSet({'ssim': chain['ssim'], **chain})(q)
    assert norm_of(values['loss_ssim'], q['fused']) == pytest.approx(norm_of(values['loss_grad'], q['fused']), rel=1e-4)
    with pytest.raises(ValueError, match='circle: per -> grad -> per'):
        LossSet(dict(per=chain['per'], grad=dict(type='GradLoss', weight='auto:per')))
    with pytest.raises(KeyError, match="Did you mean 'grad'"):
        LossSet(fusion_losses(per=dict(type='PerceptualLoss', mode='u2', weight='auto:grd')))
    with pytest.raises(ValueError, match='whose weight is 0'):
        LossSet(fusion_losses(grad=dict(type='GradLoss', weight=0)))
    with pytest.raises(ValueError, match="loss 'recon' has none"):
        LossSet(stage_losses(recon=dict(type='ReconLoss', weight='auto:task')))(restoration())


@pytest.mark.parametrize('bad', [-1, float('nan'), 'auto', 'auto:', 'half'])
def test_bad_weights_are_refused(bad):
    with pytest.raises(ValueError, match='weight must be'):
        ReconLoss(weight=bad)
    with pytest.raises(ValueError, match='warmup'):
        ReconLoss(warmup=-1)


def test_half_precision_quantities_are_computed_in_float32():
    q = restoration(requires_grad=False)
    low = {k: v.bfloat16() if torch.is_tensor(v) and v.is_floating_point() else v for k, v in q.items()}
    low['latents'] = [z.bfloat16() for z in q['latents']]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        values = LossSet(stage_losses())(low)
    assert all(value.dtype == torch.float32 for value in values.values())
    torch.testing.assert_close(values['loss_task'], TaskLoss()(low['pred'].float(), low['target'].float()))


def test_a_plugged_in_loss_must_return_a_scalar():
    class Map(Loss):
        needs = ('pred',)

        def forward(self, pred):
            return pred

    with pytest.raises(ValueError, match=r"loss 'map' \(Map\) must return a 0-dim tensor, got \(2, 3, 16, 16\)"):
        LossSet(dict(map=Map()))(restoration())


def test_every_registered_loss_names_its_needs():
    for name in LOSSES.known():
        needs = LOSSES.get(name).needs
        assert isinstance(needs, tuple), name
        assert needs, name


CONSTRUCTED = {'MeanLatentLoss': dict(width=12), 'TeacherLoss': dict(teacher='lure-fast')}


@pytest.mark.parametrize('name', LOSSES.known())
def test_every_loss_has_weight_warmup_and_start(name):
    given = dict(weight=0.5, warmup=2, start=3)
    cfg = dict(type=name, **CONSTRUCTED.get(name, {}))
    for loss in (LOSSES.build(dict(cfg, **given)), LossSet({'x': dict(cfg, **given)})['x']):
        assert (loss.weight, loss.warmup, loss.start) == (0.5, 2, 3)
    weights = []
    for _ in range(6):
        weights.append(float(loss.current_weight))
        loss.step += 1
    assert weights == [0, 0, 0, 0, 0.25, 0.5]
    with pytest.raises(TypeError, match=r"'weigth'.* Did you mean 'weight'\? It accepts: .*weight, warmup, start"):
        LOSSES.build(dict(cfg, weigth=1.0))
    with pytest.raises(ValueError, match='start must be a whole number'):
        LOSSES.build(dict(cfg, start=-1))


class Plain(Loss):
    """A constructor that knows nothing of weights."""

    needs = ('pred',)

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, pred):
        return self.factor * pred.mean()


class Own(Plain):
    """Its default weight is its own."""

    def __init__(self) -> None:
        super().__init__(1.0)
        self.schedule(weight=0.25)


def test_the_set_gives_a_schedule_to_losses_that_do_not_take_any():
    losses = LossSet(
        dict(a=dict(type=Plain, weight=3.0, start=1, factor=2.0), b=dict(type=Own, start=1), c=dict(type=Own, weight=0))
    )
    one = torch.ones(1, 3, 4, 4)
    assert losses(dict(pred=one)) == dict(loss_a=0, loss_b=0)
    assert [round(float(v), 6) for v in losses(dict(pred=one)).values()] == [6.0, 0.25]
    follows = LossSet(dict(a=dict(type=Plain), b=dict(type=Plain, factor=4.0, weight='auto:a')))
    follows(dict(pred=one.requires_grad_()))
    assert float(follows['b'].full_weight) == 0.25
    with pytest.raises(TypeError, match="loss 'a' is dict"):
        LossSet(dict(a=3))


@pytest.mark.parametrize(
    ('factors', 'said'),
    [((640.0, 0.5, 0.5), ['a']), ((1.0, 1.0, 300.0), ['c']), ((40.0, 0.5, 0.5), []), ((5.0,), []), ((5.0, 0.0), [])],
)
def test_a_loss_that_drowns_the_others_is_said_once(monkeypatch, factors, said):
    lines = []
    monkeypatch.setattr('lurefusion.models.losses.base.print_log', lambda text, **options: lines.append(text))
    losses = LossSet({name: Plain(factor) for name, factor in zip('abc', factors, strict=False)})
    for _ in range(3 * LossSet.WATCHED):
        losses(dict(pred=torch.ones(1, 3, 4, 4)))
    assert [line.split("'")[1] for line in lines] == said
    if said == ['a']:
        assert "loss 'a' is 640 times the sum of the others" in lines[0]
        assert '(mean of 20 steps: 640 and 1)' in lines[0]
        assert 'model.losses.a.weight=1.0' in lines[0]


def test_nothing_is_said_while_nothing_is_learned(monkeypatch):
    monkeypatch.setattr('lurefusion.models.losses.base.print_log', lambda *a, **k: pytest.fail('said'))
    losses = LossSet(dict(a=Plain(1000.0), b=Plain(1.0))).eval()
    for _ in range(3 * LossSet.WATCHED):
        losses(dict(pred=torch.ones(1, 3, 4, 4)))


def test_mean_latent_loss_takes_its_width_from_the_model():
    stated, taken = (LOSSES.build(dict(type='MeanLatentLoss', **kw)) for kw in (dict(width=12), {}))
    taken.fit((4, 8), 2)
    assert {k: v.shape for k, v in stated.state_dict().items()} == {k: v.shape for k, v in taken.state_dict().items()}
    stated.fit((4, 8), 2)
    with pytest.raises(ValueError, match=r'MeanLatentLoss\.width=12, but the latents have 13 channels; leave it out'):
        stated.fit((4, 9), 2)
    with pytest.raises(ValueError, match=r'width=None, but the latents have 4'):
        LOSSES.build('MeanLatentLoss')([torch.zeros(1, 4, 2, 2)], [torch.zeros(1, 4, 2, 2)], torch.zeros(1).long())


class Clamps(Loss):
    needs = ('pred', 'target')

    def forward(self, pred, target):
        return (pred.clamp_(0, 1) - target).abs().mean()


class Deriving(GradLoss):
    def __init__(self, extra=1, **options):
        super().__init__(**options)


def test_a_loss_that_changes_what_it_is_given_is_refused():
    losses = LossSet(dict(task=dict(type='TaskLoss'), own=Clamps()))
    offered = dict(pred=2 * rand(2, 3, 16, 16), target=rand(2, 3, 16, 16, seed=1))
    with pytest.raises(ValueError, match=r"loss 'own' \(Clamps\) changes a tensor that it is given"):
        losses(offered)


def test_a_loss_that_derives_from_another_takes_its_options():
    LOSSES.register_module(module=Deriving, force=True)
    loss = LossSet(dict(own=dict(type='Deriving', extra=2, mode='sum', weight=3.0)))['own']
    assert loss.weight == 3.0
    with pytest.raises(TypeError, match='mood'):
        LossSet(dict(own=dict(type='Deriving', mood='sum')))
    LOSSES._module_dict.pop('Deriving')


def test_one_text_is_one_task_of_the_detail_branch():
    assert DetailLoss(tasks=('sr')).tasks == ('sr',)
