# Harvard MRI-PET; PET is colour-coded and owns the colour. Case 30 (sagittal) is for testing, 25 (coronal) trains.
_base_ = './harvard.py'
pair_model = dict(
    modalities=('mri', 'pet'),
    chroma='pet',
    prompts=dict(
        tasks=(
            _base_.contrast_task,
            dict(
                _base_.coarse_task,
                modality='pet',
                canonical='The PET image has low resolution, please super-resolve it.',
            ),
            'pd',
        ),
        modality_words=dict(mri=_base_.mri_words, pet=('pet', 'positron emission', 'functional')),
    ),
)
own = dict(_base_.coarse, modality='pet', data_prefix=dict(y='Harvard/PET-MRI/PET'))
restoration_train = [*_base_.mri_train, dict(own, keep=_base_.train_cases.PET)]
restoration_test = dict(
    lc=dict(type='MixDataset', datasets=_base_.mri_test),
    sr=dict(own, keep=_base_.test_cases.PET, pipeline=_base_.degrade_pipeline, test_mode=True),
)
pairs = dict(type='FusionPairDataset', data_prefix=dict(mri='Harvard/PET-MRI/MRI', pet='Harvard/PET-MRI/PET'))
fusion_train = [dict(pairs, keep=_base_.train_cases.PET)]
fusion_test = dict(pairs, keep=_base_.test_cases.PET, pipeline=_base_.degrade_pipeline, test_mode=True)
