"""`lurefusion fuse` over folders and clips, as typed."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from lurefusion.apis import FusionInferencer
from lurefusion.cli import main
from lurefusion.io.images import read_image, write_image
from lurefusion.prompts.grammar import named_parts

# the mean of the luminances, with the chroma of the visible picture
MODEL = ['--model', 'lurefusion::baselines/average_ir_vi.py', '--device', 'cpu']
COUNT = 10
ROOT = Path(__file__).resolve().parents[2]


def flat(level: int) -> np.ndarray:
    return np.full((32, 48), level, np.uint8)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for n in range(4):
        write_image(tmp_path / f'vi/{n}.png', flat(40 * n))
        write_image(tmp_path / f'ir/{n}.png', flat(40 * n + 20))
    return tmp_path


def fuse(root: Path, out: str, *words: str, vi: str = 'vi', ir: str = 'ir') -> int:
    return main(['fuse', '--vi', str(root / vi), '--ir', str(root / ir), '--out', str(root / out), *MODEL, *words])


def test_a_folder_again_and_with_other_options(folders, capsys):
    assert fuse(folders, 'out') == 0
    assert '4 fused into' in capsys.readouterr().out
    assert read_image(folders / 'out/2.png')[0].mean() == 90
    assert fuse(folders, 'out') == 0
    assert '0 fused into' in (out := capsys.readouterr().out)
    assert '4 unchanged' in out
    assert fuse(folders, 'out', '--bit-depth', '16') == 1
    assert 'holds 4 pictures that were made otherwise' in capsys.readouterr().err
    assert fuse(folders, 'out', '--bit-depth', '16', '--overwrite') == 0
    assert cv2.imread(str(folders / 'out/2.png'), cv2.IMREAD_UNCHANGED).dtype == np.uint16


def test_lines_for_machines_and_a_dry_run(folders, capsys):
    (folders / 'vi/1.png').write_bytes(b'text')
    assert fuse(folders, 'out', '--json', '--dry-run') == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line['status'] for line in lines] == ['planned'] * 4
    assert not (folders / 'out').exists()
    assert fuse(folders, 'out', '--json') == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line['status'] for line in lines] == ['done', 'failed', 'done', 'done']
    assert 'not a readable image' in lines[1]['error']
    assert lines[0]['inputs'] == dict(vi=str(folders / 'vi/0.png'), ir=str(folders / 'ir/0.png'))
    assert fuse(folders, 'out', '--dry-run') == 0
    out = capsys.readouterr().out
    assert f'{folders / "vi/1.png"} + {folders / "ir/1.png"} -> {folders / "out/1.png"}' in out
    assert '1 to fuse, 3 unchanged' in out


def test_two_parts_make_the_whole(folders, capsys):
    assert [fuse(folders, 'out', '--shard', f'{n}/2') for n in (1, 2)] == [0, 0]
    assert 'part 2/2' in capsys.readouterr().out
    assert sorted(path.name for path in (folders / 'out').glob('*.png')) == ['0.png', '1.png', '2.png', '3.png']
    assert fuse(folders, 'out', '--shard', '3/2') == 1


def test_patterns_sub_folders_and_what_has_no_partner(tmp_path, capsys):
    for name in ('a_vis.png', 'a_IR.png', 'd/b_vis.png', 'd/b_ir.png', 'c_vis.png'):
        write_image(tmp_path / 'all' / name, flat(len(name)))
    words = ['--pair', '{id}_vis', '{id}_ir']
    assert fuse(tmp_path, 'out', *words, '--recursive', vi='all', ir='all') == 1
    assert 'ir' in (error := capsys.readouterr().err)
    assert '1 of 3 names: c' in error
    assert '--allow-unpaired' in error
    words.append('--allow-unpaired')
    assert fuse(tmp_path, 'out', *words, vi='all', ir='all') == 0
    assert [p.name for p in (tmp_path / 'out').glob('[!.]*')] == ['a.png']
    assert fuse(tmp_path, 'out', *words, '--recursive', vi='all', ir='all') == 0
    assert 'vi: 1 without a partner left out: c' in capsys.readouterr().err
    assert (tmp_path / 'out/d/b.png').is_file()
    assert fuse(tmp_path, 'new', '--pair', '{id}_vis', vi='all', ir='all') == 1
    assert '--pair takes a pattern for each of vi, ir' in capsys.readouterr().err


def test_one_range_for_all_pictures_of_a_folder(tmp_path):
    for n in range(3):
        write_image(tmp_path / f'vi/{n}.png', flat(100))
        (tmp_path / 'ir').mkdir(exist_ok=True)
        counts = np.linspace(29000 + 500 * n, 29400 + 500 * n, 32 * 48).reshape(32, 48).astype(np.uint16)
        cv2.imwrite(str(tmp_path / f'ir/{n}.png'), counts)
    assert fuse(tmp_path, 'own') == 0
    assert fuse(tmp_path, 'one', '--range', 'ir=shared') == 0
    means = {out: [read_image(tmp_path / out / f'{n}.png')[0].mean() for n in range(3)] for out in ('own', 'one')}
    # each stretched to its own range they are equal; with one range the warmer ones are brighter
    assert np.ptp(means['own']) < 1
    assert np.diff(means['one']).min() > 20
    # a bad file is the error of its pair alone
    (tmp_path / 'ir/1.png').write_bytes((tmp_path / 'ir/1.png').read_bytes()[:200])
    assert fuse(tmp_path, 'two', '--range', 'ir=shared') == 1
    assert sorted(path.name for path in (tmp_path / 'two').glob('*.png')) == ['0.png', '2.png']


# clips


def clip(path: Path, levels: list[int], rate: int = 25) -> Path:
    from lurefusion.io.video import open_writer

    with open_writer(path, (48, 32), Fraction(rate), codec='ffv1', pixel_format='gray') as writer:
        for n, level in enumerate(levels):
            writer.write(flat(level), n / rate, '')
    return path


def levels_of(path: Path) -> list[int]:
    from lurefusion.io.clips import VideoFile

    return [round(float(frame.picture.mean())) for frame in VideoFile(path)]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    pytest.importorskip('av')
    clip(tmp_path / 'vi.mkv', [20 * n for n in range(COUNT)])
    clip(tmp_path / 'ir.mkv', [20 * n + 10 for n in range(COUNT)])
    return tmp_path


def fuse_clips(root: Path, out: str, *words: str) -> int:
    return fuse(root, out, *words, vi='vi.mkv', ir='ir.mkv')


def test_two_videos_to_one(clips, capsys):
    assert fuse_clips(clips, 'out.mkv', '--codec', 'ffv1', '--pixel-format', 'gray') == 0
    out = capsys.readouterr().out
    assert '10 frames fused into' in out
    assert '10 frames paired by time, 0.0 ms apart on average' in out
    assert levels_of(clips / 'out.mkv') == [20 * n + 5 for n in range(COUNT)]
    assert fuse_clips(clips, 'out.mkv') == 1
    assert 'out.mkv is there already: --overwrite' in capsys.readouterr().err
    assert fuse_clips(clips, 'out.mkv', '--overwrite', '--batch-size', '3', '--json') == 0
    assert json.loads(capsys.readouterr().out)['frames'] == COUNT
    assert sorted(path.name for path in clips.iterdir()) == ['ir.mkv', 'out.mkv', 'vi.mkv']


def test_rates_that_differ_and_frames_as_a_folder(clips):
    clip(clips / 'ir.mkv', [100, 200], rate=5)
    assert fuse_clips(clips, 'frames') == 0
    found = [int(read_image(path)[0].mean()) for path in sorted((clips / 'frames').glob('*.png'))]
    # 25 and 5 frames a second: the second of the slow ones is nearer from 0.12 s on
    assert found == [round((20 * n + (100 if n < 3 else 200)) / 2) for n in range(COUNT)]
    # the slow one gives the frames
    assert fuse_clips(clips, 'slow.mkv', '--reference', 'ir', '--codec', 'ffv1', '--pixel-format', 'gray') == 0
    assert levels_of(clips / 'slow.mkv') == [50, 150]


def test_a_frame_of_another_size_is_left_out(folders, capsys):
    for name in ('vi', 'ir'):
        write_image(folders / f'{name}/2.png', np.full((32, 64), 90, np.uint8))
    pytest.importorskip('av')
    assert fuse(folders, 'out.mkv', '--codec', 'ffv1', '--pixel-format', 'gray') == 1
    printed = capsys.readouterr()
    assert '3 frames fused into' in printed.out
    assert '2: has 64x32 pixels, and the video 48x32 pixels' in printed.out + printed.err
    assert levels_of(folders / 'out.mkv') == [10, 50, 130]
    # of two frames nobody knows which is the odd one
    for name in ('vi', 'ir'):
        write_image(folders / f'{name}/1.png', np.full((32, 64), 90, np.uint8))
    assert fuse(folders, 'new.mkv') == 1
    assert 'frame 1 has 64x32 pixels, the first one 48x32 pixels' in capsys.readouterr().err
    assert not (folders / 'new.mkv').exists()


@pytest.mark.parametrize('rate', ['1/0', 'fast', '-2'])
def test_rates_that_are_none(folders, capsys, rate):
    pytest.importorskip('av')
    assert fuse(folders, 'out.mkv', f'--fps={rate}') == 1
    assert 'the rate of frames (--fps) must be' in capsys.readouterr().err


def frames_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob('*.png'))}


@pytest.mark.parametrize('options', [(), ('--steady', '0.2', '--batch-size', '3')])
def test_frames_that_are_there_are_kept_and_a_broken_run_goes_on(clips, capsys, monkeypatch, options):
    from lurefusion.io.video import FrameFolderWriter

    # flickering, so that what is damped depends on all frames before
    for name in ('vi.mkv', 'ir.mkv'):
        clip(clips / name, [90 + 8 * n + 30 * (n % 2) for n in range(COUNT)])
    options = (*options, '--trust-pictures')
    assert fuse_clips(clips, 'whole', *options) == 0
    write, count = FrameFolderWriter.write, iter(range(100))

    def broken(self, picture, time, name):
        if next(count) == 6:
            (self.path / f'.{name}.png.12345678').touch()
            raise KeyboardInterrupt
        write(self, picture, time, name)

    monkeypatch.setattr(FrameFolderWriter, 'write', broken)
    assert fuse_clips(clips, 'broken', *options) == 130
    monkeypatch.setattr(FrameFolderWriter, 'write', write)
    done = frames_of(clips / 'broken')
    assert len(done) == 6
    times = {name: (clips / 'broken' / name).stat().st_mtime_ns for name in done}
    capsys.readouterr()
    assert fuse_clips(clips, 'broken', *options, '--json') == 0
    report = json.loads(capsys.readouterr().out)
    assert (report['frames'], report['kept']) == (4, 6)
    assert frames_of(clips / 'broken') == frames_of(clips / 'whole')
    assert not list((clips / 'broken').glob('.*.12345678'))
    assert all((clips / 'broken' / name).stat().st_mtime_ns == time for name, time in times.items())
    # again nothing; with other options only on request
    assert fuse_clips(clips, 'broken', *options) == 0
    assert '0 frames fused into' in (out := capsys.readouterr().out)
    assert ', 10 unchanged' in out
    assert fuse_clips(clips, 'broken', *options, '--bit-depth', '16') == 1
    assert 'made otherwise (other clips, weights or options): --overwrite' in capsys.readouterr().err
    assert fuse_clips(clips, 'broken', *options, '--bit-depth', '16', '--overwrite') == 0
    assert frames_of(clips / 'broken') != frames_of(clips / 'whole')
    # nothing is replaced where all have been deleted
    for file in (clips / 'broken').glob('*.png'):
        file.unlink()
    assert fuse_clips(clips, 'broken', *options) == 0
    assert frames_of(clips / 'broken') == frames_of(clips / 'whole')
    # frames of a program that remembers nothing
    (clips / 'whole' / '.lurefusion').rename(clips / 'elsewhere')
    assert fuse_clips(clips, 'whole', *options) == 1
    assert 'holds 10 pictures: --overwrite' in capsys.readouterr().err


def test_a_frame_of_another_clip_is_seen(clips, capsys):
    assert fuse_clips(clips, 'frames') == 0
    clip(clips / 'ir.mkv', [20 * n + 50 for n in range(COUNT)])
    assert fuse_clips(clips, 'frames') == 1
    assert 'is one of the frames that were made otherwise' in capsys.readouterr().err
    assert fuse_clips(clips, 'frames', '--overwrite') == 0
    found = [int(read_image(path)[0].mean()) for path in sorted((clips / 'frames').glob('*.png'))]
    assert found == [20 * n + 25 for n in range(COUNT)]


def test_folders_of_frames_to_a_video(folders):
    from lurefusion.io.clips import VideoFile

    pytest.importorskip('av')
    assert fuse(folders, 'out.mkv', '--fps', '10', '--codec', 'ffv1', '--pixel-format', 'gray') == 0
    assert levels_of(folders / 'out.mkv') == [10, 50, 90, 130]
    assert VideoFile(folders / 'out.mkv').rate == 10


def test_flicker_is_damped_on_request(clips):
    from lurefusion.evaluation.temporal import flicker
    from lurefusion.io.clips import VideoFile

    for name in ('vi.mkv', 'ir.mkv'):
        clip(clips / name, [100 + 10 * (n % 2) for n in range(COUNT)])
    encoding = ('--codec', 'ffv1', '--pixel-format', 'gray', '--trust-pictures')
    assert fuse_clips(clips, 'as_is.mkv', *encoding) == 0
    assert fuse_clips(clips, 'steady.mkv', *encoding, '--steady', '0.5') == 0
    as_is, steady = (flicker(f.picture for f in VideoFile(clips / f'{name}.mkv')) for name in ('as_is', 'steady'))
    assert as_is == pytest.approx(10)
    assert steady < 1


def test_a_bad_frame_is_left_out_and_a_bad_clip_leaves_nothing(clips, capsys, monkeypatch):
    from lurefusion.runtime.torch_runner import TorchRunner

    core, count = TorchRunner.core, iter(range(100))

    def sometimes(self, images, text=None):
        if next(count) == 4:
            raise MemoryError
        return core(self, images, text)

    monkeypatch.setattr(TorchRunner, 'core', sometimes)
    encoding = ('--codec', 'ffv1', '--pixel-format', 'gray')
    assert fuse_clips(clips, 'out.mkv', *encoding) == 1
    assert 'frame 000004: the pair does not fit into memory' in capsys.readouterr().err
    assert levels_of(clips / 'out.mkv') == [20 * n + 5 for n in range(COUNT) if n != 4]
    (clips / 'ir.mkv').write_bytes(b'text')
    assert fuse_clips(clips, 'other.mkv', *encoding) == 1
    assert 'is not a readable video' in capsys.readouterr().err
    assert not (clips / 'other.mkv').exists()


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--codec', 'h266'], "cannot write the codec 'h266'"),
        (['--shard', '1/2'], '--shard means nothing for a clip'),
        (['--dry-run'], '--dry-run means nothing for a clip'),
        (['--reference', 'vl'], "reference 'vl' is none of the clips vi, ir"),
        (['--offset', 'ir'], '--offset takes NAME=SECONDS'),
        (['--offset', 'mri=1'], "'mri' is none of vi, ir"),
        (['--steady', '0'], 'must be a positive number of seconds'),
        (['--pair', '{id}', '{id}'], 'are for folders; a video is paired by the times'),
        (['--offset', 'ir=99'], 'has a partner in time'),
    ],
)
def test_options_of_clips_that_make_no_sense(clips, capsys, words, message):
    assert fuse_clips(clips, 'out.mp4', *words) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
    assert len(errors) == 1
    assert message in errors[0]
    assert sorted(path.name for path in clips.iterdir()) == ['ir.mkv', 'vi.mkv']


def test_options_of_another_kind_are_refused(folders, capsys):
    assert fuse(folders, 'out', '--steady', '1', '--no-audio') == 1
    assert '--steady, --no-audio means nothing for folders of pictures' in capsys.readouterr().err
    assert fuse(folders, 'out.png', '--shard', '1/2', vi='vi/0.png', ir='ir/0.png') == 1
    assert '--shard means nothing for one pair of pictures' in capsys.readouterr().err
    assert main(['fuse', '--vi', 'a', '--ir', 'b']) == 1
    assert '--out is missing' in capsys.readouterr().err


def test_codecs_are_listed(capsys):
    pytest.importorskip('av')
    assert main(['fuse', '--codec', 'list']) == 0
    assert 'mpeg4, quality 1 (best) to 31, 3 by itself: yuv420p' in capsys.readouterr().out


def test_an_automatic_prompt_is_held_over_a_clip(clips, capsys, monkeypatch):
    """Dark frames, then a single one that looks hazy, then haze for good: one change, and later than it came."""
    from lurefusion.apis import FusionInferencer
    from lurefusion.prompts import AutoPrompt, Prompter
    from lurefusion.runtime.torch_runner import TorchRunner

    class ByBrightness(Prompter):
        def __init__(self):
            self.tasks = dict(vi=('ll', 'hz'), ir=('lc',))

        def __call__(self, picture, modality):
            bright = modality == 'vi' and picture.mean() > 128
            return dict(ll=0.0, hz=1.0, pd=0.0) if bright else dict(ll=modality == 'vi', pd=modality == 'ir', lc=0.0)

    monkeypatch.setattr(TorchRunner, 'core', lambda self, images, text: images[0])
    rate = 10
    levels = [60] * 8 + [200] + [60] * 3 + [200] * 12
    clip(clips / 'vi.mkv', levels, rate)
    clip(clips / 'ir.mkv', [level + 5 for level in levels], rate)
    inferencer = FusionInferencer('lurefusion::lure/lure_demo.py', 'random', device='cpu')
    auto = AutoPrompt(inferencer.runner.prompts.keys)
    auto.prompters = [ByBrightness()]
    monkeypatch.setattr(inferencer.router, 'auto', auto)
    seen = []
    run = inferencer.runner.stream

    def stream(items, *arguments):
        return run((seen.append(item.routes['vi'].task) or item for item in items), *arguments)

    monkeypatch.setattr(inferencer.runner, 'stream', stream)
    sources = dict(vi=clips / 'vi.mkv', ir=clips / 'ir.mkv')
    report = inferencer.fuse_video(sources, clips / 'out.mkv', 'auto', codec='ffv1', pixel_format='gray')
    change = seen.index('hz')
    assert seen == ['ll'] * change + ['hz'] * (len(levels) - change)
    # averages e and 1 - e, e = exp(-t): ahead by 0.2 after 0.92 s, less what is left of the single frame
    assert 12 + 6 <= change <= 12 + 10
    assert report.prompts == dict(vi=[('000000', 'll'), (f'{change:06}', 'hz')], ir=[('000000', 'pd')])
    # a prompt that is given holds from the first frame on
    given = inferencer.fuse_video(sources, clips / 'given.mkv', dict(vi='ll'), codec='ffv1', pixel_format='gray')
    assert given.prompts == dict(vi=[('000000', 'll')], ir=[('000000', 'pd')])
    words = ['--vi', str(clips / 'vi.mkv'), '--ir', str(clips / 'ir.mkv'), '--out', str(clips / 'words.mkv')]
    clip(clips / 'vi.mkv', [60, 61], rate)
    clip(clips / 'ir.mkv', [65, 67], rate)
    model = ['--model', 'lurefusion::lure/lure_demo.py', '--weights', 'random', '--device', 'cpu']
    assert main(['fuse', *words, *model, '--prompt', 'auto', '--codec', 'ffv1']) == 0
    assert ' from frame 000000 on' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (dict(rate=Fraction(-5)), 'above 0 and at most 1000'),
        (dict(rate=Fraction(0)), 'above 0 and at most 1000'),
        (dict(rate=Fraction(10**9)), 'above 0 and at most 1000'),
        (dict(offsets=dict(ir=float('nan'))), 'offset of ir must be a number'),
        (dict(bit_depth=16), 'that of its pixel format'),
        (dict(out='c.gif'), r'cannot write a clip as \.gif'),
    ],
)
def test_numbers_of_a_clip_that_mean_nothing(tmp_path, options, words):
    for name in ('vi', 'ir'):
        write_image(tmp_path / name / '0.png', np.full((16, 24), 90 if name == 'vi' else 30, np.uint8))
    out = tmp_path / options.pop('out', 'c.mp4')
    fuser = FusionInferencer('lurefusion::baselines/average_ir_vi.py')
    with pytest.raises(ValueError, match=words):
        fuser.fuse_video({name: tmp_path / name for name in ('vi', 'ir')}, out, **options)
    assert not out.exists()


def test_a_sentence_and_names_are_not_mixed():
    with pytest.raises(ValueError, match='not both'):
        named_parts(['the visible image has', 'vi=ll'], ('vi', 'ir'))
    assert named_parts(['vi=ll', 'ir=lc'], ('vi', 'ir')) == dict(vi='ll', ir='lc')
    assert named_parts(['it is dark'], ('vi', 'ir')) == 'it is dark'


def test_json_alone_is_on_the_standard_output(tmp_path):
    for name in ('vi', 'ir'):
        write_image(tmp_path / name / '0.png', np.full((16, 24), 90 if name == 'vi' else 30, np.uint8))
    command = [sys.executable, '-m', 'lurefusion', 'fuse', '--vi', 'vi', '--ir', 'ir', '--out', 'out', '--json']
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert [json.loads(line)['status'] for line in done.stdout.splitlines()] == ['done']
    assert 'loaded' in done.stderr


# names and moments that nobody expects

ODD_NAMES = [b'a\nb', b'\xff\xfe', b' ', b'--out', b'a\'b"c', b'\x1b[31m', b'%s{0}', 'ä雾🙂'.encode()]


@pytest.mark.parametrize('name', ODD_NAMES)
def test_pictures_with_any_name_are_fused_and_scored(tmp_path, name, capfd):
    stem = os.fsdecode(name)
    for role, level in (('vi', 40), ('ir', 60)):
        write_image(tmp_path / role / f'{stem}.png', flat(level) + np.arange(48, dtype=np.uint8))
    assert fuse(tmp_path, 'out') == 0
    assert fuse(tmp_path, 'out', '--json') == 0
    line = capfd.readouterr().out.splitlines()[-1]
    assert json.loads(line)['name'] == stem
    assert [os.fsencode(path.name) for path in (tmp_path / 'out').glob('*.png')] == [name + b'.png']
    folders = ['--vi', str(tmp_path / 'vi'), '--ir', str(tmp_path / 'ir')]
    report = str(tmp_path / 'report')
    assert main(['eval', f'mean={tmp_path / "out"}', *folders, '--metrics', 'EN', '--out', report]) == 0
    text = (tmp_path / 'report/per_image.csv').read_bytes().decode(errors='surrogateescape')
    assert stem in list(csv.reader(io.StringIO(text, newline='')))[1]
    (tmp_path / 'ir' / f'{stem}.png').write_bytes(b'no picture')
    assert fuse(tmp_path, 'out', '--overwrite') == 1
    assert 'is not a readable image' in capfd.readouterr().err


def test_tiles_of_the_command(folders, capsys):
    assert fuse(folders, 'out', '--tile', '8') == 1
    assert 'error: tile must be at least 64 pixels, got 8' in capsys.readouterr().err
    assert fuse(folders, 'out', '--tile', '64') == 0


def test_frames_behind_one_that_is_made_later_are_made_anew_where_they_depend_on_it(tmp_path):
    pytest.importorskip('av')
    rng = np.random.default_rng(0)
    for n in range(6):
        for role in ('vi', 'ir'):
            level = 60 + 12 * n + 40 * (n % 2)
            write_image(tmp_path / f'{role}/{n}.png', rng.integers(level, level + 40, (24, 40), np.uint8))
    sources = {role: tmp_path / role for role in ('vi', 'ir')}
    fuser = FusionInferencer('lurefusion::baselines/average_ir_vi.py')

    def fuse(out: str) -> tuple[int, int]:
        report = fuser.fuse_video(sources, tmp_path / out, rate=10, steady=0.5)
        return report.frames, report.kept

    assert fuse('whole') == (6, 0)
    good = (tmp_path / 'vi/2.png').read_bytes()
    (tmp_path / 'vi/2.png').write_bytes(good[:40])
    assert fuse('mended') == (5, 0)
    (tmp_path / 'vi/2.png').write_bytes(good)
    assert fuse('mended') == (4, 2)
    assert frames_of(tmp_path / 'mended') == frames_of(tmp_path / 'whole')
    assert fuse('mended') == (0, 6)
