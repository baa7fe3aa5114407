"""Draw rendered scenes and what a model makes of them: the grids of the README and of the model zoo.

    python tools/make_grid.py lure-tiny docs/images/grid.jpg
    python tools/make_grid.py lure-tiny docs/images/difficult.jpg --rows difficult

`degraded` shows prompts at work. `difficult` shows pairs in which one camera is blind, beside the average and the
maximum, and prints as Markdown how much of either camera is kept, and what no weighted sum of the two could have given.
"""

from __future__ import annotations

import argparse
import sys

from lurefusion.cli import exit_code
from lurefusion.studies.grids import draw


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', help='config, or name of shipped weights')
    parser.add_argument('out', help='picture to write')
    parser.add_argument('--weights', help='default: what training of the config left in work_dirs/')
    parser.add_argument('--rows', choices=('degraded', 'difficult'), default='degraded')
    return exit_code(draw, **vars(parser.parse_args()))


if __name__ == '__main__':
    sys.exit(main())
