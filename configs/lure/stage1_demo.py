# Stage 1 on rendered scenes.
_base_ = './stage1_tiny_ir_vi.py'
scenes = dict(type='EmbeddedRestoration', num=40, size=(192, 256))
pipeline = [
    dict(type='LoadImages'),
    dict(type='RandomCrop', size=64, scale=(0.5, 1.0)),
    dict(type='RandomFlip'),
    dict(type='Degrade'),
    dict(type='PackInputs'),
]
tasks = [
    dict(task='ll', modality='vi', degradation=dict(type='LowLight')),
    dict(task='hz', modality='vi', degradation=dict(type='Haze')),
    dict(task='oe', modality='vi', degradation=dict(type='OverExposure')),
    dict(task='lc', modality='ir', degradation=dict(type='LowContrast')),
    dict(task='sr', modality='ir', degradation=dict(type='LowResolution', scales=(4, 8), down='random')),
]
model = dict(
    image_encoder=dict(channels=(16, 24, 32, 48), K_tb=(1, 1, 1, 1)),
    decoder=dict(widths=(12, 12, 16, 24)),
    fuser=dict(widths=(12, 12, 16, 24)),
    # so few steps have no mean latents worth a loss
    losses=dict(unified=dict(warmup=1 / 15), mean=None),
)
train_dataloader = dict(
    sampler=dict(ratios=None),
    dataset=dict(
        _delete_=True, type='MixDataset', pipeline=pipeline, datasets=[dict(scenes, **task) for task in tasks]
    ),
)
held_out = dict(scenes, first=1000, num=2, test_mode=True, pipeline=[dict(type='Degrade'), dict(type='PackInputs')])
val_dataloader = dict(
    dataset=dict(_delete_=True, type='MixDataset', datasets=[dict(held_out, **task) for task in tasks])
)
train_cfg = dict(max_iters=300, val_interval=1.0)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=1 / 15),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=1 / 15, eta_min=1e-5),
]
optim_wrapper = dict(optimizer=dict(lr=2e-3))
default_hooks = dict(checkpoint=dict(interval=100), logger=dict(interval=20))
