"""Hook of MkDocs: pages that live beside what they describe become pages of the site, and all links follow.

    python -m mkdocs build --strict

A link to another file of the repository, which is no page, stays as its text. Used by mkdocs.yml, and by the tests.
"""

from __future__ import annotations

import ast
import os
import posixpath
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
#: made while the site is built
PARTS = 'parts.md'
TOOLS = 'tools.md'
FENCE = re.compile(r'^ *(```|~~~)')
LINK = re.compile(r'(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)')

TOOLS_HEAD = """# Tools

What is not a command of `lurefusion` is a program in `tools/` or `benchmarks/`. `--help` shows the options of each. The
tools travel in the installed package too, in `lurefusion/.mim/tools`; `make bench` runs all benchmarks.

| program | what it does |
|---|---|
"""


def included() -> dict[str, str]:
    """Page of the site -> file of the repository outside of docs/ that it is."""
    pages = {
        'changelog.md': 'CHANGELOG.md',
        'configs.md': 'configs/README.md',
        'contributing.md': 'CONTRIBUTING.md',
        'security.md': 'SECURITY.md',
        'projects/index.md': 'projects/README.md',
    }
    for readme in sorted(ROOT.glob('projects/*/README.md')):
        pages[f'projects/{readme.parent.name}.md'] = readme.relative_to(ROOT).as_posix()
    for card in sorted(ROOT.glob('lurefusion/weights/*.md')):
        pages[f'models/{card.name}'] = card.relative_to(ROOT).as_posix()
    return pages


def outside_fences(text: str, change: Callable[[str], str]) -> str:
    """The text with `change` done to every line that is in no fenced block and is not indented as code."""
    lines, fenced = [], False
    for line in text.split('\n'):
        fence = FENCE.match(line) is not None
        lines.append(line if fenced or fence else change(line))
        fenced ^= fence
    return '\n'.join(lines)


def rewrite(text: str, page: str, source: str) -> str:
    """Markdown of `source` (from the root of the repository) as the site's `page`."""
    homes = {file: uri for uri, file in included().items()}
    homes['README.md'] = 'index.md'

    def follow(found: re.Match[str]) -> str:
        picture, words, target = found.groups()
        path, hash_, anchor = target.partition('#')
        if not path or re.match(r'[a-z]+:', target):
            return found[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if (ROOT / file).is_dir() and f'{file}/README.md' in homes:
            file = f'{file}/README.md'
        # in docs/, the path is the page's; a file that is not there stays, for MkDocs to complain
        uri = homes.get(file) or (file.removeprefix('docs/') if file.startswith('docs/') else None)
        if uri is None and (ROOT / file).exists():
            return words
        uri = posixpath.relpath(uri or file, posixpath.dirname(page) or '.')
        return f'{picture}[{words}]({uri}{hash_}{anchor})'

    return outside_fences(text, lambda line: LINK.sub(follow, line))


def tools_page() -> str:
    """Every program of tools/ and benchmarks/ with the first line of what it says of itself."""
    programs = [file for name in ('tools', 'benchmarks') for file in (ROOT / name).rglob('*') if file.is_file()]
    rows = []
    for file in sorted(programs):
        if file.suffix == '.py':
            said = ast.get_docstring(ast.parse(file.read_text(encoding='utf-8'))) or ''
        elif file.suffix == '.sh':
            said = file.read_text(encoding='utf-8').split('\n')[1].lstrip('# ')
        else:
            continue
        rows.append(f'| `{file.relative_to(ROOT).as_posix()}` | {said.splitlines()[0].replace("|", "/")} |')
    return TOOLS_HEAD + '\n'.join(rows) + '\n'


def on_config(config: Any) -> Any:
    """Every card of the shipped weights into the navigation, and anchors as GitHub makes them, Chinese too."""
    from pymdownx.slugs import slugify

    cards = [{Path(uri).stem: uri} for uri in included() if uri.startswith('models/')]
    next(part['Models'] for part in config.nav if 'Models' in part).extend(cards)
    config.mdx_configs['toc']['slugify'] = slugify(case='lower')
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages from outside of docs/."""
    from mkdocs.structure.files import File

    for uri, source in included().items():
        text = rewrite((ROOT / source).read_text(encoding='utf-8'), uri, source)
        files.append(File.generated(config, uri, content=text))
    # imports torch and every part, which only the build of the site should pay for
    parts = runpy.run_path(str(ROOT / 'tools/misc/list_parts.py'))['page']()
    files.append(File.generated(config, PARTS, content=parts))
    files.append(File.generated(config, TOOLS, content=tools_page()))
    return files


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """References of docstrings, ``:class:`Name```, as the name alone."""
    return re.sub(r':(?:meth|class|func|attr|mod):<code>~?', '<code>', html)


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links of the pages in docs/."""
    if page.file.abs_src_path is None or not page.file.abs_src_path.startswith(str(ROOT / 'docs') + os.sep):
        return markdown
    return rewrite(markdown, page.file.src_uri, f'docs/{page.file.src_uri}')
