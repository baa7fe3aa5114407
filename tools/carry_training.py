"""Carry an unfinished training in two small files, and go on with it elsewhere.

    python tools/carry_training.py pack work_dirs/RUN FILE.safetensors
    python tools/carry_training.py unpack FILE.safetensors work_dirs/RUN
    python tools/train.py CONFIG --resume --work-dir work_dirs/RUN

FILE.safetensors are the weights that count (their averages, where there is an EMAHook), which `init_from` and
`tools/test.py` take as they are; FILE.training.safetensors is what else it takes to go on. Together they are a third
of the checkpoint: 16 bits a number, of the optimizer the second moments (first moments form anew within some ten
steps), steps, schedules and seed. What goes on is the same training, not the same to the last bit.
"""

from __future__ import annotations

import argparse
import sys

from lurefusion.cli import exit_code
from lurefusion.studies.carry import pack, unpack


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest='kind', required=True)
    packing = kinds.add_parser('pack', help='make the files of a run')
    packing.add_argument('folder', metavar='run', help='checkpoint, or folder of the run')
    packing.add_argument('file', help='to write, .safetensors')
    unpacking = kinds.add_parser('unpack', help='make the checkpoint of a run of the files')
    unpacking.add_argument('file', help='.safetensors')
    unpacking.add_argument('folder', metavar='run', help='folder in which to go on')
    options = vars(parser.parse_args())
    return exit_code(dict(pack=pack, unpack=unpack)[options.pop('kind')], **options)


if __name__ == '__main__':
    sys.exit(main())
