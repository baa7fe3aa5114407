import cv2
import numpy as np
import pytest
import torch

from lurefusion.datasets import transforms
from lurefusion.datasets.degradations import LowContrast, LowLight
from lurefusion.datasets.transforms import (
    CenterCrop,
    Degrade,
    DrawTasks,
    FrameDepth,
    LoadImages,
    PackInputs,
    RandomCrop,
    RandomFlip,
)
from lurefusion.io.images import write_image
from lurefusion.registry import TRANSFORMS

HEIGHT, WIDTH = 60, 90


def located(height: int = HEIGHT, width: int = WIDTH) -> dict:
    """Pictures in which every pixel knows its row and column, in all roles."""
    rows, columns = np.mgrid[:height, :width]
    x = np.dstack([rows, columns, np.zeros_like(rows)]).astype(np.uint8)
    y = np.dstack([rows, columns, np.full_like(rows, 9)]).astype(np.uint8)
    return dict(
        images=dict(x=x, y=y, label=(rows + columns).astype(np.uint8)),
        depth=(rows / 128 + columns / 1024).astype(np.float32),
        rng=np.random.default_rng(0),
        iteration=0,
    )


def assert_registered(results: dict) -> None:
    images = results['images']
    rows, columns = np.moveaxis(images['x'][..., :2].astype(int), 2, 0)
    np.testing.assert_array_equal(images['y'][..., :2], images['x'][..., :2])
    np.testing.assert_array_equal(images['label'], rows + columns)
    np.testing.assert_allclose(results['depth'], rows / 128 + columns / 1024, atol=1e-6)


def test_all_are_registered():
    names = ('LoadImages', 'FrameDepth', 'RandomCrop', 'CenterCrop', 'RandomFlip', 'Degrade', 'PackInputs')
    assert all(callable(TRANSFORMS.build(dict(type=name))) for name in names)


# LoadImages


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    write_image(tmp_path / 'vi.png', rng.integers(0, 256, (16, 20, 3), np.uint8))
    write_image(tmp_path / 'ir.png', rng.integers(0, 256, (16, 20), np.uint8))
    write_image(tmp_path / 'label.png', (np.arange(320).reshape(16, 20) % 9).astype(np.uint8))
    assert cv2.imwrite(str(tmp_path / 'raw.png'), rng.integers(0, 4000, (16, 20), np.uint16))
    return {role: str(tmp_path / f'{role}.png') for role in ('vi', 'ir', 'label', 'raw')}


def test_load(files):
    results = LoadImages('full')(dict(paths=files))
    images = results['images']
    assert images['vi'].shape == images['ir'].shape == (16, 20, 3)
    assert images['vi'].dtype == images['ir'].dtype == np.uint8
    np.testing.assert_array_equal(images['label'], np.arange(320).reshape(16, 20) % 9)
    assert images['raw'].dtype == np.float32
    assert images['raw'].max() < 4000 / 65535
    assert {'ir', 'raw'} <= set(results['grey'])
    assert 'vi' not in results['grey']
    assert LoadImages('minmax')(dict(paths=files))['images']['raw'].max() == 1


def test_load_keeps_what_the_data_set_made():
    image = np.zeros((16, 16, 3), np.uint8)
    results = LoadImages()(dict(images=dict(vi=image), paths={}, grey=('ir',)))
    assert results['images']['vi'] is image
    assert results['grey'] == ('ir',)


def test_a_file_that_is_picture_and_label_is_cached_as_both(files):
    load = LoadImages('full', cache_mb=1)
    for _ in range(2):
        images = load(dict(paths=dict(vi=files['label'], label=files['label'])))['images']
        assert images['vi'].shape == (16, 20, 3)
        np.testing.assert_array_equal(images['label'], images['vi'][..., 0])


def test_cache_holds_what_there_is_room_for(files, monkeypatch):
    size = 16 * 20 * 3
    cached = LoadImages(cache_mb=(size + 10) / 2**20)
    first = cached(dict(paths=dict(vi=files['vi'], ir=files['ir'])))['images']
    read = []
    original = cached._read.__globals__['read_image']
    monkeypatch.setitem(cached._read.__globals__, 'read_image', lambda *a: read.append(a[0]) or original(*a))
    again = cached(dict(paths=dict(vi=files['vi'], ir=files['ir'])))['images']
    assert read == [files['ir']]
    for role in first:
        np.testing.assert_array_equal(again[role], first[role])


