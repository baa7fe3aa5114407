"""Measure the weight-free fusers on the validation pictures and write docs/benchmark.md.

    LUREFUSION_DATA=... python tools/benchmark_baselines.py --out docs/benchmark.md

Sets that are missing below $LUREFUSION_DATA are named and left out.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lurefusion.evaluation import report
from lurefusion.evaluation.cards import FUSION_METRICS, card_of, columns_of, compute
from lurefusion.evaluation.evaluate import read_means
from lurefusion.evaluation.metrics import mean_columns
from lurefusion.images import list_images, pair_by_stem, read_image, write_bytes
from lurefusion.models.baselines import BaselineFuser

METHODS = {'Average': 'average', 'Max': 'max', 'LapPyr': 'lap_pyramid', 'GuidedFilter': 'guided_filter'}
VANILLA = (
    ('MSRS/test_dev', 'all {n} pairs', 1, None),
    ('MSRS/test_dev', 'every third pair, {n}', 3, 'MSRS/test_dev 19'),
    ('RoadScene/val', 'all {n} pairs', 1, None),
    ('RoadScene/val', 'every second pair, {n}', 2, 'RoadScene/val 15'),
)
DEGRADED = ('clean', 'low_light', 'over_exposure', 'haze', 'low_contrast', 'sr4', 'sr8', 'low_light+low_contrast',
            'over_exposure+low_contrast')  # fmt: skip
INFRARED_TASKS = ('low_contrast', 'sr4', 'sr8')
PAPER_COLUMNS = ('CC', 'SCD', 'PSNR_paper', 'SSIM_paper', 'MS-SSIM_paper')
TARGETS = Path(__file__).parents[1] / 'docs' / 'targets.csv'

Means = dict[str, dict[str, float]]


def load(path: Path) -> Tensor:
    """(1,3,H,W) float in [0,1]."""
    image = torch.from_numpy(np.ascontiguousarray(read_image(path)[0].transpose(2, 0, 1)))[None]
    return image / 255 if image.dtype == torch.uint8 else image


def measure(pairs: list[tuple[dict[str, Tensor], dict[str, Tensor]]], fusers: Mapping[str, BaselineFuser]) -> Means:
    """Means of all metrics, both variants, per method; a pair is the inputs, and what to measure against."""
    columns = [column for column, _, _ in columns_of(FUSION_METRICS, 'both')]
    means = {}
    for name, fuser in fusers.items():
        rows = []
        for inputs, against in pairs:
            values = compute(fuser(inputs), against, FUSION_METRICS, 'both', too_small='nan')
            rows.append({column: float(value[0]) for column, value in values.items()})
        means[name] = mean_columns(rows, columns)
    return means


def vanilla(root: Path, step: int, fusers: Mapping[str, BaselineFuser]) -> tuple[Means, int]:
    """Means over every `step`-th pair by name, and the number of pairs."""
    files = list(pair_by_stem({'vi': root / 'vi', 'ir': root / 'ir'}).values())[::step]
    pairs = [{m: load(path) for m, path in pair.items()} for pair in files]
    return measure([(pair, pair) for pair in pairs], fusers), len(pairs)


def degraded(root: Path, condition: str, fusers: Mapping[str, BaselineFuser]) -> tuple[Means, int]:
    """Means of degraded pairs, measured against the clean pair."""
    clean = pair_by_stem({'vi': root / 'MSRS/test_dev/vi', 'ir': root / 'MSRS/test_dev/ir'})
    changed = {}
    for task in condition.split('+'):
        modality = 'ir' if task in INFRARED_TASKS else 'vi'
        if task != 'clean':
            changed[modality] = list_images(root / 'degraded_val' / task / modality)
    stems = list(list_images(root / 'degraded_val/low_light/vi'))
    pairs = []
    for stem in stems:
        against = {m: load(path) for m, path in clean[stem].items()}
        pairs.append((against | {m: load(files[stem]) for m, files in changed.items()}, against))
    return measure(pairs, fusers), len(pairs)


def table(means: Means, paper: bool = False) -> str:
    """Markdown table of the standard columns, or of the paper's."""
    columns = PAPER_COLUMNS if paper else FUSION_METRICS
    return report.format_table(means, columns, ranks=None if paper else report.mean_ranks(means))


