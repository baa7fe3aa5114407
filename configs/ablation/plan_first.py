# Channel plan: the first BottleNeck drops all channels (cheapest).
_base_ = '../lure/lure_ir_vi.py'
options = {'model.image_encoder.channel_plan': 'first'}
