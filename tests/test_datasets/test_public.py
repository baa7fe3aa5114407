import pickle
from pathlib import Path

import numpy as np
import pytest

from lurefusion.datasets import public
from lurefusion.datasets.fusion import FusionPairDataset
from lurefusion.datasets.paired import MissingDataError, PairedDataset
from lurefusion.datasets.restoration import RestorationDataset
from lurefusion.io.images import write_image
from lurefusion.registry import DATASETS

# name, arguments, role -> folder
LAYOUTS = [
    ('MSRS', {}, dict(vi='MSRS/train/vi', ir='MSRS/train/ir')),
    ('MSRS', dict(split='test'), dict(vi='MSRS/test/vi', ir='MSRS/test/ir')),
    ('LLVIP', {}, dict(vi='LLVIP/train/vi', ir='LLVIP/train/ir')),
    ('LLVIP', dict(split='test'), dict(vi='LLVIP/visible/test', ir='LLVIP/infrared/test')),
    ('M3FD', {}, dict(vi='M3FD/M3FD_Fusion/Vis', ir='M3FD/M3FD_Fusion/Ir')),
    ('M3FD', {}, dict(vi='M3FD/vi', ir='M3FD/ir')),
    ('TNO', {}, dict(vi='TNO/vi', ir='TNO/ir')),
    ('TNO', {}, dict(vi='TNO/vis', ir='TNO/ir')),
    ('RoadScene', dict(split='val'), dict(vi='RoadScene/val/vi', ir='RoadScene/val/ir')),
    ('RoadScene', {}, dict(vi='RoadScene/crop_LR_visible', ir='RoadScene/cropinfrared')),
    ('M3SVD', {}, dict(vi='M3SVD/train/visible', ir='M3SVD/train/infrared')),
    ('HarvardCT', {}, dict(ct='Harvard/CT-MRI/CT', mri='Harvard/CT-MRI/MRI')),
    ('HarvardPET', {}, dict(pet='Harvard/PET-MRI/PET', mri='Harvard/PET-MRI/MRI')),
    ('HarvardSPECT', {}, dict(spect='Harvard/SPECT-MRI/SPECT', mri='Harvard/SPECT-MRI/MRI')),
    ('EMS', {}, dict(vi='EMS/low_light/test/vi', ir='EMS/low_light/test/ir')),
    ('LOL', {}, dict(x='LOL/our485/low', y='LOL/our485/high')),
    ('LOL', dict(split='eval15'), dict(x='LOL/eval15/low', y='LOL/eval15/high')),
    ('RESIDE', {}, dict(x='RESIDE/OTS/hazy', y='RESIDE/OTS/clear')),
    ('RESIDE', dict(split='SOTS'), dict(x='RESIDE/SOTS/hazy', y='RESIDE/SOTS/GT')),
    ('HDRPS', {}, dict(x='HDRPS/train/over', y='HDRPS/train/gt')),
    ('HDRPSUnder', {}, dict(x='HDRPS/brackets/under', y='HDRPS/brackets/gt')),
    (
        'EMSLowContrast',
        {},
        dict(x='EMS/ir_low_contrast/train/degraded', y='EMS/ir_low_contrast/train/clean'),
    ),
]
TASKS = dict(LOL='ll', RESIDE='hz', ExposureErrors='oe', HDRPS='oe', HDRPSUnder='ll', EMSLowContrast='lc')
NAMES = [*dict.fromkeys(name for name, _, _ in LAYOUTS), 'ExposureErrors']
PIPELINE = [dict(type='LoadImages'), dict(type='PackInputs')]


@pytest.fixture(autouse=True)
def root(request, tmp_path, monkeypatch) -> Path:
    if 'real_data' not in request.keywords:
        monkeypatch.setenv('LUREFUSION_DATA', str(tmp_path))
    return tmp_path


def put(folder: Path, *names: str) -> None:
    for name in names:
        write_image(folder / name, np.zeros((8, 8, 3), np.uint8))


def names(dataset: PairedDataset) -> list[str]:
    return [dataset.get_data_info(i)['name'] for i in range(len(dataset))]


def pairs(dataset: PairedDataset) -> list[tuple[str, str]]:
    infos = [dataset.get_data_info(i)['paths'] for i in range(len(dataset))]
    return [(Path(paths['x']).name, Path(paths['y']).name) for paths in infos]


@pytest.mark.parametrize(('name', 'kwargs', 'folders'), LAYOUTS)
def test_layouts(root, name, kwargs, folders):
    for folder in folders.values():
        put(root / folder, '1.png', '2.png')
    dataset = DATASETS.build(dict(type=name, pipeline=PIPELINE, **kwargs))
    assert dataset.data_prefix == {role: str(root / folder) for role, folder in folders.items()}
    assert names(dataset) == ['1', '2']
    assert set(dataset[0]['inputs']) == set(folders)


def test_the_list_above_is_complete():
    members = {name for name, member in vars(public).items() if isinstance(member, type) and name in DATASETS}
    assert members - {'FusionPairDataset', 'RestorationDataset'} == set(NAMES)


