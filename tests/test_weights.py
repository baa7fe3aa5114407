"""Atomic files, safe reading, strict loading."""

import os
import pickle
from types import SimpleNamespace

import pytest
import torch
from mmengine.fileio import get_file_backend
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file
from torch import nn

from lurefusion import weights as ck


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


def test_a_folder_of_pictures_does_not_hide_the_shipped_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = ck.find_weights('lure-tiny')
    (tmp_path / 'lure-tiny').mkdir()
    assert ck.find_weights('lure-tiny') == shipped
    assert ck.find_weights(ck.Path('lure-tiny')) == shipped
    with pytest.raises(FileNotFoundError, match='no checkpoint'):
        ck.find_weights('lure-tiny/')
    # a run is what it is named
    ck.save_weights({'x': torch.zeros(1)}, tmp_path / 'lure-fast', {})
    assert ck.find_weights('lure-fast') == ck.Path('lure-fast')


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
            lambda s: s.update({'encoder.weight': torch.ones(3, 2, dtype=torch.int8)}),
            r'type: encoder\.weight is torch\.int8 in the checkpoint, torch\.float32 in the model',
        ),
        (
            lambda s: s.update({'encoder.weight': torch.ones(3, 2, dtype=torch.bool)}),
            r'type: encoder\.weight is torch\.bool',
        ),
        (
            lambda s: s.update({'encoder.weight': torch.ones(3, 2, dtype=torch.complex64)}),
            r'type: encoder\.weight is torch\.complex64',
        ),
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


def test_digest_depends_on_names_and_values_and_not_on_losses():
    a, b = Net(), Net()
    b.load_state_dict(a.state_dict())
    digest = ck.weights_digest(a.state_dict())
    assert digest == ck.weights_digest(b.state_dict())
    assert digest == ck.weights_digest({**a.state_dict(), 'losses.step': torch.ones(1)})
    assert digest != ck.weights_digest({f'x.{key}': value for key, value in a.state_dict().items()})
    with torch.no_grad():
        b.encoder.bias[0] = torch.nextafter(b.encoder.bias[0], torch.tensor(9.0))
    assert digest != ck.weights_digest(b.state_dict())


def test_the_last_checkpoint_is_the_one_that_was_written_last(tmp_path):
    for name in ('iter_2.pth', 'iter_9.pth'):
        (tmp_path / name).touch()
    # a folder that was moved: the path before no longer exists
    (tmp_path / 'last_checkpoint').write_text('/somewhere/else/iter_2.pth')
    assert ck.latest_checkpoint(tmp_path).name == 'iter_2.pth'
    for text in ('/somewhere/iter_7.pth', ''):
        (tmp_path / 'last_checkpoint').write_text(text)
        assert ck.latest_checkpoint(tmp_path).name == 'iter_9.pth'


def test_an_earlier_run_is_set_aside_whole_and_nothing_of_it_is_lost(tmp_path):
    assert ck.set_aside(tmp_path, ('*.pth',)) is None
    for turn in (b'1', b'2'):
        (tmp_path / 'iter_4.pth').write_bytes(turn)
        (tmp_path / 'latents').mkdir()
        (tmp_path / 'latents/iter_4.npz').write_bytes(turn)
        (tmp_path / 'config.py').write_bytes(turn)
        ck.set_aside(tmp_path, ('*.pth', 'latents'))
    assert [p.name for p in sorted(tmp_path.iterdir())] == ['config.py', 'earlier']
    for folder, turn in (('001', b'1'), ('002', b'2')):
        assert (tmp_path / 'earlier' / folder / 'iter_4.pth').read_bytes() == turn
        assert (tmp_path / 'earlier' / folder / 'latents/iter_4.npz').read_bytes() == turn


def test_the_folder_of_a_pipeline_gives_its_last_stage(tmp_path):
    for stage in ('b_first', 'a_last'):
        (tmp_path / stage).mkdir()
    (tmp_path / 'b_first/iter_9.pth').touch()
    (tmp_path / 'b_first/last_checkpoint').write_text('iter_9.pth')
    with pytest.raises(FileNotFoundError, match='there are runs in its folders b_first'):
        ck.find_weights(tmp_path)
    (tmp_path / ck.STAGES_FILE).write_text('["b_first", "a_last"]')
    with pytest.raises(FileNotFoundError, match='last stage, a_last, has no checkpoint yet'):
        ck.find_weights(tmp_path)
    torch.save(dict(state_dict=dict(w=torch.ones(2))), tmp_path / 'a_last/iter_3.pth')
    assert ck.find_weights(tmp_path) == tmp_path / 'a_last/iter_3.pth'


