from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from lurefusion.config import (
    ABSENT,
    RUNNER_KEYS,
    apply_options,
    at_data_root,
    check_options,
    config_root,
    diff_configs,
    find_config,
    is_inherited,
    known_options,
    list_configs,
    load_config,
    parse_options,
    resolve_data_root,
)

CONTENT = """
model = dict(type='LURE', decoder=dict(type='UDecoder', width=8, scales=(1, 2, 4)), losses=dict(recon=dict(weight=1.0)))
train_dataloader = dict(batch_size=2, dataset=dict(datasets=[dict(name='a', size=64), dict(name='b', size=96)]))
optim_wrapper = dict(clip_grad=None, optimizer=dict(type='AdamW', betas=[0.9, 0.99]))
"""


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for the shipped configs, so that the tests say nothing about the real ones."""
    root = tmp_path / 'shipped'
    for name, text in {
        '_base_/default_runtime.py': "default_scope = 'lurefusion'\nrandomness = dict(seed=0)\n",
        'lure/stage1_ir_vi.py': f"_base_ = '../_base_/default_runtime.py'\n{CONTENT}",
        'lure/stage2_ir_vi.py': "_base_ = './stage1_ir_vi.py'\nmodel = dict(decoder=dict(width=16))\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for module in ('files', 'reading'):
        monkeypatch.setattr(f'lurefusion.config.{module}.config_root', lambda: root)
    return root


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / 'plain.py'
    file.write_text(CONTENT)
    return file


@pytest.fixture
def cfg(file: Path) -> Config:
    return load_config(file)


@pytest.fixture
def clean_imports() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith(('cfg_plugin', 'projects')):
            del sys.modules[name]


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


# Names and bases


def test_list_configs_without_bases(shipped: Path) -> None:
    assert list_configs() == ['lurefusion::lure/stage1_ir_vi.py', 'lurefusion::lure/stage2_ir_vi.py']


@pytest.mark.parametrize('name', ['lurefusion::lure/stage2_ir_vi.py', 'lurefusion::lure/stage2_ir_vi'])
def test_shipped_config_by_name_from_any_folder(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    cfg = load_config(name)
    assert Path(cfg.filename) == shipped / 'lure/stage2_ir_vi.py'
    assert cfg.model.decoder == dict(type='UDecoder', width=16, scales=(1, 2, 4))
    assert cfg.randomness.seed == 0


def test_shipped_base_in_a_config_elsewhere(shipped: Path, tmp_path: Path) -> None:
    file = write(
        tmp_path / 'mine/deep/own.py',
        "_base_ = ['lurefusion::lure/stage2_ir_vi.py']\nmodel = dict(decoder=dict(width=4))",
    )
    cfg = load_config(file)
    assert cfg.model.decoder.width == 4
    assert cfg.model.type == 'LURE'
    assert '_scope_' not in str(cfg.to_dict())


def test_base_variable_of_a_shipped_base(shipped: Path, tmp_path: Path) -> None:
    file = write(
        tmp_path / 'own.py',
        "_base_ = 'lurefusion::lure/stage1_ir_vi.py'\nwidth = _base_.model.decoder.width * 2\nsame = {{_base_.model}}\n"
        'env_cfg = dict(dist_cfg=dict(width=width, same=same))',
    )
    cfg = load_config(file)
    assert cfg.env_cfg.dist_cfg.width == 16
    assert cfg.env_cfg.dist_cfg.same == cfg.model
    # helpers have done their work
    assert not {'width', 'same'} & set(cfg)


def test_base_of_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_imports: None) -> None:
    write(tmp_path / 'site/cfg_plugin_box/__init__.py', '')
    write(tmp_path / 'site/cfg_plugin_box/.mim/configs/_base_/net.py', "model = dict(type='Net', depth=2)")
    monkeypatch.syspath_prepend(str(tmp_path / 'site'))
    cfg = load_config(write(tmp_path / 'own.py', "_base_ = 'cfg_plugin_box::_base_/net.py'\nmodel = dict(depth=3)"))
    assert cfg.model == dict(type='Net', depth=3, _scope_='cfg_plugin_box')


def test_base_of_mmsegmentation(tmp_path: Path) -> None:
    if find_spec('mmseg') is None:
        pytest.skip('mmsegmentation is not installed')
    file = write(tmp_path / 'seg.py', "_base_ = 'mmseg::_base_/models/segformer_mit-b0.py'\n")
    assert load_config(file).model.backbone.type == 'MixVisionTransformer'


def test_mmengine_is_left_as_it_was(file: Path, tmp_path: Path) -> None:
    before = Config.__dict__['_get_cfg_path'].__func__
    load_config(file)
    with pytest.raises(ModuleNotFoundError, match="the package 'no_such_box' is not installed"):
        load_config(write(tmp_path / 'own.py', "_base_ = 'no_such_box::a/b.py'"))
    assert Config.__dict__['_get_cfg_path'].__func__ is before


def test_pkg_resources_is_not_needed(tmp_path: Path, shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'pkg_resources', None)
    own = load_config(write(tmp_path / 'own.py', "_base_ = 'lurefusion::lure/stage1_ir_vi.py'"))
    assert own.model.type == 'LURE'


def test_the_checkout_or_the_wheel_has_configs() -> None:
    assert (config_root() / '_base_').is_dir()


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('lurefusion::lure/stage1_ir_iv.py', "_iv.py' does not exist .*mean 'lurefusion::lure/stage1_ir_vi.py'"),
        ('configs/lure/stage1_ir_vi.py', "does not exist .*Did you mean 'lurefusion::lure/stage1_ir_vi.py'"),
        # what all names end in is no likeness
        ('nope.py', "`lurefusion info` lists the"),
        ('stage2_ir_v.py', "Did you mean 'lurefusion::lure/stage2_ir_vi.py'"),
        ('qqqq', "`lurefusion info` lists the"),
    ],
)  # fmt: skip
def test_unknown_file_names_the_nearest(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=message):
        load_config(name)


def test_unknown_shipped_base_names_the_nearest(shipped: Path, tmp_path: Path) -> None:
    file = write(tmp_path / 'own.py', "_base_ = 'lurefusion::lure/stage3_ir_vi.py'")
    with pytest.raises(FileNotFoundError, match=r"Did you mean 'lurefusion::lure/stage._ir_vi.py'"):
        load_config(file)


def test_what_is_no_config(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'a config is a Python file \(.py\), got .*x.yaml'):
        load_config(write(tmp_path / 'x.yaml', 'a: 1'))
    with pytest.raises(FileNotFoundError, match=r'does not exist as a file: it is a folder; name one of mine\.py'):
        load_config(write(tmp_path / 'folder/mine.py', '').parent)
    with pytest.raises(ValueError, match=r'package::folder/file\.py'):
        find_config('lurefusion::')


# Scope and data root


def test_default_scope(cfg: Config, tmp_path: Path) -> None:
    assert cfg.default_scope == 'lurefusion'
    assert load_config(write(tmp_path / 'seg.py', "default_scope = 'mmseg'")).default_scope == 'mmseg'
    assert 'work_dir' not in cfg


def test_data_root(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('LUREFUSION_DATA', raising=False)
    monkeypatch.chdir(tmp_path)
    assert resolve_data_root('MSRS') == tmp_path / 'data/MSRS'
    assert resolve_data_root('/elsewhere/MSRS') == Path('/elsewhere/MSRS')
    monkeypatch.setenv('LUREFUSION_DATA', '/sets')
    assert resolve_data_root(Path('MSRS/train')) == Path('/sets/MSRS/train')


def test_data_root_of_one_config_is_no_other_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('LUREFUSION_DATA', raising=False)
    monkeypatch.chdir(tmp_path)
    text = """
