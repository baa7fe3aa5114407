_base_ = '../unified_pix.py'
stages = ['lurefusion::lure/stage1_tiny_ir_vi.py', 'lurefusion::lure/stage2_tiny_ir_vi.py']
options = {'model.losses.unified.detach_target': False, 'model.losses.mean.weight': 0}
