"""A network that makes the same of two tasks is found, whether it is read by hand or published."""

import pytest
import torch

from lurefusion.apis import init_model
from lurefusion.evaluation.prompt_check import tasks_alike
from lurefusion.models.lure_fast import LureFast
from lurefusion.registry import MODELS


@pytest.fixture
def network() -> LureFast:
    """Heads that are not zero, as after a training."""
    torch.manual_seed(0)
    cfg = dict(
        type='LureFast',
        modalities=('vi', 'ir'),
        chroma='vi',
        text_encoder=dict(backbone=dict(type='HashBag'), out_dim=32),
        widths=(4, 8, 8, 8),
        merger=dict(width=8, depth=3, context=2),
    )
    model = MODELS.build(cfg).eval()
    for head in (model.maps, model.merger.last):
        torch.nn.init.normal_(head.weight, std=0.1)
    # an untrained text encoder reads all sentences alike
    torch.nn.init.normal_(model.encoder.text.weight, std=3.0)
    return model


def test_a_network_that_reads_its_prompt_has_none(network):
    assert tasks_alike(network) == {}


@torch.no_grad()
def test_a_text_that_counts_for_nothing_makes_all_tasks_one(network):
    network.encoder.text.weight.zero_()
    found = tasks_alike(network)
    assert ('ll', 'hz') in found['vi']
    assert ('ll', 'pd') in found['vi']
    assert ('lc', 'sr') in found['ir']
    assert all('lc' not in pair for pair in found['vi'])


@torch.no_grad()
def test_a_layer_that_is_dead_under_two_texts_makes_these_one(network, monkeypatch):
    """As with ReLU in place of a leaky one: what an earlier lure-fast had for haze and over-exposure."""
    bank = network.prompts
    dead = network.encode_text([bank.canonical('hz'), bank.canonical('oe')])
    forward = network.encoder.forward

    def half_dead(blocks, c, m):
        alike = any(torch.allclose(c[0], text, atol=1e-4) for text in dead)
        return forward(blocks, c, m) * (0 if alike else 1)

    monkeypatch.setattr(network.encoder, 'forward', half_dead)
    assert tasks_alike(network) == {'vi': [('hz', 'oe')]}


def test_only_networks_that_restore_by_text_are_asked():
    assert tasks_alike(init_model('lurefusion::baselines/average_ir_vi.py')) == {}


@pytest.mark.parametrize('name', ['lure-tiny', 'lure-fast'])
def test_what_ships_reads_its_prompt(name):
    assert tasks_alike(init_model(name, device='cpu')) == {}
