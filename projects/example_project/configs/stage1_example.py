# Stage 1 on rendered scenes: a new interaction, and a new degradation beside low light.
_base_ = ['lurefusion::lure/stage1_demo.py', './_base_/example.py']
custom_imports = dict(imports=['example_project'])
model = dict(
    prompts=_base_.example_prompts, image_encoder=dict(interaction=dict(_base_.example_interaction, _delete_=True))
)
scenes = dict(type='EmbeddedRestoration', num=40, size=(128, 160))
example_sets = [
    dict(scenes, task='ll', modality='vi', degradation=dict(type='LowLight')),
    dict(scenes, task='st', modality='ir', degradation=dict(type='Stripes')),
]
held_out = dict(first=1000, num=2, test_mode=True, pipeline=[dict(type='Degrade'), dict(type='PackInputs')])
train_dataloader = dict(dataset=dict(datasets=example_sets))
val_dataloader = dict(dataset=dict(datasets=[dict(dataset, **held_out) for dataset in example_sets]))
