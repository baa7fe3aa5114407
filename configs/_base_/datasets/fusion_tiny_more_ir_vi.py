# As fusion_tiny_ir_vi.py, with more pairs to train on, and colours and people beside the metrics.
_base_ = './fusion_tiny_ir_vi.py'
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImages', cache_mb=1500),
            # from 176 pixels on there is room for all five scales of MS-SSIM
            dict(type='RandomCrop', size=192, scale=(0.4, 1.0)),
            dict(type='RandomFlip'),
            dict(type='PackInputs'),
        ],
        datasets=[
            dict(type='MSRS', split='train', times=4),
            dict(type='MSRS', split='train_128'),
            dict(type='RoadScene', split='train'),
            dict(type='LLVIP', split='train_more', times=2),
            dict(type='M3SVD', split='train', times=2),
            dict(type='M3SVD', split='train_more', times=2),
        ],
    ),
)
shown = dict(type='FusionPairDataset', pipeline=[dict(type='LoadImages'), dict(type='PackInputs')], test_mode=True)
labelled = dict(vi='MSRS/test_dev/vi', ir='MSRS/test_dev/ir', label='MSRS/test_dev/Segmentation_labels')
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='MixDataset',
        datasets=[
            dict(shown, data_prefix=labelled, every=4),
            dict(shown, data_prefix=dict(vi='RoadScene/val/vi', ir='RoadScene/val/ir'), every=5),
        ],
    ),
)
# start: lure-tiny as it was, on these pairs; fixed before the training
val_evaluator = [
    dict(
        type='GoalScore',
        metrics=[
            dict(type='FusionMetrics', metrics='ranked'),
            dict(type='ColourMetrics'),
            dict(type='HeatMetrics', keep='.*D', prefix='day'),
            dict(type='HeatMetrics', keep='.*N', prefix='night'),
        ],
        goals={
            'CC': (0.646, 0.66),
            'SCD': (1.54, 1.58),
            'PSNR': (16.37, 16.5),
            'SSIM': (0.707, 0.715),
            'MS-SSIM': (0.708, 0.716),
            'VIF': (0.826, 0.85),
            'Qabf': (0.633, 0.645),
            'Chroma': (81.7, 98.0),
            'Hue': (5.0, 2.5),
            'day/Heat': (63.0, 78.0),
            'night/Heat': (83.0, 96.0),
        },
    )
]
