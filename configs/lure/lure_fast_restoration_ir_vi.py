# lure-fast and pictures alone: from these its tone is trained (tools/train_tone.py), on these it is measured.
# A training of the rest ends without a tone, which has to learn anew.
_base_ = [
    '../_base_/models/lure_fast.py',
    '../_base_/datasets/restoration_tiny_more_ir_vi.py',
    '../_base_/schedules/stage1.py',
    '../_base_/default_runtime.py',
]
init_from = dict(checkpoint='lure-fast', prefixes=('text_encoder', 'encoder', 'maps', 'merger'))
model = dict(
    losses=dict(_delete_=True, task=dict(type='TaskLoss', weight=30.0), chroma=dict(type='ChromaLoss', weight=15.0))
)
# the tasks that it has
train_dataloader = dict(
    sampler=dict(ratios=dict(_delete_=True, ll=2.0, hz=2.5, oe=1.25, lc=1.75, sr=0.75)),
    dataset=dict(tasks=('ll', 'hz', 'oe', 'lc', 'sr')),
)
train_cfg = dict(max_iters=1_000)
optim_wrapper = dict(optimizer=dict(lr=8e-4))
val_cfg = val_dataloader = val_evaluator = None