def test_a_misspelt_file_is_compared_with_its_neighbours(tmp_path):
    (tmp_path / 'mine.safetensors').touch()
    with pytest.raises(FileNotFoundError, match=r"Did you mean 'mine\.safetensors'"):
        ck.find_weights(tmp_path / 'mne.safetensors')


@pytest.mark.parametrize(
    'wrap',
    [
        lambda s: s,
        lambda s: dict(state_dict=s, epoch=3),
        lambda s: dict(params=s),
        lambda s: dict(model=dict(state_dict=s)),
        lambda s: dict(params_ema=s, params={'encoder.weight': torch.zeros(1)}),
        lambda s: {f'module.{k}': v for k, v in s.items()},
        lambda s: dict(network={f'_orig_mod.module.{k}': v for k, v in s.items()}),
    ],
)
def test_tensors_are_found_where_other_programs_keep_them(tmp_path, wrap):
    net = Net()
    torch.save(wrap(dict(net.state_dict())), tmp_path / 'a.pth')
    state, _ = ck.read_weights(tmp_path / 'a.pth')
    assert state.keys() == net.state_dict().keys()
    assert all(torch.equal(state[key], value) for key, value in net.state_dict().items())


def _header(text: bytes, body: bytes = b'') -> bytes:
    return len(text).to_bytes(8, 'little') + text + body


DAMAGED = {
    'empty': b'',
    'cut in its length': b'\x10\x00',
    'cut in its header': (200).to_bytes(8, 'little') + b'{"a":',
    'a header larger than the file': (1 << 40).to_bytes(8, 'little') + b'{}',
    'no JSON': _header(b'{"a" 1}'),
    'a huge shape': _header(b'{"a":{"dtype":"F32","shape":[4000000000,4000000000],"data_offsets":[0,4]}}', b'0000'),
    'values cut off': _header(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}', b'0000'),
    'overlapping tensors': _header(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}',
        b'000000',
    ),
    'an unknown type': _header(b'{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}', b'0000'),
}


@pytest.mark.parametrize('name', DAMAGED)
def test_damaged_safetensors_are_one_error(tmp_path, name):
    (tmp_path / 'a.safetensors').write_bytes(DAMAGED[name])
    with pytest.raises(ValueError, match=r'a\.safetensors is no whole safetensors file'):
        ck.read_weights(tmp_path / 'a.safetensors')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (lambda: dict(state_dict={'a': [1, 2]}), "'a' is no tensor but list"),
        (lambda: {0: torch.ones(1)}, 'its keys are no names, the first is 0'),
        (lambda: dict(state_dict={'a': torch.eye(2).to_sparse()}), r"'a' is no dense tensor \(torch.sparse_coo\)"),
        (lambda: dict(state_dict={'a': torch.empty(2, device='meta')}), r"'a' is no dense tensor \(without values\)"),
        (lambda: {'a': torch.ones(1), 'module.a': torch.ones(1)}, "two tensors called 'a'"),
        (lambda: dict(state_dict={}), 'holds no state_dict'),
        (lambda: [torch.ones(1)], 'holds no state_dict'),
        (lambda: torch.ones(1), 'holds no state_dict'),
    ],
)
def test_checkpoints_that_hold_something_else_are_one_error(tmp_path, content, message):
    torch.save(content(), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=message):
        ck.read_weights(tmp_path / 'a.pth')


def test_safetensors_of_other_programs_keep_their_metadata_as_text(tmp_path):
    save_file(dict(w=torch.ones(2)), tmp_path / 'a.safetensors', dict(format='pt', n='3'))
    assert ck.read_weights(tmp_path / 'a.safetensors')[1] == dict(format='pt', n=3)
    # by content, whatever the name
    (tmp_path / 'a.safetensors').rename(tmp_path / 'a.bin')
    assert torch.equal(ck.read_weights(tmp_path / 'a.bin')[0]['w'], torch.ones(2))


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_weights_that_are_not_finite_are_refused(value):
    state = Net().state_dict()
    state['decoder.bias'] = torch.tensor([value])
    with pytest.raises(ValueError, match=r"1 tensors with values that are not finite, the first is 'decoder\.bias'"):
        ck.load_into(Net(), state)
    ck.load_into(Net(), state, ('encoder',))


class Texts(nn.Module):
    """As much of a model as tells tasks apart."""

    modalities: tuple[str, ...] = ('vi', 'ir')

    def __init__(self, tasks: tuple[str, ...]) -> None:
        super().__init__()
        self.prompts = SimpleNamespace(keys=tasks)
        projector = nn.ModuleDict(dict(linear=nn.Linear(3, 3), head=nn.Linear(3, len(tasks))))
        self.text_encoder = nn.ModuleDict(dict(projector=projector))


