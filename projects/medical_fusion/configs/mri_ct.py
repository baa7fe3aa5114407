# Both stages for MRI-CT.
stages = ['stage1_mri_ct.py', 'stage2_mri_ct.py']
