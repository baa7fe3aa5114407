"""The speed benchmarks run, and their numbers can be true."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / 'benchmarks'


@pytest.mark.parametrize('model', ['lure-tiny', 'lure-fast'])
def test_inference(tmp_path, model):
    command = [sys.executable, BENCHMARKS / 'inference.py', model, '--quick', '--json', tmp_path / 'speed.json']
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    title, _, head, _, *rows, _, slope = run.stdout.splitlines()
    assert title.startswith(f'{model}, ')
    assert float(slope.removeprefix('threads 1, torch, batch 1: time grows with pixels to the power of ')) < 2
    stored = json.loads((tmp_path / 'speed.json').read_text())
    assert len(rows) == len(stored) == 2
    for row, kept in zip(rows, stored, strict=True):
        cells = zip(
            (c.strip() for c in head.strip('|').split('|')), (c.strip() for c in row.strip('|').split('|')), strict=True
        )
        numbers = {name: float(cell) for name, cell in cells if name not in ('runner', 'PSNR to torch, dB')}
        assert numbers['threads'] == 1
        assert numbers['pair, s'] == round(kept['whole'], 3)
        assert 0 < numbers['pair, s'] <= numbers['slowest, s'] < 30
        assert numbers['one picture restored, s'] > 0
        shares = [numbers[f'{name}, %'] for name in ('encoders', 'fuser', 'decoder', 'rest')]
        assert sum(share > 0 for share in shares) == (4 if model == 'lure-tiny' else 1)
        assert abs(sum(shares) - 100) < 0.3
        assert 100 < numbers['peak memory, MB'] < 1500
        assert numbers['matrix product, GFLOP/s'] > 0
        # the same work for every pixel
        assert 0 < kept['share'] < 150
        done = kept['share'] * kept['rate'] * kept['whole'] / (kept['height'] * kept['width'])
        assert 0.8 < done / (stored[0]['share'] * stored[0]['rate'] * stored[0]['whole'] / (48 * 64)) < 1.25


def test_startup():
    run = subprocess.run(
        [sys.executable, BENCHMARKS / 'startup.py', '--repeat', '1'], capture_output=True, text=True, check=True
    )
    rows = [[cell.strip().strip('`') for cell in line.strip('|').split('|')] for line in run.stdout.splitlines()[2:]]
    seconds = {name: float(cpu) for name, cpu, _ in rows}
    assert 0 < seconds['python -c pass'] < seconds['import torch'] < seconds["FusionInferencer('lure-tiny')"] < 60
    for command in ('lurefusion --help', *(f'lurefusion {name} --help' for name in ('fuse', 'eval', 'train', 'test'))):
        assert seconds[command] < seconds['import torch'] / 3


@pytest.mark.parametrize(
    ('words', 'pattern'),
    [
        (
            ('folder.py', 'lure-fast', '--pairs', '6', '--size', '32', '48'),
            r'lure-fast, 6 pairs of 48x32, batches of 1: (\S+) ms a pair, the network (\S+) ms: ',
        ),
        (
            ('video.py', 'lure-fast', '--frames', '6', '--size', '32', '48'),
            r'lure-fast, 6 frames of 48x32: (\S+) ms of CPU a frame \(decoding \S+, network (\S+), encoding \S+, rest',
        ),
    ],
)
def test_what_folders_and_clips_cost_beside_the_network(words, pattern):
    if words[0] == 'video.py':
        pytest.importorskip('av')
    run = subprocess.run(
        [sys.executable, BENCHMARKS / words[0], *words[1:]], capture_output=True, text=True, check=True
    )
    [found] = [match for line in run.stdout.splitlines() if (match := re.match(pattern, line))]
    # of six small pairs the share of the network is not exact
    assert 0 < float(found[2]) < 2 * float(found[1])


def test_whole_and_tiled():
    command = [sys.executable, BENCHMARKS / 'tiling.py', 'lure-fast', '--size', '48', '64']
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in run.stdout.splitlines() if '|' in line]
    assert {row[0] for row in rows[2:]} >= {'ll', 'hz', 'lc', 'sr', 'pd'}
    # small enough for one tile
    assert all(row[1:] == ['120.0', '0.00', '0.00', 'yes'] for row in rows[2:])
