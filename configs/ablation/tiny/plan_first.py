_base_ = '../plan_first.py'
stages = ['lurefusion::lure/stage1_tiny_ir_vi.py', 'lurefusion::lure/stage2_tiny_ir_vi.py']
# attention follows the first BottleNeck, and its four heads share the channels
options = {'model.image_encoder.latent_channels': (12, 4, 4, 4)}
