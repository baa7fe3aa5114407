import numpy as np
import pytest
import torch

from lurefusion.datasets.embedded import EmbeddedRestoration, EmbeddedScenes
from lurefusion.datasets.paired import Ticket
from lurefusion.datasets.scenes import render_scene
from lurefusion.registry import DATASETS, DEGRADATIONS

SIZE = (40, 56)
PACK = [dict(type='LoadImages'), dict(type='PackInputs')]
SPOIL = [dict(type='Degrade'), *PACK]
TRAIN = [
    dict(type='LoadImages'),
    dict(type='FrameDepth'),
    dict(type='RandomCrop', size=32, scale=(0.8, 1)),
    dict(type='RandomFlip'),
    dict(type='Degrade'),
    dict(type='PackInputs'),
]


def scenes(**kwargs) -> EmbeddedScenes:
    return DATASETS.build(dict(type='EmbeddedScenes', **(dict(num=3, size=SIZE, pipeline=PACK) | kwargs)))


def restoration(**kwargs) -> EmbeddedRestoration:
    given = dict(num=3, size=SIZE, pipeline=TRAIN, task='hz', modality='vi', degradation=dict(type='Haze'))
    return DATASETS.build(dict(type='EmbeddedRestoration', **(given | kwargs)))


def test_fusion_items():
    dataset = scenes(test_mode=True, tasks=dict(vi='ll'))
    assert len(dataset) == 3
    item = dataset[1]
    scene = render_scene(1, SIZE)
    np.testing.assert_array_equal(item['inputs']['vi'].permute(1, 2, 0), scene.visible)
    for channel in item['inputs']['ir']:
        np.testing.assert_array_equal(channel, scene.infrared)
    sample = item['data_samples']
    np.testing.assert_array_equal(sample.label, scene.label)
    assert (sample.name, sample.tasks, sample.grey) == ('scene_00001', dict(vi='ll'), ('ir',))
    assert set(sample.sources) == {'vi', 'ir'}
    assert sample.references == {}


def test_numbers_names_and_time():
    dataset = scenes(num=5, first=10, every=2, time='night', visible='rgb', infrared='thermal')
    assert [dataset.get_data_info(i)['name'] for i in range(len(dataset))] == [
        'scene_00010',
        'scene_00012',
        'scene_00014',
    ]
    inputs = dataset[1]['inputs']
    np.testing.assert_array_equal(inputs['rgb'].permute(1, 2, 0), render_scene(12, SIZE, 'night').visible)
    assert set(inputs) == {'rgb', 'thermal'}
    assert len(scenes(indices=2)) == 2


def test_difficult_scenes():
    item = scenes(difficulty='smoke')[1]
    scene = render_scene(1, SIZE, difficulty='smoke')
    np.testing.assert_array_equal(item['inputs']['vi'].permute(1, 2, 0), scene.visible)
    assert (scene.visible != render_scene(1, SIZE, 'day').visible).any()


def test_the_root_does_not_matter(monkeypatch):
    monkeypatch.setenv('LUREFUSION_DATA', '/nowhere')
    assert scenes().missing() == []
    assert set(scenes()[0]['inputs']) == {'vi', 'ir'}


def test_degraded_modalities_keep_the_clean_picture_as_reference():
    degradations = dict(vi=dict(type='LowLight'), ir=dict(type='LowContrast'))
    item = scenes(test_mode=True, degradations=degradations, pipeline=SPOIL)[2]
    sample, scene = item['data_samples'], render_scene(2, SIZE)
    np.testing.assert_array_equal(sample.references['vi'].permute(1, 2, 0), np.float32(scene.visible) / 255)
    np.testing.assert_array_equal(sample.references['ir'][0], np.float32(scene.infrared) / 255)
    drawn = {key: value for key, value in sample.degradation['vi'].items() if key in ('gain', 'gamma')}
    expected, _ = DEGRADATIONS.build(dict(type='LowLight', shot=0, read=0, **drawn))(
        scene.visible.astype(np.float32) / 255, np.random.default_rng(0)
    )
    # what differs is the noise of the sensor
    assert abs(float(sample.sources['vi'].mean()) - expected.mean()) < 0.01
    assert sample.sources['vi'].mean() < sample.references['vi'].mean()
    assert sample.sources['ir'].std() < sample.references['ir'].std()
    # in training the references are left out
    assert set(scenes(degradations=degradations, pipeline=SPOIL)[2]['inputs']) == {'vi', 'ir'}


