# Real pairs of four public sets for training; road scenes that were never trained on, clean and degraded, for testing.
_base_ = './restoration_tiny_ir_vi.py'
train_dataloader = dict(
    _delete_=True,
    batch_size=4,
    num_workers=0,
    sampler=dict(type='SeededSampler'),
    dataset=dict(
        type='MixDataset',
        missing='error',
        pipeline=[
            dict(type='LoadImages', cache_mb=1500),
            dict(type='RandomCrop', size=128, scale=(0.4, 1.0)),
            dict(type='RandomFlip'),
            dict(type='PackInputs'),
        ],
        datasets=[
            dict(type='MSRS', split='train', times=4),
            dict(type='MSRS', split='train_128'),
            dict(type='RoadScene', split='train'),
            dict(type='LLVIP', split='train', times=4),
            dict(type='M3SVD', split='train', times=4),
        ],
    ),
)
columns = ('CC', 'SCD', 'PSNR', 'SSIM', 'MS-SSIM', 'VIF', 'Qabf', 'EN', 'SD', 'AG', 'SF')
test_metrics = [dict(type='FusionMetrics', metrics=columns)]
degraded_metrics = [dict(type='FusionMetrics', metrics=columns, against='references')]
pair = dict(type='FusionPairDataset', pipeline={{_base_.test_pipeline}}, test_mode=True)
loader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False))
degraded = [
    dict(
        pair,
        data_prefix=dict(
            vi=f'degraded_val/{vi}/vi' if vi else 'MSRS/test_dev/vi',
            ir=f'degraded_val/{ir}/ir' if ir else 'MSRS/test_dev/ir',
            reference_vi='MSRS/test_dev/vi',
            reference_ir='MSRS/test_dev/ir',
        ),
        stems='vi' if vi else 'ir',
        tasks={name: task for name, task in (('vi', vi_task), ('ir', ir_task)) if task},
    )
    for vi, vi_task, ir, ir_task in [
        ('low_light', 'll', None, None),
        ('haze', 'hz', None, None),
        ('over_exposure', 'oe', None, None),
        (None, None, 'low_contrast', 'lc'),
        (None, None, 'sr4', 'sr'),
        (None, None, 'sr8', 'sr'),
        ('low_light', 'll', 'low_contrast', 'lc'),
        ('over_exposure', 'oe', 'low_contrast', 'lc'),
        ('haze', 'hz', 'sr4', 'sr'),
    ]
]
names = ('LL', 'HZ', 'OE', 'LC', 'SR4', 'SR8', 'LL+LC', 'OE+LC', 'HZ+SR4')
# not the official test splits: other names than the paper's
msrs = dict(pair, data_prefix=dict(vi='MSRS/test_dev/vi', ir='MSRS/test_dev/ir'))
roadscene = dict(pair, data_prefix=dict(vi='RoadScene/val/vi', ir='RoadScene/val/ir'))
val_dataloader = dict(_delete_=True, **loader, dataset=dict(roadscene, every=6))
val_evaluator = test_metrics
test_dataloader = [
    dict(loader, name='MSRS_dev', dataset=msrs),
    dict(loader, name='RoadScene_val', dataset=roadscene),
    *[dict(loader, name=f'{name}_dev', dataset=dataset) for name, dataset in zip(names, degraded, strict=True)],
]
test_evaluator = [test_metrics] * 2 + [degraded_metrics] * len(degraded)
