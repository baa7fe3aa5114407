from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from mmengine.registry import Registry
from torch import nn

from lurefusion import plugins, registry
from lurefusion.plugins import import_plugin, load_plugins
from lurefusion.registry import (
    DATASETS,
    HOOKS,
    KINDS,
    MEASURES,
    METRICS,
    REGISTRIES,
    TRANSFORMS,
    KindRegistry,
    members,
)


class Interaction(nn.Module):
    def __init__(self, channels: int, text_dim: int = 4) -> None:
        super().__init__()
        self.channels = channels
        self.text_dim = text_dim


@pytest.fixture
def kind() -> KindRegistry:
    made = KindRegistry('interaction', 'The contract.', [], base=lambda: Interaction)

    @made.register_module()
    class TGA(Interaction):
        pass

    @made.register_module(name='gate')
    class Gate(Interaction):
        pass

    return made


def test_builds_from_dict_name_class_and_defaults(kind: KindRegistry) -> None:
    built = kind.build(dict(type='TGA', channels=8), channels=3, text_dim=7)
    assert (type(built).__name__, built.channels, built.text_dim) == ('TGA', 8, 7)
    assert kind.build('gate', channels=3).channels == 3
    assert type(kind.build(dict(type=Interaction, channels=2))) is Interaction


def test_build_leaves_its_config_as_it_was(kind: KindRegistry) -> None:
    cfg = dict(type='TGA', channels=8)
    kind.build(cfg, text_dim=7)
    assert cfg == dict(type='TGA', channels=8)


def test_contract_is_the_docstring(kind: KindRegistry) -> None:
    assert kind.__doc__ == 'The contract.'
    assert all(len(shipped.__doc__) > 60 for shipped in KINDS)
    assert len({shipped.kind for shipped in KINDS}) == len(KINDS)


@pytest.mark.parametrize(('name', 'near'), [('TGAA', 'TGA'), ('tga', 'TGA'), ('gates', 'gate')])
def test_unknown_name_suggests_the_nearest(kind: KindRegistry, name: str, near: str) -> None:
    message = f"'{name}' is not a registered interaction. Did you mean '{near}'\\? Known: TGA, gate"
    with pytest.raises(KeyError, match=message):
        kind.build(dict(type=name, channels=8))


def test_unknown_name_without_a_near_one_lists_all(kind: KindRegistry) -> None:
    with pytest.raises(KeyError, match=r"'transformer' is not a registered interaction\. Known: TGA, gate.*custom_imp"):
        kind.build('transformer')


def test_contains_does_not_raise(kind: KindRegistry) -> None:
    assert 'TGA' in kind
    assert 'TGAA' not in kind
    assert 'no.such.module' not in kind
    assert 'mmpretrain.NoSuchModel' not in kind


def test_duplicate_is_refused_unless_forced(kind: KindRegistry) -> None:
    class Other(Interaction):
        pass

    with pytest.raises(
        KeyError, match=r"'TGA' is already a registered interaction \(.*TGA\); .*Other needs another name"
    ):
        kind.register_module(name='TGA', module=Other)
    kind.register_module(name='TGA', module=Other, force=True)
    assert kind.get('TGA') is Other


@pytest.mark.parametrize('wrong', [nn.Linear, lambda x: x])
def test_member_of_another_kind_is_refused(kind: KindRegistry, wrong: object) -> None:
    with pytest.raises(TypeError, match=r'is not a interaction: it does not derive from .*Interaction'):
        kind.build(dict(type=wrong, channels=1))


def test_registering_another_kind_is_refused(kind: KindRegistry) -> None:
    with pytest.raises(TypeError, match=r"'Linear' is not a interaction"):
        kind.register_module(module=nn.Linear)
    assert 'Linear' not in kind


def test_dotted_path_to_another_kind_is_refused(kind: KindRegistry) -> None:
    with pytest.raises(TypeError, match=r"'Linear' is not a interaction"):
        kind.build(dict(type='torch.nn.Linear', in_features=1, out_features=1))


def test_no_class_at_all(kind: KindRegistry) -> None:
    with pytest.raises(TypeError, match='a interaction is a class, got 3'):
        kind.build(dict(type=3))


@pytest.mark.parametrize('cfg', [None, 3, dict(channels=8), ['TGA']])
def test_what_is_no_description_of_a_member(kind: KindRegistry, cfg: object) -> None:
    with pytest.raises(TypeError, match=r'a interaction is built from dict\(type=\.\.\.\), got'):
        kind.build(cfg)


