# What the three Harvard sets share: all their MRI pictures, a split by case (the first digits of a name), words.
# Stage 2 files read: pair_model, fusion_train, fusion_test. Stage 1 files: pair_model, restoration_train, _test.
train_cases = dict(CT=r'(?!32)\d+', PET=r'25\d+', SPECT=r'(?!18)\d+')
test_cases = dict(CT=r'32\d+', PET=r'30\d+', SPECT=r'18\d+')
pair_loader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False))
degrade_pipeline = [dict(type='LoadImages'), dict(type='Degrade'), dict(type='PackInputs')]
contrast = dict(type='RestorationDataset', task='lc', modality='mri', degradation=dict(type='LowContrast'))
mri_train = [
    dict(contrast, data_prefix=dict(y=f'Harvard/{name}-MRI/MRI'), keep=cases) for name, cases in train_cases.items()
]
mri_test = [
    dict(contrast, data_prefix=dict(y=f'Harvard/{name}-MRI/MRI'), keep=cases, pipeline=degrade_pipeline, test_mode=True)
    for name, cases in test_cases.items()
]
mri_words = ('mri', 'mr', 'magnetic resonance')
# the built-in phrases speak of people, targets and sensors
contrast_task = dict(
    key='lc',
    modality='mri',
    canonical='The MRI image has low contrast, please enhance it.',
    defects=('low contrast', 'poor contrast', 'weak tissue contrast', 'a narrow grey-level range', 'flat tones'),
    remedies=('enhance the contrast of {image}', 'stretch the histogram of {image}', 'give {image} more contrast'),
    states=('low in contrast', 'flat', 'lacking contrast', 'grey and flat'),
)
coarse_task = dict(
    key='sr',
    defects=('low resolution', 'coarse pixels', 'missing fine detail', 'a low spatial resolution', 'pixelation'),
    remedies=('super-resolve {image}', 'upsample {image}', 'increase the resolution of {image}'),
    states=('low-resolution', 'pixelated', 'undersampled', 'too coarse'),
)
coarse = dict(
    type='RestorationDataset', task='sr', degradation=dict(type='LowResolution', scales=(4, 8), down='random')
)
