_base_ = '../ours.py'
stages = ['lurefusion::lure/stage1_tiny_ir_vi.py', 'lurefusion::lure/stage2_tiny_ir_vi.py']
