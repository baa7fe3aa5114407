"""The rules of projects/README.md that can be checked from outside."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = sorted(folder for folder in (ROOT / 'projects').iterdir() if (folder / 'README.md').is_file())


def imported(folder: Path) -> set[str]:
    """First parts of the names of all modules that the Python files below a folder import."""
    names = set()
    for file in folder.rglob('*.py'):
        for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split('.')[0])
    return names


def test_there_are_projects() -> None:
    assert {project.name for project in PROJECTS} >= {'example_project', 'medical_fusion'}


@pytest.mark.parametrize('project', PROJECTS, ids=lambda project: project.name)
def test_layout(project: Path) -> None:
    assert re.fullmatch(r'[a-z][a-z0-9]*(_[a-z0-9]+)*', project.name)
    assert (project / project.name / '__init__.py').is_file()
    assert list((project / 'configs').glob('*.py'))
    assert list((project / 'tests').glob('test_*.py'))
    assert f'`{project.name}`' in (ROOT / 'projects' / 'README.md').read_text(encoding='utf-8')


def test_dependence_goes_one_way() -> None:
    names = {project.name for project in PROJECTS}
    assert not imported(ROOT / 'lurefusion') & (names | {'projects'})
    for project in PROJECTS:
        assert not imported(project) & (names - {project.name}), f'{project.name} imports another project'


@pytest.mark.parametrize('project', PROJECTS, ids=lambda project: project.name)
def test_configs_name_the_package_and_the_readmes_name_what_exists(project: Path) -> None:
    text = (project / 'README.md').read_text(encoding='utf-8') + (ROOT / 'projects' / 'README.md').read_text('utf-8')
    for file in (project / 'configs').glob('*.py'):
        source = file.read_text(encoding='utf-8')
        inherits = re.search(r"_base_ = '\./\w+\.py'", source)
        assert 'stages = ' in source or inherits or f"custom_imports = dict(imports=['{project.name}'])" in source, file
    for name in re.findall(r'projects/[\w/]+\.py', text):
        assert (ROOT / name).is_file(), f'{name} is named and does not exist'


def test_the_contract_fits_on_a_page() -> None:
    assert len((ROOT / 'projects' / 'README.md').read_text(encoding='utf-8').splitlines()) <= 60
