# Table 6, "w/o Inner Residual": the latents are what the BottleNecks give.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.image_encoder.inner_residual': False}
