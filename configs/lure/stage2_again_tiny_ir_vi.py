# Stage 2 after the second cycle of stage 1.
_base_ = './stage2_tiny_ir_vi.py'
init_from = dict(stage='stage1_again_tiny_ir_vi')
# of seeds 0, 1 and 2 (docs/model_zoo.md)
randomness = dict(seed=1)
