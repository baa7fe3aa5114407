"""Frozen parts are proven frozen; a change is found."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MMLogger
from torch import nn

from lurefusion.engine.hooks import FrozenCheckHook, LatentDiagnosticsHook, tensors_digest


def runner_of(model: nn.Module) -> SimpleNamespace:
    return SimpleNamespace(model=model, logger=MMLogger.get_instance('test_hooks'), iter=0)


def model() -> nn.Module:
    net = nn.ModuleDict(dict(encoder=nn.Linear(2, 2), decoder=nn.Linear(2, 2)))
    net.frozen = ('encoder',)
    net.__dict__['encoder'] = net['encoder']
    return net


def test_frozen_check_finds_the_smallest_change():
    net, hook = model(), FrozenCheckHook()
    runner = runner_of(net)
    hook.before_train(runner)
    with torch.no_grad():
        net['decoder'].weight += 1
    hook.after_train(runner)
    with torch.no_grad():
        net['encoder'].bias[0] = torch.nextafter(net['encoder'].bias[0], torch.tensor(9.0))
    with pytest.raises(RuntimeError, match='frozen parts changed during training: encoder'):
        hook.after_train(runner)


def test_digest_depends_on_names_and_values():
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    b.load_state_dict(a.state_dict())
    assert tensors_digest(a) == tensors_digest(b)
    assert tensors_digest(nn.Sequential(a)) != tensors_digest(a)


@pytest.mark.parametrize(('iteration', 'asked'), [(0, False), (8, False), (9, True), (19, True)])
def test_diagnostics_every_interval(iteration, asked):
    net = nn.Linear(1, 1)
    runner = SimpleNamespace(model=net, iter=iteration)
    LatentDiagnosticsHook(interval=10).before_train_iter(runner, 0)
    assert net.diagnose is asked
