"""Which files belong together, and where results may go."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import combinations, product, takewhile
from pathlib import Path, PurePosixPath
from typing import Any

from lurefusion.io.images import READ_SUFFIXES, check_suffix
from lurefusion.io.slices import is_slice

_SEPARATORS = '_-. '
#: of pictures that other programs read
OTHER_SUFFIXES = (
    '.gif', '.jfif', '.jpe', '.jp2', '.j2k', '.jxl', '.pgm', '.ppm', '.pbm', '.pnm', '.tga', '.exr', '.hdr', '.heic',
    '.heif', '.avif', '.dng', '.cr2', '.nef', '.arw', '.raw', '.psd', '.fits',
)  # fmt: skip


def check_output(path: str | os.PathLike, folder: bool = False, bit_depth: int = 8) -> None:
    """Refuse a path that could not be written, before the work is done whose result it takes.

    Args:
        path: A picture, or with `folder` the folder for pictures.
        folder: See `path`.
        bit_depth: Of the picture.

    Raises:
        ValueError: On an unknown suffix of a picture, or one that does not have this depth.
        IsADirectoryError: If a folder stands where the picture should be.
        NotADirectoryError: If a file stands where a folder should be.
        PermissionError: If the folder may not be written to.
    """
    path = Path(path)
    if not folder:
        check_suffix(path, bit_depth)
        if path.is_dir():
            raise IsADirectoryError(f'cannot write {path}: it is a folder')
    place = path if folder else path.parent
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise NotADirectoryError(f'cannot write {path}: {place} is a file, not a folder')
    if not os.access(place, os.W_OK | os.X_OK):
        raise PermissionError(f'cannot write {path}: no permission to write in {place}')


def refuse_overwrite(outputs: Iterable[str | os.PathLike], inputs: Iterable[str | os.PathLike]) -> None:
    """Refuse outputs (files or folders) that are inputs under whatever name: links, ``..``, upper and lower case.

    Raises:
        ValueError: Names the output and the input.
    """
    known = {}
    for path in inputs:
        if os.path.exists(path):
            status = os.stat(path)
            known[status.st_dev, status.st_ino] = path
    for path in outputs:
        if os.path.exists(path):
            status = os.stat(path)
            same = known.get((status.st_dev, status.st_ino))
            if same is not None:
                raise ValueError(f'the output {path} is the input {same}: choose another place, nothing was written')


def refuse_inside(out: Path, folders: Mapping[str, str | os.PathLike]) -> None:
    """Refuse an output that is an input, or lies inside of one.

    Raises:
        ValueError: Names both.
    """
    refuse_overwrite([out], folders.values())
    for folder in folders.values():
        # folders are read with what lies in them, so that the results would be sources of the next run
        if Path(folder).is_dir() and Path(folder).resolve() in Path(out).resolve().parents:
            raise ValueError(f'the output {out} lies in the input {folder}: choose a place beside it')


def list_images(folder: str | os.PathLike, recursive: bool = True) -> dict[str, Path]:
    """Image files below a folder by stem, sorted; in sub-folders the stem keeps the folder (``drive_1/0001``).

    Hidden files and whatever lies in hidden folders is left out.

    Args:
        folder: The folder.
        recursive: Look into sub-folders too.

    Raises:
        FileNotFoundError: If the folder does not exist.
        ValueError: If it holds no image, or two images of one stem.
    """
    files: dict[str, Path] = {}
    for inner, path in _image_files(folder, recursive).items():
        # one accented letter may be stored as two characters, by some systems always
        stem = unicodedata.normalize('NFC', without_suffix(inner))
        if stem in files:
            raise ValueError(
                f'two images of one stem in {folder}: {files[stem].name} and {path.name}; keep one of them there'
            )
        files[stem] = path
    return files


def _image_files(folder: str | os.PathLike, recursive: bool) -> dict[str, Path]:
    """Image files by their path inside of the folder, sorted by path."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'no such folder: {folder}{" (it is a file)" if folder.exists() else ""}')
    found = {path.relative_to(folder).as_posix(): path for path in _walk(folder, recursive)}
    if not found:
        deeper = 0 if recursive else sum(1 for _ in _walk(folder, True))
        hint = f'; {deeper} lie in its sub-folders: --recursive takes them' if deeper else ''
        raise ValueError(f'no image in {folder} (looked for {", ".join(READ_SUFFIXES)}){hint}')
    return found


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in READ_SUFFIXES or is_slice(path)


def _is_other_image(path: Path) -> bool:
    return path.suffix.lower() in OTHER_SUFFIXES


