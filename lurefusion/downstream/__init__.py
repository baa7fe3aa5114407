"""Fused pictures handed to a second task: segmentation with MMSegmentation, chained to training and testing.

`pictures` writes and fuses the pictures, `networks` trains and evaluates on them, `chain` is the whole, `scores` draws
tables and strips. MMSegmentation lives in child processes alone: `mmseg_child` starts it, `mmseg_parts` is what
lurefusion registers with it.
"""
