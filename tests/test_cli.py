"""The command `lurefusion`, as typed."""

import cv2
import numpy as np
import pytest

from lurefusion.cli import main
from lurefusion.images import write_image

MODEL = ['--model', 'lurefusion::lure/lure_demo.py', '--weights', 'random']


@pytest.fixture
def pair(tmp_path):
    rng = np.random.default_rng(0)
    for stem in 'ab':
        write_image(tmp_path / f'vi/{stem}.png', rng.integers(0, 256, (24, 32, 3), np.uint8))
        write_image(tmp_path / f'ir/{stem}.png', rng.integers(0, 256, (24, 32), np.uint8))
    return tmp_path


def test_fuse_a_pair(pair, capsys):
    arguments = ['fuse', '--vi', str(pair / 'vi/a.png'), '--ir', str(pair / 'ir/a.png'), '--out', str(pair / 'f.png')]
    assert main([*arguments, *MODEL, '--prompt', 'the', 'visible', 'image', 'is', 'dark']) == 0
    assert cv2.imread(str(pair / 'f.png')).shape == (24, 32, 3)
    assert 'vi: ll' in capsys.readouterr().out


def test_fuse_folders_with_a_prompt_for_each(pair, capsys):
    arguments = ['fuse', '--vi', str(pair / 'vi'), '--source', f'ir={pair / "ir"}', '--out', str(pair / 'out'), *MODEL]
    assert main([*arguments, '--prompt', 'vi=hz', 'ir=it has low contrast']) == 0
    out = capsys.readouterr().out
    assert 'vi: hz' in out
    assert 'ir: lc' in out
    assert '2 fused' in out
    assert sorted(p.name for p in (pair / 'out').iterdir()) == ['a.png', 'b.png']
    (pair / 'vi/a.png').write_text('text')
    assert main(arguments) == 1
    assert '1 failed' in capsys.readouterr().out


def test_mistakes_end_in_one_line(pair, capsys):
    assert main(['fuse', '--vi', str(pair / 'vi'), '--ir', str(pair / 'ir/a.png'), '--out', 'x', *MODEL]) == 1
    assert main(['fuse', '--vi', str(pair / 'vi'), '--ir', str(pair / 'none'), '--out', 'x', *MODEL]) == 1
    one = ['fuse', '--vi', str(pair / 'vi/a.png'), '--ir', str(pair / 'ir/a.png'), '--out', str(pair / 'f.png'), *MODEL]
    assert main([*one, '--prompt', 'vii=hz']) == 1
    assert not (pair / 'f.png').exists()
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "'vii' is no modality. Did you mean 'vi'?" in line]
    assert [
        line for line in lines if line.startswith('error: give a picture of each modality or a folder of each')
    ]


def test_info_lists_configs_and_plugins(capsys):
    assert main(['info']) == 0
    out = capsys.readouterr().out
    for word in ('lurefusion::lure/stage1_ir_vi.py', 'TGA', 'DistilBERT', 'CrossAttentionFuser', 'LowLight'):
        assert word in out
