"""Atomic files, safe reading, strict loading."""

import os
import pickle

import pytest
import torch
from mmengine.fileio import get_file_backend
from mmengine.logging import HistoryBuffer
from torch import nn

from lurefusion.engine import checkpoint as ck


class Net(nn.Module):
    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.encoder = nn.Linear(width, 3)
        self.decoder = nn.Linear(3, 1)


def test_atomic_backend_leaves_the_old_file_when_writing_fails(tmp_path, monkeypatch):
    backend = get_file_backend(backend_args=dict(backend='atomic'))
    file = tmp_path / 'a.bin'
    backend.put(b'old', file)
    monkeypatch.setattr(os, 'replace', lambda *_: (_ for _ in ()).throw(OSError('disk full')))
    with pytest.raises(OSError, match='disk full'):
        backend.put(b'new', file)
    assert file.read_bytes() == b'old'
    assert [p.name for p in tmp_path.iterdir()] == ['a.bin']


def test_run_history_is_read_and_foreign_pickles_are_refused(tmp_path):
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    torch.save(
        dict(state_dict=dict(w=torch.ones(2)), message_hub=dict(loss=history), meta=dict(iter=3)),
        tmp_path / 'a.pth',
    )
    state, meta = ck.read_weights(tmp_path / 'a.pth')
    assert torch.equal(state['w'], torch.ones(2))
    assert meta['iter'] == 3

    class Evil:
        def __reduce__(self):
            return os.system, ('true',)

    (tmp_path / 'evil.pth').write_bytes(pickle.dumps(Evil()))
    torch.save(dict(state_dict=dict(w=torch.ones(1)), x=Evil()), tmp_path / 'evil2.pth')
    for name in ('evil.pth', 'evil2.pth'):
        with pytest.raises(ValueError, match='can be read safely'):
            ck.read_weights(tmp_path / name)


def test_restricted_getattr_hands_out_statistics_only():
    assert ck._history_method(HistoryBuffer, 'mean') is HistoryBuffer.mean
    with pytest.raises(ValueError, match='refused'):
        ck._history_method(os, 'system')
    with pytest.raises(ValueError, match='refused'):
        ck._history_method(HistoryBuffer, '__init__')


def test_safetensors_round_trip_with_meta(tmp_path):
    state = dict(a=torch.randn(2, 3), b=torch.arange(4).view(2, 2).T)
    ck.save_weights(state, tmp_path / 'w.safetensors', dict(model=dict(type='LURE', channels=(1, 2)), seed=0))
    back, meta = ck.read_weights(tmp_path / 'w.safetensors')
    assert all(torch.equal(back[k], state[k]) for k in state)
    assert meta == dict(model=dict(type='LURE', channels=[1, 2]), seed=0)


@pytest.mark.parametrize(
    ('names', 'newest'),
    [([], None), (['iter_9.pth', 'iter_10.pth', 'best.pth'], 'iter_10.pth'), (['epoch_2.pth'], 'epoch_2.pth')],
)
def test_latest_checkpoint_counts_by_number(tmp_path, names, newest):
    for name in names:
        (tmp_path / name).touch()
    found = ck.latest_checkpoint(tmp_path)
    assert (found.name if found else None) == newest


def test_find_weights_names_what_there_is(tmp_path):
    with pytest.raises(FileNotFoundError, match='no checkpoint'):
        ck.find_weights(tmp_path)
    with pytest.raises(FileNotFoundError, match='neither a file, a folder of a run, nor shipped weights'):
        ck.find_weights('lure-tinny')


def test_load_into_takes_whole_parts():
    source, target = Net(), Net()
    before = target.decoder.weight.clone()
    ck.load_into(target, source.state_dict(), ('encoder',))
    assert torch.equal(target.encoder.weight, source.encoder.weight)
    assert torch.equal(target.decoder.weight, before)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda s: s.pop('encoder.bias'), r'missing: encoder\.bias'),
        (lambda s: s.update({'encoder.extra': torch.ones(1)}), r'unexpected: encoder\.extra'),
        (
            lambda s: s.update({'encoder.weight': torch.ones(3, 5)}),
            r'encoder\.weight is \(3, 5\) in the checkpoint',
        ),
    ],
)
def test_load_into_names_the_first_wrong_keys(change, message):
    state = Net().state_dict()
    change(state)
    with pytest.raises(ValueError, match=message):
        ck.load_into(Net(), state, ('encoder',))
    with pytest.raises(ValueError, match='no tensors in the model'):
        ck.load_into(Net(), state, ('encodr',))
