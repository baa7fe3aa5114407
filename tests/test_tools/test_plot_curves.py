"""Curves of a real run and of one that was resumed."""

import json

import numpy as np
import pytest

from lurefusion.engine.pipeline import train
from lurefusion.io.images import read_image
from lurefusion.studies import curves


def test_curves_of_a_run(small, tmp_path):
    run = train(small / 'small_stage1.py', options={'train_cfg.max_iters': 3}).parent
    losses, metrics = curves.read_run(run)
    np.testing.assert_array_equal(losses['loss'][0], [1, 2, 3])
    parts = [values for name, (_, values) in losses.items() if name != 'loss']
    np.testing.assert_allclose(np.sum(parts, axis=0), losses['loss'][1], rtol=1e-4)
    assert {name: list(steps) for name, (steps, _) in metrics.items()} == {
        name: [3] for name in ('ll/PSNR_out', 'll/SSIM_out', 'PSNR_out', 'SSIM_out')
    }
    curves.plot([run], str(tmp_path / 'curves.png'))
    assert read_image(tmp_path / 'curves.png')[0].shape == (256, 880, 3)
    # two seeds have stages of one name
    curves.plot([run, run], str(tmp_path / 'two.png'))
    assert read_image(tmp_path / 'two.png')[0].shape == (512, 880, 3)


def test_a_resumed_run_replaces_what_it_repeats(tmp_path):
    for name, steps, value in (('1', (1, 2, 3, 4), 5.0), ('2', (3, 4, 5), 7.0)):
        log = tmp_path / name / 'vis_data' / 'scalars.json'
        log.parent.mkdir(parents=True)
        rows = [{'loss': value, 'loss_task': value, 'lr': 1.0, 'gap': 0.1, 'iter': s, 'step': s} for s in steps]
        rows.append({'ll/PSNR': value, 'time': 1.0, 'step': steps[-1]})
        log.write_text('\n'.join(map(json.dumps, rows)) + '\n')
    losses, metrics = curves.read_run(tmp_path)
    assert set(losses) == {'loss', 'task'}
    np.testing.assert_array_equal(losses['loss'], [[1, 2, 3, 4, 5], [5, 5, 7, 7, 7]])
    np.testing.assert_array_equal(metrics['ll/PSNR'], [[5], [7]])
    np.testing.assert_allclose(curves.smoothed(np.array([1.0, 3, 5, 7]), 2), [1, 2, 4, 6])
    with pytest.raises(FileNotFoundError, match='no log'):
        curves.read_run(tmp_path / '1')


def test_losses_below_zero_and_gaps_are_drawn():
    values = curves.smoothed(np.array([1.0, np.nan, 3.0, 5.0]), 2)
    np.testing.assert_allclose(values, [1.0, 1.0, 3.0, 4.0])
    assert np.isnan(curves.smoothed(np.array([np.nan, 1.0]), 1)[0])
