# Interaction: the channel weights also scale the output of the attention.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.image_encoder.interaction.type': 'TGARow'}