def _walk(
    folder: Path,
    recursive: bool,
    above: tuple[tuple[int, int], ...] = (),
    wanted: Callable[[Path], bool] = _is_image,
) -> Iterator[Path]:
    """Image files that are not hidden, sorted; links are followed, and one that leads nowhere is a file to fail."""
    status = os.stat(folder)
    place = (status.st_dev, status.st_ino)
    # a link to a folder above
    if place in above:
        return
    with os.scandir(folder) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        if entry.name.startswith('.'):
            continue
        path = folder / entry.name
        # of a link that leads to itself, the entry would raise
        if path.is_dir():
            if recursive:
                yield from _walk(path, True, (*above, place), wanted)
        elif wanted(path) and (path.is_file() or path.is_symlink()):
            yield path


@dataclass(frozen=True)
class Pairing:
    """What belongs together, and what was left without a partner.

    Attributes:
        pairs: Name -> role -> file, sorted by name; names keep sub-folders (``drive_1/0001``).
        unpaired: Role -> names that the role has and another role lacks, or (with patterns) files that match none.
        unread: Role -> files of kinds of pictures that are not read (`OTHER_SUFFIXES`).
    """

    pairs: dict[str, dict[str, Path]]
    unpaired: dict[str, list[str]]
    unread: dict[str, list[str]] = field(default_factory=dict)


def pair_files(
    folders: Mapping[str, str | os.PathLike],
    optional: Iterable[str] = (),
    patterns: Mapping[str, str] | None = None,
    recursive: bool = True,
    allow_unpaired: bool = False,
) -> Pairing:
    """Group the images of several folders by file stem, or by a pattern where stems differ.

    Args:
        folders: Role (modality, ``label``, ...) -> folder. Two roles may have one folder if their patterns differ.
        optional: Roles in which a missing partner is not an error.
        patterns: Role -> pattern of its file names, for every role: ``{id}_vis``. What stands in braces is compared
            between the roles, ``*`` is anything, the rest is taken literally in upper or lower case. A pattern with an
            image suffix (``{id}.jpeg``) looks at the suffix too; one with a slash (``{drive}/visible/{id}``) at the
            whole path inside of the folder, else the sub-folder counts as a part of the name.
        recursive: Look into sub-folders too.
        allow_unpaired: Go on without what has no partner.

    Raises:
        FileNotFoundError: If files lack a partner; the message lists them. With `allow_unpaired`, if no pair is left.
        ValueError: If two roles have one folder and no patterns, a pattern makes no sense, or two files have one name.
    """
    optional = set(optional)
    if patterns is None:
        refuse_same(folders)
        listings = {role: list_images(folder, recursive) for role, folder in folders.items()}
        strangers: dict[str, list[str]] = {role: [] for role in folders}
    else:
        listings, strangers = _match(folders, patterns, recursive)
    required = {role: files for role, files in listings.items() if role not in optional}
    names = sorted(set().union(*required.values()))
    missing = missing_stems(required)
    lacking = set().union(*missing.values())
    whole = [name for name in names if name not in lacking]
    if (any(missing.values()) or any(strangers.values())) and not (allow_unpaired and whole):
        raise FileNotFoundError(_unpaired_message(folders, required, names, missing, strangers, patterns, whole))
    pairs = {name: {role: files[name] for role, files in listings.items() if name in files} for name in whole}
    paired = set(whole)
    alone = {role: [name for name in files if name not in paired] + strangers[role] for role, files in required.items()}
    others = {
        role: [path.relative_to(folder).as_posix() for path in _walk(Path(folder), recursive, wanted=_is_other_image)]
        for role, folder in folders.items()
    }
    return Pairing(
        pairs,
        {role: sorted(files) for role, files in alone.items() if files},
        {role: files for role, files in others.items() if files},
    )


def _unpaired_message(
    folders: Mapping[str, str | os.PathLike],
    required: Mapping[str, Mapping[str, Path]],
    names: Sequence[str],
    missing: Mapping[str, Sequence[str]],
    strangers: Mapping[str, Sequence[str]],
    patterns: Mapping[str, str] | None,
    whole: Sequence[str],
) -> str:
    problems = describe_missing(missing, folders, len(names), 'stems' if patterns is None else 'names')
    problems += [
        f'{role} ({folders[role]}) has {len(files)} files that do not match {patterns[role]!r}: {_few(files)}'
        for role, files in strangers.items()
        if files and patterns is not None
    ]
    listed = '\n'.join(f'  {problem}' for problem in problems)
    if patterns is None:
        how = 'images are paired by file stem (one name for one scene in each folder, whatever the suffix)'
        advice = naming_advice(required)
    else:
        how = f'images are paired by the patterns {" ".join(map(repr, patterns.values()))}'
        advice = ''
    if whole:
        advice += f'\n  --allow-unpaired (allow_unpaired=True) goes on with the {len(whole)} that are whole'
    return f'{how}, and some have no partner:\n{listed}{advice}'


