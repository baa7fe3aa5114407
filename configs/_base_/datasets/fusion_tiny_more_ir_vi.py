# As fusion_tiny_ir_vi.py, with more pairs to train on, and colours and people beside the metrics.
_base_ = './fusion_tiny_ir_vi.py'
train_dataloader = dict(
    dataset=dict(
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
