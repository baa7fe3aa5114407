"""The commands of `lurefusion`, one module each: arguments at the top, everything heavy inside `run`.

Nothing here may import torch or MMEngine when it is imported: `--help` of every command answers at once.
"""
