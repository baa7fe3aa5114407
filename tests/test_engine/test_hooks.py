"""Frozen parts are proven frozen; a change is found."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.logging import MMLogger
from torch import nn

from lurefusion.engine.hooks import FrozenCheckHook, LatentDiagnosticsHook, LatentProbeHook, StripHook
from lurefusion.evaluation.latents import Latents
from lurefusion.io.images import read_image
from lurefusion.models.base import FusionModel
from lurefusion.models.data_preprocessor import FusionDataPreprocessor
from lurefusion.structures import FusionDataSample
from lurefusion.weights import weights_digest


def runner_of(model: nn.Module) -> SimpleNamespace:
    return SimpleNamespace(model=model, logger=MMLogger.get_instance('test_hooks'), iter=0, hooks=[])


class Net(FusionModel):
    """Two parts, of which the first is frozen."""

    size_divisor = 1

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(2, 2), nn.Linear(2, 2)
        self.freeze(('encoder',))

    def core(self, images, text=None):
        return images[0]

    def forward(self, inputs, data_samples=None, mode='tensor'):
        raise NotImplementedError


def test_frozen_check_finds_the_smallest_change():
    net, hook = Net(), FrozenCheckHook()
    runner = runner_of(net)
    hook.before_train(runner)
    with torch.no_grad():
        net.decoder.weight += 1
    hook.after_train(runner)
    with torch.no_grad():
        net.encoder.bias[0] = torch.nextafter(net.encoder.bias[0], torch.tensor(9.0))
    with pytest.raises(RuntimeError, match='frozen parts changed during training: encoder'):
        hook.after_train(runner)


@pytest.mark.parametrize(('iteration', 'asked'), [(0, False), (8, False), (9, True), (19, True)])
def test_diagnostics_every_interval(iteration, asked):
    net = Net()
    assert net.diagnose is False
    runner = SimpleNamespace(model=net, iter=iteration)
    LatentDiagnosticsHook(interval=10).before_train_iter(runner, 0)
    assert net.diagnose is asked


class Pooled(nn.Module):
    """The least that can be probed."""

    modalities = ('vi',)

    def __init__(self) -> None:
        super().__init__()
        self.image_encoder = nn.Conv2d(3, 4, 1)
        self.data_preprocessor = FusionDataPreprocessor()

    def latents(self, x, data_samples):
        return [self.image_encoder(x)]


SCENES = dict(type='EmbeddedRestoration', num=2, size=(64, 64), modality='vi', test_mode=True)
PROBE = dict(
    type='MixDataset',
    pipeline=[dict(type='CenterCrop', size=32), dict(type='Degrade'), dict(type='PackInputs')],
    datasets=[
        dict(SCENES, task='ll', degradation=dict(type='LowLight')),
        dict(SCENES, task='pd', degradation=dict(type='Identity')),
    ],
)


def probed(tmp_path, hook, start=0, frozen=(), net=None, hooks=()):
    runner = runner_of(net or Pooled())
    runner.hooks += hooks
    runner.model.frozen = frozen
    runner.work_dir, runner.max_iters, runner.iter = str(tmp_path), 10, start
    hook.before_train(runner)
    for runner.iter in range(start, 10):
        hook.after_train_iter(runner, runner.iter)
    return sorted(path.name for path in (tmp_path / 'latents').glob('*'))


def test_latents_are_recorded_at_the_chosen_steps(tmp_path):
    hook = LatentProbeHook(PROBE, fractions=(0, 0.3, 1))
    assert probed(tmp_path, hook) == ['iter_0.npz', 'iter_10.npz', 'iter_3.npz']
    latents = Latents.load(tmp_path / 'latents' / 'iter_3.npz')
    assert latents.iteration == 3
    assert latents.features.shape == (4, 4)
    assert probed(tmp_path / 'other', LatentProbeHook(PROBE, iterations=(2, 5))) == ['iter_2.npz', 'iter_5.npz']


def test_averaged_weights_are_recorded_and_the_training_goes_on_with_its_own(tmp_path):
    nets = [Pooled() for _ in range(2)]
    average = EMAHook()
    average.before_run(SimpleNamespace(model=nets[0]))
    average.ema_model.module.load_state_dict(nets[1].state_dict())
    before = weights_digest(nets[0].state_dict())
    probed(tmp_path / 'both', LatentProbeHook(PROBE, iterations=(0, 5)), net=nets[0], hooks=[average])
    assert weights_digest(nets[0].state_dict()) == before
    for step, net in zip((0, 5), nets, strict=True):
        # nothing is averaged before the first step
        probed(tmp_path / 'alone', LatentProbeHook(PROBE, iterations=(step,)), net=net)
        both, alone = (Latents.load(tmp_path / name / f'latents/iter_{step}.npz') for name in ('both', 'alone'))
        np.testing.assert_array_equal(both.features, alone.features)


def test_a_resumed_run_records_only_what_is_ahead(tmp_path):
    assert probed(tmp_path, LatentProbeHook(PROBE, fractions=(0, 0.3, 1)), start=4) == ['iter_10.npz']


def test_a_frozen_encoder_is_not_recorded(tmp_path):
    assert probed(tmp_path, LatentProbeHook(PROBE), frozen=('image_encoder',)) == []


def test_a_missing_probe_is_an_error_unless_it_may_be_skipped(tmp_path, monkeypatch):
    monkeypatch.setenv('LUREFUSION_DATA', str(tmp_path / 'nothing'))
    with pytest.raises(FileNotFoundError, match='MSRS/test_dev'):
        probed(tmp_path, LatentProbeHook())
    assert probed(tmp_path, LatentProbeHook(missing='skip')) == []


@pytest.mark.parametrize('wrong', [dict(fractions=(2,)), dict(iterations=(-1,)), dict(missing='perhaps')])
def test_wrong_options_of_the_probe(wrong):
    with pytest.raises(ValueError, match=r'fractions lie in|missing must be'):
        LatentProbeHook(**wrong)


def test_pictures_of_one_name_do_not_replace_each_other(tmp_path):
    hook = StripHook(max_test=0)
    runner = SimpleNamespace(test_loop=SimpleNamespace(current='all'), work_dir=str(tmp_path))
    for level in (0.0, 0.5, 1.0):
        sample = FusionDataSample(metainfo=dict(name='1'))
        sample.set_data(dict(pred=torch.full((3, 8, 8), level)))
        hook.after_test_iter(runner, 0, outputs=[sample])
    found = {path.name: int(read_image(path)[0].mean()) for path in (tmp_path / 'fused/all').iterdir()}
    assert found == {'1.png': 0, '1_2.png': 128, '1_3.png': 255}
