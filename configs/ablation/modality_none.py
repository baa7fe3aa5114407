# Modality embedding: none, the encoder does not know the camera.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.image_encoder.modality_embedding': 'none'}
