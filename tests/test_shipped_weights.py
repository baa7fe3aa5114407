"""What ships works out of the box: the text chooses what is mended, and mending helps."""

import re

import numpy as np
import pytest
import torch

from lurefusion.apis import FusionInferencer
from lurefusion.datasets.scenes import render_scene
from lurefusion.evaluation.functional import chroma_kept, hue_shift
from lurefusion.models.lure_fast import LureFast
from lurefusion.models.tone import TextGuidedTone
from lurefusion.registry import DEGRADATIONS
from lurefusion.weights import shipped_weights


@pytest.fixture(scope='module')
def fuser() -> FusionInferencer:
    return FusionInferencer('lure-tiny')


@pytest.fixture(scope='module')
def fast() -> FusionInferencer:
    return FusionInferencer('lure-fast')


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def spoil(degradation: dict, clean: np.ndarray, seed: int, depth: np.ndarray | None = None) -> np.ndarray:
    image, _ = DEGRADATIONS.build(degradation)(np.float32(clean) / 255, np.random.default_rng(seed), depth)
    return np.round(image * 255).astype(np.uint8)


# modality, prompt, prompt for another defect of that modality, what it should gain in dB over the degraded picture
LOW_LIGHT = dict(type='LowLight', gain=0.5, gamma=2.2)
LOW_CONTRAST = dict(type='LowContrast', gain=0.3, level=0.45)
TASKS = {
    'low light': (LOW_LIGHT, 'vi', 'it is much too dark', 'it is hazy', 4),
    'over-exposure': (dict(type='OverExposure', stops=1.5), 'vi', 'the picture is overexposed', 'it is too dark', 2),
    'haze': (dict(type='Haze', beta=1.5, airlight=0.85), 'vi', 'it is hazy', 'the picture is overexposed', 2),
    'low contrast': (LOW_CONTRAST, 'ir', 'it has low contrast', 'the resolution is low', 2),
    'x4': (dict(type='LowResolution', scales=(4,)), 'ir', 'the resolution is low', 'it has low contrast', 0.4),
    'x8': (dict(type='LowResolution', scales=(8,)), 'ir', 'the resolution is low', 'it has low contrast', 0.05),
    'noise, visible': (dict(type='Noise', sigma=0.1, shot=0.0), 'vi', 'it is noisy', 'it is hazy', 3),
    'noise, infrared': (dict(type='Noise', sigma=0.1, shot=0.0), 'ir', 'it is noisy', 'the resolution is low', 3),
    'stripes': (dict(type='StripeNoise', offset=0.05, gain=0.05), 'ir', 'it has stripes', 'it has low contrast', 2),
    'rain': (dict(type='Rain', density=0.006, opacity=0.4, veil=0.1), 'vi', 'there is rain', 'it is hazy', 3),
}
SEEDS = (2010, 2011, 2014)


@pytest.fixture(scope='module')
def restored(fuser) -> dict[str, list[dict[str, np.ndarray]]]:
    """Task -> for each scene the clean, the degraded, the rightly and the wrongly prompted picture."""
    pictures = {name: [] for name in TASKS}
    for seed in SEEDS:
        scene = render_scene(seed, (120, 160), 'day')
        for name, (degradation, modality, prompt, wrong, _) in TASKS.items():
            clean = scene.visible if modality == 'vi' else scene.infrared
            x = spoil(degradation, clean, seed, scene.depth)
            right, other = (fuser.restore(x, modality, text) for text in (prompt, wrong))
            pictures[name].append(dict(clean=clean, degraded=x, right=right, wrong=other))
    return pictures


def mean_psnr(rows: list[dict[str, np.ndarray]], name: str) -> float:
    return float(np.mean([psnr(row[name], row['clean']) for row in rows]))


# the present weights miss these; strict, so that better weights take the marks away
WEAK = pytest.mark.xfail(strict=True, reason='the shipped weights do not reach this yet')


WEAK_HAZE = [pytest.param(name, marks=WEAK) if name == 'haze' else name for name in TASKS]


@pytest.mark.parametrize('name', WEAK_HAZE)
def test_every_task_restores(restored, name):
    assert mean_psnr(restored[name], 'right') > mean_psnr(restored[name], 'degraded') + TASKS[name][-1]


def test_contrast_comes_back(restored):
    clean, degraded, right = (np.mean([row[n].std() for row in restored['low contrast']])
                              for n in ('clean', 'degraded', 'right'))  # fmt: skip
    assert degraded < 0.4 * clean
    assert 0.65 * clean < right < 1.25 * clean


@pytest.mark.parametrize('name', TASKS)
def test_a_wrong_prompt_does_worse(restored, name):
    assert mean_psnr(restored[name], 'wrong') < mean_psnr(restored[name], 'right') - 1


def test_the_tone_lifts_haze_that_a_crop_does_not_show(fuser, monkeypatch):
    degradation, modality, prompt, *_ = TASKS['haze']
    gains = []
    for seed in SEEDS:
        scene = render_scene(seed, (240, 320), 'day')
        x = spoil(degradation, scene.visible, seed, scene.depth)
        whole = psnr(fuser.restore(x, modality, prompt), scene.visible)
        with monkeypatch.context() as patch:
            patch.setattr(TextGuidedTone, 'forward', lambda self, x, latents, c, grey: latents)
            gains.append(whole - psnr(fuser.restore(x, modality, prompt), scene.visible))
    assert np.mean(gains) > 0.5


