"""Checkpoints that are damaged, and files that strangers made: what is whole is found, and nothing in them runs."""

import json
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from lurefusion import weights as ck


class Trap:
    """Whoever unpickles it leaves a file behind."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)


def checkpoint(path: Path, value: float = 1.0) -> Path:
    torch.save(dict(state_dict={'a.w': torch.full((64,), value)}, meta=dict(iter=1)), path)
    return path


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    if how == 'a bit of a tensor':
        at = data.index(struct.pack('<f', 3.0) * 8)
        data = data[: at + 5] + bytes([data[at + 5] ^ 1]) + data[at + 6 :]
    else:
        data = {
            'empty': b'',
            'truncated': data[: len(data) // 2],
            'zeroed': bytes(len(data)),
            'random': rng.bytes(len(data)),
            'random tail': data[:100] + rng.bytes(len(data) - 100),
        }[how]
    path.write_bytes(data)


HOWS = ['empty', 'truncated', 'zeroed', 'random', 'random tail', 'a bit of a tensor']


@pytest.mark.parametrize('how', HOWS)
def test_of_a_damaged_checkpoint_the_one_before_is_taken_and_said(tmp_path, how, monkeypatch):
    told = []
    monkeypatch.setattr(ck, 'print_log', lambda text, **_: told.append(text))
    for number in (1, 2, 3):
        checkpoint(tmp_path / f'iter_{number}.pth', float(number))
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_3.pth'))
    damage(tmp_path / 'iter_3.pth', how)
    with pytest.raises(ValueError, match=r'iter_3\.pth.*damaged'):
        ck.read_weights(tmp_path / 'iter_3.pth')
    assert ck.find_weights(tmp_path) == tmp_path / 'iter_2.pth'
    [said] = told
    assert 'iter_3.pth is not a checkpoint' in said
    assert f'The one before it is taken: {tmp_path / "iter_2.pth"}' in said
    for number in (1, 2):
        damage(tmp_path / f'iter_{number}.pth', 'truncated')
    with pytest.raises(ValueError, match=r'no checkpoint in .* can be read(.|\n)*iter_3(.|\n)*iter_2(.|\n)*iter_1'):
        ck.whole_checkpoint(tmp_path)


@pytest.mark.parametrize('record', [b'', b'\0' * 20, b'\xff\xfe/\xff', b'x' * 5000, b'../../etc/passwd'])
def test_a_damaged_record_of_the_last_checkpoint_is_passed_over(tmp_path, record):
    checkpoint(tmp_path / 'iter_2.pth')
    (tmp_path / 'last_checkpoint').write_bytes(record)
    assert ck.latest_checkpoint(tmp_path) == ck.whole_checkpoint(tmp_path) == tmp_path / 'iter_2.pth'


def test_a_packed_archive_is_not_unpacked(tmp_path):
    source, bomb = checkpoint(tmp_path / 'a.pth'), tmp_path / 'b.pth'
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(bomb, 'w', zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) + (bytes(1 << 20) if name.endswith('data/0') else b''))
    with pytest.raises(ValueError, match='its parts are compressed'):
        ck.read_weights(bomb)


@pytest.mark.parametrize('layer', ['whole', 'state_dict', 'meta', 'beside', 'zip with a pickle'])
def test_a_trap_in_a_checkpoint_does_not_spring(tmp_path, layer):
    canary, path = tmp_path / 'canary', tmp_path / 'iter_1.pth'
    trap = Trap(canary)
    state = {'a.w': torch.ones(2)}
    content = {
        'whole': trap,
        'state_dict': dict(state_dict=dict(state, b=trap)),
        'meta': dict(state_dict=state, meta=dict(lurefusion=trap)),
        'beside': dict(state_dict=state, optimizer=[trap]),
    }.get(layer)
    if layer == 'zip with a pickle':
        with zipfile.ZipFile(path, 'w') as archive:
            archive.writestr('archive/data.pkl', pickle.dumps(trap))
            archive.writestr('archive/version', '3')
    else:
        torch.save(content, path)
    for read in (
        ck.read_weights,
        lambda path: ck.find_weights(path.parent),
        lambda path: ck.whole_checkpoint(path.parent),
    ):
        with pytest.raises(ValueError, match='not opened'):
            read(path)
    path.write_bytes(pickle.dumps(trap))
    with pytest.raises(ValueError, match='not opened'):
        ck.read_weights(path)
    assert not canary.exists()
    # it is one
    pickle.loads(pickle.dumps(trap))
    assert canary.exists()


def lying(header: object, body: bytes = bytes(16), length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack('<Q', len(text) if length is None else length) + text + body


def entry(dtype: str = 'F32', shape: tuple = (4,), offsets: tuple = (0, 16)) -> dict:
    return dict(dtype=dtype, shape=list(shape), data_offsets=list(offsets))


TWICE = b'{"a.w": %s, "a.w": %s}' % ((json.dumps(entry()).encode(),) * 2)
LIES = {
    'offsets beyond the end': lying({'a.w': entry(offsets=(0, 1 << 40))}),
    'an enormous shape': lying({'a.w': entry(shape=(1 << 40, 1 << 40))}),
    'a shape that overflows': lying({'a.w': entry(shape=(1 << 62, 4))}),
    'a header longer than the file': lying({'a.w': entry()}, length=1 << 62),
    'a header of zero bytes': lying(b'', length=0),
    'overlapping tensors': lying({'a.w': entry(), 'b.w': entry()}),
    'a hole between tensors': lying(
        {'a.w': entry(shape=(1,), offsets=(0, 4)), 'b.w': entry(shape=(1,), offsets=(12, 16))}
    ),
    'offsets backwards': lying({'a.w': entry(offsets=(16, 0))}),
    'a dtype of another size': lying({'a.w': entry(dtype='F64')}),
    'an unknown dtype': lying({'a.w': entry(dtype='X9')}),
    'negative offsets': lying({'a.w': entry(offsets=(-16, 0))}),
    'one name twice': lying(TWICE),
    'no JSON': lying(b'{"a.w": '),
    'deep JSON': lying(b'{"a":' * 100000),
    'a list': lying([1, 2]),
    'bytes behind the tensors': lying({'a.w': entry()}, bytes(99)),
    'metadata that is no text': lying({'__metadata__': {'model': {'type': 'LURE'}}, 'a.w': entry()}),
}


@pytest.mark.parametrize('lie', LIES)
def test_a_safetensors_header_that_lies_is_one_clear_error(tmp_path, lie):
    path = tmp_path / 'a.safetensors'
    path.write_bytes(LIES[lie])
    if lie == 'one name twice':
        # one of them is taken
        state, _ = ck.read_weights(path)
        assert {name: tuple(value.shape) for name, value in state.items()} == {'a.w': (4,)}
        return
    with pytest.raises(ValueError, match=r'a\.safetensors is no whole safetensors file'):
        ck.read_weights(path)


def test_metadata_of_a_stranger_chooses_no_code(tmp_path):
    for model in (dict(type='os.system'), dict(type='LURE', image_encoder=dict(type='subprocess.Popen')), [], 'LURE'):
        with pytest.raises(ValueError, match=r'names|does not say'):
            ck.described_model(tmp_path / 'a', dict(model=model))
