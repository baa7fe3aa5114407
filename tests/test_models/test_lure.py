from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from lurefusion.config import load_config
from lurefusion.models.losses import DetailLoss, latent_diagnostics
from lurefusion.models.lure import LURE
from lurefusion.registry import MODELS
from lurefusion.runtime import passes
from lurefusion.runtime.passes import add_coarse_pass, routes_of
from lurefusion.runtime.tiling import run_tiled
from lurefusion.structures import FusionDataSample

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
RESTORATION = dict(
    task=dict(type='TaskLoss'),
    unified=dict(type='UnifiedLoss', weight=0.2),
    recon=dict(type='ReconLoss'),
    text=dict(type='TextLoss', weight=0.1),
)
FUSION = dict(
    color=dict(type='ColorLoss', source='vi'),
    grad=dict(type='GradLoss'),
    per=dict(type='PerceptualLoss', mode='u2'),
)


def config(stage: str = 'restoration', **changes: Any) -> dict[str, Any]:
    base = dict(
        stage=stage,
        modalities=('vi', 'ir'),
        chroma='vi',
        prompts=dict(per_template=1),
        text_encoder=dict(backbone=dict(type='HashBag', dim=64), out_dim=32),
        image_encoder=dict(
            type='LUREEncoder',
            channels=(8, 16),
            latent_channels=(4, 8),
            K_bt=(1, 1),
            K_tb=(1, 1),
            interaction=dict(type='TGA', num_heads=2, ffn_ratio=2.0),
        ),
        decoder=dict(type='LUREDecoder', K_dec=(1, 1)),
        fuser=dict(type='CrossAttentionFuser', K_f=(1, 1), num_heads=2, ffn_ratio=2.0),
        losses=RESTORATION if stage == 'restoration' else FUSION,
    )
    return {**base, **changes}


def build(stage: str = 'restoration', seed: int = 0, **changes: Any) -> LURE:
    torch.manual_seed(seed)
    return LURE(**config(stage, **changes))


def settle(model: LURE, seed: int = 0) -> LURE:
    """Values as after some training where the initial ones are zero."""
    generator = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        if not p.any():
            p.data = 0.2 * torch.randn(p.shape, generator=generator)
    return model.eval()


