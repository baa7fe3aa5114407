"""`lurefusion test`: weights on every test set of a config."""

from __future__ import annotations

import argparse
import os

from lurefusion.commands.train import add_launcher


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
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
    add_launcher(parser)


def run(args: argparse.Namespace) -> None:
    """Test, or segment if that is asked for."""
    from lurefusion.engine.test import test

    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
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
