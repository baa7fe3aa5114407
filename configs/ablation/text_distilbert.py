# Text encoder: DistilBERT, as in the paper.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.text_encoder.backbone': dict(_delete_=True, type='DistilBERT')}
