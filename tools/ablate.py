"""Train and test several configs with several seeds on one budget, and print Table 6 with the paper's numbers beside.

python tools/ablate.py configs/ablation/{ours,single_stage,using_cc}.py --scale tiny --seeds 0 1 --length 0.2

Call it again to go on: what is done is skipped, what was stopped or killed is resumed, what failed is tried again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lurefusion.cli import exit_code
from lurefusion.engine import LAUNCHERS
from lurefusion.io.images import write_bytes
from lurefusion.studies.ablation import Study, describe_plan, format_results, plan_jobs, read_results, run_jobs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='+', metavar='CONFIG', help='pipelines or stages; rows of the table')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0])
    parser.add_argument('--scale', help='one of those that the pipelines have, as tiny; default: as they stand')
    parser.add_argument('--work-dir', help='folder of the study; default work_dirs/ablation, or ablation_SCALE')
    parser.add_argument('--data-root', help='root of the data sets; default $LUREFUSION_DATA, else data/')
    parser.add_argument('--length', type=float, default=1.0, help='factor on everything that counts steps')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='override config entries')
    parser.add_argument('--amp', action='store_true', help='mixed precision (bfloat16 on the CPU)')
    parser.add_argument('--probe', action='store_true', help='record latents for tools/tsne.py')
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='of every training and test')
    parser.add_argument('--processes', type=int, default=1, help='of one training, with a launcher')
    parser.add_argument('--jobs', type=int, default=1, help='trainings at once')
    parser.add_argument('--dry-run', action='store_true', help='print what would be run and how long, from logs')
    parser.add_argument(
        '--time-steps', type=int, default=0, help='dry run: train so many steps where there are no logs'
    )
    return exit_code(run, parser.parse_args())


def run(args: argparse.Namespace) -> int:
    """Returns 1 if a run failed."""
    scale, folder = [], 'work_dirs/ablation'
    if args.scale:
        scale, folder = [f'scale={args.scale}'], f'{folder}_{args.scale}'
    study = Study(
        Path(args.work_dir or folder), (*scale, *args.cfg_options), args.data_root, args.length,
        args.launcher, args.processes, args.amp, args.probe,
    )  # fmt: skip
    jobs = plan_jobs(args.configs, args.seeds, study)
    if args.dry_run:
        print(describe_plan(jobs, study, args.jobs, args.time_steps))
        return 0
    failed = run_jobs(jobs, study, args.jobs)
    text = format_results(read_results(jobs))
    write_bytes(study.work_dir / 'report.md', text.encode())
    print(f'\n{text}report: {study.work_dir / "report.md"}')
    for name, error in failed.items():
        print(f'FAILED {name}: {error}', file=sys.stderr)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
