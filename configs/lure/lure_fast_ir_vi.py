# lure-fast: restoration and fusion at once, 20 minutes of two CPU cores, taught by lure-tiny; its text encoder too.
_base_ = [
    '../_base_/models/lure_fast.py',
    '../_base_/datasets/joint_fast_ir_vi.py',
    '../_base_/schedules/stage1.py',
    '../_base_/default_runtime.py',
]
init_from = dict(checkpoint='lure-tiny', prefixes=('text_encoder',))
train_cfg = dict(type='JointTrainLoop', max_iters=3_000)
optim_wrapper = dict(optimizer=dict(lr=3e-3, weight_decay=1e-3), clip_grad=dict(max_norm=20.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=100, eta_min=1e-5),
]
default_hooks = dict(checkpoint=dict(interval=250), ema=dict(type='EMAHook', momentum=0.005))
custom_hooks = [dict(type='StripHook'), dict(type='FrozenCheckHook')]
# a training of minutes is looked at when it is over: tools/test.py
val_cfg = val_dataloader = val_evaluator = None
