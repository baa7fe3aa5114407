import math

import numpy as np
import pytest
from scipy.stats import bootstrap, rankdata

from lurefusion.evaluation.metrics import mean_columns
from lurefusion.evaluation.report import (
    bootstrap_interval,
    busiest_box,
    comparison_grid,
    describe_metrics,
    finite_mean,
    format_intervals,
    format_table,
    mean_ranks,
    summarise,
)

MEANS = {
    'ours': {'CC': 0.61, 'PSNR': 17.321, 'Qcv': 200.0},
    'Max': {'CC': 0.61, 'PSNR': 15.0, 'Qcv': 150.0},
    'a_b': {'CC': 0.70, 'PSNR': math.nan, 'Qcv': 400.0},
}


def test_bootstrap_agrees_with_scipy_and_is_seeded():
    values = np.random.default_rng(0).normal(5, 2, 40)
    low, high = bootstrap_interval(values, draws=8000)
    other = bootstrap((values,), np.mean, method='percentile', rng=np.random.default_rng(1)).confidence_interval
    assert (low, high) == pytest.approx(tuple(other), abs=0.1)
    assert bootstrap_interval(values) == bootstrap_interval(values) != bootstrap_interval(values, seed=1)
    assert bootstrap_interval([3.0]) == (3, 3)
    with pytest.raises(ValueError, match='level must lie in'):
        bootstrap_interval(values, level=95)


def test_summary_by_hand():
    rows = [{'CC': 1.0}, {'CC': 3.0}, {'CC': math.nan}]
    s = summarise(rows, ['CC'])['CC']
    assert (s.mean, s.n) == (2, 2)
    assert s.std == pytest.approx(math.sqrt(2))
    assert s.low <= 2 <= s.high


@pytest.mark.parametrize(
    ('values', 'mean', 'n'),
    [
        ([30.0, math.inf], 30, 1), ([math.inf, math.inf], math.inf, 0), ([math.nan, math.inf, 20.0, 40.0], 30, 2),
        ([math.nan], math.nan, 0), ([-math.inf, math.inf], math.nan, 0), ([], math.nan, 0), ([1.0, 2.0, 6.0], 3, 3),
    ],
)  # fmt: skip
def test_one_mean_for_reports_and_evaluators(values, mean, n):
    rows = [{'PSNR': value} for value in values] + [{}]
    both = summarise(rows, ['PSNR'])['PSNR'], mean_columns(rows, ['PSNR'])['PSNR'], finite_mean(values)
    assert [both[0].mean, *both[1:]] == pytest.approx([mean] * 3, nan_ok=True)
    assert both[0].n == n


def test_mean_ranks_share_ties_and_know_directions():
    got = mean_ranks(MEANS, ['CC', 'Qcv'])
    expected = (rankdata([-0.61, -0.61, -0.70]) + rankdata([200, 150, 400])) / 2
    assert list(got.values()) == pytest.approx(list(expected))
    assert math.isnan(mean_ranks(MEANS, ['PSNR'])['a_b'])
    nearly = {'x': {'CC': 0.61001}, 'y': {'CC': 0.61004}}
    assert mean_ranks(nearly, ['CC']) == {'x': 2, 'y': 1}
    assert mean_ranks(nearly, ['CC'], rounded=True) == {'x': 1.5, 'y': 1.5}


def test_markdown_marks_best_and_second():
    text = format_table(MEANS, ['CC', 'PSNR', 'Qcv'], ranks={'ours': 1.5, 'Max': 1.5, 'a_b': 3.0})
    assert text.splitlines() == [
        '| method | CC | PSNR | Qcv ↓ | mean rank |',
        '| --- | ---: | ---: | ---: | ---: |',
        '| ours | <u>0.610</u> | **17.32** | <u>200.0</u> | **1.50** |',
        '| Max | <u>0.610</u> | <u>15.00</u> | **150.0** | **1.50** |',
        '| a_b | **0.700** | - | 400.0 | <u>3.00</u> |',
    ]


def test_text_is_aligned():
    text = format_table(MEANS, ['CC', 'Qcv'], 'text', mark=False)
    assert text.splitlines() == [
        '| method |    CC | Qcv ↓ |',
        '| ------ | ----: | ----: |',
        '| ours   | 0.610 | 200.0 |',
        '| Max    | 0.610 | 150.0 |',
        '| a_b    | 0.700 | 400.0 |',
    ]


