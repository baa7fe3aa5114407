# What both stages share: the tasks, one of them new, with the sentences that ask for it.
example_prompts = dict(
    tasks=(
        'll',
        dict(
            key='st',
            modality='ir',
            canonical='The infrared image has vertical stripes, please remove them.',
            defects=('vertical stripes', 'stripe noise', 'fixed pattern noise', 'a striped pattern', 'column noise'),
            remedies=('remove the stripes from {image}', 'destripe {image}', 'correct the columns of {image}'),
            states=('striped', 'full of stripes', 'spoilt by column noise'),
            patterns=(r'\b(?:de-?)?strip(?:e|es|ed|ing|y)\b', r'\b(?:fixed[- ]pattern|column) noise\b'),
        ),
        'pd',
    )
)
example_interaction = dict(type='TextShift')
