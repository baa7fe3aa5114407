"""ONNX Runtime behind the same door: the pictures of PyTorch, whatever the size, the batch and the prompt."""

from __future__ import annotations

import copy
import logging
import pickle
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lurefusion import FusionInferencer
from lurefusion.apis import runners
from lurefusion.cli import main
from lurefusion.io.images import read_image, write_image
from lurefusion.prompts import PromptBank
from lurefusion.structures import Failure

onnx = pytest.importorskip('onnx', reason='needs onnx: pip install lurefusion[export]')
pytest.importorskip('onnxruntime', reason='needs onnxruntime: pip install lurefusion[export]')

from lurefusion.runtime.onnx_runner import OnnxRunner  # noqa: E402


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ('size', 'prompt'),
    [
        ((8, 8), None),
        ((33, 50), 'the visible picture is dark, the infrared one has low contrast'),
        ((30, 90), dict(vi='hz')),
        ((70, 140), dict(vi='oe', ir='lc')),
    ],
    ids=['least', 'sentence, padded', 'coarse pass', 'tiles'],
)
def test_the_pictures_of_pytorch(small_export: Any, size: tuple[int, int], prompt: Any) -> None:
    model, done = small_export
    pair = dict(vi=picture(*size), ir=picture(*size, seed=1)[..., 0])
    ours, theirs = (FusionInferencer(one).predict(prompt, **pair) for one in (str(done.path), model))
    np.testing.assert_allclose(ours.picture, theirs.picture, atol=1e-4)
    assert (ours.grey, ours.tasks) == (theirs.grey, theirs.tasks)


def test_batches_grey_and_chroma(small_export: Any) -> None:
    model, done = small_export
    vi = [picture(24, 32, seed) for seed in range(3)]
    vi[1] = vi[1][..., 0]
    ir = [picture(24, 32, seed + 9)[..., 0] for seed in range(3)]
    both = [
        FusionInferencer(one, chroma='visible').predict(batch_size=3, vi=vi, ir=ir) for one in (str(done.path), model)
    ]
    assert [one.grey for one in both[0]] == [False, True, False]
    for ours, theirs in zip(*both, strict=True):
        np.testing.assert_allclose(ours.picture, theirs.picture, atol=1e-4)


@pytest.mark.parametrize(
    ('options', 'prompt'),
    [
        (dict(chroma='visible'), dict(vi='ll')),
        (dict(chroma='visible'), 'auto'),
        (dict(register='translation'), 'the visible picture is dark'),
    ],
)
def test_what_needs_restoring_is_refused_once_before_the_work(
    small_export: Any, options: dict[str, str], prompt: Any, tmp_path: Path
) -> None:
    fuser = FusionInferencer(str(small_export[1].path), **options)
    write_image(tmp_path / 'vi/1.png', picture(80, 80))
    write_image(tmp_path / 'ir/1.png', picture(80, 80))
    with pytest.raises(ValueError, match=r'shows vi restored by its prompt, .* only fuses: leave .*--runner torch'):
        fuser.fuse_folders(dict(vi=tmp_path / 'vi', ir=tmp_path / 'ir'), tmp_path / 'out', prompt)
    assert not (tmp_path / 'out').exists()
    # the infrared picture is never shown alone
    assert fuser.route(dict(ir='lc'))['ir'].task == 'lc'


def test_free_sentences_are_read_by_their_words_alone(small_export: Any) -> None:
    _, done = small_export
    inferencer = FusionInferencer(str(done.path))
    routes = inferencer.route('please brighten the visible image, it was taken at night')
    assert routes['vi'].task == 'll'
    assert inferencer.router.classify is None
    with pytest.raises(ValueError, match='no text encoder; it knows these sentences'):
        inferencer.runner.encode_text(['hello'])
    with pytest.raises(ValueError, match='no text encoder'):
        FusionInferencer(str(done.path), use_user_text=True)


def test_it_only_fuses_and_says_so(small_export: Any) -> None:
    _, done = small_export
    with pytest.raises(TypeError, match=r'small \(small\.onnx\) only fuses'):
        FusionInferencer(str(done.path)).restore(picture(16, 16), 'vi')
    with pytest.raises(AttributeError, match='runs without PyTorch'):
        _ = FusionInferencer(str(done.path)).model


def test_it_can_be_sent_to_another_process(small_export: Any) -> None:
    _, done = small_export
    inferencer = FusionInferencer(str(done.path))
    sent = pickle.loads(pickle.dumps(inferencer))
    pair = dict(vi=picture(24, 32), ir=picture(24, 32, seed=1)[..., 0])
    np.testing.assert_array_equal(sent.predict('hz', **pair).picture, inferencer.predict('hz', **pair).picture)


def test_the_fingerprint_is_that_of_the_content(small_export: Any, tmp_path: Path) -> None:
    _, done = small_export
    shutil.copy(done.path, tmp_path / 'other.onnx')
    assert OnnxRunner(done.path).fingerprint() == OnnxRunner(tmp_path / 'other.onnx').fingerprint()
    assert OnnxRunner(done.path).fingerprint() != OnnxRunner(done.path, chroma_from='visible').fingerprint()
    tiled = OnnxRunner(done.path)
    tiled.use_tiles(128)
    assert OnnxRunner(done.path).fingerprint() != tiled.fingerprint()
    proto = onnx.load(str(done.path))
    proto.doc_string = 'changed'
    onnx.save(proto, str(tmp_path / 'other.onnx'))
    assert OnnxRunner(done.path).fingerprint() != OnnxRunner(tmp_path / 'other.onnx').fingerprint()


