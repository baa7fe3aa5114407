"""One thread per test process, no look-ups on the network, the folder of real images where there is one."""

import os

# Before torch is imported: OpenMP reads these once.
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
os.environ.setdefault('HF_HUB_OFFLINE', '1')

import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch

# the same few examples every time; $LUREFUSION_EXAMPLES draws so many new ones
_EXAMPLES = int(os.environ.get('LUREFUSION_EXAMPLES') or 0)
_SLOW = [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture]
hypothesis.settings.register_profile(
    'lurefusion', max_examples=_EXAMPLES or 12, derandomize=not _EXAMPLES, deadline=None, suppress_health_check=_SLOW,
    database=None,
)  # fmt: skip
hypothesis.settings.load_profile('lurefusion')

torch.set_num_threads(1)


@pytest.fixture
def forget_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder; modules that a test puts there, and what they register, are gone afterwards."""
    from lurefusion import registry

    kinds = [
        kind for kind in vars(registry).values() if isinstance(kind, registry.Registry) and kind.scope != 'mmengine'
    ]
    for kind in kinds:
        # the built-in members first, which would count as new otherwise
        kind.import_from_location()
    members, path, modules = [dict(kind.module_dict) for kind in kinds], list(sys.path), set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('LUREFUSION_DATA', str(tmp_path / 'data'))
    yield tmp_path
    sys.path[:] = path
    for kind, before in zip(kinds, members, strict=True):
        for name in set(kind.module_dict) - set(before):
            del kind.module_dict[name]
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], '__file__', None) or '').startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture(scope='session')
def data_root() -> Path:
    """Folder of the real data sets, `$LUREFUSION_DATA`; the test is skipped where it is not set."""
    folder = os.environ.get('LUREFUSION_DATA')
    if not folder:
        pytest.skip('needs real images: LUREFUSION_DATA is not set')
    return Path(folder)


@pytest.fixture(scope='session')
def small_export(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small network with every kind of layer of lure-tiny, and its ONNX file."""
    for name in ('onnx', 'onnxruntime'):
        pytest.importorskip(name, reason=f'needs {name}: pip install lurefusion[export]')
    from lurefusion.export import export_onnx
    from lurefusion.models.lure import LURE

    torch.manual_seed(0)
    encoder = dict(channels=(12, 4), latent_channels=(12, 3), K_bt=(1, 0), K_tb=(1, 1), detail=dict(width=4))
    network = LURE(
        'fusion',
        ('vi', 'ir'),
        dict(backbone=dict(type='HashBag', dim=16), out_dim=8),
        dict(type='LURETinyEncoder', interaction=dict(type='TGA', num_heads=2), picture_latents=True, **encoder),
        dict(type='LURETinyDecoder', K_dec=(0, 1), widths=(12, 4)),
        dict(
            type='LURETinyFuser',
            K_f=(0, 1),
            num_heads=2,
            widths=(4, 4),
            chroma=0,
            rule=dict(type='l1_pyramid', power=1.25, base_power=0.25, levels=2),
        ),
        chroma='vi',
        prompts=dict(per_template=1),
        max_pixels=64 * 64,
        tile=64,
        overlap=16,
        coarse=dict(tasks=('hz',), size=16),
    ).eval()
    for parameter in network.parameters():
        if not parameter.any():
            parameter.data = 0.2 * torch.randn(parameter.shape)
    # one of its sentences asks for detail, the others do not
    gate, bank = network.image_encoder.detail.gate, network.prompts
    with torch.no_grad():
        gate.weight *= 10
        asked = network.encode_text([bank.canonical(key) for key in bank.keys]) @ gate.weight[0]
        gate.bias.fill_(-asked.sort().values[-2:].mean())
    return network, export_onnx(network, tmp_path_factory.mktemp('onnx') / 'small.onnx', 'small')


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not os.environ.get('LUREFUSION_DATA'):
        for item in items:
            if 'real_data' in item.keywords:
                item.add_marker(pytest.mark.skip(reason='needs real images: LUREFUSION_DATA is not set'))


def pytest_collection_finish() -> None:
    # every data set of MMEngine collects garbage, which takes a second where all imported modules are searched for it
    gc.freeze()
