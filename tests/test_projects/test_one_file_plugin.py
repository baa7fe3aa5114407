"""Encoder, rule, loss, degradation, metric and data set in one file of at most 120 lines: trained, tested, fused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lurefusion.datasets.scenes import render_scene
from lurefusion.io.images import read_image, write_image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SHARED = """
custom_imports = dict(imports=['one_file_plugin'])
dead = dict(
    key='dc', modality='ir', canonical='The infrared image has dead columns, please fill them.',
    defects=('dead columns', 'black columns'), remedies=('fill the columns of {image}',),
    states=('full of dead columns',),
    patterns=(r'\\b(?:dead|black) columns\\b',),
)
prompts = dict(tasks=('ll', dead, 'pd'), per_template=2)
encoder = dict(_delete_=True, type='SmallEncoder')
decoder = dict(_delete_=True, type='LUREDecoder', K_dec=(1,))
"""
STAGE1 = """
_base_ = ['lurefusion::lure/stage1_demo.py', './shared.py']
scenes = dict(type='EmbeddedRestoration', num=2, size=(48, 64))
model = dict(prompts=_base_.prompts, image_encoder=_base_.encoder, decoder=_base_.decoder, losses=dict(
    _delete_=True, task=dict(type='TaskLoss'), unified=dict(type='UnifiedLoss', weight=0.2),
    recon=dict(type='ReconLoss'), text=dict(type='TextLoss', weight=0.1),
))
sets = [
    dict(scenes, task='ll', modality='vi', degradation=dict(type='LowLight')),
    dict(scenes, task='dc', modality='ir', degradation=dict(type='DeadColumns')),
]
train_dataloader = dict(dataset=dict(datasets=sets), batch_size=2)
val_cfg = val_dataloader = val_evaluator = None
train_cfg = dict(max_iters=3)
"""
STAGE2 = """
_base_ = ['lurefusion::lure/stage2_demo.py', './shared.py']
init_from = dict(stage='stage1')
fuser = dict(_delete_=True, type='CrossAttentionFuser', K_f=(1,), rule='median')
model = dict(prompts=_base_.prompts, image_encoder=_base_.encoder, decoder=_base_.decoder, fuser=fuser, losses=dict(
    _delete_=True, grad=dict(type='GradLoss'), even=dict(type='EvenColumns', weight=0.5),
))
pairs = dict(type='OneFolder', folder='pairs')
train_dataloader = dict(batch_size=2, dataset=dict(
    pairs, _delete_=True, pipeline=[dict(type='LoadImages'), dict(type='RandomCrop', size=32), dict(type='PackInputs')],
))
held_out = dict(
    pairs, test_mode=True, pipeline=[dict(type='LoadImages'), dict(type='Degrade'), dict(type='PackInputs')],
    tasks=dict(ir='dc'), degradations=dict(ir=dict(type='DeadColumns')),
)
test_dataloader = [dict(
    batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False), name='dead', dataset=held_out,
)]
test_evaluator = [[dict(type='FusionMetrics', metrics=('CC', 'Steps'), against='references')]]
val_cfg = val_dataloader = val_evaluator = None
train_cfg = dict(max_iters=3)
downstream = []
"""


def run(*words: str, at: Path) -> str:
    """Output of `lurefusion WORDS`, which has to end well."""
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(at), str(ROOT)]), 'LUREFUSION_DATA': str(at)}
    command = [sys.executable, '-m', 'lurefusion', *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=at, env=environment)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout + done.stderr


def test_it_is_short() -> None:
    assert (HERE / 'one_file_plugin.py').read_text().count('\n') <= 120


@pytest.mark.slow
def test_one_file_is_enough_for_a_new_fault(tmp_path: Path) -> None:
    shutil.copy(HERE / 'one_file_plugin.py', tmp_path)
    configs = dict(shared=SHARED, stage1=STAGE1, stage2=STAGE2, both="stages = ['stage1.py', 'stage2.py']\n")
    for name, text in configs.items():
        (tmp_path / f'{name}.py').write_text(text)
    for number in range(2):
        scene = render_scene(number, (48, 64))
        for name, picture in (('vi', scene.visible), ('ir', scene.infrared)):
            write_image(tmp_path / 'pairs' / f'{number}.{name}.png', picture)
            write_image(tmp_path / name / f'{number}.png', picture)
    log = run('train', 'both.py', at=tmp_path)
    assert 'loss_even' in log
    report = run('test', 'both.py', at=tmp_path)
    assert 'Steps' in report
    weights = next((tmp_path / 'work_dirs' / 'both' / 'stage2').glob('*.pth'))
    said = run(
        'fuse', '--vi', 'vi', '--ir', 'ir', '--out', 'fused', '--model', 'stage2.py', '--weights', str(weights),
        '--prompt', 'the thermal picture has dead columns', at=tmp_path,
    )  # fmt: skip
    assert 'ir: dc' in said
    fused, _ = read_image(tmp_path / 'fused' / '0.png')
    assert fused.shape == (48, 64, 3)
    assert np.ptp(fused) > 0
    table = run(
        'eval', 'fused', '--vi', 'vi', '--ir', 'ir', '--metrics', 'CC', 'Steps', '--import', 'one_file_plugin.py',
        at=tmp_path,
    )  # fmt: skip
    assert 'Steps' in table
