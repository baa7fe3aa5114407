# Stage 1 at paper scale: the unified latent space from restoration pairs.
_base_ = [
    '../_base_/models/lure.py',
    '../_base_/datasets/restoration_ir_vi.py',
    '../_base_/schedules/stage1.py',
    '../_base_/default_runtime.py',
]
