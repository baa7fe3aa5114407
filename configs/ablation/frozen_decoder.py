# Stage 2 trains the fuser alone.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.frozen': ('text_encoder', 'image_encoder', 'decoder')}
