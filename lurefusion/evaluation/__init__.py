"""Metrics, tables and the comparison of fused pictures; importing this package registers the built-in metrics."""

from lurefusion.evaluation.cards import METRIC_CARDS, MetricCard, compute
from lurefusion.evaluation.metrics import FusionMetrics, NoReferenceIQA, RestorationMetrics

__all__ = ['METRIC_CARDS', 'FusionMetrics', 'MetricCard', 'NoReferenceIQA', 'RestorationMetrics', 'compute']
