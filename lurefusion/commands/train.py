"""`lurefusion train`: a stage or a whole pipeline."""

from __future__ import annotations

import argparse
import os

from lurefusion.engine import LAUNCHERS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('config', help='a stage (stage1_*.py, stage2_*.py) or a pipeline (lure_*.py)')
    parser.add_argument('--work-dir', help='where checkpoints, logs and pictures go; default work_dirs/<config name>')
    parser.add_argument('--data-root', help='root of the data sets; default $LUREFUSION_DATA, else data/')
    parser.add_argument('--resume', action='store_true', help='go on where this run stopped, in whichever stage')
    parser.add_argument('--amp', action='store_true', help='mixed precision (bfloat16 on the CPU)')
    parser.add_argument('--seed', type=int, help="overrides the config's randomness.seed")
    parser.add_argument('--length', type=float, default=1.0, help='factor on everything that counts steps')
    parser.add_argument('--no-val', action='store_true', help='no validation; its sets need not be there')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='override config entries')
    parser.add_argument(
        '--downstream', nargs='*', metavar='CONFIG',
        help="then segment with the fused pictures: the config's own downstream tasks, or these segmentation configs",
    )  # fmt: skip
    parser.add_argument('--downstream-options', nargs='+', default=[], metavar='KEY=VALUE', help='override theirs')
    parser.add_argument('--downstream-iters', type=int, help='length of their trainings, their schedules with it')
    add_launcher(parser)


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Declare how several processes are started."""
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> None:
    """Train, and then segment if that is asked for."""
    from lurefusion.engine.pipeline import train

    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    chain = None
    if args.downstream is not None:
        from lurefusion.downstream.chain import Downstream

        # everything that can go wrong there goes wrong here, before hours of training
        chain = Downstream(
            args.config, args.downstream, work_dir=args.work_dir, options=args.cfg_options, data_root=args.data_root,
            task_options=args.downstream_options, iterations=args.downstream_iters, seed=args.seed,
        )  # fmt: skip
    checkpoint = train(
        args.config, work_dir=args.work_dir, resume=args.resume, options=args.cfg_options, data_root=args.data_root,
        launcher=args.launcher, amp=args.amp, seed=args.seed, length=args.length, validate=not args.no_val,
    )  # fmt: skip
    print(f'checkpoint: {checkpoint}')
    if chain is not None:
        chain.train(checkpoint)
