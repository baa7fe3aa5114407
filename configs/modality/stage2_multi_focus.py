# Stage 2 for multi-focus pairs, on two CPU cores.
_base_ = ['../lure/stage2_tiny_ir_vi.py', '../_base_/pairs/multi_focus.py']
# the sharper picture counts, not the brighter one
model = dict(_base_.pair_model, losses=dict(color=dict(source=None), int=None, hot=None))
init_from = dict(stage='stage1_multi_focus')
train_dataloader = dict(dataset=dict(pipeline=_base_.focus_pipeline, datasets=_base_.fusion_train))
val_dataloader = dict(dataset=dict(_base_.fusion_test, _delete_=True))
metrics = [
    dict(
        type='FusionMetrics',
        metrics=('CC', 'SCD', 'PSNR', 'SSIM', 'VIF', 'Qabf', 'EN', 'SD', 'AG', 'SF'),
        against='references',
    )
]
val_evaluator = metrics
test_dataloader = [dict(_base_.pair_loader, name='focus', dataset=_base_.fusion_test)]
test_evaluator = [metrics]
