"""Evaluate weights on every test set of a config: python tools/test.py configs/lure/lure_tiny_ir_vi.py [WEIGHTS]."""

from __future__ import annotations

import argparse
import os
import sys

from lurefusion.cli import exit_code
from lurefusion.engine.stages import LAUNCHERS, test


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='a fusion stage, or a pipeline (its last stage is tested)')
    parser.add_argument(
        'weights', nargs='?', help='checkpoint, run folder or shipped name; default: what training left'
    )
    parser.add_argument('--work-dir', help='where report and pictures go; default work_dirs/<config name>/test')
    parser.add_argument('--data-root', help='root of the data sets; default $LUREFUSION_DATA, else data/')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='override config entries')
    parser.add_argument(
        '--downstream', nargs='*', metavar='CONFIG',
        help="segment instead: the config's own downstream tasks, or these segmentation configs",
    )  # fmt: skip
    parser.add_argument('--downstream-options', nargs='+', default=[], metavar='KEY=VALUE', help='override theirs')
    parser.add_argument('--downstream-iters', type=int, help='as in training')
    parser.add_argument('--segmentor', help='run folder or checkpoint of another trained segmentation network')
    parser.add_argument('--on', nargs='+', default=[], metavar='INPUT', help='show it these inputs, e.g. fused vi ir')
    parser.add_argument('--seed', type=int, help='as in training, with --downstream')
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return exit_code(_run, args)


def _run(args: argparse.Namespace) -> None:
    if args.downstream is not None:
        from lurefusion.downstream.chain import Downstream

        chain = Downstream(
            args.config, args.downstream, work_dir=args.work_dir, options=args.cfg_options, data_root=args.data_root,
            task_options=args.downstream_options, iterations=args.downstream_iters, seed=args.seed,
        )  # fmt: skip
        chain.test(args.weights, args.segmentor, args.on)
        return
    test(
        args.config, args.weights, work_dir=args.work_dir, options=args.cfg_options, data_root=args.data_root,
        launcher=args.launcher,
    )  # fmt: skip


if __name__ == '__main__':
    sys.exit(main())