def test_cached_pictures_survive_the_other_transforms(files):
    load = LoadImages(cache_mb=1)
    for _ in range(2):
        images = load(dict(paths=dict(y=files['vi'])))['images']
        assert images['y'].max() > 0
        images['y'][:] = 0
    before = load(dict(paths=dict(y=files['vi'])))['images']['y'].copy()
    steps = [RandomCrop(16), RandomFlip(1, 1), Degrade(), PackInputs()]
    for seed in range(3):
        results = dict(
            load(dict(paths=dict(y=files['vi']))),
            rng=np.random.default_rng(seed),
            iteration=0,
            degradation=dict(type='LowLight'),
        )
        for step in steps:
            results = step(results)
        results['inputs']['x'].zero_()
    np.testing.assert_array_equal(load(dict(paths=dict(y=files['vi'])))['images']['y'], before)


def test_load_errors(tmp_path, files):
    write_image(tmp_path / 'wide.png', np.zeros((16, 30, 3), np.uint8))
    with pytest.raises(ValueError, match=r'vi 20x16 \(.*vi\.png\), ir 30x16 \(.*wide\.png\)'):
        LoadImages()(dict(paths=dict(vi=files['vi'], ir=str(tmp_path / 'wide.png'))))
    write_image(tmp_path / 'tiny.png', np.zeros((7, 30, 3), np.uint8))
    with pytest.raises(ValueError, match=r'tiny\.png: 30x7 pixels; at least 8x8'):
        LoadImages()(dict(paths=dict(vi=str(tmp_path / 'tiny.png'))))


def test_a_misspelt_modality_is_named():
    drawn = DrawTasks(dict(ll=dict(type='LowLight')), [(1, dict(vis='ll'))])
    results = dict(images=dict(vi=np.zeros((40, 50, 3), np.uint8)), rng=np.random.default_rng(2))
    with pytest.raises(ValueError, match="degradations: 'vis' is none of the pictures vi"):
        Degrade()(drawn(results))


# FrameDepth


def test_frame_depth_only_where_it_is_needed_and_missing():
    def run(degradation, **extra):
        results = dict(images=dict(y=np.zeros((40, 50, 3), np.uint8)), rng=np.random.default_rng(2), **extra)
        return FrameDepth()(dict(results, degradation=degradation))

    made = run(dict(type='Haze'))
    assert made['depth'].shape == (40, 50)
    assert made['depth'].dtype == np.float32
    assert 0 <= made['depth'].min() <= made['depth'].max() <= 1
    assert made['depth'][:5].mean() > 0.6 > 0.3 > made['depth'][-5:].mean()
    np.testing.assert_array_equal(run(dict(type='Haze'))['depth'], made['depth'])
    assert 'depth' not in run(dict(type='LowLight'))
    assert 'depth' not in run(None)
    known = np.full((40, 50), 0.5, np.float32)
    assert run(dict(type='Haze'), depth=known)['depth'] is known
    # the modalities of a fusion sample share the map
    pair = dict(images=dict(near=np.zeros((40, 50, 3), np.uint8)), degradations=dict(near=dict(type='Defocus')))
    made = FrameDepth(types=('Defocus',))(dict(pair, rng=np.random.default_rng(2)))
    assert made['depth'].shape == (40, 50)
    assert 'depth' not in FrameDepth(types=('Haze',))(dict(pair, rng=np.random.default_rng(2)))
    # what the degradation says comes first; one number is a range of its own
    ramps = [run(dict(type='Haze', ramp=ramp, relief=0.0))['depth'][20, 25] for ramp in (0.2, (5.0, 5.0))]
    assert ramps == pytest.approx([(19 / 40) ** 0.2, (19 / 40) ** 5], abs=1e-5)
    # nothing is drawn where nothing is made
    assert run(None)['rng'].random() == np.random.default_rng(2).random()


# RandomCrop


