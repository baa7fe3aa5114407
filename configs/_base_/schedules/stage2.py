_base_ = './stage1.py'
train_cfg = dict(max_iters=20_000, val_interval=0.1)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, eta_min=1e-6)]
