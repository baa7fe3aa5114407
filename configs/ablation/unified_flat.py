# Unified loss: one cosine over all of a latent.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.losses.unified.kind': 'flat'}
