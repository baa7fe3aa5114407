# Maximum of the luminances, colour of the visible picture. No weights.
_base_ = './average_ir_vi.py'
model = dict(method='max')
