# The whole method for multi-focus pairs, on two CPU cores.
stages = ['stage1_multi_focus.py', 'stage2_multi_focus.py']
