# SegFormer-b2 on the visible picture alone.
_base_ = './segformer_b2_fused.py'
inputs = ('vi',)
