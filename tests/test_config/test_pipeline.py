"""Pipelines: stages and their shares of the options, scales."""

from __future__ import annotations

from pathlib import Path

import pytest

from lurefusion.config import load_stages


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    file = tmp_path / 'demo.py'
    file.write_text("stages = ['lurefusion::lure/stage1_demo.py', 'lurefusion::lure/stage2_demo.py']\n")
    return file


@pytest.mark.parametrize(
    ('key', 'value', 'expected'),
    [
        ('+model.losses.ssim', dict(type='SSIMLoss'), [False, True]),
        ('model.losses.ssim', dict(type='SSIMLoss'), [False, True]),
        ('model.losses', dict(ssim=dict(type='SSIMLoss')), [False, True]),
        ('model.losses.mean', dict(type='MeanLatentLoss'), [True, False]),
        ('+model.losses.again', dict(type='DetailLoss'), [True, False]),
        ('+train_dataloader.sampler.ratios', dict(ll=2.0), [True, False]),
        ('+train_dataloader.dataset.difficulty', 'smoke', [False, True]),
        ('+model.decoder.skip', 'sum', [True, True]),
        ('+train_cfg.val_begin', 3, [True, True]),
        ('+train_dataloader.nonsense', 3, [True, True]),
    ],
)
def test_a_stage_takes_what_it_can_use(demo: Path, key: str, value: object, expected: list[bool]) -> None:
    _, before = load_stages(demo)
    for how in ('options', 'file'):
        if how == 'file':
            demo.write_text(f'{demo.read_text()}options = {{{key!r}: {value!r}}}\n')
        _, after = load_stages(demo, {key: value} if how == 'options' else None)
        taken = [old.to_dict() != new.to_dict() for old, new in zip(before, after, strict=True)]
        assert taken == expected, how


def test_an_heir_finds_the_stages_of_its_base(tmp_path: Path) -> None:
    (tmp_path / 'a').mkdir()
    (tmp_path / 'b').mkdir()
    (tmp_path / 'a/first.py').write_text("_base_ = 'lurefusion::lure/stage1_tiny_ir_vi.py'\n")
    (tmp_path / 'a/pipe.py').write_text("stages = ['first.py']\n")
    (tmp_path / 'b/heir.py').write_text("_base_ = '../a/pipe.py'\noptions = {'model.losses.text.weight': 0.5}\n")
    names, (cfg,) = load_stages(tmp_path / 'b/heir.py')
    assert names == ['first']
    assert (cfg.filename, cfg.model.losses.text.weight) == (str(tmp_path / 'a/first.py'), 0.5)


# Scales


def test_a_scale_has_stages_and_options_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / 'pipe.py'
    file.write_text(
        "stages = ['lurefusion::lure/stage1_ir_vi.py']\noptions = {'model.losses.text.weight': 0.5}\n"
        "scales = dict(small=dict(stages=['small.py']))\n"
    )
    (tmp_path / 'small.py').write_text("_base_ = 'lurefusion::lure/stage1_demo.py'\n")
    (tmp_path / 'other').mkdir()
    heir = tmp_path / 'other/heir.py'
    heir.write_text("_base_ = '../pipe.py'\nscales = dict(small=dict(options={'model.losses.detail.weight': 3}))\n")
    names, (cfg,) = load_stages(heir)
    assert (names, cfg.model.losses.text.weight) == (['stage1_ir_vi'], 0.5)
    names, (cfg,) = load_stages(heir, ['scale=small', 'model.losses.recon.weight=7'])
    weights = [cfg.model.losses[name].weight for name in ('text', 'detail', 'recon')]
    assert (names, weights) == (['small'], [0.5, 3, 7])


def test_a_scale_that_is_none(demo: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyError, match=r"lure_ir_vi.py has no scale 'tyni'. Did you mean 'tiny'"):
        load_stages('lurefusion::lure/lure_ir_vi.py', {'scale': 'tyni'})
    with pytest.raises(KeyError, match=r"demo.py has no scale 'tiny'. Known: none"):
        load_stages(demo, {'scale': 'tiny'})
    with pytest.raises(KeyError, match=r"the config has no key 'scale'"):
        load_stages('lurefusion::lure/stage1_demo.py', {'scale': 'tiny'})
    (tmp_path / 'stage.py').write_text("_base_ = 'lurefusion::lure/stage1_demo.py'\nscales = dict(tiny={})\n")
    with pytest.raises(ValueError, match='scales has an effect beside stages'):
        load_stages(tmp_path / 'stage.py')
