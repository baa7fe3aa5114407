"""`lurefusion info`: what runs here, which weights, which extras and what brings them."""

from __future__ import annotations

import hashlib
from email.message import Message
from importlib import metadata
from types import SimpleNamespace

import pytest

from lurefusion.cli import main
from lurefusion.commands import info
from lurefusion.weights import WEIGHTS_DIR


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """Versions of packages (None: missing); lurefusion declares two extras of its own, and those of developers."""
    message = Message()
    for extra in ('video', 'export', 'all', 'dev'):
        message['Provides-Extra'] = extra
    message['Requires-Dist'] = 'numpy>=1'
    for need in ('av>=16; extra == "video"', 'onnx>=1; extra == "export"', 'onnxruntime<2; extra == "export"'):
        message['Requires-Dist'] = need
    message['Requires-Dist'] = 'pytest; extra == "dev"'
    monkeypatch.setattr(info, 'metadata', SimpleNamespace(metadata=lambda name: message))
    versions: dict[str, str | None] = dict(av='17.0', onnx=None, onnxruntime=None)
    monkeypatch.setattr(info, '_version', versions.get)
    return versions


def section(out: str, title: str) -> list[str]:
    return [line.strip() for line in out.split(f'\n{title}:\n')[1].split('\n\n')[0].splitlines()]


def test_extras_and_the_command_that_brings_them(
    declared: dict[str, str | None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['info']) == 0
    out = capsys.readouterr().out
    brings = "pip install 'lurefusion[export]'"
    assert section(out, 'extras') == ['video: av 17.0', f'export: missing onnx, onnxruntime: {brings}']
    assert section(out, 'runners')[1] == f'onnx: not here: {brings}'
    declared['onnxruntime'] = '1.20'
    assert main(['info']) == 0
    out = capsys.readouterr().out
    assert section(out, 'extras')[1] == f'export: missing onnx: {brings}'
    assert section(out, 'runners')[1] == f'onnx (ONNX Runtime 1.20): cpu; .onnx files alone, to export: {brings}'


def test_devices_and_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['info']) == 0
    out = capsys.readouterr().out
    assert section(out, 'runners')[0].startswith(f'torch {metadata.version("torch")}')
    assert ': cpu' in section(out, 'runners')[0]
    weights = dict(line.split(': ') for line in section(out, 'weights')[:-1])
    assert set(weights) == {'auto-prompt', 'lure-fast', 'lure-tiny'}
    data = (WEIGHTS_DIR / 'lure-tiny.safetensors').read_bytes()
    assert weights['lure-tiny'] == f'{len(data) / 1e6:.1f} MB, SHA-256 {hashlib.sha256(data).hexdigest()}'


def test_lurefusion_that_is_not_installed_declares_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(info, 'NAME', 'lurefusion-that-is-not-there')
    assert info.extras() == {}
