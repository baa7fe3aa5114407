from pathlib import Path

import numpy as np
import pytest
import torch

from lurefusion.io.images import write_image
from lurefusion.registry import DATASETS

ROLES = dict(vi='vi', ir='ir', reference_vi='clean', label='labels')


@pytest.fixture
def root(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    for stem in ('a', 'b'):
        write_image(tmp_path / f'vi/{stem}.png', rng.integers(0, 256, (24, 32, 3), np.uint8))
        write_image(tmp_path / f'clean/{stem}.png', rng.integers(0, 256, (24, 32, 3), np.uint8))
        write_image(tmp_path / f'ir/{stem}.png', rng.integers(0, 256, (24, 32), np.uint8))
        write_image(tmp_path / f'labels/{stem}.png', rng.integers(0, 9, (24, 32), np.uint8))
    return tmp_path


def build(root: Path, test_mode: bool, **kwargs):
    kwargs.setdefault('data_prefix', ROLES)
    pipeline = [dict(type='LoadImages'), dict(type='PackInputs')]
    return DATASETS.build(
        dict(type='FusionPairDataset', data_root=str(root), pipeline=pipeline, test_mode=test_mode, **kwargs)
    )


def test_training_samples_hold_the_modalities_alone(root):
    dataset = build(root, False)
    assert len(dataset) == 2
    item = dataset[0]
    assert {role: tuple(x.shape) for role, x in item['inputs'].items()} == dict(vi=(3, 24, 32), ir=(3, 24, 32))
    assert list(item['data_samples'].keys()) == []


def test_test_samples_hold_sources_references_and_label(root):
    sample = build(root, True, tasks=dict(vi='ll'))[1]['data_samples']
    assert sample.name == 'b'
    assert sample.tasks == dict(vi='ll')
    assert 'ir' in sample.grey
    assert 'vi' not in sample.grey
    assert set(sample.sources) == {'vi', 'ir'}
    assert set(sample.references) == {'vi'}
    assert sample.label.dtype == torch.uint8
    assert sample.label.shape == (24, 32)
    assert int(sample.label.max()) <= 8


def test_any_modalities_and_no_tasks(root):
    dataset = build(root, False, data_prefix=dict(mri='vi', pet='ir', ct='clean'))
    assert set(dataset[0]['inputs']) == {'mri', 'pet', 'ct'}
    assert dataset[0]['data_samples'].tasks == {}


def test_tasks_of_one_sample_do_not_leak_into_the_next(root):
    dataset = build(root, True, tasks=dict(vi='ll'))
    dataset.get_data_info(0)['tasks']['vi'] = 'hz'
    assert dataset.get_data_info(0)['tasks'] == dict(vi='ll')


@pytest.mark.parametrize('folder', ['vi', 'vi/../vi', 'link'])
def test_one_file_for_two_modalities_needs_something_that_makes_them_differ(root, folder):
    (root / 'link').symlink_to(root / 'vi')
    prefix = dict(vi='vi', ir=folder)
    for kwargs in ({}, dict(degradations=dict(vi=dict(type='LowLight'), ir=dict(type='LowLight')))):
        with pytest.raises(
            ValueError, match=r'FusionPairDataset: vi and ir are the same file, .*a\.png; each modality'
        ):
            build(root, False, data_prefix=prefix, **kwargs)
    assert len(build(root, False, data_prefix=prefix, degradations=dict(ir=dict(type='LowContrast')))) == 2
    # what is not degraded is its own reference
    assert len(build(root, True, data_prefix=dict(vi='vi', ir='ir', reference_vi='vi'))) == 2


def test_a_list_with_one_file_twice(root):
    (root / 'pairs.csv').write_text('vi,ir,name\nvi/a.png,ir/a.png,a\nvi/b.png,vi/b.png,b\n')
    with pytest.raises(ValueError, match=r'vi and ir are the same file, .*vi/b\.png'):
        build(root, False, data_prefix=dict(vi='', ir=''), pairs='pairs.csv')
