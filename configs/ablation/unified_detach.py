# Unified loss: the pseudo latents are a fixed anchor.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.losses.unified.detach_target': True}
