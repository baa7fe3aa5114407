"""ZIP archives of strangers: every name and number in one is taken for a lie until it has been looked at."""

from __future__ import annotations

import csv
import lzma
import os
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from lurefusion.io.images import READ_SUFFIXES
from lurefusion.page.limits import MEGA, Limits
from lurefusion.runtime.jobs import FolderReport

#: unpacked over packed bytes beyond which a large file is a bomb; pictures are packed already
RATIO, SMALL = 100, MEGA
#: unpacked bytes over `Limits.archive_mb`
UNPACKED = 4
#: folders within folders
DEEPEST = 8
# what systems and file managers add
_LITTER = re.compile(r'(^|/)(__MACOSX/|\.|Thumbs\.db$|desktop\.ini$)', flags=re.IGNORECASE)
_INNER = ('.zip', '.7z', '.rar', '.tar', '.gz', '.tgz', '.bz2', '.xz', '.zst')
_BLOCK = 1 << 18


def unpack_pictures(
    archive: str | os.PathLike, folder: str | os.PathLike, limits: Limits
) -> tuple[list[str], list[str], dict[str, str]]:
    """Unpack the pictures of a ZIP archive, if the archive is in order, and check each by its header.

    Args:
        archive: The file.
        folder: Where they go; the folders of the archive are kept.
        limits: What is refused.

    Returns:
        Names of the pictures, with their folders, sorted; names of other files, which are left out; and of what is no
        picture, or too large a one, what is wrong with it: that is removed again.

    Raises:
        FileNotFoundError: If it is gone.
        ValueError: Names the archive, the file in it and what is wrong.
    """
    archive, folder = Path(archive), Path(folder)
    limits.check_size(archive, limits.archive_mb)
    try:
        with zipfile.ZipFile(archive) as file:
            entries = _checked(file.infolist(), archive.name, limits)
            pictures = [entry for entry in entries if _suffix(entry) in READ_SUFFIXES]
            others = sorted(entry.filename for entry in entries if _suffix(entry) not in READ_SUFFIXES)
            if not pictures:
                raise ValueError(f'{archive.name} holds no pictures ({", ".join(READ_SUFFIXES)})')
            if len(pictures) > limits.files:
                raise ValueError(f'{archive.name} holds {len(pictures)} pictures; at most {limits.files} are taken')
            bad = {}
            for entry in pictures:
                target = folder / entry.filename
                _unpack(file, entry, target, archive.name)
                try:
                    limits.check_picture(target)
                except ValueError as error:
                    bad[entry.filename] = str(error).removeprefix(f'{target.name} ')
                    target.unlink()
    except (zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        # bzip2's complaint of its data is an error of the system without a number
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f'{archive.name} is no ZIP archive, or a damaged one: {error}') from None
    except NotImplementedError:
        raise ValueError(
            f'{archive.name} is packed in a way that is not read here: pack it as an ordinary ZIP'
        ) from None
    return sorted(entry.filename for entry in pictures if entry.filename not in bad), others, bad


def _suffix(entry: zipfile.ZipInfo) -> str:
    return PurePosixPath(entry.filename).suffix.lower()


def _checked(entries: Iterable[zipfile.ZipInfo], archive: str, limits: Limits) -> list[zipfile.ZipInfo]:
    """The files of an archive without folders and litter; ValueError if one of them, or their sum, is not in order."""
    files: dict[str, zipfile.ZipInfo] = {}
    entries = list(entries)
    # also what is left out has to be listed
    if len(entries) > 20 * limits.files:
        raise ValueError(f'{archive} lists {len(entries)} files; at most {limits.files} pictures are taken')
    for entry in entries:
        # as it stands in the archive: the module cuts names at a zero byte and turns separators round
        problem = _name_problem(entry.orig_filename) or _entry_problem(entry)
        if problem:
            raise ValueError(f'{archive}: {_shown(entry.orig_filename)} {problem}')
        if entry.is_dir() or _LITTER.search(entry.filename):
            continue
        # one place on disks that know no difference of case
        place = str(PurePosixPath(entry.filename)).casefold()
        if place in files:
            raise ValueError(f'{archive}: {_shown(entry.filename)} is in it twice')
        files[place] = entry
    for place, entry in files.items():
        if any(str(parent) in files for parent in PurePosixPath(place).parents):
            raise ValueError(f'{archive}: {_shown(entry.filename)} lies in a folder that is also a file')
    total, most = sum(entry.file_size for entry in files.values()), UNPACKED * limits.archive_mb
    if total > most * MEGA:
        raise ValueError(f'{archive} has {total / MEGA:.0f} MB when it is unpacked; at most {most:g} MB are taken')
    return list(files.values())


