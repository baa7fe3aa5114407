# Interaction: the text asks where, by one query a head.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.image_encoder.interaction.type': 'TGASpatial'}
