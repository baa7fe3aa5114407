# Both stages with the parts of this project.
stages = ['stage1_example.py', 'stage2_example.py']
