"""`lurefusion export`: the graph gives PyTorch's pictures, says all that is needed to run it, and is refused else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from lurefusion.cli import main
from lurefusion.io.images import read_image, write_image
from lurefusion.models import strips
from lurefusion.models.export_forms import export_form
from lurefusion.weights import weights_digest

onnx = pytest.importorskip('onnx', reason='needs onnx: pip install lurefusion[export]')
onnxruntime = pytest.importorskip('onnxruntime', reason='needs onnxruntime: pip install lurefusion[export]')

from lurefusion.export import export_onnx  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
SIZES = ((2, 4, 4), (1, 20, 36), (1, 64, 48))


def pair(batch: int, height: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    vi, ir = (torch.rand(batch, 3, height, width, generator=random) for _ in range(2))
    return vi, ir[:, :1].expand(-1, 3, -1, -1).contiguous()


def vectors(model: Any, *tasks: str) -> Tensor:
    return model.encode_text([model.prompts.canonical(task) for task in tasks]).detach()


@torch.no_grad()
def test_export_forms_give_the_same_and_leave_the_network_alone(small_export: Any) -> None:
    model, _ = small_export
    before = {key: value.clone() for key, value in model.state_dict().items()}
    kinds = [type(part) for part in model.modules()]
    copied = export_form(model)
    for said in (('pd', 'pd'), ('sr', 'll')):
        images, text = pair(2, 32, 48), vectors(model, *said)
        with strips.whole():  # as where it is traced
            found = copied.core(images, text)
        torch.testing.assert_close(found, model.core(images, text), atol=1e-5, rtol=1e-5)
    assert [type(part) for part in model.modules()] == kinds
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@torch.no_grad()
def test_one_graph_serves_all_sizes_batches_and_texts(small_export: Any) -> None:
    """Down to sides at which the pyramid has no level left, with and without the branch for detail."""
    model, done = small_export
    session = onnxruntime.InferenceSession(str(done.path), providers=['CPUExecutionProvider'])
    gates = model.image_encoder.detail.gate(vectors(model, *model.prompts.keys)).clamp(0, 1)[:, 0]
    with_detail = model.prompts.keys[int(gates.argmax())]
    assert sorted(gates > 0) == [False] * (len(gates) - 1) + [True]
    for size in SIZES:
        for said in (('pd', 'pd'), (with_detail, 'pd')):
            images, text = pair(*size), vectors(model, *said)
            [found] = session.run(None, dict(vi=images[0].numpy(), ir=images[1].numpy(), text=text.numpy()))
            np.testing.assert_allclose(found, model.core(images, text).numpy(), atol=1e-4)


def test_pointwise_convolutions_are_convolutions(small_export: Any) -> None:
    _, done = small_export
    assert done.nodes['Transpose'] < done.nodes['Conv'] / 4
    assert done.difference <= 1e-4
    assert done.size == done.path.stat().st_size


def test_the_file_says_how_it_is_run(small_export: Any) -> None:
    model, done = small_export
    proto = onnx.load(str(done.path))
    onnx.checker.check_model(proto, full_check=True)
    [text] = [entry.value for entry in proto.metadata_props if entry.key == 'lurefusion']
    meta = json.loads(text)
    assert meta['digest'] == weights_digest(model.state_dict())
    assert (meta['model'], meta['modalities'], meta['chroma'], meta['size_divisor']) == ('small', ['vi', 'ir'], 'vi', 4)
    tiles = dict(max_pixels=4096, tile=64, overlap=16, levelled=True)
    assert meta['running'] == dict(tiles, coarse=dict(tasks=['hz'], size=16))
    assert meta['tasks'] == list(model.prompts.keys)
    for key in model.prompts.keys:
        assert meta['sentences'][key] == model.prompts.canonical(key)
        np.testing.assert_allclose(meta['vectors'][key], vectors(model, key)[0].numpy(), rtol=1e-6)


def test_half_precision_stores_half_and_stays_close(small_export: Any, tmp_path: Path) -> None:
    model, done = small_export
    half = export_onnx(model, tmp_path / 'half.onnx', 'small', 'fp16')
    assert half.size < done.size
    assert 1e-7 < half.difference < 5e-3
    kinds = {tensor.data_type for tensor in onnx.load(str(half.path)).graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds


def test_a_network_that_looks_at_values_is_refused(small_export: Any, tmp_path: Path) -> None:
    model, _ = small_export

    class Looks(type(model)):
        def core(self, images: tuple[Tensor, ...], text: Tensor | None = None) -> Tensor:
            return images[0] * float(images[0].flatten()[0])

    class Fixed(type(model)):
        def core(self, images: tuple[Tensor, ...], text: Tensor | None = None) -> Tensor:
            return images[0] * torch.linspace(0, 1, int(images[0].shape[3]))

    kind = type(model)
    try:
        for other, words in ((Looks, 'differ'), (Fixed, 'nothing is written')):
            model.__class__ = other
            with pytest.raises(ValueError, match=words):
                export_onnx(model, tmp_path / 'no.onnx')
    finally:
        model.__class__ = kind
    assert list(tmp_path.iterdir()) == []


def test_bad_options_are_refused(small_export: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, _ = small_export
    with pytest.raises(ValueError, match=r'must end in \.onnx'):
        export_onnx(model, tmp_path / 'a.pt')
    with pytest.raises(ValueError, match='precision must be one of fp32, fp16'):
        export_onnx(model, tmp_path / 'a.onnx', precision='int4')
    assert main(['export', '--out', str(tmp_path / 'a.pt')]) == 1
    assert 'ends in .onnx' in capsys.readouterr().err


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    from lurefusion.export import need_onnx

    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r'onnx and onnxruntime are missing: pip install .lurefusion\[export\]'):
        need_onnx()


def test_the_script_needs_onnx_runtime_and_opencv_alone(small_export: Any, tmp_path: Path) -> None:
    model, done = small_export
    assert len((ROOT / 'demo' / 'onnx_fuse.py').read_text().splitlines()) <= 50
    random = np.random.default_rng(0)
    for name in ('vi', 'ir'):
        write_image(tmp_path / f'{name}.png', random.integers(0, 256, (30, 45, 3), np.uint8))
    blocked = 'import sys; sys.modules.update(torch=None, lurefusion=None); sys.argv = sys.argv[1:]\n'
    code = blocked + "import runpy; runpy.run_path(sys.argv[0], run_name='__main__')"
    words = [str(ROOT / 'demo' / 'onnx_fuse.py'), str(done.path), 'vi.png', 'ir.png', 'out.png', 'll', 'pd']
    ran = subprocess.run([sys.executable, '-c', code, *words], capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    from lurefusion import FusionInferencer

    files = {name: str(tmp_path / f'{name}.png') for name in ('vi', 'ir')}
    expected = FusionInferencer(model)(prompt=dict(vi='ll', ir='pd'), **files)
    found, _ = read_image(tmp_path / 'out.png')
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert cv2.imread(str(tmp_path / 'out.png')).shape == (30, 45, 3)
    # a grey visible picture gives a grey result, and pictures of 16 bit are not cut to 8
    write_image(tmp_path / 'grey.png', random.integers(0, 256, (30, 45), np.uint8))
    cv2.imwrite(str(tmp_path / 'deep.png'), random.integers(29_000, 31_000, (30, 45), np.uint16))
    grey = [{2: 'grey.png'}.get(i, word) for i, word in enumerate(words)]
    assert subprocess.run([sys.executable, '-c', code, *grey], capture_output=True, cwd=tmp_path).returncode == 0
    found, is_grey = read_image(tmp_path / 'out.png')
    files['vi'] = str(tmp_path / 'grey.png')
    assert is_grey
    expected = FusionInferencer(model)(prompt=dict(vi='ll', ir='pd'), **files)
    assert np.abs(found[..., 0].astype(int) - expected).max() <= 1
    for change, message in (
        ({3: 'deep.png'}, 'pictures of 8 bit are needed'),
        ({5: 'zz'}, "unknown task 'zz'; there are ll"),
        ({4: 'no/where.png'}, 'cannot write no/where.png'),
        ({1: 'gone.onnx'}, 'no file gone.onnx'),
        ({2: 'gone.png'}, 'no file gone.png'),
        ({2: str(done.path)}, 'two pictures of one size'),
    ):
        wrong = [change.get(i, word) for i, word in enumerate(words)]
        ran = subprocess.run([sys.executable, '-c', code, *wrong], capture_output=True, text=True, cwd=tmp_path)
        assert ran.returncode == 1
        assert message in ran.stderr
        assert 'Traceback' not in ran.stderr


@pytest.mark.parametrize('half', [False, True])
@torch.no_grad()
def test_lure_fast_is_exported(tmp_path: Path, half: bool) -> None:
    from lurefusion import FusionInferencer

    plain = FusionInferencer('lure-fast', device='cpu')
    done = export_onnx(plain.model, tmp_path / 'fast.onnx', precision='fp16' if half else 'fp32')
    exported = FusionInferencer(str(done.path))
    random = np.random.default_rng(0)
    for size, prompt in (((32, 32), None), ((90, 70), dict(vi='ll', ir='lc')), ((200, 300), dict(vi='hz'))):
        given = dict(vi=[random.integers(0, 256, (*size, 3), np.uint8) for _ in range(3)])
        given['ir'] = [picture[::-1, :, 0].copy() for picture in given['vi']]
        ours, theirs = (one.predict(prompt, batch_size=3, **given) for one in (exported, plain))
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a.picture, b.picture, atol=0.02 if half else 1e-4)


def test_what_cannot_be_exported_is_said_in_a_line(small_export: Any, tmp_path: Path, monkeypatch, capfd) -> None:
    model, _ = small_export

    def fails(*_: Any, **__: Any) -> None:
        print('graph(%vi : Float):\n' * 300)
        raise RuntimeError('Unsupported: operator dim\nInput rank must be known')

    monkeypatch.setattr(torch.onnx, 'export', fails)
    with pytest.raises(ValueError, match='cannot be exported: Unsupported') as caught:
        export_onnx(model, tmp_path / 'x.onnx')
    assert '\n' not in str(caught.value)
    assert capfd.readouterr().out == ''
    assert not list(tmp_path.iterdir())
