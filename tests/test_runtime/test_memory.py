from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lurefusion.runtime.memory import keep_freed_memory

# page faults of taking and leaving 100 MB five times
FAULTS = """
import resource, sys
import torch
from lurefusion.runtime.memory import keep_freed_memory

if sys.argv[1] == 'kept':
    assert keep_freed_memory()

def use():
    # 100 MB at once, so that a heap without the options would be trimmed; NumPy asks for large pages by itself
    return [torch.ones(5_000_000) for _ in range(5)]

start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    use()
print(before - start, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
HUGE_PAGES = Path('/sys/kernel/mm/transparent_hugepage/enabled')


@pytest.fixture(scope='module')
def faults() -> dict[str, list[int]]:
    """Page faults of the first use and of five more, with memory kept and without."""
    if not keep_freed_memory():
        pytest.skip('needs Linux and glibc')
    # the C library's own options would stand in for what is tested
    env = {key: value for key, value in os.environ.items() if key != 'GLIBC_TUNABLES'}
    run = dict(capture_output=True, text=True, check=True, env=env)
    lines = {name: subprocess.run([sys.executable, '-c', FAULTS, name], **run).stdout for name in ('kept', 'left')}
    return {name: [int(number) for number in line.split()] for name, line in lines.items()}


def test_freed_memory_is_used_again(faults):
    assert faults['kept'][1] < 2500
    assert faults['left'][1] > 10 * faults['kept'][1]


@pytest.mark.skipif(not HUGE_PAGES.exists() or '[never]' in HUGE_PAGES.read_text(), reason='no large pages here')
def test_new_memory_comes_in_large_pages(faults):
    # 100 MB are 25,600 small pages
    assert faults['left'][0] > 20_000
    assert faults['kept'][0] < 5_000


def test_no_effect_elsewhere(monkeypatch):
    monkeypatch.setattr('platform.system', lambda: 'Darwin')
    assert keep_freed_memory.__wrapped__() is False
