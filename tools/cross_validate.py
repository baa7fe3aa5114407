"""Segment with several inputs by cross-validation over drives, and write the tables.

    python tools/cross_validate.py configs/segmentation/segformer_b0_fused.py --data-root DATA \\
        --data vi=MSRS/test_dev/vi ir=MSRS/test_dev/ir label=MSRS/test_dev/Segmentation_labels \\
        --inputs visible=vi infrared=ir average=configs/baselines/average_ir_vi.py lure-tiny=lure-tiny \\
        --report docs/segmentation_results.md

Started again it goes on where it stopped. Several processes may be started on one --work-dir: each takes runs that no
other is at; the last to end writes the whole report. With --pretrain, start the others after the pretraining.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys

from lurefusion.cli import exit_code
from lurefusion.config import DATA_ROOT_VARIABLE
from lurefusion.studies.cross_validation import CrossValidation, data_config


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='segmentation config')
    parser.add_argument('--data', nargs='+', default=[], metavar='ROLE=FOLDER', help="default: the config's test set")
    parser.add_argument(
        '--inputs', nargs='+', required=True, metavar='NAME=WHAT',
        help='modalities (vi, or vi+ir stacked), a fusion config (FILE.py or FILE.py@WEIGHTS), or shipped weights',
    )  # fmt: skip
    parser.add_argument(
        '--pretrain', help='segmentation config that is trained first; all runs start from its backbone'
    )
    parser.add_argument('--folds', type=int, default=4)
    parser.add_argument('--gap', type=int, default=50, help='largest step of frame numbers within a drive')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1])
    parser.add_argument('--iters', type=int, help="length of every training; default: the config's")
    parser.add_argument('--options', nargs='+', default=[], metavar='KEY=VALUE', help='override the config')
    parser.add_argument('--work-dir', default='work_dirs/cross_validation')
    parser.add_argument('--data-root', help='root of the data sets; default $LUREFUSION_DATA, else data/')
    parser.add_argument('--report', help='Markdown file; default: report.md in the work folder')
    return exit_code(_run, parser.parse_args())


def _run(args: argparse.Namespace) -> None:
    if args.data_root:
        os.environ[DATA_ROOT_VARIABLE] = os.path.abspath(args.data_root)
    inputs = {}
    for item in args.inputs:
        name, equals, what = item.partition('=')
        if not equals or not name or '/' in name:
            raise ValueError(f'--inputs takes NAME=WHAT, got {item!r}')
        if name in inputs:
            raise ValueError(f'--inputs names {name!r} twice')
        inputs[name] = what
    validation = CrossValidation(
        args.config, data_config(args.data, args.config), inputs, args.work_dir, folds=args.folds, seeds=args.seeds,
        iterations=args.iters, options=args.options, gap=args.gap, pretrain=args.pretrain,
    )  # fmt: skip
    if not validation.run():
        print('other processes are still at some runs; the last to end reports on all')
    hidden = ('--work-dir', '--data-root', '--report')
    words = [w for i, w in enumerate(sys.argv[1:]) if w not in hidden and sys.argv[i] not in hidden]
    report = args.report or f'{args.work_dir}/report.md'
    print(validation.report(report, f'python tools/cross_validate.py {shlex.join(words)}'))
    print(f'report: {report}')


if __name__ == '__main__':
    sys.exit(main())
