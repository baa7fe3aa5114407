# Perceptual loss: U2Fusion's own, SSIM and MSE by the degrees of information.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.losses.per.mode': 'u2'}
