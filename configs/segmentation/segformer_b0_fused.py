# SegFormer-b0 on two CPU cores: pictures of half the size, bfloat16; labels are predicted and scored at full size.
_base_ = './segformer_b2_fused.py'
max_iters = 1500
size = (160, 224)
half = (320, 240)
model = dict(
    data_preprocessor=dict(size=size),
    backbone=dict(embed_dims=32, num_layers=[2, 2, 2, 2]),
    # else a short training learns background and cars alone
    decode_head=dict(
        in_channels=[32, 64, 160, 256], loss_decode=dict(class_weight=[0.2, 1.0, 1.5, 1.5, 1.5, 3.0, 2.0, 3.0, 3.0])
    ),
)
train_pipeline = [
    dict(type='LoadPictures'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=half, ratio_range=(0.75, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='DistortEachPicture'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadPictures'),
    dict(type='Resize', scale=half, keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(num_workers=0, dataset=dict(pipeline=test_pipeline))
optim_wrapper = dict(
    type='lurefusion.CPUAmpOptimWrapper',
    optimizer=dict(lr=1e-3),
    paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mult=1.0))),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, begin=0, end=100),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=100, end=max_iters),
]
train_cfg = dict(max_iters=max_iters)
default_hooks = dict(checkpoint=dict(interval=100), logger=dict(interval=20))
