"""Train the automatic prompt, and show how often it is right on the validation sets.

    python tools/train_auto_prompt.py --out lurefusion/weights/auto-prompt.safetensors
    python tools/train_auto_prompt.py --check

Statistics of the training pictures are taken once and kept in --work-dir. Only --check reads validation pictures.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from mmengine.logging import print_log

from lurefusion.cli import exit_code
from lurefusion.config import resolve_data_root
from lurefusion.prompts.auto import SHIPPED, AutoPrompt, StatisticsPrompter
from lurefusion.studies.auto_prompt import Table, choose_thresholds, confusion, judge, measure, publish, samples, train

TASKS = ('ll', 'hz', 'oe', 'lc', 'sr', 'ns', 'st', 'bl', 'rn', 'pd')


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', default='.', help='default: $LUREFUSION_DATA, else data/')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/auto_prompt'), help='keeps statistics.npz')
    parser.add_argument('--out', type=Path, help='safetensors file to write')
    parser.add_argument('--every', type=int, default=1, help='take every n-th picture of the training, to be quick')
    parser.add_argument('--first', type=int, default=0, help='of these, the number of the first one')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--check', action='store_true', help='confusion on the validation sets')
    parser.add_argument('--weights', type=Path, default=SHIPPED, help='with --check: the file; default: --out, shipped')
    parser.add_argument('--tasks', nargs='+', default=TASKS, help='with --check: tasks of the model that is prompted')
    args = parser.parse_args()
    if not args.out and not args.check:
        parser.error('name --out, --check, or both')
    return exit_code(_run, args)


def _run(args: argparse.Namespace) -> None:
    root = resolve_data_root(args.data_root)
    if args.out:
        kept = args.work_dir / 'statistics.npz'
        if not kept.is_file():
            measure(samples(root)[args.first :: args.every]).save(kept)
        print_log(f'statistics: {kept} (remove the file to take them anew)')
        table = Table.load(kept)
        torch.set_num_threads(1)
        tensors, meta = train(table, seed=args.seed)
        meta['thresholds'] = choose_thresholds(tensors, meta, table)
        meta['training'] = dict(pictures=len(table.rows), held_out=int(table.held_out.sum()), seed=args.seed)
        publish(args.out, tensors, meta)
        size = sum(value.size for value in tensors.values())
        print(f'{args.out}: {size:,} numbers, believed from {meta["thresholds"]} on')
    if args.check:
        auto = AutoPrompt(args.tasks, [dict(type=StatisticsPrompter, weights=args.out or args.weights)])
        judged = judge(auto, root)
        print(confusion(judged, args.tasks))
        for item in judged:
            if item.found.task not in (item.task, item.task.rstrip('0123456789')):
                print(f'{item.file}: {item.task}, found {item.found}')


if __name__ == '__main__':
    sys.exit(main())
