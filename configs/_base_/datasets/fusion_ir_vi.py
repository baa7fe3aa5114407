# Fusion pairs: MSRS for training; MSRS, M3FD, TNO and RoadScene for testing (Tables 1 and 2).
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='SeededSampler'),
    dataset=dict(
        type='MixDataset',
        missing='error',
        pipeline=[
            dict(type='LoadImages'),
            dict(type='RandomCrop', size=192),
            dict(type='RandomFlip'),
            dict(type='PackInputs'),
        ],
        datasets=[dict(type='MSRS', split='train')],
    ),
)
test_pipeline = [dict(type='LoadImages'), dict(type='PackInputs')]
test_metrics = [dict(type='FusionMetrics', metrics=('CC', 'SCD', 'PSNR', 'SSIM', 'EN', 'SD', 'AG', 'SF'))]
loader = dict(batch_size=1, num_workers=2, sampler=dict(type='DefaultSampler', shuffle=False))
val_dataloader = dict(loader, dataset=dict(type='MSRS', split='test', pipeline=test_pipeline, test_mode=True, every=12))
val_evaluator = test_metrics
test_dataloader = [
    dict(loader, name='MSRS', dataset=dict(type='MSRS', split='test', pipeline=test_pipeline, test_mode=True)),
    dict(loader, name='M3FD', dataset=dict(type='M3FD', pipeline=test_pipeline, test_mode=True)),
    dict(loader, name='TNO', dataset=dict(type='TNO', pipeline=test_pipeline, test_mode=True)),
    dict(
        loader, name='RoadScene', dataset=dict(type='RoadScene', split='test', pipeline=test_pipeline, test_mode=True)
    ),
]
test_evaluator = [test_metrics] * len(test_dataloader)
