"""Pictures on disk: labels are checked, fusing is done once, never stale, and goes on where it was interrupted."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from lurefusion.datasets.scenes import render_scene
from lurefusion.downstream import pictures as p
from lurefusion.models.base import FusionModel
from lurefusion.registry import MODELS
from lurefusion.weights import save_weights

CLASSES = tuple('abcdefghi')
SCENES = dict(type='EmbeddedScenes', num=3, size=(32, 48))
AVERAGE = dict(type='BaselineFuser', method='average')


def scenes(tmp_path: Path, **changes) -> p.Pictures:
    return p.export({'train': dict(SCENES, **changes)}, CLASSES, tmp_path / 'pictures')


def folders(tmp_path: Path, count: int = 2) -> dict:
    """A data set of files."""
    for role in ('vi', 'ir', 'label'):
        (tmp_path / role).mkdir()
        for number in range(count):
            scene = render_scene(number, (32, 48))
            image = dict(vi=scene.visible[..., ::-1], ir=scene.infrared, label=scene.label)[role]
            cv2.imwrite(str(tmp_path / role / f'{number}.png'), image)
    return dict(type='FusionPairDataset', data_prefix={role: str(tmp_path / role) for role in ('vi', 'ir', 'label')})


def test_scenes_are_written_as_they_are(tmp_path):
    found = scenes(tmp_path)
    assert found.items('train') == [('train', f'scene_0000{n}') for n in range(3)]
    scene = render_scene(1, (32, 48))
    item = ('train', 'scene_00001')
    np.testing.assert_array_equal(cv2.imread(str(found.path(item, 'vi')))[..., ::-1], scene.visible)
    np.testing.assert_array_equal(cv2.imread(str(found.path(item, 'ir')), -1)[..., 0], scene.infrared)
    np.testing.assert_array_equal(cv2.imread(str(found.path(item, 'label')), -1), scene.label)


def test_another_data_set_gets_another_folder_and_the_same_one_is_taken_as_it_is(tmp_path):
    first = scenes(tmp_path)
    written = first.path(('train', 'scene_00000'), 'vi').stat().st_mtime_ns
    again = scenes(tmp_path)
    assert again.root == first.root
    assert again.hashes == first.hashes
    assert again.path(('train', 'scene_00000'), 'vi').stat().st_mtime_ns == written
    assert scenes(tmp_path, first=5).root != first.root


def test_changed_file_is_another_data_set(tmp_path):
    cfg = folders(tmp_path)
    first = p.export({'train': cfg}, CLASSES, tmp_path / 'pictures')
    cv2.imwrite(str(tmp_path / 'ir' / '1.png'), np.zeros((32, 48), np.uint8))
    second = p.export({'train': cfg}, CLASSES, tmp_path / 'pictures')
    assert first.root != second.root
    items = first.items('train')
    assert first.identity(items, ['ir']) != second.identity(items, ['ir'])
    assert first.identity(items, ['vi']) == second.identity(items, ['vi'])


def test_missing_label_is_named(tmp_path):
    cfg = folders(tmp_path)
    (tmp_path / 'label' / '1.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'label \(.*\) has no file for 1 of 2 stems: 1'):
        p.export({'train': cfg}, CLASSES, tmp_path / 'pictures')
    cfg['data_prefix']['label'] = str(tmp_path / 'nowhere')
    with pytest.raises(FileNotFoundError, match='not on disk'):
        p.export({'train': cfg}, CLASSES, tmp_path / 'pictures')
    del cfg['data_prefix']['label']
    with pytest.raises(ValueError, match='gives 0 no label: add the folder of the labels'):
        p.export({'train': cfg}, CLASSES, tmp_path / 'pictures')


def test_unknown_id_is_named(tmp_path):
    cfg = folders(tmp_path)
    label = cv2.imread(str(tmp_path / 'label' / '1.png'), -1)
    label[:2, :3] = 9
    label[5, :2] = 255
    cv2.imwrite(str(tmp_path / 'label' / '1.png'), label)
    with pytest.raises(ValueError, match=r'label/1\.png: .*no class: 9 \(6 pixels\); expected 0 to 8, or 255'):
        p.export({'train': cfg}, CLASSES, tmp_path / 'pictures')
    label[:2, :3] = 255
    cv2.imwrite(str(tmp_path / 'label' / '1.png'), label)
    p.export({'train': cfg}, CLASSES, tmp_path / 'pictures')


@pytest.mark.parametrize('how', ['16 bit', 'palette', 'one red'])
def test_labels_are_exported_as_they_are_stored(tmp_path, how):
    cfg = folders(tmp_path)
    for number in (0, 1):
        label = render_scene(number, (32, 48)).label.astype(np.uint8)
        image = Image.fromarray(label.astype(np.uint16) if how == '16 bit' else label)
        if how != '16 bit':
            image.putpalette([0, 0, 0, 255, 0, 0] + [0 if how == 'one red' else 77] * 762)
        image.save(tmp_path / 'label' / f'{number}.png')
    found = p.export({'train': cfg}, CLASSES, tmp_path / 'pictures')
    for number in (0, 1):
        written = cv2.imread(str(found.path(('train', str(number)), 'label')), -1)
        np.testing.assert_array_equal(written, render_scene(number, (32, 48)).label)


def test_a_coloured_label_is_refused(tmp_path):
    cfg = folders(tmp_path)
    cv2.imwrite(str(tmp_path / 'label' / '1.png'), np.random.default_rng(0).integers(0, 9, (32, 48, 3), np.uint8))
    with pytest.raises(ValueError, match=r'label/1\.png is no label: .* colours in 3 channels'):
        p.export({'train': cfg}, CLASSES, tmp_path / 'pictures')


def test_classes_that_no_label_shows_are_said(tmp_path, caplog):
    cfg = folders(tmp_path)
    for number in (0, 1):
        cv2.imwrite(str(tmp_path / 'label' / f'{number}.png'), np.eye(32, 48, dtype=np.uint8) * (number + 1))
    found = p.export({'train': cfg}, CLASSES, tmp_path / 'pictures')
    items = found.items('train')
    assert p.warn_of_unseen_classes(found, items, CLASSES, 'x') == list('defghi')
    assert p.warn_of_unseen_classes(found, items[:1], CLASSES[:3], 'x') == ['c']
    assert p.warn_of_unseen_classes(found, items, CLASSES[:3], 'x') == []


def test_label_of_another_size_is_named(tmp_path):
    cfg = folders(tmp_path)
    cv2.imwrite(str(tmp_path / 'label' / '0.png'), np.zeros((16, 24), np.uint8))
    with pytest.raises(ValueError, match=r'must have one size .*label 24x16 \(.*label/0\.png\)'):
        p.export({'train': cfg}, CLASSES, tmp_path / 'pictures')


def test_fused_pictures_are_those_of_the_model_and_made_once(tmp_path, monkeypatch):
    found = scenes(tmp_path)
    role = p.fuse(found, AVERAGE, None)
    scene = render_scene(2, (32, 48))
    inputs = dict(vi=scene.visible, ir=np.repeat(scene.infrared[..., None], 3, axis=2))
    tensors = {name: torch.from_numpy(image / np.float32(255)).permute(2, 0, 1)[None] for name, image in inputs.items()}
    expected = MODELS.build(AVERAGE).fuse(tensors)[0].permute(1, 2, 0).numpy()
    fused = cv2.imread(str(found.path(('train', 'scene_00002'), role)))[..., ::-1]
    assert np.abs(fused - expected * 255).max() < 0.51
    monkeypatch.setattr(p, 'TorchRunner', lambda network: pytest.fail('fused again'))
    assert p.fuse(found, AVERAGE, None) == role


def test_interrupted_fusing_goes_on(tmp_path, monkeypatch):
    found = scenes(tmp_path)
    done = []

    class Breaking(p.TorchRunner):
        def run(self, item):
            if len(done) == 2:
                raise KeyboardInterrupt
            done.append(item.name)
            return super().run(item)

    monkeypatch.setattr(p, 'TorchRunner', Breaking)
    with pytest.raises(KeyboardInterrupt):
        p.fuse(found, AVERAGE, None)
    done.pop()  # leave room for one more
    role = p.fuse(found, AVERAGE, None)
    assert done == ['scene_00000', 'scene_00002'], 'what was fused before is not fused again'
    monkeypatch.undo()
    whole = scenes(tmp_path / 'other')
    assert p.fuse(whole, AVERAGE, None) == role
    for item in found.items('train'):
        assert found.path(item, role).read_bytes() == whole.path(item, role).read_bytes()


@MODELS.register_module(force=True)
class ScalingFuser(FusionModel):
    """Visible picture times a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.part = torch.nn.Linear(1, 1, bias=False)

    modalities = ('vi', 'ir')
    size_divisor = 1

    def core(self, images, text=None):
        return images[0] * self.part.weight

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.core(tuple(inputs.values()))


