"""The page of the benchmark: tables, mean ranks, and what they say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lurefusion.evaluation import report
from lurefusion.evaluation.cards import FUSION_METRICS, RANKED_METRICS, card_of
from lurefusion.evaluation.evaluate import read_means
from lurefusion.io.images import write_bytes
from lurefusion.studies.benchmark import (
    BASELINES,
    CONDITIONS,
    DETAILS,
    OTHER_PROMPTS,
    PUBLISHED_DETAILS,
    RESTORED_COLUMNS,
    TASKS,
    Cache,
    Means,
    Method,
    Table,
    degraded_table,
    load_methods,
    measure_fused,
    measure_restored,
    measure_routing,
    vanilla_tables,
)

INTRODUCTION = """# Benchmark

    LUREFUSION_DATA=DIR python tools/benchmark.py {command}

writes this page from real pictures below `DIR`. They are validation pictures: {names} was not trained on them, but its
recipe was chosen with a look at them (and the frames of `MSRS/test_dev` belong to the official MSRS test split, but are
not all of it: never report them as "MSRS test").

Average, Max, LapPyr and GuidedFilter need no weights (`configs/baselines/`): every table of a new method should show
them, they cost nothing and beat many networks by mean rank. They fuse luminance and keep the visible picture's chroma.
The other rows are networks run on the same pictures with their authors' published weights, measured by independent code
(`docs/targets.csv`). The mean rank counts CC, SCD, PSNR, SSIM, MS-SSIM, VIF and Qabf as printed, over one row a method,
ties shared; what a model makes of no prompt or a wrong one is ranked in its place. Best in bold, second underlined.
"""
WHY_MAX = (
    'That code took chroma through the fixed-point YCrCb of OpenCV, which moves single grey levels, and with them the '
    'MI of Max; here it is exact.'
)
DEGRADED = """## Degraded pairs

Pairs of `degraded_val`, spoilt by fixed formulas and measured against the *clean* pair; `clean` is the same pairs
unspoilt. A trained model has three rows: the right task for each degraded picture, no prompt, and a wrong prompt
(another task of the same modality).

"""
RESTORED = """## Restored single pictures

Each degraded picture restored by its prompt, without fusion. PSNR (dB) and SSIM against the clean picture; SD, the
standard deviation, tells the contrast. For sr4 and sr8 the degraded picture *is* the bicubic enlargement.

"""
ROUTING = """## Free sentences

Sentences of the prompt bank whose templates were in no training sentence (its splits `val` and `test`). Right means:
this modality gets the task of the sentence, the others are kept as they are. A task of both modalities goes to those
that the sentence names, or to both.

