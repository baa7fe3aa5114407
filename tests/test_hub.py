"""Plain MMEngine finds configs, models and weights: in an installed wheel and in an editable install; the metafiles."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from lurefusion import registry
from lurefusion.config import list_configs, load_config
from lurefusion.mim import register_loader
from lurefusion.weights import shipped_weights

ROOT = Path(__file__).resolve().parents[1]
RANKED = ('CC', 'SCD', 'PSNR', 'SSIM', 'MS-SSIM', 'VIF', 'Qabf')
METAFILES = sorted((ROOT / 'configs').rglob('metafile.yml'))
MODELS = {model['Name']: model for file in METAFILES for model in yaml.safe_load(file.read_text())['Models']}
# `import lurefusion` before and after MMEngine
FIND = """
import sys
first, home, root = sys.argv[1:]
if first == 'mmengine':
    import mmengine.hub
import lurefusion
assert ('mmengine' in sys.modules) == (first == 'mmengine')
from pathlib import Path
from mmengine.config import Config
from mmengine.hub import get_config
assert lurefusion.__file__.startswith(home), lurefusion.__file__
for name in ('lure/stage2_tiny_ir_vi.py', 'baselines/max_ir_vi.py', 'ablation/ours.py'):
    found = get_config(f'lurefusion::{name}')
    assert Path(found.filename).resolve() == Path(root, 'configs', name).resolve(), found.filename
assert get_config('lurefusion::lure/stage2_tiny_more_ir_vi.py', pretrained=True).model_path == 'lurefusion://lure-tiny'
Path('own.py').write_text("_base_ = 'lurefusion::baselines/max_ir_vi.py'\\nmodel = dict(modalities=('a', 'b'))\\n")
own = Config.fromfile('own.py')
assert own.model.modalities == ('a', 'b')
assert own.model.type == get_config('lurefusion::baselines/max_ir_vi.py').model.type
"""
BUILD = """
from mmengine.config import Config
from mmengine.hub import get_model
import lurefusion
import torch
network = get_model('lurefusion::lure/stage2_tiny_more_ir_vi.py', pretrained=True)
torch.save(dict(network.state_dict()), 'state.pt')
from pathlib import Path
Path('whole.py').write_text("_base_ = 'lurefusion::lure/stage2_demo.py'\\n")
cfg = Config.fromfile('whole.py')
assert cfg.model._scope_ == 'lurefusion'
from mmengine.registry import MODELS
assert type(MODELS.build(cfg.model)) is type(network)
assert type(get_model('lurefusion::baselines/lap_pyramid_ir_vi.py')).__module__ == 'lurefusion.models.baselines'
"""


@pytest.fixture(scope='module')
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources: builds leave folders and links behind."""
    folder = tmp_path_factory.mktemp('checkout')
    for name in ('lurefusion', 'configs', 'tools'):
        ignored = shutil.ignore_patterns('__pycache__', '.mim')
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ('setup.py', 'pyproject.toml', 'LICENSE', 'MANIFEST.in', 'model-index.yml'):
        shutil.copyfile(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope='module')
