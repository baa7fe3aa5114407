from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lurefusion.datasets.paired import MissingDataError
from lurefusion.datasets.restoration import ListedPairs, RestorationDataset
from lurefusion.io.images import write_image

PIPELINE = [dict(type='LoadImages'), dict(type='Degrade'), dict(type='PackInputs')]


@pytest.fixture
def root(tmp_path) -> Path:
    for stem in ('a', 'b', 'c'):
        image = np.full((16, 24, 3), (90, 120, 150), np.uint8)
        write_image(tmp_path / f'high/{stem}.png', image)
        write_image(tmp_path / f'low/{stem}.png', image // 3)
    return tmp_path


def build(root: Path, **kwargs) -> RestorationDataset:
    return RestorationDataset(task='ll', modality='vi', data_root=str(root), pipeline=PIPELINE, **kwargs)


def test_real_pairs(root):
    dataset = build(root, data_prefix=dict(x='low', y='high'))
    item = dataset[1]
    assert item['data_samples'].name == 'b'
    assert item['data_samples'].task == 'll'
    assert item['data_samples'].modality == 'vi'
    assert 'degradation' not in item['data_samples']
    np.testing.assert_array_equal(item['inputs']['x'][:, 0, 0], [30, 40, 50])
    np.testing.assert_array_equal(item['inputs']['y'][:, 0, 0], [90, 120, 150])


def test_made_pairs(root):
    degradation = dict(type='LowLight', gain=0.5, gamma=1.0, shot=0.0, read=0.0)
    dataset = build(root, data_prefix=dict(y='high'), degradation=degradation)
    item = dataset[0]
    np.testing.assert_array_equal(item['inputs']['x'][:, 3, 3], [45, 60, 75])
    np.testing.assert_array_equal(item['inputs']['y'][:, 3, 3], [90, 120, 150])
    assert item['data_samples'].degradation['type'] == 'LowLight'
    assert item['data_samples'].degradation['gain'] == 0.5


def test_test_mode_makes_y_the_reference(root):
    item = build(root, data_prefix=dict(x='low', y='high'), test_mode=True)[0]
    assert set(item['inputs']) == set(item['data_samples'].sources) == {'x'}
    torch.testing.assert_close(item['data_samples'].references['y'][:, 0, 0], torch.tensor([90.0, 120.0, 150.0]) / 255)


@pytest.mark.parametrize(
    ('data_prefix', 'degradation', 'got'),
    [
        (dict(x='low'), None, r"got roles \('x',\)"),
        (dict(x='low'), dict(type='Haze'), r"got roles \('x',\) and degradation=\{'type': 'Haze'\}"),
        (dict(y='high'), None, r"got roles \('y',\) and degradation=None"),
        (dict(x='low', y='high'), dict(type='Haze'), r"got roles \('x', 'y'\) and degradation"),
        ({}, None, r'got roles \(\)'),
    ],
)
def test_x_comes_from_a_folder_or_from_a_degradation(root, data_prefix, degradation, got):
    with pytest.raises(ValueError, match=rf"data_prefix needs 'y' and either 'x' or a degradation .*{got}"):
        build(root, data_prefix=data_prefix, degradation=degradation)


@pytest.fixture
def table(root) -> Path:
    (root / 'val.tsv').write_text('degraded\tclean\ttask\nlow/a.png\thigh/a.png\tll\nlow/c.png\thigh/c.png\tll\n'
                                  'low/b.png\thigh/b.png\thz\n')  # fmt: skip
    return root / 'val.tsv'


def listed(root: Path, **kwargs) -> ListedPairs:
    options = dict(table='val.tsv', task='ll', modality='vi', data_root=str(root), pipeline=PIPELINE)
    return ListedPairs(**{**options, **kwargs})


@pytest.mark.parametrize(('task', 'names'), [('ll', ['a', 'c']), ('hz', ['b'])])
def test_listed_pairs_are_those_of_their_task(root, table, task, names):
    dataset = listed(root, task=task, group=f'{task}_real', test_mode=True)
    items = [dataset[i] for i in range(len(dataset))]
    assert [item['data_samples'].name for item in items] == names
    for item in items:
        assert (item['data_samples'].task, item['data_samples'].group) == (task, f'{task}_real')
        np.testing.assert_array_equal(item['inputs']['x'][:, 0, 0], [30, 40, 50])
        torch.testing.assert_close(
            item['data_samples'].references['y'][:, 0, 0], torch.tensor([90.0, 120.0, 150.0]) / 255
        )


def test_a_group_is_the_task_unless_it_is_given(root):
    assert build(root, data_prefix=dict(x='low', y='high'))[0]['data_samples'].group == 'll'


def test_listed_pairs_are_chosen_as_all_are(root, table):
    def names(**options) -> list[str]:
        dataset = listed(root, **options)
        return [dataset.get_data_info(n)['name'] for n in range(len(dataset))]

    assert names(keep='c') == names(leave_out=['high/a.png']) == ['c']
    with pytest.raises(ValueError, match=r'no file of .* belongs to this data set'):
        names(leave_out=['val.tsv'])
    with pytest.raises(ValueError, match='ListedPairs takes no pairs, stems'):
        names(pairs='a.csv', stems='x')


def test_bad_lists_of_pairs(root, table):
    with pytest.raises(MissingDataError, match=r'ListedPairs: no such folder: .*other\.tsv'):
        listed(root, table='other.tsv')
    with pytest.raises(ValueError, match="no row of the task 'oe'"):
        listed(root, task='oe')
    (root / 'high/c.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'lists 1 files that do not exist: .*high/c\.png'):
        listed(root)
    table.write_text('x\ty\nlow/a.png\thigh/a.png\n')
    with pytest.raises(ValueError, match='has no column clean, degraded, task; it has x, y'):
        listed(root)


def test_unknown_degradation_is_named(root):
    dataset = build(root, data_prefix=dict(y='high'), degradation=dict(type='LowLigth'))
    with pytest.raises(KeyError, match='LowLight'):
        dataset[0]


def test_a_target_is_not_its_own_input(root):
    with pytest.raises(ValueError, match=r"x and y of the task '..' are the same file, .*high"):
        build(root, data_prefix=dict(x='high', y='high'))


def deep(root: Path, *, x: np.ndarray, y: np.ndarray) -> None:
    for name, image in (('x', x), ('y', y)):
        (root / name).mkdir(exist_ok=True)
        assert cv2.imwrite(str(root / name / 'a.png'), image)


def test_pairs_of_16_bit_need_one_scale(tmp_path):
    y = np.random.default_rng(0).integers(0, 60000, (16, 24), np.uint16)
    deep(tmp_path, x=y // 4, y=y)
    prefix = dict(x='x', y='y')
    with pytest.raises(ValueError, match="need one scale, and by the range 'auto' each picture has its own"):
        build(tmp_path, data_prefix=prefix)[0]
    for mode in ('full', '0:65535', dict(vi='0:65535')):
        pipeline = [dict(type='LoadImages', range_mode=mode), *PIPELINE[1:]]
        pair = RestorationDataset(prefix, task='ll', modality='vi', data_root=str(tmp_path), pipeline=pipeline)[0][
            'inputs'
        ]
        assert float(pair['x'].mean()) == pytest.approx(float(pair['y'].mean()) / 4, rel=0.01)
    # fractions are on one scale already
    for name, image in (('x', y / 4), ('y', y)):
        (tmp_path / name / 'a.png').unlink()
        assert cv2.imwrite(str(tmp_path / name / 'a.tif'), (image / 65535).astype(np.float32))
    pair = build(tmp_path, data_prefix=prefix)[0]['inputs']
    assert float(pair['x'].mean()) == pytest.approx(float(pair['y'].mean()) / 4, rel=0.01)


def test_what_is_left_out_is_so_by_whatever_way_it_is_reached(root):
    (root / 'link').symlink_to(root / 'high', target_is_directory=True)
    for prefix, left in (('link', 'high/a.png'), ('high', 'link/../high/a.png'), ('high', ['link/a.png'])):
        dataset = build(root, data_prefix=dict(x='low', y=prefix), leave_out=left)
        assert [dataset.get_data_info(k)['name'] for k in range(len(dataset))] == ['b', 'c']


def test_a_copied_cell_of_a_table_is_no_pair(root):
    (root / 'pairs.csv').write_text('degraded,clean,task\nlow/a.png,high/a.png,ll\nhigh/b.png,high/b.png,ll\n')
    with pytest.raises(ValueError, match=r'are the same file, .*high/b\.png'):
        ListedPairs('pairs.csv', 'll', 'vi', data_root=str(root))
