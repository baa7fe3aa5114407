"""Importing this package registers its parts."""

from medical_fusion.degradations import FewCounts, RicianNoise
from medical_fusion.metrics import chroma_error, texture_correlation

__all__ = ['FewCounts', 'RicianNoise', 'chroma_error', 'texture_correlation']
