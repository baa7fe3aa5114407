"""The tools of the studies parse, and hand over to what is in the package."""

import importlib.util
import inspect
import sys
from pathlib import Path
from typing import Any

import pytest

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


@pytest.mark.parametrize(('line', 'called'), [
    ('benchmark.py --quick', 'write_page'),
    ('carry_training.py pack run a.safetensors', 'pack'),
    ('carry_training.py unpack a.safetensors run', 'unpack'),
    ('fit_niqe.py --out a.npz', 'fit'),
    ('fit_niqe.py --check', 'check'),
    ('make_grid.py lure-tiny grid.jpg --rows difficult', 'draw'),
    ('plot_curves.py run --out curves.png', 'plot'),
    ('tsne.py --weights lure-tiny', 'compare'),
])  # fmt: skip
def test_a_tool_hands_over_what_its_function_takes(line: str, called: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, 'argv', line.split())
    spec = importlib.util.spec_from_file_location('tool', TOOLS / sys.argv[0])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    signature, calls = inspect.signature(getattr(module, called)), []

    def function(*args: Any, **kwargs: Any) -> None:
        calls.append(signature.bind(*args, **kwargs))

    monkeypatch.setattr(module, called, function)
    assert not module.main()
    assert len(calls) == 1
