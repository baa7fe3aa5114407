# SegFormer-b2 on the infrared picture alone.
_base_ = './segformer_b2_fused.py'
inputs = ('ir',)
