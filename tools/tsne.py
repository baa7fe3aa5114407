"""Draw the latent space of a training or of finished weights (LURE, Fig. 2), and print its numbers.

python tools/tsne.py RUN --out tsne.png   # the folder of a training with LatentProbeHook
python tools/tsne.py --weights lure-tiny --data-root DATA --out tsne.png
python tools/tsne.py --weights work_dirs/x/stage1_tiny_ir_vi --config configs/lure/stage1_tiny_ir_vi.py --out tsne.png

The axes of two panels are not comparable, and t-SNE draws clusters where there are none: the numbers are what counts.
"""

from __future__ import annotations

import argparse
import sys

from lurefusion.cli import exit_code
from lurefusion.evaluation.latents import DEFAULT_PROBE
from lurefusion.studies.latent_panels import compare


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('records', nargs='*', help='npz files, or folders of runs that have some in latents/')
    parser.add_argument('--weights', help='probe these: shipped weights by name, a checkpoint, or the folder of a run')
    parser.add_argument('--config', help='config of the weights; shipped weights need none')
    parser.add_argument(
        '--probe', default=DEFAULT_PROBE, help='config with the probe set, probe=dict(type=...); default: %(default)s'
    )
    parser.add_argument('--data-root', help='root of the data sets; default $LUREFUSION_DATA, else data/')
    parser.add_argument('--out', help='picture to write, with t-SNE panels: a row per modality, a column per record')
    parser.add_argument('--save', help='npz file to keep the latents of --weights in')
    return exit_code(compare, **vars(parser.parse_args()))


if __name__ == '__main__':
    sys.exit(main())
