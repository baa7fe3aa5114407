"""Other pairs of modalities are configs: each trains both stages and is tested, on pictures made here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lurefusion.config import apply_options, load_config
from lurefusion.datasets.paired import PairedDataset
from lurefusion.engine.pipeline import train
from lurefusion.engine.test import test as evaluate
from lurefusion.io.images import read_image, write_image
from lurefusion.registry import DATASETS, MODELS
from lurefusion.weights import read_weights

ROOT = Path(__file__).resolve().parents[1]
PAIRS = ('mri_ct', 'mri_pet', 'mri_spect', 'multi_focus', 'multi_exposure')
GREY = ('MRI', 'CT')
# one name of every split: cases of Harvard, scenes of the survey
NAMES = ('16001', '32001', '25001', '30001', '10001', '18001', 'Air_1', 'Devil_1')


def data_sets(node: Any) -> Iterator[PairedDataset]:
    """Every data set of files that a config names, not yet looked for."""
    if isinstance(node, dict):
        kind = DATASETS.get(node['type']) if isinstance(node.get('type'), str) else None
        if isinstance(kind, type) and issubclass(kind, PairedDataset):
            own = {key: value for key, value in node.items() if key != 'times'}
            yield DATASETS.build(dict(own, lazy_init=True, pipeline=[]))
            return
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from data_sets(child)


@cache
def config(stage: str, pair: str) -> Any:
    """Read once: nothing changes it."""
    return load_config(ROOT / 'configs' / 'modality' / f'{stage}_{pair}.py')


def make_pictures(*configs: Any, empty: bool = False) -> None:
    """Random 48x48 pictures, or files of that name alone, in every folder of the configs."""
    loaders = [cfg[f'{split}_dataloader'] for cfg in configs for split in ('train', 'val', 'test')]
    folders = sorted({Path(folder) for part in data_sets(loaders) for folder in part.data_prefix.values()})
    for seed, folder in enumerate(folders):
        folder.mkdir(parents=True)
        for number, name in enumerate(NAMES):
            if empty:
                (folder / f'{name}.png').touch()
                continue
            picture = np.random.default_rng([seed, number]).integers(0, 256, (48, 48, 3), np.uint8)
            write_image(folder / f'{name}.png', picture[..., 0] if folder.name in GREY else picture)


def crops_of(cfg: Any) -> str:
    """Key of the crop's size in the training pipeline."""
    steps = cfg.train_dataloader.dataset.pipeline
    return f'train_dataloader.dataset.pipeline.{[step["type"] for step in steps].index("RandomCrop")}.size'


