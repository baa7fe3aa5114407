"""Evaluate weights on every test set of a config; the same as `lurefusion test`.

python tools/test.py configs/lure/lure_tiny_ir_vi.py [WEIGHTS]
"""

import sys

from lurefusion import cli


def main() -> int:
    return cli.main(['test', *sys.argv[1:]])


if __name__ == '__main__':
    sys.exit(main())
