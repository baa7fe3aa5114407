"""What is looked at before a run starts: data that is there and fits; mistakes as the commands tell them."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from lurefusion.config import load_stages
from lurefusion.engine.pipeline import train
from lurefusion.engine.preflight import check_data
from lurefusion.engine.test import test
from lurefusion.io.images import write_image

# its name must not make pytest collect it
test.__test__ = False
ROOT = Path(__file__).resolve().parents[2]
STAGE1 = 'lurefusion::lure/stage1_tiny_ir_vi.py'
STAGE2 = 'lurefusion::lure/stage2_tiny_ir_vi.py'
OWN = dict(type='RestorationDataset', data_prefix=dict(y='mine/ir'), task='lc', modality='ir')
OWN['degradation'] = dict(type='LowContrast')
PAIRS = dict(type='FusionPairDataset', data_prefix=dict(vi='mine/vi', ir='mine/ir'))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder but for data/mine/{vi,ir}, which is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('LUREFUSION_DATA', raising=False)
    for modality in ('vi', 'ir'):
        write_image(tmp_path / 'data/mine' / modality / '1.png', np.zeros((16, 16, 3), np.uint8))
    return tmp_path


def own(folder: Path, base: str, *lines: str, name: str = 'own.py') -> Path:
    file = folder / name
    file.write_text('\n'.join([f'_base_ = {base!r}', *lines, '']))
    return file


def loaded(file: Path, options: dict | None = None) -> Config:
    (cfg,) = load_stages(file, options)[1]
    return cfg


# Validation, tests and ratios that nobody asked for


def test_two_folders_are_enough_for_stage_2(folder: Path, capsys: pytest.CaptureFixture) -> None:
    cfg = loaded(own(folder, STAGE2, f'train_dataloader = dict(dataset=dict(datasets=[{PAIRS}]))'))
    check_data([cfg])
    assert (cfg.val_dataloader, cfg.val_cfg, cfg.val_evaluator) == (None, None, None)
    assert 'warning: no validation: FusionPairDataset: no folder' in capsys.readouterr().out


def test_one_folder_is_enough_for_stage_1(folder: Path, capsys: pytest.CaptureFixture) -> None:
    file = own(folder, STAGE1, f'train_dataloader = dict(dataset=dict(datasets=[{OWN}]))')
    cfg = loaded(file)
    assert dict(cfg.train_dataloader.sampler.ratios) == dict(hz=1.5, sr=1.5)
    check_data([cfg])
    assert cfg.train_dataloader.sampler.ratios is None
    assert 'warning: no data of hz, sr: left out of sampler.ratios' in capsys.readouterr().out
    # what the user states is the user's mistake, and the sampler says so
    cfg = loaded(file, {'train_dataloader.sampler.ratios': dict(hz=2.0, _delete_=True)})
    check_data([cfg])
    assert dict(cfg.train_dataloader.sampler.ratios) == dict(hz=2.0)


def test_ratios_of_skipped_sets(folder: Path) -> None:
    sets = [OWN, dict(type='HDRPS', split='train'), dict(OWN, task='sr', degradation=dict(type='LowResolution'))]
    cfg = loaded(own(folder, STAGE1, f"train_dataloader = dict(dataset=dict(missing='skip', datasets={sets}))"))
    check_data([cfg])
    assert dict(cfg.train_dataloader.sampler.ratios) == dict(sr=1.5)


@pytest.mark.parametrize('by_option', [True, False])
def test_own_validation_set_that_is_missing_is_an_error(folder: Path, by_option: bool) -> None:
    lines = [f'train_dataloader = dict(dataset=dict(datasets=[{PAIRS}]))']
    gone = dict(PAIRS, data_prefix=dict(vi='mine/vis', ir='mine/ir'))
    if not by_option:
        lines.append(f'val_dataloader = dict(dataset=dict({gone}, _delete_=True))')
    options = {'val_dataloader.dataset': dict(gone, _delete_=True)} if by_option else None
    with pytest.raises(FileNotFoundError, match=r'FusionPairDataset: no folder .*mine/vis; get it'):
        check_data([loaded(own(folder, STAGE2, *lines), options)])


# Modalities and tasks

NEW = "modalities=('vis', 'nir'), chroma='vis'"


@pytest.mark.parametrize(
    ('base', 'model', 'key', 'dataset', 'message'),
    [
        (STAGE2, NEW, 'train_dataloader', PAIRS, r'mine/ir\) has pictures of vi, ir; model.modalities=\(.vis'),
        (STAGE2, "modalities=('vi', 'ir', 'x')", 'train_dataloader', PAIRS, r'has pictures of vi, ir'),
        (STAGE1, NEW, 'train_dataloader', OWN, r'has pictures of ir; model.modalities'),
        (STAGE1, "chroma='vi'", 'train_dataloader', dict(OWN, task='lcx'), 'is of task lcx; model.prompts.tasks'),
        (STAGE2, "chroma='vi'", 'val_dataloader', dict(PAIRS, data_prefix=dict(vi='mine', nir='mine')), 'vi, nir'),
        (STAGE2, "chroma='vi'", 'val_dataloader', dict(type='EmbeddedScenes', infrared='nir'), 'of vi, nir'),
        (STAGE2, "chroma='vi'", 'val_dataloader', dict(PAIRS, tasks=dict(vi='zz')), 'is of task zz'),
        (STAGE1, "chroma='vi'", 'val_dataloader', dict(OWN, modality='nir'), 'has pictures of nir'),
    ],
)  # fmt: skip
def test_data_that_does_not_fit_the_model(
    folder: Path, base: str, model: str, key: str, dataset: dict, message: str
) -> None:
    good = OWN if base == STAGE1 else PAIRS
    sets = dict(train_dataloader=good, **{key: dataset}) if key != 'train_dataloader' else {key: dataset}
    lines = [f'model = dict({model})', f'train_dataloader = dict(dataset=dict(datasets=[{sets["train_dataloader"]}]))']
    if key == 'val_dataloader':
        lines.append(f'val_dataloader = dict(dataset=dict({dataset}, _delete_=True))')
    with pytest.raises(ValueError, match=rf'{key} does not fit the model:\n  - .*{message}'):
        check_data([loaded(own(folder, base, *lines))])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'val_dataloader': [{}, {}]}, 'val_dataloader is one loader, not a list; a MixDataset joins'),
        ({'+load_from': 'a.safetensors'}, r'from a\.safetensors a training starts by init_from'),
    ],
)
def test_what_a_training_cannot_take(folder: Path, options: dict, message: str) -> None:
    _, cfgs = load_stages('lurefusion::lure/stage2_demo.py', options)
    with pytest.raises(ValueError, match=message):
        check_data(cfgs)


def test_data_sets_of_tasks_that_are_not_asked_for_are_no_fault(folder: Path) -> None:
    sets = f'datasets=[{OWN}, {dict(OWN, task="lcx")}]'
    with pytest.raises(ValueError, match='is of task lcx'):
        check_data([loaded(own(folder, STAGE1, f'train_dataloader = dict(dataset=dict({sets}))'))])
    check_data([loaded(own(folder, STAGE1, f"train_dataloader = dict(dataset=dict(tasks=('lc',), {sets}))"))])
    # nor need they be on disk
    sets = f'datasets=[{OWN}, {dict(OWN, task="sr", data_prefix=dict(y="nowhere"))}]'
    with pytest.raises(FileNotFoundError, match='nowhere'):
        check_data([loaded(own(folder, STAGE1, f'train_dataloader = dict(dataset=dict({sets}))'))])
    check_data([loaded(own(folder, STAGE1, f"train_dataloader = dict(dataset=dict(tasks=('lc',), {sets}))"))])


def test_inherited_validation_of_other_modalities_is_left_out(folder: Path, capsys: pytest.CaptureFixture) -> None:
    for modality in ('vi', 'ir'):
        write_image(folder / 'data/RoadScene/val' / modality / '1.png', np.zeros((16, 16, 3), np.uint8))
    pairs = dict(PAIRS, data_prefix=dict(vis='mine/vi', nir='mine/ir'))
    cfg = loaded(
        own(folder, STAGE2, f'model = dict({NEW})', f'train_dataloader = dict(dataset=dict(datasets=[{pairs}]))')
    )
    check_data([cfg])
    assert cfg.val_dataloader is None
    assert 'no validation: FusionPairDataset' in capsys.readouterr().out


def test_shipped_data_fits_the_shipped_models() -> None:
    for name in ('lure/stage1_demo', 'lure/stage2_demo'):
        cfg = loaded(ROOT / f'configs/{name}.py')
        before = cfg.to_dict()
        check_data([cfg])
        assert cfg.to_dict() == before


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'test_evaluator': [[dict(type='FusionMetrics')]]}, 'is a list of 7 and test_evaluator is a list of 1'),
        ({'test_evaluator': [[dict(type='FusionMetrics', out_csv='a.csv')]] * 7}, r'overwrite .* out_csv a\.csv'),
        ({'+test_dataloader.0.name': 'day/clean'}, r"is called 'day/clean': name it without a slash"),
        ({'test_dataloader': None}, 'is a NoneType and test_evaluator is a list of 7'),
        ({'test_dataloader.0.dataset.infrared': 'nir'}, r'test_dataloader\.0 does not fit the model: Emb.* of vi, nir'),
    ],
)
def test_test_sets_that_do_not_fit(folder: Path, options: dict, message: str) -> None:
    options = {('+' if 'infrared' in key else '') + key: value for key, value in options.items()}
    with pytest.raises(ValueError, match=message):
        test('lurefusion::lure/stage2_demo.py', 'nowhere', options=options)


# Mistakes, as the commands tell them


@pytest.fixture
def demo(folder: Path) -> Path:
    file = folder / 'demo.py'
    file.write_text("stages = ['lurefusion::lure/stage1_demo.py', 'lurefusion::lure/stage2_demo.py']\n")
    return file


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'has neither a model nor stages'),
        ('x = (', 'SyntaxError'),
        ('raise RuntimeError("no luck")', 'own.py, line 1: RuntimeError: no luck'),
        ("stages = ['demo.py']", 'is a pipeline, not a stage of one'),
        ("_base_ = 'lurefusion::baselines/average_ir_vi.py'", 'there is nothing to train'),
        ("model = 'LURE'", 'has neither a model nor stages'),
    ],
)
def test_file_that_is_no_config(demo: Path, text: str, message: str) -> None:
    (demo.parent / 'own.py').write_text(text)
    with pytest.raises(ValueError, match=message):
        train(demo.parent / 'own.py')


@pytest.mark.parametrize('tool', ['train.py', 'test.py', 'print_config.py'])
def test_commands_end_without_a_traceback(
    demo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tool: str
) -> None:
    (demo.parent / 'own.py').write_text('x = 1 / 0\n')
    monkeypatch.setattr(sys, 'argv', [tool, 'own.py'])
    assert runpy.run_path(str(ROOT / 'tools' / tool))['main']() in (1, 2)
    said = capsys.readouterr().err
    assert 'own.py, line 1: ZeroDivisionError' in said
    assert 'Traceback' not in said


def test_data_root_of_a_call_is_forgotten(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=str(folder / 'data')):
        train('lurefusion::lure/stage2_ir_vi.py', data_root=folder / 'data')
    assert 'LUREFUSION_DATA' not in os.environ
