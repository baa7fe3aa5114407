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

import pytest
import torch

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not os.environ.get('LUREFUSION_DATA'):
        for item in items:
            if 'real_data' in item.keywords:
                item.add_marker(pytest.mark.skip(reason='needs real images: LUREFUSION_DATA is not set'))


def pytest_collection_finish() -> None:
    # every data set of MMEngine collects garbage, which takes a second where all imported modules are searched for it
    gc.freeze()
