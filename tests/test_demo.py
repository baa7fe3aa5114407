"""The folder demo/: its programs run, its notebook runs, its pictures are those that its program renders."""

from __future__ import annotations

import json
import os
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from lurefusion.io.images import read_image, write_image

DEMO = Path(__file__).resolve().parents[1] / 'demo'


def run(program: str, *arguments: object) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [program, *map(str, arguments)])
        return runpy.run_path(str(DEMO / program))['main']()


def test_pictures_are_those_that_are_rendered(tmp_path: Path) -> None:
    assert run('make_pictures.py', tmp_path) == 0
    names = sorted(file.name for file in DEMO.glob('*.png'))
    assert names == sorted(file.name for file in tmp_path.iterdir())
    assert sum((DEMO / name).stat().st_size for name in names) < 400_000
    for name in names:
        ours, rendered = (read_image(folder / name)[0].astype(int) for folder in (DEMO, tmp_path))
        # libraries of other machines round a pixel here and there otherwise
        assert np.abs(ours - rendered).max() <= 2, name


def test_two_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = (DEMO / 'dark_visible.png', DEMO / 'dark_infrared.png')
    assert run('image_demo.py', *pair, tmp_path / 'told.png', '--prompt', 'vi=too dark', 'ir=lc') == 0
    assert re.findall(r'^(vi: ll|ir: lc) \(', capsys.readouterr().out, flags=re.MULTILINE) == ['vi: ll', 'ir: lc']
    assert run('image_demo.py', *pair, tmp_path / 'kept.png') == 0
    told, kept = (read_image(tmp_path / f'{name}.png')[0] for name in ('told', 'kept'))
    assert told.std() > kept.std() + 10, 'the prompts bring contrast back'
    assert run('image_demo.py', pair[0], tmp_path / 'none.png', tmp_path / 'out.png') == 1


def test_two_clips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ('visible', 'infrared'):
        picture = read_image(DEMO / f'day_{name}.png')[0][:64, :96]
        for number in range(2):
            write_image(tmp_path / name / f'{number}.png', np.roll(picture, number, 1))
    assert run('video_demo.py', tmp_path / 'visible', tmp_path / 'infrared', tmp_path / 'fused') == 0
    assert '2 frames fused' in capsys.readouterr().out
    assert len(list((tmp_path / 'fused').glob('*.png'))) == 2


def test_notebook(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    notebook = json.loads((DEMO / 'quickstart.ipynb').read_text(encoding='utf-8'))
    cells = [''.join(cell['source']) for cell in notebook['cells'] if cell['cell_type'] == 'code']
    assert not any(cell.get('outputs') for cell in notebook['cells']), 'outputs are not committed'
    monkeypatch.chdir(DEMO)
    namespace: dict[str, object] = {}
    for cell in cells:
        exec(compile(cell, 'quickstart.ipynb', 'exec'), namespace)
    said = capsys.readouterr().out
    assert "'vi': 'll'" in said
    assert 'PSNR ↑' in said
    assert namespace['fused'].shape == (256, 336, 3)
    os.remove(namespace['out'])
