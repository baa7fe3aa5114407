# The whole method at paper scale: stage 1, then stage 2; with scale=tiny on two CPU cores.
# by full name, so that pipelines in other folders can take this one as base
stages = ['lurefusion::lure/stage1_ir_vi.py', 'lurefusion::lure/stage2_ir_vi.py']
scales = dict(
    tiny=dict(stages=['lurefusion::lure/stage1_tiny_ir_vi.py', 'lurefusion::lure/stage2_tiny_ir_vi.py']),
)
