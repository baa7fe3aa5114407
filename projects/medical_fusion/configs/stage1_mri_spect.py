# Stage 1 for MRI-SPECT: noise of the MRI scanner, few counts of the SPECT.
_base_ = ['lurefusion::modality/stage1_mri_spect.py', './_base_/mri_spect.py']
custom_imports = dict(imports=['medical_fusion'])
model = dict(prompts=_base_.scanner_prompts)
train_dataloader = dict(dataset=dict(datasets=_base_.scanner_train))
val_dataloader = dict(dataset=dict(datasets=list(_base_.scanner_test.values())))
test_dataloader = [
    dict(_base_.pair_loader, name=f'restored_{task}', dataset=dataset) for task, dataset in _base_.scanner_test.items()
]
