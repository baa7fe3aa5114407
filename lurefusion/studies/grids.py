"""Rendered scenes and what a model makes of them: the grids of the README and of the model zoo."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from lurefusion.apis import FusionInferencer
from lurefusion.config import find_config, load_stages
from lurefusion.datasets.scenes import Scene, render_scene
from lurefusion.io.images import write_image
from lurefusion.io.pairing import check_output
from lurefusion.io.tables import markdown_table
from lurefusion.ops.colour import LUMA
from lurefusion.registry import DEGRADATIONS
from lurefusion.visualization import draw_strip
from lurefusion.weights import last_run, shipped_weights

LOW_LIGHT = dict(type='LowLight', gain=0.5, gamma=2.2)
# scene, time, degradation of the visible and of the infrared picture, with the task of each
DEGRADED = [
    (2003, 'night', None, None),
    (2010, 'day', ('ll', LOW_LIGHT), None),
    (2011, 'day', ('oe', dict(type='OverExposure', stops=1.5)), None),
    (2014, 'day', ('ll', LOW_LIGHT), ('lc', dict(type='LowContrast', gain=0.3, level=0.45))),
]
# scene, what is difficult about it
DIFFICULT = [(6, 'headlights'), (4, 'smoke'), (5, 'bright_sky'), (4, 'hot_targets')]
COLUMNS = ('no weighted sum, %', 'visible detail, %', 'infrared detail, %', 'heat, %')
PERSON = 2
Panels = list[tuple[str, np.ndarray]]


def draw(model: str, out: str, weights: str | None = None, rows: str = 'degraded', size: tuple = (240, 320)) -> None:
    """Fuse the rows and write them below each other."""
    check_output(out)
    if weights is None and model.endswith('.py'):
        weights = trained_weights(model)
    fuser = FusionInferencer(model, weights)
    if rows == 'degraded':
        strips = [degraded_row(fuser, size, *row) for row in DEGRADED]
    else:
        strips, lines = [], []
        for seed, difficulty in DIFFICULT:
            scene = render_scene(seed, size, difficulty=difficulty)
            panels = difficult_row(fuser, scene)
            strips.append(panels)
            for name, values in numbers(scene, dict(panels)).items():
                lines.append([f'{difficulty}: {name}', *('-' if np.isnan(v) else f'{v:.1f}' for v in values)])
        print(markdown_table(['picture', *COLUMNS], lines), end='')
    write_image(out, np.concatenate([draw_strip(row) for row in strips]))


def trained_weights(config: str) -> str | None:
    """Where `tools/train.py` puts the run of a config, or of a pipeline's last stage; None if it needs no weights.

    Raises:
        FileNotFoundError: If no run is there.
    """
    names, cfgs = load_stages(config)
    if not cfgs[-1].get('needs_weights', True):
        return None
    folder = last_run(find_config(config), names)
    if not folder.is_dir():
        raise FileNotFoundError(
            f'{folder} does not exist: {Path(config).stem} was not trained here. Train it (tools/train.py {config}), '
            f'name its weights (--weights), or draw shipped weights: {", ".join(shipped_weights())}'
        )
    return str(folder)


def degraded_row(
    fuser: FusionInferencer, size: tuple[int, int], seed: int, time: str, visible: tuple | None, infrared: tuple | None
) -> Panels:
    """Both pictures as they are spoilt, fused by prompt, and both clean."""
    scene = render_scene(seed, size, time)
    clean = dict(vi=scene.visible, ir=np.repeat(scene.infrared[..., None], 3, axis=2))
    shown, prompt = dict(clean), {}
    for name, spoilt in (('vi', visible), ('ir', infrared)):
        if spoilt:
            prompt[name], cfg = spoilt
            image, _ = DEGRADATIONS.build(cfg)(np.float32(clean[name]) / 255, np.random.default_rng(seed))
            shown[name] = np.round(image * 255).astype(np.uint8)
    panels = [('visible', shown['vi']), ('infrared', shown['ir']), ('fused', fuser(prompt or None, **shown))]
    return [*panels, ('clean visible', clean['vi']), ('clean infrared', clean['ir'])]


def difficult_row(fuser: FusionInferencer, scene: Scene) -> Panels:
    """Both pictures, their average and maximum, and the fused one."""
    infrared = np.repeat(scene.infrared[..., None], 3, axis=2)
    average = ((scene.visible.astype(np.uint16) + infrared + 1) // 2).astype(np.uint8)
    panels = [('visible', scene.visible), ('infrared', infrared), ('average', average)]
    return [*panels, ('maximum', np.maximum(scene.visible, infrared)), ('fused', fuser(vi=scene.visible, ir=infrared))]


def numbers(scene: Scene, panels: dict[str, np.ndarray]) -> dict[str, tuple[float, float, float, float]]:
    """Average, maximum, fused picture and the weighted sum next to it -> the four `COLUMNS`.

    * Variance that is in no sum a vi + b ir + c with weights for the whole picture, fitted by least squares.
    * Detail (picture less its blur over 2 pixels) of the visible picture that is found again, outside of people and
      veil, and of the infrared one inside the veil of smoke or glare (NaN without a veil), each where it has more
      than the other: 100 is all of it, with its strength.
    * Brightness of people over their surroundings, against the infrared picture.
    """
    grey = {name: picture.astype(np.float32) @ np.float32(LUMA) for name, picture in panels.items()}
    sources = np.stack([grey['visible'].ravel(), grey['infrared'].ravel(), np.ones(scene.veil.size)], axis=1)
    fitted = sources @ np.linalg.lstsq(sources, grey['fused'].ravel(), rcond=None)[0]
    grey['weighted sum'] = fitted.reshape(scene.veil.shape)
    fine = {name: picture - cv2.GaussianBlur(picture, (0, 0), 2) for name, picture in grey.items()}
    power = {name: cv2.GaussianBlur(fine[name] ** 2, (0, 0), 4) for name in ('visible', 'infrared')}
    people = scene.label == PERSON
    near = cv2.dilate(people.astype(np.uint8), np.ones((9, 9))) > 0
    textured = (power['visible'] > power['infrared']) & ~near & (scene.veil < 0.2)
    hidden = (scene.veil > 0.6) & ~near & (power['infrared'] > power['visible'])

    def kept(name: str, source: str, where: np.ndarray) -> float:
        a, b = fine[name][where], fine[source][where]
        return float(100 * (a @ b) / (b @ b)) if where.any() else np.nan

    def warmth(name: str) -> float:
        return float(grey[name][people].mean() - grey[name][near & ~people].mean())

    rows = {}
    for name in ('average', 'maximum', 'weighted sum', 'fused'):
        picture = grey[name].ravel()
        rest = picture - sources @ np.linalg.lstsq(sources, picture, rcond=None)[0]
        rows[name] = (
            float(100 * rest.var() / picture.var()), kept(name, 'visible', textured), kept(name, 'infrared', hidden),
            100 * warmth(name) / warmth('infrared'),
        )  # fmt: skip
    return rows
