# Stage 2 for MRI-SPECT pairs, on two CPU cores.
_base_ = ['../lure/stage2_tiny_ir_vi.py', '../_base_/pairs/mri_spect.py']
# the fuser keeps its colours: no loss for them
model = dict(_base_.pair_model, fuser=dict(chroma=1), losses=dict(color=None, int=dict(weight=2.0), hot=None))
init_from = dict(stage='stage1_mri_spect')
train_dataloader = dict(dataset=dict(datasets=_base_.fusion_train))
val_dataloader = dict(dataset=dict(_base_.fusion_test, _delete_=True))
metrics = [dict(type='FusionMetrics', metrics=('CC', 'SCD', 'PSNR', 'SSIM', 'VIF', 'Qabf', 'EN', 'SD', 'AG', 'SF'))]
val_evaluator = metrics
test_dataloader = [dict(_base_.pair_loader, name='MRI-SPECT', dataset=_base_.fusion_test)]
test_evaluator = [metrics]
