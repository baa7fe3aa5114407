"""Bad files are found before a training, by header or whole."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lurefusion.datasets.verify import check_files, check_looks, folder_config, require_good_files


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    rng = np.random.default_rng(0)
    for role in ('vi', 'ir'):
        (tmp_path / role).mkdir()
        for number in range(3):
            Image.fromarray(rng.integers(0, 256, (24, 32), np.uint8)).save(tmp_path / role / f'{number}.png')
    return {role: tmp_path / role for role in ('vi', 'ir')}


def test_good_files_are_nobodys_problem(folders):
    for decode in (False, True):
        assert check_files(folder_config(folders), decode) == []


@pytest.mark.parametrize(
    ('spoil', 'message', 'header'),
    [
        (lambda f: f.write_bytes(b'no picture'), 'not a readable image', True),
        (lambda f: f.write_bytes(b''), 'not a readable image', True),
        (lambda f: f.write_bytes(f.read_bytes()[:-40]), 'cut off|not a readable', False),
        (lambda f: Image.new('L', (32, 25)).save(f), r'one size .*32x24.*32x25 \(.*1\.png', True),
        (lambda f: Image.new('L', (32, 4)).save(f), 'at least 8x8', True),
    ],
)
def test_every_bad_file_is_named_once(folders, spoil, message, header):
    spoil(folders['ir'] / '1.png')
    # a set that stands twice in a mix
    node = dict(datasets=[folder_config(folders), dict(folder_config(folders), times=3)])
    for decode in (False, True):
        rows = check_files(node, decode)
        assert len(rows) == (1 if header or decode else 0)
        assert all(re.search(message, row) for row in rows)
    if header:
        with pytest.raises(ValueError, match=r'1 files or pairs.*\n.*1\.png'):
            require_good_files(node)


def test_a_picture_stored_lying_down_has_the_size_that_viewers_show(folders):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('L', (24, 32)).save(folders['vi'] / '1.jpg', exif=exif)
    (folders['vi'] / '1.png').unlink()
    assert check_files(folder_config(folders)) == []


def test_sets_that_are_not_on_disk_are_passed_over(tmp_path):
    assert check_files(folder_config(dict(vi=tmp_path / 'a', ir=tmp_path / 'b'))) == []


def test_what_is_no_infrared_picture_is_said(folders):
    assert check_looks(folder_config(folders), 'vi') == []
    ramp = np.tile(np.arange(32, dtype=np.uint8) * 8, (24, 1))
    Image.fromarray(np.dstack([ramp, 255 - ramp, ramp // 2])).save(folders['ir'] / '1.png')
    for every in (False, True):
        [row] = check_looks(folder_config(folders), 'vi', every)
        assert 'ir/1.png is in colour, and ir pictures have none' in row
    # a model without an owner of the colour has colours everywhere
    assert check_looks(folder_config(folders), None) == []
    (folders['ir'] / '1.png').write_bytes((folders['vi'] / '1.png').read_bytes())
    [row] = check_looks(folder_config(folders), 'vi')
    assert 'are one picture, pixel by pixel' in row
    Image.fromarray(np.full((24, 32), 7, np.uint8)).save(folders['ir'] / '1.png')
    Image.fromarray(np.full((24, 32), 7, np.uint8)).save(folders['vi'] / '1.png')
    assert check_looks(folder_config(folders), 'vi') == []
