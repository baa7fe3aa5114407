# Harvard MRI-CT, both grey; a grey owner of the colour makes the result grey. Case 32 is for testing.
_base_ = './harvard.py'
pair_model = dict(
    modalities=('mri', 'ct'),
    chroma='mri',
    prompts=dict(
        tasks=(
            _base_.contrast_task,
            dict(
                _base_.coarse_task,
                modality='ct',
                canonical='The CT image has low resolution, please super-resolve it.',
            ),
            'pd',
        ),
        modality_words=dict(mri=_base_.mri_words, ct=('ct', 'computed tomography', 'x-ray')),
    ),
)
own = dict(_base_.coarse, modality='ct', data_prefix=dict(y='Harvard/CT-MRI/CT'))
restoration_train = [*_base_.mri_train, dict(own, keep=_base_.train_cases.CT)]
restoration_test = dict(
    lc=dict(type='MixDataset', datasets=_base_.mri_test),
    sr=dict(own, keep=_base_.test_cases.CT, pipeline=_base_.degrade_pipeline, test_mode=True),
)
pairs = dict(type='FusionPairDataset', data_prefix=dict(mri='Harvard/CT-MRI/MRI', ct='Harvard/CT-MRI/CT'))
fusion_train = [dict(pairs, keep=_base_.train_cases.CT)]
fusion_test = dict(pairs, keep=_base_.test_cases.CT, pipeline=_base_.degrade_pipeline, test_mode=True)
