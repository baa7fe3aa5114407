# After stage 1: the detail branch alone, by what the network restores of low resolution; half an hour of a core.
_base_ = './stage1_tiny_more_ir_vi.py'
parts = ('stem', 'levels', 'down', 'tone', 'detail.gate')
model = dict(
    frozen=('text_encoder', 'decoder', *(f'image_encoder.{part}' for part in parts)),
    losses=dict(
        _delete_=True,
        detail=dict(type='DetailLoss', tasks=('sr',), whole=True, gate_weight=0),
    ),
)
init_from = dict(_delete_=True, stage='stage1_tiny_more_ir_vi', prefixes=('text_encoder', 'image_encoder', 'decoder'))
train_dataloader = dict(
    sampler=dict(_delete_=True, type='TaskUniformSampler'),
    dataset=dict(
        datasets=[
            dict(
                type='RestorationDataset',
                data_prefix=dict(y=folder),
                times=times,
                task='sr',
                modality='ir',
                # what a factor of four takes away is less, and harder to win back
                degradation=dict(type='LowResolution', scales=(4, 4, 8), down='random'),
                pipeline=_base_.native,
            )
            for folder, times in _base_.infrared.items()
        ],
    ),
)
train_cfg = dict(max_iters=1_600)
optim_wrapper = dict(optimizer=dict(lr=3e-3))
default_hooks = dict(checkpoint=dict(interval=200, save_best='x4/PSNR_out'), ema=dict(momentum=0.01))
