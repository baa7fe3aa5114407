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
    files = [file for name in ('lurefusion', 'configs', 'tools') for file in (ROOT / name).rglob('*') if file.is_file()]
    names = ('setup.py', 'pyproject.toml', 'README.md', 'LICENSE', 'MANIFEST.in', 'model-index.yml')
    for file in [*files, *(ROOT / name for name in names)]:
        if file.is_file() and not {'__pycache__', '.mim'} & {*file.parts}:
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
        if file.suffix in ('.py', '.safetensors', '.npz', '.json', '.md', '.css', '.typed')
        and '__pycache__' not in file.parts
    }
    found = {file.relative_to(unpacked).as_posix() for file in (unpacked / 'lurefusion').rglob('*') if file.is_file()}
    assert expected - found == set(), 'a folder without __init__.py is not packed'
    assert all(name.startswith('lurefusion/.mim/') for name in found - expected)


def test_every_config_tool_and_metafile_is_in(unpacked: Path) -> None:
    files = [file for name in ('configs', 'tools') for file in (ROOT / name).rglob('*') if file.is_file()]
    expected = {file.relative_to(ROOT) for file in files if '__pycache__' not in file.parts}
    assert {file.suffix for file in expected} == {'.py', '.md', '.yml', '.sh'}
    shipped = unpacked / 'lurefusion' / '.mim'
    found = {file.relative_to(shipped) for file in shipped.rglob('*') if file.is_file()}
    assert found == {*expected, Path('model-index.yml')}


def test_nothing_else_is_in(unpacked: Path) -> None:
    assert {path.name for path in unpacked.iterdir() if not path.name.endswith('.dist-info')} == {'lurefusion'}


def test_metadata(unpacked: Path) -> None:
    [info] = unpacked.glob('*.dist-info')
    metadata = Parser().parsestr((info / 'METADATA').read_text(encoding='utf-8'))
    text = (ROOT / 'lurefusion' / '__init__.py').read_text(encoding='utf-8')
    assert metadata['Version'] == ast.literal_eval(re.search(r'__version__ = (.+)', text)[1])
    core = {re.match(r'[\w-]+', line)[0] for line in metadata.get_all('Requires-Dist') if 'extra ==' not in line}
    assert core == {
        'torch',
        'mmengine',
        'transformers',
        'numpy',
        'opencv-python',
        'pillow',
        'safetensors',
        'setuptools',
    }
    assert set(metadata.get_all('Provides-Extra')) == {
        'seg',
        'iqa',
        'demo',
        'browser',
        'export',
        'video',
        'medical',
        'analysis',
        'docs',
        'dev',
        'all',
    }
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


OWN = """
_base_ = 'lurefusion::lure/stage1_demo.py'
scenes = dict(type='EmbeddedRestoration', num=2, size=(64, 64), task='ll', modality='vi')
pipeline = [dict(type='LoadImages'), dict(type='RandomCrop', size=32), dict(type='Degrade'), dict(type='PackInputs')]
dark = dict(scenes, degradation=dict(type='LowLight'))
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False,
    dataset=dict(_delete_=True, type='MixDataset', pipeline=pipeline, datasets=[dark]))
val_dataloader = dict(dataset=dict(_delete_=True, type='MixDataset', datasets=[
    dict(dark, first=50, num=1, test_mode=True, pipeline=pipeline[2:])]))
train_cfg = dict(max_iters=1, val_interval=1)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end=1, T_max=1)]
default_hooks = dict(checkpoint=dict(interval=1))
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
custom_hooks = []
"""


def test_trains_without_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    (tmp_path / 'own.py').write_text(OWN)
    environment = {**os.environ, 'PYTHONPATH': str(unpacked), 'LUREFUSION_DATA': str(tmp_path)}
    line = [sys.executable, '-m', 'lurefusion', 'train', 'own.py', '--work-dir', 'run']
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'run' / 'iter_1.pth').is_file()
    assert 'checkpoint: ' in done.stdout
