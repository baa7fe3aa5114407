"""Draw losses and validation metrics of one or more runs from what MMEngine logged.

    RUN=work_dirs/lure_tiny_ir_vi
    python tools/plot_curves.py $RUN/stage1_tiny_ir_vi $RUN/stage2_tiny_ir_vi --out docs/images/lure-tiny_curves.png

A row of panels for each run: weighted losses, smoothed; metrics as a share of their last value, which the legend gives.
Needs matplotlib.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lurefusion.cli import exit_code
from lurefusion.studies.curves import plot


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', nargs='+', type=Path, help='folder of a run (of one stage)')
    parser.add_argument('--out', required=True, help='.png, .svg or .pdf')
    parser.add_argument('--smooth', type=int, default=20, help='logged rows over which losses are averaged')
    return exit_code(plot, **vars(parser.parse_args()))


if __name__ == '__main__':
    sys.exit(main())
