"""Learning from trained weights: what `lure-fast` fuses is the target, and nothing of it trains or is saved."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from skimage.filters import sobel_h, sobel_v

from lurefusion.apis import FusionInferencer
from lurefusion.models.losses import LossSet, TeacherLoss


@pytest.fixture(scope='module')
def sources() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    vi = torch.rand(1, 3, 64, 96, generator=generator)
    return dict(vi=vi, ir=torch.rand(1, 1, 64, 96, generator=generator).expand(1, 3, 64, 96).contiguous())


@pytest.fixture(scope='module')
def target(sources) -> torch.Tensor:
    """What users get of the pair, (1,3,H,W)."""
    arrays = {name: image[0].permute(1, 2, 0).numpy() for name, image in sources.items()}
    picture = FusionInferencer('lure-fast', device='cpu').predict(**arrays).picture
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float()


def test_nothing_is_left_to_learn_from_the_teacher_s_own_picture(sources, target):
    loss = TeacherLoss('lure-fast')
    assert float(loss(target, sources)) < 1e-4
    assert float(loss(1 - target, sources)) > 0.05


def test_distance_and_edges_against_numpy(sources, target):
    fused = torch.full_like(target, 0.5)
    plain = (fused - target).abs().mean()
    assert float(TeacherLoss('lure-fast', alpha=0)(fused, sources)) == pytest.approx(float(plain), abs=1e-4)
    # a flat picture has no edges: those of the teacher are left, scikit-image's four times as large here
    edges = np.mean(
        [4 * np.abs(f(np.pad(c, 1, 'edge')))[1:-1, 1:-1] for c in target[0].numpy() for f in (sobel_h, sobel_v)]
    )
    value = float(TeacherLoss('lure-fast', alpha=0.5)(fused, sources))
    assert value == pytest.approx(float(plain) + 0.5 * 2 * edges, rel=1e-3)


def test_the_teacher_is_neither_trained_nor_saved(sources):
    losses = LossSet(dict(teach=dict(type='TeacherLoss', teacher='lure-fast', weight=2.0)))
    fused = torch.rand(1, 3, 64, 96, requires_grad=True)
    value = losses(dict(fused=fused, sources=sources))['loss_teach']
    value.backward()
    assert fused.grad.abs().sum() > 0
    assert not list(losses.parameters())
    assert set(losses.state_dict()) == {'teach.step'}
    copied = copy.deepcopy(losses)
    assert torch.equal(copied(dict(fused=fused, sources=sources))['loss_teach'], value)


def test_what_does_not_fit_is_named(sources):
    with pytest.raises(KeyError, match='fuses vi, ir; there are pet, mri'):
        TeacherLoss('lure-fast')(torch.rand(1, 3, 64, 96), dict(pet=sources['vi'], mri=sources['ir']))
    with pytest.raises(FileNotFoundError, match='lure-fats'):
        TeacherLoss('lure-fats')
