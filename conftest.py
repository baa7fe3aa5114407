"""One thread per test process, no look-ups on the network, the folder of real images where there is one."""

import os

# Before torch is imported: OpenMP reads these once.
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
os.environ.setdefault('HF_HUB_OFFLINE', '1')

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


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