def _few(names: Sequence[str], count: int = 10) -> str:
    return ', '.join(names[:count]) + (f' and {len(names) - count} more' if len(names) > count else '')


def _match(
    folders: Mapping[str, str | os.PathLike], patterns: Mapping[str, str], recursive: bool
) -> tuple[dict[str, dict[str, Path]], dict[str, list[str]]]:
    """Role -> name -> file by patterns, and role -> files that match no pattern of any role in their folder."""
    if set(patterns) != set(folders):
        raise ValueError(
            f'give a pattern for each of {", ".join(folders)}; there are patterns for {", ".join(patterns) or "none"}'
        )
    compiled = {role: _compile(role, unicodedata.normalize('NFC', patterns[role])) for role in folders}
    fields = {role: frozenset(pattern.expression.groupindex) for role, pattern in compiled.items()}
    if len(set(fields.values())) > 1:
        shown = ', '.join(f'{role}={patterns[role]}' for role in folders)
        raise ValueError(f'the patterns of all modalities must have the same words in braces, got {shown}')
    # names in the order of the first pattern, whatever the order of the others
    order = list(next(iter(compiled.values())).expression.groupindex)
    listings: dict[str, dict[str, Path]] = {}
    spelt: dict[str, tuple[str, ...]] = {}
    left: dict[str, list[str]] = {}
    for role, folder in folders.items():
        files: dict[str, Path] = {}
        left[role] = []
        for inner, path in _image_files(folder, recursive).items():
            words = compiled[role].words(unicodedata.normalize('NFC', inner), order)
            name = None if words is None else compiled[role].joined(words)
            if name is None:
                left[role].append(inner)
            elif spelt.setdefault(name, words) != words:
                raise ValueError(
                    f'by the patterns {" ".join(patterns.values())} two scenes have one name, {name}, as {path.name}: '
                    f'their words {spelt[name][1:]} and {words[1:]} differ; use a pattern with one word'
                )
            elif name in files:
                raise ValueError(
                    f'the pattern {patterns[role]!r} gives two images of {folder} one name, {name}: '
                    f'{files[name].name} and {path.name}; make it more exact'
                )
            else:
                files[name] = path
        listings[role] = files
    for one, other in combinations(folders, 2):
        if os.path.samefile(folders[one], folders[other]):
            both = set(listings[one].values()) & set(listings[other].values())
            if both:
                raise ValueError(
                    f'{one} and {other} would both take {min(both)}: in one folder the patterns must tell them apart'
                )
            left[one] = left[other] = [inner for inner in left[one] if inner in left[other]]
    return listings, left


@dataclass(frozen=True)
class _Pattern:
    expression: re.Pattern[str]
    with_suffix: bool
    whole_path: bool

    def words(self, inner: str, order: Sequence[str]) -> tuple[str, ...] | None:
        """Sub-folder, and what stands in the braces, of a path inside of a folder; None where it does not match."""
        path = PurePosixPath(inner)
        text = inner if self.whole_path else path.name
        found = self.expression.fullmatch(text if self.with_suffix else without_suffix(text))
        if found is None:
            return None
        return ('' if self.whole_path else str(path.parent), *(found[field] for field in order))

    def joined(self, words: tuple[str, ...]) -> str:
        """The name that is made of them."""
        parent, *own = words
        return '/'.join(own) if self.whole_path else str(PurePosixPath(parent) / '_'.join(own))


def without_suffix(name: str) -> str:
    """A path or name without its suffix; a packed volume has two (``.nii.gz``)."""
    return str(PurePosixPath(re.sub(r'(?i)(\.nii)\.gz$', r'\1', name)).with_suffix(''))


