"""A pipeline small enough to train in seconds: rendered scenes, a network of two levels."""

from pathlib import Path

import pytest

STAGE1 = """
_base_ = 'lurefusion::lure/stage1_demo.py'
scenes = dict(type='EmbeddedRestoration', num=2, size=(64, 64))
pipeline = [dict(type='LoadImages'), dict(type='RandomCrop', size=32), dict(type='RandomFlip'), dict(type='Degrade'),
            dict(type='PackInputs')]
model = dict(
    data_preprocessor=dict(size_divisor=2),
    text_encoder=dict(backbone=dict(dim=64), out_dim=32),
    image_encoder=dict(patch=1, channels=(8, 8), latent_channels=(4, 4), K_bt=(1, 1), K_tb=(1, 1)),
    decoder=dict(K_dec=(1, 1), widths=None),
    fuser=dict(K_f=(1, 1), widths=None),
)
train_dataloader = dict(batch_size=2)
train_dataloader['dataset'] = dict(_delete_=True, type='MixDataset', missing='error', pipeline=pipeline, datasets=[
    dict(scenes, task='ll', modality='vi', degradation=dict(type='LowLight')),
    dict(scenes, task='lc', modality='ir', degradation=dict(type='LowContrast')),
])
val_dataloader = dict(dataset=dict(_delete_=True, type='MixDataset', datasets=[
    dict(scenes, first=50, num=1, test_mode=True, pipeline=pipeline[3:], task='ll', modality='vi',
         degradation=dict(type='LowLight')),
]))
train_cfg = dict(max_iters=6, val_interval=6)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end=6, T_max=6)]
default_hooks = dict(checkpoint=dict(interval=2, max_keep_ckpts=9), logger=dict(interval=1))
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
custom_hooks = [dict(type='StripHook'), dict(type='LatentDiagnosticsHook', interval=2), dict(type='FrozenCheckHook')]
"""
STAGE2 = """
_base_ = 'lurefusion::lure/stage2_demo.py'
model = dict(
    data_preprocessor=dict(size_divisor=2),
    text_encoder=dict(backbone=dict(dim=64), out_dim=32),
    image_encoder=dict(patch=1, channels=(8, 8), latent_channels=(4, 4), K_bt=(1, 1), K_tb=(1, 1)),
    decoder=dict(K_dec=(1, 1), widths=None),
    fuser=dict(K_f=(1, 1), widths=None),
)
init_from = dict(stage='small_stage1')
scenes = dict(type='EmbeddedScenes', num=2, size=(64, 64))
pipeline = [dict(type='LoadImages'), dict(type='RandomCrop', size=32), dict(type='PackInputs')]
train_dataloader = dict(batch_size=2, dataset=dict(_delete_=True, pipeline=pipeline, **scenes))
held_out = dict(scenes, first=50, num=1, test_mode=True, pipeline=[dict(type='Degrade'), dict(type='PackInputs')])
val_dataloader = dict(dataset=dict(_delete_=True, **held_out))
loader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = [
    dict(loader, name='clean', dataset=held_out),
    dict(loader, name='LL', dataset=dict(held_out, tasks=dict(vi='ll'), degradations=dict(vi=dict(type='LowLight')))),
    dict(loader, name='gone', dataset=dict(type='TNO', test_mode=True)),
]
test_evaluator = [
    [dict(type='FusionMetrics', metrics=('CC', 'PSNR'))],
    [dict(type='FusionMetrics', metrics=('CC', 'PSNR'), against='references')],
    [dict(type='FusionMetrics', metrics=('CC', 'PSNR'))],
]
train_cfg = dict(max_iters=4, val_interval=4)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end=4, T_max=4)]
default_hooks = dict(checkpoint=dict(interval=2, max_keep_ckpts=9), logger=dict(interval=1))
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
custom_hooks = [dict(type='StripHook'), dict(type='FrozenCheckHook')]
"""


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with small_stage1.py, small_stage2.py and the pipeline small.py; the current folder is another one."""
    folder = tmp_path / 'configs'
    folder.mkdir()
    (folder / 'small_stage1.py').write_text(STAGE1)
    (folder / 'small_stage2.py').write_text(STAGE2)
    (folder / 'small.py').write_text("stages = ['small_stage1.py', 'small_stage2.py']\n")
    run = tmp_path / 'run'
    run.mkdir()
    monkeypatch.chdir(run)
    monkeypatch.delenv('LUREFUSION_DATA', raising=False)
    return folder
