"""The metrics as MMEngine evaluators: per-image rows, means over the data set, the same on any number of processes."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

from lurefusion.evaluation.cards import NETWORK_METRICS, check_options, columns_of, compute, needing, select_metrics
from lurefusion.evaluation.functional import chroma_kept, heat_kept, hue_shift, reference_psnr, reference_ssim
from lurefusion.evaluation.iqa import NetworkScore, network_card, unavailable
from lurefusion.evaluation.report import finite_mean
from lurefusion.io.images import write_bytes
from lurefusion.io.tables import csv_text
from lurefusion.prompts import PSEUDO_TASK
from lurefusion.registry import METRICS

Row = dict[str, Any]


def _field(sample: Any, key: str, wanted_by: str) -> Any:
    value = sample.get(key)
    if value is None:
        raise KeyError(
            f'{wanted_by} needs the field {key!r} in every data sample; it holds: {", ".join(sample.keys())}'
        )
    return value


def _refuse_degraded(sample: Any, modality: str, wanted_by: str) -> None:
    """KeyError where a clean picture of this modality is wanted, and the sample holds a degraded one alone."""
    task = (sample.get('tasks') or {}).get(modality, PSEUDO_TASK)
    if task != PSEUDO_TASK and modality in sample.get('sources', {}) and modality not in sample.get('references', {}):
        raise KeyError(
            f'{wanted_by}: {modality} of {sample.name} is degraded ({task}), and its clean picture is not there '
            f'(reference_{modality} of the data set)'
        )


def _batch(image: Tensor) -> Tensor:
    """(C,H,W) to (1,C,H,W), floats clamped to what an 8-bit file can hold."""
    image = image[None].detach()
    return image.double().clamp(0, 1) if image.is_floating_point() else image


def mean_columns(rows: Sequence[Row], columns: Iterable[str]) -> dict[str, float]:
    """Mean of each column, see `lurefusion.evaluation.report.finite_mean`."""
    return {column: finite_mean(row.get(column, math.nan) for row in rows) for column in columns}


def left_out(rows: Iterable[Row], columns: Iterable[str]) -> list[str]:
    """Which columns leave pictures out of their mean, and how many."""
    lines, rows = [], list(rows)
    for column in columns:
        values = [value for row in rows if isinstance(value := row.get(column, math.nan), float)]
        without, infinite = sum(map(math.isnan, values)), sum(map(math.isinf, values))
        if without:
            lines.append(
                f'{column}: no number for {without} picture(s) (too small, or nothing there to measure), which '
                'are left out of its mean'
            )
        if infinite and infinite + without < len(values):
            lines.append(f'{column}: infinite for {infinite} picture(s), which are left out of its mean')
    return lines


def write_rows(path: str | os.PathLike, rows: Sequence[Row]) -> None:
    """Write per-image rows as CSV; the columns are those of the first row, numbers with nine digits."""
    columns = list(rows[0]) if rows else []
    lines = [[row.get(column, '') for column in columns] for row in rows]
    lines = [[f'{cell:.9g}' if isinstance(cell, float) else cell for cell in line] for line in lines]
    write_bytes(path, csv_text([columns, *lines] if rows else []).encode(errors='surrogateescape'))


class _RowMetric(BaseMetric):
    """Keeps one row per image in `rows` (main process), and writes them to `out_csv` if that is set."""

    # no prefix is meant: without this MMEngine warns
    default_prefix = ''

    def __init__(self, out_csv: str | None = None, collect_device: str = 'cpu', prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.out_csv = out_csv
        self.rows: list[Row] = []

    def process(self, data_batch: Any, data_samples: Sequence[Any]) -> None:
        """Add one row per data sample (dict or FusionDataSample)."""
        for sample in data_samples:
            row = {'name': sample.get('name', str(len(self.results)))}
            self.results.append(row | self.row(sample))

    def row(self, sample: Any) -> Row:
        raise NotImplementedError

    def compute_metrics(self, results: list[Row]) -> dict[str, float | str]:
        self.rows = list(results)
        numbered = [key for row in self.rows for key, v in row.items() if isinstance(v, float) and not math.isnan(v)]
        for line in left_out(self.rows, dict.fromkeys(numbered)):
            print_log(line, logger='current', level=logging.WARNING)
        if self.out_csv:
            write_rows(self.out_csv, self.rows)
        return self.summary(self.rows)

    def summary(self, rows: list[Row]) -> dict[str, float | str]:
        raise NotImplementedError


@METRICS.register_module()
class FusionMetrics(_RowMetric):
    """Metrics of fused pictures against their sources.

    Needs per sample `pred` (3,H,W) and `sources`, a dict of modality -> (3,H,W); and `references` and `label` (H,W)
    where asked for.

    Args:
        metrics: Names, those of plug-ins too; ``all``, or ``ranked`` (the seven of the mean rank).
        variant: ``standard``, ``paper`` or ``both`` (the paper's as further columns `<name>_paper`).
        against: ``sources``, or ``references``: each source is replaced by its clean reference if there is one.
        options: Metric -> keywords of its function, as ``dict(MI=dict(base='nats'))``.
        reference: Modality whose clean picture (its source if there is none) is the reference of the metrics that need
            one.
        out_csv: File for the per-image rows.
        prefix: Put before the names of the results.
        collect_device: As in MMEngine.

    Pictures too small for a metric, and SCD of other than two sources, count NaN there and are left out of its mean,
    as are infinite values (PSNR of equal pictures); the log says how many.

    Raises:
        KeyError: On an unknown metric, also in `options`.
        TypeError: If a metric has no such option.
        ValueError: If a metric needs a reference and `reference` names none.
    """

    def __init__(
        self,
        metrics: str | Sequence[str] = 'all',
        variant: str = 'standard',
        against: str = 'sources',
        options: dict[str, dict] | None = None,
        out_csv: str | None = None,
        prefix: str | None = None,
        collect_device: str = 'cpu',
        reference: str | None = None,
    ) -> None:
        super().__init__(out_csv, collect_device, prefix)
        if against not in ('sources', 'references'):
            raise ValueError(f'against must be "sources" or "references", got {against!r}')
        self.metrics, self.variant, self.against = select_metrics(metrics), variant, against
        self.columns = [column for column, _, _ in columns_of(self.metrics, variant)]
        self.options, self.reference = options, reference
        check_options(options or {})
        needy = needing(self.metrics, 'reference')
        if needy and reference is None:
            raise ValueError(
                f'{", ".join(needy)} need a reference: FusionMetrics(reference=NAME) names the modality whose clean '
                'picture it is'
            )
        self._needs_label = bool(needing(self.metrics, 'label'))

    def row(self, sample: Any) -> Row:
        sources = _field(sample, 'sources', 'FusionMetrics')
        if self.against == 'references':
            references = _field(sample, 'references', 'FusionMetrics(against="references")')
            unpaired = set(references) - set(sources)
            if unpaired:
                raise KeyError(
                    f'references {", ".join(sorted(unpaired))} belong to none of the sources {list(sources)}'
                )
            for name in sources:
                _refuse_degraded(sample, name, 'FusionMetrics(against="references")')
            sources = {modality: references.get(modality, image) for modality, image in sources.items()}
        # as `lurefusion eval` leaves it out
        metrics = [name for name in self.metrics if name != 'SCD' or len(sources) == 2]
        fused = _batch(_field(sample, 'pred', 'FusionMetrics'))
        label = _field(sample, 'label', 'FusionMetrics')[None].to(fused.device) if self._needs_label else None
        values = compute(
            fused,
            {modality: _batch(image).to(fused.device) for modality, image in sources.items()},
            metrics,
            self.variant,
            self._reference_of(sample, sources, fused.device),
            self.options,
            'nan',
            label,
        )
        return {column: float(values[column][0]) if column in values else math.nan for column in self.columns}

    def _reference_of(self, sample: Any, sources: dict[str, Tensor], device: torch.device) -> Tensor | None:
        if self.reference is None:
            return None
        pictures = {**sources, **sample.get('references', {})}
        if self.reference not in pictures:
            raise KeyError(
                f'FusionMetrics has reference={self.reference!r}; the sample holds the pictures {", ".join(pictures)}'
            )
        _refuse_degraded(sample, self.reference, f'FusionMetrics(reference={self.reference!r})')
        return _batch(pictures[self.reference]).to(device)

    def summary(self, rows: list[Row]) -> dict[str, float]:
        return mean_columns(rows, self.columns)


@METRICS.register_module()
class RestorationMetrics(_RowMetric):
    """PSNR and SSIM of restored pictures, and of the degraded input, against the clean one, by task.

    Needs per sample `pred` (3,H,W), `sources['x']`, `references['y']` and `task`. Results: `<task>/PSNR_in`,
    `<task>/PSNR_out`, `<task>/SSIM_in`, `<task>/SSIM_out`, and without a task the mean over the tasks. A sample's
    `group`, where there is one, stands for its task: real and made pairs of one task are then told apart.

    Args:
        by_task: Whether the columns of every task are among the results.
        out_csv, prefix, collect_device: As in :class:`FusionMetrics`.
    """

    COLUMNS = ('PSNR_in', 'PSNR_out', 'SSIM_in', 'SSIM_out')

    def __init__(
        self,
        by_task: bool = True,
        out_csv: str | None = None,
        prefix: str | None = None,
        collect_device: str = 'cpu',
    ) -> None:
        super().__init__(out_csv, collect_device, prefix)
        self.by_task = by_task

    def row(self, sample: Any) -> Row:
        pred = _batch(_field(sample, 'pred', 'RestorationMetrics'))
        degraded, clean = (
            _batch(_field(_field(sample, group, 'RestorationMetrics'), role, 'RestorationMetrics')).to(pred.device)
            for group, role in (('sources', 'x'), ('references', 'y'))
        )
        task = _field(sample, 'task', 'RestorationMetrics')
        row: Row = {'task': str(sample.get('group') or task)}
        for name, function in (('PSNR', reference_psnr), ('SSIM', reference_ssim)):
            row[f'{name}_in'] = float(function(degraded, clean)[0])
            row[f'{name}_out'] = float(function(pred, clean)[0])
        return row

    def summary(self, rows: list[Row]) -> dict[str, float]:
        tasks = sorted({row['task'] for row in rows})
        means = {task: self._means([r for r in rows if r['task'] == task]) for task in tasks}
        values = {f'{t}/{column}': value for t in tasks for column, value in means[t].items() if self.by_task}
        return values | self._means(list(means.values()))

    def _means(self, rows: Sequence[Row]) -> dict[str, float]:
        # of equal pictures PSNR_in is infinite: what has no number in one of the two counts in neither
        psnr = self.COLUMNS[:2]
        both = [row for row in rows if all(math.isfinite(row[name]) for name in psnr)]
        return mean_columns(rows, self.COLUMNS) | mean_columns(both or rows, psnr)


@METRICS.register_module()
class ColourMetrics(_RowMetric):
    """What is left of the colours of one picture: the columns `Chroma` (%) and `Hue` (degrees).

    Needs per sample `pred` (3,H,W), and the picture that owns the colours among its `references` or, where there is
    none, its `sources`. Pictures without colour are left out of the means.

    Args:
        owner: Modality that owns the colours; ``y`` for restored pictures, against the clean ones.
        by_task: Whether there are columns `<task>/Chroma` and `<task>/Hue` as well, see :class:`RestorationMetrics`.
        out_csv, prefix, collect_device: As in :class:`FusionMetrics`.
    """

    COLUMNS = ('Chroma', 'Hue')

    def __init__(
        self,
        owner: str = 'vi',
        by_task: bool = False,
        out_csv: str | None = None,
        prefix: str | None = None,
        collect_device: str = 'cpu',
    ) -> None:
        super().__init__(out_csv, collect_device, prefix)
        self.owner, self.by_task = owner, by_task

    def row(self, sample: Any) -> Row:
        pred = _batch(_field(sample, 'pred', 'ColourMetrics'))
        colours = {**sample.get('sources', {}), **sample.get('references', {})}
        if self.owner not in colours:
            raise KeyError(f'ColourMetrics takes the colours of {self.owner!r}; the sample has {", ".join(colours)}')
        _refuse_degraded(sample, self.owner, f'ColourMetrics(owner={self.owner!r})')
        owner = _batch(colours[self.owner]).to(pred.device)
        values = (float(function(pred, owner)[0]) for function in (chroma_kept, hue_shift))
        task = str(sample.get('group') or sample.get('task'))
        return {'task': task, **dict(zip(self.COLUMNS, values, strict=True))}

    def summary(self, rows: list[Row]) -> dict[str, float]:
        values = mean_columns(rows, self.COLUMNS)
        for task in sorted({row['task'] for row in rows}) if self.by_task else ():
            means = mean_columns([row for row in rows if row['task'] == task], self.COLUMNS)
            values |= {f'{task}/{column}': value for column, value in means.items()}
        return values


@METRICS.register_module()
class HeatMetrics(_RowMetric):
    """How far labelled targets stand out, as a share of how far they do in one source: the column `Heat` (%).

    Needs per sample `pred` (3,H,W), `sources` and `label` (H,W). What stands out more than in the source counts 100.
    Pictures without labels or such targets, or whose source hardly tells them, are left out of the mean, see
    :func:`lurefusion.evaluation.functional.heat_kept`.

    Args:
        source: Modality in which the targets stand out.
        label: Class number of the targets; 2 are the people of MSRS.
        keep: Regular expression that the whole name must match, to tell day from night; None: all pictures.
        out_csv, prefix, collect_device: As in :class:`FusionMetrics`.
    """

    def __init__(
        self,
        source: str = 'ir',
        label: int = 2,
        keep: str | None = None,
        out_csv: str | None = None,
        prefix: str | None = None,
        collect_device: str = 'cpu',
    ) -> None:
        super().__init__(out_csv, collect_device, prefix)
        self.source, self.label = source, label
        self.keep = re.compile(keep or '.*')

    def row(self, sample: Any) -> Row:
        pred = _batch(_field(sample, 'pred', 'HeatMetrics'))
        sources = _field(sample, 'sources', 'HeatMetrics')
        if self.source not in sources:
            raise KeyError(f'HeatMetrics takes the heat of {self.source!r}; the sample has {", ".join(sources)}')
        if 'label' not in sample or not self.keep.fullmatch(sample.get('name', '')):
            return {'Heat': math.nan}
        target = (sample.get('label') == self.label)[None].to(pred.device)
        return {'Heat': float(heat_kept(pred, _batch(sources[self.source]).to(pred.device), target)[0].clamp(max=100))}

    def summary(self, rows: list[Row]) -> dict[str, float]:
        return mean_columns(rows, ('Heat',))


@METRICS.register_module()
class GoalScore(BaseMetric):
    """Several metrics, and one number by which the best checkpoint is chosen: how far they are on the way to goals.

    `score` is the mean over the goals of (value - start) / (goal - start), each within [-1, 1]: 0 where nothing has
    changed, 1 where every goal is reached. What is beyond a goal does not make up for another. Goals of which the
    validation pictures give no number (a task that they do not have, labels, colours) are left out, and named once;
    with none left it is NaN, and no checkpoint the best.

    Args:
        metrics: Members of METRICS.
        goals: Name of a result -> (start, goal).
        prefix, collect_device: As in MMEngine.

    Raises:
        ValueError: If a goal is its start, or there is none.
        KeyError: If a goal is for something that the metrics do not measure.
    """

    default_prefix = ''

    def __init__(
        self,
        metrics: Sequence[dict],
        goals: dict[str, tuple[float, float]],
        prefix: str | None = None,
        collect_device: str = 'cpu',
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.goals = {name: (float(start), float(goal)) for name, (start, goal) in goals.items()}
        same = [name for name, (start, goal) in self.goals.items() if start == goal]
        if same or not goals:
            raise ValueError(f'every goal differs from its start, and there is at least one; got {goals}')
        self.members = [METRICS.build(cfg) for cfg in metrics]
        self._told: set[str] = set()

    def process(self, data_batch: Any, data_samples: Sequence[Any]) -> None:
        """Hand the samples to all of them."""
        for member in self.members:
            member.process(data_batch, data_samples)

    def evaluate(self, size: int) -> dict[str, Any]:
        """Their results, and `score`."""
        values: dict[str, Any] = {}
        for member in self.members:
            found = member.evaluate(size)
            if twice := sorted(found.keys() & values.keys()):
                raise ValueError(f'two metrics of GoalScore both give {", ".join(twice)}: give one of them a prefix')
            values |= found
        measured = {name.rpartition('/')[2] for name in values}
        if unknown := sorted(name for name in self.goals if name.rpartition('/')[2] not in measured):
            raise KeyError(f'GoalScore has goals for {", ".join(unknown)}; the results are {", ".join(values)}')
        for name in self.goals:
            if isinstance(values.get(name), str):
                raise ValueError(f'GoalScore needs a number for {name}: {values[name]}')
        there = {name: goal for name, goal in self.goals.items() if math.isfinite(values.get(name, math.nan))}
        if new := sorted(self.goals.keys() - there.keys() - self._told):
            self._told.update(new)
            rest = 'score is the mean over the other goals' if there else 'no checkpoint is the best: val_evaluator'
            print_log(
                f'the validation pictures give no number for {", ".join(new)} of GoalScore: {rest}',
                logger='current', level=logging.WARNING,
            )  # fmt: skip
        steps = [(values[name] - start) / (goal - start) for name, (start, goal) in there.items()]
        values['score'] = math.fsum(min(max(step, -1.0), 1.0) for step in steps) / len(steps) if steps else math.nan
        return {f'{self.prefix}/{name}': value for name, value in values.items()} if self.prefix else values

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Not used: the members keep the rows."""
        raise NotImplementedError


@METRICS.register_module()
class NoReferenceIQA(_RowMetric):
    """Scores of pyiqa's networks (CLIP-IQA, LIQE, MANIQA, MUSIQ, ARNIQA) on `pred`.

    A network whose weight files are missing gets the text ``not available: put FILE into DIR`` in place of a number,
    and the run goes on; nothing is ever downloaded.

    Args:
        names: Of the networks, see `lurefusion.evaluation.cards.NetworkCard`.
        weights_dir: Folder with the weight files; None takes `$LUREFUSION_IQA_WEIGHTS`, else `weights/iqa`.
        device: Where the networks run; None takes that of the pictures.
        out_csv, prefix, collect_device: As in :class:`FusionMetrics`.
    """

    def __init__(
        self,
        names: Sequence[str] = NETWORK_METRICS,
        weights_dir: str | os.PathLike | None = None,
        device: str | None = None,
        out_csv: str | None = None,
        prefix: str | None = None,
        collect_device: str = 'cpu',
    ) -> None:
        super().__init__(out_csv, collect_device, prefix)
        self.names = (names,) if isinstance(names, str) else tuple(names)
        for name in self.names:
            network_card(name)
        self.weights_dir = str(weights_dir or os.environ.get('LUREFUSION_IQA_WEIGHTS') or 'weights/iqa')
        self.device = device
        self._networks: dict[str, NetworkScore] = {}
        self._failures: dict[str, str] = {}

    def network(self, name: str, device: str | torch.device = 'cpu') -> NetworkScore:
        """The network `name`, built on first use."""
        if name not in self._networks:
            self._networks[name] = NetworkScore(name, self.weights_dir, self.device or device)
        return self._networks[name]

    def row(self, sample: Any) -> Row:
        pred = _batch(_field(sample, 'pred', 'NoReferenceIQA')).float()
        pred = torch.round(pred * 255) / 255 if sample.get('pred').is_floating_point() else pred / 255
        pred = pred.expand(-1, 3, -1, -1)
        row: Row = {}
        for name in self.names:
            network = self.network(name, pred.device)
            row[name] = math.nan
            if network.reason is None:
                try:
                    row[name] = float(network(pred)[0])
                except (AssertionError, RuntimeError, ValueError) as error:
                    # of this picture alone: the others may have a score
                    self._failures.setdefault(name, f'not available: {(str(error).splitlines() or [""])[0]}')
        return row

    def summary(self, rows: list[Row]) -> dict[str, float | str]:
        means = mean_columns(rows, self.names)
        values: dict[str, float | str] = {}
        for name, mean in means.items():
            built = self._networks.get(name)
            reason = built.reason if built else unavailable(name, self.weights_dir)
            reason = reason or self._failures.get(name)
            values[name] = reason if math.isnan(mean) and reason else mean
        return values
