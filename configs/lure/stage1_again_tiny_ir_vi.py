# Stage 1 goes on: a second, shorter cycle of the learning rate with a fresh optimizer.
_base_ = './stage1_tiny_ir_vi.py'
max_iters = 1680
model = dict(losses=dict(unified=dict(warmup=140), mean=dict(start=0, warmup=56)))
init_from = dict(stage='stage1_tiny_ir_vi', prefixes=('text_encoder', 'image_encoder', 'decoder'))
train_cfg = dict(max_iters=max_iters, val_interval=420)
optim_wrapper = dict(optimizer=dict(lr=6e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=28),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=28, end=max_iters, T_max=max_iters - 28, eta_min=1e-5),
]
