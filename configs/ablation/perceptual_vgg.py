# Perceptual loss: distance of VGG16 features; --cfg-options +model.losses.per.weights=FILE, else it is `u2`.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.losses.per.mode': 'vgg'}
