# All restoration pairs and clean pictures there are, and three tasks more: noise, stripes, rain.
# scenes of the validation pairs, also those that other names hide (found by comparing all pictures with them)
leave_out = [
    'restoration_val.tsv',
    'LOL/our485/high/100.png',
    'LOL/our485/high/729.png',
    'LOL/our485_more/high/132.webp',
    'LOL/our485_more/high/475.webp',
    'LOL/our485_more/high/476.webp',
]
hazes = [
    # noise and compression of real fog come after the veil; air that hardly scatters must be left alone
    (1, dict(type='Haze', noise=(0.0, 0.01), jpeg=(70, 100))),
    (2, dict(type='Haze')),
    (4, dict(type='Haze', beta=(0.0, 0.5))),
]
ns = dict(type='Noise')
# folder -> times: cameras count about alike, whatever the number of their pictures
visible = {
    'MSRS/train/vi': 4,
    'MSRS/train_128/vi': 1,
    'RoadScene/train/vi': 1,
    'M3SVD/train/visible': 2,
    'M3SVD/train_more/visible': 2,
    'LLVIP/train_more/vi': 2,
    'LOL/our485/high': 1,
    'LOL/our485_more/high': 1,
    'RESIDE/SOTS_indoor/GT': 2,
    'RESIDE/SOTS_indoor_more/clear': 1,
    'HDRPS/train/gt': 2,
    'HDRPS/brackets/gt': 2,
}
infrared = {
    'MSRS/train/ir': 3,
    'MSRS/train_ir_only/ir': 3,
    'RoadScene/train/ir': 1,
    'LLVIP/train_more/ir': 2,
    'M3SVD/train/infrared': 3,
    'M3SVD/train_more/infrared': 2,
}
# the last sixth sees more of the scene at once
size = [(0, 128), (5 / 6, 192)]
crop = dict(type='RandomCrop', size=size, scale=(0.2, 1.0), scale_prob=0.8)
pipeline = [
    dict(type='LoadImages', cache_mb=2500),
    # from a wall of fog (ramp near 0) to haze in the distance
    dict(type='FrameDepth', ramp=(0.1, 1.5), relief=(0.0, 0.3)),
    crop,
    dict(type='RandomFlip'),
    dict(type='Degrade'),
    dict(type='PackInputs'),
]
# global formulas are learned from shrunk frames, lost detail and noise from pixels as they are
native = [dict(step, scale=(0.5, 1.0), scale_prob=0.4) if step is crop else step for step in pipeline]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(
        type='TaskUniformSampler', ratios=dict(ll=2.0, hz=2.5, oe=1.25, lc=1.75, sr=0.75, ns=0.75, st=0.5, rn=0.5)
    ),
    dataset=dict(
        type='MixDataset',
        missing='error',
        pipeline=pipeline,
        datasets=[
            # real pairs: a quarter of the draws of low light, a third of those of haze and over-exposure
            *[
                dict(type=kind, split=split, times=times, leave_out=leave_out)
                for kind, split, times in [
                    ('LOL', 'our485', 2),
                    ('LOL', 'our485_more', 2),
                    ('HDRPSUnder', 'brackets', 1),
                    ('RESIDE', 'SOTS_indoor', 8),
                    ('RESIDE', 'SOTS_indoor_more', 8),
                    ('HDRPS', 'train', 8),
                    ('HDRPS', 'brackets', 8),
                ]
            ],
            *[
                dict(
                    type='RestorationDataset',
                    data_prefix=dict(y=folder),
                    times=times,
                    leave_out=leave_out,
                    task=task,
                    modality='vi',
                    degradation=degradation,
                    pipeline=steps,
                )
                for task, degradation, steps in [
                    ('ll', dict(type='LowLight'), pipeline),
                    ('oe', dict(type='OverExposure'), pipeline),
                    ('ns', ns, native),
                    ('rn', dict(type='Rain'), native),
                ]
                for folder, times in visible.items()
            ],
            *[
                dict(
                    type='RestorationDataset',
                    data_prefix=dict(y=folder),
                    times=times,
                    every=every,
                    leave_out=leave_out,
                    task='hz',
                    modality='vi',
                    degradation=degradation,
                )
                for every, degradation in hazes
                for folder, times in visible.items()
            ],
            *[
                dict(
                    type='RestorationDataset',
                    data_prefix=dict(y=folder),
                    times=times,
                    task=task,
                    modality='ir',
                    degradation=degradation,
                    pipeline=steps,
                )
                for task, degradation, steps, folders in [
                    ('lc', dict(type='LowContrast'), pipeline, {**infrared, 'MSRS/train_128/ir': 1}),
                    ('sr', dict(type='LowResolution', scales=(4, 8), down='random'), native, infrared),
                    ('ns', ns, native, infrared),
                    ('st', dict(type='StripeNoise', lines='random'), native, infrared),
                ]
                for folder, times in folders.items()
            ],
        ],
    ),
)
test_pipeline = [dict(type='LoadImages'), dict(type='Degrade'), dict(type='PackInputs')]
loader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False))
real = [
    dict(
        type='ListedPairs',
        table='restoration_val.tsv',
        task=task,
        modality='vi',
        group=f'{task}_real',
        pipeline=test_pipeline,
        test_mode=True,
    )
    for task in ('ll', 'hz', 'oe')
]
made = [
    dict(
        type='RestorationDataset',
        data_prefix=dict(x=f'degraded_val/{name}/{modality}', y=f'MSRS/test_dev/{modality}'),
        stems='x',
        task=task,
        modality=modality,
        group=group,
        pipeline=test_pipeline,
        test_mode=True,
    )
    for group, name, modality, task in [
        ('ll', 'low_light', 'vi', 'll'),
        ('hz', 'haze', 'vi', 'hz'),
        ('oe', 'over_exposure', 'vi', 'oe'),
        ('lc', 'low_contrast', 'ir', 'lc'),
        ('x4', 'sr4', 'ir', 'sr'),
        ('x8', 'sr8', 'ir', 'sr'),
    ]
]
# what is drawn depends on the number of the sample alone
new = [
    dict(
        type='RestorationDataset',
        data_prefix=dict(y=f'MSRS/test_dev/{modality}'),
        every=7,
        task=task,
        modality=modality,
        group=group,
        degradation=degradation,
        pipeline=test_pipeline,
        test_mode=True,
    )
    for group, task, modality, degradation in [
        ('ns_vi', 'ns', 'vi', dict(type='Noise', sigma=0.1, shot=0.0)),
        ('ns_ir', 'ns', 'ir', dict(type='Noise', sigma=0.1, shot=0.0)),
        ('st', 'st', 'ir', dict(type='StripeNoise', offset=0.05, gain=0.05)),
        ('rn', 'rn', 'vi', dict(type='Rain', density=0.006, opacity=0.4, veil=0.1)),
    ]
]
restoration_sets = [*real, *made, *new]
val_dataloader = dict(
    loader,
    dataset=dict(
        type='MixDataset',
        datasets=[*real, *[dict(item, every=2) for item in made], *[dict(item, every=14) for item in new]],
    ),
)
# start: the weights from which the training starts, of new tasks the degraded pictures; fixed before the training
val_evaluator = [
    dict(
        type='GoalScore',
        metrics=[dict(type='RestorationMetrics'), dict(type='ColourMetrics', owner='y', by_task=True)],
        goals={
            'll_real/PSNR_out': (17.49, 21.0),
            'll_real/SSIM_out': (0.762, 0.80),
            'hz_real/PSNR_out': (18.17, 24.0),
            'hz_real/SSIM_out': (0.808, 0.90),
            'oe_real/PSNR_out': (17.11, 19.0),
            'll/PSNR_out': (28.21, 28.8),
            'hz/PSNR_out': (19.04, 22.0),
            'oe/PSNR_out': (25.0, 25.6),
            'lc/PSNR_out': (34.76, 36.4),
            'x4/PSNR_out': (39.92, 40.1),
            'x8/PSNR_out': (35.38, 35.56),
            'll_real/Chroma': (60.1, 92.0),
            'll/Chroma': (77.2, 95.0),
            'hz/Chroma': (49.9, 92.0),
            'hz_real/Chroma': (66.1, 95.0),
            'll_real/Hue': (19.1, 10.0),
            'hz/Hue': (10.7, 5.0),
            'ns_vi/PSNR_out': (21.5, 30.0),
            'ns_ir/PSNR_out': (21.6, 32.0),
            'st/PSNR_out': (26.7, 36.0),
            'rn/PSNR_out': (21.1, 29.0),
        },
    )
]
restoration_tests = [dict(loader, name=f'restored_{item["group"]}', dataset=item) for item in restoration_sets]
restoration_metrics = [[dict(type='RestorationMetrics', by_task=False), dict(type='ColourMetrics', owner='y')]] * len(
    restoration_tests
)
test_dataloader = restoration_tests
test_evaluator = restoration_metrics
