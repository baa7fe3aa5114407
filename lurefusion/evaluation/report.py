"""Tables, rankings, confidence intervals and comparison pictures from per-image rows."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from lurefusion.choices import one_of
from lurefusion.evaluation.cards import RANKED_METRICS, MetricCard, card_of
from lurefusion.io.ranges import to_uint8
from lurefusion.io.tables import csv_text, markdown_table

Means = Mapping[str, Mapping[str, Any]]

STYLES = ('markdown', 'text', 'latex', 'csv')
INSET_COLOUR = (255, 64, 64)


def finite_mean(values: Iterable[Any]) -> float:
    """The mean over pictures, everywhere in the package: over those that have a finite number.

    A picture without a number (too small for the metric: NaN) or with an infinite one (PSNR of equal pictures) is left
    out, since it would swallow all others. Infinite if every number is; NaN if there is none.
    """
    numbers = [float(value) for value in values if not math.isnan(value)]
    finite = [value for value in numbers if math.isfinite(value)]
    if finite:
        return math.fsum(finite) / len(finite)
    return numbers[0] if numbers and len(set(numbers)) == 1 else math.nan


def mean_and_deviation(values: Iterable[Any]) -> tuple[float, float]:
    """:func:`finite_mean`, and the sample standard deviation of the finite numbers (NaN of less than two)."""
    values = list(values)
    finite = [float(value) for value in values if math.isfinite(value)]
    return finite_mean(values), float(np.std(finite, ddof=1)) if len(finite) > 1 else math.nan


def print_spread(values: Iterable[Any], decimals: int, none: str = '-') -> str:
    """``mean ± deviation`` of the finite numbers, of a single one without the latter; `none` where there is none."""
    mean, deviation = mean_and_deviation(values)
    if math.isnan(mean):
        return none
    return f'{mean:.{decimals}f}' + ('' if math.isnan(deviation) else f' ± {deviation:.{decimals}f}')


@dataclass(frozen=True)
class Statistic:
    """Of one column: see :func:`finite_mean`, sample standard deviation, bootstrap interval, all over n images."""

    mean: float
    std: float
    low: float
    high: float
    n: int


def bootstrap_interval(
    values: Sequence[float], level: float = 0.95, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap of the mean over images.

    Args:
        values: One finite value per image.
        level: Coverage in (0, 1).
        draws: Resamples.
        seed: Of the resampling; equal numbers of images are resampled alike, so methods stay paired.

    Returns:
        Lower and upper bound; NaN without values.
    """
    if not 0 < level < 1 or draws < 1:
        raise ValueError(f'level must lie in (0, 1) and draws be at least 1, got {level!r} and {draws!r}')
    data = np.asarray(values, np.float64)
    if data.size == 0:
        return math.nan, math.nan
    chosen = np.random.default_rng(seed).integers(0, data.size, (draws, data.size))
    low, high = np.percentile(data[chosen].mean(1), (50 * (1 - level), 50 * (1 + level)))
    return float(low), float(high)


def summarise(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], level: float = 0.95, draws: int = 2000, seed: int = 0
) -> dict[str, Statistic]:
    """Statistics per column; images without a finite number there are left out and not counted in `n`."""
    statistics = {}
    for column in columns:
        values = [float(row[column]) for row in rows if math.isfinite(row.get(column, math.nan))]
        mean, std = mean_and_deviation(row.get(column, math.nan) for row in rows)
        low, high = bootstrap_interval(values, level, draws, seed)
        statistics[column] = Statistic(mean, std, low, high, len(values))
    return statistics


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _ranks(values: Sequence[float], higher_is_better: bool) -> list[float]:
    """Ranks from 1 (best), ties shared; NaN for NaN."""
    ranks = []
    for value in values:
        if math.isnan(value):
            ranks.append(math.nan)
            continue
        better = sum(other > value if higher_is_better else other < value for other in values)
        equal = sum(other == value for other in values)
        ranks.append(better + (equal + 1) / 2)
    return ranks


