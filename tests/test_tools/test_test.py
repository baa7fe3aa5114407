"""Evaluation from the command's function: tables, pictures, missing sets and weights."""

import json
from pathlib import Path

import cv2
import pytest

from lurefusion.engine.stages import test as run_test
from lurefusion.engine.stages import train


def test_pipeline_is_tested_on_every_set_that_is_there(small, capsys):
    train(small / 'small.py')
    results = run_test(small / 'small.py')
    assert set(results) >= {'clean/CC', 'clean/PSNR', 'LL/CC', 'LL/PSNR'}
    assert not any(key.startswith('gone/') for key in results)
    assert 'left out test set gone' in capsys.readouterr().out
    out = Path('work_dirs/small/test')
    assert json.loads((out / 'metrics.json').read_text())['clean/CC'] == pytest.approx(results['clean/CC'])
    assert '| clean |' in (out / 'report.md').read_text()
    assert cv2.imread(str(out / 'fused/LL/scene_00050.png')).shape == (64, 64, 3)
    # degraded sets show sources, result and the clean reference
    assert cv2.imread(str(out / 'strips/clean/scene_00050.png')).shape == (64 + 22, 3 * 64, 3)
    assert cv2.imread(str(out / 'strips/LL/scene_00050.png')).shape == (64 + 22, 4 * 64, 3)


def test_weights_by_path_are_loaded_strictly(small, tmp_path):
    path = train(small / 'small.py')
    by_path = run_test(small / 'small.py', path, work_dir='a')
    assert by_path == run_test(small / 'small.py', work_dir='b')
    with pytest.raises(ValueError, match='First wrong keys'):
        run_test(small / 'small.py', path, options={'model.fuser.K_f': (2, 2)})
    text = tmp_path / 'weights.pth'
    text.write_text('no checkpoint')
    with pytest.raises(ValueError, match='not a checkpoint that can be read safely'):
        run_test(small / 'small.py', text)


def test_no_weights_and_no_data_are_named(small):
    with pytest.raises(FileNotFoundError, match='small_stage2'):
        run_test(small / 'small.py')
    with pytest.raises(FileNotFoundError, match='not one test set'):
        run_test('lurefusion::lure/stage2_ir_vi.py', 'anything')
