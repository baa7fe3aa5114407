# The whole method for MRI-SPECT pairs, on two CPU cores.
stages = ['stage1_mri_spect.py', 'stage2_mri_spect.py']
