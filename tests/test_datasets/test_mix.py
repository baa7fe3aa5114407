from pathlib import Path

import numpy as np
import pytest

from lurefusion.datasets.mix import MixDataset
from lurefusion.datasets.paired import MissingDataError, Ticket
from lurefusion.io.images import write_image
from lurefusion.registry import DATASETS


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch) -> Path:
    for folder, number in (('low', 3), ('high', 3), ('clean', 2), ('vi', 4), ('ir', 4)):
        for i in range(number):
            write_image(tmp_path / folder / f'{i}.png', np.full((16, 16, 3), i, np.uint8))
    monkeypatch.setenv('LUREFUSION_DATA', str(tmp_path))
    return tmp_path


LL = dict(type='RestorationDataset', data_prefix=dict(x='low', y='high'), task='ll', modality='vi')
HZ = dict(
    type='RestorationDataset', data_prefix=dict(y='clean'), task='hz', modality='vi', degradation=dict(type='Haze')
)
FUSION = dict(type='FusionPairDataset', data_prefix=dict(vi='vi', ir='ir'))
GONE = dict(LL, data_prefix=dict(x='nowhere', y='high'))
LOST = dict(type='LOL', split='eval15')


def test_index_maps_to_data_set_and_sample():
    mix = MixDataset([LL, HZ, FUSION])
    assert len(mix) == 9
    found = [(results.get('task', 'fusion'), results['name']) for results in (mix[i] for i in range(9))]
    assert found == [
        *[('ll', str(i)) for i in range(3)],
        *[('hz', str(i)) for i in range(2)],
        *[('fusion', str(i)) for i in range(4)],
    ]
    assert mix[-1]['name'] == '3'
    with pytest.raises(IndexError):
        mix[9]


def test_tickets_keep_position_iteration_and_seed():
    results = MixDataset([LL, HZ])[Ticket(index=4, position=20, iteration=6, seed=3)]
    assert (results['task'], results['name'], results['iteration']) == ('hz', '1', 6)
    rng = np.random.default_rng([3, 20])
    rng.integers(2**31)
    assert results['rng'].random() == rng.random()


def test_groups_hold_the_sample_numbers_of_each_task():
    mix = MixDataset([LL, HZ, dict(LL, indices=1), FUSION])
    groups = {task: indices.tolist() for task, indices in mix.groups.items()}
    assert groups == dict(fusion=[6, 7, 8, 9], hz=[3, 4], ll=[0, 1, 2, 5])
    assert list(groups) == sorted(groups)
    for task, indices in groups.items():
        assert all(mix[i].get('task', 'fusion') == task for i in indices)


def test_times_repeats_a_data_set():
    mix = MixDataset([HZ, dict(LL, times=3), HZ])
    assert len(mix) == 2 + 9 + 2
    assert {task: indices.tolist() for task, indices in mix.groups.items()} == dict(
        hz=[0, 1, 11, 12], ll=list(range(2, 11))
    )
    assert [mix[i]['name'] for i in range(2, 11)] == ['0', '1', '2'] * 3


def test_pipeline_is_for_those_that_have_none():
    mix = MixDataset([LL, dict(HZ, pipeline=[])], pipeline=[dict(type='LoadImages'), dict(type='PackInputs')])
    assert set(mix[0]) == {'inputs', 'data_samples'}
    assert mix[3]['name'] == '0'


def test_config_dicts_are_not_changed():
    cfg = dict(LL, times=2)
    MixDataset([cfg], pipeline=[dict(type='LoadImages')])
    assert cfg == dict(LL, times=2)


def test_missing_data_sets_are_all_named():
    with pytest.raises(MissingDataError) as caught:
        MixDataset([LL, GONE, LOST])
    message = str(caught.value)
    assert 'nowhere' in message
    assert 'eval15/low' in message
    assert 'daooshee.github.io' in message


def test_skip_goes_on_with_the_rest(root):
    mix = DATASETS.build(dict(type='MixDataset', datasets=[GONE, LL, LOST, HZ], missing='skip'))
    assert {task: indices.tolist() for task, indices in mix.groups.items()} == dict(ll=[0, 1, 2], hz=[3, 4])
    with pytest.raises(MissingDataError, match='nowhere'):
        MixDataset([GONE, LOST], missing='skip')
    # an orphan is a fault of what is there, not absence
    (root / 'low/1.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'x .* has no file for 1 of 3 stems: 1'):
        MixDataset([LL, HZ], missing='skip')


def test_unknown_choice():
    with pytest.raises(ValueError, match="missing must be one of error, skip; got 'ignore'"):
        MixDataset([LL], missing='ignore')


def test_data_sets_of_other_tasks_are_left_out():
    mix = MixDataset([LL, dict(HZ, times=2), FUSION], tasks=('hz',))
    assert {task: len(indices) for task, indices in mix.groups.items()} == dict(fusion=4, hz=4)
    assert [mix[i]['name'] for i in range(3)] == ['0', '1', '0']
    # what is left out need not be on disk
    assert len(MixDataset([dict(GONE, task='ns'), LL], tasks=('ll',))) == 3


@pytest.mark.parametrize(
    ('datasets', 'tasks', 'error', 'message'),
    [
        ([LL, HZ], ('oe', 'lc'), ValueError, 'no data set is of the task lc, oe'),
        ([LL, HZ], ('ll', 'xx'), ValueError, 'no data set is of the task xx'),
        ([LL, HZ], (), ValueError, r'tasks=\[\]: no data set is of the task none'),
        ([LL, HZ], 'll', TypeError, "list of names such as .*, got 'll'"),
        ([LL, HZ], 3, TypeError, 'got 3'),
        ([], None, ValueError, 'datasets is empty'),
    ],
)
def test_bad_lists_are_refused(datasets, tasks, error, message):
    with pytest.raises(error, match=message):
        MixDataset(datasets, tasks=tasks)


def test_a_mix_within_a_mix_keeps_its_tasks():
    inner = dict(type='MixDataset', datasets=[LL, HZ])
    mix, plain = MixDataset([FUSION, inner]), MixDataset([FUSION, LL, HZ])
    assert {task: list(indices) for task, indices in mix.groups.items()} == {
        task: list(indices) for task, indices in plain.groups.items()
    }


@pytest.mark.parametrize('times', [0, 0.5, -1, 2.7])
def test_times_that_mean_nothing(times):
    with pytest.raises(ValueError, match='times must be a whole number of at least 1'):
        MixDataset([dict(LL, times=times)])
