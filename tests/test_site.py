"""The documentation: links lead somewhere, blocks of Python compile, commands are understood, no page is lost."""

from __future__ import annotations

import argparse
import functools
import inspect
import posixpath
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from lurefusion.cli import main
from lurefusion.io.images import write_image

ROOT = Path(__file__).resolve().parents[1]
SITE = runpy.run_path(str(ROOT / 'tools/misc/docs_site.py'))
PAGES = sorted(
    [*ROOT.glob('docs/**/*.md'), *ROOT.glob('*.md'), *ROOT.glob('configs/*.md')]
    + [*ROOT.glob('projects/**/*.md'), *ROOT.glob('lurefusion/weights/*.md')]
)
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
FENCED = re.compile(r'^ *```(\w*)\n(.*?)^ *```$', flags=re.MULTILINE | re.DOTALL)
SHELL = ('', 'bash', 'sh', 'shell', 'console')


@functools.cache
def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding='utf-8')


@functools.cache
def anchors(name: str) -> set[str]:
    """Of the headings, as GitHub and the site make them."""
    titles = re.findall(r'^#+ (.+)$', re.sub(FENCED, '', text_of(name)), flags=re.MULTILINE)
    slugs = set()
    for title in titles:
        words = re.sub(r'[`*]|\]\([^)]*\)|\[', '', title).strip().lower()
        slugs.add(re.sub(r'[^\w\- ]', '', words).replace(' ', '-'))
    return slugs


@pytest.mark.parametrize('name', NAMES)
def test_links_lead_somewhere(name: str) -> None:
    text = re.sub(r'`[^`\n]*`', '', re.sub(FENCED, '', text_of(name)))
    for target in re.findall(r'\]\(([^()\s]+)\)', text):
        if re.match(r'[a-z]+:', target):
            continue
        path, _, anchor = target.partition('#')
        file = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else name
        assert (ROOT / file).exists(), f'{name}: {target}'
        if anchor:
            assert anchor in anchors(file), f'{name}: {target}: {file} has {sorted(anchors(file))}'


@pytest.mark.parametrize('name', NAMES)
def test_python_compiles(name: str) -> None:
    for language, block in FENCED.findall(text_of(name)):
        if language == 'python':
            compile(block, name, 'exec')


def shell_lines(text: str) -> tuple[list[str], list[str]]:
    """Commands of the package in blocks, fenced or indented, with their continued lines; and those in the text."""
    blocks = [block for language, block in FENCED.findall(text) if language in SHELL]
    rest = re.sub(FENCED, '', text)
    blocks += ['\n'.join(lines) for lines in _indented(rest)]
    lines = [line.strip() for block in blocks for line in re.sub(r'\\\n\s*', ' ', block).splitlines()]
    inline = re.findall(r'`((?:lurefusion|python|[A-Z_]+=\S+ )[^`]* [^`]+)`', rest.replace('\n', ' '))
    one = re.compile(r'(^|\s)(lurefusion [a-z]+ |(tools|demo)/[\w/]+\.py)')
    return [line for line in lines if one.search(line)], [line for line in inline if one.search(line)]


def _indented(text: str) -> list[list[str]]:
    found: list[list[str]] = [[]]
    for line in text.splitlines():
        if re.match(r' {4,}\S', line):
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    return found


class ParsedError(Exception):
    """The arguments are understood."""


@pytest.fixture
def only_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    parse = argparse.ArgumentParser.parse_args

    def parse_args(self: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> None:
        parse(self, *args, **kwargs)
        raise ParsedError

    monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', parse_args)


def check(line: str) -> bool:
    """Parse one line with the parser of its command; whether there was one.

    Raises:
        SystemExit: If the parser does not know it.
        FileNotFoundError: If there is no such program.
    """
    words = shlex.split(line, comments=True)
    for start, word in enumerate(words):
        if word == 'lurefusion' and start + 1 < len(words) and re.fullmatch(r'[a-z]+', words[start + 1]):
            break
        if re.fullmatch(r'(tools|demo)/[\w/]+\.py', word):
            break
    else:
        return False
    arguments = words[start + 1 :]
    ends = [i for i, word in enumerate(arguments) if word in ('|', '&&', ';', '>')]
    arguments = arguments[: ends[0]] if ends else arguments
    program = None if word == 'lurefusion' else runpy.run_path(str(ROOT / word))['main']
    needed = (
        [] if program is None else [p for p in inspect.signature(program).parameters.values() if p.default is p.empty]
    )
    if needed:  # it takes words by their place
        inspect.signature(program).bind(*arguments)
        return True
    start_it = main if program is None else lambda _: program()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [word, *arguments])
        with pytest.raises(ParsedError):
            start_it(arguments)
    return True


@pytest.mark.parametrize('name', NAMES)
def test_commands_are_understood(name: str, only_parse: None, capsys: pytest.CaptureFixture[str]) -> None:
    whole, parts = shell_lines(text_of(name))
    for line in [*whole, *parts]:
        try:
            check(line)
        except SystemExit:
            error = capsys.readouterr().err
            # in the text, a command may be cut short: only what stands there must be right
            if line in whole or not re.search(r'are required: |expected (at least )?one argument', error):
                pytest.fail(f'{name}: {line}\n{error}')


