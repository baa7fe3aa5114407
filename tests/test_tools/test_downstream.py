"""The chain on rendered scenes: both stages, fusing, two segmentation tasks, resuming, other inputs, mistakes."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch

from lurefusion.downstream import networks
from lurefusion.downstream.chain import Downstream
from lurefusion.downstream.networks import read_tasks
from lurefusion.engine.pipeline import train
from lurefusion.weights import read_weights

ROOT = Path(__file__).resolve().parents[2]
needs_mmseg = pytest.mark.skipif(importlib.util.find_spec('mmseg') is None, reason='needs the extra seg')

TASK = """
_base_ = 'lurefusion::segmentation/segformer_demo.py'
max_iters = 4
size = (32, 32)
model = dict(
    data_preprocessor=dict(size=size),
    backbone=dict(embed_dims=8, num_heads=[1, 1, 2, 2]),
    decode_head=dict(in_channels=[8, 8, 16, 16], channels=16),
)
train_pipeline = [
    dict(type='LoadPictures'), dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(64, 64), ratio_range=(0.75, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5), dict(type='DistortEachPicture'), dict(type='PackSegInputs'),
]
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, begin=0, end=1),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=1, end=max_iters),
]
train_cfg = dict(max_iters=max_iters)
default_hooks = dict(checkpoint=dict(interval=2, max_keep_ckpts=9), logger=dict(interval=1))
pictures = dict(train=dict(num=3, size=(64, 64)), test=dict(num=2, size=(64, 64)))
"""
# any config of MMSegmentation's: its own loading, preprocessing and validation, no pictures, SyncBN
OTHER = """
_base_ = ['mmseg::_base_/models/segformer_mit-b0.py', 'mmseg::_base_/datasets/ade20k.py',
          'mmseg::_base_/default_runtime.py', 'mmseg::_base_/schedules/schedule_20k.py']
