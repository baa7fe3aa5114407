"""The latent space of a training: recorded by the hook, printed and drawn by the tool."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from lurefusion.engine.pipeline import train
from lurefusion.evaluation.latents import Latents
from lurefusion.studies.latent_panels import compare

PROBE = """
scenes = dict(type='EmbeddedRestoration', num=3, size=(64, 64), test_mode=True)
probe = dict(
    type='MixDataset',
    pipeline=[dict(type='CenterCrop', size=32), dict(type='Degrade'), dict(type='PackInputs')],
    datasets=[
        dict(scenes, task='ll', modality='vi', degradation=dict(type='LowLight')),
        dict(scenes, task='pd', modality='vi', degradation=dict(type='Identity')),
        dict(scenes, task='lc', modality='ir', degradation=dict(type='LowContrast')),
        dict(scenes, task='pd', modality='ir', degradation=dict(type='Identity')),
    ],
)
"""
WORDS = dict(records=(), weights=None, config=None, probe='probe.py', data_root=None, out=None, save=None)


@pytest.fixture
def run():
    return lambda **words: compare(**{**WORDS, **words})


def test_training_records_and_the_tool_shows_it(small, run, capsys):
    Path('probe.py').write_text(PROBE)
    hook = dict(type='LatentProbeHook', dataset='probe.py', fractions=(0, 1))
    path = train(small / 'small_stage1.py', work_dir='run', options={'default_hooks.probe': hook})
    assert {p.name for p in Path('run/latents').iterdir()} == {'iter_0.npz', 'iter_6.npz'}
    capsys.readouterr()
    run(records=['run'], out='panels.png')
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith('| modality, record | silhouette | linear probe | chance | Frechet |')
    rows = [line.split(' |')[0] for line in lines[2:6]]
    assert rows == ['| vi, run at 0', '| vi, run at 6', '| ir, run at 0', '| ir, run at 6']
    height, width, _ = cv2.imread('panels.png').shape
    assert width > 1.2 * height / 2
    # the checkpoint, probed afterwards, has the latents that the hook saw
    run(weights=str(path), config=str(small / 'small_stage1.py'), save='again.npz')
    np.testing.assert_allclose(
        Latents.load('again.npz').features, Latents.load('run/latents/iter_6.npz').features, atol=1e-6
    )


def test_mistakes_are_named(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('probe.py').write_text(PROBE)
    with pytest.raises(FileNotFoundError, match=r'no latents/\*\.npz in nowhere'):
        run(records=['nowhere'])
    with pytest.raises(ValueError, match='--weights'):
        run()
    with pytest.raises(FileNotFoundError, match="Did you mean 'lure-tiny'"):
        run(weights='lure-tini')
