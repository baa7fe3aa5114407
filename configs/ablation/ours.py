# Table 6, "Ours": the method itself, as the row that the others are compared with.
_base_ = '../lure/lure_ir_vi.py'
