# What both stages for MRI-SPECT share.
_base_ = './scanners.py'
scanner_prompts = dict(
    tasks=(
        _base_.noise_task,
        dict(
            _base_.counts_task, modality='spect', canonical='The SPECT image has few counts, please make up for them.'
        ),
        'pd',
    )
)
few = dict(_base_.few_counts, modality='spect', data_prefix=dict(y='Harvard/SPECT-MRI/SPECT'))
scanner_train = [*_base_.noisy_train, dict(few, keep=r'(?!18)\d+')]
scanner_test = dict(
    rn=dict(type='MixDataset', datasets=_base_.noisy_test), fc=dict(few, keep=r'18\d+', **_base_.scanner_test_mode)
)
spoilt_pair = dict(
    tasks=dict(mri='rn', spect='fc'),
    degradations=dict(
        mri=dict(type='RicianNoise', sigma=(0.07, 0.07)),
        spect=dict(type='FewCounts', counts=(15, 15), smooth=(0.8, 0.8)),
    ),
)
kept = dict(dChroma=dict(owner='spect'), rhoTexture=dict(owner='mri'))
