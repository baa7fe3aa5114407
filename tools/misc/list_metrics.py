"""Write the page of the metrics from their cards and functions: docs/metrics.md.

python tools/misc/list_metrics.py docs/metrics.md
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from pathlib import Path

from lurefusion.cli import exit_code
from lurefusion.evaluation import functional
from lurefusion.evaluation.cards import RANKED_METRICS, MetricCard, NetworkCard
from lurefusion.io.images import write_bytes
from lurefusion.registry import MEASURES

HEAD = """# Metrics

Made from the cards of the metrics and from what their functions say:
`python tools/misc/list_metrics.py docs/metrics.md`.
`lurefusion eval` computes them ([evaluate.md](evaluate.md)); a metric of your own gets a card too
([add_metric.md](add_metric.md)). The seven of the mean rank are {ranked}.

## Conventions

"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', help='page to write')
    return exit_code(write, **vars(parser.parse_args()))


def write(out: str) -> None:
    """Write the page."""
    write_bytes(Path(out), page().encode())


def built_in(card: MetricCard) -> bool:
    """Whether it is no plug-in's."""
    return card.function is None or card.function.__module__.startswith('lurefusion.')


def page() -> str:
    """The whole page."""
    MEASURES.import_from_location()
    # of plug-ins that are imported, nothing
    cards = [card for card in MEASURES.module_dict.values() if built_in(card)]
    own = [card for card in cards if not isinstance(card, NetworkCard)]
    networks = [card for card in cards if isinstance(card, NetworkCard)]
    parts = [HEAD.format(ranked=', '.join(RANKED_METRICS)) + plain(functional.__doc__.split('\n', 1)[1])]
    parts += ['## At a glance', table(own)]
    parts += [section(card) for card in own]
    parts += [
        '## Networks of pyiqa',
        'No-reference scores by trained networks, higher is better. They need the extra `iqa`, whose licence is '
        'non-commercial, and weight files that you provide: `--networks NAME`, `--weights-dir DIR`.',
        rows(
            'metric | what it is | range | source | name in pyiqa | files',
            [
                (c.name, c.title, span(c), c.source, f'`{c.network}`', ', '.join(f'`{file}`' for file in c.files))
                for c in networks
            ],
        ),
    ]
    return '\n\n'.join(part.strip() for part in parts) + '\n'


def table(cards: list[MetricCard]) -> str:
    """One line for each metric."""
    return rows(
        'metric | what it is | unit | range | better | compares with',
        [(f'[{c.name}](#{c.name.lower()})', c.title, c.unit or 'none', span(c), direction(c), needs(c)) for c in cards],
    )


def rows(titles: str, cells: list[tuple[str, ...]]) -> str:
    """A table."""
    lines = [titles, ' | '.join(['---'] * len(titles.split('|'))), *map(' | '.join, cells)]
    return '\n'.join(f'| {line} |' for line in lines)


def section(card: MetricCard) -> str:
    """Formula, options and what to beware of."""
    lines = [f'## {card.name}', f'{card.title[0].upper()}{card.title[1:]}. Source: {card.source}.']
    lines.append(plain(inspect.getdoc(card.function) or ''))
    facts = [
        f'unit: {card.unit or "none"}; range: {span(card)}; {direction(card)} is better; compares with: {needs(card)}'
    ]
    if card.aggregation:
        facts.append(f'sources are combined by: {card.aggregation}')
    if len(card.variants) > 1:
        facts.append(f'variants: {", ".join(card.variants)} (`--variant`)')
    if card.note:
        facts.append(f'beware: {card.note}')
    return '\n\n'.join([*lines, '\n'.join(f'- {fact}' for fact in facts)])


def span(card: MetricCard) -> str:
    low, high = ('∞' if bound == float('inf') else f'{bound:g}' for bound in card.range)
    return f'{low} to {high}'


def direction(card: MetricCard) -> str:
    if card.best is not None:
        return f'nearer to {card.best:g}'
    return 'higher' if card.higher_is_better else 'lower'


def needs(card: MetricCard) -> str:
    return ', '.join(card.needs) or 'nothing'


def plain(text: str) -> str:
    """A docstring as Markdown: references as code, ``Args:`` as a list of options."""
    text = inspect.cleandoc('\n' + text)
    text = re.sub(r':(?:func|class|meth):`~?([^`]+)`', lambda m: f'`{m[1].rpartition(".")[2]}`', text)
    text = text.replace('``', '`').replace('*', '\\*').replace('<', '&lt;')
    blocks = []
    for block in text.split('\n\n'):
        if block.startswith('Args:'):
            items = re.split(r'\n(?=\w+: )', inspect.cleandoc(block.split('\n', 1)[1]))
            block = '\n'.join(re.sub(r'^(\w+): ', r'- option `\1`: ', re.sub(r'\s+', ' ', item)) for item in items)
        elif re.match(r'`\w+`\n {4}', block):
            items = re.split(r'\n(?=`\w+`\n)', block)
            block = '\n'.join('- ' + re.sub(r'\s+', ' ', item.replace('\n', ': ', 1)) for item in items)
        blocks.append(block)
    return '\n\n'.join(blocks)


if __name__ == '__main__':
    sys.exit(main())