def mean_ranks(means: Means, columns: Sequence[str] = RANKED_METRICS, rounded: bool = False) -> dict[str, float]:
    """Mean over the columns of each method's rank, 1 for the best; equal values share the mean of their ranks.

    Args:
        means: Method -> column -> mean.
        columns: Which columns count; those that no method has are left out.
        rounded: Rank the numbers as tables print them; for putting printed numbers beside own ones.

    Returns:
        Method -> mean rank; NaN for a method that lacks one of the columns.
    """
    used = [c for c in columns if any(not math.isnan(_number(row.get(c))) for row in means.values())]
    totals = dict.fromkeys(means, 0.0)
    for column in used:
        card = card_of(column)
        values = [_number(row.get(column)) for row in means.values()]
        if rounded:
            values = [round(v, card.decimals) if math.isfinite(v) else v for v in values]
        for method, rank in zip(means, _ranks(values, card.higher_is_better), strict=True):
            totals[method] += rank
    return {method: total / len(used) if used else math.nan for method, total in totals.items()}


def _card(column: str) -> MetricCard | None:
    try:
        return card_of(column)
    except KeyError:
        return None


def is_metric(column: str) -> bool:
    """Whether a column title is a metric with a card."""
    return _card(column) is not None


def _higher_is_better(column: str) -> bool | None:
    """Direction of a column, `<set>/<metric>` and, of restored pictures, `<metric>_in` included; None: not known."""
    name = column.rpartition('/')[2]
    card = _card(name) or _card(re.sub('_(in|out)$', '_ref', name))
    return card.higher_is_better if card else None


def _best(column: str) -> float | None:
    card = _card(column.rpartition('/')[2])
    return card.best if card else None


