"""Files that strangers made, in every place where one is read: nothing in them runs, and the error names the file."""

import ast
import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]


class Trap:
    """Whoever unpickles it leaves a file behind."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)


def calls_of(tree: ast.AST) -> list[tuple[str, set[str], ast.Call]]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            given = {f'{word.arg}={word.value.value}' for word in node.keywords if isinstance(word.value, ast.Constant)}
            found.append((ast.unparse(node.func), given, node))
    return found


def test_nothing_opens_a_pickle():
    """Every call in the sources that could: torch.load and np.load say that they do not; others there are none."""
    seen = 0
    for folder in ('lurefusion', 'tools', 'projects', 'demo', 'benchmarks'):
        for path in (ROOT / folder).rglob('*.py'):
            if '.mim' in path.parts:
                continue
            for name, given, node in calls_of(ast.parse(path.read_text())):
                where = f'{path.relative_to(ROOT)}:{node.lineno} {name}'
                if name == 'torch.load' or name.endswith('load_state_dict_from_url'):
                    assert 'weights_only=True' in given, where
                    seen += 1
                elif name in ('np.load', 'numpy.load'):
                    assert 'allow_pickle=False' in given, where
                    seen += 1
                else:
                    last = name.split('.')[-1]
                    assert not name.startswith(('pickle.', 'joblib.', 'dill.', 'shelve.', 'marshal.')), where
                    assert name not in ('eval', 'exec', 'yaml.load', 'yaml.unsafe_load', 'pd.read_pickle'), where
                    assert last not in ('extractall', 'unpack_archive'), where
                    assert 'trust_remote_code=True' not in given, where
                    assert 'allow_pickle=True' not in given, where
                    assert 'shell=True' not in given, where
    assert seen >= 4


def objects(canary: Path) -> bytes:
    """An .npz of which every array is an object that unpickles to a trap."""
    buffer = io.BytesIO()
    trap = np.array([Trap(canary)], object)
    names = ('mu', 'cov', 'features', 'task', 'scene', 'modality', 'iteration', 'sentences', 'vectors', 'names', 'rows')
    np.savez(buffer, **dict.fromkeys(names, trap))
    return buffer.getvalue()


def bomb() -> bytes:
    """64 GB of zeros, as the archive says; a few bytes, as it is."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name in ('mu', 'cov', 'features', 'names'):
            head = io.BytesIO()
            np.lib.format.write_array_header_1_0(head, dict(descr='<f8', fortran_order=False, shape=(1 << 31,)))
            archive.writestr(f'{name}.npy', head.getvalue() + bytes(1 << 10))
        for entry in archive.filelist:
            entry.file_size = 1 << 34
    return buffer.getvalue()


def readers() -> dict[str, tuple[str, object]]:
    """Name -> suffix, and what reads such a file."""
    from lurefusion import FusionInferencer
    from lurefusion.compat import _load_local
    from lurefusion.evaluation.latents import Latents
    from lurefusion.evaluation.niqe import load_parameters
    from lurefusion.io.arrays import read_arrays
    from lurefusion.io.images import read_image
    from lurefusion.io.labels import read_label
    from lurefusion.models.losses.vgg import VGG16Features
    from lurefusion.prompts.auto import StatisticsPrompter
    from lurefusion.runtime.alignment import Alignment
    from lurefusion.studies.auto_prompt import Table
    from lurefusion.studies.carry import pack
    from lurefusion.weights import find_weights, read_weights

    return {
        'weights .pth': ('.pth', read_weights),
        'weights .safetensors': ('.safetensors', read_weights),
        'weights of an inferencer': ('.pth', lambda path: FusionInferencer('lure-tiny', str(path), 'cpu')),
        'model of an inferencer': ('.safetensors', lambda path: FusionInferencer(str(path), device='cpu')),
        'ONNX': ('.onnx', lambda path: FusionInferencer(str(path))),
        'load_from': ('.pth', _load_local),
        'VGG16': ('.pth', VGG16Features),
        'VGG16 .safetensors': ('.safetensors', VGG16Features),
        'automatic prompt': ('.safetensors', StatisticsPrompter),
        'NIQE .npz': ('.npz', load_parameters),
        'NIQE .mat': ('.mat', load_parameters),
        'latents': ('.npz', Latents.load),
        'table of the automatic prompt': ('.npz', Table.load),
        'arrays': ('.npz', read_arrays),
        'transform': ('.json', Alignment.load),
        'picture': ('.png', read_image),
        'picture .npy': ('.npy', read_image),
        'picture .nii': ('.nii', read_image),
        'picture .dcm': ('.dcm', read_image),
        'label': ('.png', read_label),
        'carried training': ('.pth', lambda path: pack(_as_run(path), path.with_suffix('.safetensors'))),
        'folder of a run': ('.pth', lambda path: find_weights(_as_run(path))),
    }


