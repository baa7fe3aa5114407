"""Scores against scikit-learn, absent classes, tables, loss curves, strips."""

import json

import cv2
import numpy as np
import pytest

from lurefusion.downstream import scores as s

sklearn_metrics = pytest.importorskip('sklearn.metrics')


def test_iou_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 5, 4000)
    prediction = np.where(rng.random(4000) < 0.6, label, rng.integers(0, 5, 4000))
    found = s.scores(sklearn_metrics.confusion_matrix(label, prediction))
    expected = sklearn_metrics.jaccard_score(label, prediction, average=None)
    np.testing.assert_allclose(found['IoU'], 100 * expected, rtol=1e-12)
    assert found['mIoU'] == pytest.approx(100 * expected.mean())
    assert found['mIoU_all'] == pytest.approx(found['mIoU'])
    assert found['pixel_accuracy'] == pytest.approx(100 * sklearn_metrics.accuracy_score(label, prediction))


def test_absent_class_is_left_out_or_counts_zero():
    # class 2 has no label, but 10 pixels of class 1 are given to it
    found = s.scores([[50, 0, 0], [0, 40, 10], [0, 0, 0]])
    assert np.isnan(found['IoU'][2])
    np.testing.assert_allclose(found['IoU'][:2], [100, 80])
    assert found['mIoU'] == pytest.approx(90)
    assert found['mIoU_all'] == pytest.approx(60)


@pytest.mark.parametrize('wrong', [np.zeros((3, 3)), np.ones((2, 3)), np.ones(4)])
def test_no_confusion_matrix_is_refused(wrong):
    with pytest.raises(ValueError, match='expected a square matrix with counts'):
        s.scores(wrong)


def test_tables_show_spread_and_absence():
    matrices = [np.diag([9, 1, 0]) + np.array([[0, k, 0], [0, 0, 0], [0, 0, 0]]) for k in (0, 1)]
    row = s.score_table({'fused': matrices}, ('road', 'car', 'bump')).splitlines()[-1]
    assert row.startswith('| fused | 95.00 ± 7.07 | 75.00 ± 35.36 | absent | 85.00 ± 21.21 |')
    text = s.confusion_table(matrices[1], ('road', 'car', 'bump'))
    assert '| road | 90.0 | 10.0 | 0.0 | 10 |' in text
    assert '| bump | - | - | - | 0 |' in text


def write_scalars(folder, losses):
    file = folder / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    lines = [json.dumps(dict(step=step, loss=loss, lr=0.1)) for step, loss in losses.items()]
    file.write_text('\n'.join([*lines, json.dumps(dict(mIoU=1.0, step=3))]))


def test_loss_curve_of_a_resumed_run(tmp_path):
    with pytest.raises(FileNotFoundError, match='no loss was logged'):
        s.loss_curve(tmp_path)
    write_scalars(tmp_path / '20260101_000000', {1: 5.0, 2: 4.0, 3: 9.0, 4: 9.0})
    write_scalars(tmp_path / '20260101_000001', {3: 3.0, 4: 2.0})
    steps, losses = s.loss_curve(tmp_path)
    assert steps.tolist() == [1, 2, 3, 4]
    assert losses.tolist() == [5, 4, 3, 2]
    s.draw_losses({'a': [(steps, losses), (steps[1:], losses[1:])], 'b': [(steps, losses)]}, tmp_path / 'loss.png')
    assert cv2.imread(str(tmp_path / 'loss.png')).shape[2] == 3


def test_last_change_is_zero_for_a_flat_curve():
    steps = np.arange(1, 101)
    assert s.last_change(steps, np.full(100, 0.7)) == 0
    assert s.last_change(steps, np.where(steps > 75, 0.5, 1.0)) == pytest.approx(-0.5)


def test_strip_shows_labels_in_their_colours(tmp_path):
    cv2.imwrite(str(tmp_path / 'vi.png'), np.full((40, 60, 3), 200, np.uint8))
    cv2.imwrite(str(tmp_path / 'label.png'), np.full((40, 60), 1, np.uint8))
    s.draw_segmentation(
        tmp_path / 'strip.png',
        {'vi': tmp_path / 'vi.png'},
        {'label': tmp_path / 'label.png'},
        [(0, 0, 0), (64, 0, 128)],
    )
    strip = cv2.imread(str(tmp_path / 'strip.png'))[..., ::-1]
    assert strip.shape == (40 + 22, 120, 3)
    assert strip[40, 30].tolist() == [200, 200, 200]
    assert strip[40, 90].tolist() == [64, 0, 128]
    assert s.paint(np.array([[0, 255]]), [(1, 2, 3)]).tolist() == [[[1, 2, 3], [255, 255, 255]]]
