# The whole method on rendered scenes: no download, minutes on two CPU cores.
stages = ['stage1_demo.py', 'stage2_demo.py']
