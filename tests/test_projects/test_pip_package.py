"""Plug-ins as pip packages of other people: built, installed, found, trained with; a broken one among them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETUP = """
from setuptools import setup
setup(name={name!r}, version='1.0', packages=[{name!r}], entry_points={entry_points!r})
"""
BY_ENTRY_POINT = """
import torch
from lurefusion.models.fusion import FusionRule
from lurefusion.registry import FUSION_RULES


@FUSION_RULES.register_module(name='weakest')
class Weakest(FusionRule):
    def forward(self, z):
        return torch.stack(z).amin(0)
"""
BY_CUSTOM_IMPORTS = """
from torch import Tensor
from lurefusion.models.losses import Loss
from lurefusion.registry import LOSSES


@LOSSES.register_module()
class Midway(Loss):
    needs = ('fused', 'sources')

    def forward(self, fused: Tensor, sources: dict[str, Tensor]) -> Tensor:
        return (fused - sum(sources.values()) / len(sources)).square().mean()
"""
BROKEN = 'def open_shop():\n    raise RuntimeError("closed today")\n\n\nopen_shop()\n'
CONFIG = """
_base_ = 'lurefusion::lure/stage2_tiny_ir_vi.py'
custom_imports = dict(imports=['lf_imported'])
model = dict(
    prompts=dict(per_template=1),
    fuser=dict(rule=dict(_delete_=True, type='weakest')),
    losses=dict(midway=dict(type='Midway', weight=0.5)),
)
init_from = None
train_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        _delete_=True, type='EmbeddedScenes', num=1, size=(32, 32),
        pipeline=[dict(type='RandomCrop', size=16), dict(type='PackInputs')],
    ),
)
val_cfg = val_dataloader = val_evaluator = None
train_cfg = dict(max_iters=10)
default_hooks = dict(logger=dict(interval=5))
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
"""


def write_package(folder: Path, name: str, code: str, entry: bool) -> Path:
    source = folder / name
    (source / name).mkdir(parents=True)
    (source / name / '__init__.py').write_text(code)
    points = {'lurefusion.plugins': [f'{name} = {name}']} if entry else {}
    (source / 'setup.py').write_text(SETUP.format(name=name, entry_points=points))
    return source


@pytest.mark.slow
def test_installed_plugins_train_ten_iterations_beside_a_broken_one(tmp_path: Path) -> None:
    sources = [
        write_package(tmp_path / 'sources', 'lf_entry', BY_ENTRY_POINT, entry=True),
        write_package(tmp_path / 'sources', 'lf_imported', BY_CUSTOM_IMPORTS, entry=False),
        write_package(tmp_path / 'sources', 'lf_broken', BROKEN, entry=True),
    ]
    site, run = tmp_path / 'site', tmp_path / 'run'
    install = [
        sys.executable,
        '-m',
        'pip',
        'install',
        '--no-deps',
        '--no-build-isolation',
        '--no-index',
        '--no-compile',
    ]
    done = subprocess.run([*install, '--target', str(site), *map(str, sources)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {'lf_entry', 'lf_imported', 'lf_broken'} <= {path.name for path in site.iterdir()}
    run.mkdir()
    (run / 'own.py').write_text(CONFIG)
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(site), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, str(ROOT / 'tools' / 'train.py'), 'own.py'],
        capture_output=True, text=True, cwd=run, env=environment,
    )  # fmt: skip
    log = done.stdout + done.stderr
    assert done.returncode == 0, log[-3000:]
    assert "plug-in 'lf_broken' (lf_broken) failed to import and is left out" in log
    assert 'in open_shop' in log
    assert 'RuntimeError: closed today' in log
    assert 'loss_midway' in log
    assert (run / 'work_dirs/own/iter_10.pth').is_file()


def test_a_plugin_may_start_from_the_paper_scale(tmp_path: Path) -> None:
    from lurefusion.config import load_config

    file = tmp_path / 'own.py'
    file.write_text(
        "_base_ = 'lurefusion::lure/stage2_ir_vi.py'\nmodel = dict(fuser=dict(rule=dict(type='weakest')))\n"
    )
    cfg = load_config(file)
    assert cfg.model.fuser.rule.type == 'weakest'
    assert cfg.model.fuser.K_f == (1, 1, 2, 2)
    assert cfg.default_scope == 'lurefusion'
