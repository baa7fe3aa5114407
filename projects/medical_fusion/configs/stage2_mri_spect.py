# Stage 2 for MRI-SPECT, tested on clean pairs and on pairs of which both pictures are degraded.
_base_ = ['lurefusion::modality/stage2_mri_spect.py', './_base_/mri_spect.py']
custom_imports = dict(imports=['medical_fusion'])
model = dict(prompts=_base_.scanner_prompts)
[fusion_metrics] = _base_.metrics
val_evaluator = [dict(fusion_metrics, metrics=(*fusion_metrics['metrics'], *_base_.kept), options=_base_.kept)]
test_dataloader = [
    dict(_base_.pair_loader, name='MRI-SPECT', dataset=_base_.fusion_test),
    dict(_base_.pair_loader, name='MRI-SPECT_spoilt', dataset=dict(_base_.fusion_test, **_base_.spoilt_pair)),
]
test_evaluator = [
    val_evaluator,
    [dict(metric, against='references') for metric in val_evaluator],
]
