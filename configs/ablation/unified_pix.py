# Unified loss: the cosine at every pixel alone.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.losses.unified.kind': 'pix'}
scales = dict(tiny=dict(options={'model.losses.unified.detach_target': False, 'model.losses.mean.weight': 0}))
