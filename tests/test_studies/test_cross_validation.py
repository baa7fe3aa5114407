"""Drives, folds, and a whole plan with a stand-in for the training."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lurefusion.datasets.scenes import render_scene
from lurefusion.downstream import networks
from lurefusion.downstream.pictures import export
from lurefusion.io.images import write_bytes, write_image
from lurefusion.studies.cross_validation import CrossValidation, balanced_folds, data_config, drives, fuser

PALETTE = [(number, 0, 0) for number in range(9)]
CLASSES = tuple('abcdefghi')


def test_drives_break_at_gaps_and_at_nightfall():
    names = ['00010D', '00004D', '00060D', '00061N', '00112N', '00162N']
    assert drives(names, gap=50) == [['00004D', '00010D', '00060D'], ['00061N'], ['00112N', '00162N']]
    assert drives(names, gap=3) == [[name] for name in sorted(names)]
    # numbers of a drive by day and of one by night may alternate: each stays whole
    assert drives(['00010D', '00011N', '00012D', '00013N']) == [['00010D', '00012D'], ['00011N', '00013N']]
    with pytest.raises(ValueError, match=r"'frame1' does not begin with the number"):
        drives(['frame1'])


def test_folds_keep_drives_whole_and_spread_the_classes():
    rng = np.random.default_rng(0)
    groups = [[f'{g:02}{k}' for k in range(int(rng.integers(1, 6)))] for g in range(12)]
    present = {name: np.array([True, rng.random() < 0.4, False, False]) for group in groups for name in group}
    # a class of four frames, in four drives
    for group in groups[:4]:
        present[group[0]][2] = True
    folds = balanced_folds(groups, present, 4)
    assert sorted(set(folds)) == [0, 1, 2, 3]
    rare = [fold for group, fold in zip(groups, folds, strict=True) if any(present[name][2] for name in group)]
    assert sorted(rare) == [0, 1, 2, 3]
    frames = [sum(len(g) for g, fold in zip(groups, folds, strict=True) if fold == f) for f in range(4)]
    assert max(frames) - min(frames) <= 4
    assert folds == balanced_folds(groups, present, 4)
    with pytest.raises(ValueError, match='12 groups cannot make 13 folds'):
        balanced_folds(groups, present, 13)


def test_what_an_input_is():
    model, weights = fuser('lurefusion::baselines/max_ir_vi.py')
    assert (model.method, weights) == ('max', None)
    model, weights = fuser('lure-tiny')
    assert model['type'] == 'LURE'
    assert weights.is_file()
    with pytest.raises(FileNotFoundError, match='needs weights'):
        fuser('lurefusion::lure/lure_demo.py')
    assert data_config(['vi=a', 'label=b'])['data_prefix'] == dict(vi='a', label='b')
    with pytest.raises(ValueError, match='needs label=FOLDER'):
        data_config(['vi=a'])


@pytest.fixture
def stand_in(monkeypatch):
    """Instead of the child: predictions that are right for 'ir', background for all else; the jobs that it got."""
    jobs = []

    def run_child(job):
        if job['mode'] == 'check':
            pictures = dict(classes=CLASSES, palette=PALETTE)
            if job['tasks'][0].endswith('segformer_b0_scenes.py'):
                scenes = dict(type='EmbeddedScenes', size=(32, 48), num=2)
                swapped = dict(scenes, first=2, visible='ir', infrared='vi')
                pictures.update(train=scenes, train_infrared=swapped, test=dict(scenes, first=4))
                return [dict(pictures=pictures, inputs=['vi'], settings='scenes', pretrained=None)]
            return [dict(pictures=pictures, inputs=['fused'], settings=str(job['options']), pretrained=None)]
        jobs.append(job)
        confusion = np.zeros((9, 9), np.int64)
        out = Path(job['evaluations'][0]['out'])
        for split, name in job['test']:
            label = cv2.imread(str(Path(job['root']) / split / 'label' / f'{name}.png'), -1)
            predicted = label if job['roles'] == ['ir'] else np.zeros_like(label)
            np.add.at(confusion, (label, predicted), 1)
            write_image(out / 'predictions' / f'{name}.png', predicted)
        lines = [json.dumps(dict(step=step, loss=1 / step)) for step in (1, 2, 3, 4)]
        torch.save(dict(state_dict={'weight': torch.zeros(1)}), Path(job['work_dir']) / 'iter_4.pth')
        write_bytes(Path(job['work_dir']) / '0' / 'vis_data' / 'scalars.json', '\n'.join(lines).encode())
        write_bytes(out / 'scores.json', json.dumps(dict(classes=CLASSES, confusion=confusion.tolist())).encode())
        return None

    monkeypatch.setattr(networks, 'run_child', run_child)
    monkeypatch.setattr(networks, 'require_segmentation', lambda: None)
    return jobs


def plan(tmp_path: Path, **kwargs) -> CrossValidation:
    inputs = dict(infrared='ir', average='lurefusion::baselines/average_ir_vi.py')
    data = dict(type='FusionPairDataset', data_prefix=folders(tmp_path))
    task = 'lurefusion::segmentation/segformer_demo.py'
    return CrossValidation(task, data, inputs, tmp_path / 'work', folds=2, seeds=(0, 1), gap=5, **kwargs)


@pytest.mark.parametrize('what', ['lure-huge', 'ir+uv', 'label'])
def test_unknown_inputs_are_named_before_any_training(tmp_path, stand_in, what):
    cross = plan(tmp_path)
    cross.inputs = dict(cross.inputs, other=what)
    with pytest.raises(ValueError, match=rf"'{what.split('+')[-1]}' is no modality of the data \(ir, vi\)"):
        cross.run()
    assert stand_in == []


def folders(tmp_path: Path) -> dict[str, str]:
    """Five labelled pairs of three drives."""
    for number, name in enumerate(('00001D', '00002D', '00020D', '00021D', '00040N')):
        scene = render_scene(number, (32, 48))
        for role, image in (('vi', scene.visible), ('ir', scene.infrared), ('label', scene.label)):
            write_image(tmp_path / role / f'{name}.png', image)
    return {role: str(tmp_path / role) for role in ('vi', 'ir', 'label')}


def test_every_frame_is_tested_once_by_a_network_that_did_not_see_its_drive(tmp_path, stand_in):
    validation = plan(tmp_path)
    assert validation.run()
    assert len(stand_in) == 2 * 2 * 2
    assert len({job['work_dir'] for job in stand_in}) == 8
    drive = {'00001D': 0, '00002D': 0, '00020D': 1, '00021D': 1, '00040N': 2}
    for job in stand_in:
        seen, tested = ({drive[name] for _, name in job[key]} for key in ('train', 'test'))
        assert not seen & tested
        assert seen | tested == {0, 1, 2}
        statistics = json.loads((Path(job['work_dir']) / 'statistics.json').read_text())
        assert statistics['pictures'] == len(job['train'])
    assert {(job['seed'], job['iterations'], tuple(job['options'])) for job in stand_in} == {
        (0, None, ()),
        (1, None, ()),
    }
    text = validation.report(tmp_path / 'docs' / 'segmentation.md', 'the command')
    results = json.loads((tmp_path / 'work' / 'results.json').read_text())
    assert np.sum(results['infrared'][0]['confusion']) == 5 * 32 * 48
    assert results['infrared'][0]['mIoU'] == 100
    assert results['average'][1]['mIoU'] < 50
    assert '| infrared | 100.00 ± 0.00 |' in text
    assert '    the command' in text
    assert (tmp_path / 'docs' / 'images' / 'segmentation_loss.png').is_file()
    # visible, infrared, fused, prediction, label
    assert cv2.imread(str(tmp_path / 'work/strips/average/00040N.png')).shape == (32 + 22, 5 * 48, 3)


def test_a_class_that_a_fold_does_not_train_on_is_said_before_training(tmp_path, stand_in, monkeypatch):
    said = []
    monkeypatch.setattr(
        'lurefusion.downstream.pictures.print_log', lambda text, **_: said.append((len(stand_in), text))
    )
    validation = plan(tmp_path)
    for name in ('00001D', '00002D', '00020D', '00021D', '00040N'):
        write_image(tmp_path / 'label' / f'{name}.png', np.full((32, 48), int(name[:5]) >= 20, np.uint8))
    validation.run()
    shown = [text for jobs, text in said if jobs == 0 and 'no training label shows' in text]
    held_out = validation.fold_of['00001D']
    first = next(text for text in shown if text.startswith(f'fold {held_out}: '))
    assert f'shows {CLASSES[0]}, {CLASSES[2]}' in first


def test_a_named_network_is_evaluated_anew_with_another_config(tmp_path, stand_in):
    pictures = export({'all': dict(type='EmbeddedScenes', num=1, size=(32, 48))}, CLASSES, tmp_path / 'pictures')
    weights = tmp_path / 'named.pth'
    weights.write_bytes(b'weights')
    outs = {}
    for settings in ('one', 'other', 'one'):
        task = networks.Task('x', 'x.py', ('ir',), dict(classes=CLASSES, palette=PALETTE), settings, None,
                          dict(options=[], iterations=None), 0)  # fmt: skip
        done = networks.evaluate(task, pictures, ['ir'], pictures.items('all'), tmp_path, weights=weights)
        outs.setdefault(settings, set()).add(done.out)
    assert len(outs['one']) == 1
    assert outs['one'].isdisjoint(outs['other'])
    assert len(stand_in) == 2


def test_what_is_done_is_not_done_again_and_a_busy_run_is_left_to_the_other(tmp_path, stand_in, monkeypatch):
    plan(tmp_path).run()
    count = len(stand_in)
    again = plan(tmp_path)
    assert again.run()
    assert len(stand_in) == count
    scores = next(iter(again.done.values())).out / 'scores.json'
    scores.unlink()

    def busy(job):
        if job['mode'] == 'check':
            return check(job)
        raise networks.BusyError('busy')

    check = networks.run_child
    monkeypatch.setattr(networks, 'run_child', busy)
    third = plan(tmp_path)
    assert not third.run()
    assert len(third.done) == 7
    text = third.report(tmp_path / 'report.md')
    assert 'infrared 1, average 2' in text


def test_all_runs_start_from_one_pretraining_on_every_split_but_test(tmp_path, stand_in):
    validation = plan(tmp_path, pretrain='lurefusion::segmentation/segformer_b0_scenes.py')
    assert validation.run()
    first, *runs = stand_in
    assert [split for split, _ in first['train']] == ['train'] * 2 + ['train_infrared'] * 2
    # the infrared picture under the name of the visible one
    pictures = Path(first['root'])
    shown = cv2.imread(str(pictures / 'train_infrared' / 'vi' / 'scene_00002.png'))
    np.testing.assert_array_equal(shown[..., 0], render_scene(2, (32, 48), None, None).infrared)
    assert {split for split, _ in first['test']} == {'test'}
    assert len(runs) == 8
    assert {tuple(job['options']) for job in runs} == {(f'pretrained={Path(first["work_dir"]) / "iter_4.pth"}',)}
    text = validation.report(tmp_path / 'report.md')
    assert 'start from the backbone of `segformer_b0_scenes.py`, trained on 4 pictures, 4 iterations' in text
    again = plan(tmp_path, pretrain='lurefusion::segmentation/segformer_b0_scenes.py')
    assert again.run()
    assert len(stand_in) == 9
