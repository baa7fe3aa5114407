"""Archives of strangers: each trick ends in one clear error, before anything is written outside or decoded."""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from lurefusion.page.archives import pack, unpack_pictures
from lurefusion.page.limits import Limits

PNG = cv2.imencode('.png', np.random.default_rng(0).integers(0, 256, (16, 20), np.uint8))[1].tobytes()
SMALL = Limits(archive_mb=1, picture_mb=0.5, megapixels=0.01, files=3)


def archive_of(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, 'w', compression) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def with_entry(path: Path, change: Callable[[zipfile.ZipInfo], None], data: bytes = PNG) -> Path:
    entry = zipfile.ZipInfo('vi/a.png')
    change(entry)
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr(entry, data)
    return path


def test_pictures_come_out_and_nothing_else(tmp_path: Path) -> None:
    files = {
        'x/vi/a.png': PNG,
        'x/ir/a.png': PNG,
        'x/notes.txt': b'hello',
        '__MACOSX/x/vi/._a.png': b'',
        '.DS_Store': b'',
    }
    names, others, bad = unpack_pictures(archive_of(tmp_path / 'a.zip', files), tmp_path / 'out', Limits())
    assert names == ['x/ir/a.png', 'x/vi/a.png']
    assert others == ['x/notes.txt']
    assert bad == {}
    found = {path.relative_to(tmp_path / 'out').as_posix() for path in (tmp_path / 'out').rglob('*') if path.is_file()}
    assert found == set(names)
    assert (tmp_path / 'out/x/vi/a.png').read_bytes() == PNG


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('../a.png', r'leads out of the archive'),
        ('vi/../../a.png', r'leads out of the archive'),
        ('/etc/a.png', r'absolute path'),
        ('C:/a.png', r'absolute path'),
        ('C:a.png', r'absolute path'),
        ('vi\\..\\a.png', r'backslash'),
        ('\\\\host\\a.png', r'absolute path'),
        ('vi/a\n.png', r'control characters'),
        ('vi/' + 'a' * 300 + '.png', r'too long'),
        ('a/' * 9 + 'a.png', r'folders deep'),
        ('vi/inner.zip', r'archive in the archive'),
        ('vi/inner.tar.gz', r'archive in the archive'),
    ],
)
def test_names_that_lead_elsewhere(tmp_path: Path, name: str, message: str) -> None:
    path = archive_of(tmp_path / 'bad.zip', {'vi/good.png': PNG, name: PNG})
    with pytest.raises(ValueError, match=rf'^bad\.zip: .*{message}'):
        unpack_pictures(path, tmp_path / 'deep/out', Limits())
    assert {each.name for each in tmp_path.rglob('*')} <= {'bad.zip', 'deep', 'out'}


def test_a_name_that_is_cut_at_a_zero_byte(tmp_path: Path) -> None:
    path = archive_of(tmp_path / 'bad.zip', {'vi/a.png_b.exe': PNG})
    path.write_bytes(path.read_bytes().replace(b'a.png_b', b'a.png\0b'))
    with pytest.raises(ValueError, match='control characters'):
        unpack_pictures(path, tmp_path / 'out', Limits())


def as_link(entry: zipfile.ZipInfo) -> None:
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16


def as_device(entry: zipfile.ZipInfo) -> None:
    entry.create_system, entry.external_attr = 3, (stat.S_IFCHR | 0o666) << 16


