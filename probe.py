scenes = dict(type='EmbeddedRestoration', num=3, size=(64, 64), test_mode=True)
probe = dict(
    type='MixDataset',
    pipeline=[dict(type='CenterCrop', size=32), dict(type='Degrade'), dict(type='PackInputs')],
    datasets=[
        dict(scenes, task='ll', modality='vi', degradation=dict(type='LowLight')),
        dict(scenes, task='pd', modality='vi', degradation=dict(type='Identity')),
        dict(scenes, task='lc', modality='ir', degradation=dict(type='LowContrast')),
        dict(scenes, task='pd', modality='ir', degradation=dict(type='Identity')),
    ],
)
