"""Print a config with its bases and overrides resolved, or exactly what differs between two.

python tools/print_config.py configs/lure/stage1_ir_vi.py --cfg-options optim_wrapper.optimizer.lr=1e-4
python tools/print_config.py --diff configs/lure/stage1_ir_vi.py configs/lure/stage1_tiny_ir_vi.py
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lurefusion.config import diff_configs, list_configs, load_config


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument('config', nargs='?', help='a .py file, or lurefusion::folder/file.py; without it: all names')
    parser.add_argument('--diff', nargs=2, metavar=('BASE', 'CONFIG'), help='print the keys that differ, old -> new')
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', help='overrides, of the second one in --diff')
    args = parser.parse_args(argv)
    if args.diff and args.config:
        parser.error(f'--diff takes two configs and no third, got {args.config!r} too')
    return args


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        if args.diff:
            base, config = load_config(args.diff[0]), load_config(args.diff[1], args.cfg_options)
            for key, old, new in diff_configs(base, config):
                print(f'{key}: {old!r} -> {new!r}')
        elif args.config:
            print(load_config(args.config, args.cfg_options).pretty_text)
        else:
            print('\n'.join(list_configs()))
    except (OSError, ImportError, KeyError, TypeError, ValueError) as error:
        # str() of a KeyError is the repr of its message.
        print(f'print_config: {error.args[0] if isinstance(error, KeyError) else error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
