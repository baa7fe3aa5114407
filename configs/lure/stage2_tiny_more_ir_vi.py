# Stage 2 on two CPU cores, for the weights of stage1_tiny_more_ir_vi.py.
_base_ = [
    '../_base_/models/lure_tiny_more.py',
    '../_base_/datasets/fusion_tiny_more_ir_vi.py',
    '../_base_/schedules/stage2.py',
    '../_base_/default_runtime.py',
]
# as in stage2_tiny_ir_vi.py, but without the loss of colour: the fuser keeps it
model = dict(
    stage='fusion',
    frozen=('text_encoder', 'image_encoder', 'decoder'),
    fuser=dict(rule=dict(_delete_=True, type='l1_pyramid', power=1.25, base_power=0.25)),
    losses=dict(
        _delete_=True,
        grad=dict(type='GradLoss', weight=40.0, mode='position'),
        per=dict(type='PerceptualLoss', weight=10.0, mode='u2', temperature=1.0),
        int=dict(type='IntensityMaxLoss', weight=25.0, space='luma'),
        hot=dict(type='HotTargetLoss', weight=2000.0, source='ir'),
        pattern=dict(type='PatternLoss', weight=20.0),
    ),
)
init_from = dict(stage='stage1_tiny_more_ir_vi', prefixes=('text_encoder', 'image_encoder', 'decoder'))
train_dataloader = dict(batch_size=6)
train_cfg = dict(max_iters=225, val_interval=1 / 3)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, eta_min=1e-5)]
default_hooks = dict(
    checkpoint=dict(interval=75, save_best='score', rule='greater'), ema=dict(type='EMAHook', momentum=0.01)
)
