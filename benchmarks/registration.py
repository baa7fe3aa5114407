"""How well infrared and visible pictures are aligned, on real pairs whose infrared picture was moved by a known warp.

    python benchmarks/registration.py [--data DIR] [--kinds affine] [--pairs 8] [--sets RoadScene/val]

Each infrared picture gets a shift up to 5 % of the width, a scale of +-8 %, a rotation of +-4 degrees (translation:
the shift alone; homography: each corner moved by up to 1 % of the width too), a gamma of 0.5 to 2 and, in half of the
cases, the opposite polarity. Corner errors in pixels of a picture 640 pixels wide, mean over the four corners, against
two references: `given`, the pair as the data set aligned it, which is itself some pixels off; and `own`, the alignment
found for the pair before it was moved (as given, where that was refused). `wrong`: accepted and more than 5 pixels from
`own`. `strangers`: pairs of two different scenes that were accepted; none should be.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import cv2
import numpy as np

from lurefusion.io.images import read_image
from lurefusion.runtime.alignment import corner_distance
from lurefusion.runtime.register import NotAligned, estimate

SETS = {
    'RoadScene/val': 'RoadScene/val/vi/*',
    'MSRS/test_dev day': 'MSRS/test_dev/vi/*D.*',
    'MSRS/test_dev night': 'MSRS/test_dev/vi/*N.*',
}
GOAL, WRONG = 2, 5


def pairs(data: Path, name: str, count: int | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """The visible and infrared pictures of a set, `count` of them evenly spread."""
    files = sorted(data.glob(SETS[name]))
    if not files:
        raise SystemExit(f'no pictures {data / SETS[name]}; give the folder of the data sets by --data')
    if count:
        files = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, count).astype(int))]
    return [(read_image(f)[0], read_image(next((f.parents[1] / 'ir').glob(f.stem + '.*')))[0][..., 0]) for f in files]


def random_warp(generator: np.random.Generator, size: tuple[int, int], kind: str) -> np.ndarray:
    """(3, 3) from the pixels of the infrared picture as given to those of the moved one."""
    centre = (np.array(size) - 1) / 2
    scale, turn = 1 + generator.uniform(-0.08, 0.08), np.deg2rad(generator.uniform(-4, 4))
    shift, tilt = generator.uniform(-0.05, 0.05, 2) * size[0], generator.uniform(-0.01, 0.01, (4, 2)) * size[0]
    if kind == 'translation':
        scale, turn = 1.0, 0.0
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * centre
    moved = corners @ np.array([[cos, sin], [-sin, cos]]) + shift + (tilt if kind == 'homography' else 0)
    return cv2.getPerspectiveTransform((corners + centre).astype(np.float32), (moved + centre).astype(np.float32))


def moved(infrared: np.ndarray, warp: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The infrared picture, uint8, with another gamma and polarity, warped; black where nothing was seen."""
    levels = (np.arange(256) / 255) ** (2 ** generator.uniform(-1, 1)) * 255
    if generator.random() < 0.5:
        levels = 255 - levels
    return cv2.warpPerspective(levels.round().astype(np.uint8)[infrared], warp, infrared.shape[::-1])


def attempt(fixed: np.ndarray, moving: np.ndarray, kind: str) -> np.ndarray | None:
    """The transform, or None where it was refused."""
    try:
        return estimate(fixed, moving, kind).transform
    except NotAligned:
        return None


def measure(
    data: Path, name: str, kind: str, count: int | None, draws: int, strangers: bool = True
) -> dict[str, float]:
    """One row of the table: shares in %, errors in pixels at 640 in width, CPU seconds of one pair."""
    pictures = pairs(data, name, count)
    given, own, seconds, foreign = [], [], [], []
    for i, (visible, infrared) in enumerate(pictures):
        size = infrared.shape[::-1]
        generator = np.random.default_rng([0, i])
        reference = attempt(visible, infrared, kind)
        for _ in range(draws):
            warp = random_warp(generator, size, kind)
            moving = moved(infrared, warp, generator)
            start = time.process_time()
            found = attempt(visible, moving, kind)
            seconds.append(time.process_time() - start)
            for errors, truth in ((given, np.eye(3)), (own, np.eye(3) if reference is None else reference)):
                error = np.nan if found is None else corner_distance(np.linalg.inv(warp) @ found, truth, size)
                errors.append(error * 640 / size[0])
        if strangers:
            other = pictures[(i + len(pictures) // 2) % len(pictures)][1]
            foreign.append(attempt(visible, other, kind) is not None)
    given, own = np.array(given), np.array(own)
    accepted = ~np.isnan(own)
    row = {'pairs': len(pictures), 'accepted, %': 100 * accepted.mean()}
    for label, errors in (('given', given[accepted]), ('own', own[accepted])):
        row[f'median ({label})'] = np.median(errors) if len(errors) else np.nan
        row[f'90 % ({label})'] = np.percentile(errors, 90) if len(errors) else np.nan
    row[f'own <= {GOAL} px, %'] = 100 * (own <= GOAL).mean()
    row['wrong, %'] = 100 * (own > WRONG).mean()
    row['strangers, %'] = 100 * np.mean(foreign) if foreign else np.nan
    row['CPU s'] = float(np.mean(seconds))
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, default=os.environ.get('LUREFUSION_DATA', 'data'))
    parser.add_argument('--sets', nargs='+', choices=SETS, default=list(SETS))
    parser.add_argument('--kinds', nargs='+', default=['translation', 'affine', 'homography'])
    parser.add_argument('--pairs', type=int, help='of each set, evenly spread; all without it')
    parser.add_argument('--draws', type=int, default=1, help='warps of each pair')
    parser.add_argument('--no-strangers', action='store_true', help='leave out the pairs of different scenes')
    args = parser.parse_args()
    for name in args.sets:
        for kind in args.kinds:
            row = measure(Path(args.data), name, kind, args.pairs, args.draws, not args.no_strangers)
            if (name, kind) == (args.sets[0], args.kinds[0]):
                print('| set | kind | ' + ' | '.join(row) + ' |\n|' + '---|' * (len(row) + 2))
            numbers = (f'{value:.2f}' if isinstance(value, float) else str(value) for value in row.values())
            print(f'| {name} | {kind} | ' + ' | '.join(numbers) + ' |', flush=True)


if __name__ == '__main__':
    main()
