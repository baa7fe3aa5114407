# Unified loss: per-pixel cosine without the common mean. Expect trouble: it may end in one direction.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.losses.unified.kind': 'cpix'}
