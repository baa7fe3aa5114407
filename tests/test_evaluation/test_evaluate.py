import argparse
import csv
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lurefusion.commands.evaluate import add_arguments
from lurefusion.evaluation.cards import compute
from lurefusion.evaluation.evaluate import evaluate_folders, format_report, read_means, run, write_report
from lurefusion.io.images import read_image, write_image

STEMS = ('a', 'b', 'c')


def draw(seed: int, colour: bool = True) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = np.kron(rng.integers(0, 256, (12, 14, 3)), np.ones((4, 4, 1))) * 0.7 + rng.integers(0, 70, (48, 56, 3))
    image = np.clip(image, 0, 255).astype(np.uint8)
    return image if colour else image[..., 0]


@pytest.fixture
def folders(tmp_path):
    for index, stem in enumerate(STEMS):
        write_image(tmp_path / 'vi' / f'{stem}.png', draw(index))
        write_image(tmp_path / 'ir' / f'{stem}.bmp', draw(10 + index, colour=False))
        write_image(tmp_path / 'one' / f'{stem}.tif', draw(index) // 2 + draw(10 + index) // 2)
        write_image(tmp_path / 'two' / f'{stem}.jpg', draw(20 + index, colour=False))
    return tmp_path


def load(path: Path) -> torch.Tensor:
    return torch.from_numpy(read_image(path)[0].transpose(2, 0, 1).copy())[None]


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(list(words))


def test_numbers_equal_the_functions(folders):
    sources = {'vi': folders / 'vi', 'ir': folders / 'ir'}
    result = evaluate_folders({'one': folders / 'one', 'two': folders / 'two'}, sources, metrics=['CC', 'PSNR', 'VIF'],
                              variant='both')  # fmt: skip
    assert result.columns == ['CC', 'PSNR', 'PSNR_paper', 'VIF']
    assert not result.warnings
    pair = [load(folders / 'vi/b.png'), load(folders / 'ir/b.bmp')]
    expected = compute(load(folders / 'two/b.jpg'), pair, ['CC', 'PSNR', 'VIF'], 'both')
    assert result.rows['two'][1] == pytest.approx({'name': 'b'} | {c: float(v) for c, v in expected.items()})
    mean = np.mean([row['VIF'] for row in result.rows['one']])
    assert result.means()['one']['VIF'] == pytest.approx(mean)
    assert result.ranks()['one'] < result.ranks()['two']


def test_reference_and_other_modalities(folders):
    result = evaluate_folders({'one': folders / 'one'}, {'mri': folders / 'vi', 'pet': folders / 'ir'},
                              reference=folders / 'vi', metrics=['EN'])  # fmt: skip
    assert result.columns == ['EN', 'PSNR_ref', 'SSIM_ref']
    assert result.ranks() is None


def test_what_does_not_pair_is_listed(folders):
    (folders / 'one/b.tif').unlink()
    write_image(folders / 'two/extra.png', draw(3))
    sources = {'vi': folders / 'vi', 'ir': folders / 'ir'}
    result = evaluate_folders({'one': folders / 'one', 'two': folders / 'two'}, sources, metrics=['EN'])
    assert [row['name'] for row in result.rows['two']] == ['a', 'c']
    text = '\n'.join(result.warnings)
    assert f'one ({folders / "one"}) has no file for 2 of 4 stems: b, extra' in text
    assert f'vi ({folders / "vi"}) has no file for 1 of 4 stems: extra' in text
    assert 'only the 2 stems' in text


def spoil(folder: Path, how: str) -> str:
    """Spoil one of the pictures of stem b; returns what is to be said."""
    vi, fused = folder / 'vi/b.png', folder / 'one/b.tif'
    if how == 'missing source':
        vi.unlink()
        return f'no file in vi ({folder / "vi"})'
    if how == 'not fused by all':
        fused.unlink()
        return f'no file in one ({folder / "one"})'
    if how == 'other size':
        write_image(fused, draw(1)[:40])
        return f'one 56x40 ({fused})'
    if how == 'not finite':
        cv2.imwrite(str(fused), np.full((48, 56, 3), np.nan, np.float32))
        return 'one/b.tif: 8064 of 8064 pixels are NaN'
    broken = vi if 'source' in how else fused
    broken.write_bytes(broken.read_bytes()[:200] if 'cut off' in how else b'nothing')
    return f'{broken.parent.name}/{broken.name} is '


@pytest.mark.parametrize('how', ['missing source', 'not fused by all', 'other size', 'not finite', 'unreadable',
                                 'unreadable source', 'cut off source'])  # fmt: skip
def test_one_bad_picture_is_left_out_and_named(folders, capsys, how):
    sources = {'vi': folders / 'vi', 'ir': folders / 'ir'}
    names = {'one': folders / 'one', 'two': folders / 'two'}
    whole = evaluate_folders(names, sources, metrics=['CC', 'EN'])
    said = spoil(folders, how)
    result = evaluate_folders(names, sources, metrics=['CC', 'EN'])
    assert list(result.failed) == ['b']
    assert said in result.failed['b']
    assert result.rows == {method: [row for row in rows if row['name'] != 'b'] for method, rows in whole.rows.items()}
    words = [str(folders / 'one'), str(folders / 'two'), '--vi', str(folders / 'vi'), '--ir', str(folders / 'ir')]
    assert run(parse(*words, '--metrics', 'CC', 'EN', '--out', str(folders / 'out'))) == 1
    errors = capsys.readouterr().err
    assert '2 picture(s) measured, 1 left out:\n  b: ' in errors
    assert said in errors
    assert said in (folders / 'out/report.md').read_text()
    assert (folders / 'out/grid.png').is_file()


def test_more_sources_than_fused_pictures_are_no_failure(folders):
    for folder in ('one', 'two'):
        next((folders / folder).glob('c.*')).unlink()
    result = evaluate_folders({'one': folders / 'one'}, {'vi': folders / 'vi', 'ir': folders / 'ir'}, metrics=['EN'])
    assert not result.failed
    assert 'one (' in result.warnings[0]


def test_nothing_but_bad_pictures_is_an_error(folders):
    for path in (folders / 'one').iterdir():
        path.write_bytes(b'nothing')
    with pytest.raises(ValueError, match=r'not one of 3 pictures can be measured:\n  a: .*one/a\.tif is not'):
        evaluate_folders({'one': folders / 'one'}, {'vi': folders / 'vi', 'ir': folders / 'ir'}, metrics=['EN'])


def test_infinite_values_are_said(folders):
    write_image(folders / 'one/a.tif', draw(0))
    result = evaluate_folders({'one': folders / 'one'}, {'vi': folders / 'vi', 'ir': folders / 'ir'},
                              reference=folders / 'vi', metrics=['EN'])  # fmt: skip
    assert 'PSNR_ref: infinite for 1 picture(s), which are left out of its mean' in result.warnings
    numbers = [row['PSNR_ref'] for row in result.rows['one']]
    assert numbers[0] == np.inf
    assert result.means()['one']['PSNR_ref'] == pytest.approx(np.mean(numbers[1:]))


def test_a_network_that_refuses_a_picture_goes_on(folders, monkeypatch):
    class Score:
        reason = None

        def __init__(self, *_):
            self.count = 0

        def __call__(self, picture):
            self.count += 1
            if self.count == 2:
                raise RuntimeError('too dark')
            return torch.tensor([float(self.count)])

    monkeypatch.setattr('lurefusion.evaluation.evaluate.NetworkScore', Score)
    result = evaluate_folders({'one': folders / 'one'}, {'vi': folders / 'vi', 'ir': folders / 'ir'}, metrics=['EN'],
                              networks=['MUSIQ'])  # fmt: skip
    assert result.means()['one']['MUSIQ'] == 2
    assert [w for w in result.warnings if 'MUSIQ: no score for 1 picture(s), as' in w and 'b.tif: too dark' in w]


def test_mistakes(folders):
    sources = {'vi': folders / 'vi', 'ir': folders / 'ir'}
    write_image(folders / 'other/z.png', draw(0))
    with pytest.raises(ValueError, match='nothing can be paired'):
        evaluate_folders({'other': folders / 'other'}, sources)
    write_image(folders / 'small/a.png', draw(0)[:40])
    with pytest.raises(ValueError, match=r'must have one size.*56x40 \(.*small/a.png\)'):
        evaluate_folders({'small': folders / 'small'}, sources)
    with pytest.raises(FileNotFoundError, match='no such folder'):
        evaluate_folders({'one': folders / 'none'}, sources)
    with pytest.raises(ValueError, match='names both a source and a method'):
        evaluate_folders({'vi': folders / 'one'}, sources)
    with pytest.raises(ValueError, match='need the folder of clean references'):
        evaluate_folders({'one': folders / 'one'}, sources, metrics=['PSNR_ref'])


def test_command_writes_a_whole_report(folders, capsys):
    (folders / 'beside.csv').write_text(
        'set,method,CC,SSIM,mean_rank\nx,Net,0.9,0.8,1\nx,B,0.7,0.7,1\ny,Old,0.1,0.1,2\n'
    )
    out = folders / 'report'
    words = [str(folders / 'one'), f'B={folders / "two"}', '--vi', str(folders / 'vi'), '--ir', str(folders / 'ir')]
    words += ['--ref', str(folders / 'vi'), '--variant', 'both', '--networks', 'MUSIQ', '--weights-dir', str(out)]
    words += ['--out', str(out), '--beside', str(folders / 'beside.csv'), '--beside-set', 'x', '--grids', '2']
    assert run(parse(*words)) == 0
    printed = capsys.readouterr().out
    assert 'warning: MS-SSIM: no number for 6 picture(s) (too small, ' in printed
    assert f'not available: put musiq_koniq_ckpt-e95806b9.pth into {out}' in printed
    assert sorted(os.listdir(out)) == ['grid.png', 'per_image.csv', 'report.csv', 'report.md', 'report.tex']
    text = (out / 'report.md').read_text()
    assert '| Net |' in text
    # what was measured and what was published of one method
    beside = text.partition('## Beside other methods')[2].partition('##')[0]
    assert beside.count('| B |') == beside.count('| B (published) |') == 1
    assert '| Old |' not in text
    assert '95% interval of the mean' in text
    assert '**' in text
    assert r'\toprule' in (out / 'report.tex').read_text()
    with (out / 'per_image.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert [(r['method'], r['name']) for r in rows] == [(m, s) for m in ('one', 'B') for s in STEMS]
    with (out / 'report.csv').open(newline='') as file:
        stats = {(r['method'], r['metric']): r for r in csv.DictReader(file)}
    assert float(stats['one', 'CC']['mean']) == pytest.approx(np.mean([float(r['CC']) for r in rows[:3]]))
    assert read_image(out / 'grid.png')[0].shape[1] == 5 * 320


def test_commands_that_lack_something(folders):
    one = str(folders / 'one')
    with pytest.raises(ValueError, match='two or more sources'):
        run(parse(one, '--vi', str(folders / 'vi')))
    with pytest.raises(ValueError, match='--source takes NAME=DIR'):
        run(parse(one, '--source', str(folders / 'vi')))
    with pytest.raises(ValueError, match="two folders are called 'one'"):
        run(parse(one, one, '--vi', str(folders / 'vi'), '--ir', str(folders / 'ir')))
    (folders / 'm.csv').write_text('set,method,CC\nx,Net,0.9\n')
    with pytest.raises(ValueError, match="no set 'z'; known: x"):
        read_means(folders / 'm.csv', 'z')


def test_a_box_and_no_grid(folders):
    result = evaluate_folders({'one': folders / 'one'}, {'vi': folders / 'vi', 'ir': folders / 'ir'}, metrics=['EN'])
    written = write_report(result, folders / 'out', grids=1, box=(0, 0, 20, 20))
    assert written[-1].name == 'grid.png'
    assert 'grid.png' not in [p.name for p in write_report(result, folders / 'out2', grids=0)]


@pytest.mark.real_data
def test_classical_baselines_have_the_numbers_of_independent_code():
    from lurefusion.io.pairing import pair_files
    from lurefusion.models.baselines import BaselineFuser

    root = os.environ.get('LUREFUSION_DATA')
    if not root or not Path(root, 'RoadScene/val').is_dir():
        pytest.skip('needs RoadScene/val under $LUREFUSION_DATA')
    targets = read_means(Path(__file__).parents[2] / 'docs/targets.csv', 'RoadScene/val 15')
    pairs = list(pair_files({m: Path(root, 'RoadScene/val', m) for m in ('vi', 'ir')}).pairs.values())[::2]
    columns = ('CC', 'SCD', 'PSNR', 'SSIM', 'MS-SSIM', 'VIF', 'Qabf')
    fuser = BaselineFuser('lap_pyramid')
    rows = []
    for files in pairs:
        sources = {m: load(path) for m, path in files.items()}
        rows.append(compute(fuser({m: x / 255 for m, x in sources.items()}), sources, columns))
    for column in columns:
        mean = np.mean([float(row[column]) for row in rows])
        assert mean == pytest.approx(targets['LapPyr'][column], abs=0.0051 if column == 'PSNR' else 0.00051), column


@pytest.mark.parametrize('out', ['vi', 'one', 'link', 'vi/../ir'])
def test_a_report_does_not_go_into_a_folder_of_pictures(folders, capsys, out):
    (folders / 'link').symlink_to(folders / 'one')
    before = sorted(folders.rglob('*'))
    words = [
        str(folders / 'one'),
        '--vi',
        str(folders / 'vi'),
        '--ir',
        str(folders / 'ir'),
        '--out',
        str(folders / out),
    ]
    with pytest.raises(ValueError, match='is the input'):
        run(parse(*words))
    assert sorted(folders.rglob('*')) == before


def test_a_report_does_not_replace_the_table_it_is_ranked_beside(folders):
    (folders / 'report').mkdir()
    table = folders / 'report/report.csv'
    table.write_text('method,CC\nother,0.5\n')
    words = [str(folders / 'one'), '--vi', str(folders / 'vi'), '--ir', str(folders / 'ir')]
    with pytest.raises(ValueError, match=r'report\.csv is the input'):
        run(parse(*words, '--out', str(folders / 'report'), '--beside', str(table)))
    assert table.read_text().startswith('method,CC')


def test_ranges_and_devices_of_the_command(folders):
    words = [str(folders / 'one'), '--vi', str(folders / 'vi'), '--ir', str(folders / 'ir'), '--metrics', 'EN']
    for options, message in (
        (['--device', 'foo'], "no device 'foo' here"),
        (['--range', 'irr=full'], "'irr' is no modality; there are vi, ir"),
        (['--range', 'log'], "got 'log'"),
    ):
        with pytest.raises(ValueError, match=message):
            run(parse(*words, *options))
    with pytest.raises(ValueError, match='vi and ir are the same folder'):
        evaluate_folders(dict(one=folders / 'one'), dict(vi=folders / 'vi', ir=folders / 'vi'))


def test_names_of_other_programs_come_with_advice(folders):
    for stem in STEMS:
        write_image(folders / 'fused' / f'scene_{stem}_CNN.png', draw(1))
        for role in ('vi', 'ir'):
            write_image(folders / f'src_{role}' / f'scene_{stem}.png', draw(1))
    with pytest.raises(ValueError, match=r'scene_(.) and scene_\1_CNN look like a pair: rename'):
        evaluate_folders({'m': folders / 'fused'}, {'vi': folders / 'src_vi', 'ir': folders / 'src_ir'})


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--grids', '-3'], '--grids must be 0 or more'),
        (['--zoom', '0'], '--zoom 1 or more'),
        (['--box', '0', '0', '100', '-5'], '--box takes X Y WIDTH HEIGHT'),
        (['=vi'], "'=vi' has no name before its ="),
    ],
)
def test_values_are_refused_before_anything_is_measured(tmp_path, monkeypatch, capsys, words, message):
    from lurefusion.cli import main

    monkeypatch.chdir(tmp_path)
    for name in ('fused', 'vi', 'ir'):
        write_image(tmp_path / name / 'a.png', np.full((16, 24), 90, np.uint8))
    assert main(['eval', 'fused', *words, '--vi', 'vi', '--ir', 'ir', '--out', 'report']) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'report').exists()