@pytest.mark.parametrize('name', NAMES)
def test_classes_tell_where_the_data_comes_from(name):
    member = getattr(public, name)
    assert pickle.loads(pickle.dumps(member)) is member
    assert member.__name__ in DATASETS
    assert name.rstrip('CTPES').removesuffix('LowContrast')[:3].lower() in member.__doc__.lower()
    with pytest.raises(MissingDataError) as caught:
        DATASETS.build(dict(type=name))
    message = str(caught.value)
    assert message.startswith(f'{name}: no such folder: ')
    assert member.how_to_get in message
    assert '.' in member.how_to_get
    assert '--data-root or $LUREFUSION_DATA' in message


def test_a_half_present_layout_does_not_hide_the_whole_one(root):
    put(root / 'TNO/vi', '1.png')
    put(root / 'TNO/vis', '1.png')
    with pytest.raises(MissingDataError, match='TNO/ir'):
        public.TNO()
    put(root / 'TNO/ir', '1.png')
    assert public.TNO().data_prefix['vi'] == str(root / 'TNO/vi')


@pytest.mark.parametrize('name', NAMES)
def test_task_and_modality_of_restoration_sets(root, name):
    member = getattr(public, name)
    dataset = member(lazy_init=True)
    if name in TASKS:
        assert isinstance(dataset, RestorationDataset)
        assert (dataset.task, dataset.modality) == (TASKS[name], 'ir' if name == 'EMSLowContrast' else 'vi')
        assert member(task='zz', modality='mri', lazy_init=True).modality == 'mri'
    else:
        assert isinstance(dataset, FusionPairDataset)


def test_m3svd_keeps_the_folder_of_the_clip(root):
    for folder in ('visible', 'infrared'):
        put(root / 'M3SVD/train' / folder, 'street/0001.png', 'street/0002.png', 'yard/0001.png')
    assert names(public.M3SVD()) == ['street/0001', 'street/0002', 'yard/0001']


@pytest.mark.parametrize('clear', ['clear', 'GT'])
def test_reside_pairs_many_hazy_pictures_with_one_clear(root, clear):
    put(root / 'RESIDE/ITS/hazy', '01_1_0.8.png', '01_2_0.9.png', '02_1_0.7.png', '03.png')
    put(root / 'RESIDE/ITS' / clear, '01.jpg', '02.jpg', '03.png', '99.png')
    assert pairs(public.RESIDE('ITS')) == [
        ('01_1_0.8.png', '01.jpg'),
        ('01_2_0.9.png', '01.jpg'),
        ('02_1_0.7.png', '02.jpg'),
        ('03.png', '03.png'),
    ]


def test_reside_prefers_the_full_name_and_lists_hazy_orphans(root):
    put(root / 'RESIDE/ITS/hazy', '01_1.png')
    put(root / 'RESIDE/ITS/clear', '01.png', '01_1.png')
    assert pairs(public.RESIDE('ITS')) == [('01_1.png', '01_1.png')]
    put(root / 'RESIDE/ITS/hazy', '05_1.png')
    with pytest.raises(FileNotFoundError, match=r'y \(.* has no file for 1 of 2 stems: 05_1'):
        public.RESIDE('ITS')


def test_reside_reads_its_own_naming(root):
    put(root / 'RESIDE/SOTS/hazy', '1400_1.png', '1400_10.png', '1401_2.png')
    put(root / 'RESIDE/SOTS/clear', '1400.png', '1401.png', '1402.png')
    assert pairs(public.RESIDE('SOTS')) == [
        ('1400_1.png', '1400.png'),
        ('1400_10.png', '1400.png'),
        ('1401_2.png', '1401.png'),
    ]


@pytest.mark.parametrize(('member', 'folder'), [(public.HDRPS, 'over'), (public.HDRPSUnder, 'under')])
def test_brackets_pair_frames_with_their_scene(root, member, folder):
    put(root / 'HDRPS/brackets' / folder, 'Cafe_2.png', 'Cafe_3.png', 'West_Branch_2_2.png', 'Lake.png')
    put(root / 'HDRPS/brackets/gt', 'Cafe.png', 'West_Branch_2.png', 'Lake.png', 'Zurich.png')
    assert pairs(member('brackets')) == [
        ('Cafe_2.png', 'Cafe.png'),
        ('Cafe_3.png', 'Cafe.png'),
        ('Lake.png', 'Lake.png'),
        ('West_Branch_2_2.png', 'West_Branch_2.png'),
    ]
    put(root / 'HDRPS/brackets' / folder, 'Garden_2.png')
    with pytest.raises(FileNotFoundError, match=r'y \(.* has no file for 1 of 5 stems: Garden_2'):
        member('brackets')