"""


@dataclass
class Measured:
    """A table with its numbers: own rows, and all rows with the published ones, best mean rank first."""

    table: Table
    pairs: int
    own: Means
    published: Means

    def __post_init__(self) -> None:
        joined = self.own | {m: row for m, row in self.published.items() if m not in self.own}
        methods = [m for m in joined if not _asked_otherwise(m)]
        self.ranks = report.mean_ranks({m: joined[m] for m in methods}, rounded=True)
        for row in joined.keys() - self.ranks.keys():
            model = row.partition(', ')[0]
            in_its_place = {m: joined[row if m == model else m] for m in methods}
            self.ranks[row] = report.mean_ranks(in_its_place, rounded=True)[model]
        self.rows = {m: joined[m] for m in sorted(joined, key=self.ranks.__getitem__)}

    def markdown(self, names: Iterable[str], columns: Sequence[str] = RANKED_METRICS) -> str:
        """Title, table, and for each of `names` its place and the metrics in the bottom third of all rows."""
        lines = [f'### {self.table.title}, {self.pairs}\n', report.format_table(self.rows, columns, ranks=self.ranks)]
        for name in names:
            methods = {m: row for m, row in self.rows.items() if not _asked_otherwise(m)}
            places = {c: report.mean_ranks(methods, [c], rounded=True)[name] for c in RANKED_METRICS}
            low = [column for column, place in places.items() if place > 2 * len(methods) / 3]
            place = 1 + sum(self.ranks[m] < self.ranks[name] for m in methods)
            lines.append(f'{name}: place {place} of {len(methods)}; in the bottom third: {", ".join(low) or "none"}.\n')
        return '\n'.join(lines) + '\n'

    def compared(self) -> tuple[int, list[str]]:
        """Numbers that independent code measured as well: how many, and which differ in the printed digits."""
        count, differing = 0, []
        for method, row in self.published.items():
            for column, other in row.items():
                own = self.own.get(method, {}).get(column)
                if own is None:
                    continue
                count += 1
                digits = card_of(column).decimals
                if abs(own - other) > 0.5 * 10**-digits + 1e-9:
                    where = f'{column} of {method}, {self.table.title}'
                    differing.append(f'{where} ({own:.{digits + 1}f} here, {other:.{digits}f} there)')
        return count, differing


def _asked_otherwise(row: str) -> bool:
    """Whether the row shows what a model makes of no prompt or a wrong one."""
    return row.endswith(tuple(f', {prompt}' for prompt in OTHER_PROMPTS))


def at_a_glance(tables: Sequence[Measured], names: Sequence[str]) -> str:
    """Mean rank of every row in every table, trained models first, and what follows for these."""
    titles = [m.table.title.split('/')[0] for m in tables]
    own = dict.fromkeys(row for m in tables for row in m.own if row not in BASELINES)
    rows = [*own, *(row for row in dict.fromkeys(row for m in tables for row in m.ranks) if row not in own)]
    ranks = {row: {t: m.ranks.get(row, np.nan) for t, m in zip(titles, tables, strict=True)} for row in rows}
    text = report.format_table(ranks, titles, higher_is_better=False)
    for name in names:
        others = [min(rank for row, rank in m.ranks.items() if row not in own) for m in tables]
        ahead = sum(m.ranks[name] < other for m, other in zip(tables, others, strict=True))
        text += (
            f'\n{name}: better mean rank than every published network and baseline in {ahead} of {len(tables)} tables'
        )
        alone = [report.mean_ranks(m.published | {name: m.own[name]}, rounded=True) for m in tables if m.published]
        first = sum(ranks.pop(name) < min(ranks.values()) for ranks in alone)
        text += f', of `docs/targets.csv` alone in {first} of {len(alone)}' if alone else ''
        for other in OTHER_PROMPTS:
            rows = (name, f'{name}, {other}')
            both = [m for m in tables if rows[1] in m.ranks]
            better = sum(m.ranks[rows[0]] < m.ranks[rows[1]] for m in both)
            pairs = [report.mean_ranks({row: m.own[row] for row in rows}, rounded=True) for m in both]
            head = sum(ranks[rows[0]] < ranks[rows[1]] for ranks in pairs)
            text += (
                f'; than with {other} in {better} of {len(both)} ({head} if these two alone are ranked)' if both else ''
            )
        text += '.\n'
    return text


def agreement(tables: Sequence[Measured]) -> str:
    """What independent measurements of the same rows say."""
    count = sum(m.compared()[0] for m in tables)
    differing = [line for m in tables for line in m.compared()[1]]
    if not count:
        return ''
    others = f'; the others are {"; ".join(differing)}' if differing else ''
    agreeing = f'{count - len(differing)} agree to the printed digit'
    return f'Of {count} numbers that independent code measured as well, {agreeing}{others}. {WHY_MAX}\n'


def measure_tables(
    methods: Sequence[Method], root: Path, limit: int | None, cache: Cache, targets: Path
) -> list[Measured]:
    """Every table whose pictures are on disk; `targets` holds the published rows."""
    measured, missing = [], set()
    for table in [*vanilla_tables(), *map(degraded_table, CONDITIONS)]:
        absent = {folder for folder in table.folders() if not (root / folder).is_dir()}
        missing |= absent
        if not absent:
            published = read_means(targets, table.published) if table.published else {}
            own = measure_fused(table, methods, root, limit, cache)
            measured.append(Measured(table, len(table.pairs(root, limit)), own, published))
    for folder in sorted(missing):
        print(f'left out, not found: {root / folder}')
    if not measured:
        raise FileNotFoundError(f'none of the sets is below {root}; --data-root or $LUREFUSION_DATA sets another root')
    return measured


def build(models: Sequence[str], root: Path, limit: int | None, out: Path, targets: Path) -> str:
    """The whole page.

    Args:
        models: See :func:`lurefusion.studies.benchmark.load_methods`.
        root: Of the data sets; those that are missing are named and left out.
        limit: Only so many pairs of each set.
        out: File of the page; what was measured is kept in a JSON file beside it.
        targets: CSV of published rows, see :func:`lurefusion.evaluation.evaluate.read_means`.

    Raises:
        FileNotFoundError: If none of the sets is there.
    """
    cache = Cache(out.with_suffix('.json'))
    baselines, trained = load_methods(models)
    names = [method.name for method in trained]
    measured = measure_tables([*baselines, *trained], root, limit, cache, targets)
    prompted = [method for method in trained if method.fuser.router]
    folders = {folder for m in measured for folder in m.table.folders()}
    restored = {
        name.replace('_', ' ') + (f', {method.name}' if len(trained) > 1 else ''):
            measure_restored(method, name, root, limit, cache)
        for name in TASKS if degraded_table(name).folders() <= folders for method in prompted
    }  # fmt: skip
    routing = {row: values for method in prompted for row, values in measure_routing(method).items()}

    command = ' '.join([*models, f'--out {out}', *([f'--quick {limit}'] if limit else [])])
    text = INTRODUCTION.format(command=command, names=' and '.join(f'`{name}`' for name in names))
    if limit:
        text += f'\n**A quick look at {limit} pairs of each set: not comparable with the published rows.**\n'
    beside = [m for m in measured if m.table.published or m.table.tasks]
    text += f'\n## Mean ranks at a glance\n\n{at_a_glance(beside, names)}\n## Pictures as they are\n\n'
    for m in measured:
        text += DEGRADED if m.table.title == 'clean' else ''
        whole = m.table.inputs == m.table.clean and m.table.title != 'clean'
        details = (PUBLISHED_DETAILS if m.published else DETAILS) if whole else ()
        text += m.markdown(names, [*RANKED_METRICS, *details])
    text += '' if limit else agreement(measured)
    if restored:
        table = report.format_table(restored, RESTORED_COLUMNS, mark=False)
        text += f'\n{RESTORED}{table.replace("method", "picture", 1)}'
    if routing:
        table = report.format_table(routing, list(next(iter(routing.values()))), mark=False)
        text += f'\n{ROUTING}{table.replace("method", "model, modality", 1)}'
    return f'{text}\n## Columns\n\n{report.describe_metrics(FUSION_METRICS)}'


def write_page(models: Sequence[str], data_root: Path, out: Path, targets: Path, quick: int | None = None) -> None:
    """Measure what is new, and write the page; arguments as of :func:`build`."""
    write_bytes(out, build(models, data_root, quick, out, targets).encode())
    print(out)