def test_floats_of_grey_levels_measure_as_their_levels(folders):
    sources = {name: folders / name for name in ('vi', 'ir')}
    for path in (folders / 'one').iterdir():
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        (folders / 'floats').mkdir(exist_ok=True)
        cv2.imwrite(str(folders / 'floats' / f'{path.stem}.tif'), picture.astype(np.float32))
    means = evaluate_folders({'one': folders / 'one', 'floats': folders / 'floats'}, sources, metrics='ranked').means()
    assert means['floats'] == pytest.approx(means['one'], abs=1e-5, nan_ok=True)
    # a little beyond 1 or 255 is cut off
    for path in (folders / 'one').iterdir():
        levels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.float32)
        cv2.imwrite(str(folders / 'floats' / f'{path.stem}.tif'), levels / 255 * 1.06 - 0.03)
    near = evaluate_folders({'one': folders / 'one', 'floats': folders / 'floats'}, sources, metrics='ranked').means()
    assert near['floats']['PSNR'] == pytest.approx(near['one']['PSNR'], abs=0.5)
    cv2.imwrite(str(path_of := folders / 'floats' / f'{path.stem}.tif'), picture.astype(np.float32) * 20 - 5)
    failed = evaluate_folders({'floats': folders / 'floats'}, sources, metrics=['EN']).failed
    assert 'are no grey levels; save them as 8 or 16 bit' in failed[path_of.stem]


