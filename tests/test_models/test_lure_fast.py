"""LureFast: blocks and curves against closed forms, the start as the identity, gradients, sizes, its graph."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim

from lurefusion.apis import FusionInferencer
from lurefusion.datasets.scenes import render_scene
from lurefusion.models.lure_fast import CURVE, KNOTS, SLOPE, FromBlocks, LureFast, ToBlocks
from lurefusion.models.strips import whole
from lurefusion.ops.colour import rgb_to_ycbcr
from lurefusion.registry import DEGRADATIONS, MODELS
from lurefusion.structures import FusionDataSample
from lurefusion.weights import shipped_weights

SIZE = (64, 96)


def build(**options) -> LureFast:
    cfg = dict(
        type='LureFast',
        modalities=('vi', 'ir'),
        chroma='vi',
        text_encoder=dict(backbone=dict(type='HashBag'), out_dim=32),
        widths=(4, 8, 8, 8),
        merger=dict(width=8, depth=3, context=2),
    )
    torch.manual_seed(0)
    return MODELS.build({**cfg, **options}).eval()


def picture(seed: int, size: tuple[int, int] = SIZE, batch: int = 1) -> torch.Tensor:
    """Smooth, so that chroma at half the resolution is the chroma."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, size[0] // 16, size[1] // 16, generator=generator)
    return F.interpolate(coarse, size, mode='bicubic', align_corners=True).clamp(0, 1)


@pytest.fixture(scope='module')
def trained() -> LureFast:
    """Heads that are not zero, as after a training."""
    model = build()
    for head in (model.maps, model.merger.last):
        torch.nn.init.normal_(head.weight, std=0.02)
    return model


def test_blocks_hold_luma_and_mean_chroma():
    x = torch.rand(2, 3, 6, 8, generator=torch.Generator().manual_seed(1))
    y, cb, cr = (plane[:, None] for plane in rgb_to_ycbcr(*x.unbind(1)))
    blocks = ToBlocks()(x)
    torch.testing.assert_close(blocks[:, :4], F.pixel_unshuffle(y, 2))
    torch.testing.assert_close(blocks[:, 4:], F.avg_pool2d(torch.cat([cb, cr], 1), 2))


def test_pictures_of_blocks_have_their_luma_and_bilinear_chroma():
    x = torch.rand(2, 3, 6, 8, generator=torch.Generator().manual_seed(2))
    blocks = ToBlocks()(x)
    back = torch.cat([plane[:, None] for plane in rgb_to_ycbcr(*FromBlocks()(blocks).unbind(1))], 1)
    torch.testing.assert_close(back[:, :1], F.pixel_shuffle(blocks[:, :4], 2), atol=2e-6, rtol=0)
    torch.testing.assert_close(
        back[:, 1:], F.interpolate(blocks[:, 4:], scale_factor=2, mode='bilinear'), atol=2e-6, rtol=0
    )


def test_curves_are_straight_pieces_between_knots():
    """Against NumPy's own interpolation of the values at the knots."""
    rng = np.random.default_rng(0)
    curve = torch.from_numpy(rng.normal(0, 0.1, CURVE)).float()
    y = torch.linspace(0, 1, 4 * 64).view(1, 4, 8, 8)
    blocks = torch.cat([y, torch.zeros(1, 2, 8, 8)], 1)
    out = LureFast._restored_luma(blocks, curve.view(1, CURVE, 1, 1).expand(1, CURVE, 2, 2))
    points = np.array([0, *KNOTS, 1])
    slopes = 1 + SLOPE * np.cumsum(curve[1:].numpy())
    values = curve[0].item() + np.concatenate([[0], np.cumsum(slopes * np.diff(points))])
    np.testing.assert_allclose(out.numpy().ravel(), np.interp(y.numpy().ravel(), points, values), atol=1e-5)


def test_it_starts_as_the_identity_and_the_mean():
    model = build()
    one, two = picture(1), picture(2)
    text = model.encode_text(['it is dark', 'it is flat'])
    for x, loss in ((one, 0.01), (one.mean(1, keepdim=True).expand_as(one), 1e-6)):
        alone = model.restore(x, text[0], 0)
        assert (alone - x).abs().mean() < loss
    fused = torch.stack(rgb_to_ycbcr(*model.core((one, two), text)[0]))
    sources = [torch.stack(rgb_to_ycbcr(*x[0])) for x in (one, two)]
    torch.testing.assert_close(fused[0], (sources[0][0] + sources[1][0]) / 2, atol=1e-5, rtol=0)
    assert (fused[1:] - sources[0][1:]).abs().mean() < 0.01
    assert (fused[1:] - sources[1][1:]).abs().mean() > 0.05


