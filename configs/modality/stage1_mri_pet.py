# Stage 1 for MRI-PET pairs, on two CPU cores.
_base_ = ['../lure/stage1_tiny_ir_vi.py', '../_base_/pairs/mri_pet.py']
model = _base_.pair_model
train_dataloader = dict(sampler=dict(ratios=None), dataset=dict(datasets=_base_.restoration_train))
val_dataloader = dict(dataset=dict(datasets=list(_base_.restoration_test.values())))
test_dataloader = [
    dict(_base_.pair_loader, name=f'restored_{task}', dataset=dataset)
    for task, dataset in _base_.restoration_test.items()
]
test_evaluator = [[dict(type='RestorationMetrics', by_task=False)]] * len(test_dataloader)
