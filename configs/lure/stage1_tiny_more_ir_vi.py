# Stage 1 on two CPU cores, from all pictures there are, for nine tasks.
_base_ = [
    '../_base_/models/lure_tiny_more.py',
    '../_base_/datasets/restoration_tiny_more_ir_vi.py',
    '../_base_/schedules/stage1.py',
    '../_base_/default_runtime.py',
]
# learns by itself, from whole pictures, when all else has learned: tools/train_tone.py
model = dict(frozen=('image_encoder.tone',))
# the former weights know six of the tasks; the head of the text encoder has another size
init_from = dict(
    checkpoint='lure-tiny',
    prefixes=('text_encoder.projector.norm', 'text_encoder.projector.linear', 'image_encoder', 'decoder'),
)
train_cfg = dict(max_iters=6_000, val_interval=1 / 6)
optim_wrapper = dict(optimizer=dict(lr=8e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=1 / 30),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=1 / 30, eta_min=1e-5),
]
default_hooks = dict(
    checkpoint=dict(interval=250, save_best='score', rule='greater'), ema=dict(type='EMAHook', momentum=0.002)
)
