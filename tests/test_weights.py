"""What ships works out of the box: the text chooses what is mended, and mending helps."""

import numpy as np
import pytest

from lurefusion.apis import FusionInferencer
from lurefusion.datasets.scenes import render_scene
from lurefusion.engine.checkpoint import shipped_weights
from lurefusion.registry import DEGRADATIONS


@pytest.fixture(scope='module')
def fuser() -> FusionInferencer:
    return FusionInferencer('lure-tiny')


@pytest.fixture(scope='module')
def scene():
    return render_scene(2010, (120, 160), 'day')


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


@pytest.mark.parametrize(
    ('degradation', 'prompt', 'wrong', 'gain'),
    [
        (dict(type='LowLight', gain=0.5, gamma=2.2), 'it is much too dark', 'it is hazy', 4),
        (dict(type='OverExposure', stops=1.5), 'the picture is overexposed', 'it is too dark', 2),
    ],
)
def test_the_right_prompt_restores_and_a_wrong_one_does_less(fuser, scene, degradation, prompt, wrong, gain):
    spoilt, _ = DEGRADATIONS.build(degradation)(scene.visible.astype(np.float32) / 255, np.random.default_rng(0))
    x = np.round(spoilt * 255).astype(np.uint8)
    right, other = (psnr(fuser.restore(x, 'vi', text), scene.visible) for text in (prompt, wrong))
    assert right > psnr(x, scene.visible) + gain
    assert right > other + 1


def test_hot_targets_and_visible_texture_are_both_there(fuser):
    scene = render_scene(2003, (120, 160), 'night')
    fused = fuser(vi=scene.visible, ir=scene.infrared).mean(2)
    person = scene.label == 2
    assert person.sum() > 20
    assert fused[person].mean() > scene.visible.mean(2)[person].mean() + 20
    sources = scene.visible.mean(2).ravel(), scene.infrared.ravel()
    shared = np.corrcoef(*sources)[0, 1]
    assert all(np.corrcoef(fused.ravel(), source)[0, 1] > shared + 0.2 for source in sources)


def test_size_on_disk():
    assert shipped_weights()['lure-tiny'].stat().st_size <= 6e6
