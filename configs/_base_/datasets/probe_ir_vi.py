# Scene-matched probe of the latent space: the same crops under every task, and clean under the pseudo prompt.
# The formulas are those of degraded_val; what they draw depends on the sample's number alone.
folders = dict(vi='MSRS/test_dev/vi', ir='MSRS/test_dev/ir')
made = [
    ('vi', 'll', dict(type='LowLight', gain=0.5, gamma=2.2)),
    ('vi', 'hz', dict(type='Haze', beta=1.5, airlight=0.85)),
    ('vi', 'oe', dict(type='OverExposure', stops=1.5)),
    ('vi', 'pd', dict(type='Identity')),
    ('ir', 'lc', dict(type='LowContrast', gain=0.3, level=0.45)),
    ('ir', 'sr', dict(type='LowResolution', scales=(4, 8), down='area')),
    ('ir', 'pd', dict(type='Identity')),
]
probe = dict(
    type='MixDataset',
    pipeline=[
        dict(type='LoadImages'),
        dict(type='FrameDepth'),
        dict(type='CenterCrop', size=128),
        dict(type='Degrade'),
        dict(type='PackInputs'),
    ],
    datasets=[
        dict(
            type='RestorationDataset',
            data_prefix=dict(y=folders[modality]),
            task=task,
            modality=modality,
            degradation=how,
            test_mode=True,
        )
        for modality, task, how in made
    ],
)
