from pathlib import Path

import numpy as np
import pytest
import torch

from lurefusion.io.images import read_image
from lurefusion.registry import VISUALIZERS
from lurefusion.structures import FusionDataSample
from lurefusion.visualization import CAPTION_HEIGHT, FusionVisualizer, draw_strip

SHADES = dict(vi=0.2, ir=0.4, result=0.6, clean=0.8)


def flat(shade: float) -> torch.Tensor:
    return torch.full((3, 30, 50), shade)


@pytest.fixture
def sample() -> FusionDataSample:
    sample = FusionDataSample(metainfo=dict(name='drive/0001'))
    sample.set_data(
        dict(
            sources=dict(vi=flat(SHADES['vi']), ir=flat(SHADES['ir'])),
            pred=flat(SHADES['result']).requires_grad_(),
            references=dict(vi=flat(SHADES['clean'])),
        )
    )
    return sample


def columns(strip: np.ndarray) -> list[int]:
    """Grey level of each 50 pixels wide panel."""
    pictures = strip[CAPTION_HEIGHT:]
    panels = [pictures[:, left : left + 50] for left in range(0, strip.shape[1], 50)]
    assert all((panel == panel[0, 0]).all() for panel in panels)
    return [int(panel[0, 0, 0]) for panel in panels]


def test_strip_geometry_and_colours():
    left, right = torch.rand(3, 16, 24), torch.rand(3, 16, 40)
    strip = draw_strip([('left', left), ('right', right)])
    assert strip.shape == (16 + CAPTION_HEIGHT, 64, 3)
    assert strip.dtype == np.uint8
    expected = torch.cat([left, right], dim=2).mul(255).round().byte().permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(strip[CAPTION_HEIGHT:], expected)
    for bar in (strip[:CAPTION_HEIGHT, :24], strip[:CAPTION_HEIGHT, 24:]):
        assert bar.max() == 255
        assert bar.min() < 128


def test_values_outside_the_range_are_clipped():
    strip = draw_strip([('a', torch.tensor([-1.0, 0.5, 2.0]).reshape(3, 1, 1).expand(3, 8, 8))])
    np.testing.assert_array_equal(strip[CAPTION_HEIGHT + 4, 4], [0, 128, 255])


@pytest.mark.parametrize(
    ('kwargs', 'shown'),
    [
        ({}, ['vi', 'ir', 'result', 'clean']),
        (dict(draw_gt=False), ['vi', 'ir', 'result']),
        (dict(draw_pred=False), ['vi', 'ir', 'clean']),
    ],
)
def test_panels_of_a_sample(tmp_path, sample, kwargs, shown):
    out = tmp_path / 'strips' / 'a.png'
    FusionVisualizer(name=f'panels_{"_".join(shown)}').add_datasample('a', None, sample, out_file=str(out), **kwargs)
    assert columns(read_image(out)[0]) == [round(255 * SHADES[name]) for name in shown]


def test_local_back_end_stores_names_with_slashes(tmp_path, sample):
    visualizer = VISUALIZERS.build(
        dict(
            type='FusionVisualizer',
            name='local_back_end',
            vis_backends=[dict(type='LocalVisBackend')],
            save_dir=str(tmp_path),
        )
    )
    visualizer.add_datasample('val/ll_drive/0001', None, sample, step=7)
    strip = draw_strip([('x', flat(0.5))])
    visualizer.add_image('plain', strip, 3)
    visualizer.close()
    stored = {path.name: path for path in Path(tmp_path).rglob('*.png')}
    assert set(stored) == {'val_ll_drive_0001_7.png', 'plain_3.png'}
    assert len(columns(read_image(stored['val_ll_drive_0001_7.png'])[0])) == 4
    np.testing.assert_array_equal(read_image(stored['plain_3.png'])[0], strip)
