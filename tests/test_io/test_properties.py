"""Properties of reading and writing over drawn shapes, types, ranges, strides, names and bytes."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as drawn

from lurefusion.io.images import IMAGE_SUFFIXES, as_rgb, read_image, write_image
from lurefusion.io.labels import read_label
from lurefusion.io.pairing import list_images, pair_files
from lurefusion.io.ranges import RANGE_MODES, to_uint8, to_uint16, to_unit_range

DTYPES = ['u1', 'u2', 'i2', 'i4', 'u4', 'i8', 'u8', 'f2', 'f4', 'f8', '>u2', '>f4', '?', 'c8', 'U3', 'M8[s]', 'O']
SHAPES = drawn.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9)


@contextmanager
def somewhere() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    """Of any type, shape and strides, mostly such as pictures have."""
    dtype = draw(st.sampled_from(DTYPES))
    sides = st.integers(1, 12)
    picture = st.one_of(st.tuples(sides, sides), st.tuples(sides, sides, st.sampled_from([1, 2, 3, 4, 5])))
    shape = draw(st.one_of(picture, SHAPES))
    if dtype == 'O':
        return np.full(shape, None, object)
    image = draw(drawn.arrays(np.dtype(dtype), shape))
    if image.ndim >= 2:
        image = draw(
            st.sampled_from([image, image[::-1], image[:, ::2], image.swapaxes(0, 1), np.asfortranarray(image)])
        )
    if draw(st.booleans()):
        image.flags.writeable = False
    return image


def is_picture(pixels: np.ndarray, height: int, width: int) -> None:
    assert pixels.shape == (height, width, 3)
    assert pixels.dtype in (np.uint8, np.float32)
    assert np.isfinite(pixels).all()
    assert pixels.flags.c_contiguous
    assert pixels.min() >= 0
    assert pixels.max() <= (255 if pixels.dtype == np.uint8 else 1)


@given(arrays(), st.sampled_from([*RANGE_MODES, '0:1', '-5:1e300', '28000:31000', 'x']))
def test_an_array_becomes_a_picture_or_is_refused(image, mode):
    before = image.copy()
    try:
        pixels, grey = as_rgb(image, mode)
    except (ValueError, TypeError) as error:
        assert str(error)
    else:
        is_picture(pixels, *image.shape[:2])
        assert isinstance(grey, bool)
        assert not grey or (pixels[..., :1] == pixels).all()
    assert image.dtype == object or image.tobytes() == before.tobytes()


@given(
    drawn.arrays(
        st.sampled_from([np.float64, np.float32, np.float16]), drawn.array_shapes(min_dims=2, max_dims=3, max_side=8)
    ),
    st.sampled_from(RANGE_MODES),
)
def test_numbers_of_any_size_come_to_the_unit_range(values, mode):
    try:
        unit = to_unit_range(values, mode)
    except ValueError as error:
        assert not np.isfinite(values).all() or mode == 'shared', error
        return
    assert unit.dtype == np.float32
    assert unit.shape == values.shape
    assert np.isfinite(unit).all()
    assert unit.min() >= 0
    assert unit.max() <= 1


@given(
    st.sampled_from(IMAGE_SUFFIXES), st.sampled_from([8, 16]), st.integers(1, 20), st.integers(1, 20),
    st.sampled_from([None, 1, 3, 4]), st.sampled_from(['u1', 'f4', 'f8']), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_what_is_written_is_read(suffix, depth, height, width, channels, dtype, seed):
    shape = (height, width) if channels is None else (height, width, channels)
    image = np.random.default_rng(seed).random(shape)
    image = np.round(image * 255).astype(np.uint8) if dtype == 'u1' else image.astype(dtype)
    with somewhere() as folder:
        path = folder / f'a{suffix}'
        try:
            write_image(path, image, depth)
        except ValueError as error:
            assert depth == 16 or channels == 4, error
            assert not os.listdir(folder)
            return
        pixels, grey = read_image(path, 'full')
        assert os.listdir(folder) == [path.name]
    is_picture(pixels, height, width)
    levels = to_uint8(image) if image.dtype != np.uint8 else image
    levels = levels[..., None] if levels.ndim == 2 else levels
    assert grey or channels in (3, 4)
    if suffix in ('.png', '.bmp', '.tif', '.tiff'):
        found = np.round(pixels * 65535).astype(np.int64) if depth == 16 else pixels.astype(np.int64)
        if depth == 16:
            wanted = to_uint16(image) if image.dtype != np.uint8 else image.astype(np.int64) * 257
            wanted = wanted[..., None] if wanted.ndim == 2 else wanted
        else:
            wanted = levels
        assert np.abs(found - wanted[..., :3].astype(np.int64)).max() <= 0


@given(st.data())
def test_bytes_of_any_kind_are_a_picture_or_refused(data):
    """Files of all kinds in which bytes are changed, cut out or put in."""
    slices = [s for s, package in (('.nii', 'nibabel'), ('.dcm', 'pydicom')) if find_spec(package)]
    suffix = data.draw(st.sampled_from(['.png', '.jpg', '.bmp', '.tif', '.webp', '.gif', *slices]))
    whole = bytearray(b'' if suffix in ('.nii', '.dcm', '.gif') else cv2.imencode(suffix, NOISE)[1].tobytes())
    whole += data.draw(st.binary(max_size=400)) if len(whole) < 1 else b''
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(whole)))
        whole[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    with somewhere() as folder:
        path = folder / f'a{suffix}'
        path.write_bytes(whole)
        for read in (lambda: read_image(path)[0], lambda: read_label(path)):
            try:
                pixels = read()
            except (ValueError, FileNotFoundError) as error:
                assert 'a.' in str(error)
            except MemoryError:
                pass
            else:
                assert pixels.size
                assert np.isfinite(pixels).all()


NOISE = np.random.default_rng(0).integers(0, 256, (16, 12, 3), np.uint8)
# every byte but the two that no name may have
NAME = st.binary(min_size=1, max_size=40).filter(lambda name: not {0, 47} & set(name)).map(os.fsdecode)


@given(st.lists(NAME, min_size=1, max_size=4, unique=True))
def test_names_of_any_bytes(names):
    names = [name for name in names if not name.startswith('.')]
    with somewhere() as folder:
        for name in names:
            for role in ('vi', 'ir'):
                write_image(folder / role / f'{name}.png', NOISE)
        if not names:
            return
        assert set(list_images(folder / 'vi')) == set(names)
        pairs = pair_files(dict(vi=folder / 'vi', ir=folder / 'ir')).pairs
        assert sorted(path['ir'].name for path in pairs.values()) == sorted(f'{name}.png' for name in names)
        for paths in pairs.values():
            assert read_image(paths['vi'])[1] is False


@pytest.mark.parametrize('value', [1e308, -1e308, 5e-324, np.finfo(np.float64).max])
def test_the_ends_of_what_numbers_can_be(value):
    image = np.array([[0, value], [-value, value / 2]])
    for mode in ('percentile', 'minmax', 'full', 'agc'):
        unit = to_unit_range(image, mode)
        assert np.isfinite(unit).all()
        assert 0 <= unit.min() <= unit.max() <= 1
