"""What the prompt `auto` is worth in fused pictures: its mean rank beside those of no prompt and of the right one.

    python benchmarks/auto_prompt.py lure-tiny --data DIR [--every 2] [--keep work_dirs/auto_prompt/fused.json]

Clean pairs (MSRS/test_dev, RoadScene/val) are compared with no prompt, pairs of degraded_val with the right prompt.
Each is ranked in the place of the model among the published rows of the same pairs (docs/targets.csv) and the
weight-free fusers as docs/benchmark.json has them, by the seven metrics that count there, rounded as tables print them.
A lower rank is better. A picture that gets the tasks of the other row is that row's picture, and is measured once.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from lurefusion.cli import exit_code
from lurefusion.evaluation.cards import RANKED_METRICS
from lurefusion.evaluation.evaluate import read_means
from lurefusion.evaluation.metrics import mean_columns
from lurefusion.evaluation.report import mean_ranks
from lurefusion.io.images import read_image
from lurefusion.io.tables import markdown_table
from lurefusion.prompts import PSEUDO_TASK
from lurefusion.prompts.auto import AUTO
from lurefusion.studies.benchmark import (
    BASELINES,
    CONDITIONS,
    Cache,
    Method,
    Row,
    Table,
    degraded_table,
    load_methods,
    score_fused,
    vanilla_tables,
)

DOCS = Path(__file__).resolve().parents[1] / 'docs'
#: how much worse than with the right prompt degraded pairs may be
ALLOWED = 0.3


def told(method: Method, files: Mapping[str, Path]) -> dict[str, str]:
    """Modality -> the task that `auto` tells from the picture."""
    pictures = {name: read_image(files[name])[0] for name in method.fuser.modalities}
    routes = method.fuser.router.look(method.fuser.route(AUTO), pictures)
    return {name: route.task for name, route in routes.items()}


def measured(method: Method, table: Table, prompts: Mapping[str, Mapping[str, str]], root: Path, cache: Cache) -> Row:
    """Means over the pairs of a table, each fused by its own tasks (stem -> modality -> task)."""
    pairs, rows = table.pairs(root, None), []
    for stem, tasks in prompts.items():
        said = {name: tasks.get(name, PSEUDO_TASK) for name in method.fuser.modalities}
        row = f'{" ".join(table.inputs.values())} | {method.name} | {" ".join(said.values())}'
        score = partial(score_fused, method, said, table, RANKED_METRICS, 'standard')
        rows.append(cache.means(row, method.version, {stem: pairs[stem]}, score))
    return mean_columns(rows, RANKED_METRICS)


def others(table: Table, stems: list[str], known: Mapping[str, Mapping[str, Row]]) -> dict[str, Row]:
    """Rows to rank among: published ones, and the weight-free fusers of the page."""
    rows = dict(read_means(DOCS / 'targets.csv', table.published)) if table.published else {}
    for name in BASELINES:
        kept = known.get(f'{" ".join(table.inputs.values())} | {name}', {})
        if all(stem in kept for stem in stems):
            rows[name] = mean_columns([kept[stem] for stem in stems], RANKED_METRICS)
    return rows


def compared(method: Method, root: Path, every: int, cache: Cache) -> Iterator[list[object]]:
    """Lines of the table of :func:`main`."""
    known = json.loads((DOCS / 'benchmark.json').read_text())
    for table in [*vanilla_tables(), *map(degraded_table, CONDITIONS)]:
        pairs = table.pairs(root, None)
        stems = list(pairs)[::every]
        rows = others(table, stems, known)
        auto = {stem: told(method, pairs[stem]) for stem in stems}
        right = dict.fromkeys(stems, table.tasks)
        same = sum(
            all(task == table.tasks.get(name, PSEUDO_TASK) for name, task in tasks.items()) for tasks in auto.values()
        )
        by = [measured(method, table, prompts, root, cache) for prompts in (right, auto)]
        ranks = [mean_ranks({**rows, method.name: row}, rounded=True)[method.name] for row in by]
        limit = ranks[0] + (ALLOWED if table.tasks else 0) + 1e-9
        yield [
            table.title, len(stems), len(rows) + 1, same, 'right' if table.tasks else 'none', f'{ranks[0]:.2f}',
            f'{ranks[1]:.2f}', 'yes' if ranks[1] <= limit else 'no',
        ]  # fmt: skip


def run(model: str, data: Path, every: int, keep: Path) -> None:
    """Print the table."""
    [method] = load_methods([model])[1]
    lines = list(compared(method, data, every, Cache(keep)))
    head = ['pairs of', 'pairs', 'methods', 'same tasks', 'prompt', 'its mean rank', 'mean rank of auto', 'good enough']
    print(markdown_table(head, lines, text=(0, 4, 7)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', nargs='?', default='lure-tiny', help='[NAME=]MODEL, see tools/benchmark.py')
    parser.add_argument('--data', type=Path, default=os.environ.get('LUREFUSION_DATA', 'data'))
    parser.add_argument('--every', type=int, default=1, help='take every n-th pair of each set, to be quick')
    parser.add_argument('--keep', type=Path, default=Path('work_dirs/auto_prompt/fused.json'), help='what is measured')
    args = parser.parse_args()
    return exit_code(run, args.model, Path(args.data), args.every, args.keep)


if __name__ == '__main__':
    sys.exit(main())