def test_other_weights_under_the_same_name_are_fused_anew(tmp_path):
    found = scenes(tmp_path)
    weights = tmp_path / 'weights.safetensors'
    roles = []
    for value in (1.0, 0.5):
        save_weights({'part.weight': torch.full((1, 1), value)}, weights, {})
        roles.append(p.fuse(found, dict(type='ScalingFuser'), weights))
    assert roles[0] != roles[1]
    item = ('train', 'scene_00000')
    first, second = (cv2.imread(str(found.path(item, role))).astype(float) for role in roles)
    assert np.abs(second - first / 2).max() <= 0.51
    assert found.identity([item], roles[:1]) != found.identity([item], roles[1:])


def test_statistics_are_those_of_numpy(tmp_path):
    rng = np.random.default_rng(0)
    groups, pixels = [], []
    for number, size in enumerate([(20, 30), (8, 9)]):
        pair = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(2)]
        groups.append([tmp_path / f'{number}_{k}.png' for k in range(2)])
        for file, image in zip(groups[-1], pair, strict=True):
            cv2.imwrite(str(file), image[..., ::-1])
        pixels.append(np.concatenate([image.reshape(-1, 3) for image in pair], axis=1))
    found = p.channel_statistics(groups)
    np.testing.assert_allclose(found['mean'], np.concatenate(pixels).mean(0), rtol=1e-12)
    np.testing.assert_allclose(found['std'], np.concatenate(pixels).std(0), rtol=1e-9)
    assert found['pictures'] == 2
    with pytest.raises(ValueError, match='every sample must have 2 pictures'):
        p.channel_statistics([*groups, groups[0][:1]])
    with pytest.raises(ValueError, match='no picture'):
        p.channel_statistics([])
