# 0.23 M parameters beside the text projector of lure-tiny; a 640x480 pair takes 1.0 GMAC.
model = dict(
    type='LureFast',
    modalities=('vi', 'ir'),
    chroma='vi',
    prompts=dict(tasks=('ll', 'hz', 'oe', 'lc', 'sr', 'pd')),
    text_encoder=dict(backbone=dict(type='HashBag'), out_dim=256),
    # how hazy or flat a picture is shows in the whole of it, and it is learned on crops of this size
    coarse=dict(tasks=('hz', 'lc'), size=128),
    # one head, so that the weights stay below 1 MB
    tone=dict(members=1, width=48, depth=3),
    # what tells the tasks apart is taken over; the tone learns afterwards, from whole pictures: tools/train_tone.py
    frozen=('text_encoder', 'tone'),
    losses=dict(
        # stage 1: what is restored is the clean picture
        task=dict(type='TaskLoss', weight=30.0),
        chroma=dict(type='ChromaLoss', weight=15.0),
        # what is fused is what lure-tiny makes of the clean pictures, whatever goes in
        teach=dict(type='TeacherLoss', teacher='lure-tiny', alpha=0.5, weight=60.0),
        pattern=dict(type='PatternLoss', weight=20.0),
    ),
)
