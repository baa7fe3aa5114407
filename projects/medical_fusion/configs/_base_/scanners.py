# Two degradations of scanners, with the sentences that ask for their cure; all MRI pictures of the three sets.
noise_task = dict(
    key='rn',
    modality='mri',
    canonical='The MRI image is noisy, please remove the noise.',
    defects=('noise', 'Rician noise', 'grain', 'thermal noise of the coil', 'a low signal-to-noise ratio', 'speckles'),
    remedies=('denoise {image}', 'remove the noise from {image}', 'raise the signal-to-noise ratio of {image}'),
    states=('noisy', 'grainy', 'full of noise', 'speckled'),
    patterns=(r'\b(?:de-?)?nois[eyi]\w*', r'\bgrain\w*', r'\bsignal[- ]to[- ]noise\b', r'\bspeckl\w*'),
)
counts_task = dict(
    key='fc',
    defects=('few counts', 'a low dose', 'a short acquisition', 'count noise', 'Poisson noise', 'too few photons'),
    remedies=(
        'make up for the few counts of {image}',
        'restore the full dose of {image}',
        'smooth the counts of {image}',
    ),
    states=('short of counts', 'of low dose', 'acquired too briefly', 'uneven from few counts'),
    patterns=(
        r'\b(?:few|low|missing|short of) (?:counts?|photons?)\b|\bcount(?:s|ing)? noise\b|\bpoisson\b',
        r'\b(?:low|half|full|quarter)[- ]dose\b|\bshort acquisition\b|\bacquired too briefly\b|\bcounts\b|\bphotons\b',
    ),
)
scanner_test_mode = dict(
    test_mode=True, pipeline=[dict(type='LoadImages'), dict(type='Degrade'), dict(type='PackInputs')]
)
few_counts = dict(type='RestorationDataset', task='fc', degradation=dict(type='FewCounts'))
noisy = dict(type='RestorationDataset', task='rn', modality='mri', degradation=dict(type='RicianNoise'))
noisy_train = [
    dict(noisy, data_prefix=dict(y=f'Harvard/{name}-MRI/MRI'), keep=cases)
    for name, cases in (('CT', r'(?!32)\d+'), ('PET', r'25\d+'), ('SPECT', r'(?!18)\d+'))
]
noisy_test = [
    dict(noisy, data_prefix=dict(y=f'Harvard/{name}-MRI/MRI'), keep=cases, every=2, **scanner_test_mode)
    for name, cases in (('CT', r'32\d+'), ('PET', r'30\d+'), ('SPECT', r'18\d+'))
]
