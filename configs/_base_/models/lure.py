# Sections and equations refer to the LURE paper.
model = dict(
    type='LURE',
    stage='restoration',
    modalities=('vi', 'ir'),
    chroma='vi',
    prompts=dict(tasks=('ll', 'hz', 'oe', 'lc', 'sr', 'pd')),
    text_encoder=dict(backbone=dict(type='DistilBERT'), out_dim=256),
    image_encoder=dict(
        type='LUREEncoder',
        channels=(48, 96, 192, 384),
        latent_channels=(16, 32, 64, 128),
        K_bt=(1, 1, 2, 2),
        K_tb=(2, 2, 4, 8),
        interaction=dict(type='TGA', num_heads=4, ffn_ratio=2.66),
        channel_plan='linear',
        modality_embedding='add',
        inner_residual=True,
    ),
    decoder=dict(type='LUREDecoder', K_dec=(1, 1, 1, 1), skip='add'),
    fuser=dict(
        type='CrossAttentionFuser', K_f=(1, 1, 2, 2), num_heads=4, ffn_ratio=2.66, rule=dict(type='l1', radius=1)
    ),
    data_preprocessor=dict(type='FusionDataPreprocessor'),
    # Eq. 4: L1 = L_task + a1 L_unified + a2 L_recon + a3 L_text
    losses=dict(
        task=dict(type='TaskLoss', weight=1.0, alpha_task=0.1),
        unified=dict(type='UnifiedLoss', kind='pix', detach_target=False, weight=0.2, warmup=0.05),
        recon=dict(type='ReconLoss', weight=1.0),
        text=dict(type='TextLoss', weight=0.1),
    ),
)
