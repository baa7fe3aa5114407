"""Write the page of the licences of all dependencies, from the metadata of what is installed: docs/licences.md.

    python tools/misc/list_licences.py docs/licences.md

Requirements are those of setup.py, with all that they need in turn. What is not installed here is left out and named.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lurefusion.cli import exit_code
from lurefusion.io.images import write_bytes

ROOT = Path(__file__).resolve().parents[2]
CORE = 'core'
LONGEST = 60
# words by which the name of a licence is told from its text
KNOWN = re.compile(r'\b(MIT|BSD|Apache|L?GPL|MPL|PSF|Python Software|ISC|PolyForm|Zlib|CC0|Unlicense)')
HEAD = """# Licences

lurefusion is under Apache-2.0. Its dependencies have licences of their own, as their metadata say; made by
`python tools/misc/list_licences.py docs/licences.md`.

**pyiqa is non-commercial** (PolyForm Noncommercial). That is why it is an extra, `iqa`: nothing else needs it. Data
sets and pretrained language models have licences of their own too; what the shipped weights were trained on stands in
the [model cards](model_zoo.md).
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', help='page to write')
    return exit_code(write, **vars(parser.parse_args()))


def write(out: str) -> None:
    """Write the page."""
    found, missing = gather()
    direct = requirements()
    text = HEAD
    named = {name for names in direct.values() for name in names}
    for title, names in (
        ('What lurefusion asks for', sorted(named & set(found))),
        ('What these need in turn', sorted(set(found) - named)),
    ):
        rows = [f'| {name} | {licence(name)} | {", ".join(sorted(found[name], key=order))} |' for name in names]
        text += '\n'.join(['', f'## {title}', '', '| package | licence | for |', '|---|---|---|', *rows, ''])
    if missing:
        text += f'\nNot installed where this was made: {", ".join(sorted(missing))}.\n'
    write_bytes(Path(out), text.encode())


def order(extra: str) -> tuple[bool, str]:
    return extra != CORE, extra


def requirements() -> dict[str, set[str]]:
    """``core`` or an extra of setup.py -> names of its packages."""
    tree = ast.parse((ROOT / 'setup.py').read_text(encoding='utf-8'))
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') in ('REQUIRES', 'EXTRAS')
    }
    return {extra: {*map(_name, lines)} for extra, lines in {CORE: values['REQUIRES'], **values['EXTRAS']}.items()}


def gather() -> tuple[dict[str, set[str]], set[str]]:
    """Package -> what it is for, of all that is installed; and what is not."""
    found: dict[str, set[str]] = defaultdict(set)
    missing = set()
    for extra, names in requirements().items():
        todo = [(name, ()) for name in names]
        while todo:
            name, extras = todo.pop()
            if extra in found[name]:
                continue
            try:
                wanted = [Requirement(line) for line in distribution(name).requires or ()]
            except PackageNotFoundError:
                missing.add(name)
                continue
            found[name].add(extra)
            for each in wanted:
                if each.marker is None or any(each.marker.evaluate({'extra': e}) for e in ('', *extras)):
                    todo.append((canonicalize_name(each.name), tuple(each.extras)))
    return {name: extras for name, extras in found.items() if extras}, missing


def licence(name: str) -> str:
    """What the metadata of a package say: the expression, else a short name, else the classifiers, else the file."""
    metadata = distribution(name).metadata
    if metadata.get('License-Expression'):
        return metadata['License-Expression']
    text = (metadata.get('License') or '').strip()
    if KNOWN.search(text) and len(text) <= LONGEST and '\n' not in text:
        return text
    kinds = [line.rpartition(' :: ')[2] for line in metadata.get_all('Classifier', []) if line.startswith('License ::')]
    return ', '.join(kind for kind in kinds if kind != 'OSI Approved') or _from_text(text) or _from_file(name)


def _from_text(text: str) -> str:
    """The first line that names a licence."""
    lines = (line.strip(' #*=') for line in text.splitlines())
    return next((line[:LONGEST].replace('|', '/') for line in lines if KNOWN.search(line)), '')


def _from_file(name: str) -> str:
    for file in distribution(name).files or ():
        if re.match(r'LICEN[CS]E|COPYING', file.name, flags=re.IGNORECASE):
            found = _from_text(file.locate().read_text(encoding='utf-8', errors='replace'))
            if found:
                return found
    return 'not stated'


def _name(line: str) -> str:
    return canonicalize_name(Requirement(line).name)


if __name__ == '__main__':
    sys.exit(main())