@pytest.mark.parametrize(('change', 'message'), [(as_link, 'symbolic link'), (as_device, 'device')])
def test_entries_that_are_no_files(tmp_path: Path, change: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        unpack_pictures(with_entry(tmp_path / 'bad.zip', change, b'/etc/passwd'), tmp_path / 'out', Limits())
    assert not (tmp_path / 'out').exists()


def test_encrypted(tmp_path: Path) -> None:
    path = archive_of(tmp_path / 'bad.zip', {'vi/a.png': PNG}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    # the flag stands in the header of the file and in the list at the end
    data[6] |= 1
    data[data.index(b'PK\1\2') + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match='encrypted'):
        unpack_pictures(path, tmp_path / 'out', Limits())


def test_a_bomb_by_its_ratio(tmp_path: Path) -> None:
    path = archive_of(tmp_path / 'bomb.zip', {'vi/a.bmp': bytes(4 << 20)})
    assert path.stat().st_size < 10_000
    with pytest.raises(ValueError, match=r'unpacks to \d+ times its size, as a ZIP bomb'):
        unpack_pictures(path, tmp_path / 'out', Limits())
    assert not (tmp_path / 'out').exists()


def test_a_bomb_by_its_sum(tmp_path: Path) -> None:
    # each is below the size from which the ratio counts
    path = archive_of(tmp_path / 'bomb.zip', {f'vi/{number}.bmp': bytes(1 << 20) for number in range(5)})
    with pytest.raises(ValueError, match=r'has 5 MB when it is unpacked; at most 4 MB'):
        unpack_pictures(path, tmp_path / 'out', SMALL)


def test_a_list_that_lies_about_sizes(tmp_path: Path) -> None:
    path = archive_of(tmp_path / 'lie.zip', {'vi/a.bmp': bytes(1 << 20)})
    data = bytearray(path.read_bytes())
    listed = data.index(b'PK\1\2')
    data[listed + 24 : listed + 28] = (1000).to_bytes(4, 'little')
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r'lie\.zip'):
        unpack_pictures(path, tmp_path / 'out', Limits())
    written = tmp_path / 'out/vi/a.bmp'
    assert not written.exists() or written.stat().st_size <= 1000


def test_too_many(tmp_path: Path) -> None:
    path = archive_of(tmp_path / 'many.zip', {f'vi/{number}.png': PNG for number in range(4)})
    with pytest.raises(ValueError, match='holds 4 pictures; at most 3'):
        unpack_pictures(path, tmp_path / 'out', SMALL)
    path = archive_of(tmp_path / 'crowd.zip', {f'{number}.txt': b'' for number in range(61)})
    with pytest.raises(ValueError, match='lists 61 files'):
        unpack_pictures(path, tmp_path / 'out', SMALL)


def test_two_files_of_one_place(tmp_path: Path) -> None:
    path = archive_of(tmp_path / 'twice.zip', {'vi/A.png': PNG, 'vi/a.png': PNG})
    with pytest.raises(ValueError, match='twice'):
        unpack_pictures(path, tmp_path / 'out', Limits())
    path = archive_of(tmp_path / 'both.zip', {'vi.png': PNG, 'vi.png/a.png': PNG})
    with pytest.raises(ValueError, match='folder that is also a file'):
        unpack_pictures(path, tmp_path / 'out', Limits())


def test_pixels_are_counted_before_they_are_decoded(tmp_path: Path) -> None:
    huge = bytearray(PNG)
    huge[16:24] = (50_000).to_bytes(4, 'big') * 2
    huge[29:33] = zlib.crc32(huge[12:29]).to_bytes(4, 'big')
    path = archive_of(tmp_path / 'huge.zip', {'vi/a.png': bytes(huge), 'vi/b.png': PNG, 'vi/c.png': b'text'})
    names, _, bad = unpack_pictures(path, tmp_path / 'out', Limits())
    assert names == ['vi/b.png']
    assert list(bad) == ['vi/a.png', 'vi/c.png']
    assert bad['vi/a.png'].startswith('has too many pixels')
    assert bad['vi/c.png'].startswith('cannot be read as a picture')
    assert [file.name for file in (tmp_path / 'out/vi').iterdir()] == ['b.png']


@pytest.mark.parametrize('data', [b'', b'not a zip', b'PK\3\4' + bytes(60)])
def test_no_archive(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / 'a.zip'
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r'a\.zip is (empty|no ZIP archive)'):
        unpack_pictures(path, tmp_path / 'out', Limits())


def test_a_damaged_one(tmp_path: Path) -> None:
    path = archive_of(tmp_path / 'a.zip', {'vi/a.png': PNG}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[100] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r'a\.zip is no ZIP archive, or a damaged one: Bad CRC'):
        unpack_pictures(path, tmp_path / 'out', Limits())


@pytest.mark.parametrize('packing', [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_packing(tmp_path: Path, packing: int) -> None:
    path = archive_of(tmp_path / 'a.zip', {'vi/a.png': PNG * 50}, packing)
    data = bytearray(path.read_bytes())
    for at in range(60, 80):
        data[at] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r'a\.zip is no ZIP archive, or a damaged one'):
        unpack_pictures(path, tmp_path / 'out', Limits())


def test_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'holds no pictures \(\.png'):
        unpack_pictures(archive_of(tmp_path / 'a.zip', {'a.pkl': b'x', 'b.nii': b'y'}), tmp_path / 'out', Limits())


def test_pack_takes_everything_but_hidden_files(tmp_path: Path) -> None:
    for name in ('a.png', 'sub/b.png', '.lurefusion/shard.jsonl'):
        (tmp_path / 'in' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'in' / name).write_bytes(name.encode())
    with zipfile.ZipFile(io.BytesIO(pack(tmp_path / 'in', tmp_path / 'out.zip').read_bytes())) as file:
        assert {name: file.read(name) for name in file.namelist()} == {'a.png': b'a.png', 'sub/b.png': b'sub/b.png'}
