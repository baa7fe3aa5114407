# Interaction: the semantic guidance of Text-IF, scale and shift.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.image_encoder.interaction.type': 'FiLM'}
