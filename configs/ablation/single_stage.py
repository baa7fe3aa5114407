# Table 6, "Single Stage": one run on a batch of each stage a step, L1 + L2, everything learns.
_base_ = '../lure/lure_ir_vi.py'
joint = True
