"""The grids are drawn, and their numbers tell a blend from a fusion."""

import numpy as np
import pytest

from lurefusion.datasets.scenes import Scene
from lurefusion.io.images import read_image
from lurefusion.studies import grids


@pytest.mark.parametrize('rows', ['degraded', 'difficult'])
def test_draw(rows, tmp_path, capsys):
    grids.draw('lure-tiny', str(tmp_path / 'grid.png'), rows=rows, size=(48, 64))
    assert read_image(tmp_path / 'grid.png')[0].shape == (4 * (48 + 22), 5 * 64, 3)
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if line.startswith('| ')]
    assert len(lines) == (2 + 4 * 4 if rows == 'difficult' else 0)
    if lines:
        assert all(line.count('|') == 6 for line in lines)
        assert any(line.startswith('| smoke: fused | ') for line in lines)
        assert '| hot_targets: average | 0.0 | ' in out


def test_weights_are_looked_for_where_training_leaves_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for config, folder in (
        ('lurefusion::lure/stage2_demo.py', 'work_dirs/stage2_demo'),
        ('lurefusion::lure/lure_demo.py', 'work_dirs/lure_demo/stage2_demo'),
    ):
        with pytest.raises(FileNotFoundError, match=f'{folder} does not exist: .*was not trained here'):
            grids.draw(config, 'grid.png')
        (tmp_path / folder).mkdir(parents=True)
        assert grids.trained_weights(config) == folder
    assert grids.trained_weights('lurefusion::baselines/average_ir_vi.py') is None


def test_numbers():
    """Texture in the visible picture, a hot person and, behind a veil, texture in the infrared one."""
    rng = np.random.default_rng(0)
    label, veil = np.zeros((60, 80), np.uint8), np.zeros((60, 80), np.float32)
    label[40:50, 10:14] = 2
    veil[:20] = 1
    visible, infrared = (np.full((60, 80), level, np.float64) for level in (90, 60))
    visible[20:] += rng.normal(0, 20, (40, 80))
    infrared[:20] += rng.normal(0, 20, (20, 80))
    infrared[label == 2] = 220
    visible, infrared = (np.clip(np.round(x), 0, 255).astype(np.uint8) for x in (visible, infrared))
    scene = Scene(np.repeat(visible[..., None], 3, 2), infrared, np.ones((60, 80), np.float32), label, 'day', veil)
    both = np.where((label == 2) | (veil > 0), infrared, visible)
    panels = {'visible': visible, 'infrared': infrared, 'average': (visible // 2 + infrared // 2),
              'maximum': np.maximum(visible, infrared)}  # fmt: skip

    def numbers(fused: np.ndarray) -> dict:
        shown = {name: np.repeat(p[..., None], 3, 2) for name, p in (panels | {'fused': fused}).items()}
        return {name: dict(zip(grids.COLUMNS, row, strict=True)) for name, row in grids.numbers(scene, shown).items()}

    best = numbers(both)['fused']
    assert best['no weighted sum, %'] > 20
    assert best['visible detail, %'] == pytest.approx(100, abs=2)
    assert best['infrared detail, %'] == pytest.approx(100, abs=8)  # the blur looks over the edge of the veil
    assert best['heat, %'] == pytest.approx(100 * (220 - 90) / (220 - 60), abs=3)

    quarter = numbers(np.round(0.25 * visible + 0.75 * infrared + 7).astype(np.uint8))
    for name in ('fused', 'weighted sum'):
        assert quarter[name]['no weighted sum, %'] == pytest.approx(0, abs=0.1)
        assert quarter[name]['visible detail, %'] == pytest.approx(25, abs=1)
        assert quarter[name]['infrared detail, %'] == pytest.approx(75, abs=1)
        assert quarter[name]['heat, %'] == pytest.approx(75, abs=3)
    assert quarter['average']['visible detail, %'] == pytest.approx(50, abs=1)
    assert quarter['maximum']['no weighted sum, %'] > 5
