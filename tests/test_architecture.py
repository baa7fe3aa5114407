"""The house of docs/architecture.md: a room imports from its own floor and from below, never from above."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'lurefusion'
# from the ground up; rooms of one floor may use each other
FLOORS = (
    ('choices', 'compat', 'mim', 'ops', 'io', 'registry', 'structures', 'plugins', 'prompts', 'config', 'weights'),
    ('datasets', 'models', 'runtime', 'visualization', 'evaluation'),
    ('engine',),
    ('apis', 'export', 'downstream', 'studies'),
    ('page',),
    ('commands', 'cli', 'utils'),
)
# inside of a function: a contract names the class that it asks for
CONTRACTS = {('registry', 'models'), ('config', 'datasets')}
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}


def imported_rooms(path: Path) -> Iterator[tuple[str, int]]:
    """Room and line of every import of the package; those for type checkers alone do not count."""
    tree = ast.parse(path.read_text(encoding='utf-8'))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == 'TYPE_CHECKING'
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f'{node.module}.{alias.name}' for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split('.')
            if parts[0] == 'lurefusion' and len(parts) > 1 and parts[1] in LEVEL:
                yield parts[1], node.lineno


def test_every_room_has_a_floor() -> None:
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == '.py' or (path / '__init__.py').is_file()}
    assert rooms - {'__init__', '__main__'} <= set(LEVEL)


@pytest.mark.parametrize('room', sorted(LEVEL))
def test_no_room_uses_what_is_above_it(room: str) -> None:
    files = [PACKAGE / f'{room}.py'] if (PACKAGE / f'{room}.py').is_file() else sorted((PACKAGE / room).rglob('*.py'))
    wrong = [
        f'{path.relative_to(ROOT)}:{line} imports {other}'
        for path in files
        for other, line in imported_rooms(path)
        if LEVEL[other] > LEVEL[room] and (room, other) not in CONTRACTS
    ]
    assert not wrong, '\n'.join(wrong)


def test_files_are_short_enough_to_read() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in PACKAGE.rglob('*.py')
        if (lines := path.read_text(encoding='utf-8').count('\n')) > 520
    }
    assert not long


def test_the_page_names_every_room_and_no_other() -> None:
    page = (ROOT / 'docs' / 'architecture.md').read_text(encoding='utf-8')
    named = set(re.findall(r'`lurefusion/(\w+)', page))
    assert named - {'weights'} <= set(LEVEL)
    missing = {room for room in LEVEL if (PACKAGE / room).is_dir() or (PACKAGE / f'{room}.py').is_file()} - named
    assert not missing, missing


def test_the_walk_names_what_is_there() -> None:
    """Each step of the walk names a function of a file."""
    page = (ROOT / 'docs' / 'architecture.md').read_text(encoding='utf-8')
    steps = re.findall(r'^\| \d+ \| `([\w/.]+)` \| `([\w.]+)`', page, flags=re.M)
    assert len(steps) >= 10
    for file, name in steps:
        names = {
            node.name
            for node in ast.walk(ast.parse((PACKAGE / file).read_text(encoding='utf-8')))
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
        }
        assert set(name.split('.')) <= names, f'{file}: {name}'
