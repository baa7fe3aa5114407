"""Loops, hooks, checkpoints and the chaining of stages; importing this package registers all built-in members."""

from lurefusion.engine import checkpoint, hooks, loops, optim

__all__ = ['checkpoint', 'hooks', 'loops', 'optim']
