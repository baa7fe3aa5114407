# Interaction: none, nobody tells the encoder what is wrong.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.image_encoder.interaction.type': 'NoInteraction'}