def test_every_parameter_learns(trained):
    model = build(losses=dict(task=dict(type='TaskLoss'), grad=dict(type='GradLoss'), color=dict(type='ColorLoss')))
    model.load_state_dict(trained.state_dict(), strict=False)
    x, y = picture(3, batch=2), picture(4, batch=2)
    samples = [FusionDataSample(metainfo=dict(modality=m, task=t, seed=1)) for m, t in (('vi', 'll'), ('ir', 'lc'))]
    samples += [FusionDataSample(metainfo=dict(tasks=dict(vi='hz'), seed=2))] * 2
    inputs = dict(x=x, y=y, vi=x, ir=y, reference_vi=y, reference_ir=y)
    values = model.train().loss(inputs, samples)
    assert set(values) == {'loss_task', 'loss_grad', 'loss_color'}
    sum(values.values()).backward()
    dead = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # the head that tells the tasks apart learns by a loss of its own, where there is one
    assert [n for n in dead if not n.startswith('text_encoder.projector.head')] == []


def test_losses_of_fusion_look_at_the_clean_pictures():
    model = build(losses=dict(int=dict(type='IntensityMaxLoss', space='luma')))
    dark, clean = picture(5) * 0.1, picture(5)
    sample = [FusionDataSample(metainfo=dict(tasks=dict(vi='ll'), seed=0))]
    plain = model.loss(dict(vi=dark, ir=dark), sample)['loss_int']
    against = model.loss(dict(vi=dark, ir=dark, reference_vi=clean, reference_ir=dark), sample)['loss_int']
    assert against > plain + 0.1


def test_text_and_modality_count(trained):
    one, two = picture(1), picture(2)
    with torch.no_grad():
        dark, kept = (trained.encode_text([s, 'keep it']) for s in ('it is much too dark', 'keep it'))
        assert (trained.core((one, two), dark) - trained.core((one, two), kept)).abs().max() > 1e-4
        vi, ir = (trained.restore(one, dark[0], m) for m in (0, 1))
        assert (vi - ir).abs().max() > 1e-4


def test_core_is_what_predict_runs_at_any_size(trained):
    said = [trained.prompts.canonical(task) for task in ('ll', 'lc')]
    images = picture(6), picture(7)
    sample = FusionDataSample(metainfo=dict(sentences=dict(zip(trained.modalities, said, strict=True))))
    with torch.no_grad():
        whole = trained.core(images, trained.encode_text(said))[0].clamp(0, 1)
        batch = dict(vi=[images[0][0]], ir=[images[1][0]])
        predicted = trained.test_step(dict(inputs=batch, data_samples=[sample]))[0].pred
        torch.testing.assert_close(predicted, whole, rtol=0, atol=1e-6)
        cut = {name: [image[0][:, :45, :70]] for name, image in batch.items()}
        odd = trained.test_step(dict(inputs=cut, data_samples=[sample.clone()]))[0].pred
    assert odd.shape == (3, 45, 70)


def test_a_grey_owner_makes_a_grey_picture(trained):
    sample = FusionDataSample(metainfo=dict(grey=('vi', 'ir')))
    batch = dict(vi=[picture(1)[0]], ir=[picture(2)[0]])
    pred = trained.test_step(dict(inputs=batch, data_samples=[sample]))[0].pred
    assert torch.equal(pred[0], pred[1])


def with_tone(**options) -> LureFast:
    """With a tone that is open for every text."""
    model = build(tone=dict(members=1, width=8, depth=1, grid=(4, 4)), **options)
    with torch.no_grad():
        model.tone.gate.weight.zero_()
        model.tone.gate.bias.fill_(1.0)
    return model


def test_tone_puts_luma_and_chroma_right():
    """A network that starts as the identity has the tone alone: y' = 2 y + 0.1, cb' = cb / 2 - 0.05."""
    model = with_tone()
    with torch.no_grad():
        model.tone.heads[0].maps.bias.copy_(torch.tensor([np.log(2), np.log(0.5), 0, 0.1, -0.05, 0]))
        x = 0.4 * picture(1)
        out = model.restore(x, model.encode_text(['it is dark'])[0], 0)
        plain = build().restore(x, model.encode_text(['it is dark'])[0], 0)
    (y, cb, cr), (y_out, cb_out, cr_out) = (rgb_to_ycbcr(*image[0]) for image in (plain, out))
    torch.testing.assert_close(y_out, 2 * y + 0.1, atol=1e-4, rtol=0)
    torch.testing.assert_close(cb_out, cb / 2 - 0.05, atol=1e-4, rtol=0)
    torch.testing.assert_close(cr_out, cr, atol=1e-4, rtol=0)


