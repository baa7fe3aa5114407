"""Rules that every config of the repository keeps: `configs/` and the configs of the projects."""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from lurefusion.config import OWN_KEYS, RUNNER_KEYS, diff_configs, find_config, load_config, load_stages
from lurefusion.registry import MODELS
from lurefusion.studies.ablation import PAPER_ROWS

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted([*ROOT.glob('configs/**/*.py'), *ROOT.glob('projects/*/configs/**/*.py')])
WHOLE = [file for file in CONFIGS if '_base_' not in file.parts]
# configs of MMSegmentation's: they need it to load, and tests/test_tools/test_downstream.py builds them
SEGMENTATION = [file for file in WHOLE if 'segmentation' in file.parts]
MAX_ABLATION_LINES = 15


def label(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def is_pipeline(file: Path) -> bool:
    """By its folder or its text: loading every config would take its time while tests are collected."""
    return file.parent.name == 'ablation' or 'stages = [' in file.read_text(encoding='utf-8')


def own_lines(file: Path) -> int:
    """Lines of statements, without the docstring, comments, empty lines and the line of `_base_`."""
    count = 0
    for node in ast.parse(file.read_text(encoding='utf-8')).body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        base = isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', None) == '_base_'
        if not docstring and not base:
            count += node.end_lineno - node.lineno + 1
    return count


@pytest.mark.parametrize('file', CONFIGS, ids=label)
def test_name_is_snake_case(file: Path) -> None:
    for part in file.relative_to(ROOT).with_suffix('').parts:
        assert re.fullmatch(r'_?[a-z][a-z0-9]*(_[a-z0-9]+)*_?', part), f'{part!r} of {label(file)} is not snake_case'


@pytest.mark.parametrize('file', CONFIGS, ids=label)
def test_work_dir_is_not_written(file: Path) -> None:
    names = [node.id for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))) if isinstance(node, ast.Name)]
    assert 'work_dir' not in names, f'{label(file)} sets work_dir: it is the name of the file'


@pytest.mark.parametrize('file', CONFIGS, ids=label)
def test_no_import_in_a_config(file: Path) -> None:
    nodes = list(ast.walk(ast.parse(file.read_text(encoding='utf-8'))))
    assert not [node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom, ast.With))], (
        f'{label(file)} imports: MMEngine would read it in its other style, which ignores custom_imports'
    )


@pytest.mark.parametrize('file', WHOLE, ids=label)
def test_loads_dumps_and_reloads(file: Path, tmp_path: Path) -> None:
    if file in SEGMENTATION and find_spec('mmseg') is None:
        pytest.skip('needs the extra seg')
    cfg = load_config(file)
    # helpers are gone: what is left has an effect
    assert set(cfg) <= RUNNER_KEYS | OWN_KEYS
    dumped = tmp_path / 'dumped.py'
    cfg.dump(dumped)
    assert load_config(dumped).to_dict() == cfg.to_dict()
    assert all(re.fullmatch(r'[a-z_][a-z0-9_]*', key) for key in cfg), (
        f'keys of {label(file)} in snake_case: {list(cfg)}'
    )
    assert find_config(file) == file


@pytest.mark.parametrize('file', [f for f in WHOLE if 'ablation' in f.parts], ids=label)
def test_ablation_is_short(file: Path) -> None:
    lines = own_lines(file)
    assert '_base_' in file.read_text(encoding='utf-8'), f'{label(file)} has no _base_'
    assert lines <= MAX_ABLATION_LINES, f'{label(file)} has {lines} lines past its base'


def test_readme_lists_every_config() -> None:
    readme = ROOT / 'configs' / 'README.md'
    text = readme.read_text(encoding='utf-8')
    names = [file.relative_to(ROOT / 'configs').as_posix() for file in WHOLE if ROOT / 'configs' in file.parents]
    missing = [name for name in names if name not in text]
    assert not missing, f'configs/README.md does not list {", ".join(missing)}'
    # NAME in capitals stands for any
    named = set(re.findall(r'\b[\w/]+/[a-z0-9_]+\.py\b', text))
    gone = sorted(name for name in named if not (ROOT / 'configs' / name).is_file() and not (ROOT / name).is_file())
    assert not gone, f'configs/README.md lists files that do not exist: {", ".join(gone)}'


def test_own_lines(tmp_path: Path) -> None:
    file = tmp_path / 'a.py'
    file.write_text('"""Doc\nstring."""\n_base_ = [\n    "x.py",\n]\n\n# why\nmodel = dict(\n    a=1,\n)\nb = 2\n')
    assert own_lines(file) == 4


def members(dataset: dict[str, Any]) -> list[dict[str, Any]]:
    """The data sets of a mix, also of a mix in a mix."""
    return [part for child in dataset['datasets'] for part in members(child)] if 'datasets' in dataset else [dataset]