def test_the_tone_of_lure_fast_brings_dark_and_hazy_scenes_back(fast, monkeypatch):
    gains = {name: [] for name in ('low light', 'haze')}
    for name in gains:
        degradation, modality, prompt, *_ = TASKS[name]
        for seed in SEEDS:
            scene = render_scene(seed, (240, 320), 'day')
            x = spoil(degradation, scene.visible, seed, scene.depth)
            whole = psnr(fast.restore(x, modality, prompt), scene.visible)
            with monkeypatch.context() as patch:
                patch.setattr(LureFast, '_tones', lambda self, blocks, maps, c: None)
                gains[name].append(whole - psnr(fast.restore(x, modality, prompt), scene.visible))
    assert np.mean(gains['haze']) > 1
    assert np.mean(gains['low light']) > 0


@pytest.mark.parametrize('name', ['fuser', 'fast'])
def test_the_tone_is_for_its_tasks_alone(request, name):
    model = request.getfixturevalue(name).model
    tone = model.tone if name == 'fast' else model.image_encoder.tone
    for task in model.prompts.keys:
        c, _ = model.text_encoder([model.prompts.canonical(task)])
        assert tone.gate(c).clamp(0, 1).item() == (task in ('ll', 'hz', 'oe'))


def test_detail_is_for_low_resolution_alone(fuser):
    bank, encoder = fuser.model.prompts, fuser.model.image_encoder
    for task in bank.keys:
        c, _ = fuser.model.text_encoder([bank.canonical(task)])
        assert encoder.detail.gate(c).clamp(0, 1).item() == (task == 'sr')


def test_two_degradations_at_once_are_mended_by_their_two_prompts(fuser):
    """Dark visible, flat infrared: the right prompt comes nearer to what is fused of the clean pair."""
    gains = []
    for seed in SEEDS:
        scene = render_scene(seed, (120, 160), 'day')
        pair = dict(vi=spoil(LOW_LIGHT, scene.visible, seed), ir=spoil(LOW_CONTRAST, scene.infrared, seed))
        goal = fuser(vi=scene.visible, ir=scene.infrared)
        right = psnr(fuser('the visible image is too dark and the thermal one has low contrast', **pair), goal)
        gains.append([right - psnr(fuser(prompt, **pair), goal) for prompt in (None, dict(vi='hz', ir='sr'))])
    over_none, over_wrong = np.mean(gains, axis=0)
    assert over_none > 3
    assert over_wrong > 3


@pytest.mark.parametrize('modality', ['vi', 'ir'])
def test_sentences_of_unseen_templates_reach_their_task(fuser, modality, monkeypatch):
    monkeypatch.setattr('lurefusion.prompts.router._warn', lambda message: None)
    bank = fuser.model.prompts
    right = []
    for task in (key for key in bank.keys if bank.task(key).modality in (None, modality)):
        for sentence in (*bank.sentences(task, 'val'), *bank.sentences(task, 'test')):
            tasks = {name: route.task for name, route in fuser.route(sentence).items()}
            # of a task of both: the modality that is named, or both
            named = [
                name for name in tasks if any(re.search(rf'\b(?:{w})\b', sentence, re.I) for w in bank.words(name))
            ]
            meant = [modality] if bank.task(task).modality else named or list(tasks)
            right.append(tasks == {name: task if name in meant else 'pd' for name in tasks})
    assert len(right) > 400
    assert np.mean(right) >= 0.95


def test_hot_targets_and_visible_texture_are_both_there(fuser):
    scene = render_scene(2003, (120, 160), 'night')
    fused = fuser(vi=scene.visible, ir=scene.infrared).mean(2)
    person = scene.label == 2
    assert person.sum() > 20
    assert fused[person].mean() > scene.visible.mean(2)[person].mean() + 20
    sources = scene.visible.mean(2).ravel(), scene.infrared.ravel()
    shared = np.corrcoef(*sources)[0, 1]
    assert all(np.corrcoef(fused.ravel(), source)[0, 1] > shared + 0.2 for source in sources)


@pytest.mark.parametrize('seed', SEEDS)
def test_the_fuser_can_keep_the_colours_by_design(fuser, monkeypatch, seed):
    """As `fuser.chroma=0` of a config does: no weights are changed."""
    scene = render_scene(seed, (120, 160), 'day')

    def tensor(image: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(image.copy()).permute(2, 0, 1)[None]

    left = {}
    for owner in (None, 0):
        monkeypatch.setattr(fuser.model.fuser, 'chroma', owner)
        fused, visible = tensor(fuser(vi=scene.visible, ir=scene.infrared)), tensor(scene.visible)
        left[owner] = float(chroma_kept(fused, visible)), float(hue_shift(fused, visible))
    assert left[None][0] < left[0][0] - 5
    assert 93 < left[0][0] < 105
    assert left[0][1] < min(3, left[None][1])


def test_size_on_disk():
    assert shipped_weights()['lure-tiny'].stat().st_size <= 6e6
