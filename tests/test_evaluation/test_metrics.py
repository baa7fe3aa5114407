import csv
import importlib.util
import math
import os
import socket

import pytest
import torch
import torch.multiprocessing as multiprocessing
from mmengine.evaluator import Evaluator

from lurefusion.evaluation import metrics as metrics_module
from lurefusion.evaluation.cards import FUSION_METRICS, NETWORK_METRICS, compute
from lurefusion.evaluation.metrics import (
    ColourMetrics,
    FusionMetrics,
    GoalScore,
    HeatMetrics,
    NoReferenceIQA,
    RestorationMetrics,
    mean_columns,
    write_rows,
)
from lurefusion.registry import METRICS
from lurefusion.structures import FusionDataSample

NAMES = ('CC', 'SCD', 'PSNR', 'SSIM', 'EN')


def fusion_samples(count: int = 5, side: int = 32) -> list[FusionDataSample]:
    generator = torch.Generator().manual_seed(0)
    samples = []
    for index in range(count):
        images = {m: torch.rand(3, side, side, generator=generator) for m in ('vi', 'ir', 'pred')}
        sample = FusionDataSample(metainfo=dict(name=f'scene_{index}'))
        sample.set_data(dict(pred=images.pop('pred'), sources=images))
        samples.append(sample)
    return samples


def expected_means(samples) -> dict[str, float]:
    rows = [compute(s.pred[None], {m: x[None] for m, x in s.sources.items()}, NAMES, 'both') for s in samples]
    return {column: sum(float(row[column]) for row in rows) / len(rows) for column in rows[0]}


def test_evaluator_means_equal_the_functions(tmp_path):
    samples = fusion_samples()
    table = tmp_path / 'per_image.csv'
    metric = METRICS.build(dict(type='FusionMetrics', metrics=NAMES, variant='both', prefix='val', out_csv=str(table)))
    evaluator = Evaluator(metric)
    evaluator.process(samples)
    got = evaluator.evaluate(len(samples))
    assert got == pytest.approx({f'val/{c}': v for c, v in expected_means(samples).items()}, rel=1e-12)
    assert [row['name'] for row in metric.rows] == [f'scene_{i}' for i in range(5)]
    with table.open(newline='') as file:
        written = list(csv.DictReader(file))
    assert [float(r['CC']) for r in written] == pytest.approx([r['CC'] for r in metric.rows], rel=1e-8)


def test_all_metrics_and_pictures_too_small_for_some():
    metric = FusionMetrics('all')
    metric.process(None, fusion_samples(2))
    got = metric.evaluate(2)
    assert list(got) == list(FUSION_METRICS)
    assert {name for name, value in got.items() if math.isnan(value)} == {'MS-SSIM', 'VIF', 'NIQE'}


def test_against_clean_references():
    (sample,) = fusion_samples(1)
    clean = torch.rand(3, 32, 32)
    sample.set_data(dict(references={'vi': clean}))
    metric = FusionMetrics(('CC',), against='references')
    metric.process(None, [sample.to_dict()])
    expected = compute(sample.pred[None], [clean[None], sample.sources['ir'][None]], ['CC'])['CC']
    assert metric.evaluate(1)['CC'] == pytest.approx(float(expected))
    sample.set_data(dict(references={'y': clean}))
    with pytest.raises(KeyError, match='references y belong to none of the sources'):
        metric.process(None, [sample])


def test_predictions_outside_the_range_count_as_an_8_bit_file_would():
    samples = fusion_samples(1)
    metric = FusionMetrics(('SD', 'EN'))
    metric.process(None, [dict(pred=samples[0].pred * 3 - 1, sources=samples[0].sources)])
    assert metric.evaluate(1)['SD'] > 0


