# Two exposures of one scene: a frame of the HDR Photographic Survey and one two to four stops above it.
# Both have colours and neither owns them. Scenes D to G are for testing.
pair_model = dict(
    modalities=('under', 'over'),
    chroma=None,
    prompts=dict(
        tasks=(
            dict(key='ll', modality='under', canonical='The under-exposed image has low light, please brighten it.'),
            dict(key='oe', modality='over', canonical='The over-exposed image is too bright, correct the exposure.'),
            'pd',
        ),
        modality_words=dict(
            under=('under-exposed', 'underexposed', 'short exposure', 'darker exposure'),
            over=('over-exposed', 'overexposed', 'long exposure', 'brighter exposure'),
        ),
    ),
)
train_scenes, test_scenes = '[^DEFG].*', '[DEFG].*'
pair_loader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False))
degrade_pipeline = [dict(type='LoadImages'), dict(type='Degrade'), dict(type='PackInputs')]
dark = dict(type='RestorationDataset', task='ll', modality='under', degradation=dict(type='LowLight'))
bright = dict(type='RestorationDataset', task='oe', modality='over', degradation=dict(type='OverExposure'))
survey = dict(y='HDRPS/train/gt')
restoration_train = [
    dict(type='LOL', split='our485', modality='under'),
    dict(type='HDRPS', split='train', modality='over', keep=train_scenes),
    dict(dark, data_prefix=survey, keep=train_scenes),
    dict(bright, data_prefix=survey, keep=train_scenes),
    dict(bright, data_prefix=dict(y='LOL/our485/high')),
]
held_out = dict(data_prefix=survey, keep=test_scenes, pipeline=degrade_pipeline, test_mode=True)
restoration_test = dict(ll=dict(dark, **held_out), oe=dict(bright, **held_out))
exposures = dict(type='FusionPairDataset', data_prefix=dict(under='HDRPS/train/gt', over='HDRPS/train/over'))
fusion_train = [dict(exposures, keep=train_scenes)]
fusion_test = dict(exposures, keep=test_scenes, pipeline=degrade_pipeline, test_mode=True)
