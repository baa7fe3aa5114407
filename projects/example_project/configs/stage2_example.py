# Stage 2 on files: a new data set and a new fusion rule; tested with the new degradation too.
_base_ = ['lurefusion::lure/stage2_demo.py', './_base_/example.py']
custom_imports = dict(imports=['example_project'])
model = dict(
    prompts=_base_.example_prompts,
    image_encoder=dict(interaction=dict(_base_.example_interaction, _delete_=True)),
    fuser=dict(rule=dict(type='contrast', window=5, _delete_=True)),
)
init_from = dict(stage='stage1_example')
example_pairs = dict(type='SuffixPairs', folder='example_pairs')
train_dataloader = dict(
    dataset=dict(
        example_pairs,
        _delete_=True,
        keep=r'\d*[0-7]',
        pipeline=[
            dict(type='LoadImages'),
            dict(type='RandomCrop', size=96, scale=(0.5, 1.0)),
            dict(type='RandomFlip'),
            dict(type='PackInputs'),
        ],
    )
)
held_out = dict(
    example_pairs,
    keep=r'\d*[89]',
    test_mode=True,
    pipeline=[dict(type='LoadImages'), dict(type='Degrade'), dict(type='PackInputs')],
)
striped = dict(held_out, tasks=dict(ir='st'), degradations=dict(ir=dict(type='Stripes', strength=(0.08, 0.08))))
val_dataloader = dict(dataset=dict(held_out, _delete_=True))
example_loader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False))
columns = ('CC', 'SCD', 'PSNR', 'SSIM', 'Qabf', 'Striped')
test_dataloader = [
    dict(example_loader, name='clean', dataset=held_out),
    dict(example_loader, name='striped', dataset=striped),
]
test_evaluator = [
    [dict(type='FusionMetrics', metrics=columns)],
    [dict(type='FusionMetrics', metrics=columns, against='references')],
]