def test_a_wrong_command_is_seen(only_parse: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert check('X=1 lurefusion fuse --vi a --ir b --out c   # a remark')
    assert not check('cd lurefusion')
    for line in ('lurefusion fuse --viz a', 'python tools/train.py', 'lurefusion melt a'):
        with pytest.raises(SystemExit):
            check(line)
    with pytest.raises(FileNotFoundError):
        check('python tools/no_such.py a')
    text = 'Text, `lurefusion eval a --vi b`:\n\n    python tools/train.py A \\\n        --amp\n'
    assert shell_lines(text) == (['python tools/train.py A  --amp'], ['lurefusion eval a --vi b'])


def in_navigation(entry: Any) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    return [page for part in (entry.values() if isinstance(entry, dict) else entry) for page in in_navigation(part)]


def test_no_page_is_an_orphan() -> None:
    config = yaml.safe_load((ROOT / 'mkdocs.yml').read_text(encoding='utf-8'))
    listed = in_navigation(config['nav'])
    assert len(listed) == len(set(listed))
    own = {page.relative_to(ROOT / 'docs').as_posix() for page in ROOT.glob('docs/**/*.md')}
    # model cards come into the navigation by the hook
    others = {uri for uri in SITE['included']() if not uri.startswith('models/')}
    assert set(listed) == own | others | {SITE['PARTS'], SITE['TOOLS']}


def test_every_tool_says_what_it_does() -> None:
    page = SITE['tools_page']()
    for program in (*ROOT.glob('tools/**/*.py'), *ROOT.glob('tools/**/*.sh'), *ROOT.glob('benchmarks/*.py')):
        assert re.search(rf'^\| `{program.relative_to(ROOT)}` \| [A-Z].{{10,}} \|$', page, flags=re.MULTILINE), program


def test_links_of_pages_from_elsewhere_follow() -> None:
    rewrite = SITE['rewrite']
    assert rewrite('[a](../docs/ablations.md#x)', 'configs.md', 'configs/README.md') == '[a](ablations.md#x)'
    assert rewrite('[a](../configs/README.md)', 'zh/faq.md', 'docs/faq.md') == '[a](../configs.md)'
    assert rewrite('[b](../projects/)', 'faq.md', 'docs/faq.md') == '[b](projects/index.md)'
    assert rewrite('[c](../setup.py) `[d](e)`', 'faq.md', 'docs/faq.md') == 'c `[d](e)`'
    assert rewrite('![p](images/grid.jpg)', 'faq.md', 'docs/faq.md') == '![p](images/grid.jpg)'
    assert rewrite('```\n[c](../setup.py)\n```', 'faq.md', 'docs/faq.md') == '```\n[c](../setup.py)\n```'


def test_python_api_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The page's blocks, on pictures of a few pixels."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    write_image('demo/dark_visible.png', rng.integers(0, 256, (48, 64, 3), np.uint8))
    write_image('demo/dark_infrared.png', rng.integers(0, 256, (48, 64), np.uint8))
    namespace: dict[str, object] = {}
    for name in ('docs/api.md', 'docs/prompts.md', 'docs/quickstart.md', 'docs/zh/quickstart.md'):
        for language, block in FENCED.findall(text_of(name)):
            if language == 'python':
                exec(compile(block, name, 'exec'), namespace)


def test_readme_is_short() -> None:
    assert len(text_of('README.md').splitlines()) <= 150


def test_page_of_the_metrics_is_up_to_date() -> None:
    made = runpy.run_path(str(ROOT / 'tools/misc/list_metrics.py'))['page']()
    assert made == text_of('docs/metrics.md'), 'python tools/misc/list_metrics.py docs/metrics.md'
    assert '0.9994 / (1 + exp(' in made[made.index('## Qabf') :]


def test_page_of_the_licences_names_every_requirement() -> None:
    lists = runpy.run_path(str(ROOT / 'tools/misc/list_licences.py'))
    rows = dict(re.findall(r'^\| ([\w.-]+) \| ([^|]+) \|', text_of('docs/licences.md'), flags=re.MULTILINE))
    for extra, names in lists['requirements']().items():
        assert names <= set(rows), f'{extra}: python tools/misc/list_licences.py docs/licences.md'
    assert rows['pyiqa'] == lists['licence']('pyiqa') == 'PolyForm-Noncommercial-1.0.0'
    assert lists['gather']()[0]['pyiqa'] == {'iqa'}, 'it stays an extra'


@pytest.mark.slow
def test_site_is_built_and_asks_nothing_of_the_net(tmp_path: Path) -> None:
    command = [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--site-dir', str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'FusionInferencer' in (tmp_path / 'api.html').read_text(encoding='utf-8')
    for page in tmp_path.rglob('*.html'):
        html = page.read_text(encoding='utf-8')
        assert not re.findall(r'<(?:script|link|img|iframe)\b[^>]*?(?:src|href)="?(https?:[^" >]+)', html), page.name
