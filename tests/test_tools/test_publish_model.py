"""A checkpoint becomes shipped weights, and these fuse as the checkpoint does."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from lurefusion import weights
from lurefusion.apis import FusionInferencer
from lurefusion.engine.pipeline import train

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'publish_model.py'


@pytest.fixture
def publish():
    spec = importlib.util.spec_from_file_location('publish_model', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.publish


def test_shipped_weights_fuse_like_the_checkpoint(small, publish, tmp_path, monkeypatch):
    run = train(small / 'small.py').parent
    for name, half in (('small-net', False), ('small-half', True)):
        publish(str(small / 'small.py'), str(run), str(tmp_path / f'{name}.safetensors'), half)
    state, meta = weights.read_weights(tmp_path / 'small-net.safetensors')
    assert not any(key.startswith('losses.') for key in state)
    assert meta['config'] == 'small_stage2'
    assert 'losses' not in meta['model']
    monkeypatch.setattr(weights, 'WEIGHTS_DIR', tmp_path)
    rng = np.random.default_rng(0)
    vi, ir = rng.integers(0, 256, (20, 30, 3), np.uint8), rng.integers(0, 256, (20, 30), np.uint8)
    expected = FusionInferencer(str(small / 'small.py'), str(run))('it is dark', vi=vi, ir=ir)
    np.testing.assert_array_equal(FusionInferencer('small-net')('it is dark', vi=vi, ir=ir), expected)
    half = FusionInferencer('small-half')('it is dark', vi=vi, ir=ir)
    # what is not the network's does not come along
    weights.save_weights({**state, 'discriminator.weight': torch.ones(3)}, tmp_path / 'more.safetensors', meta)
    publish(str(small / 'small.py'), str(tmp_path / 'more.safetensors'), str(tmp_path / 'again.safetensors'))
    assert weights.read_weights(tmp_path / 'again.safetensors')[0].keys() == state.keys()
    assert np.abs(half.astype(int) - expected.astype(int)).max() <= 2


def test_wrong_suffix_and_wrong_config_are_refused(small, publish, tmp_path):
    run = train(small / 'small.py', options={'train_cfg.max_iters': 2}).parent
    with pytest.raises(ValueError, match=r'must be a \.safetensors file'):
        publish(str(small / 'small.py'), str(run), 'out.pth')
    with pytest.raises(ValueError, match='First wrong keys'):
        publish('lurefusion::lure/lure_demo.py', str(run), str(tmp_path / 'x.safetensors'))
    assert not (tmp_path / 'x.safetensors').exists()
