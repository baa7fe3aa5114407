"""Numbers, tables and pictures of a segmentation, from confusion matrices, logs and predictions."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lurefusion.evaluation.report import print_spread
from lurefusion.io.images import read_image, write_bytes, write_image
from lurefusion.io.labels import read_label
from lurefusion.io.logs import read_scalars
from lurefusion.io.tables import markdown_table
from lurefusion.visualization import draw_strip

#: rows of label, columns of prediction
Confusion = np.ndarray


def scores(confusion: Confusion) -> dict[str, Any]:
    """Scores of a confusion matrix, in percent.

    Args:
        confusion: (K,K) pixel counts, rows are labels, columns predictions.

    Returns:
        ``IoU``: (K,) TP / (TP + FP + FN), NaN where a class is absent: no pixel is labelled with it; ``mIoU``: mean
        over the classes that are not absent; ``mIoU_all``: mean over all K, an absent class counts 0;
        ``pixel_accuracy``. Pixels wrongly given to an absent class lower the IoU of the class that they belong to.

    Raises:
        ValueError: If the matrix is not square, or counts no pixel.
    """
    confusion = np.asarray(confusion, np.float64)
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1] or not confusion.sum():
        raise ValueError(f'expected a square matrix with counts, got shape {confusion.shape}, sum {confusion.sum():g}')
    hits, labelled = np.diag(confusion), confusion.sum(1)
    union = labelled + confusion.sum(0) - hits
    iou = np.where(labelled > 0, 100 * hits / np.maximum(union, 1), np.nan)
    return dict(
        IoU=iou,
        mIoU=float(np.nanmean(iou)),
        mIoU_all=float(np.nansum(iou) / len(iou)),
        pixel_accuracy=float(100 * hits.sum() / confusion.sum()),
    )


def score_table(rows: Mapping[str, Sequence[Confusion]], classes: Sequence[str]) -> str:
    """Markdown table, one row per input.

    Args:
        rows: Name -> confusion matrices of the repetitions (seeds); their scores are shown as mean ± sample standard
            deviation, of a single one without the latter.
        classes: Their names.
    """
    titles = ['trained on', *classes, 'mIoU', f'mIoU of all {len(classes)}', 'pixel accuracy']
    lines = []
    for name, matrices in rows.items():
        found = [scores(matrix) for matrix in matrices]
        columns = [[f['IoU'][k] for f in found] for k in range(len(classes))]
        columns += [[f[key] for f in found] for key in ('mIoU', 'mIoU_all', 'pixel_accuracy')]
        lines.append([name, *(print_spread(values, 2, 'absent') for values in columns)])
    return markdown_table(titles, lines)


def confusion_table(confusion: Confusion, classes: Sequence[str]) -> str:
    """Markdown table of a (K,K) confusion matrix: percent of the pixels of each label given to each class."""
    confusion = np.asarray(confusion, np.float64)
    lines = []
    for name, row in zip(classes, confusion, strict=True):
        shares = [f'{100 * n / row.sum():.1f}' if row.sum() else '-' for n in row]
        lines.append([name, *shares, int(row.sum())])
    return markdown_table(['label \\ prediction', *classes, 'pixels'], lines)


def loss_curve(run: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Iterations and losses of a run, (n,) each, from all of its logs; where a resumed run overlaps, the newer counts.

    Raises:
        FileNotFoundError: If the run has logged no loss.
    """
    found = {row['step']: row['loss'] for row in read_scalars(run) if 'loss' in row}
    if not found:
        raise FileNotFoundError(f'no loss was logged in {run}/*/vis_data/scalars.json')
    steps = np.array(sorted(found))
    return steps, np.array([found[step] for step in steps])


def last_change(steps: np.ndarray, losses: np.ndarray) -> float:
    """Relative change of the mean loss from the third to the last quarter of the iterations; near 0: flattened."""
    part = np.minimum((steps - steps[0]) * 4 // max(steps[-1] - steps[0] + 1, 1), 3)
    third, last = (losses[part == k] for k in (2, 3))
    return float(last.mean() / third.mean() - 1) if len(third) and len(last) else float('nan')


def draw_losses(curves: Mapping[str, Iterable[tuple[np.ndarray, np.ndarray]]], path: str | Path) -> None:
    """Plot training losses: name -> curves of its runs (thin), and their mean (thick)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((7, 4), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, (name, runs) in enumerate(curves.items()):
        runs, colour = list(runs), f'C{number}'
        for steps, losses in runs:
            axes.plot(steps, losses, colour, lw=0.4, alpha=0.4)
        common = sorted(set.intersection(*(set(steps.tolist()) for steps, _ in runs)))
        mean = np.mean([losses[np.isin(steps, common)] for steps, losses in runs], axis=0)
        axes.plot(common, mean, colour, lw=1.6, label=name)
    axes.set(xlabel='iteration', ylabel='cross-entropy', yscale='log')
    axes.legend(fontsize='small')
    axes.grid(alpha=0.3)
    picture = io.BytesIO()
    figure.savefig(picture, format='png', dpi=120)
    write_bytes(path, picture.getvalue())


def paint(label: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """(H,W) ids -> (H,W,3) uint8 in the colours of the palette; ids beyond it are white."""
    colours = np.full((256, 3), 255, np.uint8)
    colours[: len(palette)] = palette
    return colours[label]


def draw_segmentation(
    out: str | Path, pictures: Mapping[str, str | Path], labels: Mapping[str, str | Path], palette: Sequence[Any]
) -> None:
    """Write one captioned strip: pictures as they are, labels and predictions (files of class ids) in colour."""
    panels = [(caption, read_image(path)[0]) for caption, path in pictures.items()]
    panels += [(caption, paint(read_label(path), palette)) for caption, path in labels.items()]
    write_image(out, draw_strip(panels))
