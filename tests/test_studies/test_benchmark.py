"""The benchmark page: right numbers, rows for three prompts, and nothing measured twice."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lurefusion.apis import FusionInferencer
from lurefusion.datasets.scenes import render_scene
from lurefusion.evaluation.cards import compute
from lurefusion.io.images import read_image, write_image
from lurefusion.registry import DEGRADATIONS
from lurefusion.studies import benchmark, benchmark_page
from lurefusion.studies.benchmark import Method, degraded_table
from lurefusion.studies.benchmark_page import build

TARGETS = Path(__file__).resolve().parents[2] / 'docs' / 'targets.csv'
SPOILT = {
    'low_light/vi': dict(type='LowLight', gain=0.5, gamma=2.2),
    'low_contrast/ir': dict(type='LowContrast', gain=0.3, level=0.45),
}


@pytest.fixture
def data(tmp_path) -> Path:
    """Two pairs of MSRS/test_dev and their dark and flat versions; no other set."""
    root = tmp_path / 'data'
    for seed in (0, 1):
        scene = render_scene(seed, (48, 64), 'day')
        for modality, picture in (('vi', scene.visible), ('ir', scene.infrared)):
            write_image(root / 'MSRS/test_dev' / modality / f'{seed}.png', picture)
        for folder, cfg in SPOILT.items():
            clean, _ = read_image(root / 'MSRS/test_dev' / folder[-2:] / f'{seed}.png')
            image, _ = DEGRADATIONS.build(cfg)(np.float32(clean) / 255, np.random.default_rng(seed))
            write_image(root / 'degraded_val' / folder / f'{seed}.png', np.uint8(np.round(image * 255)))
    return root


def numbers(page: str, title: str, row: str) -> dict[str, str]:
    """Column -> cell of a row below a title of the page."""
    lines = page[page.index(title) :].splitlines()
    cells = [[c.strip(' *') for c in line.strip('|').split('|')] for line in lines if line.startswith('|')]
    found = next(c for c in cells if c[0] == row)
    return dict(zip(cells[0], [c.removeprefix('<u>').removesuffix('</u>') for c in found], strict=True))


def test_page_and_cache(data, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'page.md'
    page = build(['lure-tiny'], data, None, out, TARGETS)
    left_out = capsys.readouterr().out
    assert all(f'data/{folder}' in left_out for folder in ('RoadScene/val/vi', 'degraded_val/haze/vi'))

    pair = {m: torch.from_numpy(read_image(data / f'MSRS/test_dev/{m}/0.png')[0].transpose(2, 0, 1).copy())[None]
            for m in ('vi', 'ir')}  # fmt: skip
    pairs = [{m: data / f'MSRS/test_dev/{m}/{stem}.png' for m in ('vi', 'ir')} for stem in (0, 1)]
    fuser = FusionInferencer('lure-tiny')
    fused = fuser(**pairs[0])
    expected = compute(torch.from_numpy(fused.transpose(2, 0, 1).copy())[None], pair, ['SCD', 'Qabf'])
    title = '### MSRS/test_dev, every third pair'
    for column, value in expected.items():
        assert numbers(page, title, 'lure-tiny')[column] == f'{float(value):.3f}'
    assert numbers(page, title, 'SeAFusion')['SCD'] == '1.666'

    title = '### low light + low contrast, 2'
    means = {}
    for row, prompt in (
        ('lure-tiny', dict(vi='ll', ir='lc')), ('lure-tiny, no prompt', None),
        ('lure-tiny, wrong prompt', dict(vi='hz', ir='sr')),
    ):  # fmt: skip
        scores = []
        for stem in (0, 1):
            fused = fuser(
                prompt, vi=data / f'degraded_val/low_light/vi/{stem}.png',
                ir=data / f'degraded_val/low_contrast/ir/{stem}.png',
            )  # fmt: skip
            sources = [read_image(pairs[stem][m])[0].transpose(2, 0, 1).copy() for m in ('vi', 'ir')]
            sources = [torch.from_numpy(source)[None] for source in sources]
            scores.append(float(compute(torch.from_numpy(fused.transpose(2, 0, 1).copy())[None], sources, 'CC')['CC']))
        means[row] = f'{np.mean(scores):.3f}'
    assert {row: numbers(page, title, row)['CC'] for row in means} == means
    # three prompts, three pictures: one number may agree by chance, not all of them
    assert (
        len({tuple(numbers(page, title, row)[c] for c in ('CC', 'SCD', 'PSNR', 'VIF', 'Qabf')) for row in means}) == 3
    )

    row = numbers(page, '## Restored', 'low light')
    assert float(row['PSNR restored']) - float(row['PSNR degraded']) == pytest.approx(float(row['PSNR gain']), abs=0.02)
    assert float(row['PSNR gain']) > 2
    assert '| lure-tiny, vi | 940 |' in page

    # again: nothing is fused; a changed picture: only its rows
    def refuse(*args, **kwargs):
        raise RuntimeError('measured again')

    monkeypatch.setattr(FusionInferencer, '__call__', refuse)
    monkeypatch.setattr(FusionInferencer, 'restore', refuse)
    assert build(['lure-tiny'], data, None, out, TARGETS) == page
    write_image(data / 'MSRS/test_dev/vi/1.png', np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(RuntimeError, match='measured again'):
        build(['lure-tiny'], data, None, out, TARGETS)
    assert set(json.loads(out.with_suffix('.json').read_text())['MSRS/test_dev/vi MSRS/test_dev/ir | Max']) == {
        '0',
        '1',
    }


@pytest.fixture
def copied(tmp_path, monkeypatch) -> Path:
    """The package, as far as the cache looks at it, where it may be changed."""
    package = tmp_path / 'lurefusion'
    source = Path(benchmark.lurefusion.__file__).parent
    shutil.copytree(source, package, ignore=shutil.ignore_patterns('weights', '__pycache__', 'downstream'))
    monkeypatch.setattr(benchmark.lurefusion, '__file__', str(package / '__init__.py'))
    return package


@pytest.mark.parametrize('file', [
    'io/images.py', 'ops/ssim.py', 'weights.py', 'evaluation/functional.py', 'evaluation/cards.py',
    'evaluation/report.py', 'evaluation/niqe_pristine.npz', 'datasets/transforms.py', 'prompts/tasks.py',
    'models/baselines.py', 'engine/checkpoint.py',
])  # fmt: skip
def test_cache_sees_a_change_of_what_numbers_depend_on(copied, file):
    before = benchmark.everything_else()
    assert benchmark.everything_else() == before
    with open(copied / file, 'ab') as content:
        content.write(b'\n')
    assert benchmark.everything_else() != before


def test_cache_sees_other_packages_and_configs_and_leaves_the_rest_alone(copied, monkeypatch):
    before = benchmark.everything_else()
    (copied / 'cli.py').write_text('')
    (copied / 'evaluation/__pycache__').mkdir()
    (copied / 'evaluation/__pycache__/x.pyc').write_text('')
    assert benchmark.everything_else() == before
    [average, *_], _ = benchmark.load_methods([])
    monkeypatch.setattr(benchmark, '_model_of', lambda config: 'another config')
    assert benchmark.load_methods([])[0][0].version != average.version
    original = benchmark.metadata.version
    monkeypatch.setattr(benchmark.metadata, 'version', lambda name: '0' if name == 'numpy' else original(name))
    assert benchmark.everything_else() != before


def test_cache_sees_another_picture_of_the_same_size(tmp_path):
    file, measured = tmp_path / 'a.png', []

    def means():
        cache = benchmark.Cache(tmp_path / 'cache.json')
        cache.means('row', 'version', {'a': {'vi': file}}, lambda files: measured.append(1) or {'CC': 1.0})
        return len(measured)

    file.write_bytes(b'one')
    assert (means(), means()) == (1, 1)
    file.write_bytes(b'two')
    assert means() == 2


def test_places_and_the_bottom_third():
    def row(value, cc=None):
        return dict.fromkeys(('CC', 'SCD', 'PSNR', 'SSIM', 'MS-SSIM', 'VIF', 'Qabf'), value) | {'CC': cc or value}

    table = benchmark.degraded_table('haze')
    measured = benchmark_page.Measured(
        table, 8, {'mine': row(0.9, cc=0.1), 'Max': row(0.5)}, {'A': row(0.4), 'Max': row(0.51)}
    )
    assert list(measured.rows) == ['mine', 'Max', 'A']
    assert measured.ranks['mine'] == pytest.approx((6 * 1 + 3) / 7)
    assert 'mine: place 1 of 3; in the bottom third: CC.' in measured.markdown(['mine'])
    # asked otherwise, it is ranked in its own place and takes none from the others
    own = {'mine': row(0.9, cc=0.1), 'mine, no prompt': row(0.45), 'mine, wrong prompt': row(0.1), 'Max': row(0.5)}
    asked = benchmark_page.Measured(table, 8, own, {'A': row(0.4)})
    assert {m: asked.ranks[m] for m in ('mine', 'Max', 'A')} == measured.ranks
    assert (asked.ranks['mine, no prompt'], asked.ranks['mine, wrong prompt']) == (2, 3)
    assert 'mine: place 1 of 3; in the bottom third: CC.' in asked.markdown(['mine'])
    count, differing = measured.compared()
    assert (count, len(differing)) == (7, 7)
    assert 'CC of Max, haze (0.5000 here, 0.510 there)' in differing


def test_one_name_for_two_rows_and_no_data(tmp_path):
    with pytest.raises(ValueError, match='NAME=CONFIG:WEIGHTS'):
        benchmark.load_methods(['lure-tiny', 'lure-tiny'])
    baselines, trained = benchmark.load_methods(['other=lure-tiny'])
    assert [method.name for method in baselines + trained][-2:] == ['GuidedFilter', 'other']
    with pytest.raises(FileNotFoundError, match='none of the sets is below'):
        benchmark_page.measure_tables([], tmp_path, None, benchmark.Cache(tmp_path / 'x.json'), TARGETS)


def test_prompts_of_a_model_with_few_tasks():
    def rows(table: str, *tasks: str) -> list[str]:
        prompts = SimpleNamespace(keys=(*tasks, 'pd'))
        method = Method('m', SimpleNamespace(router=object(), model=SimpleNamespace(prompts=prompts)), '1')
        return list(method.prompts(degraded_table(table)))

    assert rows('low_contrast', 'll', 'lc') == ['m', 'm, no prompt']
    assert rows('low_light', 'll', 'hz', 'lc') == ['m', 'm, no prompt', 'm, wrong prompt']
    assert rows('haze', 'll', 'lc') == []
