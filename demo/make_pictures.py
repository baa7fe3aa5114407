"""Render the sample pictures of this folder: two streets by day, the second one spoilt.

python demo/make_pictures.py demo
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from lurefusion.cli import exit_code
from lurefusion.datasets.scenes import render_scene
from lurefusion.io.images import write_image
from lurefusion.io.ranges import to_unit_range
from lurefusion.registry import DEGRADATIONS

SIZE = (256, 336)
#: name -> seed of the street, and what spoils the pictures
SCENES = {
    'day': (4, {}),
    'dark': (5, dict(visible=dict(type='LowLight', gain=0.3, gamma=2.0), infrared=dict(type='LowContrast'))),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', help='folder to write into')
    return exit_code(make, **vars(parser.parse_args()))


def make(out: str) -> None:
    """Write NAME_visible.png and NAME_infrared.png of each scene."""
    for name, (seed, faults) in SCENES.items():
        scene = render_scene(seed, SIZE, time='day')
        pictures = {'visible': scene.visible, 'infrared': scene.infrared}
        for modality, fault in faults.items():
            clean = to_unit_range(pictures[modality])
            pictures[modality], _ = DEGRADATIONS.build(fault)(clean, np.random.default_rng(1))
        for modality, picture in pictures.items():
            write_image(Path(out) / f'{name}_{modality}.png', picture)


if __name__ == '__main__':
    sys.exit(main())
