# The whole method at paper scale: stage 1, then stage 2.
stages = ['stage1_ir_vi.py', 'stage2_ir_vi.py']
# Table 5: what train.py and test.py do with --downstream
downstream = [f'../segmentation/segformer_b2_{name}.py' for name in ('infrared', 'visible', 'both', 'fused')]
