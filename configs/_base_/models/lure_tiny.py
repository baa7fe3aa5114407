# 1.4 M parameters: trains on two CPU cores.
_base_ = './lure.py'
model = dict(
    identity_start=True,
    text_encoder=dict(backbone=dict(_delete_=True, type='HashBag')),
    image_encoder=dict(
        channels=(16, 32, 64, 128),
        latent_channels=(8, 16, 32, 64),
        K_bt=(1, 1, 1, 1),
        K_tb=(1, 1, 2, 2),
        interaction=dict(ffn_ratio=2.0),
    ),
    fuser=dict(K_f=(1, 1, 1, 1), ffn_ratio=2.0),
)
