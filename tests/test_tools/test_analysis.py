"""Counts against a hand-worked network; strips of what a training sees; launch scripts that say what they need."""

import importlib.util
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from lurefusion.io.images import read_image

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


def tool(name: str):
    spec = importlib.util.spec_from_file_location(Path(name).stem, TOOLS / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_operations_of_the_decoders_last_convolution_are_those_of_the_formula(small):
    get_flops = tool('analysis_tools/get_flops.py')
    rows = {side: get_flops.count(str(small / 'small_stage2.py'), (side, side)) for side in (16, 32)}
    network = get_flops.init_model(str(small / 'small_stage2.py'), 'random')
    assert rows[16]['model'][0] == sum(p.numel() for p in network.parameters())
    assert sum(size for size, _ in list(rows[16].values())[1:]) == rows[16]['model'][0]
    # every part is linear in the pixels but for products of weights with attention
    for name in ('decoder', 'image_encoder', 'fuser'):
        assert rows[32][name][1] == pytest.approx(4 * rows[16][name][1], rel=0.1)
    with torch.no_grad(), torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        network.decoder.end(torch.zeros(1, 4, 16, 16))
    assert counter.get_total_flops() / 2 == 16 * 16 * 9 * 4 * 3
    assert 0 < counter.get_total_flops() / 2e9 < rows[16]['decoder'][1]
    with pytest.raises(ValueError, match='at least 8'):
        get_flops.count('lure-tiny', (4, 640))


def test_strips_show_what_the_training_sees(small, tmp_path):
    browse = tool('misc/browse_dataset.py').browse
    browse(str(small / 'small.py'), str(tmp_path / 'a'), number=3)
    names = sorted(path.name for path in (tmp_path / 'a').iterdir())
    assert len(names) == 6
    assert [name.split('_')[1] for name in names] == ['stage1'] * 3 + ['stage2'] * 3
    strip = read_image(tmp_path / 'a' / names[0])[0]
    assert strip.shape == (32 + 22, 2 * 32, 3)
    # degraded beside clean
    assert not np.array_equal(strip[22:, :32], strip[22:, 32:])
    browse(str(small / 'small.py'), str(tmp_path / 'b'), number=3)
    for name in names:
        assert (tmp_path / 'a' / name).read_bytes() == (tmp_path / 'b' / name).read_bytes()


def test_bad_files_of_a_config_and_of_folders_are_listed(tmp_path, capsys):
    verify = tool('misc/verify_dataset.py').verify
    for role in ('vi', 'ir'):
        (tmp_path / role).mkdir()
        (tmp_path / role / 'a.png').write_bytes(b'no picture')
    assert verify([f'{role}={tmp_path / role}' for role in ('vi', 'ir')]) == 1
    assert capsys.readouterr().out.count('is not a readable image') == 2
    with pytest.raises(FileNotFoundError, match='no such folder'):
        verify([f'vi={tmp_path / "gone"}'])
    with pytest.raises(ValueError, match='give one config'):
        verify(['vi', 'ir'])


@pytest.mark.parametrize('name', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh'])
def test_launch_scripts_say_what_they_need(name):
    run = subprocess.run([TOOLS / name], capture_output=True, text=True)
    assert run.returncode != 0
    assert f'usage: {name}' in run.stderr
