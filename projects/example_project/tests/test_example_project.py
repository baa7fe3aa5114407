"""Every part of the project alone, and a training with all of them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from example_project import ContrastRule, Stripes, SuffixPairs, TextShift

from lurefusion.engine.pipeline import train
from lurefusion.engine.test import test as evaluate
from lurefusion.evaluation import compute
from lurefusion.io.images import write_image
from lurefusion.registry import DEGRADATIONS, FUSION_RULES, INTERACTIONS
from lurefusion.weights import read_weights

PROJECT = Path(__file__).resolve().parents[1]


def test_rule_prefers_contrast_and_stays_between_its_sources() -> None:
    rule = FUSION_RULES.build(dict(type='contrast', window=3))
    assert isinstance(rule, ContrastRule)
    noise = torch.randn(2, 4, 9, 11, generator=torch.Generator().manual_seed(0)).requires_grad_()
    flat = torch.full_like(noise, 0.5).detach()
    fused = rule([noise, flat])
    assert fused.shape == noise.shape
    assert (fused - noise).abs().mean() < 0.01 < (fused - flat).abs().mean()
    low, high = torch.minimum(noise, flat) - 1e-6, torch.maximum(noise, flat) + 1e-6
    assert bool(((fused >= low) & (fused <= high)).all())
    torch.testing.assert_close(rule([flat, flat]), flat)
    fused.sum().backward()
    assert bool(noise.grad.isfinite().all())
    with pytest.raises(ValueError, match='odd and positive, got 4'):
        ContrastRule(4)


def test_interaction_starts_as_identity_and_listens_to_the_text() -> None:
    block = INTERACTIONS.build(dict(type='TextShift'), channels=6, text_dim=5)
    assert isinstance(block, TextShift)
    generator = torch.Generator().manual_seed(0)
    x, c = torch.randn(2, 6, 8, 10, generator=generator), torch.randn(2, 5, generator=generator)
    torch.testing.assert_close(block(x, c), x)
    torch.nn.init.normal_(block.mix.weight, generator=generator)
    assert not torch.allclose(block(x, c), block(x, -c))
    block(x, c).square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in block.parameters())
    with pytest.raises(TypeError, match='channelz'):
        INTERACTIONS.build(dict(type='TextShift', channelz=6), channels=6, text_dim=5)


@pytest.mark.parametrize('shape', [(12, 20), (12, 20, 3)])
def test_stripes_are_constant_along_columns_and_seeded(shape: tuple[int, ...]) -> None:
    degradation = DEGRADATIONS.build(dict(type='Stripes', strength=(0.1, 0.1)))
    image = np.full(shape, 0.5, np.float32)
    spoilt, parameters = degradation(image, np.random.default_rng(3))
    again, _ = degradation(image, np.random.default_rng(3))
    np.testing.assert_array_equal(spoilt, again)
    assert np.ptp(spoilt, axis=0).max() == 0
    assert spoilt.std() == pytest.approx(0.1, rel=0.5)
    assert parameters['strength'] == pytest.approx(0.1)
    with pytest.raises(ValueError, match='ascending'):
        Stripes((0.2, 0.1))


def test_metric_counts_what_the_degradation_adds() -> None:
    image = np.random.default_rng(0).random((24, 40, 3), np.float32)
    spoilt, _ = Stripes((0.1, 0.1))(image, np.random.default_rng(1))
    even, uneven = (torch.from_numpy(x).permute(2, 0, 1)[None] for x in (image, spoilt))

    def measure(fused: torch.Tensor, **sources: torch.Tensor) -> float:
        return float(compute(fused, sources, ['Striped'])['Striped'])

    def steps(x: torch.Tensor) -> float:
        return float((x.double() * 255).round().mean((0, 1, 2)).diff().abs().mean())

    assert measure(even, vi=even, ir=uneven) == 0
    assert measure(uneven, vi=even, ir=uneven) == pytest.approx(steps(uneven) - steps(even))
    # noise of 25 levels: neighbours differ by 25 * 2 / sqrt(pi) in the mean, clipping takes some of it
    assert 15 < measure(uneven, vi=even) < 30
    with pytest.raises(ValueError, match='Striped needs at least 1 source'):
        measure(even)


def test_pairs_by_suffix(tmp_path: Path) -> None:
    for name in ('a_vi', 'a_ir', 'b_vi', 'b_ir', 'readme'):
        write_image(tmp_path / f'{name}.png', np.zeros((8, 8), np.uint8))
    pairs = SuffixPairs(str(tmp_path))
    assert [pairs.get_data_info(i)['name'] for i in range(len(pairs))] == ['a', 'b']
    assert Path(pairs.get_data_info(1)['paths']['ir']).name == 'b_ir.png'
    (tmp_path / 'b_ir.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'ir \(.*\) has no file for 1 of 2 stems: b'):
        SuffixPairs(str(tmp_path))


def test_trains_and_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of the README, cut short."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('LUREFUSION_DATA', str(tmp_path))
    sys.path.insert(0, str(PROJECT))
    try:
        from write_pictures import write_pictures
    finally:
        sys.path.remove(str(PROJECT))
    write_pictures('example_pairs', count=10, size=(64, 64))
    config = PROJECT / 'configs' / 'example.py'
    quick = {'visualizer.vis_backends': [dict(type='LocalVisBackend')], '+model.prompts.per_template': 1}
    options = {
        'train_cfg.max_iters': 2, 'train_dataloader.batch_size': 1, 'train_dataloader.dataset.pipeline.1.size': 32,
        'val_cfg': None, 'val_dataloader': None, 'val_evaluator': None, **quick,
    }  # fmt: skip
    last = train(config, options=options)
    weights = read_weights(last)[0]
    mixed = [value for key, value in weights.items() if '.mix.weight' in key and 'image_encoder' in key]
    assert mixed
    assert any(value.abs().max() > 0 for value in mixed), 'the new interaction learned nothing'
    one = {f'+test_dataloader.{number}.dataset.indices': 1 for number in (0, 1)}
    results = evaluate(config, options={**quick, **one})
    assert {'clean/CC', 'striped/PSNR', 'striped/Striped'} <= set(results)
    assert all(np.isfinite(value) for value in results.values())