def test_missing_fields_and_bad_options():
    metric = FusionMetrics(NAMES)
    with pytest.raises(KeyError, match="needs the field 'sources'"):
        metric.process(None, [dict(pred=torch.rand(3, 20, 20))])
    with pytest.raises(ValueError, match='against must be'):
        FusionMetrics(against='clean')
    with pytest.raises(KeyError, match="Did you mean 'MS-SSIM'"):
        FusionMetrics(('MSSSIM',))
    with pytest.raises(KeyError, match="Did you mean 'MUSIQ'"):
        NoReferenceIQA(('MUSQ',))


def _evaluate_in_process(rank: int, world: int, port: int, folder: str) -> None:
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(world))
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo', rank=rank, world_size=world)
    samples = fusion_samples()
    # as a distributed sampler deals them out: one after the other, padded to equal length by starting again
    padded = samples + samples[: -len(samples) % world]
    metric = FusionMetrics(NAMES, 'both')
    metric.process(None, padded[rank::world])
    torch.save(metric.evaluate(len(samples)), f'{folder}/{rank}.pth')
    torch.distributed.destroy_process_group()


def test_two_processes_give_the_numbers_of_one(tmp_path):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    multiprocessing.start_processes(
        _evaluate_in_process,
        (2, port, str(tmp_path)),
        nprocs=2,
        start_method='fork' if hasattr(os, 'fork') else 'spawn',
    )
    metric = FusionMetrics(NAMES, 'both')
    metric.process(None, fusion_samples())
    alone = metric.evaluate(5)
    for rank in range(2):
        assert torch.load(tmp_path / f'{rank}.pth', weights_only=True) == alone


def test_restoration_by_task():
    clean = torch.full((3, 16, 16), 100 / 255)
    samples = [
        dict(name=str(i), task=task, pred=clean + good / 255, sources={'x': clean + bad / 255}, references={'y': clean})
        for i, (task, good, bad) in enumerate((('ll', 5, 50), ('ll', 10, 100), ('hz', 1, 20)))
    ]
    metric = RestorationMetrics()
    metric.process(None, samples)
    got = metric.evaluate(3)

    def decibel(*errors):
        return sum(20 * math.log10(255 / e) for e in errors) / len(errors)

    assert got['ll/PSNR_in'] == pytest.approx(decibel(50, 100))
    assert got['ll/PSNR_out'] == pytest.approx(decibel(5, 10))
    assert got['hz/PSNR_out'] == pytest.approx(decibel(1))
    assert got['PSNR_out'] == pytest.approx((decibel(5, 10) + decibel(1)) / 2)
    assert got['hz/SSIM_out'] > got['hz/SSIM_in']
    with pytest.raises(KeyError, match="needs the field 'y'"):
        metric.process(None, [samples[0] | dict(references={'vi': clean})])


def restored(name: str, task: str, good: float, **group) -> dict:
    clean = torch.tensor([0.6, 0.4, 0.3]).view(3, 1, 1).expand(3, 16, 16).contiguous()
    grey = clean.mean(0, keepdim=True)
    return dict(name=name, task=task, pred=grey + good * (clean - grey), sources=dict(x=clean / 2),
                references=dict(y=clean), **group)  # fmt: skip


def test_a_group_stands_for_its_task():
    metric = RestorationMetrics()
    metric.process(None, [restored('a', 'll', 0.9), restored('b', 'll', 0.5, group='ll_real')])
    got = metric.evaluate(2)
    assert got['ll/PSNR_out'] > got['ll_real/PSNR_out']
    assert got['PSNR_out'] == pytest.approx((got['ll/PSNR_out'] + got['ll_real/PSNR_out']) / 2)


