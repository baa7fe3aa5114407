# Table 6, "TGA -> Gate": the text weights channels, without attention.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.image_encoder.interaction.type': 'Gate'}
