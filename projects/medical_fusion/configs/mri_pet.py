# Both stages for MRI-PET.
stages = ['stage1_mri_pet.py', 'stage2_mri_pet.py']