def test_three_sources_and_one_range_for_all(folders):
    sources = {name: folders / name for name in ('vi', 'ir')}
    result = evaluate_folders({'one': folders / 'one'}, {**sources, 'more': folders / 'two'}, metrics='ranked')
    assert 'SCD' not in result.columns
    assert any('SCD is left out' in warning for warning in result.warnings)
    with pytest.raises(ValueError, match='SCD is defined for two sources'):
        evaluate_folders({'one': folders / 'one'}, {**sources, 'more': folders / 'two'}, metrics=['SCD'])
    # 8-bit pictures have nothing to share
    plain, shared = (
        evaluate_folders({'one': folders / 'one'}, sources, metrics='ranked', range_mode=mode).means()
        for mode in ('auto', 'ir=shared')
    )
    assert shared['one'] == pytest.approx(plain['one'], nan_ok=True)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('method,CC\nA,0.1,7\n', r'beside\.csv, line 2: more cells than the header has columns'),
        ('method,CC\nA,n/a\n', r"beside\.csv, line 2: could not convert string to float: 'n/a'"),
    ],
)
def test_published_figures_are_read_before_the_work(folders, monkeypatch, text, message):
    (folders / 'beside.csv').write_text(text)
    monkeypatch.setattr('lurefusion.evaluation.evaluate.evaluate_folders', lambda *_, **__: pytest.fail('measured'))
    words = [str(folders / 'one'), '--vi', str(folders / 'vi'), '--ir', str(folders / 'ir')]
    with pytest.raises(ValueError, match=message):
        run(parse(*words, '--beside', str(folders / 'beside.csv')))


