"""Print a config with its bases and overrides resolved, or exactly what differs between two.

python tools/print_config.py configs/lure/stage1_ir_vi.py --cfg-options optim_wrapper.optimizer.lr=1e-4
python tools/print_config.py --diff configs/lure/stage1_ir_vi.py configs/lure/stage1_tiny_ir_vi.py
python tools/print_config.py --diff configs/lure/lure_ir_vi.py configs/ablation/using_cc.py    # stage by stage
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from lurefusion.cli import exit_code
from lurefusion.config import diff_configs, list_configs, load_config, load_stages, parse_options


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument('config', nargs='?', help='a .py file, or lurefusion::folder/file.py; without it: all names')
    parser.add_argument('--diff', nargs=2, metavar=('BASE', 'CONFIG'), help='print the keys that differ, old -> new')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='overrides, in --diff of the second, scale of both',
    )
    args = parser.parse_args(argv)
    if args.diff and args.config:
        parser.error(f'--diff takes two configs and no third, got {args.config!r} too')
    return args


def differences(base: str, config: str, options: Sequence[str] | None) -> list[tuple[str, Any, Any]]:
    """(key, old, new) of what differs; of two pipelines in each stage, the key led by the stage's name."""
    old, new = load_config(base), load_config(config)
    if not ('stages' in old and 'stages' in new):
        return diff_configs(old, load_config(config, options))
    own = [{k: v for k, v in cfg.to_dict().items() if k not in ('stages', 'options', 'scales')} for cfg in (old, new)]
    found = diff_configs(*own)
    overrides = parse_options(options)
    # of one scale both
    scale = {key: value for key, value in overrides.items() if key == 'scale'}
    before, after = load_stages(base, scale), load_stages(config, overrides)
    if len(before[0]) != len(after[0]):
        # stages are joined: nothing of one corresponds to a single other
        return found
    for (_, first), (name, second) in zip(zip(*before, strict=True), zip(*after, strict=True), strict=True):
        found += [(f'{name}: {key}', *values) for key, *values in diff_configs(first, second)]
    return found


def main(argv: Sequence[str] | None = None) -> int:
    code = exit_code(show, parse_args(argv))
    return 2 if code == 1 else code  # as where argparse finds fault


def show(args: argparse.Namespace) -> None:
    """Print what was asked for."""
    if args.diff:
        for key, old, new in differences(*args.diff, args.cfg_options):
            print(f'{key}: {old!r} -> {new!r}')
    elif args.config:
        cfg = load_config(args.config)
        if 'stages' in cfg and args.cfg_options:
            # options are those of the stages, of one scale
            for name, stage in zip(*load_stages(args.config, args.cfg_options), strict=True):
                print(f'# {name}\n{stage.pretty_text}')
        else:
            print(load_config(args.config, args.cfg_options).pretty_text)
    else:
        print('\n'.join(list_configs()))


if __name__ == '__main__':
    sys.exit(main())
