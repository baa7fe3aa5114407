# Stage 2 after the second cycle of stage 1.
_base_ = './stage2_tiny_ir_vi.py'
init_from = dict(stage='stage1_again_tiny_ir_vi')
# blocks of 2x2 pixels leave alternating rows, which the gradients of Eq. 8 cannot see
model = dict(losses=dict(pattern=dict(type='PatternLoss', weight=20.0)))
# of seeds 0, 1 and 2 (docs/model_zoo.md)
randomness = dict(seed=1)
