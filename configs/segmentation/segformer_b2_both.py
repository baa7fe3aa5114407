# SegFormer-b2 on both pictures, stacked to six channels.
_base_ = './segformer_b2_fused.py'
inputs = ('vi', 'ir')
