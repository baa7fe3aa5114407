# A small SegFormer on rendered scenes, for lure_demo.py: no download, minutes on two CPU cores.
_base_ = './segformer_b0_fused.py'
max_iters = 300
size = (96, 128)
model = dict(
    data_preprocessor=dict(size=size),
    backbone=dict(embed_dims=16, num_layers=[1, 1, 1, 1]),
    decode_head=dict(in_channels=[16, 32, 80, 128], channels=64),
)
train_pipeline = [
    dict(type='LoadPictures'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(256, 192), ratio_range=(0.75, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='DistortEachPicture'),
    dict(type='PackSegInputs'),
]
test_pipeline = [dict(type='LoadPictures'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, begin=0, end=20),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=20, end=max_iters),
]
train_cfg = dict(max_iters=max_iters)
pictures = dict(
    train=dict(_delete_=True, type='EmbeddedScenes', num=40, size=(192, 256)),
    test=dict(_delete_=True, type='EmbeddedScenes', first=1000, num=8, size=(192, 256)),
)
