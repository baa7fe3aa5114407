"""Metrics, tables and the comparison of fused pictures; importing this package registers the built-in metrics."""

from lurefusion.evaluation.cards import MetricCard, compute
from lurefusion.evaluation.metrics import FusionMetrics, NoReferenceIQA, RestorationMetrics
from lurefusion.evaluation.pictures import TooSmallError

__all__ = ['FusionMetrics', 'MetricCard', 'NoReferenceIQA', 'RestorationMetrics', 'TooSmallError', 'compute']
