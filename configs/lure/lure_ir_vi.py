# The whole method at paper scale: stage 1, then stage 2.
stages = ['stage1_ir_vi.py', 'stage2_ir_vi.py']
