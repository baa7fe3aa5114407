# A small mix: real pairs of three tasks, and degradations made on clean pictures of road scenes.
ll = dict(task='ll', modality='vi', degradation=dict(type='LowLight'))
oe = dict(task='oe', modality='vi', degradation=dict(type='OverExposure'))
hz = dict(task='hz', modality='vi', degradation=dict(type='Haze'))
lc = dict(task='lc', modality='ir', degradation=dict(type='LowContrast'))
sr = dict(task='sr', modality='ir', degradation=dict(type='LowResolution', scales=(4, 8), down='random'))
# folder -> times: cameras count about alike, whatever the number of their pictures
visible = {
    'MSRS/train/vi': 4,
    'MSRS/train_128/vi': 1,
    'RoadScene/train/vi': 1,
    'M3SVD/train/visible': 4,
    'LLVIP/train/vi': 2,
    'LOL/our485/high': 2,
    'RESIDE/SOTS_indoor/GT': 2,
    'HDRPS/train/gt': 2,
}
infrared = {
    'MSRS/train/ir': 3,
    'MSRS/train_ir_only/ir': 3,
    'RoadScene/train/ir': 1,
    'LLVIP/train/ir': 5,
    'M3SVD/train/infrared': 5,
}
crop = dict(type='RandomCrop', size=128, scale=(0.2, 1.0), scale_prob=0.8)
pipeline = [
    dict(type='LoadImages', cache_mb=1500),
    dict(type='FrameDepth'),
    crop,
    dict(type='RandomFlip'),
    dict(type='Degrade'),
    dict(type='PackInputs'),
]
# global formulas are learned from shrunk frames, lost detail from pixels as they are
native = [dict(step, scale=(0.5, 1.0), scale_prob=0.4) if step is crop else step for step in pipeline]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='TaskUniformSampler', ratios=dict(hz=1.5, sr=1.5)),
    dataset=dict(
        type='MixDataset',
        missing='error',
        pipeline=pipeline,
        datasets=[
            dict(type='LOL', split='our485', times=3),
            dict(type='RESIDE', split='SOTS_indoor', times=3),
            dict(type='HDRPS', split='train', times=3),
            *[
                dict(type='RestorationDataset', data_prefix=dict(y=folder), times=times, **kind)
                for kind in (ll, oe, hz)
                for folder, times in visible.items()
            ],
            *[
                dict(type='RestorationDataset', data_prefix=dict(y=folder), times=times, **lc)
                for folder, times in {**infrared, 'MSRS/train_128/ir': 1}.items()
            ],
            *[
                dict(type='RestorationDataset', data_prefix=dict(y=folder), times=times, pipeline=native, **sr)
                for folder, times in infrared.items()
            ],
        ],
    ),
)
test_pipeline = [dict(type='LoadImages'), dict(type='PackInputs')]
loader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False))
restoration_sets = [
    dict(
        type='RestorationDataset',
        data_prefix=dict(x=f'degraded_val/{name}/{modality}', y=f'MSRS/test_dev/{modality}'),
        stems='x',
        task=task,
        modality=modality,
        pipeline=test_pipeline,
        test_mode=True,
    )
    for name, modality, task in [
        ('low_light', 'vi', 'll'),
        ('haze', 'vi', 'hz'),
        ('over_exposure', 'vi', 'oe'),
        ('low_contrast', 'ir', 'lc'),
        ('sr4', 'ir', 'sr'),
        ('sr8', 'ir', 'sr'),
    ]
]
val_dataloader = dict(
    loader, dataset=dict(type='MixDataset', datasets=[dict(item, every=4) for item in restoration_sets])
)
val_evaluator = [dict(type='RestorationMetrics')]
restoration_tests = [
    dict(loader, name=f'restored_{name}', dataset=dataset)
    for name, dataset in zip(('LL', 'HZ', 'OE', 'LC', 'SR4', 'SR8'), restoration_sets, strict=True)
]
restoration_metrics = [[dict(type='RestorationMetrics', by_task=False)]] * len(restoration_tests)
test_dataloader = restoration_tests
test_evaluator = restoration_metrics
