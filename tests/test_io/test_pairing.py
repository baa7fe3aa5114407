"""Files as they are named in the world: which belong together, and what is said about those that do not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lurefusion.io.pairing import list_images, pair_files

SUFFIX_MARK = dict(vi='{id}_vis', ir='{id}_ir')


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'')
    return folder


def named(pairs: dict[str, dict[str, Path]], root: Path) -> dict[str, tuple[str, ...]]:
    return {name: tuple(p.relative_to(root).as_posix() for p in files.values()) for name, files in pairs.items()}


@pytest.mark.parametrize(
    ('vi', 'ir', 'patterns', 'expected'),
    [
        # marks behind, before and in the middle of the name
        (['1_vis.png', '2_vis.png'], ['2_ir.png', '1_ir.jpg'], ('{id}_vis', '{id}_ir'), ['1', '2']),
        (['VIS0012.bmp'], ['IR0012.PNG'], ('VIS{id}', 'IR{id}'), ['0012']),
        (['day_vis_01.png', 'day_vis_02.png'], ['day_ir_01.png', 'day_ir_02.png'],
         ('{scene}_vis_{n}', '{scene}_ir_{n}'), ['day_01', 'day_02']),
        # another order of the words
        (['07-night.png'], ['night-07.png'], ('{n}-{scene}', '{scene}-{n}'), ['07_night']),
        # what cannot be known, such as the hash of FLIR ADAS v2
        (['video-A-frame-000816-b6tu.jpg'], ['video-A-frame-000816-Zq12.jpg'], ('{id}-*', '{id}-*'),
         ['video-A-frame-000816']),
        # marks in upper case
        (['A_VIS.PNG'], ['A_Ir.TIF'], ('{id}_vis', '{id}_ir'), ['A']),
        # sub-folders are a part of the name
        (['d1/1_vis.png', 'd2/1_vis.png'], ['d1/1_ir.png', 'd2/1_ir.png'], ('{id}_vis', '{id}_ir'), ['d1/1', 'd2/1']),
        # volumes that are packed have two suffixes
        (['1_t1.nii.gz', '2_t1.nii'], ['1_t2.nii', '2_t2.nii.gz'], ('{id}_t1', '{id}_t2'), ['1', '2']),
        (['1_t1.nii.gz'], ['1_t2.nii'], ('{id}_t1.nii.gz', '{id}_t2.nii'), ['1']),
        # characters that mean something in regular expressions
        (['a(1)+.png'], ['a(1).png'], ('{id}+', '{id}'), ['a(1)']),
    ],
)  # fmt: skip
def test_names_of_two_folders_by_patterns(tmp_path, vi, ir, patterns, expected):
    folders = dict(vi=touch(tmp_path / 'v', *vi), ir=touch(tmp_path / 'i', *ir))
    found = pair_files(folders, patterns=dict(zip(folders, patterns, strict=True)))
    assert list(found.pairs) == expected
    assert found.unpaired == {}
    assert {f.relative_to(folders['vi']).as_posix() for files in found.pairs.values() for f in [files['vi']]} == set(vi)
    assert {f.relative_to(folders['ir']).as_posix() for files in found.pairs.values() for f in [files['ir']]} == set(ir)


def test_flir_in_one_folder_by_its_two_suffixes(tmp_path):
    touch(tmp_path, 'FLIR_00001.jpg', 'FLIR_00001.jpeg', 'FLIR_00002.JPG', 'FLIR_00002.jpeg')
    found = pair_files(dict(vi=tmp_path, ir=tmp_path), patterns=dict(vi='{id}.jpg', ir='{id}.jpeg'))
    assert named(found.pairs, tmp_path) == {
        'FLIR_00001': ('FLIR_00001.jpg', 'FLIR_00001.jpeg'),
        'FLIR_00002': ('FLIR_00002.JPG', 'FLIR_00002.jpeg'),
    }
    # in two folders the stems are enough
    folders = dict(vi=touch(tmp_path / 'v', 'FLIR_1.JPG'), ir=touch(tmp_path / 'i', 'FLIR_1.jpeg'))
    assert list(pair_files(folders).pairs) == ['FLIR_1']


def test_kaist_in_one_tree_by_the_whole_path(tmp_path):
    names = [
        f'set0{s}/V00{v}/{m}/I0000{n}.jpg' for s in (0, 1) for v in (0, 1) for m in ('visible', 'lwir') for n in (1, 2)
    ]
    touch(tmp_path, *names)
    patterns = dict(vi='{seq}/visible/{id}', ir='{seq}/lwir/{id}')
    found = pair_files(dict(vi=tmp_path, ir=tmp_path), patterns=patterns)
    assert len(found.pairs) == 8
    assert named(found.pairs, tmp_path)['set01/V000/I00002'] == (
        'set01/V000/visible/I00002.jpg', 'set01/V000/lwir/I00002.jpg')  # fmt: skip


def test_what_does_not_pair_is_listed_and_may_be_allowed(tmp_path):
    folders = dict(vi=touch(tmp_path / 'v', 'a.png', 'b.png', 'c.png'), ir=touch(tmp_path / 'i', 'a.png', 'z.png'))
    with pytest.raises(FileNotFoundError) as caught:
        pair_files(folders)
    assert f'vi ({tmp_path / "v"}) has no file for 1 of 4 stems: z' in str(caught.value)
    assert 'for 2 of 4 stems: b, c' in str(caught.value)
    assert '--allow-unpaired (allow_unpaired=True) goes on with the 1 that are whole' in str(caught.value)
    found = pair_files(folders, allow_unpaired=True)
    assert list(found.pairs) == ['a']
    assert found.unpaired == dict(vi=['b', 'c'], ir=['z'])


def test_with_patterns_names_that_match_none_are_listed_too(tmp_path):
    folders = dict(
        vi=touch(tmp_path / 'v', '1_vis.png', '2_vis.png', 'notes.png'), ir=touch(tmp_path / 'i', '1_ir.png')
    )
    with pytest.raises(FileNotFoundError) as caught:
        pair_files(folders, patterns=SUFFIX_MARK)
    assert "has 1 files that do not match '{id}_vis': notes.png" in str(caught.value)
    assert 'has no file for 1 of 2 names: 2' in str(caught.value)
    found = pair_files(folders, patterns=SUFFIX_MARK, allow_unpaired=True)
    assert list(found.pairs) == ['1']
    assert found.unpaired == dict(vi=['2', 'notes.png'])


def test_where_nothing_pairs_there_is_nothing_to_go_on_with(tmp_path):
    folders = dict(vi=touch(tmp_path / 'v', 'a.png'), ir=touch(tmp_path / 'i', 'b.png'))
    with pytest.raises(FileNotFoundError) as caught:
        pair_files(folders, allow_unpaired=True)
    assert 'allow-unpaired' not in str(caught.value)


def test_in_one_folder_the_patterns_tell_the_modalities_apart(tmp_path):
    touch(tmp_path, '1_vis.png', '1_ir.png', 'readme.png')
    both = dict(vi=tmp_path, ir=tmp_path)
    with pytest.raises(FileNotFoundError, match=r'do not match .*: readme\.png'):
        pair_files(both, patterns=SUFFIX_MARK)
    (tmp_path / 'readme.png').unlink()
    assert list(pair_files(both, patterns=SUFFIX_MARK).pairs) == ['1']
    with pytest.raises(ValueError, match=r'vi and ir would both take .*1_ir\.png: in one folder the patterns must'):
        pair_files(both, patterns=dict(vi='{id}', ir='{id}_ir'))


@pytest.mark.parametrize(
    ('patterns', 'message'),
    [
        (dict(vi='{id}'), 'give a pattern for each of vi, ir; there are patterns for vi'),
        (dict(vi='vis', ir='{id}'), "the pattern 'vis' of vi needs a word in braces"),
        (dict(vi='{id}', ir='{id}_{id}'), 'each once'),
        (dict(vi='{id', ir='{id}'), 'needs a word in braces'),
        (dict(vi='{id}', ir='{name}'), 'must have the same words in braces, got vi={id}, ir={name}'),
        (dict(vi='*{id}_vis', ir='{id}_ir'), 'gives two images of .* one name, 1: '),
    ],
)
def test_patterns_that_make_no_sense(tmp_path, patterns, message):
    folders = dict(vi=touch(tmp_path / 'v', 'a1_vis.png', 'b1_vis.png'), ir=touch(tmp_path / 'i', '1_ir.png'))
    with pytest.raises(ValueError, match=message):
        pair_files(folders, patterns=patterns)


def test_sub_folders_only_where_they_are_asked_for(tmp_path):
    folders = dict(vi=touch(tmp_path / 'v', 'd/a.png'), ir=touch(tmp_path / 'i', 'd/a.png'))
    assert list(pair_files(folders).pairs) == ['d/a']
    with pytest.raises(ValueError, match=r'no image in .*; 1 lie in its sub-folders: --recursive takes them'):
        pair_files(folders, recursive=False)
    touch(tmp_path, 'v/b.png', 'i/b.png')
    assert list(pair_files(folders, recursive=False).pairs) == ['b']
    assert list(list_images(tmp_path / 'v')) == ['b', 'd/a']


@pytest.mark.parametrize(
    ('a', 'b'),
    [('001_vis', '001_ir'), ('VIS0012', 'IR0012'), ('seq_vis_01', 'seq_ir_01'), ('FLIR_1_RGB', 'FLIR_1_thermal')],
)
def test_the_advice_is_an_option_that_works(tmp_path, a, b):
    folders = dict(vi=touch(tmp_path / 'v', f'{a}.png'), ir=touch(tmp_path / 'i', f'{b}.png'))
    with pytest.raises(FileNotFoundError, match='or say how they are named') as caught:
        pair_files(folders)
    _, one, _, two, _ = str(caught.value).split('--pair')[1].split("'")
    assert len(pair_files(folders, patterns=dict(vi=one, ir=two)).pairs) == 1


def test_scenes_of_other_numbers_are_no_pair(tmp_path):
    for role, numbers in (('vi', range(5)), ('ir', range(1, 6))):
        for number in numbers:
            (tmp_path / role).mkdir(exist_ok=True)
            (tmp_path / role / f'p{number}.png').touch()
    with pytest.raises(FileNotFoundError) as error:
        pair_files({role: tmp_path / role for role in ('vi', 'ir')})
    assert 'look like a pair' not in str(error.value)


def test_links_are_followed_and_what_leads_nowhere_is_listed(tmp_path):
    touch(tmp_path / 'real', 'd1/0.png', 'd1/1.png')
    touch(tmp_path / 'vi', 'd0/0.png')
    (tmp_path / 'vi/d1').symlink_to(tmp_path / 'real/d1')
    # twice the same folder is no loop; the folder above is
    (tmp_path / 'vi/d2').symlink_to(tmp_path / 'real/d1')
    (tmp_path / 'vi/d0/up').symlink_to(tmp_path / 'vi')
    (tmp_path / 'vi/gone.png').symlink_to(tmp_path / 'nowhere.png')
    (tmp_path / 'vi/itself').symlink_to('itself')
    assert list(list_images(tmp_path / 'vi')) == ['d0/0', 'd1/0', 'd1/1', 'd2/0', 'd2/1', 'gone']


@pytest.mark.skipif(os.geteuid() == 0, reason='root may read everything')
def test_a_folder_that_may_not_be_read_is_no_empty_one(tmp_path):
    touch(tmp_path / 'vi', 'a/0.png', 'b/1.png')
    (tmp_path / 'vi/b').chmod(0)
    try:
        with pytest.raises(PermissionError, match='vi/b'):
            list_images(tmp_path / 'vi')
    finally:
        (tmp_path / 'vi/b').chmod(0o755)


def test_two_scenes_are_not_paired_by_words_that_read_alike(tmp_path):
    vi, ir = touch(tmp_path / 'vi', '1_2-3_v.png'), touch(tmp_path / 'ir', '1-2_3_t.png')
    patterns = dict(vi='{seq}-{id}_v', ir='{seq}-{id}_t')
    with pytest.raises(ValueError, match='two scenes have one name, 1_2_3'):
        pair_files(dict(vi=vi, ir=ir), patterns=patterns)
    touch(tmp_path / 'ir', '1_2-3_t.png')
    (tmp_path / 'ir/1-2_3_t.png').unlink()
    assert list(pair_files(dict(vi=vi, ir=ir), patterns=patterns).pairs) == ['1_2_3']


def test_pictures_of_kinds_that_are_not_read_are_named(tmp_path):
    vi, ir = (touch(tmp_path / name, '1.png', '2.pgm', 'notes.txt') for name in ('vi', 'ir'))
    assert pair_files(dict(vi=vi, ir=ir)).unread == dict(vi=['2.pgm'], ir=['2.pgm'])
