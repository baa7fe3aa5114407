# Two-scale fusion with guided-filter weights, colour of the visible picture. No weights.
_base_ = './average_ir_vi.py'
model = dict(method='guided_filter')
