# Two focal distances of one scene, made of sharp pictures: beyond the distance one is blurred, before it the other.
# Both have colours and neither owns them; either may be degraded. Real pairs: give their folders as data_prefix.
pair_model = dict(
    modalities=('near_focus', 'far_focus'),
    chroma=None,
    prompts=dict(
        tasks=(
            dict(key='ll', modality=None, canonical='The image has low light, please brighten it.'),
            dict(key='hz', modality=None, canonical='The image is hazy, please remove the haze.'),
            'pd',
        ),
        modality_words=dict(
            near_focus=('near-focused', 'foreground-focused'), far_focus=('far-focused', 'background-focused')
        ),
    ),
)
pair_loader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False))
defocus_depth = dict(type='FrameDepth', types=('Defocus',), relief=(0.1, 0.6))
degrade_pipeline = [dict(type='LoadImages'), defocus_depth, dict(type='Degrade'), dict(type='PackInputs')]
focus_pipeline = [
    dict(type='LoadImages', cache_mb=1500),
    defocus_depth,
    dict(type='RandomCrop', size=96, scale=(0.4, 1.0)),
    dict(type='RandomFlip'),
    dict(type='Degrade'),
    dict(type='PackInputs'),
]
sharp = ('MSRS/train/vi', 'RoadScene/train/vi', 'M3SVD/train/visible')
spoilt = [('ll', dict(type='LowLight')), ('hz', dict(type='Haze'))]
restoration_train = [
    dict(type='RestorationDataset', data_prefix=dict(y=folder), task=task, modality=modality, degradation=how, every=2)
    for task, how in spoilt
    for modality in ('near_focus', 'far_focus')
    for folder in sharp
]
restoration_test = {
    task: dict(
        type='RestorationDataset',
        data_prefix=dict(y='RoadScene/val/vi'),
        task=task,
        modality='near_focus',
        degradation=how,
        every=6,
        pipeline=degrade_pipeline,
        test_mode=True,
    )
    for task, how in spoilt
}
focused = dict(
    type='FusionPairDataset',
    degradations=dict(near_focus=dict(type='Defocus', side='far'), far_focus=dict(type='Defocus', side='near')),
)
fusion_train = [dict(focused, data_prefix=dict(near_focus=folder, far_focus=folder)) for folder in sharp]
fusion_test = dict(
    focused,
    data_prefix=dict(near_focus='RoadScene/val/vi', far_focus='RoadScene/val/vi'),
    every=6,
    pipeline=degrade_pipeline,
    test_mode=True,
)
