"""Fused pictures handed to a second task: segmentation with MMSegmentation, chained to training and testing.

`pictures` writes and fuses the pictures, `chain` runs the task on them, `cross_validation` does so over folds, `scores`
draws tables and strips. MMSegmentation lives in child processes alone: `mmseg_child` starts it, `mmseg_parts` is what
lurefusion registers with it.
"""