@torch.no_grad()
def test_tone_of_a_pair_is_that_of_each_picture():
    model = with_tone()
    model.tone.heads[0].maps.weight.normal_(std=0.3)
    images, text = (picture(1), picture(2)), model.encode_text(['it is dark', 'it is flat'])
    luma = [rgb_to_ycbcr(*model.restore(x, text[i], i)[0])[0] for i, x in enumerate(images)]
    fused = rgb_to_ycbcr(*model.core(images, text)[0])[0]
    torch.testing.assert_close(fused, (luma[0] + luma[1]) / 2, atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_closed_tone_changes_nothing_and_reads_nothing(monkeypatch):
    model, images = with_tone(), (picture(1), picture(2))
    model.tone.heads[0].maps.weight.normal_(std=0.3)
    text = model.encode_text(['it is dark', 'keep it'])
    opened = model.core(images, text)
    model.tone.gate.bias.fill_(-0.1)
    monkeypatch.setattr(LureFast, '_small', None)
    closed = model.core(images, text)
    assert torch.equal(closed, build().core(images, text))
    assert (opened - closed).abs().mean() > 0.01


@torch.no_grad()
def test_tiles_follow_the_tone_of_the_whole_picture():
    """Dark on the left, bright on the right: the tone of a tile by itself is another."""
    model = with_tone()
    model.tone.heads[0].maps.weight.normal_(std=0.3)
    image = (picture(3, (128, 256)) * torch.linspace(0.1, 1, 256))[0]
    sample = FusionDataSample(metainfo=dict(modality='vi', task='ll'))
    whole_options, found = model.running, {}
    for name, options in (
        ('whole', whole_options),
        ('levelled', whole_options.in_tiles(96)),
        ('by themselves', replace(whole_options.in_tiles(96), levelled=False)),
    ):
        model.running = options
        found[name] = model.test_step(dict(inputs=dict(x=[image]), data_samples=[sample.clone()]))[0].pred
    off = {name: (found[name] - found['whole']).abs().mean() for name in ('levelled', 'by themselves')}
    assert off['levelled'] < off['by themselves'] / 2
    assert not build().running.levelled


class Core(nn.Module):
    """`core` as a module of its own, which is what can be exported."""

    def __init__(self, model: LureFast) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: tuple[Tensor, ...], text: Tensor) -> Tensor:
        return self.model.core(images, text)


def test_it_looks_at_no_value():
    """On the device "meta" tensors have sizes and no values: whoever looks at one fails there."""
    model = build().to('meta')
    images = tuple(torch.empty(2, 3, 64, 96, device='meta') for _ in range(2))
    assert model.core(images, torch.empty(2, 32, device='meta')).shape == images[0].shape


@pytest.mark.parametrize('depth', [2, 4, 7])
@torch.no_grad()
def test_parts_of_large_pictures_leave_no_seam(monkeypatch, depth):
    model = with_tone(merger=dict(width=8, depth=depth, context=2))
    for head in (model.maps, model.merger.last, model.tone.heads[0].maps):
        torch.nn.init.normal_(head.weight, std=0.02)
    images, text = (picture(1, (160, 256), 2), picture(2, (160, 256), 2)), model.encode_text(['it is dark', 'keep it'])
    with whole():
        pair, alone = model.core(images, text), model.restore(images[0], text[0], 1)
    monkeypatch.setattr('lurefusion.models.lure_fast.PART', (7, 9))
    assert not torch.equal(model.core(images, text), pair)  # rounding: another order
    torch.testing.assert_close(model.core(images, text), pair, rtol=0, atol=1e-5)
    torch.testing.assert_close(model.restore(images[0], text[0], 1), alone, rtol=0, atol=1e-5)


