"""The numbers of the latent space against textbook formulas and constructed clouds."""

import sys

import numpy as np
import pytest
import scipy.linalg
import torch

from lurefusion.evaluation.latents import (
    Latents,
    build_probe,
    collect_latents,
    embed,
    frechet_distance,
    latent_numbers,
    standardised,
)
from lurefusion.registry import MODELS

TASKS = ('ll', 'hz', 'oe', 'pd')
SCENES = dict(type='EmbeddedRestoration', num=2, size=(64, 64), test_mode=True)
PROBE = dict(
    type='MixDataset',
    pipeline=[dict(type='CenterCrop', size=32), dict(type='Degrade'), dict(type='PackInputs')],
    datasets=[
        dict(SCENES, task='ll', modality='vi', degradation=dict(type='LowLight')),
        dict(SCENES, task='pd', modality='vi', degradation=dict(type='Identity')),
        dict(SCENES, task='lc', modality='ir', degradation=dict(type='LowContrast')),
    ],
)
MODEL = dict(
    type='LURE',
    stage='restoration',
    modalities=('vi', 'ir'),
    text_encoder=dict(backbone=dict(type='HashBag', dim=64), out_dim=32),
    image_encoder=dict(type='LUREEncoder', channels=(8, 8), latent_channels=(4, 4), K_bt=(1, 1), K_tb=(1, 1)),
    decoder=dict(type='LUREDecoder', K_dec=(1, 1)),
    data_preprocessor=dict(type='FusionDataPreprocessor', size_divisor=2),
)


def cloud(task_size: float, scene_size: float, dim: int = 12, scenes: int = 30, copies: int = 1) -> Latents:
    """Content of the scene, plus an offset of the task, plus a little noise."""
    rng = np.random.default_rng(0)
    content, offset = rng.normal(size=(scenes, dim)), rng.normal(size=(len(TASKS), dim))
    rows, task, scene = [], [], []
    for s in range(scenes):
        for t, name in enumerate(TASKS):
            for _ in range(copies):
                rows.append(scene_size * content[s] + task_size * offset[t] + 0.1 * rng.normal(size=dim))
                task.append(name)
                scene.append(f'scene_{s}')
    return Latents(np.float32(rows), np.array(task), np.array(scene), np.array(['vi'] * len(rows)))


def test_frechet_distance_is_the_textbook_one():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5)), 0.7 + 2 * rng.normal(size=(50, 5))
    sa, sb = np.cov(a.T), np.cov(b.T)
    root = scipy.linalg.sqrtm(sa @ sb).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(sa + sb - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_with_fewer_rows_than_features():
    a = np.random.default_rng(2).normal(size=(6, 40))
    assert frechet_distance(a, a[::-1]) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + 3) == pytest.approx(9 * 40)
    with pytest.raises(ValueError, match='two rows or more'):
        frechet_distance(a, a[:1])


def test_unified_and_separate_clouds_are_told_apart():
    unified, separate = latent_numbers(cloud(0, 1)), latent_numbers(cloud(5, 1))
    assert unified['chance'] == separate['chance'] == 0.25
    assert unified['linear probe'] < 0.35
    assert separate['linear probe'] == 1
    assert unified['silhouette'] < 0 < 0.5 < separate['silhouette']
    assert unified['Frechet'] < 0.05 < 0.5 < separate['Frechet']
    assert unified['Frechet'] == pytest.approx(np.mean([unified[f'Frechet {t}'] for t in TASKS[:3]]))


def test_probe_never_sees_a_scene_in_both_halves():
    """Nearest neighbours share scene and task: without groups a classifier would know the task by heart."""
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(40, 200))
    names = np.repeat([f's{i}' for i in range(20)], 2)
    # the task of a row is arbitrary within its scene, and every row is there four times, far apart: folds that do not
    # go by scene have a copy of it on the other side
    task = np.tile(['ll', 'pd'], 20)
    four = [np.concatenate([rows] * 4) for rows in (np.float32(codes), task, names)]
    latents = Latents(*four, np.array(['vi'] * 160))
    assert 0.2 < latent_numbers(latents)['linear probe'] < 0.8


def test_effective_rank_by_construction():
    basis = np.linalg.qr(np.random.default_rng(3).normal(size=(120, 3)))[0]
    basis -= basis.mean(0)
    basis = np.linalg.qr(basis)[0]
    latents = cloud(0, 1)
    flat = Latents(np.float32(basis @ np.eye(3, 12)), latents.task, latents.scene, latents.modality)
    assert latent_numbers(flat)['effective rank'] == pytest.approx(3, abs=1e-3)


