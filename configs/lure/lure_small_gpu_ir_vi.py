# The whole method at paper scale, for GPUs of less memory.
stages = ['lurefusion::lure/stage1_small_gpu_ir_vi.py', 'lurefusion::lure/stage2_small_gpu_ir_vi.py']
