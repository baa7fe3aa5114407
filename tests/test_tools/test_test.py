"""Evaluation from the command's function: tables, pictures, missing sets and weights."""

import json
import sys
from pathlib import Path

import cv2
import pytest

from lurefusion.engine.pipeline import train
from lurefusion.engine.test import test as run_test


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


def test_a_second_test_leaves_no_picture_of_the_first(small):
    train(small / 'small.py')
    run_test(small / 'small.py')
    stale = Path('work_dirs/small/test/fused/clean/scene_00050.png')
    assert stale.is_file()
    run_test(small / 'small.py', options={'test_dataloader.0.dataset.first': 60})
    assert [path.name for path in stale.parent.iterdir()] == ['scene_00060.png']
    assert (Path('work_dirs/small/test/earlier/001/fused/clean') / stale.name).is_file()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ('test_dataloader = test_dataloader[:1]', 'test_dataloader is a list of 1 and test_evaluator is a list of 3'),
        ('test_evaluator = test_evaluator[:2]', 'test_dataloader is a list of 3 and test_evaluator is a list of 2'),
        ('test_evaluator = None', 'test_dataloader is a list of 3 and test_evaluator is a NoneType'),
        (
            'test_dataloader = dict(_delete_=True, **held_out)',
            'test_dataloader is a ConfigDict and test_evaluator is a list of 3',
        ),
        ("test_dataloader[1]['name'] = 'clean'", 'two sets of test_dataloader have one name: clean, clean, gone'),
    ],
)
def test_loaders_and_evaluators_that_do_not_fit_are_named(small, change, message):
    with open(small / 'small_stage2.py', 'a') as file:
        file.write(change + '\n')
    with pytest.raises(ValueError, match=rf'small_stage2\.py: .*{message}'):
        run_test(small / 'small.py')


def test_no_weights_and_no_data_are_named(small):
    with pytest.raises(FileNotFoundError, match='small_stage2'):
        run_test(small / 'small.py')
    with pytest.raises(FileNotFoundError, match='not one test set'):
        run_test('lurefusion::lure/stage2_ir_vi.py', 'anything')


def test_the_weights_that_are_named_are_measured(small):
    best, other = train(small / 'small.py', work_dir='a'), train(small / 'small.py', work_dir='b', seed=5)
    expected = run_test(small / 'small.py', best, work_dir='c')
    with open(small / 'small_stage2.py', 'a') as file:
        file.write(f'load_from = {str(other)!r}\n')
    assert run_test(small / 'small.py', best, work_dir='d') == expected


def test_hooks_of_ones_own_are_called(small, capsys):
    weights = train(small / 'small.py')
    (small / 'my_hook.py').write_text(
        'from mmengine.hooks import Hook\nfrom lurefusion.registry import HOOKS\n\n\n'
        '@HOOKS.register_module()\nclass MyHook(Hook):\n'
        '    def after_test(self, runner):\n        print("my hook was here")\n'
    )
    with open(small / 'small_stage2.py', 'a') as file:
        file.write("custom_imports = dict(imports=['my_hook'])\n")
        hooks = "dict(type='lurefusion.StripHook'), dict(type='EarlyStoppingHook', monitor='x'), dict(type='MyHook')"
        file.write(f'custom_hooks = [{hooks}]\n')
    sys.path.insert(0, str(small))
    try:
        run_test(small / 'small.py', weights, work_dir='own')
    finally:
        sys.path.remove(str(small))
    assert 'my hook was here' in capsys.readouterr().out
    assert list(Path('own/strips').rglob('*.png'))