def test_unknown_argument_is_refused_with_a_hint(kind: KindRegistry) -> None:
    with pytest.raises(
        TypeError, match=r"interaction TGA: .*'channelz'\. Did you mean 'channels'\? It accepts: channels, "
    ):
        kind.build(dict(type='TGA', channelz=8), channels=8)


def test_missing_argument_is_named(kind: KindRegistry) -> None:
    with pytest.raises(TypeError, match=r"interaction TGA: missing a required argument: 'channels'"):
        kind.build('TGA')


def test_error_of_the_constructor_is_not_disguised() -> None:
    made = KindRegistry('rule', '', [])

    @made.register_module()
    class Picky:
        def __init__(self) -> None:
            raise ValueError('radius must be positive')

    with pytest.raises(ValueError, match='radius must be positive'):
        made.build('Picky')


@pytest.fixture
def plugin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith('registry_plugin'):
            del sys.modules[name]


def test_dotted_path(kind: KindRegistry, plugin_folder: Path) -> None:
    (plugin_folder / 'registry_plugin_a.py').write_text(
        'class Maker:\n    def __init__(self, size): self.size = size\n'
    )
    made = KindRegistry('degradation', '', [])
    assert made.build(dict(type='registry_plugin_a.Maker', size=5)).size == 5
    with pytest.raises(
        KeyError, match=r"'registry_plugin_a.Makr' is not a registered degradation.*no attribute 'Makr'"
    ):
        made.build('registry_plugin_a.Makr')
    with pytest.raises(
        KeyError, match=r"'registry_plugin_z.Maker' is not a registered.*No module named 'registry_plugin_z'"
    ):
        made.build('registry_plugin_z.Maker')


def test_dotted_path_to_a_module_that_fails_says_why(plugin_folder: Path) -> None:
    (plugin_folder / 'registry_plugin_b.py').write_text('import no_such_dependency\n')
    with pytest.raises(KeyError, match=r"registry_plugin_b.*No module named 'no_such_dependency'"):
        KindRegistry('degradation', '', []).build('registry_plugin_b.Maker')


def test_name_of_a_toolbox_that_is_not_installed_says_so(kind: KindRegistry) -> None:
    with pytest.raises(KeyError, match=r"'mmmissing.Net' is not a registered interaction.*No module named 'mmmissing'"):
        kind.build('mmmissing.Net')


def test_default_scope_changes_nothing(kind: KindRegistry) -> None:
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope('mmengine'):
        assert kind.build('gate', channels=1).channels == 1


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    declared: list[EntryPoint] = []
    monkeypatch.setattr(plugins, '_plugins_loaded', False)
    monkeypatch.setattr(plugins, 'entry_points', lambda group: [p for p in declared if p.group == group])
    return declared


def test_entry_point_is_imported_once(points: list[EntryPoint], plugin_folder: Path) -> None:
    (plugin_folder / 'registry_plugin_c.py').write_text('import builtins\nbuiltins.registry_plugin_c_loads = True\n')
    points.append(EntryPoint('good', 'registry_plugin_c', 'lurefusion.plugins'))
    points.append(EntryPoint('foreign', 'no_such_module', 'another.group'))
    load_plugins()
    assert 'registry_plugin_c' in sys.modules
    points.append(EntryPoint('late', 'no_such_module', 'lurefusion.plugins'))
    load_plugins()


def test_entry_point_that_fails_is_reported_and_left_out(
    points: list[EntryPoint], plugin_folder: Path, monkeypatch: pytest.MonkeyPatch, kind: KindRegistry
) -> None:
    (plugin_folder / 'registry_plugin_d.py').write_text('def grow():\n    return 1 / 0\n\n\ngrow()\n')
    (plugin_folder / 'registry_plugin_e.py').write_text('here = True\n')
    points.append(EntryPoint('broken', 'registry_plugin_d', 'lurefusion.plugins'))
    points.append(EntryPoint('whole', 'registry_plugin_e', 'lurefusion.plugins'))
    said: list[tuple[str, int]] = []
    monkeypatch.setattr(plugins, 'print_log', lambda text, logger, level: said.append((text, level)))
    load_plugins()
    [(text, level)] = said
    assert level == logging.ERROR
    assert "plug-in 'broken' (registry_plugin_d) failed to import and is left out" in text
    assert 'ZeroDivisionError' in text
    assert 'in grow' in text
    assert 'registry_plugin_e' in sys.modules
    assert kind.build('gate', channels=1).channels == 1


