"""Properties of the metrics over drawn pictures: values within the range of their cards, or a documented error."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from lurefusion.evaluation.cards import card_of, compute, select_metrics

METRICS = [name for name in select_metrics('all') if 'sources' in card_of(name).needs or not card_of(name).needs]


@st.composite
def batches(draw: st.DrawFn, height: int, width: int, count: int) -> torch.Tensor:
    """(B, 1|3, H, W): noise, flat, two levels, single odd pixels; of every layout in memory."""
    kind = draw(st.sampled_from(['noise', 'flat', 'levels', 'odd', 'ramp']))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    shape = (count, draw(st.sampled_from([1, 3])), height, width)
    x = {
        'noise': torch.rand(shape, generator=generator),
        'flat': torch.full(shape, draw(st.sampled_from([0.0, 1.0, 0.5]))),
        'levels': (torch.rand(shape, generator=generator) > 0.5).float(),
        'odd': torch.zeros(shape).index_fill_(3, torch.tensor([0]), 1.0),
        'ramp': torch.linspace(0, 1, width).expand(shape),
    }[kind]
    layout = draw(st.sampled_from(['rows', 'channels', 'flipped']))
    x = (
        x.flip(-1)
        if layout == 'flipped'
        else x.contiguous(memory_format=torch.channels_last)
        if layout == 'channels'
        else x
    )
    dtype = draw(st.sampled_from([torch.float32, torch.float64, torch.uint8, torch.float16]))
    return (x * 255).round().to(dtype) if dtype == torch.uint8 else x.to(dtype)


@given(st.data(), st.integers(1, 48), st.integers(1, 48), st.integers(1, 2))
def test_every_metric_of_every_picture_lies_in_the_range_of_its_card(data, height, width, count):
    fused = data.draw(batches(height, width, count))
    sources = dict(vi=data.draw(batches(height, width, count)), ir=data.draw(batches(height, width, count)))
    if data.draw(st.booleans()):
        sources['vi'] = fused.clone()
    for name in METRICS:
        try:
            values = compute(fused, sources, [name], 'both', too_small='nan')
        except ValueError as error:
            assert str(error)
            # too small for it, in another way than by its sides
            assert min(height, width) < 192, (name, error)
            continue
        for column, found in values.items():
            assert found.shape == (count,)
            assert found.dtype == torch.float64
            low, high = card_of(name).range
            for value in found.tolist():
                if math.isnan(value):
                    assert min(height, width) < 192, column
                else:
                    assert low - 1e-6 <= value <= high + 1e-6, (column, value)


@given(
    st.lists(st.integers(0, 5), min_size=0, max_size=5), st.lists(st.integers(0, 5), min_size=0, max_size=5),
    st.sampled_from([torch.float32, torch.int64, torch.bool, torch.complex64, torch.uint8]),
)  # fmt: skip
def test_what_are_no_pictures_is_refused(shape, other, dtype):
    fused, source = torch.zeros(shape, dtype=dtype), torch.zeros(other)
    try:
        values = compute(fused, [source], ['EN', 'CC'])
    except (ValueError, TypeError) as error:
        assert str(error)
    else:
        assert len(shape) == 4
        assert all(bool(found.isfinite().all()) for found in values.values())
