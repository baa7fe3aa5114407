"""Losses and validation metrics of runs, drawn from what MMEngine logged."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from lurefusion.io.images import write_bytes
from lurefusion.io.logs import read_scalars

Series = dict[str, tuple[np.ndarray, np.ndarray]]
# what MMEngine logs beside metrics
IGNORED = ('base_lr', 'lr', 'data_time', 'time', 'grad_norm', 'iter', 'epoch', 'step', 'memory')


def read_run(folder: Path) -> tuple[Series, Series]:
    """Losses and metrics: name -> (iterations, values). Where a run was resumed, the later log counts.

    Raises:
        FileNotFoundError: If the folder has no log.
    """
    rows = read_scalars(folder)
    if not rows:
        raise FileNotFoundError(f'no log (*/vis_data/scalars.json) in {folder}; give the folder of a run of one stage')
    losses, metrics = {}, {}
    for row in rows:
        for name, value in row.items():
            # in a row of training everything that is no loss is a diagnostic; metrics of the input stay the same
            training = 'loss' in row
            target = losses if training else metrics
            if name not in IGNORED and name.startswith('loss') == training and not name.endswith('_in'):
                target.setdefault(name.removeprefix('loss_'), []).append((row['step'], value))
    return tuple({name: tuple(np.array(s, float).T) for name, s in series.items()} for series in (losses, metrics))


def smoothed(values: np.ndarray, width: int) -> np.ndarray:
    """Mean over the finite ones of the last `width` values, of fewer at the start; NaN where there is none."""
    finite = np.isfinite(values)
    total, count = (np.concatenate([[0.0], np.cumsum(v)]) for v in (np.where(finite, values, 0), finite))
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - width, 0)
    with np.errstate(invalid='ignore'):
        return (total[end] - total[start]) / (count[end] - count[start])


def plot(runs: list[Path], out: str, smooth: int = 20) -> None:
    """Draw all runs into one picture."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot as plt

    # two seeds of one stage have one name
    alike = len({run.name for run in runs}) < len(runs)
    series = [(str(run) if alike else run.name, read_run(run)) for run in runs]
    figure, axes = plt.subplots(len(runs), 2, figsize=(11, 3.2 * len(runs)), squeeze=False, layout='constrained')
    for (name, (losses, metrics)), (left, right) in zip(series, axes, strict=True):
        for loss, (steps, values) in losses.items():
            style = dict(color='black', linewidth=1.6) if loss == 'loss' else dict(linewidth=0.9)
            left.plot(steps, smoothed(values, smooth), label='sum' if loss == 'loss' else loss, **style)
        drawn = np.concatenate([line.get_ydata() for line in left.lines] or [np.ones(1)])
        # a loss that is better the further it is below 0 has no logarithm
        scale = 'linear' if np.nanmin(drawn, initial=1) <= 0 else 'log'
        left.set(title=f'{name}: weighted losses', xlabel='iteration', yscale=scale)
        for metric, (steps, values) in metrics.items():
            last = values[-1] or 1.0
            right.plot(steps, values / last, linewidth=0.9, marker='.', label=f'{metric} {values[-1]:.4g}')
        right.set(title=f'{name}: validation, share of the last value', xlabel='iteration')
        for axis in (left, right):
            axis.grid(alpha=0.3)
            if axis.lines:
                axis.legend(fontsize=6, ncols=2)
    data = io.BytesIO()
    figure.savefig(data, format=Path(out).suffix[1:], dpi=80)
    plt.close(figure)
    write_bytes(out, data.getvalue())
    print(out)
