# Restoration pairs and pairs to fuse, a batch of each in every step; pairs to fuse are clean or spoilt, one or both.
_base_ = './fusion_tiny_more_ir_vi.py'
leave_out = [
    'restoration_val.tsv',
    'LOL/our485/high/100.png',
    'LOL/our485/high/729.png',
    'LOL/our485_more/high/132.webp',
    'LOL/our485_more/high/475.webp',
    'LOL/our485_more/high/476.webp',
]
degradations = dict(
    ll=dict(type='LowLight'),
    oe=dict(type='OverExposure'),
    hz=dict(type='Haze'),
    lc=dict(type='LowContrast'),
    sr=dict(type='LowResolution', scales=(4, 8), down='random'),
    # clean pictures stay as they are
    pd=dict(type='Identity'),
)
# folder -> times, clean pictures to spoil: cameras count about alike
visible = {
    'MSRS/train/vi': 6,
    'RoadScene/train/vi': 1,
    'M3SVD/train_more/visible': 2,
    'LLVIP/train_more/vi': 2,
}
infrared = {
    'MSRS/train/ir': 3,
    'MSRS/train_ir_only/ir': 3,
    'RoadScene/train/ir': 1,
    'M3SVD/train_more/infrared': 2,
    'LLVIP/train_more/ir': 2,
}
load = dict(type='LoadImages', cache_mb=1000)
depth = dict(type='FrameDepth', ramp=(0.1, 1.5), relief=(0.0, 0.3))
# many scales: a map of the whole scene in a crop, and detail as it is
crop = dict(type='RandomCrop', size=128, scale=(0.25, 0.8), scale_prob=0.8)
flip, degrade = dict(type='RandomFlip'), dict(type='Degrade')
choices = [
    (4, {}),
    (1, dict(vi='ll')),
    (1.5, dict(vi='hz')),
    (2, dict(vi='oe')),
    (3.5, dict(ir='lc')),
    (0.5, dict(ir='sr')),
    (1, dict(vi='ll', ir='lc')),
    (1, dict(vi='oe', ir='lc')),
]
draw = dict(type='DrawTasks', degradations=degradations, choices=choices)
restoration = dict(
    batch_size=5,
    num_workers=0,
    sampler=dict(type='TaskUniformSampler', ratios=dict(ll=2.0, hz=2.0, oe=2.5, lc=1.5, sr=1.5, pd=1.5)),
    dataset=dict(
        type='MixDataset',
        missing='error',
        pipeline=[load, depth, crop, flip, degrade, dict(type='PackInputs')],
        datasets=[
            *[
                dict(type=kind, split=split, leave_out=leave_out)
                for kind, split in [
                    ('LOL', 'our485_more'),
                    ('RESIDE', 'SOTS_indoor_more'),
                    ('HDRPS', 'train'),
                    ('HDRPS', 'brackets'),
                ]
            ],
            *[
                dict(
                    type='RestorationDataset',
                    data_prefix=dict(y=folder),
                    times=times,
                    leave_out=leave_out,
                    task=task,
                    modality=modality,
                    degradation=degradations[task],
                )
                for tasks, modality, folders in [
                    (('ll', 'oe', 'hz', 'pd'), 'vi', visible),
                    (('lc', 'sr', 'pd'), 'ir', infrared),
                ]
                for task in tasks
                for folder, times in folders.items()
            ],
        ],
    ),
)
fusion = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='SeededSampler'),
    dataset=dict(
        type='MixDataset',
        missing='error',
        pipeline=[load, draw, depth, crop, flip, degrade, dict(type='PackInputs', references=True)],
        datasets=[
            dict(type='MSRS', split='train', times=4),
            dict(type='MSRS', split='train_128'),
            dict(type='RoadScene', split='train'),
            dict(type='M3SVD', split='train_more', times=2),
            dict(type='LLVIP', split='train_more', times=2),
        ],
    ),
)
train_dataloader = dict(_delete_=True, restoration=restoration, fusion=fusion)
