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
# folder -> times: cameras count about alike, whatever the number of their pictures
visible = {
    'MSRS/train/vi': 4,
    'MSRS/train_128/vi': 1,
    'RoadScene/train/vi': 1,
    'M3SVD/train_more/visible': 2,
    'LLVIP/train_more/vi': 2,
    'LOL/our485/high': 1,
    'LOL/our485_more/high': 1,
    'RESIDE/SOTS_indoor_more/clear': 1,
    'HDRPS/brackets/gt': 2,
}
infrared = {
    'MSRS/train/ir': 3,
    'MSRS/train_ir_only/ir': 3,
    'RoadScene/train/ir': 1,
    'LLVIP/train_more/ir': 2,
    'M3SVD/train_more/infrared': 2,
}
degradations = dict(
    ll=dict(type='LowLight'),
    oe=dict(type='OverExposure'),
    hz=dict(type='Haze'),
    lc=dict(type='LowContrast'),
    sr=dict(type='LowResolution', scales=(4, 8), down='random'),
)
load = dict(type='LoadImages', cache_mb=2500)
depth = dict(type='FrameDepth', ramp=(0.1, 1.5), relief=(0.0, 0.3))
# many scales: a map of the whole scene in a crop, and detail as it is
crop = dict(type='RandomCrop', size=128, scale=(0.25, 1.0), scale_prob=0.8)
steps = [load, depth, crop, dict(type='RandomFlip'), dict(type='Degrade')]
restoration = dict(
    batch_size=5,
    num_workers=0,
    sampler=dict(type='TaskUniformSampler', ratios=dict(ll=2.0, hz=2.0, oe=1.25, lc=1.0, sr=0.5)),
    dataset=dict(
        type='MixDataset',
        missing='error',
        pipeline=[*steps, dict(type='PackInputs')],
        datasets=[
            *[
                dict(type=kind, split=split, times=times, leave_out=leave_out)
                for kind, split, times in [
                    ('LOL', 'our485', 3),
                    ('LOL', 'our485_more', 3),
                    ('RESIDE', 'SOTS_indoor', 6),
                    ('RESIDE', 'SOTS_indoor_more', 6),
                    ('HDRPS', 'train', 6),
                    ('HDRPS', 'brackets', 6),
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
                for task, modality, folders in [
                    ('ll', 'vi', visible),
                    ('oe', 'vi', visible),
                    ('hz', 'vi', visible),
                    ('lc', 'ir', infrared),
                    ('sr', 'ir', infrared),
                ]
                for folder, times in folders.items()
            ],
        ],
    ),
)
pairs = [
    ('MSRS', 'train', 4),
    ('MSRS', 'train_128', 1),
    ('RoadScene', 'train', 1),
    ('LLVIP', 'train_more', 2),
    ('M3SVD', 'train_more', 2),
]
fusion = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='SeededSampler'),
    dataset=dict(
        type='MixDataset',
        missing='error',
        pipeline=[*steps, dict(type='PackInputs', references=True)],
        datasets=[
            dict(
                type=kind,
                split=split,
                times=times * often,
                tasks=tasks,
                degradations={modality: degradations[task] for modality, task in tasks.items()},
            )
            for kind, split, times in pairs
            for often, tasks in [
                (5, {}),
                (1, dict(vi='ll')),
                (1, dict(vi='hz')),
                (1, dict(vi='oe')),
                (1, dict(ir='lc')),
                (1, dict(ir='sr')),
                (1, dict(vi='ll', ir='lc')),
            ]
        ],
    ),
)
train_dataloader = dict(_delete_=True, restoration=restoration, fusion=fusion)
