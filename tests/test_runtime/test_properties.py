"""Properties of fusing over drawn pictures, prompts and batches, with the fast shipped network and an average."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as drawn

from lurefusion import FusionInferencer
from lurefusion.io.images import as_rgb
from lurefusion.structures import Failure

SIDES = st.integers(6, 34)


@st.composite
def pictures(draw: st.DrawFn, height: int, width: int) -> np.ndarray:
    """Of any type and layout that cameras and programs give, some with numbers that are none."""
    channels = draw(st.sampled_from([None, 1, 3, 4]))
    shape = (height, width) if channels is None else (height, width, channels)
    dtype = np.dtype(draw(st.sampled_from(['u1', 'u2', 'i4', 'f2', 'f4', 'f8', '?', '>u2'])))
    if draw(st.booleans()):
        values = np.random.default_rng(draw(st.integers(0, 99))).random(shape)
        image = values.astype(dtype) if dtype.kind == 'f' else (values * 200).astype(dtype)
    else:
        image = draw(drawn.arrays(dtype, shape, elements=drawn.from_dtype(dtype), fill=st.just(dtype.type(0))))
    return draw(st.sampled_from([image, image[::-1], image[:, ::-1], np.asfortranarray(image)]))


SAID = ['auto', 'the visible image is too dark', 'll', 'both are hazy', '', 'x' * 3000, '\x00']
PROMPTS = st.one_of(
    st.none(),
    st.sampled_from(SAID),
    st.text(max_size=20),
    st.dictionaries(st.sampled_from(['vi', 'ir', 'uv']), st.sampled_from(['ll', 'auto', 'fog', None])),
)


@pytest.fixture(scope='module')
def fast() -> FusionInferencer:
    return FusionInferencer('lure-fast', device='cpu', trust_pictures=True)


@pytest.fixture(scope='module')
def average() -> FusionInferencer:
    return FusionInferencer('lurefusion::baselines/average_ir_vi.py', device='cpu')


@given(st.data(), SIDES, SIDES)
def test_a_pair_becomes_a_picture_of_its_size_or_is_refused(fast, data, height, width):
    vi = data.draw(pictures(height, width))
    ir = data.draw(pictures(*data.draw(st.sampled_from([(height, width), (height, width), (width, height)]))))
    prompt = data.draw(PROMPTS) if fast.router is not None else None
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            found = fast.predict(prompt, vi=vi, ir=ir)
        except (ValueError, TypeError, KeyError) as error:
            assert str(error)
            return
    assert found.picture.shape == (height, width, 3)
    assert found.picture.dtype == np.float32
    assert np.isfinite(found.picture).all()
    assert found.picture.min() >= 0
    assert found.picture.max() <= 1
    assert found.grey == as_rgb(vi)[1]


@given(st.data(), st.integers(0, 5), st.integers(1, 4))
def test_a_stream_gives_one_result_for_each_pair_whatever_they_are(average, data, count, batch_size):
    columns = {'vi': [], 'ir': []}
    for _ in range(count):
        size = data.draw(st.sampled_from([(8, 8), (8, 9), (7, 7)]))
        for name in columns:
            odd = [None, 'nowhere.png', 3, np.zeros((0, 0)), np.full((8, 8), np.nan)]
            columns[name].append(data.draw(st.one_of(pictures(*size), st.sampled_from(odd))))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        found = list(average.stream(None, batch_size, **columns))
    assert len(found) == count
    for result in found:
        if isinstance(result, Failure):
            assert isinstance(result.error, (ValueError, TypeError, OSError))
        else:
            assert np.isfinite(result.picture).all()