sets = [dict(type='MSRS', split='train'), dict(type='FusionPairDataset', data_prefix=dict(vi='vi'), data_root='deep')]
train_dataloader = dict(dataset=dict(type='MixDataset', datasets=sets))
val_dataloader = dict(dataset=dict(type='RestorationDataset', data_root='/abroad', data_prefix=dict(x='x', y='y')))
probe = dict(type='MixDataset', datasets=[dict(type='EmbeddedScenes')])
"""
    file = write(tmp_path / 'sets.py', text)
    (tmp_path / 'mine').mkdir()
    with_root = load_config(file, data_root='mine')
    without = load_config(file)
    mine = str(tmp_path / 'mine')
    assert [d.data_root for d in with_root.train_dataloader.dataset.datasets] == [mine, f'{mine}/deep']
    assert with_root.val_dataloader.dataset.data_root == '/abroad'
    assert with_root.probe.datasets[0].data_root == mine
    assert 'data_root' not in without.train_dataloader.dataset.datasets[0]
    assert 'LUREFUSION_DATA' not in os.environ
    assert resolve_data_root('MSRS') == tmp_path / 'data/MSRS'


@pytest.mark.parametrize('before', [None, '/sets'])
def test_data_root_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None) -> None:
    monkeypatch.delenv('LUREFUSION_DATA', raising=False)
    if before:
        monkeypatch.setenv('LUREFUSION_DATA', before)
    code = "from lurefusion.config import resolve_data_root; print(resolve_data_root('MSRS'))"
    with at_data_root(tmp_path), at_data_root(None):
        assert resolve_data_root('MSRS') == tmp_path / 'MSRS'
        out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, cwd='/').stdout
        assert Path(out.strip()) == tmp_path / 'MSRS'
    assert os.environ.get('LUREFUSION_DATA') == before


def test_data_root_that_is_missing(file: Path, tmp_path: Path) -> None:
    before = os.environ.get('LUREFUSION_DATA')
    with pytest.raises(FileNotFoundError, match=r'data_root: .*nowhere. is not a folder'):
        load_config(file, data_root=tmp_path / 'nowhere')
    assert os.environ.get('LUREFUSION_DATA') == before


# Plug-ins


def test_project_of_the_nearest_folder_that_holds_projects(tmp_path: Path, clean_imports: None) -> None:
    write(tmp_path / 'projects/cfg_plugin_one/cfg_plugin_one/__init__.py', 'found = True')
    file = write(
        tmp_path / 'projects/cfg_plugin_one/configs/own.py',
        "custom_imports = dict(imports=['projects.cfg_plugin_one.cfg_plugin_one'])",
    )
    load_config(file)
    assert sys.modules['projects.cfg_plugin_one.cfg_plugin_one'].found


def test_module_beside_a_config_elsewhere(tmp_path: Path, clean_imports: None) -> None:
    write(tmp_path / 'study/cfg_plugin_two.py', 'found = True')
    file = write(tmp_path / 'study/configs/a/own.py', "custom_imports = dict(imports='cfg_plugin_two')")
    load_config(file)
    assert sys.modules['cfg_plugin_two'].found
    assert str(tmp_path / 'study') in sys.path


def test_no_import_no_folder_on_the_path(file: Path, tmp_path: Path) -> None:
    (tmp_path / 'projects').mkdir()
    before = list(sys.path)
    load_config(file)
    assert sys.path == before


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('import no_such_dependency', "No module named 'no_such_dependency'"),
        ('def grow():\n    return 1 / 0\n\ngrow()', 'in grow'),
        ('x = (', 'SyntaxError'),
    ],
)
def test_module_that_fails_shows_its_traceback(tmp_path: Path, clean_imports: None, text: str, expected: str) -> None:
    write(tmp_path / 'cfg_plugin_three/__init__.py', text)
    file = write(tmp_path / 'own.py', "custom_imports = dict(imports=['cfg_plugin_three'], allow_failed_imports=False)")
    with pytest.raises(ImportError, match="custom_imports names 'cfg_plugin_three', which fails to import") as caught:
        load_config(file)
    message = str(caught.value)
    assert expected in message
    assert 'cfg_plugin_three/__init__.py' in message
    assert 'Folders on the path' not in message  # it was found


@pytest.mark.parametrize('module', ['cfg_plugin_no', 'cfg_plugin_no.parts'])
def test_module_that_is_not_found_shows_where_was_looked(tmp_path: Path, clean_imports: None, module: str) -> None:
    (tmp_path / 'projects').mkdir()
    with pytest.raises(ImportError, match=f"custom_imports names '{module}', which fails to import") as caught:
        load_config(write(tmp_path / 'own.py', f"custom_imports = dict(imports=['{module}'])"))
    message = str(caught.value)
    assert "No module named 'cfg_plugin_no'" in message
    assert f'    {tmp_path}\n' in message
    assert 'holds projects/' in message


def test_module_that_may_fail(tmp_path: Path, clean_imports: None) -> None:
    text = "custom_imports = dict(imports=['cfg_plugin_no'], allow_failed_imports=True)\nlog_level = 'DEBUG'"
    assert load_config(write(tmp_path / 'own.py', text)).log_level == 'DEBUG'
    assert 'cfg_plugin_no' not in sys.modules


def test_custom_imports_of_another_shape(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r'custom_imports is dict\(imports=\[module, ...\]\), got'):
        load_config(write(tmp_path / 'own.py', "custom_imports = ['a']"))


# Overrides


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('1', 1),
        ('1e-4', 1e-4),
        ('-0.5', -0.5),
        ('inf', float('inf')),
        ('true', True),
        ('False', False),
        ('None', None),
        ('', ''),
        ('lurefusion::a/b.py', 'lurefusion::a/b.py'),
        ('brighten the dark scene', 'brighten the dark scene'),
        ('"dark, foggy"', 'dark, foggy'),
        ("it's dark", "it's dark"),
        ('1,2', [1, 2]),
        ('a,b', ['a', 'b']),
        ('[a b, 2,]', ['a b', 2]),
        ('[]', []),
        ('(1,2)', (1, 2)),
        ('(a,b)', ('a', 'b')),
        ('[(a,1),(b,2)]', [('a', 1), ('b', 2)]),
        ('["x, y",z]', ['x, y', 'z']),
        ("{'a': 1}", {'a': 1}),
        ('a=b', 'a=b'),
    ],
)
def test_values_of_options(text: str, value: Any) -> None:
    parsed = parse_options([f'key.inner={text}'])
    assert parsed == {'key.inner': value}
    assert type(parsed['key.inner']) is type(value)


@pytest.mark.parametrize('options', ['a=1', 3, [1], [('a', 1)]])
def test_options_of_another_type(options: Any) -> None:
    with pytest.raises(TypeError, match='options' if options != 3 else 'iterable'):
        parse_options(options)


@pytest.mark.parametrize('item', ['model.x', '=1'])
def test_option_without_key_or_value(item: str) -> None:
    with pytest.raises(ValueError, match=f"expected KEY=VALUE, got '{item}'"):
        parse_options([item])


def test_overrides_of_every_sort(file: Path) -> None:
    cfg = load_config(
        file,
        [
            'model.decoder.width=4',
            'model.decoder.scales.1=3',
            'train_dataloader.dataset.datasets.1.size=32',
            'optim_wrapper.optimizer.betas.0=0.5',
            'optim_wrapper.clip_grad={"max_norm": 1}',
            'model.losses.ssim={"weight": 2}',
            'load_from=weights.pth',
            '+model.encoder.inner.plan=linear',
            '+train_dataloader.persistent_workers=True',
        ],
    )
    assert cfg.model.decoder == dict(type='UDecoder', width=4, scales=(1, 3, 4))
    assert [d['size'] for d in cfg.train_dataloader.dataset.datasets] == [64, 32]
    assert cfg.optim_wrapper.optimizer.betas == [0.5, 0.99]
    assert cfg.optim_wrapper.clip_grad.max_norm == 1
    assert cfg.model.losses == dict(recon=dict(weight=1.0), ssim=dict(weight=2))
    assert cfg.load_from == 'weights.pth'
    assert cfg.model.encoder.inner.plan == 'linear'
    assert cfg.train_dataloader.persistent_workers is True


def test_dict_merges_or_replaces(file: Path) -> None:
    assert load_config(file, {'model': {'decoder': {'width': 2}}}).model.decoder.type == 'UDecoder'
    replaced = load_config(file, {'model.decoder': {'_delete_': True, 'type': 'Plain'}})
    assert replaced.model.decoder == dict(type='Plain')


def test_later_overrides_see_earlier_ones(file: Path) -> None:
    assert load_config(file, ['+model.new.part=1', 'model.new.part=2']).model.new.part == 2


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('modle.decoder.width=1', "the config has no key 'modle'. Did you mean 'model.decoder.width'"),
        ('model.decoder.widthx=1', "'model.decoder' has no key 'widthx'. Did you mean 'model.decoder.width'.*write '."),
        ('decoder.width=1', "the config has no key 'decoder'. Did you mean 'model.decoder.width'"),
        ('model.losses.ssim.weight=1', "'model.losses' has no key 'ssim'"),
        ('train_dataloader.dataset.datasets.2.size=1', "is a list, expected an index from 0 to 1, got '2'"),
        ('train_dataloader.dataset.datasets.b.size=1', "expected an index from 0 to 1, got 'b'"),
        ('model..width=1', 'empty part in the key'),
        ('model={"decoder": {"widthx": 1}}', "override 'model.decoder': 'widthx' is not a key.*Did you mean 'width'"),
    ],
)  # fmt: skip
def test_override_of_an_unknown_key(file: Path, option: str, message: str) -> None:
    with pytest.raises(KeyError, match=message):
        load_config(file, [option])


def test_override_inside_of_a_value(file: Path) -> None:
    with pytest.raises(
        TypeError, match=r"'optim_wrapper.clip_grad' is None, neither a dict nor a list; set it as a whole"
    ):
        load_config(file, ['optim_wrapper.clip_grad.max_norm=1'])


def test_options_of_a_pipeline_go_where_they_belong(cfg: Config) -> None:
    other = Config(dict(fuser=dict(blocks=2)))
    options = {'fuser.blocks': 1, 'model.decoder.width': 2}
    check_options(options, cfg, other)
    assert known_options(cfg, options) == {'model.decoder.width': 2}
    assert known_options(other, options) == {'fuser.blocks': 1}
    with pytest.raises(KeyError, match=r"Did you mean 'model.decoder.width'"):
        check_options({'model.decoder.with': 1}, other, cfg)


def test_refused_override_changes_nothing(cfg: Config) -> None:
    before = cfg.to_dict()
    with pytest.raises(KeyError):
        apply_options(cfg, {'model.decoder.width': 1, 'model.nothing': 1})
    assert cfg.to_dict() == before


def test_overrides_do_not_leak_between_loads(file: Path) -> None:
    load_config(file, ['train_dataloader.dataset.datasets.0.size=1'])
    assert load_config(file).train_dataloader.dataset.datasets[0].size == 64


def test_overrides_survive_dump_and_reload(file: Path, tmp_path: Path) -> None:
    cfg = load_config(file, ['model.decoder.scales.1=3', 'model.losses.ssim={"weight": 2}'])
    cfg.dump(tmp_path / 'dumped.py')
    assert load_config(tmp_path / 'dumped.py').to_dict() == cfg.to_dict()


# What has no effect

HELPED = """
steps = 250
deep = dict(width=8, plan='linear')
model = dict(type='LURE', fuser=deep)
train_cfg = dict(max_iters=steps)
param_scheduler = [dict(type='CosineAnnealingLR', end=steps, T_max=steps - 50)]
offered = [1]
"""


def test_every_argument_of_the_runner_is_known() -> None:
    import inspect

    from mmengine.runner import Runner

    # `cfg` is the whole, and the wrapper of the model is looked for in it
    assert RUNNER_KEYS == set(inspect.signature(Runner).parameters) - {'cfg'} | {'model_wrapper_cfg'}


def test_helpers_do_their_work_and_are_gone(tmp_path: Path) -> None:
    write(tmp_path / 'base.py', HELPED)
    text = "_base_ = './base.py'\nlog_processor = dict(size={{_base_.offered}}, n=_base_.steps, m=_base_['deep'])"
    cfg = load_config(write(tmp_path / 'own.py', text))
    assert set(cfg) == {'model', 'train_cfg', 'param_scheduler', 'log_processor', 'default_scope'}
    assert cfg.log_processor == dict(size=[1], n=250, m=dict(width=8, plan='linear'))


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('steps=10', r"'steps' has no effect: steps is a helper of .*own\.py.*: train_cfg\.max_iters, param_.*\.end$"),
        ('deep.width=4', r'deep is a helper of .*Set what holds its value: model\.fuser$'),
        ('offered=[2]', 'offered is a helper .*No key holds its value as it is'),
        ('+steps=10', 'steps is a helper'),
        ('+stepz=10', "neither an argument of MMEngine's Runner nor an option of lurefusion"),
        ('work_dir=here', 'has no effect: it is given by --work-dir'),
        ('launcher=slurm', 'has no effect: it is given by --launcher'),
        ('+experiment_name=x', 'has no effect: it is given by the name of the folder'),
    ],
)  # fmt: skip
def test_override_without_effect(tmp_path: Path, option: str, message: str) -> None:
    write(tmp_path / 'base.py', HELPED)
    file = write(tmp_path / 'own.py', "_base_ = './base.py'\n")
    for options in ([option], dict([option.split('=')])):
        with pytest.raises(KeyError) as caught:
            load_config(file, options)
        assert re.search(message, caught.value.args[0])


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('steps = 10', r'line 2: steps has no effect: it is a helper of .*base\.py, .*: train_cfg\.max_iters, param_'),
        ('deep = dict(width=4)', r'deep has no effect.*Set what holds its value: model\.fuser$'),
        ('offered = [2]', 'offered has no effect'),
        ('modle = dict(type="x")', "modle has no effect: it is neither .*Did you mean 'model'"),
        ('max_iters = 10', r'max_iters has no effect.* There is train_cfg\.max_iters\.'),
        ('other = [1]\nthing = other', 'thing has no effect'),
        ('names = [steps for steps in (1, 2)]\nmodel = dict(x=names)\nsteps = 3', 'line 4: steps has no effect'),
    ],
)  # fmt: skip
def test_name_of_a_file_without_effect(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path / 'base.py', HELPED)
    text = text.replace('steps for steps in', 'step for step in')
    with pytest.raises(ValueError, match=message):
        load_config(write(tmp_path / 'own.py', f"_base_ = './base.py'\n{text}\n"))
    # nor does one in between have any
    if 'helper' in message:
        with pytest.raises(ValueError, match=message):
            load_config(write(tmp_path / 'heir.py', "_base_ = './own.py'\n"))


@pytest.mark.parametrize(
    'text',
    [
        'steps = 10\ntrain_cfg = dict(max_iters=steps)',
        'deep = dict(width=4)\nmodel = dict(fuser={**deep})',
        '_private = 1',
        'steps = 3\nsteps += 1\ntrain_cfg = dict(max_iters=steps)',
        'def double(x):\n    return 2 * x\ntrain_cfg = dict(max_iters=double(_base_.steps))',
    ],
)
def test_names_that_are_used_stay(tmp_path: Path, text: str) -> None:
    write(tmp_path / 'base.py', HELPED)
    load_config(write(tmp_path / 'own.py', f"_base_ = './base.py'\n{text}\n"))


def test_a_base_may_set_a_helper_for_its_heirs(tmp_path: Path) -> None:
    write(tmp_path / 'base.py', HELPED)
    write(tmp_path / 'middle.py', "_base_ = './base.py'\noffered = [7]\n")
    cfg = load_config(write(tmp_path / 'own.py', "_base_ = './middle.py'\nmodel = dict(x={{_base_.offered}})\n"))
    assert cfg.model.x == [7]
    with pytest.raises(ValueError, match=r'middle\.py, line 2: offered has no effect'):
        load_config(write(tmp_path / 'other.py', "_base_ = './middle.py'\n"))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ("stages = ['a.py']\nmodel = dict(x=1)", r"model has no effect in a pipeline.*options = \{'model\.<key>'"),
        ("stages = ['a.py']\ntrain_cfg = dict(max_iters=1)", 'train_cfg has no effect in a pipeline'),
        ('stages = []', 'stages is a list of config files'),
        ("stages = 'a.py'", 'stages is a list of config files'),
        ("model = dict(type='X')\njoint = True", 'joint has an effect beside stages'),
        ("model = dict(type='X')\noptions = {}", 'options has an effect beside stages'),
        ("init_from = dict(stage='a', prefix=())", "init_from has no key 'prefix'. Did you mean 'prefixes'"),
        ('env_cfg = dict(cudnn=True)', "env_cfg has no key 'cudnn'"),
    ],
)
def test_keys_that_nothing_reads(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_config(write(tmp_path / 'own.py', text))


def test_config_that_a_run_has_dumped_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    monkeypatch.setattr('lurefusion.config.keys.print_log', lambda message, **options: said.append(message))
    file = write(tmp_path / 'dumped.py', "model = dict(type='LURE')\nwork_dir = 'there'\nlauncher = 'none'\n")
    assert set(load_config(file)) == {'model', 'default_scope'}
    assert re.search('work_dir is not looked at, it is given by --work-dir', said[0])


# Files that are no configs


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('model = dict(\n', 'SyntaxError'),
        ('x = 1\nmodel = dict(a=1))\n', 'line 2: SyntaxError'),
        ('x = 1\n\nraise RuntimeError("no luck")', 'line 3: RuntimeError: no luck'),
        ('model = dict(a=undefined)', "line 1: NameError: name 'undefined' is not defined"),
        ('1 / 0', 'line 1: ZeroDivisionError'),
        ('import sys\nsys.exit(3)', 'line 2: SystemExit'),
        ("text = 'reserved'", "KeyError: 'text is reserved"),
        ("_base_ = './own.py'", 'is its own base'),
        ('\x00', 'null bytes'),
    ],
)
@pytest.mark.parametrize('as_base', [False, True])
def test_file_that_fails_says_where(tmp_path: Path, text: str, message: str, as_base: bool) -> None:
    if as_base and 'reserved' in text:
        pytest.skip('only the whole is looked through for these')
    file = write(tmp_path / 'own.py', text)
    top = write(tmp_path / 'heir.py', "_base_ = './own.py'\n") if as_base else file
    with pytest.raises(ValueError, match=rf'own\.py.*{message}'):
        load_config(top)


def test_base_that_is_missing_is_named_with_its_heir(tmp_path: Path) -> None:
    write(tmp_path / 'stage_one.py', '')
    with pytest.raises(FileNotFoundError, match=r"own\.py: its base './stage_on\.py' does not .*stage_one\.py'"):
        load_config(write(tmp_path / 'own.py', "_base_ = './stage_on.py'"))


@pytest.mark.parametrize('name', ['my_stagee.py', 'my_stage', 'MY_STAGE.py'])
def test_file_beside_the_misspelt_one_is_suggested(tmp_path: Path, name: str) -> None:
    write(tmp_path / 'my_stage.py', '')
    with pytest.raises(FileNotFoundError, match=rf"Did you mean '{tmp_path / 'my_stage.py'}'"):
        load_config(tmp_path / name)


# Where a value comes from


def test_files_are_looked_for_beside_the_file_that_states_them(tmp_path: Path) -> None:
    write(tmp_path / 'a/pipe.py', "stages = ['one.py', 'lurefusion::lure/stage2_demo.py']\ndownstream = ['../seg.py']")
    cfg = load_config(write(tmp_path / 'b/heir.py', "_base_ = '../a/pipe.py'"))
    assert cfg.stages == [str(tmp_path / 'a/one.py'), 'lurefusion::lure/stage2_demo.py']
    assert cfg.downstream == [str(tmp_path / 'seg.py')]
    own = load_config(write(tmp_path / 'c/own.py', "_base_ = '../a/pipe.py'\nstages = ['one.py']"))
    assert (own.stages, own.downstream) == ([str(tmp_path / 'c/one.py')], [str(tmp_path / 'seg.py')])


def test_inherited_is_what_a_shipped_file_says(shipped: Path, tmp_path: Path) -> None:
    base = "_base_ = 'lurefusion::lure/stage2_ir_vi.py'\n"
    cfg = load_config(write(tmp_path / 'own.py', f'{base}model = dict(decoder=dict(scales=(1, 2)))'))
    answers = {key: is_inherited(cfg, f'model.{key}') for key in ('losses', 'decoder.width', 'decoder', 'nothing')}
    assert answers == {'losses': True, 'decoder.width': True, 'decoder': False, 'nothing': False}
    assert is_inherited(load_config('lurefusion::lure/stage2_ir_vi.py'), 'model')
    apply_options(cfg, {'model.losses.recon.weight': 2.0})
    assert not is_inherited(cfg, 'model.losses')


# Differences


def test_diff_names_exactly_what_differs() -> None:
    old = dict(a=1, b=dict(c=[1, 2], d=dict(x=1)), steps=[dict(t='A'), dict(t='B', p=1)], same=(1, 2), flag=1)
    new = dict(
        a=1, b=dict(c=[1, 3], e=None), steps=[dict(t='A'), dict(t='C', p=1), dict(t='D')], same=(1, 2), flag=True
    )
    assert diff_configs(old, new) == [
        ('b.c', [1, 2], [1, 3]),
        ('b.d.x', 1, ABSENT),
        ('b.e', ABSENT, None),
        ('flag', 1, True),
        ('steps.1.t', 'B', 'C'),
        ('steps.2.t', ABSENT, 'D'),
    ]
    assert diff_configs(old, old) == []


def test_a_module_of_one_name_elsewhere_is_not_taken(tmp_path: Path, clean_imports: None) -> None:
    for name in ('a', 'b'):
        write(tmp_path / name / 'cfg_plugin_twin.py', f'found = {name!r}')
        write(tmp_path / name / 'own.py', "custom_imports = dict(imports='cfg_plugin_twin')")
    load_config(tmp_path / 'a/own.py')
    assert sys.modules['cfg_plugin_twin'].found == 'a'
    with pytest.raises(ImportError, match='another module of that name was found first'):
        load_config(tmp_path / 'b/own.py')
    load_config(tmp_path / 'a/own.py')
