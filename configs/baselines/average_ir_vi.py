# Average of the luminances, colour of the visible picture: a floor for every table. No weights.
_base_ = ['../_base_/datasets/protocol_ir_vi.py', '../_base_/default_runtime.py']
needs_weights = False
model = dict(
    type='BaselineFuser',
    method='average',
    modalities=('vi', 'ir'),
    chroma='vi',
    data_preprocessor=dict(type='FusionDataPreprocessor'),
)
test_cfg = dict(type='MultiTestLoop')
