"""What a page asks, without a browser: pairs, archives, clips; what was understood; one sentence for each mistake."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from lurefusion import FusionInferencer
from lurefusion.datasets.scenes import render_scene
from lurefusion.evaluation.cards import FUSION_METRICS
from lurefusion.io.images import read_image, write_image
from lurefusion.page.desk import METRICS, Desk, Wish, measured, offered_metrics
from lurefusion.page.limits import Limits
from lurefusion.prompts import TASKS

SIZE = (64, 80)
FAST = Wish('lure-fast', metrics=('EN',), restore=False)


@pytest.fixture(scope='module')
def desk() -> Desk:
    return Desk(Limits(files=12, frames=12), model='lure-fast', device='cpu')


@pytest.fixture(scope='module')
def pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, scene = tmp_path_factory.mktemp('pair'), render_scene(5, SIZE, time='day')
    paths = {'vi': folder / 'vi.png', 'ir': folder / 'ir.png'}
    write_image(paths['vi'], scene.visible // 4)
    write_image(paths['ir'], scene.infrared)
    return paths


def test_models_are_offered_by_their_names(desk: Desk) -> None:
    assert desk.models == ('lure-fast', 'lure-tiny', 'average', 'guided_filter', 'lap_pyramid', 'max')
    assert desk.runner('average') is desk.runner('average')
    with pytest.raises(ValueError, match=r"model must be one of .*lure-tiny.*'lure-tny'"):
        desk.runner('lure-tny')


def test_a_pair_is_fused_as_by_the_inferencer(desk: Desk, pair: dict[str, Path]) -> None:
    answer = desk.fuse(pair, replace(FAST, prompt='it is too dark', metrics=METRICS, restore=True))
    inferencer = FusionInferencer('lure-fast', device='cpu')
    expected = inferencer.predict('it is too dark', **pair)
    np.testing.assert_array_equal(answer.fused.picture, expected.picture)
    assert list(answer.metrics) == list(METRICS)
    # what is not degraded is not restored
    assert list(answer.restored) == ['vi']
    alone = inferencer.restore(pair['vi'], 'vi', 'll')
    np.testing.assert_array_equal(answer.restored['vi'].to_uint8(), alone)
    assert answer.seconds > 0


def test_what_was_understood(desk: Desk, pair: dict[str, Path]) -> None:
    vi, ir = desk.fuse(pair, replace(FAST, prompt='the visible image is too dark')).told
    assert (vi.modality, vi.task, vi.fault, vi.source, vi.probability) == ('vi', 'll', 'low light', 'pattern', None)
    assert (ir.modality, ir.task, ir.fault, ir.source) == ('ir', 'pd', '', 'default')


def test_auto_looks_at_the_pictures_and_hears_nothing(desk: Desk, pair: dict[str, Path]) -> None:
    vi, ir = desk.fuse(pair, replace(FAST, prompt='the infrared is noisy', auto=True)).told
    assert {vi.source, ir.source} == {'auto'}
    assert vi.task == 'll'
    assert vi.probability > 0.5
    assert 'low light' not in vi.guesses
    assert sum(vi.guesses.values()) < 1 - vi.probability + 1e-6


def test_another_prompt_makes_another_picture(desk: Desk, pair: dict[str, Path]) -> None:
    pictures = [desk.fuse(pair, replace(FAST, prompt=text)).fused.picture for text in ('', 'it is too dark')]
    assert np.abs(pictures[0] - pictures[1]).mean() > 0.02


def test_keys_for_each_modality_in_one_text(desk: Desk, pair: dict[str, Path]) -> None:
    assert [one.task for one in desk.fuse(pair, replace(FAST, prompt='vi=ll ir=lc')).told] == ['ll', 'lc']
    vi, ir = desk.fuse(pair, replace(FAST, prompt='vi=auto, ir=lc')).told
    assert (vi.source, ir.task) == ('auto', 'lc')
    with pytest.raises(ValueError, match=r"'vii' is no modality\. Did you mean 'vi'\?"):
        desk.fuse(pair, replace(FAST, prompt='vii=ll'))


def test_a_fault_that_the_network_does_not_mend_is_named(desk: Desk, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    paths = {name: tmp_path / f'{name}.png' for name in ('vi', 'ir')}
    write_image(paths['vi'], noise)
    write_image(paths['ir'], noise[..., 0])
    vi, _ = desk.fuse(paths, replace(FAST, auto=True)).told
    assert vi.task == 'pd'
    assert vi.foreign == TASKS['ns'].defects[0]


def test_what_is_not_understood_is_said(desk: Desk, pair: dict[str, Path]) -> None:
    answer = desk.fuse(pair, replace(FAST, prompt='there is rain'))
    assert any('no task for' in remark for remark in answer.remarks)
    answer = desk.fuse(pair, replace(FAST, model='average', prompt='it is too dark'))
    assert answer.told == []
    assert answer.remarks == ['average reads no prompt: the pictures are fused as they are']
    assert desk.fuse(pair, replace(FAST, model='average', auto=True)).remarks == []


def test_options_reach_the_network(desk: Desk, pair: dict[str, Path], tmp_path: Path) -> None:
    small = cv2.resize(read_image(pair['ir'])[0], (40, 32), interpolation=cv2.INTER_AREA)
    write_image(tmp_path / 'ir.png', small)
    sized = dict(pair, ir=tmp_path / 'ir.png')
    with pytest.raises(ValueError, match='80x64'):
        desk.fuse(sized, FAST)
    assert desk.fuse(sized, replace(FAST, resize='vi')).fused.picture.shape[:2] == SIZE
    assert desk.fuse(sized, replace(FAST, resize='ir')).fused.picture.shape[:2] == (32, 40)
    given, own = (desk.fuse(pair, replace(FAST, chroma=chroma)).fused.picture for chroma in ('fused', 'visible'))
    assert not np.array_equal(given, own)


def test_a_pair_that_is_not_aligned(desk: Desk, tmp_path: Path) -> None:
    scene = render_scene(9, (169, 214), time='day')
    write_image(tmp_path / 'vi.png', scene.visible[:160, :200])
    write_image(tmp_path / 'ir.png', scene.infrared[9:, 14:])
    answer = desk.fuse(dict(vi=tmp_path / 'vi.png', ir=tmp_path / 'ir.png'), replace(FAST, register='translation'))
    # what goes into the metrics and is shown beside the result lies on its pixels
    inner = np.s_[20:140, 30:190]
    moved, there = answer.pictures['ir'][inner], scene.infrared[:160, :200][inner]
    moved = moved[..., 0].astype(np.float32) * (255 if moved.dtype != np.uint8 else 1)
    there = there if there.ndim == 2 else there[..., 0]
    assert np.corrcoef(moved.ravel(), there.ravel())[0, 1] > 0.95


def test_mistakes(desk: Desk, pair: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'^missing: the visible and the infrared picture; choose a file'):
        desk.fuse({}, FAST)
    twin = tmp_path / 'twin.png'
    twin.write_bytes(pair['vi'].read_bytes())
    with pytest.raises(ValueError, match='are one picture'):
        desk.fuse(dict(vi=twin, ir=pair['vi']), FAST)
    with pytest.raises(ValueError, match=r'2,?000'):
        desk.fuse(pair, replace(FAST, prompt='dark ' * 500))
    bad = tmp_path / 'bad.png'
    bad.write_bytes(pair['vi'].read_bytes()[:200])
    with pytest.raises(ValueError, match=r'bad\.png'):
        desk.fuse(dict(pair, vi=bad), FAST)
    with pytest.raises(KeyError, match='SIM'):
        desk.fuse(pair, replace(FAST, metrics=('SIM',)))


def test_metrics_that_are_offered_are_those_that_can_be_computed() -> None:
    assert set(FUSION_METRICS) <= set(offered_metrics())
    assert not {'PSNR_ref', 'Hue', 'CLIP-IQA'} & set(offered_metrics())


def test_metrics_of_a_picture_that_is_its_source() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    found = measured(picture.astype(np.float32) / 255, dict(vi=picture, ir=picture), ('CC', 'SSIM', 'MS-SSIM'))
    assert found['CC'] == pytest.approx(1)
    assert found['SSIM'] == pytest.approx(1)
    # sides of 161 pixels are needed
    assert np.isnan(found['MS-SSIM'])
    assert measured(picture, {}, ()) == {}


# ------------------------------------------------------------------ archives


def archive_of(path: Path, pairs: int = 2, names: tuple[str, str] = ('set/Visible_images', 'set/thermal')) -> Path:
    with zipfile.ZipFile(path, 'w') as file:
        for number in range(pairs):
            noise = np.random.default_rng(number).integers(0, 256, (2, 24, 32), np.uint8)
            for name, picture in zip(names, noise, strict=True):
                place = f'{name}/{number}.png' if '{' not in name else name.format(id=number)
                file.writestr(place, cv2.imencode('.png', picture)[1].tobytes())
    return path


def unpacked(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_an_archive_of_two_folders(desk: Desk, tmp_path: Path) -> None:
    path, seen = archive_of(tmp_path / 'my set.zip', 3), []
    with zipfile.ZipFile(path, 'a') as file:
        file.writestr('set/thermal/lost.png', cv2.imencode('.png', np.zeros((24, 32), np.uint8))[1].tobytes())
        file.writestr('set/readme.txt', 'hello')
    work = tmp_path / 'work'
    work.mkdir()
    job = desk.fuse_archive(
        path, replace(FAST, prompt='it is hazy'), work, bit_depth=16, tell=lambda *a: seen.append(a)
    )
    assert job.file.name == 'my_set_fused.zip'
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert job.done == 3
    assert job.failed == {}
    assert job.told == {'vi': ['hz (3)'], 'ir': ['pd (3)']}
    assert any('1 of infrared without a partner' in remark for remark in job.remarks)
    assert any('left out, no pictures: set/readme.txt' in remark for remark in job.remarks)
    files = unpacked(job.file)
    assert sorted(files) == ['0.png', '1.png', '2.png', 'report.csv']
    assert cv2.imdecode(np.frombuffer(files['0.png'], np.uint8), cv2.IMREAD_UNCHANGED).dtype == np.uint16
    rows = list(csv.DictReader(io.StringIO(files['report.csv'].decode())))
    assert [row['status'] for row in rows] == ['done'] * 3
    # nothing of what was unpacked stays
    assert [each.name for each in work.iterdir()] == ['my_set_fused.zip']


def test_a_set_named_after_a_modality(desk: Desk, tmp_path: Path) -> None:
    names = ('thermal_dataset/visible', 'thermal_dataset/infrared')
    job = desk.fuse_archive(archive_of(tmp_path / 'a.zip', names=names), FAST, tmp_path)
    assert (job.done, job.failed) == (2, {})


def test_an_archive_of_one_folder(desk: Desk, tmp_path: Path) -> None:
    path = archive_of(tmp_path / 'a.zip', names=('all/{id}_vis.png', 'all/{id}_ir.png'))
    with pytest.raises(ValueError, match=r'one folder for each of visible and infrared.*it has all\. Or say how'):
        desk.fuse_archive(path, FAST, tmp_path)
    job = desk.fuse_archive(path, FAST, tmp_path, patterns=dict(vi='{id}_vis', ir='{id}_ir'))
    assert job.done == 2


def test_one_bad_pair_does_not_stop_the_others(desk: Desk, tmp_path: Path) -> None:
    path = archive_of(tmp_path / 'a.zip', 2, ('vi', 'ir'))
    with zipfile.ZipFile(path, 'a') as file:
        for name, side in (('vi', 24), ('ir', 40)):
            file.writestr(f'{name}/odd.png', cv2.imencode('.png', np.full((side, 32), side, np.uint8))[1].tobytes())
        file.writestr('vi/text.png', b'no picture')
    job = desk.fuse_archive(path, FAST, tmp_path)
    assert job.done == 2
    assert sorted(job.failed) == ['odd', 'vi/text.png']
    assert str(tmp_path) not in job.failed['odd']
    assert job.failed['vi/text.png'].startswith('cannot be read as a picture')
    report = unpacked(job.file)['report.csv'].decode()
    assert 'odd,failed' in report
    assert str(tmp_path) not in report


def test_an_archive_without_any_pair_that_can_be_fused(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / 'a.zip'
    with zipfile.ZipFile(path, 'w') as file:
        for name, side in (('vi', 24), ('ir', 40)):
            file.writestr(f'{name}/odd.png', cv2.imencode('.png', np.full((side, 32), side, np.uint8))[1].tobytes())
    with pytest.raises(ValueError, match='no pair could be fused; odd: '):
        desk.fuse_archive(path, FAST, tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ['a.zip']


# --------------------------------------------------------------------- clips


@pytest.fixture
def clips(tmp_path: Path) -> Iterator[dict[str, Path]]:
    pytest.importorskip('av', reason='needs PyAV: pip install lurefusion[video]')
    from lurefusion.io.video import open_writer

    paths = {'vi': tmp_path / 'vi.mp4', 'ir': tmp_path / 'ir.mkv'}
    for seed, path in enumerate(paths.values()):
        noise = np.random.default_rng(seed).integers(0, 60, (48, 64, 3), np.uint8)
        with open_writer(path, (64, 48)) as writer:
            for number in range(6):
                writer.write(np.roll(noise, number, axis=1), number / 25, str(number))
    return paths


def test_clips_become_a_clip(desk: Desk, clips: dict[str, Path], tmp_path: Path) -> None:
    from lurefusion.io.clips import VideoFile

    work = tmp_path / 'work'
    work.mkdir()
    job = desk.fuse_clip(clips, replace(FAST, prompt='it is too dark'), work)
    assert job.done == 6
    assert job.told['vi'] == ['ll']
    assert [frame.picture.shape for frame in VideoFile(job.file)] == [(48, 64, 3)] * 6
    assert not any('paired by time' in remark for remark in job.remarks)
    with pytest.raises(ValueError, match='missing: the infrared clip'):
        desk.fuse_clip(dict(vi=clips['vi']), FAST, work)


def test_frames_without_a_partner_are_counted(desk: Desk, clips: dict[str, Path], tmp_path: Path) -> None:
    from lurefusion.io.video import open_writer

    with open_writer(clips['ir'], (64, 48)) as writer:
        for number in range(3):
            writer.write(np.full((48, 64, 3), 40 * number, np.uint8), number / 25, str(number))
    job = desk.fuse_clip(clips, FAST, tmp_path)
    assert job.done == 4
    assert any('2 left out after the other clip ends' in remark for remark in job.remarks)


def test_a_clip_that_does_not_say_how_long_it_is(clips: dict[str, Path], tmp_path: Path) -> None:
    short = Desk(Limits(frames=4), model='lure-fast', device='cpu')
    # Matroska does not say it
    both = dict(vi=clips['ir'], ir=clips['ir'].with_name('other.mkv'))
    both['ir'].write_bytes(clips['ir'].read_bytes())
    with pytest.raises(ValueError, match='the clip has 5 frames; at most 4'):
        short.fuse_clip(both, replace(FAST, trust=True), tmp_path)
    assert not list(tmp_path.glob('*fused*'))


def test_a_network_of_ones_own_comes_first(tmp_path: Path) -> None:
    own = Desk(model='lurefusion::baselines/max_ir_vi.py', device='cpu')
    assert own.models[:2] == ('own', 'lure-tiny')
    assert own.runner('own').model.method == 'max'


def test_a_network_that_only_fuses_restores_nothing(pair: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip('onnxruntime')
    pytest.importorskip('onnx')
    from lurefusion.apis import init_model
    from lurefusion.export import export_onnx

    export_onnx(init_model('lure-fast', device='cpu'), tmp_path / 'own.onnx', 'fast')
    own = Desk(model=str(tmp_path / 'own.onnx'), device='cpu')
    answer = own.fuse(pair, Wish('own', prompt='the visible image is too dark', metrics=()))
    assert answer.restored == {}
    assert answer.fused.routes['vi'].task == 'll'


def test_a_network_that_fuses_no_pairs() -> None:
    config = 'model = dict(type="BaselineFuser", modalities=("a", "b", "c"), chroma=None)\n'
    path = Path(__file__).with_name('three.py')
    try:
        path.write_text(config)
        with pytest.raises(ValueError, match='the page takes pairs; the model takes a, b, c'):
            Desk(model=str(path), device='cpu')
    finally:
        path.unlink()
