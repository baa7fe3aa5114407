# all else that counts steps is a part of it, and a schedule without an end lasts as long
train_cfg = dict(type='SeekingTrainLoop', max_iters=200_000, val_interval=0.05)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='MultiTestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-4, betas=(0.9, 0.99), weight_decay=1e-4),
    clip_grad=dict(max_norm=1.0),
    constructor='GroupedOptimWrapperConstructor',
    # gates, temperatures and scales must be free to grow
    paramwise_cfg=dict(no_decay=('beta', 'gamma', 'temperature', 'gate', 'modality', 'zero')),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=0.01),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=0.01, eta_min=1e-6),
]