def test_rows_of_several_sets_are_no_table(tmp_path):
    path = tmp_path / 'published.csv'
    path.write_text('method,set,CC\nA,MSRS,0.5\nA,RoadScene,0.7\nB,MSRS,0.6\n')
    with pytest.raises(ValueError, match=r'several sets \(MSRS, RoadScene\)'):
        read_means(path)
    assert read_means(path, 'MSRS') == dict(A=dict(CC=0.5), B=dict(CC=0.6))
    path.write_text('method,CC\nA,0.5\nA,0.7\n')
    with pytest.raises(ValueError, match=r"line 3: 'A' has a row already"):
        read_means(path)
    path.write_text('method,Psnr\nA,0.5\n')
    with pytest.raises(ValueError, match='has no number of a metric; its columns are method, Psnr'):
        read_means(path)


def test_metrics_in_the_variant_of_papers_are_ranked_beside_others(folders, tmp_path):
    result = evaluate_folders(
        {'one': folders / 'one'}, {'vi': folders / 'vi', 'ir': folders / 'ir'}, metrics=['CC', 'PSNR'], variant='paper'
    )
    beside = dict(Other=dict(CC=result.means()['one']['CC'], PSNR_paper=99.0))
    text = format_report(result, beside)
    # a tie in CC, and the better PSNR
    assert re.search(r'\| Other \|.*\| \*\*1\.00\*\* \||\| Other \|.*\*\*1\.25\*\*', text)


