# Fusion pairs: MSRS for training, the paper's protocol for testing.
_base_ = './protocol_ir_vi.py'
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
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='MSRS', split='test', pipeline={{_base_.test_pipeline}}, test_mode=True, every=12),
)
val_evaluator = {{_base_.vanilla_metrics}}
