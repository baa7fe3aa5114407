# Interaction: the query also gets a bias from the text.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.image_encoder.interaction.type': 'TGABias'}
