"""Measure weight-free fusers and trained models on the validation pictures, and write docs/benchmark.md.

    LUREFUSION_DATA=DIR python tools/benchmark.py lure-tiny --out docs/benchmark.md

A model is the name of shipped weights or CONFIG:WEIGHTS, with NAME= before it for a name of its own in the tables.
What was measured is kept picture by picture in a JSON file beside the page: the same command again measures only what
is new (other weights, configs, pictures, another version of a package, or any change of the code that fuses, reads or
measures). Sets that are missing below the data root are named and left out.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from lurefusion.cli import exit_code
from lurefusion.studies.benchmark_page import write_page

TARGETS = Path(__file__).resolve().parents[1] / 'docs' / 'targets.csv'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('models', nargs='*', default=['lure-tiny'], metavar='[NAME=]MODEL', help='default: lure-tiny')
    parser.add_argument('--data-root', type=Path, default=Path(os.environ.get('LUREFUSION_DATA', 'data')))
    parser.add_argument('--out', type=Path, default=Path('docs/benchmark.md'), help='the page; the JSON lies beside it')
    parser.add_argument('--quick', type=int, nargs='?', const=2, metavar='N', help='only N pairs of each set (2)')
    parser.add_argument('--targets', type=Path, default=TARGETS, help='CSV of published rows (docs/targets.csv)')
    return exit_code(write_page, **vars(parser.parse_args()))


if __name__ == '__main__':
    sys.exit(main())
