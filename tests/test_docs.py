"""The pages that say how to add a part are short, and their code runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / 'docs'
KINDS = ('encoder', 'interaction', 'fusion_rule', 'loss', 'degradation', 'dataset', 'modality_pair')
MAX_LINES = 60


def blocks(page: Path) -> list[str]:
    return re.findall(r'^```python\n(.*?)^```$', page.read_text(encoding='utf-8'), flags=re.MULTILINE | re.DOTALL)


def test_every_kind_has_a_page_and_no_page_is_long() -> None:
    pages = {page.stem.removeprefix('add_'): page for page in DOCS.glob('add_*.md')}
    assert set(pages) >= set(KINDS)
    for page in pages.values():
        assert len(page.read_text(encoding='utf-8').splitlines()) <= MAX_LINES, page.name


@pytest.mark.parametrize('kind', KINDS)
def test_code_runs(kind: str, forget_plugins: Path) -> None:
    """A block whose first line is `# name.py` is that file, the others run one after the other."""
    namespace: dict[str, object] = {}
    ran = 0
    for block in blocks(DOCS / f'add_{kind}.md'):
        name = re.match(r'# (\w+\.py)\n', block)
        if name:
            (forget_plugins / name[1]).write_text(block)
        else:
            exec(compile(block, f'docs/add_{kind}.md', 'exec'), namespace)
            ran += 1
    assert ran, 'nothing of the page was tried'
    assert 'assert' in block, 'a page ends with code that shows that it works'
