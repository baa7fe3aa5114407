"""Data sets, samplers, transforms, degradations and prompts; importing this package registers all built-in members."""

from lurefusion.datasets import degradations, embedded, fusion, mix, prompts, public, restoration, samplers, transforms

__all__ = ['degradations', 'embedded', 'fusion', 'mix', 'prompts', 'public', 'restoration', 'samplers', 'transforms']
