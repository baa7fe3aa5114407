# The whole method for MRI-PET pairs, on two CPU cores.
stages = ['stage1_mri_pet.py', 'stage2_mri_pet.py']
