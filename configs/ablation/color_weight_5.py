# Weight of the colour loss.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.losses.color.weight': 5.0}
