# Channel plan: the last BottleNeck drops all channels (full capacity).
_base_ = '../lure/lure_ir_vi.py'
options = {'model.image_encoder.channel_plan': 'last'}
