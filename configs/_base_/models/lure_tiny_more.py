# lure_tiny.py with noise, stripes and rain (blur was not learned, docs/model_zoo.md), colours that stay as the visible
# picture has them, and a loss that restores them.
_base_ = './lure_tiny.py'
model = dict(
    prompts=dict(tasks=('ll', 'hz', 'oe', 'lc', 'sr', 'ns', 'st', 'rn', 'pd')),
    # sees the whole picture at every size: no second pass
    coarse=None,
    image_encoder=dict(tone=dict(members=2, width=64, depth=4)),
    # the latents are pictures: the fused ones take their luma from both, their colours from the first modality
    fuser=dict(chroma=0),
    # it starts from trained weights: no long warm-up, but means and covariances of the latents have to be there
    losses=dict(
        unified=dict(warmup=1 / 30),
        mean=dict(start=1 / 30, warmup=1 / 45),
        chroma=dict(type='ChromaLoss', weight=0.5),
    ),
)
