"""FusionInferencer on arrays, files and folders, and every mistake that a user makes first."""

import cv2
import numpy as np
import pytest

from lurefusion.apis import FusionInferencer
from lurefusion.images import write_image

CONFIG = 'lurefusion::lure/lure_demo.py'


@pytest.fixture(scope='module')
def inferencer() -> FusionInferencer:
    return FusionInferencer(CONFIG, 'random')


@pytest.fixture
def folders(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(3):
        write_image(tmp_path / f'vi/{i}.png', rng.integers(0, 256, (24, 40, 3), np.uint8))
        write_image(tmp_path / f'ir/{i}.bmp', rng.integers(0, 256, (24, 40), np.uint8))
    return tmp_path


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize('size', [(32, 48), (37, 53), (9, 70)])
def test_any_size_comes_back_as_it_was(inferencer, size):
    fused = inferencer(vi=noise(*size, 3), ir=noise(*size))
    assert fused.shape == (*size, 3)
    assert fused.dtype == np.uint8


def test_grey_visible_gives_grey_and_files_equal_arrays(inferencer, folders):
    assert inferencer(vi=noise(16, 16), ir=noise(16, 16, 1)).shape == (16, 16)
    vi, ir = folders / 'vi/0.png', folders / 'ir/0.bmp'
    from_arrays = inferencer(vi=cv2.imread(str(vi))[..., ::-1], ir=cv2.imread(str(ir), 0))
    np.testing.assert_array_equal(inferencer(vi=vi, ir=ir), from_arrays)


def test_deep_and_float_infrared_are_accepted(inferencer, tmp_path):
    vi, base = noise(16, 24, 3), np.arange(16 * 24, dtype=np.float32).reshape(16, 24)
    cv2.imwrite(str(tmp_path / 'deep.png'), (base * 40 + 9000).astype(np.uint16))
    cv2.imwrite(str(tmp_path / 'float.tif'), base * 0.1 + 280)
    deep, floating = inferencer(vi=vi, ir=tmp_path / 'deep.png'), inferencer(vi=vi, ir=tmp_path / 'float.tif')
    # both are the same ramp after the percentile mapping
    assert np.abs(deep.astype(int) - floating.astype(int)).max() <= 1


def test_prompt_changes_the_result_and_none_means_keep(inferencer):
    vi, ir = noise(32, 32, 3), noise(32, 32)
    assert {name: route.task for name, route in inferencer.route(None).items()} == dict(vi='pd', ir='pd')
    routes = inferencer.route('The visible image is too dark and the infrared one has low contrast')
    assert {name: route.task for name, route in routes.items()} == dict(vi='ll', ir='lc')
    np.testing.assert_array_equal(inferencer(vi=vi, ir=ir), inferencer(dict(vi='pd', ir='pd'), vi=vi, ir=ir))
    # the demo network starts as the identity in its picture channels, the others already hear the text
    before = inferencer(vi=vi, ir=ir).astype(int)
    after = inferencer(dict(vi='ll'), vi=vi, ir=ir).astype(int)
    assert before.shape == after.shape


def test_restore_starts_as_the_identity(inferencer):
    image = noise(24, 24, 3)
    np.testing.assert_array_equal(inferencer.restore(image, 'vi', 'll'), image)
    assert inferencer.restore(noise(24, 24), 'ir').shape == (24, 24)
    with pytest.raises(ValueError, match="one of vi, ir; got 'depth'"):
        inferencer.restore(image, 'depth')


def test_keep_chroma_takes_the_colour_of_the_visible_picture():
    fused = FusionInferencer(CONFIG, 'random', keep_chroma=True)(vi=np.full((16, 16, 3), (150, 100, 100), np.uint8),
                                                                 ir=np.full((16, 16), 110, np.uint8))  # fmt: skip
    # R - G of the visible picture is 50 wherever nothing is clipped
    assert np.abs(fused[..., 0].astype(int) - fused[..., 1].astype(int) - 50).max() <= 1


def test_folders_go_on_after_a_bad_file(inferencer, folders):
    (folders / 'vi/1.png').write_text('this is text')
    data = (folders / 'vi/2.png').read_bytes()
    (folders / 'vi/2.png').write_bytes(data[: len(data) // 2])
    report = inferencer.fuse_folders(dict(vi=folders / 'vi', ir=folders / 'ir'), folders / 'out')
    assert report.done == ['0']
    assert 'not a readable image' in report.failed['1']
    assert '2.png' in report.failed['2']
    assert [p.name for p in (folders / 'out').iterdir()] == ['0.png']


def test_folders_list_what_has_no_partner(inferencer, folders):
    (folders / 'ir/2.bmp').unlink()
    with pytest.raises(FileNotFoundError, match=r'ir .* has no file for 1 of 3 stems: 2'):
        inferencer.fuse_folders(dict(vi=folders / 'vi', ir=folders / 'ir'), folders / 'out')
    assert not (folders / 'out').exists()


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        (dict(vi=noise(16, 16, 3), ir=noise(16, 18)), ValueError, r'vi 16x16, ir 18x16'),
        (dict(vi=noise(16, 16, 3)), TypeError, 'missing: ir'),
        (dict(vi=noise(16, 16, 3), irr=noise(16, 16)), TypeError, "'irr'.*Did you mean 'ir'"),
        (dict(vi=noise(6, 16, 3), ir=noise(6, 16)), ValueError, '16x6 pixels; at least 8x8'),
        (dict(vi=noise(16, 16, 3), ir=np.full((16, 16), np.nan)), ValueError, '256 of 256 pixels are NaN'),
        (dict(vi=noise(16, 16, 5), ir=noise(16, 16)), ValueError, r'vi: .*got \(16, 16, 5\)'),
        (dict(vi='no/such.png', ir=noise(16, 16)), FileNotFoundError, 'no such image file: no/such.png'),
        (dict(vi=noise(16, 16, 3), ir=noise(16, 16), prompt=''), ValueError, 'prompt|blank|empty'),
        (dict(vi=noise(16, 16, 3), ir=noise(16, 16), prompt='dark ' * 2000), ValueError, '10,?000'),
        (dict(vi=noise(16, 16, 3), ir=noise(16, 16), prompt=dict(depth='ll')), KeyError, 'depth'),
    ],
)
def test_mistakes_are_named(inferencer, arguments, error, message):
    with pytest.raises(error, match=message):
        inferencer(**arguments)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('nowhere.py',), 'nowhere.py'),
        (('lure-huge',), 'neither a config'),
        ((CONFIG,), 'needs weights'),
        ((CONFIG, 'no.pth'), 'neither a file'),
    ],
)
def test_unknown_models_are_named(arguments, message):
    with pytest.raises(FileNotFoundError, match=message):
        FusionInferencer(*arguments)
