# Harvard MRI-SPECT; SPECT is colour-coded and owns the colour. Case 18 is for testing.
_base_ = './harvard.py'
pair_model = dict(
    modalities=('mri', 'spect'),
    chroma='spect',
    prompts=dict(
        tasks=(
            _base_.contrast_task,
            dict(
                _base_.coarse_task,
                modality='spect',
                canonical='The SPECT image has low resolution, please super-resolve it.',
            ),
            'pd',
        ),
        modality_words=dict(mri=_base_.mri_words, spect=('spect', 'single-photon', 'functional')),
    ),
)
own = dict(_base_.coarse, modality='spect', data_prefix=dict(y='Harvard/SPECT-MRI/SPECT'))
restoration_train = [*_base_.mri_train, dict(own, keep=_base_.train_cases.SPECT)]
restoration_test = dict(
    lc=dict(type='MixDataset', datasets=_base_.mri_test),
    sr=dict(own, keep=_base_.test_cases.SPECT, pipeline=_base_.degrade_pipeline, test_mode=True),
)
pairs = dict(type='FusionPairDataset', data_prefix=dict(mri='Harvard/SPECT-MRI/MRI', spect='Harvard/SPECT-MRI/SPECT'))
fusion_train = [dict(pairs, keep=_base_.train_cases.SPECT)]
fusion_test = dict(pairs, keep=_base_.test_cases.SPECT, pipeline=_base_.degrade_pipeline, test_mode=True)
