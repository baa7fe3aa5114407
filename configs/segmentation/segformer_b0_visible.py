# SegFormer-b0 on the visible picture alone.
_base_ = './segformer_b0_fused.py'
inputs = ('vi',)