def test_validation_scenes_are_left_out_by_a_table(root):
    put(root / 'HDRPS/brackets/over', 'Cafe_2.png', 'Lake_2.png')
    put(root / 'HDRPS/brackets/under', 'Cafe_2.png', 'Cafe_3.png', 'Lake_2.png')
    put(root / 'HDRPS/brackets/gt', 'Cafe.png', 'Lake.png')
    (root / 'val.tsv').write_text(
        'degraded\tclean\ttask\nHDRPS/brackets/over/Cafe_2.png\tHDRPS/brackets/gt/Cafe.png\toe\n'
    )
    for member in (public.HDRPS, public.HDRPSUnder):
        # the darker frames of the scene go with its clean picture
        assert pairs(member('brackets', leave_out=['val.tsv'])) == [('Lake_2.png', 'Lake.png')]
    clean = RestorationDataset(
        dict(y='HDRPS/brackets/gt'), 'oe', 'vi', degradation=dict(type='OverExposure'), leave_out=['val.tsv']
    )
    assert names(clean) == ['Lake']


def test_exposure_errors_takes_only_what_is_over_exposed(root):
    folder = root / 'ExposureErrors/training'
    put(folder / 'INPUT_IMAGES', *(f'a1-x_1_{stop}.jpg' for stop in ('0', 'N1', 'N1.5', 'P1', 'P1.5')))
    put(folder / 'INPUT_IMAGES', 'b2_P1.JPG', 'b2_N1.JPG')
    put(folder / 'GT_IMAGES', 'a1-x_1.jpg', 'b2.jpg', 'c3.jpg')
    assert pairs(public.ExposureErrors()) == [
        ('a1-x_1_P1.jpg', 'a1-x_1.jpg'),
        ('a1-x_1_P1.5.jpg', 'a1-x_1.jpg'),
        ('b2_P1.JPG', 'b2.jpg'),
    ]
    (folder / 'GT_IMAGES/b2.jpg').unlink()
    with pytest.raises(FileNotFoundError, match=r'y \(.* has no file for 1 of 3 stems: b2_P1'):
        public.ExposureErrors()


def test_exposure_errors_without_over_exposed_pictures(root):
    put(root / 'ExposureErrors/training/INPUT_IMAGES', 'a_N1.jpg')
    put(root / 'ExposureErrors/training/GT_IMAGES', 'a.jpg')
    with pytest.raises(ValueError, match=r'ExposureErrors: no file of .* belongs to this data set'):
        public.ExposureErrors()


def test_a_set_without_splits_is_its_test_and_nothing_else(root):
    for folder in ('crop_LR_visible', 'cropinfrared'):
        put(root / 'RoadScene' / folder, 'a.png', 'b.png')
    assert names(public.RoadScene()) == names(public.RoadScene(split='test')) == ['a', 'b']
    for split in ('train', 'tset'):
        with pytest.raises(MissingDataError, match=rf'RoadScene/{split}/.*all are the split test'):
            public.RoadScene(split=split)
    for name in ('M3FD', 'TNO', 'HarvardCT'):
        with pytest.raises(ValueError, match=rf"{name} has no splits, got split='val': divide it by keep="):
            getattr(public, name)(split='val')


@pytest.mark.real_data
@pytest.mark.parametrize(
    ('name', 'split'),
    [
        ('MSRS', 'train'),
        ('MSRS', 'test_dev'),
        ('MSRS', 'train_128'),
        ('LLVIP', 'train'),
        ('RoadScene', 'train'),
        ('RoadScene', 'val'),
        ('M3SVD', 'train'),
        ('HarvardCT', None),
        ('HarvardPET', None),
        ('HarvardSPECT', None),
        ('LOL', 'our485'),
        ('RESIDE', 'SOTS_indoor'),
        ('HDRPS', 'train'),
        ('LOL', 'our485_more'),
        ('RESIDE', 'SOTS_indoor_more'),
        ('HDRPS', 'brackets'),
        ('HDRPSUnder', 'brackets'),
        ('LLVIP', 'train_more'),
        ('M3SVD', 'train_more'),
    ],
)
def test_real_images_load(data_root, name, split):
    dataset = DATASETS.build(dict(type=name, split=split, pipeline=PIPELINE, test_mode=True))
    assert len(dataset) >= 8
    assert dataset.missing() == []
    for index in (0, -1):
        item = dataset[index]
        sample = item['data_samples']
        assert all(str(data_root) in path for path in sample.paths.values())
        pictures = [*sample.sources.values(), *sample.references.values()]
        assert len(pictures) == 2
        assert pictures[0].shape == pictures[1].shape
        assert pictures[0].shape[0] == 3
        for picture in pictures:
            assert 0 <= picture.min() < picture.max() <= 1


@pytest.mark.real_data
def test_real_restoration_pairs_show_one_scene(data_root):
    for name, split in (('LOL', 'our485'), ('RESIDE', 'SOTS_indoor'), ('HDRPS', 'train')):
        dataset = DATASETS.build(dict(type=name, split=split, pipeline=PIPELINE, every=9))
        for index in range(len(dataset)):
            x, y = (dataset[index]['inputs'][role].float().mean(0)[::4, ::4].ravel() for role in 'xy')
            assert np.corrcoef(x, y)[0, 1] > 0.4, (name, dataset.get_data_info(index)['name'])