@pytest.mark.slow
@torch.no_grad()
def test_one_graph_serves_every_size(trained):
    core, text = Core(trained), trained.encode_text(['it is dark', 'keep it'])
    free = {2: 32 * Dim('rows', min=1, max=256), 3: 32 * Dim('columns', min=1, max=256)}
    pair = (picture(1), picture(2))
    graph = torch.export.export(core, (pair, text), dynamic_shapes=((free, free), None), strict=False)
    other = picture(8, (96, 160)), picture(9, (96, 160))
    torch.testing.assert_close(graph.module()(other, -text), core(other, -text), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(modalities=('vi', 'ir', 'uv')), r"two modalities.*\('vi', 'ir', 'uv'\)"),
        (dict(chroma='rgb'), "model.chroma='rgb'"),
        (dict(widths=(8, 8)), r'four numbers of channels, got \(8, 8\)'),
        (dict(merger=dict(depth=1)), 'model.merger.depth must be at least 2, got 1'),
        (dict(coarse=dict(tasks=('fog',), size=64)), r"model.coarse.tasks names \['fog'\]; .* \('ll',"),
        (dict(frozen=('decoder',)), "model.frozen names 'decoder'"),
        (dict(data_preprocessor=dict(type='FusionDataPreprocessor', size_divisor=48)), 'size_divisor=48 .* 32'),
    ],
)
def test_what_does_not_fit_is_said(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_what_it_cannot_do_is_said(trained):
    with pytest.raises(ValueError, match=r"mode must be .* got 'train'"):
        trained(dict(vi=picture(1), ir=picture(1)), mode='train')
    with pytest.raises(ValueError, match=r"fuses \('vi', 'ir'\).*missing: \['ir'\]"):
        trained(dict(vi=picture(1)))
    with pytest.raises(ValueError, match="of modality 'mri'"):
        trained(dict(x=picture(1)), [FusionDataSample(metainfo=dict(modality='mri'))])


# what ships


@pytest.fixture(scope='module')
def shipped() -> FusionInferencer:
    return FusionInferencer('lure-fast', device='cpu')


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def spoil(degradation: dict, clean: np.ndarray) -> np.ndarray:
    image, _ = DEGRADATIONS.build(degradation)(np.float32(clean) / 255, np.random.default_rng(0), None)
    return np.round(image * 255).astype(np.uint8)


LOW_LIGHT = dict(type='LowLight', gain=0.5, gamma=2.2)
LOW_CONTRAST = dict(type='LowContrast', gain=0.3, level=0.45)


@pytest.mark.parametrize(
    ('degradation', 'modality', 'prompt', 'wrong'),
    [
        (LOW_LIGHT, 'vi', 'it is much too dark', 'it is hazy'),
        (dict(type='OverExposure', stops=1.5), 'vi', 'the picture is overexposed', 'it is too dark'),
        (LOW_CONTRAST, 'ir', 'it has low contrast', 'the resolution is low'),
    ],
)
def test_its_text_chooses_what_is_mended(shipped, degradation, modality, prompt, wrong):
    gains = []
    for seed in (2010, 2011):
        scene = render_scene(seed, (120, 160), 'day')
        clean = scene.visible if modality == 'vi' else scene.infrared
        x = spoil(degradation, clean)
        gains.append([psnr(shipped.restore(x, modality, text), clean) for text in (prompt, wrong)] + [psnr(x, clean)])
    right, other, degraded = np.mean(gains, axis=0)
    assert right > degraded + 2
    assert right > other + 2


def test_a_clean_picture_stays(shipped):
    scene = render_scene(2010, (120, 160), 'day')
    assert psnr(shipped.restore(scene.visible, 'vi'), scene.visible) > 25


def test_dark_pairs_come_nearer_to_the_fused_clean_pair(shipped):
    scene = render_scene(2010, (120, 160), 'day')
    pair = dict(vi=spoil(LOW_LIGHT, scene.visible), ir=scene.infrared)
    goal = shipped(vi=scene.visible, ir=scene.infrared)
    assert psnr(shipped('the visible image is too dark', **pair), goal) > psnr(shipped(**pair), goal) + 2


def test_people_and_texture_are_both_there_in_the_colours_of_the_visible(shipped):
    scene = render_scene(2003, (120, 160), 'night')
    fused = shipped(vi=scene.visible, ir=scene.infrared)
    person = scene.label == 2
    grey = fused.mean(2)
    assert grey[person].mean() > scene.visible.mean(2)[person].mean() + 20
    sources = scene.visible.mean(2).ravel(), scene.infrared.ravel()
    shared = np.corrcoef(*sources)[0, 1]
    assert all(np.corrcoef(grey.ravel(), source)[0, 1] > shared + 0.2 for source in sources)
    planes = [[np.asarray(c) for c in rgb_to_ycbcr(*np.moveaxis(x / 255, 2, 0))[1:]] for x in (fused, scene.visible)]
    assert all(np.abs(a - b).mean() < 0.02 for a, b in zip(*planes, strict=True))


def test_how_flat_a_picture_is_does_not_hang_on_its_size(shipped):
    """Learned on small pictures; the coarse pass brings large ones to the same brightness."""
    scene = render_scene(2010, (480, 640), 'day')
    flat = spoil(LOW_CONTRAST, scene.infrared)
    small = cv2.resize(flat, (160, 120), interpolation=cv2.INTER_AREA)
    levels = [shipped.restore(x, 'ir', 'it has low contrast').mean() for x in (flat, small)]
    assert abs(levels[0] - levels[1]) < 6


def test_its_size_on_disk():
    assert shipped_weights()['lure-fast'].stat().st_size <= 1e6
