"""The parts alone, one training step of both stages, and a test of a whole config."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from medical_fusion import FewCounts, RicianNoise

from lurefusion.config import load_config
from lurefusion.engine.test import test as evaluate
from lurefusion.evaluation import compute
from lurefusion.io.images import write_image
from lurefusion.prompts import PromptBank, PromptRouter
from lurefusion.registry import DATASETS, DEGRADATIONS, MODELS

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_rician_noise_lifts_the_dark_background_to_its_known_mean() -> None:
    sigma = 0.1
    dark, parameters = DEGRADATIONS.build(dict(type='RicianNoise', sigma=(sigma, sigma)))(
        np.zeros((200, 200), np.float32), rng()
    )
    # Rayleigh: mean σ sqrt(π/2); bright tissue keeps its mean but for σ²/2y
    assert dark.mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=0.02)
    bright, _ = RicianNoise((sigma, sigma))(np.full((200, 200), 0.5, np.float32), rng())
    assert bright.mean() == pytest.approx(0.5 + sigma**2 / (2 * 0.5), rel=0.02)
    assert bright.std() == pytest.approx(sigma, rel=0.05)
    assert parameters['sigma'] == sigma


def test_few_counts_keep_mean_and_hue() -> None:
    colour = np.broadcast_to(np.array([0.8, 0.4, 0.0], np.float32), (200, 200, 3)).copy()
    few, _ = FewCounts((20, 20), (0.6, 0.6))(colour, rng())
    many, _ = FewCounts((2000, 2000), (0.6, 0.6))(colour, rng())
    np.testing.assert_allclose(many.mean((0, 1)), colour[0, 0], atol=0.01)
    assert few[..., 1].std() > 5 * many[..., 1].std()
    inside = few[..., 0] < 1
    np.testing.assert_allclose(few[..., 1][inside], few[..., 0][inside] / 2, atol=1.01 / 255)
    assert few[..., 2].max() == 0
    assert not FewCounts()(np.zeros((8, 8), np.float32), rng())[0].any()


@pytest.mark.parametrize('shape', [(16, 20), (16, 20, 3)])
@pytest.mark.parametrize('kind', [RicianNoise, FewCounts])
def test_degradations_are_seeded_and_grey_stays_grey(kind: type, shape: tuple[int, ...]) -> None:
    image = np.broadcast_to(rng(1).random((16, 20, 1), np.float32), (16, 20, 3))[..., :3].copy()
    image = image if len(shape) == 3 else image[..., 0]
    first, second = (kind()(image, rng(2))[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == shape
    if len(shape) == 3:
        assert np.ptp(first, axis=2).max() == 0
    with pytest.raises(ValueError, match='ascending'):
        kind((5, 1))


def test_metrics_of_pictures_whose_answer_is_known() -> None:
    generator = torch.Generator().manual_seed(0)
    mri = torch.rand(1, 1, 24, 24, generator=generator).expand(-1, 3, -1, -1)
    pet = torch.rand(1, 3, 24, 24, generator=generator)
    red = torch.zeros(1, 3, 24, 24)
    red[:, 0] = 1
    options = dict(dChroma=dict(owner='pet'), rhoTexture=dict(owner='mri'))

    def measure(pred: torch.Tensor, pet: torch.Tensor) -> dict[str, torch.Tensor]:
        return compute(pred, dict(mri=mri, pet=pet), ['dChroma', 'rhoTexture'], options=options)

    assert measure(pet, pet)['dChroma'] == 0
    # grey lost all of red's chroma, Cb = -0.168736 and Cr = 0.5
    assert measure(mri, red)['dChroma'] == pytest.approx(255 * (0.168736 + 0.5) / 2, rel=1e-5)
    assert measure(mri, pet)['rhoTexture'] == pytest.approx(1)
    assert abs(measure(pet, pet)['rhoTexture']) < 0.3
    assert measure(mri, mri)['dChroma'].isnan()
    # a batch is its pictures one by one
    pair = [torch.cat([a, b]) for a, b in ((pet, red), (mri, mri), (red, pet))]
    both = compute(pair[0], dict(mri=pair[1], pet=pair[2]), ['dChroma', 'rhoTexture'], options=options)
    for column, values in both.items():
        assert values.tolist() == pytest.approx([float(measure(p, q)[column]) for p, q in ((pet, red), (red, pet))])
    for owner in ('ct', ''):
        with pytest.raises(ValueError, match=f"names one of the sources mri, pet; got '{owner}'"):
            compute(pet, dict(mri=mri, pet=pet), ['dChroma'], options=dict(dChroma=dict(owner=owner)))


def test_prompts_lead_to_the_two_degradations() -> None:
    model = load_config(CONFIGS / 'stage1_mri_pet.py').model
    router = PromptRouter(PromptBank(**model.prompts, modalities=model.modalities), model.modalities)
    routes = router.route('the MRI is grainy and the PET was acquired with a low dose')
    assert {name: route.task for name, route in routes.items()} == {'mri': 'rn', 'pet': 'fc'}


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Random pictures in the folders of the Harvard sets, one of every case that a split names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('LUREFUSION_DATA', str(tmp_path))
    for name, cases in (('CT', ('16', '32')), ('PET', ('25', '30')), ('SPECT', ('10', '18'))):
        for case in cases:
            picture = rng(int(case)).integers(0, 256, (48, 48, 3), np.uint8)
            write_image(tmp_path / f'Harvard/{name}-MRI/MRI/{case}001.png', picture[..., 0])
            write_image(tmp_path / f'Harvard/{name}-MRI/{name}/{case}001.png', picture)
    return tmp_path


@pytest.mark.parametrize('stage', ['stage1', 'stage2'])
def test_one_step(stage: str, pictures: Path) -> None:
    cfg = load_config(CONFIGS / f'{stage}_mri_pet.py', {'+model.prompts.per_template': 1})
    dataset = DATASETS.build(
        dict(
            cfg.train_dataloader.dataset,
            pipeline=[dict(type='LoadImages'), dict(type='Degrade'), dict(type='PackInputs')],
        )
    )
    samples = [dataset[int(indices[0])] for indices in dataset.groups.values()]
    assert list(dataset.groups) == (['fc', 'rn'] if stage == 'stage1' else ['fusion'])
    inputs = {role: [item['inputs'][role][:, :16, :16] for item in samples] for role in samples[0]['inputs']}
    model = MODELS.build(cfg.model).train()
    data = dict(inputs=inputs, data_samples=[item['data_samples'] for item in samples])
    total = sum(model(**model.data_preprocessor(data, training=True), mode='loss').values())
    total.backward()
    assert np.isfinite(total.item())
    learns = model.decoder if stage == 'stage1' else model.fuser
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in learns.parameters())


def test_pyramid_keeps_the_colours(pictures: Path) -> None:
    results = evaluate(CONFIGS / 'lap_pyramid_mri_pet.py')
    # its chroma is the PET's but for rounding and clipping
    assert results['MRI-PET/dChroma'] < 60
    assert {'MRI-PET_spoilt/dChroma', 'MRI-PET_spoilt/rhoTexture', 'MRI-PET/Qabf'} <= set(results)
    assert (pictures / 'work_dirs/lap_pyramid_mri_pet/test/fused/MRI-PET_spoilt/30001.png').is_file()
