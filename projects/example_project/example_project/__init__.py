"""Importing this package registers its parts."""

from example_project.datasets import SuffixPairs
from example_project.degradations import Stripes
from example_project.interactions import TextShift
from example_project.metrics import striped
from example_project.rules import ContrastRule

__all__ = ['ContrastRule', 'Stripes', 'SuffixPairs', 'TextShift', 'striped']