def _saved(model: nn.Module, path) -> None:
    ck.save_weights(model.state_dict(), path, ck.record_of(model))


@pytest.mark.parametrize('half', [False, True])
@pytest.mark.parametrize('tasks', [('hz', 'll', 'pd'), ('ll', 'hz'), ('ll', 'hz', 'pd', 'rain')])
def test_another_order_of_tasks_is_refused_and_a_training_keeps_what_it_can(tmp_path, tasks, half):
    old, new = Texts(('ll', 'hz', 'pd')), Texts(tasks)
    old = old.half() if half else old
    _saved(old, tmp_path / 'a.safetensors')
    with pytest.raises(ValueError, match=r"with the tasks \['ll', 'hz', 'pd'\].*model.prompts.tasks"):
        ck.load_weights(new, tmp_path / 'a.safetensors')
    before = new.text_encoder['projector']['head'].weight.clone()
    ck.take_over(new, tmp_path / 'a.safetensors')
    parts = [net.text_encoder['projector'] for net in (old, new)]
    assert torch.equal(parts[0]['linear'].weight.float(), parts[1]['linear'].weight)
    rows = dict(zip(old.prompts.keys, parts[0]['head'].weight, strict=True))
    expected = [rows.get(task, row).float() for task, row in zip(tasks, before, strict=True)]
    assert torch.equal(parts[1]['head'].weight, torch.stack(list(expected)))


def test_a_head_of_unknown_tasks_starts_anew(tmp_path):
    old, new = Texts(('ll', 'pd')), Texts(('ll', 'pd', 'hz'))
    ck.save_weights(old.state_dict(), tmp_path / 'a.safetensors', dict(modalities=['vi', 'ir']))
    before = new.text_encoder['projector']['head'].weight.clone()
    ck.take_over(new, tmp_path / 'a.safetensors')
    assert torch.equal(new.text_encoder['projector']['head'].weight, before)


def test_the_same_tasks_are_taken_over_with_their_head(tmp_path):
    old, new = Texts(('ll', 'pd')), Texts(('ll', 'pd'))
    _saved(old, tmp_path / 'a.safetensors')
    ck.take_over(new, tmp_path / 'a.safetensors')
    assert torch.equal(old.text_encoder['projector']['head'].weight, new.text_encoder['projector']['head'].weight)


def test_another_order_of_modalities_is_refused_everywhere(tmp_path):
    old, new = Texts(('ll', 'pd')), Texts(('ll', 'pd'))
    new.modalities = ('ir', 'vi')
    _saved(old, tmp_path / 'a.safetensors')
    for load in (ck.load_weights, ck.take_over):
        with pytest.raises(ValueError, match=r"with the modalities \['vi', 'ir'\].*model.modalities"):
            load(new, tmp_path / 'a.safetensors')


def test_weights_without_a_common_part_start_nothing(tmp_path):
    ck.save_weights(Net().state_dict(), tmp_path / 'a.safetensors', {})
    with pytest.raises(ValueError, match='no part in common'):
        ck.take_over(Texts(('ll', 'pd')), tmp_path / 'a.safetensors')


@pytest.mark.parametrize(
    'model',
    [
        dict(type='os.system', command='true'),
        dict(type='LURE', image_encoder=dict(type='subprocess.run')),
        dict(type='LURE', parts=[dict(type='mmengine::Anything')]),
        dict(type='LURE', image_encoder=dict(type='LUREEncoder', interaction='os.system')),
    ],
)
def test_a_file_does_not_choose_which_code_runs(model):
    with pytest.raises(ValueError, match='no registered name'):
        ck.described_model('a.safetensors', dict(model=model))


@pytest.mark.parametrize(
    'more',
    [
        dict(losses=dict(per=dict(type='PerceptualLoss', weight='auto:grad'))),
        dict(frozen=('image_encoder.tone',)),
        dict(prompts=dict(tasks=('ll', 'pd'), modality_words=dict(mr=['T1.5'], ct=['low.dose']))),
    ],
)
def test_what_nothing_is_built_from_may_have_dots(more):
    found = ck.described_model('a.safetensors', dict(model=dict(type='LURE', **more)))
    assert found == dict(type='LURE', **{key: value for key, value in more.items() if key == 'prompts'})


def test_weights_without_a_description_ask_for_a_config():
    for meta in ({}, dict(model='LURE'), dict(model={})):
        with pytest.raises(ValueError, match='give the config too'):
            ck.described_model('a.safetensors', meta)


def test_an_onnx_file_is_a_model(tmp_path):
    file = tmp_path / 'net.onnx'
    file.write_bytes(b'\x08\x0a graph')
    with pytest.raises(ValueError, match=r'net.onnx is a whole model, not its weights: name it as the model'):
        ck.read_weights(file)