def test_colours_of_restored_and_of_fused_pictures():
    metric = ColourMetrics('y', by_task=True)
    metric.process(None, [restored('a', 'll', 1.0), restored('b', 'll', 0.5), restored('c', 'hz', 0.25)])
    got = metric.evaluate(3)
    assert got['ll/Chroma'] == pytest.approx(75, abs=1.5)
    assert got['hz/Chroma'] == pytest.approx(25, abs=1.5)
    assert got['Chroma'] == pytest.approx((100 + 50 + 25) / 3, abs=1.5)
    assert got['ll/Hue'] < 3
    (sample,) = fusion_samples(1)
    # the source as it came, and the clean reference where there is one
    metric = ColourMetrics()
    sample.set_data(dict(pred=sample.sources['vi']))
    metric.process(None, [sample])
    assert metric.evaluate(1) == pytest.approx(dict(Chroma=100, Hue=0), abs=1e-4)
    sample.set_data(dict(references=dict(vi=sample.sources['ir'])))
    metric.process(None, [sample])
    assert metric.evaluate(1)['Hue'] > 30
    with pytest.raises(KeyError, match="colours of 'pet'; the sample has vi, ir"):
        ColourMetrics('pet').process(None, [sample])


def test_heat_of_labelled_people():
    label = torch.zeros(32, 32, dtype=torch.uint8)
    label[10:16, 12:18] = 2
    infrared = torch.full((3, 32, 32), 0.2)
    infrared[:, label == 2] = 0.6

    def sample(name: str, level: float, **fields) -> dict:
        pred = torch.full((3, 32, 32), 0.2)
        pred[:, label == 2] = level
        return dict(name=name, pred=pred, sources=dict(ir=infrared), **fields)

    samples = [sample('1D', 0.4, label=label), sample('2N', 0.9, label=label), sample('3D', 0.0)]
    for keep, expected in ((None, 75), ('.*D', 50), ('.*N', 100)):
        metric = HeatMetrics(keep=keep)
        metric.process(None, samples)
        assert metric.evaluate(3)['Heat'] == pytest.approx(expected, abs=0.6)
    with pytest.raises(KeyError, match="heat of 'tir'; the sample has ir"):
        HeatMetrics('tir').process(None, samples[:1])


GOALS = {'ll/PSNR_out': (10.0, 20.0), 'll/Hue': (20.0, 10.0), 'hz/Chroma': (0.0, 100.0)}
PARTS = [dict(type='RestorationMetrics'), dict(type='ColourMetrics', owner='y', by_task=True)]


def test_score_is_the_mean_way_to_the_goals():
    samples = [restored('a', 'll', 0.9), restored('b', 'hz', 0.25)]
    metric = METRICS.build(dict(type='GoalScore', metrics=PARTS, goals=GOALS))
    got = Evaluator(metric)
    got.process(samples)
    got = got.evaluate(2)
    steps = [(got['ll/PSNR_out'] - 10) / 10, (20 - got['ll/Hue']) / 10, got['hz/Chroma'] / 100]
    assert min(steps[:2]) > 1
    # what is beyond a goal makes up for nothing
    assert got['score'] == pytest.approx((1 + 1 + steps[2]) / 3)
    assert set(got) > {'ll/PSNR_in', 'PSNR_out', 'hz/Hue', 'Chroma'}
    metric = GoalScore(PARTS, {'PSNR_out': (1e3, 1e3 + 1)}, prefix='val')
    metric.process(None, samples)
    assert metric.evaluate(2)['val/score'] == -1


@pytest.mark.parametrize('goals', [{}, {'PSNR_out': (3, 3)}])
def test_goals_that_are_none(goals):
    with pytest.raises(ValueError, match='every goal differs from its start'):
        GoalScore(PARTS, goals)


def test_goals_for_what_is_not_measured():
    metric = GoalScore(PARTS, {'sr/Sharpness': (1, 2)})
    metric.process(None, [restored('a', 'll', 0.9)])
    with pytest.raises(KeyError, match='GoalScore has goals for sr/Sharpness; the results are ll/PSNR_in'):
        metric.evaluate(1)


