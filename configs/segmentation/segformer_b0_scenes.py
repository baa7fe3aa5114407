# A start for SegFormer-b0 where labels are few: rendered scenes, half of them shown in infrared, for no input's sake.
_base_ = './segformer_b0_fused.py'
max_iters = 2000
inputs = ('vi',)
# every split but `test` is trained on
pictures = dict(
    train=dict(_delete_=True, type='EmbeddedScenes', num=250, size=(240, 320)),
    train_infrared=dict(type='EmbeddedScenes', first=250, num=250, size=(240, 320), visible='ir', infrared='vi'),
    test=dict(_delete_=True, type='EmbeddedScenes', first=1000, num=16, size=(240, 320)),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, begin=0, end=100),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=100, end=max_iters),
]
train_cfg = dict(max_iters=max_iters)
