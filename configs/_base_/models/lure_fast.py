# 0.16 M parameters beside the text projector of lure-tiny; a 640x480 pair takes 1.0 GMAC.
model = dict(
    type='LureFast',
    modalities=('vi', 'ir'),
    chroma='vi',
    prompts=dict(tasks=('ll', 'hz', 'oe', 'lc', 'sr', 'pd')),
    text_encoder=dict(backbone=dict(type='HashBag'), out_dim=256),
    # what tells the tasks apart is taken over
    frozen=('text_encoder',),
    losses=dict(
        # stage 1: what is restored is the clean picture
        task=dict(type='TaskLoss', weight=30.0),
        chroma=dict(type='ChromaLoss', weight=15.0),
        # stage 2, as lure-tiny, of the clean pictures, whatever goes in
        grad=dict(type='GradLoss', weight=40.0, mode='position'),
        per=dict(type='PerceptualLoss', weight=10.0, mode='u2', temperature=1.0, window=7),
        int=dict(type='IntensityMaxLoss', weight=25.0, space='luma'),
        hot=dict(type='HotTargetLoss', weight=2000.0, source='ir'),
        pattern=dict(type='PatternLoss', weight=20.0),
        color=dict(type='ColorLoss', weight=20.0, source='vi'),
    ),
)
