"""Plug-ins that are wrong, as their authors meet them: through a config, a training, the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from lurefusion.config import load_config
from lurefusion.engine.pipeline import train
from lurefusion.registry import IMAGE_ENCODERS, MODELS

ENCODER = """
from torch import nn
from lurefusion.models.image_encoders import ImageEncoder
from lurefusion.registry import IMAGE_ENCODERS


@IMAGE_ENCODERS.register_module()
class TwoLevels(ImageEncoder):
    def __init__(self, text_dim, num_modalities, declares=(8, 12)):
        super().__init__(text_dim, num_modalities, out_channels=declares, strides=(1, 2))
        self.fine, self.coarse = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 12, 2, stride=2)

    def forward(self, x, c, m):
        fine = self.fine(x)
        return [fine, self.coarse(fine)]
"""
RULE = """
import torch
from lurefusion.models.fusion import FusionRule
from lurefusion.registry import FUSION_RULES


@FUSION_RULES.register_module(name='beside')
class Beside(FusionRule):
    def forward(self, z):
        return torch.cat(z, dim=1)
"""
TWO_LEVELS = """
model = dict(
    prompts=dict(per_template=1),
    image_encoder=dict(_delete_=True, type='TwoLevels'),
    decoder=dict(K_dec=(1, 1), widths=None),
    fuser=dict(K_f=(1, 1), widths=None),
)
"""


def config(folder: Path, text: str, module: str = '', code: str = '', base: str = 'stage2_demo') -> Path:
    """A config beside the module that it imports."""
    if module:
        (folder / f'{module}.py').write_text(code)
        text = f'custom_imports = dict(imports=[{module!r}])\n{text}'
    file = folder / 'own.py'
    file.write_text(f"_base_ = 'lurefusion::lure/{base}.py'\n{text}")
    return file


def test_encoder_whose_channels_do_not_fit_names_both_keys(forget_plugins: Path) -> None:
    file = config(forget_plugins, TWO_LEVELS, 'plug_encoder', ENCODER)
    MODELS.build(load_config(file).model)
    cfg = load_config(file, {'+model.decoder.channels': (8, 16)})
    with pytest.raises(
        ValueError, match=r'model\.decoder\.channels=\(8, 16\) does not fit model\.image_encoder \(TwoL'
    ):
        MODELS.build(cfg.model)


def test_encoder_that_does_not_return_what_it_declares(forget_plugins: Path) -> None:
    import torch

    file = config(forget_plugins, TWO_LEVELS, 'plug_liar', ENCODER)
    model = MODELS.build(load_config(file, {'+model.image_encoder.declares': (8, 16)}).model)
    message = (
        r'TwoLevels\) returned latents of \(8, 12\) channels and declares out_channels=\(8, 16\), which model\.dec'
    )
    with pytest.raises(ValueError, match=message):
        model(dict.fromkeys(('vi', 'ir'), torch.rand(1, 3, 16, 16)))


def test_rule_that_returns_another_shape_stops_the_training(forget_plugins: Path) -> None:
    text = """
model = dict(fuser=dict(rule=dict(_delete_=True, type='beside')), prompts=dict(per_template=1))
init_from = None
train_dataloader = dict(batch_size=1, dataset=dict(num=1, size=(32, 32), pipeline=[dict(type='PackInputs')]))
val_cfg = val_dataloader = val_evaluator = None
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
"""
    file = config(forget_plugins, text, 'plug_rule', RULE)
    with pytest.raises(
        ValueError,
        match=r'rule Beside returned \(1, 24, 16, 16\) for latents of \(1, 12, 16, 16\); a rule keeps the shape',
    ):
        train(file)


def test_name_that_is_taken(forget_plugins: Path) -> None:
    file = config(forget_plugins, '', 'plug_twice', RULE.replace("'beside'", "'l1'"))
    with pytest.raises(ImportError) as caught:
        load_config(file)
    message = str(caught.value)
    assert "custom_imports names 'plug_twice', which fails to import" in message
    assert "'l1' is already a registered fusion rule (lurefusion.models.fusion.L1Rule)" in message
    assert 'plug_twice.Beside needs another name, or force=True' in message
    assert 'plug_twice.py", line' in message


def test_loss_registered_as_an_encoder(forget_plugins: Path) -> None:
    code = """
from lurefusion.models.losses import Loss
from lurefusion.registry import IMAGE_ENCODERS


@IMAGE_ENCODERS.register_module()
class Odd(Loss):
    pass
"""
    with pytest.raises(ImportError, match=r"'Odd' is not a image encoder: it does not derive from .*ImageEncoder"):
        load_config(config(forget_plugins, '', 'plug_odd', code))
    assert 'Odd' not in IMAGE_ENCODERS


@pytest.mark.parametrize(
    ('name', 'error', 'message'),
    [
        ('ColorLoss', KeyError, r"'ColorLoss' is not a registered image encoder\..* It is one of another kind: loss\."),
        (
            'lurefusion.models.losses.ColorLoss',
            TypeError,
            "'ColorLoss' is not a image encoder: it does not derive from",
        ),
    ],
)
def test_loss_named_as_an_encoder(forget_plugins: Path, name: str, error: type[Exception], message: str) -> None:
    cfg = load_config(config(forget_plugins, f'model = dict(image_encoder=dict(_delete_=True, type={name!r}))'))
    with pytest.raises(error, match=message):
        MODELS.build(cfg.model)


def test_plugin_that_fails_shows_its_own_traceback(forget_plugins: Path) -> None:
    file = config(forget_plugins, '', 'plug_broken', 'def grow():\n    return 1 / 0\n\n\ngrow()\n')
    with pytest.raises(ImportError) as caught:
        load_config(file)
    message = str(caught.value)
    for part in (
        "custom_imports names 'plug_broken'",
        'ZeroDivisionError: division by zero',
        'in grow',
    ):
        assert part in message
    # the core works on
    MODELS.build(load_config('lurefusion::lure/stage2_demo.py', {'+model.prompts.per_template': 1}).model)
