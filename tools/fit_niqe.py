"""Fit the pristine model of NIQE that ships with lurefusion, and show that its scores follow known distortions.

    python tools/fit_niqe.py --out lurefusion/evaluation/niqe_pristine.npz
    python tools/fit_niqe.py --check

Pristine pictures: the undegraded halves of restoration pairs under $LUREFUSION_DATA (HDRPS/train/gt,
RESIDE/SOTS_indoor/GT, LOL/our485/high), which no fused picture is evaluated on, and the photographs of scikit-image.
Every fifth picture of a folder is held out for --check.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from lurefusion.cli import exit_code
from lurefusion.evaluation.niqe import DEFAULT_PARAMETERS
from lurefusion.studies.niqe_fit import check, fit


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', type=Path, default=Path(os.environ.get('LUREFUSION_DATA', 'data')))
    parser.add_argument('--out', type=Path, help='npz file to write')
    parser.add_argument('--check', action='store_true', help='score distorted pictures that the fit did not see')
    args = parser.parse_args()
    if not args.out and not args.check:
        parser.error('name --out, --check, or both')
    return exit_code(run, args)


def run(args: argparse.Namespace) -> None:
    """Fit and check, as asked for."""
    if args.out:
        fit(args.data_root, args.out)
    if args.check:
        check(args.data_root, args.out or DEFAULT_PARAMETERS)


if __name__ == '__main__':
    sys.exit(main())
