"""The contract of fusion models: what is declared is there."""

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel

from lurefusion import FusionInferencer
from lurefusion.models.base import FusionModel
from lurefusion.registry import MODELS
from lurefusion.structures import FusionDataSample


@pytest.fixture(scope='module')
def tiny() -> FusionModel:
    return FusionInferencer('lure-tiny', device='cpu').model


def pair(height: int, width: int, batch: int = 1) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(height)
    return tuple(torch.rand(batch, 3, height, width, generator=generator) for _ in range(2))


@pytest.mark.parametrize('sentences', [('pd', 'pd'), ('ll', 'lc'), ('oe', 'sr')])
def test_core_is_what_predict_runs(tiny, sentences):
    said = [tiny.prompts.canonical(task) for task in sentences]
    images = pair(32, 48)
    sample = FusionDataSample(metainfo=dict(sentences=dict(zip(tiny.modalities, said, strict=True))))
    batch = dict(inputs={name: list(image) for name, image in zip(tiny.modalities, images, strict=True)})
    with torch.no_grad():
        predicted = tiny.test_step(dict(batch, data_samples=[sample]))[0].pred
        fused = tiny.core(images, tiny.encode_text(said))[0].clamp(0, 1)
    torch.testing.assert_close(fused, predicted, rtol=0, atol=1e-6)


@pytest.mark.parametrize('method', ['average', 'max', 'guided_filter', 'lap_pyramid'])
def test_baselines_keep_the_contract(method):
    model = MODELS.build(dict(type='BaselineFuser', method=method, eight_bit=False))
    images = pair(33, 47)
    assert (model.size_divisor, model.prompts, model.frozen) == (1, None, ())
    assert model.encode_text(['it is dark', 'it is flat']) is None
    fused = model.core(images, None)
    np.testing.assert_allclose(fused, model(dict(zip(model.modalities, images, strict=True))))
    for ask in (lambda: model.classify_text(['dark']), lambda: model.latents(images[0], [])):
        with pytest.raises(TypeError, match='BaselineFuser has no'):
            ask()


def test_the_divisor_is_that_of_the_strides(tiny):
    assert tiny.size_divisor == max(tiny.image_encoder.strides) == 16
    assert tiny.data_preprocessor.size_divisor == 16


def test_a_model_that_owes_something_cannot_be_built():
    class Half(FusionModel):
        def core(self, images, text=None):
            return images[0]

    with pytest.raises(TypeError, match='size_divisor'):
        Half()
    with pytest.raises(TypeError, match='Half is no whole model: it lacks size_divisor of FusionModel'):
        MODELS.register_module(module=Half)
    with pytest.raises(TypeError, match=r'Stranger is not a model: it does not derive from .*FusionModel'):
        MODELS.register_module(module=type('Stranger', (BaseModel,), {}))
    assert 'Half' not in MODELS
    assert 'Stranger' not in MODELS
