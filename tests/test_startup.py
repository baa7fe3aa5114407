"""What starting imports: `--help` nothing heavy, fusing nothing that only training, testing or drawing scenes needs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from lurefusion.cli import main
from lurefusion.commands import evaluate
from lurefusion.engine import LAUNCHERS

COMMANDS = ('', 'fuse', 'eval', 'train', 'test', 'export', 'demo', 'info', 'completion')
LOADED = '\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))'
FUSE = """
import numpy as np
from lurefusion import FusionInferencer
noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
assert FusionInferencer('lure-tiny', device='cpu')(vi=noise, ir=noise[..., 0]).shape == (32, 32, 3)
"""
HELP = """
from lurefusion.cli import main
for command in {commands!r}:
    try:
        main([*command.split(), '--help'])
    except SystemExit as end:
        assert end.code == 0
"""


def modules_after(code: str) -> set[str]:
    done = subprocess.run([sys.executable, '-c', code + LOADED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_help_of_every_command_imports_no_torch() -> None:
    loaded = modules_after(HELP.format(commands=COMMANDS))
    assert 'lurefusion.commands.train' in loaded
    assert not loaded & {'torch', 'numpy', 'mmengine', 'cv2', 'transformers'}


def test_those_are_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(['--help'])
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.strip().startswith('{')][:1]
    assert line.strip().strip('{}').split(',') == list(COMMANDS[1:])


def test_fusing_imports_nothing_of_training() -> None:
    loaded = modules_after(FUSE)
    assert {'torch', 'lurefusion.models.lure'} <= loaded
    unwanted = ('mmengine.runner', 'mmengine.hooks', 'mmengine.dataset', 'mmengine.visualization', 'transformers',
                'bitsandbytes', 'torch._dynamo', 'lurefusion.engine.train', 'lurefusion.engine.hooks',
                'lurefusion.evaluation', 'lurefusion.datasets.scenes', 'lurefusion.datasets.degradations')  # fmt: skip
    assert not loaded & set(unwanted)


def test_optimizers_of_other_packages_are_there_for_training() -> None:
    pytest.importorskip('transformers')
    code = """
import lurefusion.models, sys
assert 'transformers' not in sys.modules
from lurefusion.registry import OPTIMIZERS
assert OPTIMIZERS.get('Adafactor').__module__.startswith('transformers')
import lurefusion.engine.optim
from mmengine.optim.optimizer import builder
assert builder.TRANSFORMERS_OPTIMIZERS == ['Adafactor']
"""
    assert 'transformers' in modules_after(code)


def test_what_the_arguments_repeat_is_the_same() -> None:
    from lurefusion import commands, export
    from lurefusion.apis.runners import RUNNERS
    from lurefusion.engine import stage_runner
    from lurefusion.evaluation.cards import VARIANT_CHOICES

    assert evaluate.VARIANTS == VARIANT_CHOICES
    assert stage_runner.LAUNCHERS is LAUNCHERS
    assert commands.export.PRECISIONS == export.PRECISIONS
    assert commands.fuse.RUNNERS == RUNNERS
