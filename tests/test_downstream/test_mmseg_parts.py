"""What is registered with MMSegmentation, and how configs are fitted. No Runner here: its scopes would stay behind."""

import json
import math
from functools import partial
from importlib import import_module

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from lurefusion.datasets.paired import Ticket
from lurefusion.downstream import mmseg_child

pytest.importorskip('mmseg')
mmseg_child.make_importable()

from mmseg.models.backbones import MixVisionTransformer  # noqa: E402
from mmseg.registry import DATASETS, MODELS  # noqa: E402

from lurefusion.downstream import mmseg_parts as parts  # noqa: E402

CLASSES = ['road', 'car', 'bump']


@pytest.fixture
def their_scope():
    """A training in the same process leaves its own scope behind."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    for name in ('a', 'b'):
        for role, shape in (('vi', (24, 32, 3)), ('ir', (24, 32, 3)), ('label', (24, 32))):
            image = rng.integers(0, 3 if role == 'label' else 256, shape).astype(np.uint8)
            (tmp_path / 'x' / role).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / 'x' / role / f'{name}.png'), image)
    return tmp_path


def dataset(root, pipeline, roles=('vi', 'ir')):
    return parts.HandedPictures(
        root=str(root), items=[['x', 'a'], ['x', 'b']], roles=roles, pipeline=pipeline,
        metainfo=dict(classes=CLASSES, palette=[[0, 0, 0], [1, 1, 1], [2, 2, 2]]),
    )  # fmt: skip


AUGMENT = [
    dict(type='mmseg.LoadPictures'),
    dict(type='mmseg.LoadAnnotations'),
    dict(type='mmseg.RandomResize', scale=(32, 24), ratio_range=(0.8, 1.5), keep_ratio=True),
    dict(type='mmseg.RandomCrop', crop_size=(16, 16), cat_max_ratio=0.75),
    dict(type='mmseg.RandomFlip', prob=0.5),
    dict(type='mmseg.DistortEachPicture'),
    dict(type='mmseg.PackSegInputs'),
]


def test_pictures_are_stacked_in_rgb(root):
    sample = dataset(root, [AUGMENT[0], AUGMENT[1], AUGMENT[-1]])[1]
    expected = [cv2.imread(str(root / 'x' / role / 'b.png'))[..., ::-1] for role in ('vi', 'ir')]
    np.testing.assert_array_equal(sample['inputs'].permute(1, 2, 0).numpy(), np.concatenate(expected, axis=2))
    label = cv2.imread(str(root / 'x/label/b.png'), -1)
    np.testing.assert_array_equal(sample['data_samples'].gt_sem_seg.data[0].numpy(), label)


def test_own_pipelines_of_mmsegmentation_read_the_first_role(root):
    sample = dataset(root, [dict(type='mmseg.LoadImageFromFile'), AUGMENT[-1]], roles=('ir',))[0]
    np.testing.assert_array_equal(sample['inputs'].permute(1, 2, 0).numpy(), cv2.imread(str(root / 'x/ir/a.png')))


def test_draws_depend_on_the_position_alone(root):
    data = dataset(root, AUGMENT)
    first = data[Ticket(0, 7, 3, 5)]['inputs']
    assert first.shape == (6, 16, 16)
    np.random.rand(3)  # noqa: NPY002
    assert torch.equal(data[Ticket(0, 7, 3, 5)]['inputs'], first)
    assert not torch.equal(data[Ticket(0, 8, 4, 5)]['inputs'], first)
    # what an input shows does not decide which window is cut
    other = dataset(root, [*AUGMENT[:5], AUGMENT[-1]], roles=('ir', 'vi'))[Ticket(0, 7, 3, 5)]
    same = dataset(root, [*AUGMENT[:5], AUGMENT[-1]])[Ticket(0, 7, 3, 5)]
    assert torch.equal(other['inputs'], same['inputs'][[3, 4, 5, 0, 1, 2]])


def test_statistics_come_from_the_file(tmp_path):
    file = tmp_path / 'statistics.json'
    file.write_text(json.dumps(dict(mean=[1.0] * 6, std=[2.0] * 6)))
    processor = parts.MeasuredPreProcessor(str(file), size=(4, 4))
    out = processor(dict(inputs=[torch.full((6, 4, 4), 5, dtype=torch.uint8)], data_samples=None))
    assert torch.equal(out['inputs'], torch.full((1, 6, 4, 4), 2.0))
    with pytest.raises(FileNotFoundError, match='nowhere'):
        parts.MeasuredPreProcessor(str(tmp_path / 'nowhere.json'))


def test_confusion_counts_all_but_ignored_pixels(tmp_path):
    metric = parts.ConfusionMetric(out=str(tmp_path))
    metric.dataset_meta = dict(classes=CLASSES)
    label = torch.tensor([[[0, 1], [255, 2]]])
    predicted = torch.tensor([[[0, 2], [1, 2]]])
    sample = dict(pred_sem_seg=dict(data=predicted), gt_sem_seg=dict(data=label), img_path='somewhere/a.png')
    metric.process(None, [sample, sample])
    found = metric.evaluate(2)
    content = json.loads((tmp_path / 'scores.json').read_text())
    assert content == dict(classes=CLASSES, confusion=[[2, 0, 0], [0, 0, 2], [0, 0, 2]])
    assert found['downstream/pixel_accuracy'] == pytest.approx(400 / 6)
    assert found['downstream/mIoU'] == pytest.approx(50)
    assert cv2.imread(str(tmp_path / 'predictions/a.png'), -1).tolist() == [[0, 2], [1, 2]]


class Segmentor(torch.nn.Module):
    def __init__(self, pictures):
        super().__init__()
        self.backbone = MixVisionTransformer(
            in_channels=3 * pictures, embed_dims=8, num_layers=[1] * 4, num_heads=[1] * 4, sr_ratios=[8, 4, 2, 1]
        )


@pytest.mark.parametrize('pictures', [1, 2])
def test_pretrained_weights_are_taken_over_whole(tmp_path, pictures):
    torch.manual_seed(0)
    given = Segmentor(1).backbone.state_dict()
    torch.save(given, tmp_path / 'mit.pth')
    model = Segmentor(pictures)
    parts.load_pretrained(model, str(tmp_path / 'mit.pth'))
    own = model.backbone.state_dict()
    for key, value in given.items():
        if value.shape == own[key].shape:
            assert torch.equal(value, own[key]), key
    image = torch.rand(1, 3, 32, 32)
    # the same picture twice gives what it gives once
    first = next(m for m in model.backbone.modules() if isinstance(m, torch.nn.Conv2d))
    alone = torch.nn.functional.conv2d(image, given['layers.0.0.projection.weight'], first.bias, 4, 3)
    torch.testing.assert_close(first(image.repeat(1, pictures, 1, 1)), alone)


def test_other_weights_are_refused(tmp_path):
    state = Segmentor(1).backbone.state_dict()
    state.pop('layers.0.0.projection.bias')
    torch.save(state, tmp_path / 'mit.pth')
    with pytest.raises(ValueError, match=r'missing: backbone\.layers\.0\.0\.projection\.bias'):
        parts.load_pretrained(Segmentor(1), str(tmp_path / 'mit.pth'))
    with pytest.raises(FileNotFoundError, match='nothing is fetched'):
        parts.load_pretrained(Segmentor(1), 'https://somewhere/mit.pth')


WEIGHTS = [0.2, 1.0, 3.0]
SHIPPED = [f'lurefusion::segmentation/segformer_{name}.py' for name in ('b0_fused', 'b0_scenes', 'demo', 'b2_fused')]


def losses(*entries: dict) -> list[torch.nn.Module]:
    return [MODELS.build(dict(entry)) for entry in entries]


@pytest.mark.usefixtures('their_scope')
@pytest.mark.parametrize('ignored', [0, 1, 5, 8])
@pytest.mark.parametrize('options', [{}, dict(avg_non_ignore=True)])
def test_weighted_cross_entropy_takes_ignored_pixels(ignored, options):
    torch.manual_seed(0)
    scores, label = torch.randn(2, 3, 8, 8, requires_grad=True), torch.randint(0, 3, (2, 8, 8))
    label[:, :ignored] = 255
    [loss] = losses(dict(type='CrossEntropyLoss', class_weight=WEIGHTS, **options))
    own = loss(scores, label, ignore_index=255)
    own.backward()
    assert not scores.grad[:, :, :ignored].any()
    if ignored == 8:
        assert own.item() == 0
        return
    expected = torch.nn.functional.cross_entropy(scores, label, torch.tensor(WEIGHTS), ignore_index=255)
    torch.testing.assert_close(own, expected)


@pytest.mark.usefixtures('their_scope')
def test_other_losses_and_reductions_take_ignored_pixels():
    torch.manual_seed(0)
    scores, label = torch.randn(2, 3, 8, 8), torch.randint(0, 3, (2, 8, 8))
    label[:, :3] = 255
    weighted, plain, binary, dice, lovasz = losses(
        dict(type='CrossEntropyLoss', class_weight=WEIGHTS, reduction='sum'), dict(type='CrossEntropyLoss'),
        dict(type='CrossEntropyLoss', class_weight=WEIGHTS, use_sigmoid=True, avg_non_ignore=True),
        dict(type='DiceLoss'), dict(type='LovaszLoss', reduction='none', class_weight=WEIGHTS),
    )  # fmt: skip
    weight = torch.tensor(WEIGHTS)
    cross = partial(torch.nn.functional.cross_entropy, scores, label, ignore_index=255)
    torch.testing.assert_close(weighted(scores, label, ignore_index=255), cross(weight, reduction='sum'))
    torch.testing.assert_close(plain(scores, label, ignore_index=255), cross(reduction='sum') / label.numel())
    kept = label != 255
    one_hot = torch.nn.functional.one_hot(label[kept], 3).float()
    each = torch.nn.functional.binary_cross_entropy_with_logits(scores.movedim(1, -1)[kept], one_hot, pos_weight=weight)
    torch.testing.assert_close(binary(scores, label, ignore_index=255), each)
    assert all(torch.isfinite(loss(scores, label, ignore_index=255)) for loss in (dice, lovasz))


@pytest.mark.usefixtures('their_scope')
@pytest.mark.parametrize('name', SHIPPED)
def test_losses_of_the_shipped_configs_take_padding(name):
    loss = MODELS.build(mmseg_child.read_task(name).model.decode_head.loss_decode)
    label = torch.zeros(1, 8, 8, dtype=torch.long)
    label[:, :4] = 255
    scores = torch.zeros(1, 9, 8, 8)
    value = float(loss(scores, label, ignore_index=255))
    # the mean over what counts; without class weights MMSegmentation divides by all pixels
    assert value == pytest.approx(math.log(9) * (1 if loss.class_weight else 0.5), rel=1e-5)


def test_names_in_folders_keep_their_predictions_apart(tmp_path):
    metric = parts.ConfusionMetric(out=str(tmp_path / 'out'), root=str(tmp_path))
    metric.dataset_meta = dict(classes=CLASSES)
    for number, name in enumerate(('a/1', 'b/1', 'c.d/e.f')):
        path = str(tmp_path / 'test' / 'vi' / f'{name}.png')
        picture = torch.full((1, 2, 2), number)
        metric.process(None, [dict(pred_sem_seg=dict(data=picture), gt_sem_seg=dict(data=picture), img_path=path)])
    written = {
        name: cv2.imread(str(tmp_path / f'out/predictions/{name}.png'), -1) for name in ('a/1', 'b/1', 'c.d/e.f')
    }
    assert [int(picture[0, 0]) for picture in written.values()] == [0, 1, 2]


@pytest.mark.usefixtures('their_scope')
def test_the_first_class_counts_whatever_the_config_did_with_its_own_labels(root):
    pipeline = [dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations', reduce_zero_label=True)]
    job = dict(config='x', root=str(root), roles=['vi'], classes=CLASSES, palette=[[0] * 3] * 3)
    made = mmseg_child._handed(Config(dict(d=dict(type='ADE20KDataset', pipeline=pipeline))).d, job, [['x', 'a']])
    label = DATASETS.build(made)[0]['gt_seg_map']
    np.testing.assert_array_equal(label, cv2.imread(str(root / 'x/label/a.png'), -1))


def test_missing_operators_say_so_when_they_are_called():
    operators = import_module('mmcv._ext')
    if operators.__spec__.loader is not None:
        pytest.skip('mmcv was built with its operators')
    with pytest.raises(ImportError, match='compiled operator nms of mmcv'):
        operators.nms()


def config(**changes):
    model = dict(
        backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='https://x'), norm_cfg=dict(type='SyncBN')),
        decode_head=dict(num_classes=3, norm_cfg=dict(type='SyncBN')),
        auxiliary_head=[dict(num_classes=3)],
    )
    return Config(dict(model=model, inputs=['vi', 'ir'], **changes))


def test_a_config_is_fitted_to_the_pictures():
    cfg = config()
    mmseg_child.adapt(cfg, CLASSES)
    assert cfg.model.backbone.in_channels == 6
    assert cfg.model.backbone.init_cfg is None
    assert cfg.model.decode_head.norm_cfg.type == 'BN'
    with pytest.raises(ValueError, match=r'model\.decode_head\.num_classes=3, but the labels have 2 classes'):
        mmseg_child.adapt(config(), ['road', 'car'])
    cfg.model.auxiliary_head[0].ignore_index = 0
    with pytest.raises(ValueError, match=r'model\.auxiliary_head\.ignore_index=0, but .* have the id 255'):
        mmseg_child.adapt(cfg, CLASSES)
    cfg = config()
    cfg.model.decode_head.loss_decode = [dict(type='DiceLoss'), dict(type='CrossEntropyLoss', class_weight=[1, 2])]
    with pytest.raises(ValueError, match=r'CrossEntropyLoss has a class_weight of 2 values, but the labels have 3'):
        mmseg_child.adapt(cfg, CLASSES)


def test_schedule_is_stretched_to_another_length(tmp_path):
    file = tmp_path / 'task.py'
    text = """
model = dict(type='EncoderDecoder')
train_cfg = dict(max_iters=1000, val_interval=500)
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, begin=0, end=100), dict(type='PolyLR', by_epoch=False, begin=100, end=1000)
]
default_hooks = dict(checkpoint=dict(interval=400), logger=dict(interval=50))
"""
    file.write_text(text)
    for iterations, schedules, logged in ((200, [(0, 20), (20, 200)], 10), (4, [(0, 1), (1, 4)], 1)):
        cfg = mmseg_child.read_task(file, iterations=iterations)
        assert [(s.begin, s.end) for s in cfg.param_scheduler] == schedules
        assert (cfg.train_cfg.max_iters, cfg.default_hooks.logger.interval) == (iterations, logged)
        # what a stop may cost is the same, and the end is kept in any case
        assert cfg.default_hooks.checkpoint.interval == 400
    file.write_text(text.replace('max_iters=1000', 'max_epochs=3'))
    with pytest.raises(ValueError, match='trains by epochs'):
        mmseg_child.read_task(file, iterations=5)
