# Stage 2 on two CPU cores.
_base_ = [
    '../_base_/models/lure_tiny.py',
    '../_base_/datasets/fusion_tiny_ir_vi.py',
    '../_base_/schedules/stage2.py',
    '../_base_/default_runtime.py',
]
# Eq. 7: L2 = L_color + a1 L_grad + a2 L_per; the fuser learns. The decoder stays what stage 1 made of it, so that it
# still restores: trained on clean pairs alone it forgets what restored latents look like
model = dict(
    stage='fusion',
    frozen=('text_encoder', 'image_encoder', 'decoder'),
    # latents that are a picture: their l1 norm is its brightness, that of their bands tells what there is to see
    fuser=dict(rule=dict(_delete_=True, type='l1_pyramid', power=1.25, base_power=0.25)),
    losses=dict(
        _delete_=True,
        # the rule mixes channels, and grey infrared takes half of the colour
        color=dict(type='ColorLoss', weight=80.0, source='vi'),
        grad=dict(type='GradLoss', weight=40.0, mode='position'),
        # so high a temperature weighs both sources alike: nearest to both, and no source is preferred for its noise
        per=dict(type='PerceptualLoss', weight=10.0, mode='u2', temperature=1.0),
        # without VGG features nothing else asks for bright things, and for the heat of people in dark coats
        int=dict(type='IntensityMaxLoss', weight=25.0, space='luma'),
        hot=dict(type='HotTargetLoss', weight=2000.0, source='ir'),
        # blocks of 2x2 pixels leave alternating rows, which the gradients of Eq. 8 cannot see
        pattern=dict(type='PatternLoss', weight=20.0),
    ),
)
init_from = dict(stage='stage1_tiny_ir_vi', prefixes=('text_encoder', 'image_encoder', 'decoder'))
train_dataloader = dict(batch_size=3)
# longer, the fuser takes ever harder decisions, and structural similarity falls (docs/model_zoo.md)
train_cfg = dict(max_iters=225, val_interval=1.0)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, eta_min=1e-5)]
default_hooks = dict(checkpoint=dict(interval=100), ema=dict(type='EMAHook', momentum=0.01))
downstream = [f'lurefusion::segmentation/segformer_b0_{name}.py' for name in ('infrared', 'visible', 'both', 'fused')]