def pictures(batch: int = 2, height: int = 32, width: int = 32, seed: int = 0) -> Tensor:
    """Smooth colour pictures."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, 4, 4, generator=generator)
    return nn.functional.interpolate(coarse, (height, width), mode='bilinear').contiguous()


def restoration_batch(batch: int = 4, size: int = 32) -> dict[str, Any]:
    y = pictures(batch, size, size)
    tasks, modalities = ('ll', 'hz', 'lc', 'sr'), ('vi', 'vi', 'ir', 'ir')
    factors = torch.tensor([0.2, 0.5, 0.4, 0.8])[:batch, None, None, None]
    samples = [
        FusionDataSample(metainfo=dict(task=tasks[i], modality=modalities[i], seed=i, name=str(i)))
        for i in range(batch)
    ]
    return dict(inputs=dict(x=factors * y, y=y), data_samples=samples)


def fusion_batch(batch: int = 2, height: int = 32, width: int = 32) -> dict[str, Any]:
    ir = pictures(batch, height, width, seed=1).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    return dict(
        inputs=dict(vi=pictures(batch, height, width), ir=ir),
        data_samples=[FusionDataSample(metainfo=dict(name=str(i), seed=i)) for i in range(batch)],
    )


def prepared(model: LURE, data: dict[str, Any]) -> dict[str, Any]:
    return model.data_preprocessor(data, training=True)


def trained_parameters(model: LURE) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


# shapes


@pytest.fixture(scope='module')
def tiny() -> LURE:
    torch.manual_seed(0)
    return MODELS.build(load_config(CONFIGS / 'lure/stage2_tiny_ir_vi.py').model).eval()


def test_size_of_the_tiny_model(tiny: LURE) -> None:
    sizes = {name: sum(p.numel() for p in child.parameters()) for name, child in tiny.named_children()}
    assert sum(sizes.values()) <= 2.4e6
    assert sum(sizes.values()) - sizes['text_encoder'] <= 2.15e6
    assert tiny.image_encoder.strides == (2, 4, 8, 16)


@pytest.mark.parametrize(('height', 'width'), [(64, 64), (72, 104), (37, 53)])
@torch.no_grad()
def test_shapes(tiny: LURE, height: int, width: int) -> None:
    data = prepared(tiny, fusion_batch(1, height, width))
    padded = -(-height // 16) * 16, -(-width // 16) * 16
    assert tiny(**data).shape == (1, 3, *padded)
    (sample,) = tiny(**data, mode='predict')
    assert sample.pred.shape == (3, height, width)
    assert sample.pred.dtype == torch.float32
    assert 0 <= sample.pred.min() <= sample.pred.max() <= 1
    restored = prepared(
        tiny,
        dict(
            inputs=dict(x=pictures(1, height, width)),
            data_samples=[FusionDataSample(metainfo=dict(task='ll', modality='vi'))],
        ),
    )
    assert tiny(**restored).shape == (1, 3, *padded)
    assert tiny(**restored, mode='predict')[0].pred.shape == (3, height, width)


@torch.no_grad()
def test_a_picture_that_needs_no_padding_is_the_network_output() -> None:
    model = settle(build('fusion'))
    data = prepared(model, fusion_batch(2, 16, 24))
    out = model(**data)
    for row, sample in zip(out, model(**data, mode='predict'), strict=True):
        assert torch.equal(sample.pred, row.clamp(0, 1))


def test_one_encoder_pass_equals_one_per_modality() -> None:
    model = settle(build('fusion'))
    images = list(prepared(model, fusion_batch())['inputs'].values())
    c = [model.text_encoder(['brighten it', 'keep it'])[0], model.text_encoder(['sharpen it', 'denoise'])[0]]
    for m, z in enumerate(model.encode(images, c)):
        alone = model.image_encoder(images[m], c[m], torch.full((2,), m))
        for a, b in zip(z, alone, strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_fuses_three_modalities() -> None:
    model = build(
        'fusion',
        modalities=('mri', 'pet', 'ct'),
        chroma=None,
        prompts=dict(tasks=('pd',)),
        losses=dict(grad=dict(type='GradLoss')),
    )
    assert set(model.prompts.modality_words) == {'mri', 'pet', 'ct'}
    data = dict(inputs={name: pictures(1, 16, 16, seed=i) for i, name in enumerate(('mri', 'pet', 'ct'))})
    data = prepared(model, data)
    assert model(**data).shape == (1, 3, 16, 16)
    assert set(model(**data, mode='loss')) == {'loss_grad'}


# losses


@pytest.mark.parametrize('diagnose', [False, True])
def test_restoration_losses(diagnose: bool) -> None:
    model = build()
    assert model.fuser is None
    model.diagnose = diagnose
    losses = model(**prepared(model, restoration_batch()), mode='loss')
    expected = {'loss_task', 'loss_unified', 'loss_recon', 'loss_text'}
    assert {key for key in losses if 'loss' in key} == expected
    assert (set(losses) > expected) is diagnose
    assert all(value.ndim == 0 and value.isfinite() for value in losses.values())


def test_fusion_losses() -> None:
    model = build('fusion')
    losses = model(**prepared(model, fusion_batch()), mode='loss')
    assert set(losses) == {'loss_color', 'loss_grad', 'loss_per'}


@torch.no_grad()
def test_restoration_losses_equal_two_separate_passes() -> None:
    model = settle(build())
    data = prepared(model, restoration_batch())
    x, y, samples = data['inputs']['x'], data['inputs']['y'], data['data_samples']
    sentences = [model._training_sentence(sample) for sample in samples]
    m = torch.tensor([0, 0, 1, 1])
    c, logits = model.text_encoder(sentences)
    c_pd = model.text_encoder([model.prompts.canonical('pd')] * 4)[0]
    nothing = model.prompts.sentences('pd', 'train')
    said = [nothing[sample.seed % len(nothing)] for sample in samples]
    assert len(set(said)) > 1
    logits_pd = model.text_encoder([*said, model.prompts.canonical('pd')])[1]
    z, z_pd = model.image_encoder(x, c, m), model.image_encoder(y, c_pd, m)
    order = model.prompts.keys
    expected = model.losses(
        dict(
            pred=model.decoder(z),
            target=y,
            pred_pd=model.decoder(z_pd),
            latents=z,
            latents_pd=z_pd,
            logits=torch.cat([logits, logits_pd]),
            labels=torch.tensor([order.index(t) for t in ('ll', 'hz', 'lc', 'sr', *['pd'] * 5)]),
            num_pd=5,
        )
    )
    # unlike the unified loss, the ratio of norms tells Z from Z_pd
    expected |= latent_diagnostics(z, z_pd)
    model.diagnose = True
    losses = model(**data, mode='loss')
    assert set(losses) == set(expected)
    for key, value in expected.items():
        torch.testing.assert_close(losses[key], value, atol=1e-5, rtol=1e-4)


def test_detail_loss_sees_every_sentence() -> None:
    losses = dict(detail=dict(type='DetailLoss', tasks=('sr',)))
    image_encoder = dict(
        config()['image_encoder'], type='LURETinyEncoder', patch=1, detail=dict(width=8), identity_start=False
    )
    model = settle(build(image_encoder=image_encoder, losses=losses))
    data = prepared(model, restoration_batch())
    x, y, samples = data['inputs']['x'], data['inputs']['y'], data['data_samples']
    assert [sample.task for sample in samples] == ['ll', 'hz', 'lc', 'sr']
    nothing = model.prompts.sentences('pd', 'train')
    sentences = [model._training_sentence(sample) for sample in samples]
    sentences += [nothing[sample.seed % len(nothing)] for sample in samples] + [model.prompts.canonical('pd')]
    detail = model.image_encoder.detail
    gates = detail.gate(model.text_encoder(sentences)[0])[:, 0]
    quantities = dict(degraded=x, detailed=x + detail.branch(x), pred=x, target=y, gates=gates)
    expected = DetailLoss()(**quantities, tasks=['ll', 'hz', 'lc', 'sr', *['pd'] * 5])
    value = model(**data, mode='loss')['loss_detail']
    torch.testing.assert_close(value, expected)
    value.backward()
    # opened and closed sentences pull the gate's bias by the same amount, up and down
    assert all(p.grad.abs().sum() > 0 for name, p in detail.named_parameters() if name != 'gate.bias')


@torch.no_grad()
def test_fusion_losses_equal_separate_passes_with_the_pseudo_text() -> None:
    model = settle(build('fusion'))
    data = prepared(model, fusion_batch())
    c = model.text_encoder([model.prompts.canonical('pd')] * 2)[0]
    z = [model.image_encoder(data['inputs'][k], c, torch.full((2,), m)) for m, k in enumerate(('vi', 'ir'))]
    fused = model.decoder(model.fuser(z))
    expected = model.losses(dict(fused=fused, sources=data['inputs'], fused_latents=model.fuser(z)))
    for key, value in model(**data, mode='loss').items():
        torch.testing.assert_close(value, expected[key], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model(**data), fused, atol=1e-5, rtol=1e-4)


def test_the_seed_of_a_sample_chooses_its_training_sentence() -> None:
    model = build()
    sentences = {
        seed: model._training_sentence(FusionDataSample(metainfo=dict(task='ll', seed=seed))) for seed in range(12)
    }
    assert len(set(sentences.values())) > 3
    assert set(sentences.values()) <= set(model.prompts.sentences('ll', 'train'))
    assert model._training_sentence(FusionDataSample(metainfo=dict(task='ll', seed=3))) == sentences[3]


@pytest.mark.parametrize('stage', ['restoration', 'fusion'])
@pytest.mark.parametrize('embedding', ['add', 'film'])
def test_every_trainable_parameter_learns_after_one_step(stage: str, embedding: str) -> None:
    changes = config()['image_encoder'] | dict(modality_embedding=embedding)
    model = build(stage, image_encoder=changes).train()
    if stage == 'fusion':
        model.freeze(('text_encoder', 'image_encoder'))
    data = prepared(model, restoration_batch() if stage == 'restoration' else fusion_batch())
    parameters = trained_parameters(model)
    assert {name.partition('.')[0] for name in parameters} == (
        {'text_encoder', 'image_encoder', 'decoder'} if stage == 'restoration' else {'decoder', 'fuser'}
    )
    optimizer = torch.optim.Adam(parameters.values(), lr=1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        sum(model(**data, mode='loss').values()).backward()
        silent = [name for name, p in parameters.items() if p.grad is None or not p.grad.any()]
        broken = [name for name, p in parameters.items() if p.grad is not None and not p.grad.isfinite().all()]
        optimizer.step()
    assert not silent, f'no gradient: {silent}'
    assert not broken, f'not finite: {broken}'


def test_first_fusion_step_reaches_only_the_zero_convolution_and_the_decoder() -> None:
    model = build('fusion', frozen=('text_encoder', 'image_encoder'))
    sum(model(**prepared(model, fusion_batch()), mode='loss').values()).backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert {name for name in moved if name.startswith('fuser')} == {
        f'fuser.zero.{i}.{kind}' for i in range(2) for kind in ('weight', 'bias')
    }
    assert 'decoder.end.weight' in moved
    assert not any(name.startswith(('text_encoder', 'image_encoder')) for name in moved)


def test_overfits_four_pairs() -> None:
    model = build(losses=RESTORATION | dict(unified=None, text=None)).train()
    data = restoration_batch()
    wrapper = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=5e-3))
    tasks = [model.train_step(data, wrapper)['loss_task'].item() for _ in range(20)]
    assert all(map(math.isfinite, tasks))
    assert tasks[-1] < 0.5 * tasks[0], tasks


# frozen parts


def test_frozen_parts_stay_bit_identical() -> None:
    frozen = ('text_encoder', 'image_encoder')
    model = build('fusion', frozen=frozen).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    # all parameters, also the frozen ones: weight decay must not reach them either
    wrapper = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1))
    for _ in range(3):
        model.train_step(fusion_batch(), wrapper)
    after = model.state_dict()
    assert [k for k in before if k.startswith(frozen) and not torch.equal(before[k], after[k])] == []
    still = [k for k in before if k.startswith(('decoder', 'fuser')) and torch.equal(before[k], after[k])]
    assert still == []


def test_frozen_parts_stay_in_eval_mode() -> None:
    model = build('fusion', frozen=('text_encoder', 'image_encoder')).train()
    assert model.training
    assert all(part.training for part in (model.decoder, model.fuser))
    for part in (model.text_encoder, model.image_encoder):
        assert not any(module.training for module in part.modules())
        assert not any(p.requires_grad for p in part.parameters())
    assert not model.eval().decoder.training
    assert build().train().image_encoder.training


def test_the_frozen_encoder_keeps_no_graph() -> None:
    model = build('fusion', frozen=('text_encoder', 'image_encoder'))
    images = list(prepared(model, fusion_batch())['inputs'].values())
    c = torch.zeros(2, 32, requires_grad=True)
    assert not any(s.requires_grad for z in model.encode(images, [c, c]) for s in z)
    free = build('fusion')
    assert all(s.requires_grad for z in free.encode(images, [c, c]) for s in z)


# prediction


@pytest.mark.parametrize('grey', [(), ('ir',), ('vi',), ('vi', 'ir')])
@torch.no_grad()
def test_output_is_grey_where_the_owner_of_the_colour_is(grey: tuple[str, ...]) -> None:
    model = settle(build('fusion'))
    data = prepared(model, fusion_batch(1))
    data['data_samples'][0].set_metainfo(dict(grey=grey))
    (sample,) = model(**data, mode='predict')
    spread = (sample.pred.amax(0) - sample.pred.amin(0)).max()
    assert sample.pred.shape == (3, 32, 32)
    assert spread == 0 if 'vi' in grey else spread > 1e-3


@torch.no_grad()
def test_restored_output_is_grey_where_its_file_is() -> None:
    model = settle(build())
    data = prepared(model, dict(inputs=dict(x=pictures(2)), data_samples=restoration_batch(2)['data_samples']))
    data['data_samples'][0].set_metainfo(dict(grey=('x',)))
    spreads = [(s.pred.amax(0) - s.pred.amin(0)).max() for s in model(**data, mode='predict')]
    assert spreads[0] == 0
    assert spreads[1] > 1e-3


@pytest.mark.parametrize('stage', ['restoration', 'fusion'])
@torch.no_grad()
def test_prompts_change_the_output(stage: str) -> None:
    model = settle(build(stage))

    def output(task: str) -> Tensor:
        if stage == 'fusion':
            data = fusion_batch(1)
            data['data_samples'][0].set_metainfo(dict(tasks=dict(vi=task)))
        else:
            data = dict(
                inputs=dict(x=pictures(1)),
                data_samples=[FusionDataSample(metainfo=dict(modality='vi', task=task))],
            )
        return model(**prepared(model, data))

    keep = output('pd')
    assert torch.equal(keep, output('pd'))
    for task in ('ll', 'hz', 'sr'):
        assert (output(task) - keep).abs().max() > 1e-4, task


def test_own_sentence_then_tasks_then_task_then_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build('fusion').eval()
    metas = [
        dict(),
        dict(tasks=dict(vi='ll', ir='lc')),
        dict(tasks=dict(vi='ll'), task='sr'),
        dict(tasks=dict(vi='ll'), sentences=dict(vi='make it bright')),
    ]
    monkeypatch.setattr(model, 'classify_text', lambda sentences: pytest.fail('the task is known'))
    say = model.prompts.canonical
    found = routes_of(model, [FusionDataSample(metainfo=meta) for meta in metas])
    assert [[(route.task, route.sentence) for route in routes.values()] for routes in found] == [
        [('pd', say('pd')), ('pd', say('pd'))],
        [('ll', say('ll')), ('lc', say('lc'))],
        [('ll', say('ll')), ('sr', say('sr'))],
        [('ll', 'make it bright'), ('pd', say('pd'))],
    ]
    assert list(found[0]) == ['vi', 'ir']


def test_a_sentence_without_a_task_is_classified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, asked = build().eval(), []
    scores = torch.eye(len(model.prompts))[[model.prompts.index('hz')]].numpy()
    monkeypatch.setattr(model, 'classify_text', lambda sentences: (asked.append(sentences), scores)[1])
    sample = FusionDataSample(metainfo=dict(modality='ir', sentences=dict(ir='smoke')))
    [routes] = routes_of(model, [sample], single=True)
    assert (routes['ir'].task, routes['ir'].sentence, routes['ir'].source) == ('hz', 'smoke', 'classifier')
    assert asked == [['smoke']]
    with pytest.raises(ValueError, match=r"of modality 'depth'; model.modalities=\('vi', 'ir'\)"):
        routes_of(model, [FusionDataSample(metainfo=dict(modality='depth', task='ll'))], single=True)


@torch.no_grad()
def test_large_pictures_are_predicted_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    model = settle(build('fusion', max_pixels=48 * 48, tile=32, overlap=8))
    calls: list[int] = []
    monkeypatch.setattr(passes, 'run_tiled', lambda *a, **k: (calls.append(1), run_tiled(*a, **k))[1])
    small = prepared(model, fusion_batch(1, 48, 48))
    model(**small)
    assert not calls
    data = prepared(model, fusion_batch(1, 53, 75))
    (sample,) = model(**data, mode='predict')
    assert calls == [1]
    assert sample.pred.shape == (3, 53, 75)
    c = [model.text_encoder([model.prompts.canonical('pd')])[0]] * 2
    images = list(data['inputs'].values())
    expected = run_tiled(lambda *tiles: model.fuse(tiles, c), images, tile=32, overlap=8)
    expected = passes.level_tiles(lambda *small: model.fuse(small, c), images, expected, 48 * 48, model.size_divisor)
    assert torch.equal(sample.pred, expected[0, :, :53, :75].clamp(0, 1))
    whole = model.fuse(list(data['inputs'].values()), c)[0, :, :53, :75].clamp(0, 1)
    assert (sample.pred - whole).abs().mean() < 0.05


@torch.no_grad()
def test_large_pictures_are_restored_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    model = settle(build(max_pixels=1000, tile=32, overlap=8))
    seen = []
    monkeypatch.setattr(
        model, 'restore', lambda x, text, m: (seen.append(tuple(x.shape)), LURE.restore(model, x, text, m))[1]
    )
    samples = restoration_batch(2)['data_samples']
    data = prepared(model, dict(inputs=dict(x=pictures(2, 56, 32)), data_samples=samples))
    assert model(**data).shape == (2, 3, 56, 32)
    # two tasks, two tiles of each, and the whole of it, of at most 1000 pixels
    assert seen == [*[(1, 3, 32, 32)] * 2, (1, 3, 40, 22)] * 2


@torch.no_grad()
def test_the_task_asks_for_the_coarse_pass() -> None:
    model = settle(build('fusion', coarse=dict(tasks=('hz', 'lc'), size=32)))
    plain = settle(build('fusion'))
    plain.load_state_dict(model.state_dict())
    inputs = {name: pictures(4, 64, 80, seed=i) for i, name in enumerate(('vi', 'ir'))}
    chosen = [{}, dict(vi='hz'), dict(vi='ll', ir='lc'), dict(vi='ll', ir='sr')]
    # the task counts, whatever the sentence says
    metas = [dict(tasks=tasks, sentences=dict.fromkeys(tasks, 'look')) for tasks in chosen]
    samples = [FusionDataSample(metainfo=meta) for meta in metas]
    out, before = (m(inputs, samples, mode='tensor') for m in (model, plain))
    changed = (out - before).abs().amax(dim=(1, 2, 3))
    assert (changed > 1e-5).tolist() == [False, True, True, False]
    for row in (1, 2):
        own = [x[row : row + 1] for x in inputs.values()]
        expected = add_coarse_pass(
            lambda vi, ir, row=row: plain(dict(vi=vi, ir=ir), samples[row : row + 1], mode='tensor'), own,
            before[row : row + 1], size=32, stride=2,
        )  # fmt: skip
        torch.testing.assert_close(out[row : row + 1], expected)


@torch.no_grad()
def test_the_coarse_pass_passes_over_tasks_that_the_model_lacks() -> None:
    prompts = dict(per_template=1, tasks=('lc', 'sr', 'pd'))
    models = [settle(build('fusion', prompts=prompts, coarse=c)) for c in (dict(tasks=('hz',), size=32), None)]
    inputs = {name: pictures(1, 64, 80, seed=i) for i, name in enumerate(('vi', 'ir'))}
    samples = [FusionDataSample(metainfo=dict(tasks=dict(ir='lc')))]
    out, plain = (model(inputs, samples, mode='tensor') for model in models)
    assert torch.equal(out, plain)


def test_the_coarse_pass_names_known_tasks() -> None:
    with pytest.raises(ValueError, match=r"model\.coarse\.tasks names \['fog'\]"):
        build('fusion', coarse=dict(tasks=('hz', 'fog'), size=32))


@torch.no_grad()
def test_bfloat16_stays_close_to_float32() -> None:
    model = settle(build('fusion'))
    data = prepared(model, fusion_batch(1))
    with torch.no_grad():
        exact = model(**data)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            low = model(**data)
    assert (low.float() - exact).norm() / exact.norm() < 0.05


def test_weights_of_the_first_stage_fit_into_the_second() -> None:
    one, two = build(), build('fusion', seed=1)
    shared = {k: v for k, v in one.state_dict().items() if not k.startswith('losses')}
    missing, unexpected = two.load_state_dict(shared, strict=False)
    assert not unexpected
    assert {key.partition('.')[0] for key in missing} == {'fuser', 'losses'}


# mistakes


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(stage='train'), "model.stage must be one of restoration, fusion, joint; got 'train'"),
        (dict(chroma='rgb'), r"model.chroma='rgb' is not one of model.modalities=\('vi', 'ir'\)"),
        (dict(frozen=('encoder',)), "model.frozen names 'encoder', which is no part of the model; parts: .*image_enc"),
        (dict(frozen=('fuser',)), "model.frozen names 'fuser', which is no part of the model"),
        (dict(frozen=('stage',)), "model.frozen names 'stage', which is no part of the model"),
        (
            dict(decoder=dict(type='LUREDecoder', channels=(8, 16), K_dec=(1, 1))),
            r'model.decoder.channels=\(8, 16\) does not fit model.image_encoder \(LUREEncoder\), whose .* \(4, 8\) ch',
        ),
        (
            dict(stage='fusion', fuser=dict(type='RuleFuser', channels=(8, 16))),
            r'model.fuser.channels=\(8, 16\) does not fit model.image_encoder \(LUREEncoder\), whose .* \(4, 8\) ch',
        ),
        (
            dict(data_preprocessor=dict(type='FusionDataPreprocessor', size_divisor=3)),
            r'model.data_preprocessor.size_divisor=3 is no multiple of the last stride 2 of model.image_encoder',
        ),
    ],
)
def test_parts_that_do_not_fit_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LURE(**{**config(), **changes})


def test_bad_calls_are_named() -> None:
    model = build()
    data = prepared(model, restoration_batch(2))
    with pytest.raises(ValueError, match="mode must be 'tensor', 'loss' or 'predict'; got 'train'"):
        model(**data, mode='train')
    del data['inputs']['y']
    with pytest.raises(
        ValueError, match=r"restoration stage needs the inputs \('x', 'y'\), got \('x',\); missing: \['y"
    ):
        model(**data, mode='loss')
    pair = prepared(model, fusion_batch(1, 16, 16))
    with pytest.raises(ValueError, match="built with stage='restoration' and cannot fuse"):
        model(**pair)
    fuser = build('fusion')
    with pytest.raises(ValueError, match=r"fusion stage needs the inputs \('vi', 'ir'\).*missing: \['ir'\]"):
        fuser(dict(vi=pair['inputs']['vi']), mode='loss')
    data['data_samples'][0].set_metainfo(dict(task='rain'))
    with pytest.raises(KeyError, match='rain'):
        model(dict(x=data['inputs']['x']), data['data_samples'])


def test_an_encoder_offers_extras_of_its_own() -> None:
    model = build(losses=dict(RESTORATION, new=dict(type='ReconLoss', weight=0.5)))
    model.image_encoder.extras = lambda x, texts: dict(mine=x.mean() + 0 * texts.sum())
    model.losses['new'].needs = ('mine',)
    model.losses['new'].forward = lambda mine: 2 * mine
    batch = restoration_batch()
    losses = model(**batch, mode='loss')
    torch.testing.assert_close(losses['loss_new'], batch['inputs']['x'].mean())
    model.image_encoder.extras = lambda x, texts: dict(pred=x, labels=texts)
    with pytest.raises(ValueError, match=r"LUREEncoder\)\.extras\(\) returns \['labels', 'pred'\], which the stage"):
        model(**restoration_batch(), mode='loss')


class Half(nn.Module):
    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, z: list[Tensor]) -> Tensor:
        return self.decoder(z)[..., ::2]


class Grey(Half):
    def forward(self, z: list[Tensor]) -> Tensor:
        return self.decoder(z)[:, :1]


@pytest.mark.parametrize('kind', [Half, Grey])
def test_a_decoder_that_returns_no_picture_of_the_size_is_refused(kind: type) -> None:
    model = build('fusion')
    model.decoder = kind(model.decoder)
    with pytest.raises(ValueError, match=rf'model.decoder \({kind.__name__}\) returned'):
        model(**prepared(model, fusion_batch()), mode='loss')
    with pytest.raises(ValueError, match='it must return'):
        model.core((pictures(1), pictures(1)), torch.zeros(2, 32))
