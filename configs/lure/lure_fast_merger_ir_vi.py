# The last step of lure-fast: what fuses (the merger) alone, by the ranked metrics, of clean and spoilt pairs.
_base_ = './lure_fast_ir_vi.py'
model = dict(
    frozen=('text_encoder', 'encoder', 'maps', 'tone'),
    losses=dict(
        teach=None,
        quality=dict(type='QualityLoss', weights=dict(SCD=0.4, PSNR=0.7, VIF=2.0, Qabf=2.0)),
        hot=dict(type='HotTargetLoss', weight=1500.0, source='ir'),
    ),
)
init_from = dict(checkpoint='lure-fast', prefixes=('text_encoder', 'encoder', 'maps', 'tone', 'merger'))
train_cfg = dict(max_iters=2_500)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