def test_every_registry_has_a_contract_and_a_name() -> None:
    contracts = [kept.__doc__ for kept in REGISTRIES]
    assert all(len(text) > 40 for text in contracts)
    assert len(set(contracts)) == len(contracts)
    assert len({kept.name for kept in REGISTRIES}) == len(REGISTRIES)
    kept = [value for value in vars(registry).values() if isinstance(value, Registry) and value.scope != 'mmengine']
    assert {id(value) for value in kept} == {id(value) for value in REGISTRIES}
    for kind, word in (
        (METRICS, 'compute_metrics'), (DATASETS, 'pair_key'), (TRANSFORMS, 'results'), (HOOKS, 'before_run'),
        (MEASURES, 'needs'),
    ):  # fmt: skip
        assert word in kind.__doc__


def test_members_know_where_they_come_from(kind: KindRegistry) -> None:
    assert members(kind) == dict.fromkeys(('TGA', 'gate'), __name__)
    for shipped in REGISTRIES:
        for name, module in members(shipped).items():
            # the projects' parts are here too when their tests are run along
            home = module.split('.')[0]
            assert home in ('lurefusion', 'example_project', 'medical_fusion', 'tests'), (shipped.name, name, module)
    assert members(MEASURES)['CC'] == 'lurefusion.evaluation.functional'
    assert members(MEASURES)['MUSIQ'].startswith('lurefusion.')
    assert members(DATASETS)['MSRS'] == 'lurefusion.datasets.public'


METRIC = """
from lurefusion.registry import MEASURES


@MEASURES.register_module(
    name='{0}', title='t', unit='', range=(0, 1), higher_is_better=True, needs='fused', source='s'
)
def function(fused):
    return fused.mean((1, 2, 3))
"""


@pytest.mark.parametrize('how', ['name', 'file', 'file elsewhere', 'package', 'module of a package'])
def test_plugins_are_named_or_found_as_files(forget_plugins: Path, how: str) -> None:
    package = forget_plugins / 'far/registry_plugin_pkg'
    package.mkdir(parents=True)
    (package / '__init__.py').write_text(METRIC.format('Package'))
    (package / 'part.py').write_text(METRIC.format('Part'))
    (forget_plugins / 'registry_plugin_near.py').write_text(METRIC.format('Near'))
    (forget_plugins / 'far/registry_plugin_far.py').write_text(METRIC.format('Far'))
    where, name = {
        'name': ('registry_plugin_near', 'Near'),
        'file': ('registry_plugin_near.py', 'Near'),
        'file elsewhere': ('far/registry_plugin_far.py', 'Far'),
        'package': ('far/registry_plugin_pkg', 'Package'),
        'module of a package': ('registry_plugin_pkg.part', 'Part'),
    }[how]
    if how == 'module of a package':
        sys.path.append(str(forget_plugins / 'far'))
    assert name not in MEASURES
    load_plugins([where])
    assert MEASURES.require(name).title == 't'
    # once is enough
    load_plugins([where])


@pytest.mark.parametrize(
    ('where', 'error', 'message'),
    [
        ('registry_plugin_no.py', FileNotFoundError, r'no such plug-in: registry_plugin_no\.py \(looked at /'),
        ('far/registry_plugin_no', FileNotFoundError, r'no such plug-in: far/registry_plugin_no/__init__\.py'),
        ('registry_plugin_no', ImportError, r'looked for on the path and in the current folder.*ModuleNotFoundError'),
        (
            'registry_plugin_bad.py',
            ImportError,
            r'registry_plugin_bad\.py fails to import: ZeroDivisionError: division',
        ),
        ('registry_plugin_twice.py', ImportError, r"KeyError: .*'CC' is already a registered metric"),
        ('json.py', ValueError, r'json\.py has the name of another module, /.*json/__init__\.py: rename it'),
        ('sys.py', ValueError, r'sys\.py has the name of another module, sys: rename it'),
    ],
)
def test_plugins_that_cannot_be_imported(forget_plugins: Path, where: str, error: type, message: str) -> None:
    (forget_plugins / 'registry_plugin_bad.py').write_text('1 / 0\n')
    (forget_plugins / 'registry_plugin_twice.py').write_text(METRIC.format('CC'))
    for taken in ('json.py', 'sys.py'):
        (forget_plugins / taken).write_text(METRIC.format('Never'))
    with pytest.raises(error, match=message):
        import_plugin(where)
    assert 'Never' not in MEASURES


@pytest.mark.parametrize(('kind', 'name'), [('LOSSES', 'GradLoss'), ('DEGRADATIONS', 'Haze'), ('FUSION_RULES', 'l1')])
def test_the_scope_that_mmengine_marks_inherited_parts_with_is_no_argument(kind, name):
    built = getattr(registry, kind).build(dict(type=name, _scope_='lurefusion'))
    assert type(built) is getattr(registry, kind).get(name)