model = dict(
    data_preprocessor=dict(size=(32, 32)),
    backbone=dict(embed_dims=8, num_heads=[1, 1, 2, 2], num_layers=[1, 1, 1, 1]),
    decode_head=dict(in_channels=[8, 8, 16, 16], channels=16, num_classes=9),
)
train_pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'),
                  dict(type='RandomCrop', crop_size=(32, 32)), dict(type='PackSegInputs')]
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
"""


@pytest.fixture
def chained(small: Path) -> Path:
    """The small pipeline with a downstream task, and a task of another kind."""
    (small / 'task.py').write_text(TASK)
    (small / 'other.py').write_text(OTHER)
    with open(small / 'small.py', 'a') as file:
        file.write("downstream = ['task.py']\n")
    return small


def tensors(path: Path) -> dict[str, torch.Tensor]:
    return read_weights(path)[0]


@needs_mmseg
@pytest.mark.slow
def test_chain_trains_resumes_and_evaluates(chained, monkeypatch):
    jobs, run_child = [], networks.run_child

    def counted(job):
        jobs.append(job['mode'])
        return run_child(job)

    monkeypatch.setattr(networks, 'run_child', counted)
    tasks = [str(chained / 'task.py'), str(chained / 'other.py')]
    downstream = Downstream(chained / 'small.py', tasks, iterations=4)
    weights = train(chained / 'small.py')
    own, other = downstream.train(weights)
    assert jobs == ['check', 'run', 'run']
    for evaluation in (own, other):
        assert evaluation.result()['confusion'].sum() == 2 * 64 * 64
        # visible, infrared, fused, prediction, label
        assert cv2.imread(str(evaluation.out / 'strips/scene_01000.png')).shape == (64 + 22, 5 * 64, 3)
    report = Path('work_dirs/small/downstream/report.md').read_text()
    assert '| task |' in report
    assert '| other |' in report
    assert 'LURE 81.22' in report
    assert len(list(Path('work_dirs/small/downstream/pictures').iterdir())) == 1
    statistics = json.loads((own.run / 'statistics.json').read_text())
    assert statistics['pictures'] == 3
    [log] = own.run.glob('*/*.log')
    assert 'from scratch' in log.read_text()

    # what is there is taken; an interrupted training goes on and ends with the same tensors
    whole = tensors(own.run / 'iter_4.pth')
    for name in ('iter_4.pth', 'trained.json'):
        (own.run / name).unlink()
    shutil.rmtree(own.out)
    downstream.train(weights)
    assert jobs == ['check', 'run', 'run', 'run']
    resumed = tensors(own.run / 'iter_4.pth')
    assert [key for key in whole if not torch.equal(whole[key], resumed[key])] == []

    # the network of the fused pictures is shown others, without training
    downstream.tasks = downstream.tasks[:1]
    shown = downstream.test(weights, on=['fused', 'vi'])
    assert jobs[-1:] == ['run']
    assert len(jobs) == 5
    assert shown[0].out == own.out
    assert shown[1].inputs == ('vi',)
    assert 'shown vi' in Path('work_dirs/small/downstream/test_report.md').read_text()
    with pytest.raises(ValueError, match="there is no input 'depth'; there are ir, vi and fused"):
        downstream.test(weights, on=['depth'])
    with pytest.raises(ValueError, match='sees 1 pictures at a time'):
        downstream.test(weights, on=['vi+ir'])

    # other weights: nothing was trained on their pictures
    early = weights.with_name('iter_2.pth')
    with pytest.raises(FileNotFoundError, match='--segmentor RUN_FOLDER'):
        downstream.test(early)
    assert len(jobs) == 5


@needs_mmseg
def test_shipped_configs_build_and_know_their_inputs():
    folder = ROOT / 'configs' / 'segmentation'
    tasks = {task.name: task for task in read_tasks([str(file) for file in sorted(folder.glob('*.py'))])}
    assert tasks['segformer_b2_both'].inputs == ('vi', 'ir')
    assert tasks['segformer_b0_fused'].inputs == ('fused',)
    assert (
        len(tasks['segformer_b2_fused'].pictures['classes'])
        == len(tasks['segformer_b2_fused'].pictures['palette'])
        == 9
    )
    assert len({task.identity for task in tasks.values()}) == len(tasks)


def command(tool: str, *arguments: str) -> subprocess.CompletedProcess:
    environment = dict(os.environ, CUDA_VISIBLE_DEVICES='')
    line = [sys.executable, str(ROOT / 'tools' / tool), *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=300, env=environment)


def test_missing_extra_is_said_before_training(chained, monkeypatch):
    monkeypatch.setattr(networks, 'find_spec', lambda name: None if name == 'mmseg' else True)
    with pytest.raises(ImportError, match=r"extra `seg`, missing: mmseg\. pip install 'lurefusion\[seg\]'"):
        Downstream(chained / 'small.py')
    assert not Path('work_dirs').exists()


@needs_mmseg
def test_config_without_a_task_says_what_to_name(small):
    assert Downstream(small / 'small.py').tasks[0].name == 'segformer_demo'
    with open(small / 'small_stage2.py', 'a') as file:
        file.write('downstream = []\n')
    with pytest.raises(ValueError, match=r'has no entry `downstream = \[\.\.\.\]`; .*segformer_b0_fused\.py'):
        Downstream(small / 'small.py')
    with pytest.raises(ValueError, match='trains stage 1 alone'):
        Downstream(small / 'small_stage1.py', ['x.py'])


@needs_mmseg
def test_mistakes_end_in_one_line_before_training(chained):
    run = command(
        'train.py', str(chained / 'small.py'), '--downstream', '--downstream-options', 'model.decode_head.num_classes=5'
    )
    assert run.returncode == 1
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith('error: model.decode_head.num_classes=5, but the labels have 9 classes')
    assert 'Traceback' not in run.stderr
    assert not list(Path('.').glob('work_dirs/*/small_stage1'))


def test_statistics_tool(tmp_path):
    for folder, value in (('a', 10), ('b', 200)):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / 'x.png'), torch.full((8, 9, 3), value, dtype=torch.uint8).numpy())
    run = command(
        'channel_statistics.py', str(tmp_path / 'a'), str(tmp_path / 'b'), '--out', str(tmp_path / 'out.json')
    )
    assert run.returncode == 0, run.stderr
    assert json.loads((tmp_path / 'out.json').read_text())['mean'] == [10, 10, 10, 200, 200, 200]


@needs_mmseg
@pytest.mark.parametrize('variable', ['RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'])
def test_one_process_of_a_launcher_does_it(chained, monkeypatch, variable):
    monkeypatch.setenv(variable, '1')
    assert Downstream(chained / 'small.py').idle
    monkeypatch.setenv(variable, '0')
    assert not Downstream(chained / 'small.py').idle
