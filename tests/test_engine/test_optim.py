"""Parameter groups and bfloat16 on the CPU."""

import pytest
import torch
from torch import nn

from lurefusion.engine.optim import CPUAmpOptimWrapper, GroupedOptimWrapperConstructor


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(2, 2)
        self.gate = nn.Linear(2, 2)
        self.decoder = nn.Linear(2, 2)


def build(net: nn.Module, **paramwise):
    cfg = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.1))
    return GroupedOptimWrapperConstructor(cfg, paramwise)(net)


def test_groups_by_decay_and_rate_without_frozen_parameters():
    net = Net()
    net.encoder.requires_grad_(False)
    groups = build(net, no_decay=('gate',), lr_mult={'decoder': 0.1}).optimizer.param_groups
    found = {(g['lr'], g['weight_decay']): {id(p) for p in g['params']} for g in groups}
    assert found == {
        (1.0, 0.0): {id(net.gate.weight), id(net.gate.bias)},
        (0.1, 0.1): {id(net.decoder.weight)},
        (0.1, 0.0): {id(net.decoder.bias)},
    }


def test_unknown_paramwise_key_is_refused():
    with pytest.raises(ValueError, match='custom_keys'):
        build(Net(), custom_keys={})
    with pytest.raises(ValueError, match="lr_mult: no parameter has 'decodr' in its name"):
        build(Net(), lr_mult={'decodr': 0.1})
    cfg = dict(type='OptimWrapper', optimizer=dict(type='Adam'))
    with pytest.raises(ValueError, match='needs a rate, lr'):
        GroupedOptimWrapperConstructor(cfg)(Net())


def test_cpu_amp_computes_in_bfloat16_and_updates_in_float32():
    net = nn.Linear(4, 4)
    wrapper = CPUAmpOptimWrapper(torch.optim.SGD(net.parameters(), lr=0.1))
    before = net.weight.clone()
    with wrapper.optim_context(net):
        out = net(torch.ones(1, 4))
    assert out.dtype == torch.bfloat16
    wrapper.update_params(out.float().sum())
    assert net.weight.dtype == torch.float32
    assert not torch.equal(net.weight, before)


def test_the_longest_part_of_a_name_decides_its_rate():
    groups = build(Net(), lr_mult={'e': 0.1, 'decoder': 5.0}).optimizer.param_groups
    rates = {g['lr'] for g in groups for p in g['params'] if p.shape == (2, 2)}
    # encoder and gate have an e in their names
    assert rates == {0.1, 5.0}


def test_one_text_is_one_name():
    net = Net()
    groups = build(net, no_decay='coder').optimizer.param_groups
    spared = {id(p) for g in groups if g['weight_decay'] == 0 for p in g['params']}
    assert id(net.gate.weight) not in spared
    assert {id(net.encoder.weight), id(net.decoder.weight)} <= spared