def homes(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Kind of installation -> what is on the path, and where configs/ lies."""
    target = tmp_path_factory.mktemp('target')
    pip = [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--no-build-isolation', '--no-index']
    done = subprocess.run([*pip, '--target', str(target), str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # what `pip install --editable` calls; the environment of these tests stays as it is
    code = 'import setuptools.build_meta as build, sys; build.build_editable(sys.argv[1])'
    editable = [sys.executable, '-c', code, str(target)]
    done = subprocess.run(editable, capture_output=True, text=True, cwd=source, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(wheel=(target, target / 'lurefusion' / '.mim'), editable=(source, source))


def run(code: str, home: Path, folder: Path, *words: str) -> None:
    environment = {**os.environ, 'PYTHONPATH': str(home)}
    line = [sys.executable, '-c', code, *words]
    done = subprocess.run(line, capture_output=True, text=True, cwd=folder, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ('kind', 'first'), [('wheel', 'mmengine'), ('wheel', 'lurefusion'), ('editable', 'lurefusion')]
)
def test_mmengine_finds_configs_and_builds_models_with_weights(
    homes: dict, kind: str, first: str, tmp_path: Path
) -> None:
    home, root = homes[kind]
    run(FIND + BUILD * (first == 'lurefusion'), home, tmp_path, first, str(home), str(root))
    if first == 'mmengine':
        return
    from lurefusion import FusionInferencer

    state = torch.load(tmp_path / 'state.pt', weights_only=True)
    expected = FusionInferencer('lure-tiny', device='cpu').model.state_dict()
    assert len(expected) > 500
    assert set(expected) <= set(state)
    assert all(torch.equal(state[name], value) for name, value in expected.items())
    assert all(name.startswith('losses.') for name in set(state) - set(expected))


@pytest.mark.slow
def test_an_editable_install_reads_the_files_where_they_are(homes: dict) -> None:
    home, _ = homes['editable']
    for name in ('configs', 'tools', 'model-index.yml'):
        assert (home / 'lurefusion' / '.mim' / name).resolve() == (home / name).resolve()
    assert not (homes['wheel'][1] / 'configs').is_symlink()


def test_mmengines_loader_takes_names_and_files(tmp_path: Path) -> None:
    from mmengine.runner import CheckpointLoader
    from safetensors.torch import load_file

    register_loader()
    for name, file in shipped_weights().items():
        expected = load_file(file)
        for place in (f'lurefusion://{name}', f'lurefusion://{file}'):
            state = CheckpointLoader.load_checkpoint(place)
            assert set(state) == set(expected)
            assert all(torch.equal(state[key], value.to(state[key].dtype)) for key, value in expected.items())
    with pytest.raises(FileNotFoundError, match="Did you mean 'lure-tiny'"):
        CheckpointLoader.load_checkpoint('lurefusion://lure-tyni')
    with pytest.raises(FileNotFoundError, match='shipped weights'):
        CheckpointLoader.load_checkpoint(f'lurefusion://{tmp_path / "none.safetensors"}')


def test_the_index_names_every_metafile() -> None:
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert sorted(index['Import']) == [file.relative_to(ROOT).as_posix() for file in METAFILES]


def test_configs_readmes_and_weights_exist() -> None:
    names = list_configs()
    for file in METAFILES:
        content = yaml.safe_load(file.read_text())
        collections = {entry['Name']: entry for entry in content['Collections']}
        assert all((ROOT / entry['README']).is_file() for entry in collections.values())
        for model in content['Models']:
            assert model['In Collection'] in collections
            assert f'lurefusion::{model["Config"].removeprefix("configs/")}' in names
            assert load_config(ROOT / model['Config']).model.type
    named = {model['Weights'].removeprefix('lurefusion://') for model in MODELS.values() if 'Weights' in model}
    assert named == set(shipped_weights())


@pytest.mark.parametrize('name', MODELS)
def test_results_are_those_of_the_benchmark(name: str) -> None:
    page = 'benchmark_fast.md' if name == 'lure-fast' else 'benchmark.md'
    page = (ROOT / 'docs' / page).read_text(encoding='utf-8')
    printed = {}
    for title, body in re.findall(r'^### (.+)\n\n((?:\|.*\n)+)', page, flags=re.MULTILINE):
        head, _, *rows = (re.sub(r'\*\*|</?u>', '', line).strip('|').split('|') for line in body.splitlines())
        for row in rows:
            cells = dict(zip(map(str.strip, head), map(str.strip, row), strict=True))
            if cells['method'] == name:
                printed[title] = {metric: float(cells[metric]) for metric in RANKED}
    written = {
        result['Dataset'].removeprefix('degraded_val, '): result['Metrics']
        for result in MODELS[name].get('Results', [])
    }
    assert written == printed
    assert name not in ('lure-tiny', 'lure-fast') or len(printed) > 10


def test_parameters_and_operations_are_those_of_the_network() -> None:
    spec = importlib.util.spec_from_file_location('get_flops', ROOT / 'tools' / 'analysis_tools' / 'get_flops.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    for name in ('lure-tiny', 'lure-fast', 'GuidedFilter', 'Average'):
        model = MODELS[name]
        parameters, gmac = tool.count(name if 'Weights' in model else str(ROOT / model['Config']))['model']
        assert parameters == model['Metadata']['Parameters']
        assert gmac == pytest.approx(model['Metadata']['GMAC'], abs=0.005)


def test_parameters_of_the_paper_scale() -> None:
    """With words of the same size in place of the language model, of which nothing is counted."""
    backbone = dict(_delete_=True, type='HashBag', dim=768)
    cfg = load_config(ROOT / MODELS['lure']['Config'], {'model.text_encoder.backbone': backbone})
    network = registry.MODELS.build({key: value for key, value in cfg.model.items() if key != 'losses'})
    assert sum(parameter.numel() for parameter in network.parameters()) == MODELS['lure']['Metadata']['Parameters']
