# Channel plan: the first BottleNeck drops all channels (cheapest).
_base_ = '../lure/lure_ir_vi.py'
options = {'model.image_encoder.channel_plan': 'first'}
# attention follows the first BottleNeck, and its four heads share the channels
scales = dict(tiny=dict(options={'model.image_encoder.latent_channels': (12, 4, 4, 4)}))
