"""Write a page of the registries: contract and members of each, as `lurefusion info` lists them.

python tools/misc/list_parts.py parts.md
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from pathlib import Path
from typing import Any

from lurefusion.cli import exit_code
from lurefusion.io.images import write_bytes
from lurefusion.registry import REGISTRIES, members

HEAD = """# Registries

Every kind of part has a registry, whose docstring is the contract of its members: what the constructor must accept,
which tensors go in and out. `lurefusion info` lists the members, those of plug-ins too.
`python -c "from lurefusion.registry import FUSERS; print(FUSERS.__doc__)"` prints one contract.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', help='page to write')
    return exit_code(write, **vars(parser.parse_args()))


def write(out: str) -> None:
    """Write the page."""
    write_bytes(Path(out), page().encode())


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for registry in REGISTRIES:
        names: dict[Any, list[str]] = {}
        for name in members(registry):
            names.setdefault(registry.module_dict[name], []).append(f'`{name}`')
        parts += [f'\n## {registry.name}\n', f'```text\n{inspect.cleandoc(registry.__doc__ or "")}\n```\n']
        parts += [f'- {", ".join(several)}: {summary(member)}' for member, several in names.items()]
    return '\n'.join(parts) + '\n'


def summary(member: Any) -> str:
    """First sentence of what a member says of itself; of a card its title."""
    text = getattr(member, 'title', None)
    if not isinstance(text, str):
        text = inspect.cleandoc(member.__doc__ or '').split('\n\n')[0].replace('\n', ' ')
    text = re.sub(r':\w+:`~?([^`]+)`', r'`\1`', text)
    return text.replace('``', '`').replace('<', '&lt;').replace('*', '\\*')


if __name__ == '__main__':
    sys.exit(main())
