# The paper's restoration sets: LC from EMS, SR from LLVIP infrared, HZ from RESIDE, OE from Exposure-Errors,
# LL from LOL.
train_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='TaskUniformSampler'),
    dataset=dict(
        type='MixDataset',
        missing='error',
        pipeline=[
            dict(type='LoadImages'),
            dict(type='RandomCrop', size=192),
            dict(type='RandomFlip'),
            dict(type='Degrade'),
            dict(type='PackInputs'),
        ],
        datasets=[
            dict(type='LOL', split='our485'),
            dict(type='RESIDE', split='OTS'),
            dict(type='ExposureErrors', split='training'),
            dict(type='EMSLowContrast', split='train'),
            dict(
                type='RestorationDataset',
                data_prefix=dict(y='LLVIP/train/ir'),
                task='sr',
                modality='ir',
                degradation=dict(type='LowResolution', scales=(4, 8)),
            ),
        ],
    ),
)
test_pipeline = [dict(type='LoadImages'), dict(type='PackInputs')]
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='LOL', split='eval15', pipeline=test_pipeline, test_mode=True),
)
val_evaluator = [dict(type='RestorationMetrics')]
test_dataloader = [dict(val_dataloader, name='LOL')]
test_evaluator = [val_evaluator]
