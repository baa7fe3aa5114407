# SegFormer-b0 on the infrared picture alone.
_base_ = './segformer_b0_fused.py'
inputs = ('ir',)
