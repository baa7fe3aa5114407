# Unified loss: the cosine at every pixel alone.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.losses.unified.kind': 'pix'}