def _as_run(path: Path) -> Path:
    run = path.parent / 'run'
    run.mkdir(exist_ok=True)
    (run / 'iter_1.pth').write_bytes(path.read_bytes())
    return run


def trapped(path: Path, trap: Trap) -> bytes:
    buffer = io.BytesIO()
    torch.save(trap, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize('name', [
    'weights .pth', 'weights .safetensors', 'weights of an inferencer', 'model of an inferencer', 'ONNX', 'load_from',
    'VGG16', 'VGG16 .safetensors', 'automatic prompt', 'NIQE .npz', 'NIQE .mat', 'latents',
    'table of the automatic prompt', 'arrays', 'transform', 'picture', 'picture .npy', 'picture .nii', 'picture .dcm',
    'label', 'carried training', 'folder of a run',
])  # fmt: skip
def test_a_trap_does_not_spring(tmp_path, name):
    suffix, read = readers()[name]
    canary, path = tmp_path / 'canary', tmp_path / f'a stranger{suffix}'
    trap = Trap(canary)
    header = b'\x93NUMPY\x01\x00v\x00' + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b'\n'
    contents = {
        'a pickle': pickle.dumps(trap),
        'a pickle of protocol 0': pickle.dumps(trap, 0),
        'a checkpoint': trapped(path, trap),
        'arrays of objects': objects(canary),
        'an array of objects': header + pickle.dumps(np.array([trap], object)),
        'a bomb': bomb(),
        'nothing': b'',
        'noise': np.random.default_rng(0).bytes(3000),
        'deep JSON': b'[' * 100_000,
    }
    for kind, content in contents.items():
        path.write_bytes(content)
        with pytest.raises((ValueError, OSError)) as caught:
            read(path)
        assert 'stranger' in str(caught.value) or 'iter_1.pth' in str(caught.value), (kind, caught.value)
        assert not canary.exists(), kind


def test_the_trap_works(tmp_path):
    pickle.loads(pickle.dumps(Trap(tmp_path / 'canary')))
    assert (tmp_path / 'canary').exists()


@pytest.mark.parametrize('content', ['objects', 'no list', 'other shape', 'noise'])
def test_a_cache_of_text_vectors_that_is_none_is_left_out(tmp_path, content, monkeypatch):
    from lurefusion.models import text_encoders
    from lurefusion.models.text_encoders import HashBag

    said = []
    monkeypatch.setattr(text_encoders, 'print_log', lambda text, *_: said.append(text))

    def encoder() -> HashBag:
        return HashBag(dim=8, cache_dir=tmp_path / 'cache')

    wanted = encoder().embed(['a sentence'])
    [cache] = (tmp_path / 'cache').glob('*/*.npz')
    buffer = io.BytesIO()
    sentences = {'no list': {'a sentence': 1}}.get(content, ['a sentence'])
    vectors = np.zeros((1, 9 if content == 'other shape' else 8), np.float32)
    np.savez(buffer, sentences=np.frombuffer(json.dumps(sentences).encode(), np.uint8), vectors=vectors)
    made = {'objects': objects(tmp_path / 'canary'), 'noise': b'noise'}.get(content, buffer.getvalue())
    cache.write_bytes(made)
    assert torch.equal(encoder().embed(['a sentence']), wanted)
    assert ['is left out' in text for text in said] == [True]
    assert not (tmp_path / 'canary').exists()


def test_what_mmengine_loads_is_no_pickle_with_any_pytorch(tmp_path, monkeypatch):
    """Also where PyTorch's own default is to open them, as before 2.6."""
    from mmengine.runner import CheckpointLoader
    from mmengine.runner.checkpoint import load_checkpoint

    from lurefusion.compat import open_no_pickles

    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    open_no_pickles()
    path = tmp_path / 'a.pth'
    torch.save(Trap(tmp_path / 'canary'), path)
    with pytest.raises(ValueError, match='which is not opened'):
        load_checkpoint(torch.nn.Linear(1, 1), str(path))
    with pytest.raises(ValueError, match='which is not opened'):
        CheckpointLoader.load_checkpoint(f'file{path}'.removeprefix('file'))

    def fetched(url, model_dir=None, map_location=None, progress=False, weights_only=False):
        return torch.load(path, weights_only=weights_only)

    monkeypatch.setattr(torch.hub, 'load_state_dict_from_url', fetched)
    with pytest.raises(ValueError, match='which is not opened'):
        CheckpointLoader.load_checkpoint('https://example.org/a.pth')
    assert not (tmp_path / 'canary').exists()
    torch.save(dict(state_dict=torch.nn.Linear(1, 1).state_dict()), path)
    assert 'state_dict' in CheckpointLoader.load_checkpoint(str(path))