def test_standardised_leaves_constant_columns_zero():
    x = np.random.default_rng(4).normal(3, 2, (50, 3)).astype(np.float32)
    x[:, 1] = 7
    out = standardised(x)
    assert np.abs(out[:, 1]).max() == 0
    np.testing.assert_allclose(out[:, [0, 2]].std(0), 1)


@pytest.mark.parametrize(
    ('rows', 'message'),
    [(lambda n: n.task == 'll', 'two tasks'), (lambda n: n.scene == 'scene_0', 'two scenes')],
)
def test_too_little_is_said(rows, message):
    whole = cloud(1, 1)
    keep = rows(whole)
    part = Latents(whole.features[keep], whole.task[keep], whole.scene[keep], whole.modality[keep])
    with pytest.raises(ValueError, match=message):
        latent_numbers(part)


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn.metrics', None)
    with pytest.raises(ImportError, match=r'lurefusion\[analysis\]'):
        latent_numbers(cloud(1, 1))


def test_embedding_is_repeatable_and_keeps_clusters():
    latents = cloud(8, 0.2, scenes=8)
    points = embed(latents)
    np.testing.assert_array_equal(points, embed(latents))
    centres = np.stack([points[latents.task == t].mean(0) for t in TASKS])
    nearest = np.linalg.norm(points[:, None] - centres, axis=2).argmin(1)
    assert (np.array(TASKS)[nearest] == latents.task).mean() > 0.95


def test_collected_latents_are_those_of_the_model():
    torch.manual_seed(0)
    model = MODELS.build(MODEL).train()
    state = torch.get_rng_state()
    latents = collect_latents(model, build_probe(PROBE), batch_size=4, iteration=7)
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    assert latents.features.shape == (6, 8)
    assert latents.task.tolist() == ['ll', 'll', 'pd', 'pd', 'lc', 'lc']
    assert latents.scene.tolist() == ['scene_00000', 'scene_00001'] * 3
    assert (latents.modalities(), latents.iteration) == (['vi', 'ir'], 7)
    sample = build_probe(PROBE)[4]
    x = sample['inputs']['x'][None].float() / 255
    with torch.no_grad():
        c, _ = model.text_encoder([model.prompts.canonical('lc')])
        z = model.image_encoder(x, c, torch.tensor([1]))
    expected = torch.cat([s.mean((2, 3)) for s in z], 1)[0]
    np.testing.assert_allclose(latents.features[4], expected.numpy(), atol=1e-5)


def test_probe_shows_the_same_scene_under_every_task():
    probe = build_probe(PROBE)
    clean = [probe[i]['data_samples'].references['y'] for i in range(4)]
    assert torch.equal(clean[0], clean[2])
    assert torch.equal(clean[1], clean[3])
    again = build_probe(PROBE)
    assert all(torch.equal(probe[i]['inputs']['x'], again[i]['inputs']['x']) for i in range(6))


def test_a_model_without_latents_is_refused():
    with pytest.raises(TypeError, match='BaselineFuser has no latents'):
        collect_latents(MODELS.build(dict(type='BaselineFuser')), build_probe(PROBE))


def test_files_round_trip_without_pickle(tmp_path):
    latents = cloud(1, 1)
    latents.save(tmp_path / 'a.npz')
    back = Latents.load(tmp_path / 'a.npz')
    np.testing.assert_array_equal(back.features, latents.features)
    assert back.scene.tolist() == latents.scene.tolist()
    assert back.iteration == -1
    np.savez(tmp_path / 'b.npz', features=np.array([dict()], dtype=object))
    (tmp_path / 'c.npz').write_text('no archive')
    for name in ('b.npz', 'c.npz'):
        with pytest.raises(ValueError, match=f'{name} is no file of (probe latents|arrays)'):
            Latents.load(tmp_path / name)


def test_probe_files_without_an_entry_are_named(tmp_path):
    (tmp_path / 'x.py').write_text('model = dict()\n')
    with pytest.raises(KeyError, match='has no entry probe'):
        build_probe(tmp_path / 'x.py')


def test_the_rows_of_one_modality() -> None:
    names = np.array(['vi', 'ir', 'vi'])
    both = Latents(np.float32([[1], [2], [3]]), np.array(['ll', 'lc', 'hz']), np.array(['a', 'b', 'c']), names, 7)
    assert both.modalities() == ['vi', 'ir']
    part = both.of('vi')
    np.testing.assert_array_equal(part.features, np.float32([[1], [3]]))
    assert [*part.task, *part.scene, *part.modality, part.iteration] == ['ll', 'hz', 'a', 'c', 'vi', 'vi', 7]
    assert both.of('ir').task.tolist() == ['lc']