def _name_problem(name: str) -> str | None:
    parts = PurePosixPath(name).parts
    if name.startswith(('/', '\\')) or re.match(r'[A-Za-z]:', name):
        return 'is an absolute path; names have to be relative to the archive'
    if '\\' in name:
        return 'has a backslash in its name; folders are separated by /'
    if '..' in parts:
        return 'leads out of the archive (..)'
    if any(ord(char) < 32 or ord(char) == 127 for char in name):
        return 'has control characters in its name'
    if len(name) > 200 or len(parts) > DEEPEST:
        return f'has a name that is too long, or lies more than {DEEPEST} folders deep'
    return None


def _entry_problem(entry: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return 'is a symbolic link; put the picture itself into the archive'
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return 'is a device or the like, no picture'
    if entry.flag_bits & 0x41:
        return 'is encrypted; pack it without a password'
    if not _LITTER.search(entry.filename) and _suffix(entry) in _INNER:
        return 'is an archive in the archive; unpack it before'
    if entry.file_size > SMALL and entry.file_size > RATIO * max(entry.compress_size, 1):
        return (
            f'unpacks to {entry.file_size / max(entry.compress_size, 1):.0f} times its size, as a ZIP bomb does; at '
            f'most {RATIO} times are taken'
        )
    return None


def _unpack(file: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, archive: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    left = entry.file_size
    with file.open(entry) as source, target.open('xb') as out:
        while block := source.read(_BLOCK):
            left -= len(block)
            if left < 0:
                raise ValueError(f'{archive}: {_shown(entry.filename)} is larger than the archive says')
            out.write(block)
    if left:
        raise ValueError(f'{archive}: {_shown(entry.filename)} is cut off')


def _shown(name: str) -> str:
    short = name if len(name) <= 80 else f'{name[:77]}...'
    return repr(short)


def pack(folder: str | os.PathLike, archive: str | os.PathLike) -> Path:
    """A ZIP archive of all files of a folder but hidden ones, as they are: pictures do not shrink further."""
    folder, archive = Path(folder), Path(archive)
    with zipfile.ZipFile(archive, 'w', zipfile.ZIP_STORED) as file:
        for path in sorted(folder.rglob('*')):
            name = path.relative_to(folder).as_posix()
            if path.is_file() and not _LITTER.search(name):
                with path.open('rb') as source, file.open(zipfile.ZipInfo.from_file(path, name), 'w') as out:
                    shutil.copyfileobj(source, out)
    return archive


def write_report(
    path: Path, report: FolderReport, errors: Mapping[str, str], remarks: Mapping[str, Sequence[str]]
) -> None:
    """A table of what became of each pair: names, tasks, what went wrong or looks wrong."""
    with path.open('w', newline='', encoding='utf-8') as file:
        rows = csv.writer(file)
        rows.writerow(('name', 'status', 'tasks', 'notes'))
        for name in sorted([*report.done, *errors]):
            tasks = ' '.join(f'{key}={route.task}' for key, route in report.routes.get(name, {}).items())
            notes = '; '.join([*([errors[name]] if name in errors else []), *remarks.get(name, [])])
            rows.writerow((name, 'failed' if name in errors else 'done', tasks, notes))
