# Stage 2 on two CPU cores, for the weights of stage1_tiny_more_ir_vi.py.
_base_ = [
    '../_base_/models/lure_tiny_more.py',
    '../_base_/datasets/fusion_tiny_more_ir_vi.py',
    '../_base_/schedules/stage2.py',
    '../_base_/default_runtime.py',
]
# the fuser keeps the colour: no loss for it
model = dict(
    stage='fusion',
    frozen=('text_encoder', 'image_encoder', 'decoder'),
    fuser=dict(rule=dict(_delete_=True, type='l1_pyramid', power=1.25, base_power=0.25)),
    losses=dict(
        _delete_=True,
        # what there is to see (VIF, Qabf) counts more, or the pair ends near its mean (docs/model_zoo.md)
        quality=dict(type='QualityLoss', weights=dict(SCD=0.4, PSNR=0.7, VIF=2.2, Qabf=2.2)),
        hot=dict(type='HotTargetLoss', weight=1500.0, source='ir'),
        pattern=dict(type='PatternLoss', weight=20.0),
    ),
)
init_from = dict(stage='stage1_tiny_detail_ir_vi', prefixes=('text_encoder', 'image_encoder', 'decoder'))
train_dataloader = dict(batch_size=4)
train_cfg = dict(max_iters=600, val_interval=1 / 3)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, eta_min=1e-5)]
default_hooks = dict(
    checkpoint=dict(interval=200, save_best='score', rule='greater'), ema=dict(type='EMAHook', momentum=0.01)
)
