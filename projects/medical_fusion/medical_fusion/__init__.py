"""Importing this package registers its parts."""

from medical_fusion.degradations import FewCounts, RicianNoise
from medical_fusion.metrics import KeptColourAndTexture

__all__ = ['FewCounts', 'KeptColourAndTexture', 'RicianNoise']
