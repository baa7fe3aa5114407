"""FusionVisualizer: what went in, what came out, what should have come out, side by side."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from mmengine.visualization import Visualizer

from lurefusion.images import to_uint8, write_image
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


def draw_strip(panels: list[tuple[str, torch.Tensor]]) -> np.ndarray:
    """Captioned pictures of one size side by side: list of (caption, (3,H,W) in [0,1]) -> (H+22, sum of W, 3) uint8."""
    columns = []
    for caption, tensor in panels:
        picture = to_uint8(tensor.detach().float().cpu().permute(1, 2, 0).numpy())
        bar = np.full((CAPTION_HEIGHT, picture.shape[1], 3), 255, np.uint8)
        cv2.putText(bar, caption, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
        columns.append(np.concatenate([bar, picture]))
    return np.concatenate(columns, axis=1)
