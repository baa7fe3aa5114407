# Text encoder: MiniLM, a sentence encoder of a third of the size of DistilBERT.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.text_encoder.backbone': dict(_delete_=True, type='MiniLM')}
