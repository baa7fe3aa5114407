# Stage 2 on rendered scenes, and a test on scenes that were never trained on, clean and degraded.
_base_ = './stage2_tiny_ir_vi.py'
model = dict(
    image_encoder=dict(channels=(16, 24, 32, 48), K_tb=(1, 1, 1, 1)),
    decoder=dict(widths=(12, 12, 16, 24)),
    fuser=dict(widths=(12, 12, 16, 24)),
)
init_from = dict(stage='stage1_demo')
pipeline = [
    dict(type='LoadImages'),
    dict(type='RandomCrop', size=96, scale=(0.5, 1.0)),
    dict(type='RandomFlip'),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    dataset=dict(_delete_=True, type='EmbeddedScenes', num=40, size=(192, 256), pipeline=pipeline),
)
held_out = dict(
    type='EmbeddedScenes',
    first=1000,
    num=8,
    size=(192, 256),
    test_mode=True,
    pipeline=[dict(type='Degrade'), dict(type='PackInputs')],
)
val_dataloader = dict(dataset=dict(_delete_=True, **dict(held_out, num=2)))
test_sets = [
    ('clean', {}),
    ('LL', dict(vi=('ll', dict(type='LowLight', gain=0.5, gamma=2.2)))),
    ('HZ', dict(vi=('hz', dict(type='Haze', beta=1.5, airlight=0.85)))),
    ('OE', dict(vi=('oe', dict(type='OverExposure', stops=1.5)))),
    ('LC', dict(ir=('lc', dict(type='LowContrast', gain=0.3, level=0.45)))),
    ('SR4', dict(ir=('sr', dict(type='LowResolution', scales=(4,), down='area')))),
    (
        'LL+LC',
        dict(
            vi=('ll', dict(type='LowLight', gain=0.5, gamma=2.2)),
            ir=('lc', dict(type='LowContrast', gain=0.3, level=0.45)),
        ),
    ),
]
test_loader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = [
    dict(
        test_loader,
        name=name,
        dataset=dict(
            held_out,
            tasks={modality: task for modality, (task, _) in spoilt.items()},
            degradations={modality: how for modality, (_, how) in spoilt.items()},
        ),
    )
    for name, spoilt in test_sets
]
test_evaluator = [{{_base_.test_metrics}}] + [{{_base_.degraded_metrics}}] * (len(test_sets) - 1)
train_cfg = dict(max_iters=100, val_interval=1.0)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, eta_min=1e-5)]
default_hooks = dict(checkpoint=dict(interval=50), logger=dict(interval=20))
downstream = ['lurefusion::segmentation/segformer_demo.py']
