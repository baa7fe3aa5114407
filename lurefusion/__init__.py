"""lurefusion: degradation-aware multi-modal image fusion on MMEngine registries."""

__version__ = '0.1.0'