def beside(means: Means, published: Means) -> str:
    """Table of own baselines and published networks by mean rank, and in what the rows that both have differ."""
    shared = [m for m in means if m in published]
    joined = means | {m: row for m, row in published.items() if m not in means}
    ranks = report.mean_ranks(joined, rounded=True)
    ordered = {m: joined[m] for m in sorted(joined, key=ranks.__getitem__)}
    columns = [c for c in (*FUSION_METRICS, *PAPER_COLUMNS[2:]) if any(c in row for row in published.values())]
    text = report.format_table(ordered, columns, ranks=ranks)
    differing, count = [], 0
    for method in shared:
        for column, other in published[method].items():
            count += 1
            own, digits = means[method][column], card_of(column).decimals
            if abs(own - other) > 0.5 * 10**-digits + 1e-9:
                differing.append(f'{column} of {method} ({own:.{digits + 1}f} here, {other:.{digits}f} there)')
    if shared:
        text += f'\nOf the {count} numbers of {", ".join(shared)} that independent code measured as well, '
        text += f'{count - len(differing)} agree to the printed digit'
        text += f'; the others are {", ".join(differing)}.\n' if differing else '.\n'
    return text


INTRODUCTION = """# Benchmark of the weight-free fusers

Produced by

    LUREFUSION_DATA=DIR python tools/benchmark_baselines.py --out docs/benchmark.md

from real pictures below `DIR` (the frames of `MSRS/test_dev` belong to the official MSRS test split, but are not all of
it: never report them as "MSRS test"). Every table of a new method should show these rows: they cost nothing, and beat
many networks by mean rank. The rank counts CC, SCD, PSNR, SSIM, MS-SSIM, VIF and Qabf, ties shared; bold is best,
underlined second. Luminance is fused and the visible picture's chroma kept (`BaselineFuser(chroma='vi')`).

"Beside published networks" puts them next to `docs/targets.csv`: networks run on the same pictures with their authors'
published weights, measured by independent code; Average, Max and LapPyr were measured there too. What differs is the
MI of Max by 0.001 or 0.002: chroma taken through OpenCV's fixed-point YCrCb, which moves single grey levels, gives the
other code's number; here it is exact. Ranks beside printed numbers are those of rounded numbers.

"""


def build(root: Path) -> str:
    """The whole document."""
    fusers = {name: BaselineFuser(method) for name, method in METHODS.items()}
    text, missing = INTRODUCTION, []
    for folder, words, step, group in VANILLA:
        if not (root / folder).is_dir():
            missing.append(folder)
            continue
        means, count = vanilla(root / folder, step, fusers)
        text += (
            f'## {folder}, {words.format(n=count)}\n\n{table(means)}\nPaper variant:\n\n{table(means, paper=True)}\n'
        )
        if group:
            text += f'### Beside published networks\n\n{beside(means, read_means(TARGETS, group))}\n'
    if (root / 'degraded_val').is_dir() and (root / 'MSRS/test_dev').is_dir():
        text += '## degraded_val: degraded pairs, measured against the clean pair\n\n'
        for condition in DEGRADED:
            means, count = degraded(root, condition, fusers)
            text += f'### {condition.replace("+", " + ")} ({count} pairs)\n\n{table(means)}\n'
            text += f'Paper variant:\n\n{table(means, paper=True)}\n'
            text += f'Beside published networks:\n\n{beside(means, read_means(TARGETS, f"degraded_val {condition}"))}\n'
    else:
        missing.append('degraded_val')
    for folder in dict.fromkeys(missing):
        print(f'left out, not found: {root / folder}')
    return f'{text}## Columns\n\n{report.describe_metrics(FUSION_METRICS)}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', type=Path, default=Path(os.environ.get('LUREFUSION_DATA', 'data')))
    parser.add_argument('--out', type=Path, default=Path('docs/benchmark.md'))
    args = parser.parse_args()
    write_bytes(args.out, build(args.data_root).encode())
    print(args.out)


if __name__ == '__main__':
    main()