@pytest.mark.parametrize('pair', PAIRS)
@pytest.mark.parametrize('stage', ['stage1', 'stage2'])
def test_one_step(pair: str, stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data, prompts, modalities and losses of a config fit each other, and what should learn gets a gradient."""
    monkeypatch.setenv('LUREFUSION_DATA', str(tmp_path))
    cfg = deepcopy(config(stage, pair))
    make_pictures(cfg)
    apply_options(cfg, {crops_of(cfg): 16, '+model.prompts.per_template': 1})
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    picked = [indices[0] for indices in dataset.groups.values()]
    samples = [dataset[int(index)] for index in picked]
    inputs = {role: [sample['inputs'][role] for sample in samples] for role in samples[0]['inputs']}
    model = MODELS.build(cfg.model).train()
    data = dict(inputs=inputs, data_samples=[sample['data_samples'] for sample in samples])
    losses = model(**model.data_preprocessor(data, training=True), mode='loss')
    assert {f'loss_{name}' for name, cfg in cfg.model.losses.items() if cfg is not None} == set(losses)
    total = sum(losses.values())
    total.backward()
    assert np.isfinite(total.item())
    heard = {
        name for name, child in model.named_children()
        if any(p.grad is not None and p.grad.abs().max() > 0 for p in child.parameters())
    }  # fmt: skip
    assert heard == ({'text_encoder', 'image_encoder', 'decoder'} if stage == 'stage1' else {'fuser'})


def test_mri_pet_trains_and_is_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('LUREFUSION_DATA', str(tmp_path / 'data'))
    cfgs = [config(f'stage{number}', 'mri_pet') for number in (1, 2)]
    make_pictures(*cfgs)
    quick = {'visualizer.vis_backends': [dict(type='LocalVisBackend')], '+model.prompts.per_template': 1}
    options = {
        'train_cfg.max_iters': 1, 'train_dataloader.batch_size': 1, 'train_dataloader.num_workers': 0,
        'val_cfg': None, 'val_dataloader': None, 'val_evaluator': None, **quick,
    }  # fmt: skip
    first, second = (
        train(cfg.filename, work_dir=f'runs/{Path(cfg.filename).stem}', options={**options, crops_of(cfg): 16})
        for cfg in cfgs
    )
    kept, taken = (read_weights(path)[0] for path in (first, second))
    network = [key for key in kept if key.startswith(('image_encoder.', 'decoder.'))]
    assert len(network) > 100
    assert all(np.array_equal(taken[key], kept[key]) for key in network)
    assert any(key.startswith('fuser.') for key in taken)
    results = evaluate(cfgs[1].filename, second, work_dir='tested', options=quick)
    assert all(np.isfinite(value) for value in results.values())
    [fused] = Path('tested/fused').rglob('*.png')
    assert not read_image(fused)[1]


@pytest.mark.parametrize('pair', PAIRS)
def test_training_and_test_pictures_are_apart(pair: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for stage in ('stage1', 'stage2'):
        monkeypatch.setenv('LUREFUSION_DATA', str(tmp_path / stage))
        cfg = config(stage, pair)
        make_pictures(cfg, empty=True)
        used: dict[str, set[str]] = {}
        for split in ('train', 'test'):
            for dataset in data_sets(cfg[f'{split}_dataloader']):
                dataset.full_init()
                paths = (path for i in range(len(dataset)) for path in dataset.get_data_info(i)['paths'].values())
                used.setdefault(split, set()).update(paths)
        assert used['train']
        assert used['test']
        assert not used['train'] & used['test']


@pytest.mark.parametrize('pair', PAIRS)
def test_prompts_speak_of_the_pair_and_lead_to_its_tasks(pair: str) -> None:
    from lurefusion.prompts import PromptBank, PromptRouter

    model = config('stage1', pair).model
    bank = PromptBank(**model.prompts, modalities=model.modalities, per_template=2)
    sentences = ' '.join(sentence.lower() for key in bank.keys for sentence in bank.sentences(key))
    assert 'infrared' not in sentences
    assert 'thermal' not in sentences
    router = PromptRouter(bank, model.modalities)
    for key in bank.keys[:-1]:
        owner = bank.task(key).modality
        routes = {name: route.task for name, route in router.route(bank.canonical(key)).items()}
        assert routes == {name: key if owner in (None, name) else 'pd' for name in model.modalities}


def test_colours_belong_to_whom_the_config_says() -> None:
    """Of the result, and of what the fuser keeps or a loss asks for."""
    owners = {}
    for pair in PAIRS:
        model = config('stage2', pair).model
        kept, asked = model.fuser.get('chroma'), model.losses.color
        owners[pair] = (model.chroma, asked.source if kept is None else model.modalities[kept])
        assert kept is None or asked is None
    assert owners == {
        'mri_ct': ('mri', 'mri'),
        'mri_pet': ('pet', 'pet'),
        'mri_spect': ('spect', 'spect'),
        'multi_focus': (None, None),
        'multi_exposure': (None, None),
    }


def test_no_decision_on_the_name_of_a_modality() -> None:
    """No comparison with, nor branch on, a modality's name anywhere in the package."""
    names = {'vi', 'ir', 'mri', 'ct', 'pet', 'spect', 'under', 'over', 'near_focus', 'far_focus'}
    found = []
    for file in (ROOT / 'lurefusion').rglob('*.py'):
        for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
            operands = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
            patterns = [node.value] if isinstance(node, ast.MatchValue) else []
            for operand in [*operands, *patterns]:
                values = operand.elts if isinstance(operand, (ast.Tuple, ast.List, ast.Set)) else [operand]
                if any(isinstance(value, ast.Constant) and value.value in names for value in values):
                    found.append(f'{file.relative_to(ROOT)}:{node.lineno}')
    assert not found
