# The whole method for multi-exposure pairs, on two CPU cores.
stages = ['stage1_multi_exposure.py', 'stage2_multi_exposure.py']
