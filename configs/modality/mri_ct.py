# The whole method for MRI-CT pairs, on two CPU cores.
stages = ['stage1_mri_ct.py', 'stage2_mri_ct.py']
