"""What `core` and its parts do depends on sizes, never on values: they export, and one graph serves every picture."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from lurefusion.models.baselines import METHODS
from lurefusion.models.lure import LURE
from lurefusion.registry import DECODERS, FUSERS, FUSION_RULES, IMAGE_ENCODERS, INTERACTIONS, MODELS

# An export costs seconds: each kind of layer is there once, lure-tiny's parts run those of the paper, the rule whose
# sizes are hard to follow is exported by itself.
TGA = dict(type='TGA', num_heads=2, ffn_ratio=1.0)
SIZES = dict(channels=(12, 4), latent_channels=(12, 3), K_bt=(1, 0), K_tb=(1, 1), interaction=TGA)
ENCODERS = dict(
    LUREEncoder=SIZES,
    LURETinyEncoder=dict(SIZES, detail=dict(width=4), picture_latents=True),
)
TINY = dict(
    image_encoder=dict(ENCODERS['LURETinyEncoder'], type='LURETinyEncoder'),
    decoder=dict(type='LURETinyDecoder', K_dec=(0, 0), widths=(12, 4)),
    fuser=dict(type='LURETinyFuser', K_f=(0, 0), widths=(4, 4), chroma=0, rule='l1'),
)


class Core(nn.Module):
    """`core` as a module of its own, which is what can be exported."""

    def __init__(self, model: LURE) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: tuple[Tensor, ...], text: Tensor) -> Tensor:
        return self.model.core(images, text)


def build() -> LURE:
    torch.manual_seed(0)
    text = dict(backbone=dict(type='HashBag', dim=16), out_dim=8)
    model = LURE('fusion', ('vi', 'ir'), text, prompts=dict(per_template=1), **TINY).eval()
    for p in model.parameters():
        if not p.any():
            p.data = 0.2 * torch.randn(p.shape)
    return model


@torch.no_grad()
def test_core_exports_with_sizes_left_open() -> None:
    model = build()
    step = model.size_divisor
    rows, columns = Dim('rows', min=16 // step, max=8192 // step), Dim('columns', min=16 // step, max=8192 // step)
    sizes = {2: step * rows, 3: step * columns}
    images, text = tuple(torch.rand(1, 3, 24, 32) for _ in range(2)), torch.randn(2, model.text_encoder.dim)
    graph = torch.export.export(Core(model), (images, text), dynamic_shapes=((sizes, sizes), None), strict=False)
    # no nested graphs, which back-ends do not all take
    assert not [node for node in graph.graph.nodes if node.op == 'get_attr' and 'submod' in str(node.target)]
    for size in ((24, 32), (16, 52)):
        pair = tuple(torch.rand(1, 3, *size) for _ in range(2))
        pair[1][:] = pair[1][:, :1]
        for said in (text, -text):
            torch.testing.assert_close(graph.module()(pair, said), model.core(pair, said), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_rule_of_lure_tiny_exports_for_odd_and_even_sizes() -> None:
    rule = FUSION_RULES.build(dict(type='l1_pyramid', power=1.25, base_power=0.25, levels=1))
    sizes = {2: Dim('rows', min=12, max=512), 3: Dim('columns', min=12, max=512)}
    example = [torch.rand(1, 3, 12, 16) for _ in range(2)]
    graph = torch.export.export(rule, (example,), dynamic_shapes=([sizes, sizes],), strict=False).module()
    for size in ((13, 17), (18, 12), (15, 22)):
        z = [torch.randn(1, 3, *size) for _ in range(2)]
        torch.testing.assert_close(graph(z), rule(z), atol=1e-5, rtol=1e-5)


# On the device "meta" tensors have sizes and no values: whoever looks at a value fails there, and costs nothing.


def meta(build_it: Any) -> nn.Module:
    with torch.device('meta'):
        return build_it().eval()


def latents(channels: tuple[int, ...], batch: int = 2, side: int = 32) -> list[Tensor]:
    return [torch.empty(batch, c, side >> i, side >> i, device='meta') for i, c in enumerate(channels)]


def test_the_check_finds_a_branch_on_a_value() -> None:
    x = torch.empty(2, 3, device='meta')
    for look in (lambda: bool(x.any()), lambda: x.max().item(), lambda: x.tolist()):
        with pytest.raises((RuntimeError, NotImplementedError)):
            look()


@pytest.mark.parametrize('kind', INTERACTIONS.known())
def test_interactions_look_at_no_value(kind: str) -> None:
    block = meta(lambda: INTERACTIONS.build(kind, channels=8, text_dim=6))
    x = torch.empty(2, 8, 6, 5, device='meta')
    assert block(x, torch.empty(2, 6, device='meta')).shape == x.shape


@pytest.mark.parametrize('kind', FUSION_RULES.known())
def test_rules_look_at_no_value(kind: str) -> None:
    z = [latents((4,))[0] for _ in range(3)]
    assert FUSION_RULES.build(kind)(z).shape == z[0].shape


@pytest.mark.parametrize(('kind', 'attention'), itertools.product(FUSERS.known(), ('transposed', 'window')))
def test_fusers_look_at_no_value(kind: str, attention: str) -> None:
    options = {} if kind == 'RuleFuser' else dict(K_f=(1, 1), num_heads=2, attention=attention)
    options |= dict(chroma=1) if kind == 'LURETinyFuser' else {}
    fuser = meta(lambda: FUSERS.build(dict(type=kind, **options), channels=(12, 6), num_modalities=2))
    assert [z.shape for z in fuser([latents((12, 6))] * 2)] == [z.shape for z in latents((12, 6))]


@pytest.mark.parametrize(('kind', 'skip'), itertools.product(DECODERS.known(), ('add', 'concat')))
def test_decoders_look_at_no_value(kind: str, skip: str) -> None:
    options = dict(identity_start=False) if kind == 'LURETinyDecoder' else {}
    cfg = dict(type=kind, K_dec=(1, 1), skip=skip, **options)
    decoder = meta(lambda: DECODERS.build(cfg, channels=(4, 8), strides=(2, 4)))
    assert decoder(latents((4, 8))).shape == (2, 3, 64, 64)


@pytest.mark.parametrize('kind', ENCODERS)
def test_encoders_look_at_no_value(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # the one look that there is, at texts that ask for no detail, is not taken where a graph is made
    monkeypatch.setattr(torch.compiler, 'is_compiling', lambda: True)
    encoder = meta(lambda: IMAGE_ENCODERS.build(dict(ENCODERS[kind], type=kind), text_dim=8, num_modalities=2))
    x, c = torch.empty(2, 3, 32, 24, device='meta'), torch.empty(2, 8, device='meta')
    z = encoder(x, c, torch.zeros(2, dtype=torch.long, device='meta'))
    assert [s.shape[1] for s in z] == list(encoder.out_channels)


@pytest.mark.parametrize('method', METHODS)
def test_baselines_look_at_no_value(method: str) -> None:
    model = MODELS.build(dict(type='BaselineFuser', method=method))
    images = tuple(torch.empty(1, 3, 33, 47, device='meta') for _ in range(2))
    assert model.core(images).shape == images[0].shape
