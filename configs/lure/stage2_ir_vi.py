# Stage 2 at paper scale: the fusion rule, learned in the frozen space.
_base_ = [
    '../_base_/models/lure.py',
    '../_base_/datasets/fusion_ir_vi.py',
    '../_base_/schedules/stage2.py',
    '../_base_/default_runtime.py',
]
# Eq. 7: L2 = L_color + a1 L_grad + a2 L_per; encoders are frozen, fuser and decoder learn
model = dict(
    stage='fusion',
    frozen=('text_encoder', 'image_encoder'),
    losses=dict(
        _delete_=True,
        color=dict(type='ColorLoss', weight=1.0, source='vi'),
        grad=dict(type='GradLoss', weight=10 / 12, mode='position'),
        per=dict(type='PerceptualLoss', weight='auto:grad', mode='vgg'),
    ),
)
init_from = dict(stage='stage1_ir_vi', prefixes=('text_encoder', 'image_encoder', 'decoder'))
# Table 5: what train.py and test.py do with --downstream
downstream = [f'lurefusion::segmentation/segformer_b2_{name}.py' for name in ('infrared', 'visible', 'both', 'fused')]