def _print(column: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    card = _card(column)
    number = _number(value)
    return '-' if math.isnan(number) else f'{number:.{card.decimals if card else 2}f}'


def _title(column: str) -> str:
    card = _card(column)
    name = column.replace('_paper', ' paper').replace('_ref', ' ref').replace('_', ' ')
    return name if card is None or card.higher_is_better else f'{name} ↓'


def _placing(texts: list[str], values: list[float], higher_is_better: bool) -> list[int]:
    """1 for the best, 2 for the second, 0 for others; numbers that print alike are placed alike."""
    shown = [float(t) if not math.isnan(v) and not math.isinf(v) else v for t, v in zip(texts, values, strict=True)]
    order = sorted({v for v in shown if not math.isnan(v)}, reverse=higher_is_better)
    return [order.index(v) + 1 if not math.isnan(v) and v in order[:2] else 0 for v in shown]


def format_table(
    means: Means,
    columns: Sequence[str],
    style: str = 'markdown',
    spread: Mapping[str, Mapping[str, float]] | None = None,
    ranks: Mapping[str, float] | None = None,
    mark: bool = True,
    head: str = 'method',
    higher_is_better: bool | None = None,
) -> str:
    """One table, a method per row.

    Args:
        means: Method -> column -> number, or a text where there is none.
        columns: Column titles; metrics are printed with the decimals of their card.
        style: ``markdown`` (best bold, second underlined), ``text`` (the same, aligned for a terminal), ``latex`` (the
            same, booktabs), ``csv`` (plain numbers).
        spread: Method -> column -> standard deviation, printed after a ±.
        ranks: Method -> mean rank, as a last column.
        mark: Whether best and second are marked; a single row never is, nor a column of which no direction is known.
        head: Title of the first column.
        higher_is_better: Direction of the columns that are no metrics.

    Raises:
        ValueError: On an unknown style.
    """
    one_of('style', style, STYLES)
    methods = list(means)
    cells = {method: [] for method in methods}
    everything = [(c, {m: means[m].get(c, math.nan) for m in methods}) for c in columns]
    directions = [higher_is_better if (known := _higher_is_better(c)) is None else known for c in columns]
    if ranks is not None:
        everything.append(('mean rank', {m: ranks.get(m, math.nan) for m in methods}))
        directions.append(False)
    for (column, values), direction in zip(everything, directions, strict=True):
        texts = [_print(column, values[m]) for m in methods]
        places = [0] * len(methods)
        if mark and style != 'csv' and len(methods) > 1 and direction is not None:
            numbers, shown = [_number(values[m]) for m in methods], texts
            if (best := _best(column)) is not None:
                numbers, direction = [abs(number - best) for number in numbers], False
                shown = [_print(column, number) for number in numbers]
            places = _placing(shown, numbers, direction)
        for method, text, place in zip(methods, texts, places, strict=True):
            deviation = spread.get(method, {}).get(column, math.nan) if spread else math.nan
            if not math.isnan(deviation):
                text = f'{text} ± {_print(column, deviation)}'
            cells[method].append(_emphasise(text, place, style))
    titles = [head, *(_title(c) for c, _ in everything)]
    if style == 'csv':
        return csv_text([[head, *(c for c, _ in everything)], *([m, *cells[m]] for m in methods)])
    if style == 'latex':
        return _latex(titles, [[m, *cells[m]] for m in methods])
    return markdown_table(titles, [[m, *cells[m]] for m in methods], aligned=style == 'text')


def _emphasise(text: str, place: int, style: str) -> str:
    if style == 'latex':
        text = _escape(text)
        return {1: rf'\textbf{{{text}}}', 2: rf'\underline{{{text}}}'}.get(place, text)
    return {1: f'**{text}**', 2: f'<u>{text}</u>'}.get(place, text)


def _escape(text: str) -> str:
    for symbol in '\\&%$#_{}':
        text = text.replace(symbol, '\\' + symbol if symbol != '\\' else '/')
    text = text.replace('~', r'\textasciitilde{}').replace('^', r'\textasciicircum{}')
    return text.replace('±', r'$\pm$').replace('↓', r'$\downarrow$').replace('↑', r'$\uparrow$')


def _latex(titles: list[str], lines: list[list[str]]) -> str:
    body = [' & '.join([_escape(line[0]), *line[1:]]) + r' \\' for line in lines]
    head = ' & '.join(_escape(t) for t in titles) + r' \\'
    begin = rf'\begin{{tabular}}{{l{"r" * (len(titles) - 1)}}}'
    return '\n'.join([begin, r'\toprule', head, r'\midrule', *body, r'\bottomrule', r'\end{tabular}', ''])


def format_intervals(statistics: Mapping[str, Mapping[str, Statistic]], columns: Sequence[str], level: float) -> str:
    """Markdown table of mean, standard deviation and bootstrap interval, one line per method and metric."""
    lines = []
    for method, stats in statistics.items():
        for column in columns:
            s = stats[column]
            mean, std, low, high = (_print(column, v) for v in (s.mean, s.std, s.low, s.high))
            lines.append([method, _title(column), s.n, mean, std, f'{low} .. {high}'])
    titles = ['method', 'metric', 'n', 'mean', 'std', f'{level:.0%} interval of the mean']
    return markdown_table(titles, lines, text=(0, 1, 5))


def describe_metrics(columns: Sequence[str], options: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """Markdown list of what each column means; of what was changed by `options` (metric -> keywords), how."""
    lines = []
    for column in columns:
        card = _card(column)
        if card is None:
            continue
        low, high = (f'{v:g}' for v in card.range)
        parts = [card.title, f'{low}..{high}{f" {card.unit}" if card.unit else ""}', card.direction]
        if card.aggregation:
            parts.append(f'over the sources: {card.aggregation}')
        parts += [part for part in (card.source, card.note) if part]
        # what they change of the above is not known
        if given := (options or {}).get(card.name):
            parts.append('**as changed by ' + ', '.join(f'{card.name}.{k}={v}' for k, v in given.items()) + '**')
        lines.append(f'- **{_title(column)}**: {"; ".join(parts)}')
    return '\n'.join(lines) + '\n'


def busiest_box(images: Sequence[np.ndarray], fraction: float = 0.2) -> tuple[int, int, int, int]:
    """Box (x, y, width, height) of `fraction` of each side in which the pictures (H,W,3) have most detail together."""
    detail = 0.0
    for image in images:
        grey = cv2.cvtColor(_as_uint8(image), cv2.COLOR_RGB2GRAY).astype(np.float32)
        fine = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 3))
        # a share of the picture's own detail, so that a flat picture counts as much as a contrasty one
        detail = detail + np.minimum(fine, np.percentile(fine, 99)) / max(float(fine.mean()), 1e-6)
    height, width = detail.shape
    h, w = max(1, round(height * fraction)), max(1, round(width * fraction))
    total = cv2.integral(detail)
    sums = total[h:, w:] - total[:-h, w:] - total[h:, :-w] + total[:-h, :-w]
    y, x = np.unravel_index(int(sums.argmax()), sums.shape)
    return int(x), int(y), w, h