def test_wrong_files_and_options_are_refused(small_export: Any, tmp_path: Path) -> None:
    model, done = small_export
    with pytest.raises(FileNotFoundError, match='no such ONNX file'):
        FusionInferencer(str(tmp_path / 'none.onnx'))
    (tmp_path / 'broken.onnx').write_bytes(b'no graph')
    with pytest.raises(ValueError, match='is no ONNX file that can be run'):
        OnnxRunner(tmp_path / 'broken.onnx')
    proto = onnx.load(str(done.path))
    del proto.metadata_props[:]
    onnx.save(proto, str(tmp_path / 'foreign.onnx'))
    with pytest.raises(ValueError, match='not written by lurefusion export'):
        OnnxRunner(tmp_path / 'foreign.onnx')
    with pytest.raises(ValueError, match='on the CPU'):
        OnnxRunner(done.path, 'cuda')
    with pytest.raises(ValueError, match='leave weights and runner out'):
        FusionInferencer(str(done.path), runner='torch')
    with pytest.raises(ValueError, match='runner must be one of torch, onnx'):
        FusionInferencer(model, runner='tensorrt')


def test_a_network_is_exported_once_into_the_cache(
    small_export: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = small_export
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    said: list[str] = []
    monkeypatch.setattr(runners, 'print_log', lambda text, **_: said.append(text))
    threads = torch.get_num_threads()
    first, second = (FusionInferencer(model, runner='onnx') for _ in range(2))
    [file] = tmp_path.rglob('*.onnx')
    assert said == [f'exporting LURE once, to {file}']
    assert first.runner.fingerprint() == second.runner.fingerprint()
    assert first.runner.session.get_session_options().intra_op_num_threads == threads
    # other words for the tasks are another file, though the network is the same
    other = copy.deepcopy(model)
    bank = model.prompts
    first_task = bank.task(bank.keys[0])
    changed = asdict(replace(first_task, patterns=(*first_task.patterns, 'smurfy')))
    other.prompts = PromptBank([changed, *bank.keys[1:]], modalities=model.modalities)
    FusionInferencer(other, runner='onnx')
    assert len(list(tmp_path.rglob('*.onnx'))) == 2
    # a file that is damaged is made anew
    file.write_bytes(file.read_bytes()[:5000])
    said.clear()
    again = FusionInferencer(model, runner='onnx')
    assert again.runner.fingerprint() == first.runner.fingerprint()
    assert [text.endswith(': made anew') for text in said] == [True, False]


def test_the_command_runs_the_file(small_export: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, done = small_export
    for number, name in enumerate(('vi', 'ir')):
        write_image(tmp_path / f'{name}.png', picture(24, 40, number)[..., : 3 - number * 2].squeeze())
    files = [f'--{name}={tmp_path / name}.png' for name in ('vi', 'ir')]
    out = tmp_path / 'out.png'
    assert main(['fuse', *files, '--out', str(out), '--model', str(done.path), '--prompt', 'vi=ll']) == 0
    expected = FusionInferencer(model)(vi=str(tmp_path / 'vi.png'), ir=str(tmp_path / 'ir.png'), prompt=dict(vi='ll'))
    assert np.abs(read_image(out)[0].astype(int) - expected).max() <= 1


@pytest.mark.slow
def test_lure_tiny_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rendered scenes; the export of the shipped network is the check of all its layers."""
    from lurefusion.datasets.scenes import render_scene

    logging.getLogger('mmengine').setLevel(logging.WARNING)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    ours, theirs = FusionInferencer('lure-tiny', runner='onnx'), FusionInferencer('lure-tiny', device='cpu')
    scene = render_scene(0, (112, 144))
    for prompt in (None, dict(vi='hz', ir='sr')):
        one, other = (inferencer.predict(prompt, vi=scene.visible, ir=scene.infrared) for inferencer in (ours, theirs))
        np.testing.assert_allclose(one.picture, other.picture, atol=1e-4)


@pytest.mark.parametrize(
    ('words', 'error', 'message'),
    [
        ('Failed to allocate memory for requested buffer', MemoryError, 'does not fit into memory'),
        ('Non-zero status code returned', ValueError, r'run by ONNX Runtime: Non-zero status code'),
    ],
)
def test_what_onnx_runtime_complains_of_is_the_pair_s_error(
    small_export: Any, monkeypatch: pytest.MonkeyPatch, words: str, error: type[Exception], message: str
) -> None:
    class Complaint(Exception):
        pass

    def run(*_: Any) -> None:
        raise Complaint(words)

    inferencer = FusionInferencer(str(small_export[1].path))
    monkeypatch.setattr(inferencer.runner, 'session', SimpleNamespace(run=run, get_inputs=lambda: []))
    [result] = inferencer.stream(vi=[picture(16, 16)], ir=[picture(16, 16, 1)])
    assert isinstance(result, Failure)
    with pytest.raises(error, match=message):
        raise result.error