@pytest.mark.parametrize('file', [f for f in WHOLE if f not in SEGMENTATION and not is_pipeline(f)], ids=label)
def test_builds(file: Path) -> None:
    """Model, metrics and every data set (without looking at the disk) can be made."""
    from mmengine.evaluator import BaseMetric

    from lurefusion.registry import DATASETS, METRICS

    cfg = load_config(file)
    if cfg.model.get('text_encoder', {}).get('backbone', {}).get('type') in ('DistilBERT', 'CLIPText'):
        # the weights of these language models cannot be had in a test
        cfg.model.text_encoder.backbone = dict(type='HashBag', dim=768)
    model = MODELS.build(cfg.model)
    learns = any(p.requires_grad for p in model.parameters())
    assert learns is cfg.get('needs_weights', True)
    assert not learns or all(cfg.get(key) for key in ('train_cfg', 'optim_wrapper', 'train_dataloader'))
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loaders = cfg.get(key) or []
        if not isinstance(loaders, (list, tuple)):
            # several loaders by name, of a training on a batch of each
            loaders = [loaders] if 'dataset' in loaders else list(loaders.values())
        for loader in loaders:
            for part in members(loader['dataset']):
                own = {name: value for name, value in part.items() if name != 'times'}
                dataset = DATASETS.build(dict(own, lazy_init=True))
                shown = set(dataset.modalities)
                single = hasattr(dataset, 'task')
                assert shown <= set(model.modalities) if single else shown >= set(model.modalities), part
    for evaluator in (cfg.get('val_evaluator') or [], *cfg.get('test_evaluator', [])):
        for metric in evaluator:
            assert isinstance(METRICS.build(metric), BaseMetric)


ABLATIONS = [file for file in WHOLE if file.parent == ROOT / 'configs' / 'ablation']
SCALES = {'paper': {}, 'tiny': {'scale': 'tiny'}}
# the option is the default there
NO_DIFFERENCE = {
    'paper': ('ours', 'text_distilbert', 'perceptual_vgg', 'unified_pix', 'trained_decoder'),
    'tiny': ('ours', 'perceptual_u2', 'unified_detach', 'frozen_decoder'),
}


@cache
def method(scale: str) -> list[Config]:
    """The pipeline that ablations are compared with."""
    return load_stages(ROOT / 'configs' / 'lure' / 'lure_ir_vi.py', SCALES[scale])[1]


def test_the_scales_are_the_pipelines_of_that_name() -> None:
    tiny = load_stages(ROOT / 'configs' / 'lure' / 'lure_tiny_ir_vi.py')
    assert load_stages(ROOT / 'configs' / 'lure' / 'lure_ir_vi.py', {'scale': 'tiny'})[0] == tiny[0]
    assert {f'{name}.py' for name in PAPER_ROWS} <= {file.name for file in ABLATIONS}


@pytest.mark.parametrize('scale', SCALES)
@pytest.mark.parametrize('file', ABLATIONS, ids=label)
def test_ablation_is_the_difference_and_builds(file: Path, scale: str) -> None:
    pipeline = load_config(file)
    _, cfgs = load_stages(file, SCALES[scale])
    if pipeline.get('joint'):
        [cfg] = cfgs
        restoration, fusion = method(scale)
        assert cfg.train_cfg.max_iters == restoration.train_cfg.max_iters + fusion.train_cfg.max_iters
        assert set(cfg.model.losses) == set(restoration.model.losses) | set(fusion.model.losses)
        assert set(cfg.train_dataloader) == {'restoration', 'fusion'}
        assert (tuple(cfg.model.frozen), 'init_from' in cfg) == ((), False)
    else:
        changed = {key for old, new in zip(method(scale), cfgs, strict=True) for key, *_ in diff_configs(old, new)}
        options = [*pipeline.get('options', {}), *pipeline.scales.get(scale, {}).get('options', {})]
        strays = [key for key in changed if not any((key + '.').startswith(option + '.') for option in options)]
        assert strays == [], f'{label(file)} changes more than it says'
        assert bool(changed) != (file.stem in NO_DIFFERENCE[scale])
    if scale == 'tiny':
        cfgs[-1].model.text_encoder.backbone = dict(type='HashBag', dim=64)
        assert MODELS.build(cfgs[-1].model).fuser is not None


@pytest.mark.parametrize('file', [f for f in WHOLE if f not in SEGMENTATION and is_pipeline(f)], ids=label)
def test_pipeline_names_stages_that_exist(file: Path) -> None:
    cfg = load_config(file)
    for stage in [*cfg.stages, *load_stages(file)[1][-1].get('downstream', ())]:
        assert find_config(stage).is_file()
