"""Mean and standard deviation of the channels of pictures, for segmentation: python tools/channel_statistics.py DIR ...

Several folders are stacked along the channels, paired by file stem. The chain (`tools/train.py --downstream`) does the
same for its training pictures by itself; for a file of your own, set model.data_preprocessor.statistics to it.
"""

from __future__ import annotations

import argparse
import json
import sys

from lurefusion.cli import exit_code
from lurefusion.downstream.pictures import channel_statistics
from lurefusion.io.images import write_bytes
from lurefusion.io.pairing import pair_files


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folders', nargs='+', help='folders of training pictures')
    parser.add_argument('--out', required=True, help='JSON file to write')
    return exit_code(_run, parser.parse_args())


def _run(args: argparse.Namespace) -> None:
    groups = pair_files({str(number): folder for number, folder in enumerate(args.folders)}).pairs
    found = channel_statistics([files[str(n)] for n in range(len(args.folders))] for files in groups.values())
    write_bytes(args.out, json.dumps(found, indent=1).encode())
    print(json.dumps(found))


if __name__ == '__main__':
    sys.exit(main())