def test_goals_of_which_the_pictures_give_no_number(monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(metrics_module, 'print_log', lambda text, **_: said.append(text))
    goals = {'ll/PSNR_out': (0, 40)}
    for extra in ({}, {'sr/PSNR_out': (1, 2)}, {'sr/PSNR_out': (1, 2), 'hz/PSNR_out': (1, 2)}):
        metric = GoalScore(PARTS, goals | extra)
        said.clear()
        for _ in range(2):
            metric.process(None, [restored('a', 'll', 0.9)])
            found = metric.evaluate(1)
        assert found['score'] == pytest.approx(found['ll/PSNR_out'] / 40)
        # once, not at every validation
        assert sum('give no number' in text for text in said) == bool(extra)
    metric = GoalScore(PARTS, {'sr/PSNR_out': (1, 2)})
    metric.process(None, [restored('a', 'll', 0.9)])
    assert math.isnan(metric.evaluate(1)['score'])
    assert 'no checkpoint is the best' in said[-1]


def test_a_task_without_damage_counts_in_neither_mean():
    clean = restored('b', 'pd', 0.9)
    clean['sources'] = dict(x=clean['references']['y'])
    metric = RestorationMetrics()
    metric.process(None, [restored('a', 'll', 0.9), clean])
    found = metric.evaluate(2)
    # of equal pictures it is infinite: the means are over the same tasks
    assert not math.isfinite(found['pd/PSNR_in'])
    assert (found['PSNR_in'], found['PSNR_out']) == (found['ll/PSNR_in'], found['ll/PSNR_out'])
    assert found['SSIM_out'] == pytest.approx((found['ll/SSIM_out'] + found['pd/SSIM_out']) / 2)


def test_scd_of_three_sources_is_left_out():
    sample = fusion_samples(1)[0]
    sample.set_data(dict(sources=dict(sample.sources, nir=torch.rand(3, 32, 32))))
    metric = FusionMetrics(('CC', 'SCD'))
    metric.process(None, [sample])
    found = metric.evaluate(1)
    assert math.isnan(found['SCD'])
    assert math.isfinite(found['CC'])


def test_a_degraded_picture_without_a_reference_is_no_reference():
    sample = fusion_samples(1)[0]
    sample.set_metainfo(dict(tasks=dict(vi='ll', ir='pd')))
    sample.set_data(dict(references={}))
    metric = FusionMetrics(('CC',), against='references')
    with pytest.raises(KeyError, match=r'vi of scene_0 is degraded \(ll\), and its clean picture is not there'):
        metric.process(None, [sample])
    sample.set_data(dict(references=dict(vi=torch.rand(3, 32, 32))))
    metric.process(None, [sample])


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError('the network was asked')

    monkeypatch.setattr(socket.socket, 'connect', refuse)
    monkeypatch.setattr(socket, 'getaddrinfo', refuse)


def test_networks_without_weights_say_what_is_missing(tmp_path, no_network):
    metric = NoReferenceIQA(NETWORK_METRICS, weights_dir=tmp_path / 'none')
    metric.process(None, fusion_samples(2))
    got = metric.evaluate(2)
    assert got['CLIP-IQA'] == f'not available: put RN50.pt into {tmp_path / "none"}'
    assert got['ARNIQA'] == f'not available: put ARNIQA.pth, regressor_koniq10k.pth into {tmp_path / "none"}'
    assert all(str(value).startswith('not available: put ') for value in got.values())


needs_pyiqa = pytest.mark.skipif(importlib.util.find_spec('pyiqa') is None, reason='needs pyiqa')


@needs_pyiqa
@pytest.mark.slow
def test_a_damaged_file_costs_its_column_only(tmp_path, no_network):
    (tmp_path / 'RN50.pt').write_bytes(b'no weights')
    metric = NoReferenceIQA(('CLIP-IQA',), weights_dir=tmp_path)
    metric.process(None, fusion_samples(1))
    assert metric.evaluate(1)['CLIP-IQA'].startswith('not available: ')
    assert (tmp_path / 'RN50.pt').read_bytes() == b'no weights'


@needs_pyiqa
@pytest.mark.slow
def test_weights_of_the_folder_are_used(tmp_path, no_network):
    from lurefusion.compat import allow_unmatched_torchvision

    allow_unmatched_torchvision()
    from pyiqa.archs.musiq_arch import MUSIQ

    torch.manual_seed(0)
    torch.save(MUSIQ(pretrained=False).state_dict(), tmp_path / 'musiq_koniq_ckpt-e95806b9.pth')
    metric = NoReferenceIQA(('MUSIQ', 'LIQE'), weights_dir=tmp_path)
    metric.process(None, fusion_samples(2, 64))
    got = metric.evaluate(2)
    assert math.isfinite(got['MUSIQ'])
    assert got['LIQE'].startswith('not available: put ViT-B-32.pt, liqe_koniq.pt')
    assert torch.hub.get_dir() != str(tmp_path)


def test_means_leave_out_what_is_missing():
    rows = [{'a': 1.0, 'b': math.nan}, {'a': 3.0, 'b': math.nan}, {'a': math.nan}]
    assert mean_columns(rows, ['a'])['a'] == 2
    assert math.isnan(mean_columns(rows, ['b'])['b'])


def test_equal_pictures_do_not_swallow_the_others_and_are_said(monkeypatch):
    said = []
    monkeypatch.setattr('lurefusion.evaluation.metrics.print_log', lambda text, **_: said.append(text))
    samples = fusion_samples(3)
    for image in samples[0].sources.values():
        image.copy_(samples[0].pred)
    metric = FusionMetrics(('PSNR', 'MS-SSIM'))
    metric.process(None, samples)
    got = metric.evaluate(3)
    assert got['PSNR'] == pytest.approx(expected_means(samples[1:])['PSNR'])
    assert said == ['PSNR: infinite for 1 picture(s), which are left out of its mean']


def test_a_network_that_refuses_one_picture_scores_the_others(tmp_path):
    class Score:
        reason = None

        def __call__(self, image):
            if image.mean() > 0.9:
                raise RuntimeError('too bright\nfor it')
            return torch.tensor([4.0])

    samples = fusion_samples(3)
    samples[0].pred.fill_(1)
    for kept, expected in ((samples, 4), (samples[:1], 'not available: too bright')):
        metric = NoReferenceIQA(('MUSIQ',), weights_dir=tmp_path)
        metric._networks['MUSIQ'] = Score()
        metric.process(None, kept)
        assert metric.evaluate(len(kept))['MUSIQ'] == expected


def test_rows_are_written_whole(tmp_path):
    write_rows(tmp_path / 'sub/rows.csv', [{'name': 'a,b', 'x': 1 / 3}])
    assert (tmp_path / 'sub/rows.csv').read_text() == 'name,x\n"a,b",0.333333333\n'


def test_colours_are_held_against_no_degraded_picture():
    sample = fusion_samples(1)[0]
    sample.set_metainfo(dict(tasks=dict(vi='ll', ir='pd')))
    sample.set_data(dict(references={}))
    for metric in (FusionMetrics(('PSNR_ref',), reference='vi'), ColourMetrics('vi')):
        with pytest.raises(KeyError, match='is degraded'):
            metric.process(None, [sample])
    FusionMetrics(('PSNR_ref',), reference='ir').process(None, [sample])


def test_two_metrics_of_one_column_are_no_score():
    members = [dict(type='FusionMetrics', metrics=['CC']), dict(type='FusionMetrics', metrics=['CC'])]
    score = GoalScore(members, dict(CC=(0.0, 1.0)))
    score.process(None, fusion_samples(2))
    with pytest.raises(ValueError, match='two metrics of GoalScore both give CC'):
        score.evaluate(2)


def test_before_and_after_are_of_the_same_pictures():
    metric = RestorationMetrics()
    rows = [
        dict(task='ll', PSNR_in=math.inf, PSNR_out=11.0, SSIM_in=1.0, SSIM_out=0.5),
        dict(task='ll', PSNR_in=20.0, PSNR_out=26.0, SSIM_in=0.5, SSIM_out=0.7),
    ]
    found = metric.summary(rows)
    assert (found['ll/PSNR_in'], found['ll/PSNR_out']) == (20.0, 26.0) == (found['PSNR_in'], found['PSNR_out'])
    assert found['ll/SSIM_in'] == 0.75
