"""Read every picture of the data sets of a config, or of folders, and list those that cannot be used.

    python tools/misc/verify_dataset.py configs/lure/lure_tiny_ir_vi.py --data-root DATA
    python tools/misc/verify_dataset.py vi=mine/visible ir=mine/thermal

The exit code is 1 if there are any.
"""

from __future__ import annotations

import argparse
import sys

from lurefusion.cli import exit_code
from lurefusion.config import load_stages
from lurefusion.datasets.verify import check_files, check_looks, describe, folder_config, paired_datasets


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', nargs='+', help='a config, or ROLE=FOLDER of each modality')
    parser.add_argument('--data-root', help='root of the data sets; default $LUREFUSION_DATA, else data/')
    parser.add_argument('--headers', action='store_true', help='look at headers only, as is done before a training')
    return exit_code(verify, **vars(parser.parse_args()))


def verify(what: list[str], data_root: str | None = None, headers: bool = False) -> int:
    """Print every bad file; 1 if there are any."""
    if all('=' in item for item in what):
        nodes = [folder_config(dict(item.split('=', 1) for item in what))]
        # as in the shipped models: the visible picture owns the colour, where there is one
        chroma = 'vi'
    elif len(what) == 1:
        loaders = ('train_dataloader', 'val_dataloader', 'test_dataloader')
        cfgs = load_stages(what[0], data_root=data_root)[1]
        nodes = [cfg[key] for cfg in cfgs for key in loaders if cfg.get(key)]
        chroma = cfgs[-1].model.get('chroma')
    else:
        raise ValueError(f'give one config, or ROLE=FOLDER of each modality; got {what}')
    gone = sorted({folder for dataset in paired_datasets(nodes) for folder in dataset.missing()})
    if gone and '=' in what[0]:
        raise FileNotFoundError(f'no such folder: {", ".join(gone)}')
    for folder in gone:
        print(f'not on disk, passed over: {folder}')
    problems = check_files(nodes, decode=not headers)
    if not headers:
        problems += check_looks(nodes, chroma, every=True)
    print(f'{len(problems)} bad files or pairs' + (f'\n{describe(problems, most=1000)}' if problems else ''))
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
