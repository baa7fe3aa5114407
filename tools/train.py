"""Train a stage or a whole pipeline; the same as `lurefusion train`.

python tools/train.py configs/lure/lure_tiny_ir_vi.py [--resume]
"""

import sys

from lurefusion import cli


def main() -> int:
    return cli.main(['train', *sys.argv[1:]])


if __name__ == '__main__':
    sys.exit(main())