@pytest.mark.parametrize('column', ['mIoU', 'time', 'whatever'])
def test_a_column_of_no_known_direction_is_not_marked(column):
    means = {'a': {column: 1.0}, 'b': {column: 2.0}, 'c': {column: 3.0}}
    for style in ('markdown', 'latex'):
        assert not any(mark in format_table(means, [column], style) for mark in ('**', '<u>', 'textbf', 'underline'))
    assert '| b | <u>2.00</u> |' in format_table(means, [column], higher_is_better=True)
    assert '| a | **1.00** |' in format_table(means, [column], higher_is_better=False)


@pytest.mark.parametrize(
    ('column', 'best'),
    [('PSNR_out', 'b'), ('ll/SSIM_in', 'b'), ('MSRS/CC', 'b'), ('LC/NIQE', 'a'), ('Qcv', 'a'), ('MUSIQ', 'b'),
     ('MSRS/PSNR_paper', 'b')],
)  # fmt: skip
def test_the_card_tells_the_direction(column, best):
    lines = format_table({'a': {column: 0.1}, 'b': {column: 0.9}}, [column], higher_is_better=best == 'a').splitlines()
    assert [line.startswith(f'| {best} ') for line in lines if '**' in line] == [True]


def test_latex_is_escaped_and_shows_the_spread():
    text = format_table(MEANS, ['CC', 'Qcv'], 'latex', spread={'ours': {'CC': 0.05}})
    assert r'\underline{0.610 $\pm$ 0.050}' in text
    assert r'a\_b & \textbf{0.700} & 400.0 \\' in text
    assert r'Qcv $\downarrow$' in text
    assert text.count('&') == 2 * 4


def test_csv_and_text_cells():
    means = {'ours': {'CC': 0.5, 'MUSIQ': 'not available: put x into y'}}
    assert format_table(means, ['CC', 'MUSIQ'], 'csv') == 'method,CC,MUSIQ\nours,0.500,not available: put x into y\n'
    assert '**' not in format_table(means, ['CC', 'MUSIQ'])
    with pytest.raises(ValueError, match='style must be one of'):
        format_table(means, ['CC'], 'html')


def test_intervals_and_descriptions():
    rows = [{'CC': v} for v in (0.1, 0.2, 0.3)]
    text = format_intervals({'m': summarise(rows, ['CC'])}, ['CC'], 0.95)
    assert '| m | CC | 3 | 0.200 | 0.100 |' in text
    assert '95% interval' in text
    assert 'paper variant' in describe_metrics(['PSNR'])


def test_grid_shows_every_picture_and_its_inset():
    red = np.zeros((60, 80, 3), np.uint8)
    red[..., 0] = 200
    spot = red.copy()
    spot[40:46, 10:16] = 255
    scenes = [{'vi': red, 'ours': spot}] * 2
    x, y, w, h = busiest_box([red, spot])
    assert x <= 10
    assert x + w >= 16
    assert y <= 40
    assert y + h >= 46
    grid = comparison_grid(scenes, cell_width=160)
    assert grid.shape == (28 + 2 * 120, 320, 3)
    assert grid.dtype == np.uint8
    # the enlarged spot, 24 pixels wide, is at the lower right of the second column, clear of the spot itself
    assert (grid[28 + 60 : 28 + 120, 240:320] > 250).all(-1).sum() > 300
    assert not (grid[28 + 60 : 28 + 120, 80:160] > 250).all(-1).any()
    with pytest.raises(ValueError, match='leaves the picture of 80x60'):
        comparison_grid(scenes, [(70, 0, 20, 20)] * 2)
    with pytest.raises(ValueError, match='same titles'):
        comparison_grid([{'vi': red}, {'ir': red}])


def test_of_chroma_the_nearest_to_all_of_it_is_best():
    means = dict(a=dict(Chroma=180.0), b=dict(Chroma=97.0), c=dict(Chroma=104.0))
    text = format_table(means, ['Chroma'])
    assert '**97.0**' in text
    assert '<u>104.0</u>' in text
    assert '| 180.0 |' in text


def test_very_flat_pictures_have_a_grid():
    pictures = {name: np.full((2, 900, 3), 90, np.uint8) for name in ('a', 'b')}
    assert comparison_grid([pictures]).shape[1] == 640


def test_signs_of_latex_are_escaped():
    text = format_table(dict(**{'a^b~c': dict(CC=0.5)}), ['CC'], 'latex')
    assert r'a\textasciicircum{}b\textasciitilde{}c' in text
