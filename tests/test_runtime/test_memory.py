from __future__ import annotations

import subprocess
import sys

import pytest

from lurefusion.runtime.memory import keep_freed_memory

# page faults of taking and leaving 100 MB five times
FAULTS = """
import resource, sys
import numpy as np
from lurefusion.runtime.memory import keep_freed_memory

if sys.argv[1] == 'kept':
    assert keep_freed_memory()

def use():
    # 100 MB at once, so that a heap without the options would be trimmed
    return [np.ones(5_000_000, np.float32) for _ in range(5)]

use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not keep_freed_memory(), reason='needs Linux and glibc')
def test_freed_memory_is_used_again():
    faults = {
        name: int(
            subprocess.run([sys.executable, '-c', FAULTS, name], capture_output=True, text=True, check=True).stdout
        )
        for name in ('kept', 'left')
    }
    assert faults['kept'] < 1000
    assert faults['left'] > 10 * max(faults['kept'], 100)


def test_no_effect_elsewhere(monkeypatch):
    monkeypatch.setattr('platform.system', lambda: 'Darwin')
    assert keep_freed_memory.__wrapped__() is False
