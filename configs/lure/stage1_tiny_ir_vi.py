# Stage 1 on two CPU cores: real restoration pairs where there are any, made ones of clean pictures beside them.
_base_ = [
    '../_base_/models/lure_tiny.py',
    '../_base_/datasets/restoration_tiny_ir_vi.py',
    '../_base_/schedules/stage1.py',
    '../_base_/default_runtime.py',
]
model = dict(losses=dict(unified=dict(warmup=1 / 9)))
train_cfg = dict(max_iters=4500, val_interval=0.2)
optim_wrapper = dict(optimizer=dict(lr=1.5e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=1 / 45),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=1 / 45, eta_min=1e-5),
]
default_hooks = dict(checkpoint=dict(interval=250), ema=dict(type='EMAHook', momentum=0.002))
