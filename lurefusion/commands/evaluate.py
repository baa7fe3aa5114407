"""`lurefusion eval`: scores of fused pictures of any program."""

from __future__ import annotations

import argparse

# lurefusion.evaluation.cards.VARIANT_CHOICES, which cannot be had without torch
VARIANTS = ('standard', 'paper', 'both')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('fused', nargs='+', metavar='[NAME=]DIR', help='folder of fused pictures, one or more')
    parser.add_argument('--vi', metavar='DIR', help='visible sources')
    parser.add_argument('--ir', metavar='DIR', help='infrared sources')
    parser.add_argument('--source', action='append', default=[], metavar='NAME=DIR', help='sources of another modality')
    parser.add_argument('--ref', metavar='DIR', help='clean reference pictures, for PSNR_ref and SSIM_ref')
    parser.add_argument('--labels', metavar='DIR', help='class ids, for the metrics that need them')
    parser.add_argument('--metrics', nargs='+', default=['all'], metavar='M', help='names, "all" or "ranked"')
    parser.add_argument(
        '--options',
        nargs='+',
        default=[],
        metavar='M.OPTION=VALUE',
        help='of the metrics: MI.base=nats Qabf.border=replicate',
    )
    add_import(parser)
    parser.add_argument('--variant', choices=VARIANTS, default='standard', help='constants of PSNR and SSIM')
    parser.add_argument('--networks', nargs='+', default=[], metavar='N', help='scores of pyiqa, or "all" (five)')
    parser.add_argument('--weights-dir', default='weights/iqa', metavar='DIR', help='weights of those networks')
    parser.add_argument('--niqe-parameters', metavar='FILE', help='pristine model of NIQE, .mat or .npz')
    parser.add_argument(
        '--range',
        nargs='+',
        default=['auto'],
        metavar='[NAME=]RANGE',
        help='for sources past 8 bit, as in lurefusion fuse: ir=28000:31000 vi=full',
    )
    parser.add_argument('--out', metavar='DIR', help='folder for the report, the CSV files and the grid')
    parser.add_argument('--grids', type=int, default=4, metavar='N', help='scenes in the comparison picture')
    parser.add_argument('--zoom', type=float, default=2.0, help='enlargement of its inset')
    parser.add_argument('--box', type=int, nargs=4, metavar=('X', 'Y', 'W', 'H'), help='region of the inset')
    parser.add_argument('--beside', metavar='FILE', help='CSV with the means of other methods, ranked along')
    parser.add_argument('--beside-set', metavar='SET', help='rows of that file to take, by their column "set"')
    parser.add_argument('--device', default='cpu')


def add_import(parser: argparse.ArgumentParser) -> None:
    """Declare `--import`, for :func:`lurefusion.plugins.load_plugins`."""
    parser.add_argument(
        '--import',
        dest='plugins',
        nargs='+',
        default=[],
        metavar='MODULE',
        help='modules that register further parts: a name, or the path of a .py file or of a package',
    )


def run(args: argparse.Namespace) -> int:
    """Measure; 1 if pictures were left out."""
    from lurefusion.evaluation import evaluate

    return evaluate.run(args)