def test_crops_cut_all_roles_alike_and_reach_everywhere():
    tops, lefts = set(), set()
    for seed in range(200):
        results = RandomCrop(40)(dict(located(), rng=np.random.default_rng(seed)))
        assert results['images']['x'].shape == (40, 40, 3)
        assert results['images']['label'].shape == results['depth'].shape == (40, 40)
        assert_registered(results)
        tops.add(int(results['images']['x'][0, 0, 0]))
        lefts.add(int(results['images']['x'][0, 0, 1]))
    assert tops == set(range(HEIGHT - 40 + 1))
    assert min(lefts) == 0
    assert max(lefts) == WIDTH - 40


def test_crop_of_the_whole_picture_is_the_picture():
    results = located(64, 64)
    cut = RandomCrop(64)(dict(results))
    np.testing.assert_array_equal(cut['images']['x'], results['images']['x'])


def test_crop_schedule():
    crop = RandomCrop([(100, 32), (0, 16), (200, 48)])
    for iteration, side in ((0, 16), (99, 16), (100, 32), (199, 32), (200, 48), (10**6, 48)):
        assert crop(dict(located(), iteration=iteration))['images']['y'].shape == (side, side, 3)


def test_center_crop_is_the_middle_of_all_roles():
    results = CenterCrop(32)(located())
    assert_registered(results)
    assert results['images']['x'].shape == (32, 32, 3)
    assert tuple(results['images']['x'][0, 0, :2]) == ((HEIGHT - 32) // 2, (WIDTH - 32) // 2)
    with pytest.raises(ValueError, match=r'a: 90x60 pixels; CenterCrop\(size=64\)'):
        CenterCrop(64)(dict(located(), name='a'))
    with pytest.raises(ValueError, match='multiple of 8'):
        CenterCrop(12)


@pytest.mark.parametrize('shape', [(20, 90), (60, 20), (20, 24), (9, 8)])
def test_small_pictures_are_extended_by_reflection(shape):
    original = located(*shape)['images']['x']
    results = RandomCrop(32)(located(*shape))
    assert_registered(results)
    x = results['images']['x']
    assert x.shape == (32, 32, 3)
    for axis, side in enumerate(shape):
        line = np.moveaxis(x[..., axis], axis, 0)[:, 0].astype(int)
        start = line[0]
        mirrored = np.pad(np.arange(side), (0, 40), mode='symmetric')
        np.testing.assert_array_equal(line, mirrored[start : start + 32])
        assert start == 0 or side >= 32
    assert original.shape[:2] == shape


@pytest.mark.parametrize(('factor', 'window'), [(0.5, 48), (2.0, 12), (0.1, HEIGHT), (1.0, 24)])
def test_scale_changes_how_much_of_the_scene_is_in_the_window(factor, window):
    for seed in range(5):
        results = RandomCrop(24, scale=(factor, factor))(dict(located(), rng=np.random.default_rng(seed)))
        images = results['images']
        assert images['x'].shape == (24, 24, 3)
        span = images['x'][..., 0].astype(float).max() - images['x'][..., 0].min()
        assert span == pytest.approx(window * 23 / 24 if window > 24 else window - 1, abs=2)
        np.testing.assert_array_equal(images['x'][..., :2], images['y'][..., :2])
        # labels are picked, not mixed: each is one that the source has, near its place
        near = images['x'][..., 0].astype(int) + images['x'][..., 1]
        assert np.abs(images['label'] - near).max() <= 2 * max(1, window / 24)


@pytest.mark.parametrize(('prob', 'expected'), [(0.0, 0), (0.3, 90), (1.0, 300)])
def test_scale_prob_is_how_often_crops_are_scaled(prob, expected):
    crop = RandomCrop(24, scale=(0.5, 0.5), scale_prob=prob)
    scaled = 0
    for seed in range(300):
        rows = crop(dict(located(), rng=np.random.default_rng(seed)))['images']['x'][..., 0]
        scaled += int(rows[-1, 0]) - int(rows[0, 0]) > 23
    assert scaled == pytest.approx(expected, abs=30 if 0 < prob < 1 else 0)


def test_shrinking_by_two_averages_blocks():
    image = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    results = dict(images=dict(y=image), rng=np.random.default_rng(0), iteration=0)
    cut = RandomCrop(24, scale=(0.5, 0.5))(results)['images']['y']
    blocks = image.reshape(24, 2, 24, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(cut, blocks, atol=0.51)


def test_scaled_floats_stay_in_range():
    # OpenCV's area filter makes 1.0000002 of 1.0, which degradations refuse
    worst = 0.0
    for side in range(64, 160):
        ones = np.ones((side, side), np.float32)
        results = dict(images=dict(y=np.dstack([ones] * 3)), depth=ones, rng=np.random.default_rng(0), iteration=0)
        results = RandomCrop(64, scale=(0.4, 1.5))(results)
        worst = max(worst, float(results['depth'].max()), float(results['images']['y'].max()))
    assert worst == 1
    assert results['images']['y'].dtype == results['depth'].dtype == np.float32


def test_crop_arguments():
    for size in (0, 20, [(0, 64), (10, 30)]):
        with pytest.raises(ValueError, match='crop sizes must be positive multiples of 8'):
            RandomCrop(size)
    for schedule in ([(10, 64)], []):
        with pytest.raises(ValueError, match='must begin at iteration 0'):
            RandomCrop(schedule)
    for scale in ((0, 1), (1, 0.5)):
        with pytest.raises(ValueError, match='scale must be a range of positive factors'):
            RandomCrop(64, scale)


# RandomFlip


@pytest.mark.parametrize(('horizontal', 'vertical'), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_flips_are_joint(horizontal, vertical):
    results = RandomFlip(horizontal, vertical)(located())
    assert_registered(results)
    expected = located()['images']['x'][:: -1 if vertical else 1, :: -1 if horizontal else 1]
    np.testing.assert_array_equal(results['images']['x'], expected)


def test_flip_probability():
    image = np.zeros((8, 8, 3), np.uint8)
    image[0, 0] = 1
    corners = np.zeros((2, 2), int)
    for seed in range(400):
        flipped = RandomFlip(0.5, 0.25)(dict(images=dict(y=image), rng=np.random.default_rng(seed)))['images']['y']
        corners += flipped[::7, ::7, 0]
    assert 160 < corners[:, 1].sum() < 240
    assert 70 < corners[1].sum() < 130


# Degrade


def degradable(dtype=np.uint8, **extra) -> dict:
    image = np.random.default_rng(3).integers(0, 256, (24, 32, 3), np.uint8)
    image = image if dtype == np.uint8 else image.astype(dtype) / np.float32(255)
    return dict(images=dict(y=image), rng=np.random.default_rng(4), **extra)


def test_degrade_records_its_parameters_and_leaves_the_clean_picture():
    before = degradable()['images']['y']
    results = Degrade()(degradable(degradation=dict(type='LowContrast')))
    np.testing.assert_array_equal(results['images']['y'], before)
    parameters = results['degradation_parameters']
    assert parameters['type'] == 'LowContrast'
    expected, drawn = LowContrast()(before.astype(np.float32) / 255, np.random.default_rng(4))
    assert parameters == dict(type='LowContrast', **drawn)
    assert results['images']['x'].dtype == np.uint8
    np.testing.assert_array_equal(results['images']['x'], np.round(expected * 255))


def test_degrade_keeps_the_clean_sources_of_a_fusion_pair_as_references():
    pair = {role: degradable()['images']['y'] + shift for role, shift in (('vi', 0), ('ir', 9))}
    results = dict(images=dict(pair), rng=np.random.default_rng(4), degradations=dict(vi=dict(type='LowContrast')))
    images = Degrade()(results)['images']
    assert set(images) == {'vi', 'ir', 'reference_vi'}
    np.testing.assert_array_equal(images['reference_vi'], pair['vi'])
    np.testing.assert_array_equal(images['ir'], pair['ir'])
    expected, drawn = LowContrast()(pair['vi'].astype(np.float32) / 255, np.random.default_rng(4))
    np.testing.assert_array_equal(images['vi'], np.round(expected * 255))
    assert results['degradation_parameters'] == dict(vi=dict(type='LowContrast', **drawn))


def test_degrade_keeps_floats():
    results = Degrade()(degradable(np.float32, degradation=dict(type='LowLight')))
    expected, _ = LowLight()(degradable(np.float32)['images']['y'], np.random.default_rng(4))
    assert results['images']['x'].dtype == np.float32
    np.testing.assert_array_equal(results['images']['x'], expected)


def test_degrade_uses_the_depth_and_takes_flipped_pictures():
    depth = np.zeros((24, 32), np.float32)
    depth[:, 16:] = 1
    results = degradable(degradation=dict(type='Haze', beta=50.0, airlight=0.8), depth=depth)
    results = Degrade()(RandomFlip(1.0)(results))
    x, y = results['images']['x'], results['images']['y']
    assert (x[:, :16] == 204).all()
    np.testing.assert_array_equal(x[:, 16:], y[:, 16:])


def test_degrade_leaves_real_pairs_alone():
    results = degradable(degradation=None)
    assert Degrade()(results) is results
    assert set(results['images']) == {'y'}
    assert results['rng'].random() == np.random.default_rng(4).random()


def test_one_degrade_serves_many_configs():
    degrade = Degrade()
    strong = degrade(degradable(degradation=dict(type='LowContrast', gain=0.2, noise=0.0)))
    weak = degrade(degradable(degradation=dict(type='LowContrast', gain=0.9, noise=0.0)))
    identity = degrade(degradable(degradation=dict(type='Identity')))
    assert strong['degradation_parameters']['gain'] == 0.2
    assert weak['degradation_parameters']['gain'] == 0.9
    assert identity['degradation_parameters'] == dict(type='Identity')
    np.testing.assert_array_equal(identity['images']['x'], identity['images']['y'])


# PackInputs


def packable(test_mode: bool) -> dict:
    rng = np.random.default_rng(0)
    roles = ('vi', 'ir', 'reference_vi', 'reference_ir')
    images = {role: rng.integers(0, 256, (10, 12, 3), np.uint8) for role in roles}
    images['ir'] = images['ir'].astype(np.float32) / 255
    images['label'] = rng.integers(0, 9, (10, 12), np.uint8)[:, ::-1]
    return dict(
        images=images,
        name='a',
        paths={},
        grey=('ir',),
        tasks=dict(vi='ll'),
        seed=5,
        test_mode=test_mode,
        rng=rng,
        iteration=3,
        sample_idx=1,
    )


def test_pack_for_training():
    results = packable(False)
    item = PackInputs()(results)
    assert set(item) == {'inputs', 'data_samples'}
    assert set(item['inputs']) == {'vi', 'ir'}
    assert item['inputs']['vi'].dtype == torch.uint8
    assert item['inputs']['ir'].dtype == torch.float32
    np.testing.assert_array_equal(item['inputs']['vi'].permute(1, 2, 0), results['images']['vi'])
    sample = item['data_samples']
    assert (sample.name, sample.grey, sample.tasks, sample.seed) == ('a', ('ir',), dict(vi='ll'), 5)
    assert set(sample.metainfo_keys()) == {'name', 'paths', 'grey', 'tasks', 'seed'}
    assert list(sample.keys()) == []


def test_pack_for_testing():
    results = packable(True)
    item = PackInputs()(results)
    assert set(item['inputs']) == {'vi', 'ir'}
    sample = item['data_samples']
    assert set(sample.sources) == set(sample.references) == {'vi', 'ir'}
    for role, picture in (('vi', sample.sources['vi']), ('reference_vi', sample.references['vi'])):
        assert picture.dtype == torch.float32
        np.testing.assert_allclose(picture.permute(1, 2, 0), results['images'][role] / 255, atol=1e-6)
    np.testing.assert_array_equal(sample.label, results['images']['label'])


@pytest.mark.parametrize('test_mode', [False, True])
def test_pack_restoration_pairs(test_mode):
    results = dict(degradable(degradation=dict(type='LowLight')), name='a', task='ll', modality='vi')
    item = PackInputs()(dict(Degrade()(results), test_mode=test_mode))
    sample = item['data_samples']
    assert sample.degradation == results['degradation_parameters']
    assert (sample.task, sample.modality) == ('ll', 'vi')
    assert set(item['inputs']) == ({'x'} if test_mode else {'x', 'y'})
    if test_mode:
        assert set(sample.sources) == {'x'}
        assert set(sample.references) == {'y'}


def deep(path, *levels: int) -> str:
    image = np.linspace(levels[0], levels[1], 24 * 32).reshape(24, 32).astype(np.uint16)
    assert cv2.imwrite(str(path), image)
    return str(path)


def test_ranges_belong_to_modalities(tmp_path):
    paths = {role: deep(tmp_path / f'{role}.png', 1000, 3000) for role in ('vi', 'ir', 'reference_ir', 'ct')}
    load = LoadImages(range_mode=dict(ir='0:4000', vi='full'))
    images = load(dict(paths=paths))['images']
    for role, low, high in (('vi', 1000, 3000), ('ir', 1000, 3000)):
        top = dict(vi=65535, ir=4000)[role]
        assert images[role].min() == pytest.approx(low / top, abs=1e-6)
        assert images[role].max() == pytest.approx(high / top, abs=1e-6)
    np.testing.assert_array_equal(images['reference_ir'], images['ir'])
    assert (images['ct'].min(), images['ct'].max()) == (0, 1)
    # one file in two roles, decoded once and kept
    twice = LoadImages(range_mode=dict(near='0:4000', far='0:8000'), cache_mb=1)
    for _ in range(2):
        images_of_both = twice(dict(paths=dict(near=paths['ir'], far=paths['ir'])))['images']
        np.testing.assert_allclose(images_of_both['near'], 2 * images_of_both['far'], atol=1e-6)
    # x and y of a restoration pair are pictures of its modality
    pair = load(dict(paths=dict(x=paths['ir'], y=paths['vi']), modality='ir'))['images']
    np.testing.assert_array_equal(pair['x'], images['ir'])
    np.testing.assert_array_equal(pair['y'], images['ir'])
    with pytest.raises(ValueError, match='lower limit'):
        LoadImages(range_mode='ir=9:1')
    with pytest.raises(ValueError, match='range_mode names irr; the pictures are ir, vi'):
        LoadImages(range_mode=dict(irr='minmax'))(dict(paths=dict(vi=paths['vi'], reference_ir=paths['ir'])))


def test_a_wasted_range_is_logged_once(tmp_path, monkeypatch):
    logged = []
    monkeypatch.setattr(transforms, 'print_log', lambda message, **_: logged.append(message))
    image = np.full((24, 32), 29000, np.uint16)
    image[:12] += np.arange(32, dtype=np.uint16) * 8
    image[0, :3] = 60000
    for name in 'abc':
        cv2.imwrite(str(tmp_path / f'{name}.png'), image)
    load = LoadImages()
    for name in 'aabc':
        load(dict(paths=dict(ir=str(tmp_path / f'{name}.png'))))
    (message,) = logged
    assert 'half of the range' in message
    assert message.startswith(f'ir ({tmp_path}/a.png): ')


def test_pictures_lie_as_viewers_show_them(tmp_path):
    from PIL import Image

    image = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.fromarray(np.rot90(image, -1).copy()).save(tmp_path / 'a.png', exif=exif)
    np.testing.assert_array_equal(LoadImages()(dict(paths=dict(vi=str(tmp_path / 'a.png'))))['images']['vi'], image)


# DrawTasks


def test_tasks_are_drawn_by_their_shares_and_spoil_the_pictures():
    drawn = DrawTasks(dict(ll=dict(type='LowLight'), lc=dict(type='LowContrast')),
                      [(3, {}), (1, dict(vi='ll', ir='lc'))])  # fmt: skip
    rng, spoilt = np.random.default_rng(0), 0
    for _ in range(400):
        results = drawn(dict(rng=rng))
        assert set(results['degradations']) == set(results['tasks'])
        spoilt += bool(results['tasks'])
    assert results['degradations'] in ({}, dict(vi=dict(type='LowLight'), ir=dict(type='LowContrast')))
    assert 75 < spoilt < 125


@pytest.mark.parametrize(
    ('choices', 'message'),
    [
        ([(1, dict(vi='hz'))], r"\['hz'\]; degradations has \['ll'\]"),
        ([(-1, {})], 'must not be negative'),
        ([], 'all 0'),
    ],
)
def test_choices_that_cannot_be_drawn_are_said(choices, message):
    with pytest.raises(ValueError, match=message):
        DrawTasks(dict(ll=dict(type='LowLight')), choices)


def test_clean_pictures_go_along_for_training_where_asked():
    vi, ir = (np.full((8, 8, 3), value, np.uint8) for value in (200, 90))
    results = dict(images=dict(vi=vi, ir=ir), degradations=dict(vi=dict(type='LowLight', gain=0.5, gamma=2.2)),
                   rng=np.random.default_rng(0))  # fmt: skip
    inputs = PackInputs(references=True)(Degrade()(results))['inputs']
    assert set(inputs) == {'vi', 'ir', 'reference_vi', 'reference_ir'}
    assert (inputs['reference_vi'] == 200).all()
    assert inputs['vi'].float().mean() < 120
    assert torch.equal(inputs['reference_ir'], inputs['ir'])
    assert set(PackInputs()(results)['inputs']) == {'vi', 'ir'}


def test_random_exposure_is_gain_cast_and_gamma_of_made_pairs_alone():
    clean = np.linspace(0.1, 0.6, 48, dtype=np.float32).reshape(4, 4, 3)
    step = transforms.RandomExposure(gamma=(1.5, 1.5), gain=(0.8, 0.8), cast=0.0, prob=1.0)
    done = step(dict(images=dict(y=clean.copy()), rng=np.random.default_rng(0), degradation=dict(type='LowLight')))
    np.testing.assert_allclose(done['images']['y'], 0.8 * clean**1.5, rtol=1e-5)
    real = step(dict(images=dict(y=clean.copy()), rng=np.random.default_rng(0), degradation=None))
    np.testing.assert_array_equal(real['images']['y'], clean)
    grey = np.repeat(clean[..., :1], 3, axis=2)
    cast = transforms.RandomExposure(cast=0.2, prob=1.0)
    for seed in range(5):
        out = cast(dict(images=dict(y=grey.copy()), rng=np.random.default_rng(seed), degradation=dict(type='Haze')))
        assert (out['images']['y'] == out['images']['y'][..., :1]).all()
    levels = np.round(clean * 255).astype(np.uint8)
    out = cast(dict(images=dict(y=levels.copy()), rng=np.random.default_rng(1), degradation=dict(type='Haze')))
    assert out['images']['y'].dtype == np.uint8
    assert np.ptp((out['images']['y'] / levels.astype(float)).mean((0, 1))) > 0.01
    with pytest.raises(ValueError, match='gamma and gain must be ranges of positive numbers'):
        transforms.RandomExposure(gamma=(0.0, 1.0))


def test_shrink_frame_keeps_what_is_in_the_frame():
    y = np.zeros((96, 160, 3), np.uint8)
    y[:, 80:] = 200
    depth = np.tile(np.linspace(0, 1, 160, dtype=np.float32), (96, 1))
    done = transforms.ShrinkFrame(short=(48, 48))(
        dict(images=dict(y=y, x=y), depth=depth, rng=np.random.default_rng(0), name='a')
    )
    assert {image.shape for image in done['images'].values()} == {(48, 80, 3)}
    np.testing.assert_array_equal(done['images']['y'], y[::2, ::2])
    np.testing.assert_allclose(done['depth'][0], depth[0].reshape(80, 2).mean(1), atol=1e-5)
    # smaller ones stay, cut to multiples
    small = transforms.ShrinkFrame(short=(200, 400))(
        dict(images=dict(y=y[:90, :150]), rng=np.random.default_rng(0), name='a')
    )
    assert small['images']['y'].shape == (80, 144, 3)
    with pytest.raises(ValueError, match='short must be a range from 32'):
        transforms.ShrinkFrame(short=(16, 64))
    with pytest.raises(ValueError, match=r'a: 160x8 pixels; ShrinkFrame\(divisor=16\) needs that much'):
        transforms.ShrinkFrame()(dict(images=dict(y=y[:8]), rng=np.random.default_rng(0), name='a'))


def test_a_clean_picture_of_its_own_stays_the_reference():
    clean, shown = (np.full((8, 8, 3), value, np.uint8) for value in (200, 100))
    results = dict(
        images=dict(vi=shown, reference_vi=clean), degradations=dict(vi=dict(type='LowLight')),
        rng=np.random.default_rng(0),
    )  # fmt: skip
    out = Degrade()(results)['images']
    np.testing.assert_array_equal(out['reference_vi'], clean)
    assert out['vi'].mean() < 100


def test_probabilities_and_crop_sizes_are_checked():
    for make in (lambda: RandomFlip(prob=5), lambda: RandomFlip(vertical=-0.1), lambda: RandomCrop(8, scale_prob=2)):
        with pytest.raises(ValueError, match='is a probability, 0 to 1'):
            make()
    with pytest.raises(ValueError, match=r'RandomCrop\.size is one number'):
        RandomCrop(size=(192, 192))
    assert FrameDepth(types=('Haze')).types == ('Haze',)
