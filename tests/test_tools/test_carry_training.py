"""A training that is carried in two small files goes on where it was."""

from pathlib import Path

import pytest
import torch

from lurefusion.config import load_config
from lurefusion.engine.pipeline import train
from lurefusion.registry import MODELS
from lurefusion.studies import carry
from lurefusion.weights import allow_resume, load_into, read_weights, save_weights


def load(path: Path) -> dict:
    allow_resume()
    return torch.load(path, weights_only=True)


def test_goes_on_where_it_was(small, tmp_path):
    config = str(small / 'small_stage1.py')
    whole = train(config, work_dir=tmp_path / 'whole')
    before = load(tmp_path / 'whole/iter_4.pth')
    carry.pack(str(tmp_path / 'whole/iter_4.pth'), str(tmp_path / 'a.safetensors'))
    files = [tmp_path / 'a.safetensors', tmp_path / 'a.training.safetensors']
    assert sum(file.stat().st_size for file in files) < 0.75 * (tmp_path / 'whole/iter_4.pth').stat().st_size
    # the first one is weights as all tools take them
    load_into(MODELS.build(load_config(config).model), read_weights(files[0])[0])
    carry.unpack(str(tmp_path / 'a.safetensors'), str(tmp_path / 'carried'))
    after = load(tmp_path / 'carried/iter_4.pth')
    assert after['meta']['iter'] == 4
    assert after['meta']['seed'] == before['meta']['seed']
    assert after['param_schedulers'] == before['param_schedulers']
    for part in ('state_dict', 'ema_state_dict'):
        assert set(after[part]) == set(before[part])
        for key, value in before[part].items():
            assert after[part][key].dtype == value.dtype
            torch.testing.assert_close(after[part][key], value, atol=1e-6, rtol=1e-3)
    for number, state in before['optimizer']['state'].items():
        carried = after['optimizer']['state'][number]
        assert carried['step'] == state['step']
        torch.testing.assert_close(carried['exp_avg_sq'], state['exp_avg_sq'], atol=0, rtol=8e-3)
    resumed = train(config, work_dir=tmp_path / 'carried', resume=True)
    assert resumed.name == whole.name == 'iter_6.pth'
    # the weights beside their averages; the same batches and rates: nearer to the unbroken run than to where it was
    ours, theirs, start = (load(p)['ema_state_dict'] for p in (resumed, whole, tmp_path / 'whole/iter_4.pth'))
    weights = [key for key, value in ours.items() if value.is_floating_point() and '.losses.' not in key]
    off = sum((ours[key] - theirs[key]).square().sum() for key in weights)
    way = sum((start[key] - theirs[key]).square().sum() for key in weights)
    assert 0 < off < 0.8 * way


def test_wrong_files_are_refused(small, tmp_path):
    config = str(small / 'small_stage1.py')
    run = train(config, work_dir=tmp_path / 'run', options={'train_cfg.max_iters': 2}).parent
    with pytest.raises(ValueError, match=r'must be a \.safetensors file'):
        carry.pack(str(run), str(tmp_path / 'a.pth'))
    with pytest.raises(FileNotFoundError, match='neither a file, a folder of a run'):
        carry.pack(str(tmp_path / 'nothing'), str(tmp_path / 'a.safetensors'))
    for name in ('weights.safetensors', 'weights.training.safetensors'):
        save_weights(read_weights(run / 'iter_2.pth')[0], tmp_path / name, {})
    with pytest.raises(ValueError, match='was not made by "pack"'):
        carry.unpack(str(tmp_path / 'weights.safetensors'), str(tmp_path / 'x'))
    torch.save(dict(state_dict={'a': torch.ones(1)}), tmp_path / 'bare.pth')
    with pytest.raises(ValueError, match='has no optimizer, param_schedulers, meta'):
        carry.pack(str(tmp_path / 'bare.pth'), str(tmp_path / 'a.safetensors'))
    for change in (dict(momentum_buffer=torch.ones(1)), dict(max_exp_avg_sq=torch.ones(1))):
        checkpoint = load(run / 'iter_2.pth')
        checkpoint['optimizer']['state'][0].update(change)
        torch.save(checkpoint, tmp_path / 'other.pth')
        with pytest.raises(ValueError, match='only trainings by Adam or AdamW, without amsgrad'):
            carry.pack(str(tmp_path / 'other.pth'), str(tmp_path / 'b.safetensors'))
    carry.pack(str(run), str(tmp_path / 'a.safetensors'))
    with pytest.raises(ValueError, match=r'iter_2\.pth is there already'):
        carry.unpack(str(tmp_path / 'a.safetensors'), str(run))
    save_weights(read_weights(tmp_path / 'a.safetensors')[0], tmp_path / 'a.safetensors', dict(iterations=3))
    with pytest.raises(ValueError, match=r'a\.safetensors is of iteration 3, .*a\.training\.safetensors of 2'):
        carry.unpack(str(tmp_path / 'a.safetensors'), str(tmp_path / 'x'))
    with pytest.raises(FileNotFoundError, match='no such file'):
        carry.unpack(str(tmp_path / 'gone.safetensors'), str(run))
