"""The speed benchmarks run, and their numbers can be true."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1] / 'benchmarks'


def test_inference():
    command = [sys.executable, BENCHMARKS / 'inference.py', '--size', '48', '64', '--threads', '1', '--repeat', '2']
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    title, _, head, _, row = run.stdout.splitlines()
    assert title.startswith('lure-tiny, ')
    assert '64x48' in title
    numbers = dict(
        zip((c.strip() for c in head.strip('|').split('|')), map(float, row.strip('|').split('|')), strict=True)
    )
    assert numbers['threads'] == 1
    assert 0 < numbers['pair, s'] <= numbers['slowest, s'] < 30
    assert numbers['one picture restored, s'] > 0
    shares = [numbers[f'{name}, %'] for name in ('encoders', 'fuser', 'decoder', 'rest')]
    assert all(share > 0 for share in shares)
    assert abs(sum(shares) - 100) < 0.3
    assert 100 < numbers['peak memory, MB'] < 1500


def test_startup():
    run = subprocess.run(
        [sys.executable, BENCHMARKS / 'startup.py', '--repeat', '1'], capture_output=True, text=True, check=True
    )
    rows = [[cell.strip().strip('`') for cell in line.strip('|').split('|')] for line in run.stdout.splitlines()[2:]]
    seconds = {name: float(cpu) for name, cpu, _ in rows}
    assert 0 < seconds['python -c pass'] < seconds['import torch'] < seconds["FusionInferencer('lure-tiny')"] < 60
    for command in ('lurefusion --help', *(f'lurefusion {name} --help' for name in ('fuse', 'eval', 'train', 'test'))):
        assert seconds[command] < seconds['import torch'] / 3
