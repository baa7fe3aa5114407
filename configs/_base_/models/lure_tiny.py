# 2.2 M parameters: trains on two CPU cores, fuses a 640x480 pair there in less than a second.
_base_ = './lure.py'
model = dict(
    # trained on crops of 128 from shrunk frames: haze is also looked at in that size
    coarse=dict(tasks=('hz',), size=128),
    # it runs in strips, that is in less memory than others: whole up to 4096x3072
    max_pixels=12_600_000,
    tile=2048,
    text_encoder=dict(backbone=dict(_delete_=True, type='HashBag')),
    image_encoder=dict(
        type='LURETinyEncoder',
        patch=2,
        channels=(32, 48, 96, 144),
        # a picture at four sizes: what more channels hold, nothing asks for (docs/model_zoo.md)
        latent_channels=(12, 3, 3, 3),
        K_bt=(1, 1, 1, 1),
        K_tb=(1, 1, 2, 2),
        interaction=dict(ffn_ratio=2.0),
        detail=dict(width=48, depth=2),
        picture_latents=True,
    ),
    fuser=dict(type='LURETinyFuser', K_f=(1, 1, 1, 1), ffn_ratio=2.0, widths=(16, 24, 48, 64)),
    decoder=dict(type='LURETinyDecoder', widths=(16, 24, 48, 64)),
    # distances that see lengths and offsets, for which a cosine is blind
    losses=dict(
        unified=dict(kind='mse', detach_target=True, weight=0.1),
        text=dict(label_smoothing=0.1),
        pyramid=dict(type='PyramidLoss'),
        mean=dict(type='MeanLatentLoss', ridge=1e-4, weight=0.1, start=1 / 6, warmup=1 / 9),
        detail=dict(type='DetailLoss', tasks=('sr',), weight=0.05),
    ),
)
