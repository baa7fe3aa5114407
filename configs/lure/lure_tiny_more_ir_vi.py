# The whole method on two CPU cores, from all pictures there are, for nine tasks.
stages = ['stage1_tiny_more_ir_vi.py', 'stage1_tiny_detail_ir_vi.py', 'stage2_tiny_more_ir_vi.py']
