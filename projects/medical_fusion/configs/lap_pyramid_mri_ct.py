# Laplacian pyramid of the lumas on the test pairs of MRI-CT, for comparison. No weights.
_base_ = './stage2_mri_ct.py'
needs_weights = False
model = dict(
    _delete_=True,
    type='BaselineFuser',
    method='lap_pyramid',
    modalities=_base_.pair_model.modalities,
    chroma=_base_.pair_model.chroma,
    data_preprocessor=dict(type='FusionDataPreprocessor'),
)
