from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lurefusion.models.data_preprocessor import FusionDataPreprocessor
from lurefusion.runtime.batches import unpad
from lurefusion.structures import FusionDataSample


def picture(height: int = 16, width: int = 24, channels: int = 3, batch: int = 2, seed: int = 0) -> Tensor:
    return torch.rand(batch, channels, height, width, generator=torch.Generator().manual_seed(seed))


def integers(**sizes: int) -> Tensor:
    return (255 * picture(**sizes)).round().byte()


def run(x: Tensor | list[Tensor], divisor: int = 8, **others: Tensor) -> dict:
    return FusionDataPreprocessor(size_divisor=divisor)(dict(inputs=dict(vi=x, **others)))


def test_uint8_is_divided_by_255() -> None:
    x = integers()
    out = run(x)['inputs']['vi']
    assert out.dtype == torch.float32
    np.testing.assert_allclose(out, x.numpy() / 255, atol=1e-7)
    assert x.dtype == torch.uint8


@pytest.mark.parametrize('dtype', [torch.float16, torch.float64, torch.float32])
def test_float_stays(dtype: torch.dtype) -> None:
    x = picture().to(dtype)
    out = run(x)['inputs']['vi']
    assert out.dtype == torch.float32
    assert torch.equal(out, x.float())


def test_lists_are_stacked_and_grey_becomes_three_channels() -> None:
    x = integers(channels=1)
    out = run(list(x), ir=picture())['inputs']
    assert out['vi'].shape == (2, 3, 16, 24)
    for channel in range(3):
        torch.testing.assert_close(out['vi'][:, channel], x[:, 0] / 255)
    assert out['vi'].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(('height', 'width'), [(16, 24), (17, 24), (37, 53), (9, 15), (8, 8)])
@pytest.mark.parametrize('divisor', [1, 4, 8])
def test_pads_by_reflection_right_and_below(height: int, width: int, divisor: int) -> None:
    x = picture(height, width)
    out = run(x, divisor)
    padded = out['inputs']['vi']
    bottom, right = -height % divisor, -width % divisor
    np.testing.assert_array_equal(padded, np.pad(x, ((0, 0), (0, 0), (0, bottom), (0, right)), mode='reflect'))
    assert [sample.ori_shape for sample in out['data_samples']] == [(height, width)] * 2
    assert torch.equal(unpad(padded, (height, width)), x)


@pytest.mark.parametrize(('height', 'width'), [(9, 40), (40, 9), (16, 40), (40, 16)])
def test_pads_by_replication_where_a_side_is_not_longer_than_its_pad(height: int, width: int) -> None:
    x = picture(height, width)
    padded = run(x, 32)['inputs']['vi']
    edges = ((0, 0), (0, 0), (0, -height % 32), (0, -width % 32))
    np.testing.assert_array_equal(padded, np.pad(x, edges, mode='edge'))


def test_samples_are_kept_and_told_the_size() -> None:
    samples = [FusionDataSample(metainfo=dict(name=name)) for name in 'ab']
    out = FusionDataPreprocessor()(dict(inputs=dict(vi=integers(height=11)), data_samples=samples))
    assert [(s.name, s.ori_shape) for s in out['data_samples']] == [('a', (11, 24)), ('b', (11, 24))]


def test_several_batches_of_their_own_sizes_become_one() -> None:
    samples = [[FusionDataSample(metainfo=dict(name=name)) for name in names] for names in ('ab', 'cde')]
    restoration = dict(inputs=dict(x=integers(height=11), y=integers(height=11, seed=1)), data_samples=samples[0])
    fusion = dict(inputs=dict(vi=integers(batch=3), ir=integers(batch=3)), data_samples=samples[1])
    out = FusionDataPreprocessor(size_divisor=8)(dict(restoration=restoration, fusion=fusion))
    assert {role: tuple(x.shape) for role, x in out['inputs'].items()} == dict(
        x=(2, 3, 16, 24), y=(2, 3, 16, 24), vi=(3, 3, 16, 24), ir=(3, 3, 16, 24)
    )
    assert [(s.name, s.ori_shape) for s in out['data_samples']] == [
        ('a', (11, 24)), ('b', (11, 24)), ('c', (16, 24)), ('d', (16, 24)), ('e', (16, 24)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('inputs', 'error', 'message'),
    [
        (picture(), TypeError, 'inputs must be a dict of modality -> images, got Tensor'),
        ([picture()], TypeError, 'got list'),
        (dict(vi=picture(), ir=picture(16, 32)), ValueError, r"one size.*'vi': \(16, 24\), 'ir': \(16, 32\)"),
        (dict(vi=[picture()[0], picture(32, 24)[0]]), ValueError, r"'vi': one batch holds sizes .*batch_size=1"),
        (dict(vi=picture(7, 24)), ValueError, r'at least 8x8 pixels, got 24x7 \(width x height\)'),
        (dict(vi=picture() * 255), ValueError, r"'vi': float images must lie in \[0, 1\], got"),
        (dict(vi=picture() - 0.5), ValueError, r'must lie in \[0, 1\], got \[-0'),
        (dict(vi=picture(), ir=picture() * float('nan')), ValueError, r"'ir': float images must lie .*nan"),
        (dict(vi=picture().to(torch.int16)), ValueError, "'vi': expected uint8 or float images, got torch.int16"),
    ],
)  # fmt: skip
def test_bad_inputs(inputs: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        FusionDataPreprocessor()(dict(inputs=inputs))


def test_one_nan_is_found() -> None:
    x = picture()
    x[1, 2, 3, 4] = float('nan')
    with pytest.raises(ValueError, match='nan'):
        run(x)


def test_rounding_errors_of_a_float_image_are_no_mistake() -> None:
    assert run(picture().clamp(0, 1) * (1 + 5e-5))['inputs']['vi'].shape == (2, 3, 16, 24)