def test_options_stand_in_the_report_and_variants_are_no_option(folders, tmp_path):
    sources = {'vi': folders / 'vi', 'ir': folders / 'ir'}
    result = evaluate_folders({'one': folders / 'one'}, sources, metrics=['MI'], options=dict(MI=dict(base='nats')))
    assert 'as changed by MI.base=nats' in format_report(result)
    with pytest.raises(TypeError, match=r'PSNR\.variant is no option'):
        evaluate_folders({'one': folders / 'one'}, sources, metrics=['PSNR'], options=dict(PSNR=dict(variant='paper')))


def test_what_looks_wrong_in_a_range_is_said(folders):
    for stem in STEMS:
        (folders / 'ir' / f'{stem}.bmp').unlink()
        counts = 29000 + 8 * draw(10, colour=False).astype(np.uint16)
        assert cv2.imwrite(str(folders / 'ir' / f'{stem}.png'), counts)
    sources = {'vi': folders / 'vi', 'ir': folders / 'ir'}
    right = evaluate_folders({'one': folders / 'one'}, sources, metrics=['CC'], range_mode='ir=29000:31100')
    assert not right.warnings
    wrong = evaluate_folders({'one': folders / 'one'}, sources, metrics=['CC'], range_mode='ir=2900:3100')
    assert any(warning.startswith('ir: of 3 picture(s), as ') for warning in wrong.warnings)
