# Weight of the gradient loss.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.losses.grad.weight': 5.0}