def _compile(role: str, pattern: str) -> _Pattern:
    parts = re.split(r'(\{\w+\}|\*)', pattern)
    fields = [part[1:-1] for part in parts[1::2] if part != '*']
    literal = ''.join(parts[0::2])
    if not fields or len(set(fields)) < len(fields) or '{' in literal or '}' in literal:
        raise ValueError(
            f'the pattern {pattern!r} of {role} needs a word in braces for what both modalities have in common, each '
            f"once: '{{id}}_vis' '{{id}}_ir'"
        )
    expression = ''.join(
        re.escape(part) if number % 2 == 0 else '.*' if part == '*' else f'(?P<{part[1:-1]}>.+)'
        for number, part in enumerate(parts)
    )
    with_suffix = PurePosixPath(pattern).suffix.lower() in READ_SUFFIXES or is_slice(pattern)
    return _Pattern(re.compile(expression, re.IGNORECASE), with_suffix, '/' in pattern)


def missing_stems(listings: Mapping[str, Mapping[str, Path]]) -> dict[str, list[str]]:
    """Role -> the stems that it lacks and another one has."""
    stems = sorted(set().union(*listings.values()))
    return {role: [stem for stem in stems if stem not in files] for role, files in listings.items()}


def describe_missing(
    missing: Mapping[str, Sequence[str]], folders: Mapping[str, Any], total: int, what: str = 'stems'
) -> list[str]:
    """A line for each role that lacks some of the `total` stems: how many, and the first ten of them."""
    return [
        f'{role} ({folders[role]}) has no file for {len(stems)} of {total} {what}: {_few(stems)}'
        for role, stems in missing.items()
        if stems
    ]


def different_sizes(sizes: Mapping[str, tuple[int, int]], files: Mapping[str, Any]) -> str | None:
    """What is wrong with pictures of one scene that differ in size; None where they do not.

    Args:
        sizes: Role -> (height, width).
        files: Role -> where the picture comes from, if that is known.
    """
    if len(set(sizes.values())) <= 1:
        return None
    shown = (f'{role} {w}x{h}' + (f' ({files[role]})' if role in files else '') for role, (h, w) in sizes.items())
    return f'the pictures of one sample must have one size (width x height): {", ".join(shown)}'


def refuse_same(paths: Mapping[str, Any]) -> None:
    """Refuse one file or folder for two modalities: pairs in one folder cannot be told apart by their stems.

    Raises:
        ValueError: Names both, and the path.
    """
    seen: dict[tuple[int, int], str] = {}
    for name, path in paths.items():
        if isinstance(path, str | os.PathLike) and os.path.exists(path):
            status = os.stat(path)
            other = seen.setdefault((status.st_dev, status.st_ino), name)
            if other != name:
                what, advice = 'file', ''
                if os.path.isdir(path):
                    what = 'folder'
                    advice = '; sort it into one folder for each, in which one scene has one name'
                raise ValueError(
                    f'{other} and {name} are the same {what}, {path}: each modality needs pictures of its own{advice}'
                )


def naming_advice(listings: Mapping[str, Mapping[str, Path]]) -> str:
    """A line on how the stems of two folders differ, with the line break before it; empty where no rule is seen."""
    roles = list(listings)
    for one, other in zip(roles, roles[1:], strict=False):
        left = [stem for stem in listings[one] if stem not in listings[other]]
        right = [stem for stem in listings[other] if stem not in listings[one]]
        if not left or not right:
            continue
        lower = {stem.lower(): stem for stem in right}
        for stem in left:
            if stem.lower() in lower:
                return f'\n  {stem} and {lower[stem.lower()]} differ in upper and lower case: rename one of them'
        # pairs that have a mark more on one side are alike before it and behind it
        a, b = max(product(left[:20], right[:20]), key=lambda pair: SequenceMatcher(None, *pair).ratio())
        # names that differ in their numbers alone are two scenes
        same_but_numbers = re.sub(r'\d+', '', a) == re.sub(r'\d+', '', b)
        if SequenceMatcher(None, a, b).ratio() > 0.4 and not same_but_numbers:
            return (
                f'\n  {a} and {b} look like a pair: rename the files so that both have one name, '
                f'without a mark of {one} or {other}, or say how they are named: {_pattern_advice(a, b)}'
            )
    return ''


def _pattern_advice(a: str, b: str) -> str:
    """The option that pairs two stems: what they have in common at their ends is the name."""
    head = _shared_start(a, b).rstrip(_SEPARATORS)
    rest = a[len(head) :], b[len(head) :]
    tail = _shared_start(*(text[::-1] for text in rest))[::-1].lstrip(_SEPARATORS)
    marks = [text[: len(text) - len(tail)] for text in rest]
    first = '{id}' if head else ''
    last = '' if not tail else '{number}' if head else '{id}'
    return '--pair ' + ' '.join(f"'{first}{mark}{last}'" for mark in marks)


def _shared_start(a: str, b: str) -> str:
    return ''.join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
