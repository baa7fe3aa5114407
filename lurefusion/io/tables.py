"""Tables as text: Markdown and CSV out, CSV and TSV in."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any


def markdown_table(
    titles: Sequence[str], lines: Iterable[Sequence[Any]], text: Collection[int] = (0,), aligned: bool = False
) -> str:
    """A Markdown table; the columns whose index is in `text` are set to the left, all others, numbers, to the right.

    `aligned`: columns as wide as their widest cell, for a terminal.
    """
    rows = [[str(cell).replace('|', '\\|') for cell in row] for row in (titles, *lines)]
    widths = [max(4, *map(len, column)) if aligned else 0 for column in zip(*rows, strict=True)]
    rows.insert(1, ['-' * (w or 3) if i in text else '-' * ((w or 4) - 1) + ':' for i, w in enumerate(widths)])
    for row in rows:
        row[:] = [c.ljust(w) if i in text else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
    return ''.join(f'| {" | ".join(row)} |\n' for row in rows)


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """Rows separated by commas, lines ended by a line feed on every system."""
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows(rows)
    return text.getvalue()


def read_rows(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Names of the columns of a .csv or .tsv file with a header, and its rows with the numbers of their lines.

    A row that is too short has None as the values that it lacks, one that is too long a key None.
    """
    with path.open(newline='', encoding='utf-8-sig') as file:
        reader = csv.DictReader(file, delimiter='\t' if path.suffix == '.tsv' else ',')
        columns = list(reader.fieldnames or [])
        return columns, [(reader.line_num, row) for row in reader]
