"""FusionVisualizer: what went in, what came out, what should have come out, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.visualization import Visualizer

from lurefusion.io.images import write_image
from lurefusion.io.ranges import to_uint8
from lurefusion.ops.layout import tensor_to_image
from lurefusion.registry import VISUALIZERS
from lurefusion.structures import FusionDataSample

CAPTION_HEIGHT = 22


@VISUALIZERS.register_module()
class FusionVisualizer(Visualizer):
    """MMEngine's visualizer for strips of fusion and restoration samples."""

    def add_datasample(
        self,
        name: str,
        image: np.ndarray | None,
        data_sample: FusionDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        step: int = 0,
        **kwargs: Any,
    ) -> None:
        """Draw the strip of a sample (sources, prediction, references) to `out_file`, else to the back-ends."""
        panels = [(role, source) for role, source in data_sample.get('sources', {}).items()]
        if draw_pred and 'pred' in data_sample:
            panels.append(('result', data_sample.pred))
        if draw_gt:
            panels += [(f'clean {role}', clean) for role, clean in data_sample.get('references', {}).items()]
        strip = draw_strip(panels)
        if out_file is not None:
            write_image(out_file, strip)
        else:
            # MMEngine's file back-end makes no sub-folders, and drops without a word what it cannot write
            self.add_image(name.replace('/', '_'), strip, step)


def draw_strip(panels: Sequence[tuple[str, torch.Tensor | np.ndarray]]) -> np.ndarray:
    """Captioned pictures of one size side by side, (H+22, sum of W, 3) uint8.

    Args:
        panels: (caption, picture): a tensor (3,H,W) in [0,1], or an array (H,W,3), uint8 or in [0,1].
    """
    columns = []
    for caption, picture in panels:
        picture = tensor_to_image(picture) if isinstance(picture, torch.Tensor) else picture
        picture = picture if picture.dtype == np.uint8 else to_uint8(picture)
        bar = np.full((CAPTION_HEIGHT, picture.shape[1], 3), 255, np.uint8)
        cv2.putText(bar, caption, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
        columns.append(np.concatenate([bar, picture]))
    return np.concatenate(columns, axis=1)


def draw_clouds(
    panels: Mapping[str, Sequence[tuple[str, np.ndarray, np.ndarray]]], side: float = 3.2, dpi: int = 110
) -> np.ndarray:
    """Scatter plots in a grid, a class per colour, the same in all panels.

    Args:
        panels: Name of the row -> (text below the panel, points (N,2), classes (N,)) per column.
        side: Of a panel, inches.
        dpi: Pixels per inch.

    Returns:
        (H,W,3) uint8.

    Raises:
        ValueError: If the rows differ in their number of panels.
    """
    # MMEngine brings matplotlib; imported late, for it takes half a second
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not panels or len({len(row) for row in panels.values()}) != 1:
        raise ValueError(f'every row needs the same number of panels, got {[len(row) for row in panels.values()]}')
    classes = list(dict.fromkeys(str(c) for row in panels.values() for _, _, names in row for c in names))
    colours = dict(zip(classes, colormaps['tab10'].colors * (len(classes) // 10 + 1), strict=False))
    columns = len(next(iter(panels.values())))
    figure = Figure((side * columns, (side + 0.9) * len(panels)), dpi=dpi, layout='constrained')
    canvas = FigureCanvasAgg(figure)
    grid = figure.subplots(len(panels), columns, squeeze=False)
    for axes, (name, row) in zip(grid, panels.items(), strict=True):
        for axis, (text, points, names) in zip(axes, row, strict=True):
            for key in dict.fromkeys(str(n) for n in names):
                chosen = points[names == key]
                axis.scatter(chosen[:, 0], chosen[:, 1], s=9, color=colours[key], label=key, linewidths=0)
            axis.set(xticks=[], yticks=[])
            axis.set_xlabel(text, fontsize=8)
        axes[0].set_ylabel(name)
        axes[0].legend(fontsize=8, markerscale=2)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
