"""Pairs of unequal size or position, brought onto one grid, through the inferencer and as typed."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from lurefusion.apis import Failure, FusionInferencer
from lurefusion.cli import main
from lurefusion.io.images import read_image, write_image
from lurefusion.runtime.alignment import Alignment, corner_distance
from lurefusion.runtime.finishing import EDGE, where_seen
from lurefusion.runtime.placement import Placement
from lurefusion.runtime.register import NotAligned

AVERAGE = 'lurefusion::baselines/average_ir_vi.py'
SHIFT = 12.0, 7.0


def picture(seed: int = 0, width: int = 160, height: int = 120, shift: tuple[float, float] = (0, 0)) -> np.ndarray:
    """Discs on a dark ground, moved by `shift` without resampling."""
    generator = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(width) - shift[0], np.arange(height) - shift[1])
    image = np.full((height, width), 40.0)
    for _ in range(60):
        centre, radius = generator.uniform((-20, -20), (180, 140)), generator.uniform(3, 14)
        level = generator.uniform(60, 240)
        inside = np.clip(radius + 0.5 - np.hypot(x - centre[0], y - centre[1]), 0, 1)
        image += inside * (level - image)
    return image.round().astype(np.uint8)


def rgb(image: np.ndarray) -> np.ndarray:
    return np.dstack([image] * 3)


@pytest.fixture
def folders(tmp_path):
    for seed in range(3):
        write_image(tmp_path / f'vi/{seed}.png', picture(seed))
        write_image(tmp_path / f'ir/{seed}.png', 255 - picture(seed, shift=SHIFT))
    # nothing to align by
    write_image(tmp_path / 'vi/a.png', np.full((120, 160), 90, np.uint8))
    write_image(tmp_path / 'ir/a.png', 255 - picture(9))
    return tmp_path


def truth() -> np.ndarray:
    return np.array([[1, 0, SHIFT[0]], [0, 1, SHIFT[1]], [0, 0, 1]])


def fuse(root, out: str, *words: str, vi: str = 'vi', ir: str = 'ir') -> int:
    pair = ['--vi', str(root / vi), '--ir', str(root / ir), '--out', str(root / out)]
    return main(['fuse', *pair, '--model', AVERAGE, '--device', 'cpu', *words])


def test_resizing_names_the_picture_that_stays():
    small = cv2.resize(picture(), (80, 60), interpolation=cv2.INTER_AREA)
    for name, shape in (('vi', (120, 160)), ('ir', (60, 80))):
        result = FusionInferencer(AVERAGE, resize=name).predict(vi=rgb(picture(1)), ir=small)
        assert result.picture.shape[:2] == shape
        assert (result.alignment, result.seen) == (None, 1.0)
    with pytest.raises(ValueError, match='aspect ratios differ: the picture vi 160x120, the picture ir 100x60'):
        FusionInferencer(AVERAGE, resize='vi')(vi=rgb(picture()), ir=np.zeros((60, 100), np.uint8))
    with pytest.raises(ValueError, match='vi 160x120, ir 80x60'):
        FusionInferencer(AVERAGE)(vi=rgb(picture()), ir=small)


def test_a_pair_is_registered_and_what_one_camera_saw_is_shown_alone():
    vi, ir = picture(), picture(shift=SHIFT)
    result = FusionInferencer(AVERAGE, register='translation').predict(vi=vi, ir=255 - ir)
    assert corner_distance(result.alignment.transform, truth(), (160, 120)) < 1
    assert (result.alignment.fixed, result.alignment.kind) == ('vi', 'translation')
    # of the visible picture, what lies SHIFT from its lower right end is in the infrared one
    assert result.seen == pytest.approx((160 - 12) * (120 - 7) / (160 * 120), abs=0.01)
    assert any('ir shows 87% of what vi shows; the rest of the result is vi alone' in note for note in result.notes)
    fused = result.to_uint8().astype(int)
    # the mean of a picture and its negative, and the picture
    assert np.abs(fused[20:60, 20:60] - 127).mean() < 4
    np.testing.assert_array_equal(fused[:, -8:], vi[:, -8:])
    np.testing.assert_array_equal(fused[-4:], vi[-4:])


def test_the_edge_between_one_and_both_is_soft():
    fused, alone = np.ones((4, 40, 3), np.float32), np.zeros((4, 40, 3), np.uint8)
    seen = np.arange(40)[None].repeat(4, 0) >= 20
    row = where_seen(fused, alone, seen)[1, :, 0]
    expected = (np.arange(40) - 19).clip(0, EDGE + 1) / (EDGE + 1)
    np.testing.assert_allclose(row, expected, atol=1e-6)
    assert where_seen(fused, alone, np.ones((4, 40), bool)) is fused


def test_what_is_shown_alone_is_restored_as_its_prompt_says():
    shipped = FusionInferencer('lure-tiny', register='translation')
    dark = (picture() * 0.3).astype(np.uint8)
    result = shipped.predict(dict(vi='ll'), vi=dark, ir=255 - picture(shift=SHIFT))
    alone = shipped.restore(dark, 'vi', 'll')
    np.testing.assert_allclose(result.to_uint8()[-4:].astype(int), alone[-4:], atol=1)
    assert alone.mean() > dark.mean() + 10


def test_chroma_is_that_of_the_restored_picture():
    vi = rgb(picture(1)) * np.array([0.3, 0.2, 0.2])
    pair = dict(vi=vi.astype(np.uint8), ir=picture(2))
    shipped = FusionInferencer('lure-tiny', chroma='visible')
    difference = shipped.predict(dict(vi='ll'), **pair).picture
    restored = shipped.restore(pair['vi'], 'vi', 'll') / 255
    inside = ((difference > 0.02) & (difference < 0.98)).all(axis=2)
    assert inside.mean() > 0.3
    red, expected = (p[..., 0] - p[..., 1] for p in (difference, restored))
    assert np.abs(red - expected)[inside].max() < 0.01
    with pytest.raises(ValueError, match="chroma must be one of fused, visible or None; got 'vi'"):
        FusionInferencer(AVERAGE, chroma='vi')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(resize='iv'), "resize must be one of vi, ir or None; got 'iv'"),
        (dict(register='rigid'), "register must be one of translation, affine, homography or None; got 'rigid'"),
    ],
)
def test_options_that_there_are_not(arguments, message):
    with pytest.raises(ValueError, match=message):
        FusionInferencer(AVERAGE, **arguments)


def test_only_pairs_are_placed():
    with pytest.raises(ValueError, match='are for pairs; the model takes a, b, c'):
        Placement(('a', 'b', 'c'), register='affine')


def test_a_file_says_which_picture_is_fixed(tmp_path):
    path = tmp_path / 't.json'
    with pytest.raises(FileNotFoundError, match=r't\.json'):
        Placement(('vi', 'ir'), transform=path)
    Alignment(truth(), 'translation', (160, 120), (160, 120), 0.5, 1.0, 'ir').save(path)
    assert Placement(('vi', 'ir'), transform=path, owner='vi').fixed == 'ir'
    for options, message in (
        (dict(resize='vi'), 'onto ir: resize=ir'),
        (dict(register='affine'), 'of the kind translation: register=translation'),
    ):
        with pytest.raises(ValueError, match=message):
            Placement(('vi', 'ir'), transform=path, **options)
    with pytest.raises(ValueError, match=r"of the modality 'ir'; the model takes mri, pet"):
        Placement(('mri', 'pet'), transform=path)
    path.write_text(path.read_text().replace('"ir"', '7'))
    with pytest.raises(ValueError, match='"fixed" is no name of a modality: 7'):
        Placement(('vi', 'ir'), transform=path)


def test_a_transform_holds_for_pictures_of_other_sizes(tmp_path):
    Alignment(truth(), 'translation', (160, 120), (160, 120), 0.5, 1.0, 'vi').save(tmp_path / 't.json')
    placed = Placement(('vi', 'ir'), transform=tmp_path / 't.json')(
        dict(vi=rgb(picture(width=320, height=240)), ir=rgb(picture(width=320, height=240)))
    )
    assert corner_distance(placed.alignment.transform, truth() + truth() - np.eye(3), (320, 240)) < 1e-9


def test_a_pair_that_cannot_be_aligned_is_its_own_failure(folders, capsys):
    inferencer = FusionInferencer(AVERAGE, register='translation')
    names = ('0', 'a', '1')
    sources = {role: [folders / role / f'{name}.png' for name in names] for role in ('vi', 'ir')}
    first, bad, last = inferencer.stream(**sources)
    assert isinstance(bad, Failure)
    assert isinstance(bad.error, NotAligned)
    assert f'vi ({folders / "vi/a.png"}) and ir' in str(bad.error)
    assert first.alignment is not last.alignment
    assert fuse(folders, 'out', '--register', 'translation', '--json') == 1
    lines = {line['name']: line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    assert lines['a']['status'] == 'failed'
    assert 'not aligned' in lines['a']['error']
    for name in '012':
        found = lines[name]['alignment']
        assert (found['kind'], found['seen']) == ('translation', pytest.approx(0.87, abs=0.01))
        assert found['confidence'] > 0.75
        assert found['residual'] < 1
    assert not (folders / 'out/a.png').exists()


def test_one_transform_for_a_folder_is_written_once_and_used_again(folders, capsys):
    words = ['--register', 'translation', '--transform', str(folders / 't.json')]
    assert fuse(folders, 'out', *words[2:]) == 1
    assert 'no such file of an alignment' in capsys.readouterr().err
    assert fuse(folders, 'out', *words, '--shard', '1/2') == 1
    assert 'fuse one pair first' in capsys.readouterr().err
    assert fuse(folders, 'out', *words) == 0
    assert Alignment.load(folders / 't.json').fixed == 'vi'
    written = (folders / 't.json').read_bytes()
    # the pair that has nothing to align by is fused by the transform of the others
    assert read_image(folders / 'out/a.png')[0].shape == (120, 160, 3)
    assert fuse(folders, 'out', *words) == 0
    assert '4 unchanged' in capsys.readouterr().out
    assert fuse(folders, 'out') == 1
    assert 'made otherwise' in capsys.readouterr().err
    # for one pair, it is said
    assert fuse(folders, 'one.png', '--transform', words[3], vi='vi/0.png', ir='ir/0.png') == 0
    assert 'aligned: translation, corners within ' in (out := capsys.readouterr().out)
    assert '87 % of the pixels seen by both' in out
    np.testing.assert_array_equal(read_image(folders / 'one.png')[0], read_image(folders / 'out/0.png')[0])
    assert (folders / 't.json').read_bytes() == written
    # in a stream, the first that succeeds makes it
    made = FusionInferencer(AVERAGE, register='translation', transform=folders / 'u.json')
    sources = {role: [folders / role / f'{name}.png' for name in ('a', '0', '1')] for role in ('vi', 'ir')}
    bad, first, second = made.stream(**sources)
    assert isinstance(bad, Failure)
    np.testing.assert_array_equal(first.alignment.transform, second.alignment.transform)
    assert (folders / 'u.json').is_file()


def test_nothing_is_written_where_no_pair_can_be_aligned(folders, capsys):
    for path in folders.glob('*/[0-9].png'):
        path.unlink()
    assert fuse(folders, 'out', '--register', 'affine', '--transform', str(folders / 't.json')) == 1
    assert 'none of 1 pairs could be aligned; the last: not aligned' in capsys.readouterr().err
    assert sorted(path.name for path in folders.iterdir()) == ['ir', 'vi']


def test_a_clip_has_one_transform(folders, capsys):
    for role in ('vi', 'ir'):
        (folders / role / 'a.png').unlink()
    pytest.importorskip('av')
    assert fuse(folders, 'clip.mkv', '--register', 'translation', '--resize', 'ir', '--json') == 0
    captured = capsys.readouterr()
    report = json.loads(captured.out.splitlines()[-1])
    assert report['frames'] == 3
    assert report['alignment']['kind'] == 'translation'
    assert 'aligned: translation' in captured.err
    assert not list(folders.glob('*.json'))
