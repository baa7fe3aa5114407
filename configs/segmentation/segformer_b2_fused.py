# SegFormer-b2 fine-tuned on fused MSRS, Table 5. --downstream-options pretrained=PATH gives the MiT weights.
_base_ = [
    'mmseg::segformer/segformer_mit-b2_8xb2-160k_ade20k-512x512.py',
    '../_base_/datasets/segmentation_msrs.py',
]
# modalities or 'fused'; several are stacked along the channels, three each
inputs = ('fused',)
pretrained = None
max_iters = 40_000
size = (480, 640)
model = dict(
    data_preprocessor=dict(
        _delete_=True, type='MeasuredPreProcessor', statistics=None, size=size, pad_val=0, seg_pad_val=255
    ),
    backbone=dict(init_cfg=None),
    decode_head=dict(num_classes=9, norm_cfg=dict(type='BN')),
)
train_pipeline = [
    dict(type='LoadPictures'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(640, 480), ratio_range=(0.75, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='DistortEachPicture'),
    dict(type='PackSegInputs'),
]
test_pipeline = [dict(type='LoadPictures'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
train_dataloader = dict(
    _delete_=True,
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='lurefusion.SeededSampler'),
    dataset=dict(type='HandedPictures', pipeline=train_pipeline),
)
# evaluated once, after the last iteration: nothing is chosen on the test pictures
val_dataloader = None
val_evaluator = None
val_cfg = None
test_dataloader = dict(
    _delete_=True,
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='HandedPictures', pipeline=test_pipeline),
)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=1500, end=max_iters),
]
train_cfg = dict(_delete_=True, type='lurefusion.SeekingTrainLoop', max_iters=max_iters)
default_hooks = dict(checkpoint=dict(interval=2000, max_keep_ckpts=1))
custom_hooks = [dict(type='IterationSeedHook')]
env_cfg = dict(cudnn_benchmark=False)
