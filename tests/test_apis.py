"""FusionInferencer on arrays, files and folders, and every mistake that a user makes first."""

import io
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Mapping

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from lurefusion.apis import Failure, FusionInferencer, PictureWarning, inference_model, init_model, list_models
from lurefusion.io.images import as_rgb, read_image, write_image
from lurefusion.prompts import AutoPrompt, Prompter
from lurefusion.registry import MODELS
from lurefusion.runtime.torch_runner import TorchRunner, pick_device

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


def stored(path, image: np.ndarray) -> str:
    """The picture in a file, RGB(A) given."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    assert cv2.imwrite(str(path), image)
    return str(path)


@pytest.mark.parametrize('suffix', ['.png', '.tif'])
@pytest.mark.parametrize(
    ('vi', 'grey'),
    [
        (noise(16, 24, 3), False),
        (noise(16, 24), True),
        (np.dstack([noise(16, 24)] * 3), True),
        (np.dstack([noise(16, 24, 3), np.full((16, 24), 255, np.uint8)]), False),
        (noise(16, 24, 3).astype(np.uint16) * 201, False),
        (noise(16, 24).astype(np.uint16) * 201, True),
        (noise(16, 24, 3).astype(np.uint16), False),
        (noise(16, 24, 3).astype(np.float32) / 255, False),
        (noise(16, 24).astype(np.float32) * 30 + 7000, True),
    ],
    ids=['RGB', 'grey', 'grey in RGB', 'RGBA', 'RGB 16', 'grey 16', '8 of 16', 'float', 'counts'],
)
def test_files_equal_arrays(inferencer, tmp_path, vi, grey, suffix):
    if suffix == '.png' and vi.dtype == np.float32:
        pytest.skip('PNG has no fractions')
    ir = noise(16, 24, seed=1)
    files = dict(vi=stored(tmp_path / f'vi{suffix}', vi), ir=stored(tmp_path / 'ir.bmp', ir))
    from_files = inferencer(**files)
    assert from_files.shape == ((16, 24) if grey else (16, 24, 3))
    for other in (vi, vi[::-1].copy()[::-1], torch.from_numpy(vi.astype(np.int32) if vi.dtype == np.uint16 else vi)):
        np.testing.assert_array_equal(from_files, inferencer(vi=other, ir=ir))
    for swapped in (ir[..., None], np.dstack([ir] * 3), Image.fromarray(ir), ir.astype(float)):
        np.testing.assert_array_equal(from_files, inferencer(vi=files['vi'], ir=swapped))
    # the pictures are looked at
    assert np.abs(from_files.astype(int) - inferencer(vi=vi, ir=255 - ir)).max() > 0


def test_a_picture_turned_by_exif_is_fused_upright(inferencer, tmp_path):
    vi, ir = cv2.GaussianBlur(noise(24, 40, 3), (0, 0), 3), noise(24, 40)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(vi).copy()).save(tmp_path / 'vi.png', exif=exif)
    stored(tmp_path / 'ir.png', ir)
    np.testing.assert_array_equal(inferencer(vi=tmp_path / 'vi.png', ir=tmp_path / 'ir.png'), inferencer(vi=vi, ir=ir))
    np.testing.assert_array_equal(inferencer(vi=Image.open(tmp_path / 'vi.png'), ir=ir), inferencer(vi=vi, ir=ir))


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


def test_a_prompt_changes_the_picture_of_the_shipped_network():
    shipped = FusionInferencer('lure-tiny')
    vi = (cv2.GaussianBlur(noise(32, 32, 3), (0, 0), 2) * 0.3).astype(np.uint8)
    ir = cv2.GaussianBlur(noise(32, 32), (0, 0), 2)
    plain, said = shipped(vi=vi, ir=ir), shipped('the visible picture is too dark', vi=vi, ir=ir)
    np.testing.assert_array_equal(said, shipped(dict(vi='ll'), vi=vi, ir=ir))
    # brighter, as asked for, and not by a level
    assert said.mean() > plain.mean() + 5
    assert np.abs(said.astype(int) - shipped(dict(ir='lc'), vi=vi, ir=ir)).mean() > 1


def test_restore_starts_as_the_identity(inferencer):
    image = noise(24, 24, 3)
    np.testing.assert_array_equal(inferencer.restore(image, 'vi', 'll'), image)
    assert inferencer.restore(noise(24, 24), 'ir').shape == (24, 24)
    with pytest.raises(ValueError, match="one of vi, ir; got 'depth'"):
        inferencer.restore(image, 'depth')


def test_chroma_of_the_visible_picture():
    fused = FusionInferencer(CONFIG, 'random', chroma='visible')(vi=np.full((16, 16, 3), (150, 100, 100), np.uint8),
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
    assert [p.name for p in (folders / 'out').glob('[!.]*')] == ['0.png']


def test_a_pair_too_large_for_memory_is_that_pair_s_error(inferencer, folders, monkeypatch):
    core, raised = inferencer.model.core, iter(
        [
            RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory: you tried"),
            torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 20.00 GiB'),
            None,
            MemoryError(),
            RuntimeError('size mismatch'),
        ]
    )  # fmt: skip

    def run(images, text):
        error = next(raised)
        if error is not None:
            raise error
        return core(images, text)

    monkeypatch.setattr(inferencer.model, 'core', run)
    sources = dict(vi=folders / 'vi', ir=folders / 'ir')
    report = inferencer.fuse_folders(sources, folders / 'out')
    assert report.done == ['2']
    for stem in '01':
        assert 'does not fit into memory (40x24 pixels): scale it down' in report.failed[stem]
    pair = dict(vi=folders / 'vi/0.png', ir=folders / 'ir/0.bmp')
    with pytest.raises(MemoryError, match='scale it down'):
        inferencer(**pair)
    with pytest.raises(RuntimeError, match='size mismatch'):
        inferencer(**pair)


@pytest.mark.parametrize('out', ['vi', 'ir', 'link', 'out/../vi'])
def test_a_folder_of_sources_is_no_place_for_results(inferencer, folders, out):
    (folders / 'link').symlink_to(folders / 'ir')
    (folders / 'out').mkdir()
    before = {path: path.read_bytes() for path in folders.rglob('?.*')}
    with pytest.raises(ValueError, match='is the input'):
        inferencer.fuse_folders(dict(vi=folders / 'vi', ir=folders / 'ir'), folders / out)
    assert {path: path.read_bytes() for path in folders.rglob('?.*')} == before


def test_results_that_are_links_to_sources_or_cannot_be_written_are_refused(inferencer, folders):
    sources, before = dict(vi=folders / 'vi', ir=folders / 'ir'), (folders / 'vi/1.png').read_bytes()
    (folders / 'out').mkdir()
    (folders / 'out/1.png').hardlink_to(folders / 'vi/1.png')
    with pytest.raises(ValueError, match=r'the output .*out/1\.png is the input .*vi/1\.png'):
        inferencer.fuse_folders(sources, folders / 'out')
    with pytest.raises(ValueError, match=r'the suffix must be one of .png'):
        inferencer.fuse_folders(sources, folders / 'other', suffix='.gif')
    with pytest.raises(NotADirectoryError, match='is a file, not a folder'):
        inferencer.fuse_folders(sources, folders / 'vi/0.png')
    assert [path.name for path in (folders / 'out').iterdir()] == ['1.png']
    assert (folders / 'vi/1.png').read_bytes() == before


def test_pseudo_colour_and_swapped_pictures_are_refused(inferencer, folders):
    vi = cv2.applyColorMap(cv2.GaussianBlur(noise(48, 64), (0, 0), 4), cv2.COLORMAP_TURBO)[::-1]
    ir = cv2.normalize(cv2.GaussianBlur(noise(48, 64, seed=1), (0, 0), 4), None, 0, 255, cv2.NORM_MINMAX)
    for colours in (cv2.COLORMAP_INFERNO, cv2.COLORMAP_JET, cv2.COLORMAP_HOT):
        iron = cv2.applyColorMap(ir, colours)[..., ::-1]
        for picture in (
            iron,
            iron / 255,
            iron.astype(np.uint16),
            stored(folders / 'iron.jpg', np.ascontiguousarray(iron)),
        ):
            with pytest.raises(
                ValueError, match=r'ir.* is coloured .* palette, or are the pictures swapped.*trust_pic'
            ):
                inferencer(vi=vi, ir=picture)
        with pytest.raises(ValueError, match='is coloured'):
            inferencer.restore(iron, 'ir')
    trusting = FusionInferencer(CONFIG, 'random', trust_pictures=True)
    with pytest.warns(PictureWarning, match=r'ir: it is coloured'):
        assert trusting(vi=vi, ir=iron).shape == (48, 64, 3)
    with pytest.warns(PictureWarning, match=r'ir: it is coloured \(.* levels between its channels\)'):
        inferencer(vi=vi, ir=noise(48, 64, 3))
    # rounding of colours in a JPEG is no colour
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        inferencer(vi=vi, ir=np.clip(np.dstack([ir] * 3).astype(int) + [0, 1, 2], 0, 255).astype(np.uint8))


def test_one_picture_for_two_modalities_is_refused(inferencer, folders):
    vi = folders / 'vi/0.png'
    (folders / 'link.png').symlink_to(vi)
    shutil.copy(vi, folders / 'copy.png')
    for other, message in ((vi, 'same file'), (str(vi), 'same file'), (folders / 'link.png', 'same file')):
        with pytest.raises(ValueError, match=f'vi and ir are the {message}'):
            inferencer(vi=vi, ir=other)
    grey = stored(folders / 'grey.png', noise(24, 40))
    with pytest.raises(ValueError, match=r'grey\.png\) and ir .*grey2\.bmp\) are one picture, pixel by pixel'):
        inferencer(vi=grey, ir=stored(folders / 'grey2.bmp', noise(24, 40)))
    with pytest.raises(ValueError, match='vi and ir are the same folder'):
        inferencer.fuse_folders(dict(vi=folders / 'vi', ir=folders / 'vi'), folders / 'out')
    with pytest.warns(PictureWarning, match='vi and ir are one picture'):
        inferencer(vi=noise(24, 40), ir=noise(24, 40))
    assert FusionInferencer(CONFIG, 'random', trust_pictures=True)(vi=grey, ir=grey).shape == (24, 40)


def test_ranges_belong_to_modalities(folders):
    counts = (noise(24, 40, seed=1).astype(np.uint16) * 4 + 29000).clip(29000, 30000)
    hot = counts.copy()
    hot[:4, :20] = 33000
    vi = noise(24, 40, 3)
    expected = as_rgb(counts, '29000:30020')[0]
    fixed = FusionInferencer(CONFIG, 'random', range_mode=dict(ir='29000:30020', vi='full'))
    seen = {}
    run = fixed.runner.run
    fixed.runner.run = lambda item: seen.update(item.pictures) or run(item)
    for frame in (counts, hot, stored(folders / 'hot.tif', hot)):
        fixed(vi=vi.astype(np.uint16) * 257, ir=frame)
        np.testing.assert_array_equal(seen['ir'][4:], expected[4:])
        np.testing.assert_allclose(seen['vi'], vi / 255, atol=1e-6)
    with pytest.raises(ValueError, match=r"range irr=full: 'irr' is no modality; there are vi, ir"):
        FusionInferencer(CONFIG, 'random', range_mode='irr=full')
    plain = FusionInferencer(CONFIG, 'random')
    with pytest.warns(PictureWarning, match=r'ir: half of the range 29000 to 33000 is spent on 0 %'):
        plain(vi=vi, ir=hot)
    (folders / 'ir/1.bmp').unlink()
    stored(folders / 'ir/1.png', hot)
    report = plain.fuse_folders(dict(vi=folders / 'vi', ir=folders / 'ir'), folders / 'out')
    assert report.done == ['0', '1', '2']
    assert list(report.notes) == ['1']
    assert 'ir/1.png): half of the range' in report.notes['1'][0]


@pytest.mark.parametrize('name', ['foo', 'cuda:99', 'meta', 'cuda:-3', ''])
def test_devices_that_are_not_there_are_refused(name):
    with pytest.raises(ValueError, match=f"there is no device '{name}' here; there are: cpu"):
        pick_device(name)
    assert pick_device('cpu') == pick_device(torch.device('cpu')) == torch.device('cpu')


def test_a_baseline_restores_nothing():
    average = FusionInferencer('lurefusion::baselines/average_ir_vi.py')
    with pytest.raises(ValueError, match='only fuses; to restore a picture take a model with text'):
        average.restore(noise(16, 16, 3), 'vi')


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
        (dict(vi=noise(16, 16, 3), ir=noise(16, 16), prompt=dict(depth='ll')), ValueError, 'depth.*Known: vi, ir'),
        (dict(), TypeError, r'missing: vi, ir; pictures are given by name: vi=\.\.\., ir=\.\.\.'),
        (dict(vi='.', ir=noise(16, 16)), FileNotFoundError, 'no such image file: ., but a folder; fuse_folders'),
        (dict(vi=noise(16, 16, 3), ir=noise(16, 16), batch_size='2'), TypeError, r"whole number .* got '2' \(str\)"),
        (dict(vi=[noise(16, 16, 3)], ir=[noise(16, 16)], batch_size=2.5), TypeError, 'whole number'),
        (dict(vi=[noise(16, 16, 3)], ir=[noise(16, 16)], batch_size=0), ValueError, 'at least 1, got 0'),
        (dict(vi=io.StringIO('a'), ir=noise(16, 16)), TypeError, 'binary mode'),
        (dict(vi=b'no picture', ir=noise(16, 16)), ValueError, r'vi: the file in memory is not a readable image \(10'),
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


def test_files_that_are_open_or_in_memory(inferencer, tmp_path):
    paths = dict(vi=tmp_path / 'vi.png', ir=tmp_path / 'ir.png')
    for path, picture in zip(paths.values(), (noise(16, 24, 3), noise(16, 24)), strict=True):
        write_image(path, picture)
    expected = inferencer(**paths)
    data = {name: path.read_bytes() for name, path in paths.items()}
    assert np.array_equal(inferencer(**data), expected)
    assert np.array_equal(inferencer(vi=io.BytesIO(data['vi']), ir=bytearray(data['ir'])), expected)
    with paths['vi'].open('rb') as one, paths['ir'].open('rb') as two:
        assert np.array_equal(inferencer(vi=one, ir=two), expected)
    several = inferencer(**{name: [io.BytesIO(each)] * 1 for name, each in data.items()})
    assert np.array_equal(several[0], expected)
    inferencer.postprocess([inferencer.predict(**data)], tmp_path / 'out', suffix='png')
    assert (tmp_path / 'out' / '0.png').is_file()


def test_a_small_picture_that_cannot_be_aligned_is_named():
    fuser = FusionInferencer(device='cpu', register='affine')
    with pytest.raises(ValueError, match=r'^vi and ir: ir has 50x40 pixels, too few to be aligned \(at least 64x64\)'):
        fuser(vi=noise(80, 80, 3), ir=noise(40, 50))


def pairs_of(number: int, *shape: int) -> dict[str, list[np.ndarray]]:
    return dict(
        vi=[noise(*shape, 3, seed=seed) for seed in range(number)],
        ir=[noise(*shape, seed=seed + 50) for seed in range(number)],
    )


@pytest.mark.parametrize('batch_size', [1, 2])
def test_lists_and_generators_give_what_pairs_give(inferencer, batch_size):
    several = pairs_of(3, 24, 32)
    alone = [inferencer(vi=vi, ir=ir) for vi, ir in zip(*several.values(), strict=True)]
    for sources in (several, {name: (picture for picture in column) for name, column in several.items()}):
        together = inferencer(batch_size=batch_size, **sources)
        assert isinstance(together, list)
        for one, other in zip(alone, together, strict=True):
            assert np.abs(one.astype(int) - other).max() <= (batch_size > 1)


def test_sizes_may_differ_within_a_list_and_every_item_may_have_its_prompt(inferencer):
    vi, ir = [noise(24, 32, 3), noise(16, 40)], [noise(24, 32, seed=1), noise(16, 40, seed=1)]
    first, second = inferencer.predict([None, dict(vi='ll')], 2, vi=vi, ir=ir)
    assert (first.picture.shape, second.picture.shape, second.grey) == ((24, 32, 3), (16, 40, 3), True)
    assert (first.tasks, second.tasks) == (dict(vi='pd', ir='pd'), dict(vi='ll', ir='pd'))
    assert second.to_uint8().shape == (16, 40)
    restored = inferencer.restore(vi, 'vi', ['ll', None])
    assert [picture.shape for picture in restored] == [(24, 32, 3), (16, 40)]


def test_a_prediction_knows_its_tasks_notes_and_timings(inferencer, folders):
    result = inferencer.predict('the visible image is too dark', vi=folders / 'vi/0.png', ir=noise(24, 40, 3))
    assert (result.name, result.tasks) == ('0', dict(vi='ll', ir='pd'))
    assert 'is coloured' in result.notes[0]
    assert set(result.seconds) == {'read', 'run'}
    assert all(seconds > 0 for seconds in result.seconds.values())
    # what was understood may be given back
    again = inferencer.predict(inferencer.route('the visible image is too dark'), vi=folders / 'vi/0.png',
                               ir=noise(24, 40, 3))  # fmt: skip
    assert again.routes == result.routes


def test_a_stream_goes_on_after_a_bad_frame(inferencer, folders):
    (folders / 'vi/1.png').write_text('text')
    frames = dict(vi=sorted((folders / 'vi').iterdir()), ir=sorted((folders / 'ir').iterdir()))
    results = list(inferencer.stream(batch_size=2, **frames))
    assert [result.name for result in results] == ['0', '1', '2']
    assert [isinstance(result, Failure) for result in results] == [False, True, False]
    assert 'not a readable image' in str(results[1].error)
    with pytest.raises(ValueError, match='not a readable image'):
        inferencer(**frames)
    named = inferencer.stream(names=('a', 'b', 'c'), restore=True, ir=frames['ir'])
    assert [result.name for result in named] == ['a', 'b', 'c']


def test_routes_of_a_prompt_are_found_once(inferencer, monkeypatch):
    asked, route = [], inferencer.router.route
    monkeypatch.setattr(inferencer.router, 'route', lambda prompt: (asked.append(prompt), route(prompt))[1])
    inferencer('it is dark', **pairs_of(3, 16, 16))
    assert asked == ['it is dark']


@pytest.mark.parametrize(
    ('call', 'error', 'message'),
    [
        (dict(vi=[noise(16, 16)], ir=noise(16, 16)), TypeError, 'several of each: ir is a single one'),
        (dict(vi=noise(16, 16), ir=noise(16, 16, seed=1), prompt=['pd']), TypeError, 'several prompts are given for'),
        (dict(pairs_of(2, 16, 16), prompt=[None]), ValueError, 'vi, ir, prompts must have one length: prompts ended'),
        (dict(pairs_of(2, 16, 16), batch_size=0), ValueError, 'batch_size must be at least 1'),
        (dict(pairs_of(2, 16, 16), prompt=''), ValueError, 'the prompt is blank'),
    ],
)
def test_mistakes_with_several_are_named(inferencer, call, error, message):
    with pytest.raises(error, match=message):
        inferencer(**call)


@pytest.mark.parametrize('suffix', ['.png', '.tif'])
def test_sixteen_bits_make_no_detour_over_eight(inferencer, tmp_path, suffix):
    for vi, shape in ((noise(24, 32, 3), (24, 32, 3)), (noise(24, 32), (24, 32))):
        result = inferencer.predict(vi=vi, ir=noise(24, 32, seed=1))
        result.save(tmp_path / f'f{suffix}', bit_depth=16)
        written = cv2.imread(str(tmp_path / f'f{suffix}'), cv2.IMREAD_UNCHANGED)
        assert (written.dtype, written.shape) == (np.uint16, shape)
        assert len(np.unique(written)) > 256
        back, grey = read_image(tmp_path / f'f{suffix}', 'full')
        assert grey is result.grey
        assert np.abs(back - result.picture).max() <= 0.501 / 65535
    with pytest.raises(ValueError, match=r'\.jpg files have 8 bits; for 16 take one of \.png, \.tif, \.tiff'):
        result.save(tmp_path / 'f.jpg', bit_depth=16)


def test_folders_may_be_fused_to_sixteen_bits(inferencer, folders):
    sources = dict(vi=folders / 'vi', ir=folders / 'ir')
    with pytest.raises(ValueError, match=r'\.bmp files have 8 bits'):
        inferencer.fuse_folders(sources, folders / 'out', suffix='.bmp', bit_depth=16)
    report = inferencer.fuse_folders(sources, folders / 'out', suffix='.tif', bit_depth=16, batch_size=3)
    assert report.done == ['0', '1', '2']
    assert cv2.imread(str(folders / 'out/2.tif'), cv2.IMREAD_UNCHANGED).dtype == np.uint16


def test_the_steps_are_those_of_openmmlab(inferencer, tmp_path):
    items = list(inferencer.preprocess(pairs_of(2, 24, 32), 'it is dark'))
    predictions = list(inferencer.forward(items, batch_size=2))
    strips = inferencer.visualize(items, predictions)
    pictures = inferencer.postprocess(predictions, tmp_path)
    assert [strip.shape for strip in strips] == [(24 + 22, 3 * 32, 3)] * 2
    np.testing.assert_array_equal(strips[0][22:, :32], items[0].pictures['vi'])
    np.testing.assert_array_equal(strips[0][22:, 64:], pictures[0])
    assert [path.name for path in sorted(tmp_path.iterdir())] == ['0.png', '1.png']
    with pytest.raises(ValueError, match="two results are called '0': give names"):
        inferencer.postprocess([predictions[0], predictions[0]], tmp_path)


def test_models_by_name_and_by_network():
    assert list_models()[:2] == ['lure-fast', 'lure-tiny']
    baselines = list_models(r'.*average.*')
    assert baselines == ['lurefusion::baselines/average_ir_vi.py'] == FusionInferencer.list_models('.*average.*')
    model = init_model(baselines[0], device='cpu')
    pair, other = (dict(vi=noise(16, 24, 3, seed=seed), ir=noise(16, 24, seed=seed + 9)) for seed in (0, 1))
    single = inference_model(model, pair)
    both = inference_model(model, [pair, other], batch_size=2)
    np.testing.assert_array_equal(single.to_uint8(), FusionInferencer(baselines[0])(**pair))
    np.testing.assert_array_equal(single.picture, both[0].picture)
    assert len(both) == 2
    with pytest.raises(TypeError, match='a pair is a dict of modality -> picture, got str'):
        inference_model(model, ['a.png', 'b.png'])
    with pytest.raises(ValueError, match='a network that is built has its weights'):
        FusionInferencer(model, 'random')
    with pytest.raises(ValueError, match='BaselineFuser has no text encoder and takes no prompt'):
        inference_model(model, pair, 'it is dark')
    named = init_model(CONFIG, 'random', 'cpu')
    assert not named.training
    assert inference_model(named, pair, 'the visible image is dark').tasks['vi'] == 'll'


def test_any_runner_may_fuse(inferencer):
    class Other(TorchRunner):
        title = 'Other'

    runner = Other(inferencer.model, 'cpu')
    pair = dict(vi=noise(16, 24, 3), ir=noise(16, 24))
    np.testing.assert_array_equal(FusionInferencer(runner)(**pair), inferencer(**pair))
    with pytest.raises(ValueError, match='a runner has its device'):
        FusionInferencer(runner, device='cpu')


class Bright(Prompter):
    """Believes in low light where a picture is dark."""

    tasks: Mapping = {'vi': ('ll',), 'ir': ('lc',)}

    def __call__(self, picture, modality):
        share = 0.9 if picture.mean() < 64 else 0.2
        return {self.tasks[modality][0]: share, 'pd': 1 - share}


@pytest.fixture
def automatic():
    fuser = FusionInferencer(CONFIG, 'random')
    fuser.router.auto = AutoPrompt(fuser.router.bank.keys, [dict(type=Bright)])
    return fuser


def test_an_automatic_prompt_is_that_of_each_picture(automatic):
    dark, bright, ir = noise(24, 40, 3) // 8, noise(24, 40, 3), noise(24, 40)
    results = list(automatic.stream('auto', vi=[dark, bright], ir=[ir, ir // 8]))
    assert [result.tasks for result in results] == [dict(vi='ll', ir='pd'), dict(vi='pd', ir='lc')]
    assert results[0].routes['vi'].found.probability == 0.9
    np.testing.assert_array_equal(results[0].to_uint8(), automatic(vi=dark, ir=ir, prompt={'vi': 'll'}))
    one = automatic.predict({'vi': 'auto', 'ir': 'lc'}, vi=dark, ir=ir)
    assert {name: (route.task, route.source) for name, route in one.routes.items()} == {
        'vi': ('ll', 'auto'), 'ir': ('lc', 'key'),
    }  # fmt: skip
    np.testing.assert_array_equal(automatic.restore(dark, 'vi', 'auto'), automatic.restore(dark, 'vi', 'll'))


def test_a_folder_says_what_was_found(automatic, folders):
    write_image(folders / 'vi/1.png', noise(24, 40, 3) // 8)
    report = automatic.fuse_folders({'vi': folders / 'vi', 'ir': folders / 'ir'}, folders / 'out', 'auto')
    assert {name: routes['vi'].task for name, routes in report.routes.items()} == {'0': 'pd', '1': 'll', '2': 'pd'}


def test_an_automatic_prompt_needs_a_model_with_text():
    with pytest.raises(ValueError, match="takes no prompt, got 'auto'"):
        FusionInferencer('lurefusion::baselines/average_ir_vi.py')(vi=noise(8, 8, 3), ir=noise(8, 8), prompt='auto')


def test_weights_find_the_parts_of_installed_packages(monkeypatch):
    from types import SimpleNamespace

    from lurefusion import plugins

    loaded = []
    point = SimpleNamespace(name='mine', value='mine', load=lambda: loaded.append('mine'))
    monkeypatch.setattr(plugins, 'entry_points', lambda group: [point])
    monkeypatch.setattr(plugins, '_plugins_loaded', False)
    init_model('lure-fast', device='cpu')
    assert loaded == ['mine']


def test_fuse_imports_what_it_is_told(folders, tmp_path, monkeypatch):
    from lurefusion.cli import main

    (tmp_path / 'told.py').write_text('raise RuntimeError("imported")')
    words = ['fuse', '--vi', str(folders / 'vi'), '--ir', str(folders / 'ir'), '--out', str(tmp_path / 'out')]
    assert main([*words, '--import', str(tmp_path / 'told.py')]) == 1
    (tmp_path / 'good.py').write_text('')
    assert main([*words, '--import', str(tmp_path / 'good.py'), '--model', 'lure-fast', '--device', 'cpu']) == 0


def test_options_of_one_inferencer_are_none_of_another(inferencer):
    runner = inferencer.runner
    FusionInferencer(runner, chroma='visible', tile=64)
    assert (runner.chroma_from, runner.running.tile) == ('fused', inferencer.runner.running.tile)


def test_colour_that_nobody_owns_and_names_that_calls_have():
    def network(modalities):
        return MODELS.build(dict(type='BaselineFuser', modalities=modalities, chroma=None))

    with pytest.raises(ValueError, match='no modality of this network owns the colour'):
        FusionInferencer(network(('near', 'far')), chroma='visible')
    with pytest.raises(ValueError, match="a modality cannot be called 'prompt'"):
        FusionInferencer(network(('prompt', 'far')))


def test_a_picture_in_place_of_a_modality_is_named(inferencer):
    with pytest.raises(ValueError, match='modality must be one of vi, ir; got'):
        inferencer.restore('vi', noise(16, 16))


def test_a_failure_among_results_is_raised_when_they_are_written(inferencer, tmp_path):
    results = inferencer.stream(vi=[noise(24, 32), noise(24, 32)], ir=[noise(24, 32, seed=1), noise(9, 9)])
    with pytest.raises(ValueError, match='size'):
        inferencer.postprocess(results, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ['0.png']


@pytest.mark.parametrize('batch_size', [1, 2, 3])
def test_a_camera_may_fill_one_array_again_and_again(batch_size):
    def camera(frame):
        for level in (0, 40, 80, 120):
            frame[...] = level
            frame[0, 0] = level + 1
            yield frame

    fuser = FusionInferencer('lurefusion::baselines/average_ir_vi.py')
    frames = dict(vi=camera(np.zeros((16, 24, 3), np.uint8)), ir=camera(np.zeros((16, 24), np.uint8)))
    levels = [round(float(done.picture[5, 5, 0]) * 255) for done in fuser.stream(batch_size=batch_size, **frames)]
    assert levels == [0, 40, 80, 120]


def test_frames_before_a_source_breaks_are_not_lost(inferencer):
    def camera():
        for seed in range(5):
            yield noise(16, 24, 3, seed=seed)
        raise OSError('the camera is gone')

    results = inferencer.stream(batch_size=4, vi=camera(), ir=(noise(16, 24, seed=s) for s in range(9)))
    assert [next(results).name for _ in range(5)] == ['0', '1', '2', '3', '4']
    with pytest.raises(OSError, match='the camera is gone'):
        next(results)


def test_a_prompt_that_is_changed_and_given_again_is_read_again(inferencer):
    def prompts():
        said = {}
        for key in ('ll', 'hz', 'oe'):
            said['vi'] = key
            yield said

    found = list(inferencer.stream(prompts(), **pairs_of(3, 16, 16)))
    assert [result.tasks['vi'] for result in found] == ['ll', 'hz', 'oe']


def test_ranges_of_a_folder_are_its_own_call_s(folders):
    (folders / 'deep').mkdir()
    for i in range(3):
        deep = np.random.default_rng(i).integers(28_000, 29_000, (24, 40)).astype(np.uint16)
        assert cv2.imwrite(str(folders / f'deep/{i}.png'), deep)
    fuser = FusionInferencer(CONFIG, 'random', range_mode='ir=shared')
    inside = []
    fuser.fuse_folders(
        dict(vi=folders / 'vi', ir=folders / 'deep'), folders / 'out', tell=lambda *_: inside.append(dict(fuser.ranges))
    )
    # as a second thread, or a call in between, would see them
    assert inside == [fuser.ranges] * 3
    assert fuser.ranges['ir'] == 'shared'


@pytest.mark.parametrize('kind', ['u2', 'i2', 'i4', 'i8', 'f4', 'f8'])
def test_alpha_of_8_bit_levels_in_any_type(kind):
    picture = noise(24, 40, 4)
    picture[..., 3] = np.linspace(0, 255, 40).round()
    fuser = FusionInferencer(CONFIG, 'random', alpha='keep')
    expected = fuser.predict(vi=picture, ir=noise(24, 40)).alpha
    np.testing.assert_allclose(fuser.predict(vi=picture.astype(kind), ir=noise(24, 40)).alpha, expected, atol=1e-6)


def test_alpha_of_a_clip_is_refused(folders):
    fuser = FusionInferencer(CONFIG, 'random', alpha='keep')
    with pytest.raises(ValueError, match='frames of a clip have no alpha to keep'):
        fuser.fuse_video(dict(vi=folders / 'vi', ir=folders / 'ir'), folders / 'out')


def test_a_network_that_is_trained_stays_so(inferencer):
    network = init_model(CONFIG, 'random').train()
    # what is frozen stays as it is
    before = [part.training for part in network.modules()]
    inference_model(network, dict(vi=noise(16, 24, 3), ir=noise(16, 24)))
    assert [part.training for part in network.modules()] == before
    assert network.training


def test_a_pair_of_files_has_its_name(inferencer, folders):
    assert inferencer.predict(vi=folders / 'vi/2.png', ir=folders / 'ir/2.bmp').name == '2'


def test_a_folder_knows_by_whom_its_prompts_were_told(automatic, folders):
    sources = dict(vi=folders / 'vi', ir=folders / 'ir')
    automatic.fuse_folders(sources, folders / 'out', 'auto')
    other = FusionInferencer(CONFIG, 'random')
    other.router.auto = AutoPrompt(other.router.bank.keys, [dict(type=Bright)], threshold=0.95)
    with pytest.raises(FileExistsError, match='made otherwise'):
        other.fuse_folders(sources, folders / 'out', 'auto')


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no processes are forked here')
def test_a_forked_process_fuses_too(tmp_path):
    code = """
import multiprocessing, numpy as np, torch
from lurefusion import FusionInferencer
torch.set_num_threads(2)
fuser = FusionInferencer('lure-fast', device='cpu')
picture = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
def fuse(_):
    return float(fuser(vi=picture, ir=picture[..., 0]).mean())
first = fuse(0)
with multiprocessing.get_context('fork').Pool(2) as pool:
    found = pool.map_async(fuse, range(2)).get(60)
assert max(abs(value - first) for value in found) < 0.01
"""
    environment = {k: v for k, v in os.environ.items() if k != 'OMP_NUM_THREADS'}
    ran = subprocess.run([sys.executable, '-c', code], env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
