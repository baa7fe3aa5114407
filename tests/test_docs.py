"""The pages that say how to add a part are short, and their code runs."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from lurefusion.cli import main
from lurefusion.images import write_image

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


def test_page_on_metrics(
    forget_plugins: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its blocks, then its commands on made pictures: white fused pictures count, whose sources are grey."""
    page = DOCS / 'add_metric.md'
    for block in blocks(page):
        name = re.match(r'# (\w+\.py)\n', block)
        if name:
            (forget_plugins / name[1]).write_text(block)
    for role, level in (('vi', 100), ('ir', 150), ('fused', 255)):
        picture = np.full((48, 64), level, np.uint8)
        picture[:, ::2] //= 2
        for folder in (role, f'data/MSRS/test/{role}'):
            write_image(forget_plugins / folder / 'a.png', picture)
    text = page.read_text(encoding='utf-8')
    scores, info = (line.split()[1:] for line in re.findall(r'^lurefusion .*', text, flags=re.MULTILINE))
    assert main(scores) == 0
    titles, _, row = (line for line in capsys.readouterr().out.splitlines() if line.startswith('|'))
    assert titles.endswith('| Clipped ↓ |')
    assert row.endswith('| 50.0 |')
    assert main(info) == 0
    assert 'Clipped (from my_metric)' in capsys.readouterr().out
    [(tool, config)] = re.findall(r'python (tools/test\.py) (\w+\.py)', text)
    monkeypatch.setattr(sys, 'argv', [tool, config, '--cfg-options', 'test_dataloader.0.num_workers=0'])
    assert runpy.run_path(str(DOCS.parent / tool))['main']() == 0
    assert '| CC | Clipped ↓ |' in Path('work_dirs/pyramid_clipped/test/report.md').read_text()
    namespace: dict[str, object] = {}
    exec(compile(blocks(page)[-1], str(page), 'exec'), namespace)