def _as_uint8(image: np.ndarray) -> np.ndarray:
    image = image if image.dtype == np.uint8 else to_uint8(image)
    return np.ascontiguousarray(np.repeat(image[..., None], 3, 2) if image.ndim == 2 else image)


def comparison_grid(
    rows: Sequence[Mapping[str, np.ndarray]],
    boxes: Sequence[tuple[int, int, int, int] | None] | None = None,
    zoom: float = 2.0,
    cell_width: int = 320,
) -> np.ndarray:
    """Pictures side by side, a title above each column, with an enlarged inset in a corner that leaves its region free.

    Args:
        rows: Per scene: title (source or method) -> picture (H,W,3) or (H,W), uint8 or float in [0,1]; the titles and
            their order must be equal in all rows.
        boxes: Per scene the region (x, y, width, height) to enlarge; None chooses it by :func:`busiest_box`.
        zoom: Enlargement of the inset.
        cell_width: Width of a column in pixels.

    Returns:
        (H,W,3) uint8.

    Raises:
        ValueError: If there is no row, titles differ, or a box leaves its picture.
    """
    if not rows or any(list(row) != list(rows[0]) for row in rows):
        raise ValueError('a grid needs one or more rows with the same titles in the same order')
    bands = [_title_band(list(rows[0]), cell_width)]
    for row, box in zip(rows, boxes or [None] * len(rows), strict=True):
        images = [_as_uint8(image) for image in row.values()]
        height, width = images[0].shape[:2]
        x, y, w, h = box or busiest_box(images)
        if x < 0 or y < 0 or w < 1 or h < 1 or x + w > width or y + h > height:
            raise ValueError(f'the box {(x, y, w, h)} leaves the picture of {width}x{height}')
        scale = cell_width / width
        cells = [_cell(image, (x, y, w, h), scale, zoom) for image in images]
        bands.append(np.concatenate(cells, 1))
    return np.concatenate(bands, 0)


def _title_band(titles: list[str], cell_width: int) -> np.ndarray:
    band = np.full((28, cell_width * len(titles), 3), 255, np.uint8)
    for index, title in enumerate(titles):
        place = (index * cell_width + 6, 20)
        cv2.putText(band, title, place, cv2.FONT_HERSHEY_SIMPLEX, 0.55, (0, 0, 0), 1, cv2.LINE_AA)
    return band


def _cell(image: np.ndarray, box: tuple[int, int, int, int], scale: float, zoom: float) -> np.ndarray:
    height, width = (max(2, round(side * scale)) for side in image.shape[:2])
    cell = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    x, y, w, h = box
    zoom = min(zoom, 0.6 / max(w / image.shape[1], h / image.shape[0]))
    size = (min(max(2, round(w * scale * zoom)), width), min(max(2, round(h * scale * zoom)), height))
    inset = cv2.resize(image[y : y + h, x : x + w], size, interpolation=cv2.INTER_CUBIC)
    left, top, right, bottom = (round(v * scale) for v in (x, y, x + w, y + h))
    places = [(px, py) for py in (height - size[1], 0) for px in (width - size[0], 0)]
    free = [(px, py) for px, py in places
            if px >= right or px + size[0] <= left or py >= bottom or py + size[1] <= top]  # fmt: skip
    px, py = (free or places)[0]
    cv2.rectangle(cell, (left, top), (right - 1, bottom - 1), INSET_COLOUR, 1)
    cv2.rectangle(inset, (0, 0), (size[0] - 1, size[1] - 1), INSET_COLOUR, 2)
    cell[py : py + size[1], px : px + size[0]] = inset
    return cell
