# Modality embedding: scale and shift.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.image_encoder.modality_embedding': 'film'}
