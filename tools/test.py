"""Evaluate weights on every test set of a config; the same as `lurefusion test`.

python tools/test.py configs/lure/lure_tiny_ir_vi.py [WEIGHTS]
"""

import sys

from lurefusion.cli import main

if __name__ == '__main__':
    sys.exit(main(['test', *sys.argv[1:]]))
