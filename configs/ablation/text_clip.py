# Text encoder: that of CLIP ViT-B/32, which Text-IF uses.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.text_encoder.backbone': dict(_delete_=True, type='CLIPText')}
