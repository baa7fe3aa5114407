"""What MMEngine logged while a run was trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_scalars(run: str | Path) -> list[dict[str, Any]]:
    """Rows of all logs of a run (``*/vis_data/scalars.json``), the oldest first: losses, and metrics of validations.

    Where a run was resumed, the later log counts from its first step of training on. A last line that a killed run left
    half-written is passed over. No log, no rows.
    """
    rows: list[dict[str, Any]] = []
    for file in sorted(Path(run).glob('*/vis_data/scalars.json'), key=lambda f: f.parts[-3]):
        new = [row for line in file.read_text().splitlines() if (row := _parsed(line)) is not None]
        first = min((row['step'] for row in new if 'loss' in row), default=None)
        if first is not None:
            rows = [row for row in rows if row['step'] < first]
        rows += new
    return rows


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    return row if 'step' in row else None