def test_degradations_are_fixed_in_tests_drawn_anew_in_training_and_leave_the_scene_alone():
    spoilt = scenes(degradations=dict(vi=dict(type='LowLight')), pipeline=SPOIL)
    first = spoilt[0]['inputs']['vi']
    clean = scenes()[0]['inputs']['vi']
    assert not torch.equal(first, clean)
    assert torch.equal(spoilt[0]['inputs']['vi'], first)
    assert not torch.equal(spoilt[Ticket(0, 9, 3, 8)]['inputs']['vi'], first)
    np.testing.assert_array_equal(clean.permute(1, 2, 0), render_scene(0, SIZE).visible)


def test_what_a_pipeline_does_to_a_picture_stays_in_the_sample():
    def blacken(results):
        for image in results['images'].values():
            image[:] = 0
        return results

    scenes(num=1, pipeline=[blacken, *PACK])[0]
    again = scenes(num=1, test_mode=True)[0]
    np.testing.assert_array_equal(again['inputs']['vi'].permute(1, 2, 0), render_scene(0, SIZE).visible)
    assert again['inputs']['ir'].max() > 0
    np.testing.assert_array_equal(again['data_samples'].label, render_scene(0, SIZE).label)


def test_restoration_items():
    item = restoration()[1]
    assert {role: tuple(x.shape) for role, x in item['inputs'].items()} == dict(x=(3, 32, 32), y=(3, 32, 32))
    sample = item['data_samples']
    assert (sample.task, sample.modality, sample.name) == ('hz', 'vi', 'scene_00001')
    assert sample.degradation['type'] == 'Haze'
    # made with the depth of the scene, not with a ramp
    assert set(sample.degradation) == {'type', 'beta', 'airlight'}


def test_haze_follows_the_depth_of_the_scene():
    pipeline = [dict(type='LoadImages'), dict(type='Degrade'), dict(type='PackInputs')]
    item = restoration(pipeline=pipeline, degradation=dict(type='Haze', beta=2.0, airlight=0.8))[0]
    scene = render_scene(0, SIZE)
    t = np.exp(-2.0 * scene.depth)[..., None]
    expected = scene.visible / 255 * t + 0.8 * (1 - t)
    np.testing.assert_allclose(item['inputs']['x'].permute(1, 2, 0) / 255, expected, atol=0.51 / 255)
    np.testing.assert_array_equal(item['inputs']['y'].permute(1, 2, 0), scene.visible)


def test_infrared_restoration_in_test_mode():
    item = restoration(task='lc', modality='ir', degradation=dict(type='LowContrast'), test_mode=True)[0]
    sample = item['data_samples']
    assert set(item['inputs']) == set(sample.sources) == {'x'}
    assert set(sample.references) == {'y'}
    assert sample.grey == ('x', 'y')
    for picture in (sample.sources['x'], sample.references['y']):
        assert (picture == picture[:1]).all()


def test_every_crop_of_haze_can_be_made():
    dataset = restoration(num=2)
    for position in range(60):
        assert dataset[Ticket(position % 2, position, 0, 1)]['inputs']['x'].shape == (3, 32, 32)


def test_a_ticket_alone_decides():
    tickets = [Ticket(i % 3, i, i, 5) for i in range(6)]
    forward, backward = restoration(), restoration()
    first = [forward[ticket] for ticket in tickets]
    second = [backward[ticket] for ticket in tickets[::-1]][::-1]
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a['inputs']['x'], b['inputs']['x'])
        assert a['data_samples'].degradation == b['data_samples'].degradation
    assert not torch.equal(first[0]['inputs']['x'], first[3]['inputs']['x'])


def test_bad_arguments():
    with pytest.raises(ValueError, match="modality must be one of vi, ir; got 'mri'"):
        restoration(modality='mri')
    with pytest.raises(ValueError, match=r"degradations names \['mri'\]; the modalities are \('vi', 'ir'\)"):
        scenes(degradations=dict(mri=dict(type='Haze')))
    with pytest.raises(ValueError, match='num >= 1, got 0'):
        scenes(num=0)
    with pytest.raises(KeyError, match='Haze'):
        restoration(degradation=dict(type='Hase'))[0]


def test_scenes_are_chosen_by_name_and_take_no_files():
    assert [scenes(keep='scene_0000[12]').get_data_info(n)['name'] for n in range(2)] == ['scene_00001', 'scene_00002']
    for options, name in ((dict(pairs='a.csv'), 'pairs'), (dict(leave_out=['a.png']), 'leave_out')):
        with pytest.raises(ValueError, match=f'EmbeddedScenes takes no {name}'):
            scenes(**options)
