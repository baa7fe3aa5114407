"""The wheel: what is in it, and that its configs are found without the checkout."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheel of a copy of the sources, so that no build folder is left in the checkout."""
    folder = tmp_path_factory.mktemp('wheel')
    source = folder / 'source'
    files = [file for name in ('lurefusion', 'configs') for file in (ROOT / name).rglob('*') if file.is_file()]
    names = ('setup.py', 'pyproject.toml', 'README.md', 'LICENSE', 'MANIFEST.in')
    for file in [*files, *(ROOT / name for name in names)]:
        if file.is_file() and '__pycache__' not in file.parts:
            target = source / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    command = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '--no-index']
    done = subprocess.run([*command, '--wheel-dir', str(folder), str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    [built] = folder.glob('lurefusion-*.whl')
    return built


@pytest.fixture(scope='module')
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('unpacked')
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_every_module_and_data_file_is_in(unpacked: Path) -> None:
    expected = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / 'lurefusion').rglob('*')
        if file.suffix in ('.py', '.safetensors', '.npz', '.json', '.md') and '__pycache__' not in file.parts
    }
    found = {file.relative_to(unpacked).as_posix() for file in (unpacked / 'lurefusion').rglob('*') if file.is_file()}
    assert expected - found == set(), 'a folder without __init__.py is not packed'
    assert all(name.startswith('lurefusion/.configs/') for name in found - expected)


def test_every_config_is_in(unpacked: Path) -> None:
    expected = {file.relative_to(ROOT / 'configs') for file in (ROOT / 'configs').rglob('*.py')}
    shipped = unpacked / 'lurefusion' / '.configs'
    assert {file.relative_to(shipped) for file in shipped.rglob('*.py')} == expected


def test_nothing_else_is_in(unpacked: Path) -> None:
    assert {path.name for path in unpacked.iterdir() if not path.name.endswith('.dist-info')} == {'lurefusion'}


def test_metadata(unpacked: Path) -> None:
    [info] = unpacked.glob('*.dist-info')
    metadata = Parser().parsestr((info / 'METADATA').read_text(encoding='utf-8'))
    text = (ROOT / 'lurefusion' / '__init__.py').read_text(encoding='utf-8')
    assert metadata['Version'] == ast.literal_eval(re.search(r'__version__ = (.+)', text)[1])
    core = {re.match(r'[\w-]+', line)[0] for line in metadata.get_all('Requires-Dist') if 'extra ==' not in line}
    assert core == {'torch', 'mmengine', 'transformers', 'numpy', 'opencv-python', 'safetensors'}
    assert set(metadata.get_all('Provides-Extra')) == {'seg', 'iqa', 'demo', 'export', 'analysis', 'dev', 'all'}
    assert 'lurefusion = lurefusion.cli:main' in (info / 'entry_points.txt').read_text(encoding='utf-8')
    assert list(info.rglob('LICENSE'))


def test_configs_are_listed_and_load_without_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    code = (
        'import lurefusion, lurefusion.config as c\n'
        f'assert lurefusion.__file__.startswith({str(unpacked)!r}), lurefusion.__file__\n'
        f'assert str(c.config_root()).startswith({str(unpacked)!r}), c.config_root()\n'
        'for name in c.list_configs():\n'
        '    c.load_config(name)\n'
        '    print(name)\n'
    )
    environment = {**os.environ, 'PYTHONPATH': str(unpacked)}
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    root = ROOT / 'configs'
    expected = [file.relative_to(root).as_posix() for file in root.rglob('*.py') if '_base_' not in file.parts]
    assert sorted(done.stdout.split()) == sorted(f'lurefusion::{name}' for name in expected)
