_base_ = '../rule_l1_pyramid.py'
stages = ['lurefusion::lure/stage1_tiny_ir_vi.py', 'lurefusion::lure/stage2_tiny_ir_vi.py']
