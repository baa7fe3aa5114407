# Unified loss: the cosine at every pixel alone, without an anchor.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.losses.unified.kind': 'pix', 'model.losses.unified.detach_target': False}
