# The whole method on two CPU cores, from real images.
stages = ['stage1_tiny_ir_vi.py', 'stage2_tiny_ir_vi.py']
