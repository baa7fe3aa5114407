# SegFormer-b0 on both pictures, stacked to six channels.
_base_ = './segformer_b0_fused.py'
inputs = ('vi', 'ir')
