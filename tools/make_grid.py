"""Draw the picture grid of the README from rendered scenes: python tools/make_grid.py CONFIG OUT [--weights W]."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from lurefusion.apis import FusionInferencer
from lurefusion.cli import exit_code
from lurefusion.datasets.scenes import render_scene
from lurefusion.engine.stages import load_stages
from lurefusion.images import write_image
from lurefusion.registry import DEGRADATIONS
from lurefusion.visualization import draw_strip

LOW_LIGHT = dict(type='LowLight', gain=0.5, gamma=2.2)
# scene, time, degradation of the visible and of the infrared picture, with the task of each
ROWS = [
    (2003, 'night', None, None),
    (2010, 'day', ('ll', LOW_LIGHT), None),
    (2011, 'day', ('oe', dict(type='OverExposure', stops=1.5)), None),
    (2014, 'day', ('ll', LOW_LIGHT), ('lc', dict(type='LowContrast', gain=0.3, level=0.45))),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('model', help='config, or name of shipped weights')
    parser.add_argument('out', help='picture to write')
    parser.add_argument('--weights', help='default: what training of the config left in work_dirs/')
    return exit_code(draw, **vars(parser.parse_args()))


def draw(model: str, out: str, weights: str | None) -> None:
    """Fuse the rows and write them below each other."""
    if weights is None and model.endswith('.py'):
        names, _ = load_stages(model)
        weights = f'work_dirs/{Path(model).stem}/{names[-1]}'
    fuser = FusionInferencer(model, weights)
    strips = []
    for seed, time, visible, infrared in ROWS:
        scene = render_scene(seed, (240, 320), time)
        clean = dict(vi=scene.visible, ir=np.repeat(scene.infrared[..., None], 3, axis=2))
        shown, prompt = dict(clean), {}
        for name, spoilt in (('vi', visible), ('ir', infrared)):
            if spoilt:
                prompt[name], cfg = spoilt
                image, _ = DEGRADATIONS.build(cfg)(np.float32(clean[name]) / 255, np.random.default_rng(seed))
                shown[name] = np.round(image * 255).astype(np.uint8)
        panels = [('visible', shown['vi']), ('infrared', shown['ir']), ('fused', fuser(prompt, **shown))]
        panels += [('clean visible', clean['vi']), ('clean infrared', clean['ir'])]
        tensors = [(title, torch.from_numpy(np.float32(p) / 255).permute(2, 0, 1)) for title, p in panels]
        strips.append(draw_strip(tensors))
    write_image(out, np.concatenate(strips))


if __name__ == '__main__':
    sys.exit(main())
