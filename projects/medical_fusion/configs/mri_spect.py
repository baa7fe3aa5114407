# Both stages for MRI-SPECT.
stages = ['stage1_mri_spect.py', 'stage2_mri_spect.py']
