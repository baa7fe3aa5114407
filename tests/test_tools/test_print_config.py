from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def main() -> Callable[[list[str]], int]:
    spec = importlib.util.spec_from_file_location('print_config', ROOT / 'tools' / 'print_config.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    base, child = tmp_path / 'base.py', tmp_path / 'child.py'
    base.write_text("model = dict(type='LURE', width=8, scales=[1, 2])\nauto_scale_lr = dict(base_batch_size=16)\n")
    child.write_text("_base_ = './base.py'\nmodel = dict(width=16, plan='linear')\n")
    return str(base), str(child)


def test_prints_what_loads_again(
    main: Callable, files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([files[1], '--cfg-options', 'model.scales=[4,8]', 'auto_scale_lr.base_batch_size=8']) == 0
    names: dict = {}
    exec(capsys.readouterr().out, names)
    assert names['model'] == dict(type='LURE', width=16, scales=[4, 8], plan='linear')
    assert (names['auto_scale_lr'], names['default_scope']) == (dict(base_batch_size=8), 'lurefusion')


def test_diff_prints_only_what_differs(
    main: Callable, files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['--diff', *files, '--cfg-options', 'model.scales.0=3']) == 0
    assert capsys.readouterr().out.splitlines() == [
        "model.plan: (absent) -> 'linear'",
        'model.scales: [1, 2] -> [3, 2]',
        'model.width: 8 -> 16',
    ]


def test_diff_of_the_same_is_empty(main: Callable, files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['--diff', files[0], files[0]]) == 0
    assert capsys.readouterr().out == ''


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['{base}', '--cfg-options', 'model.widthx=1'], "Did you mean 'model.width'?"),
        (['no_such.py'], "config 'no_such.py' does not exist"),
        (['{base}', '--cfg-options', 'lr'], "expected KEY=VALUE, got 'lr'"),
    ],
)
def test_mistakes_end_in_one_line(
    main: Callable, files: tuple[str, str], capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main([argument.replace('{base}', files[0]) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count('\n') == 1


def test_without_a_config_it_lists_all(
    main: Callable, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(main.__globals__, 'list_configs', lambda: ['lurefusion::a/b.py', 'lurefusion::a/c.py'])
    assert main([]) == 0
    assert capsys.readouterr().out.split() == ['lurefusion::a/b.py', 'lurefusion::a/c.py']


def test_a_config_beside_a_diff_is_refused(main: Callable, files: tuple[str, str]) -> None:
    with pytest.raises(SystemExit):
        main([files[0], '--diff', *files])


def test_diff_of_pipelines_is_stage_by_stage(main: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    configs = ROOT / 'configs'
    arguments = [str(configs / 'lure' / 'lure_ir_vi.py'), str(configs / 'ablation' / 'tga_to_gate.py')]
    assert main(['--diff', *arguments]) == 0
    key = "model.image_encoder.interaction.type: 'TGA' -> 'Gate'"
    assert capsys.readouterr().out.splitlines() == [f'stage1_ir_vi: {key}', f'stage2_ir_vi: {key}']
    assert main(['--diff', arguments[0], str(configs / 'ablation' / 'single_stage.py')]) == 0
    assert capsys.readouterr().out == 'joint: (absent) -> True\n'


def test_options_of_a_pipeline_are_those_of_its_stages(main: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['lurefusion::lure/lure_ir_vi.py', '--cfg-options', 'scale=tiny']) == 0
    out = capsys.readouterr().out
    assert out.count('# stage1_tiny_ir_vi') == out.count('# stage2_tiny_ir_vi') == 1
    assert 'max_iters' in out
