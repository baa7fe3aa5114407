# Interaction: the block of InstructIR.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.image_encoder.interaction.type': 'ICB'}
