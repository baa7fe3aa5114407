"""Which files belong together, and where results may go."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import product
from pathlib import Path
from typing import Any

from lurefusion.io.images import READ_SUFFIXES, check_suffix


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


def list_images(folder: str | os.PathLike) -> dict[str, Path]:
    """Image files below a folder by stem, sorted; in sub-folders the stem keeps the folder (``drive_1/0001``).

    Hidden files and whatever lies in hidden folders is left out.

    Raises:
        FileNotFoundError: If the folder does not exist.
        ValueError: If it holds no image, or two images of one stem.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'no such folder: {folder}')
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob('*')):
        inner = path.relative_to(folder)
        hidden = any(part.startswith('.') for part in inner.parts)
        if path.suffix.lower() in READ_SUFFIXES and not hidden and path.is_file():
            stem = inner.with_suffix('').as_posix()
            if stem in files:
                raise ValueError(
                    f'two images of one stem in {folder}: {files[stem].name} and {path.name}; keep one of them there'
                )
            files[stem] = path
    if not files:
        raise ValueError(f'no image in {folder} (looked for {", ".join(READ_SUFFIXES)})')
    return files


def pair_by_stem(folders: dict[str, str | os.PathLike], optional: Iterable[str] = ()) -> dict[str, dict[str, Path]]:
    """Group the images of several folders by file stem.

    Args:
        folders: Role (modality, ``label``, ...) -> folder.
        optional: Roles in which a missing partner is not an error.

    Returns:
        Stem -> role -> file, sorted by stem.

    Raises:
        FileNotFoundError: If a stem lacks a partner; the message lists what is missing in which folder.
        ValueError: If two roles have one folder.
    """
    optional = set(optional)
    refuse_same(folders)
    listings = {role: list_images(folder) for role, folder in folders.items()}
    required = {role: files for role, files in listings.items() if role not in optional}
    stems = sorted(set().union(*required.values()))
    if problems := describe_missing(missing_stems(required), folders, len(stems)):
        listed = '\n'.join(f'  {problem}' for problem in problems)
        raise FileNotFoundError(
            f'images are paired by file stem (one name for one scene in each folder, whatever the suffix), and some '
            f'have no partner:\n{listed}{naming_advice(required)}'
        )
    return {stem: {role: files[stem] for role, files in listings.items() if stem in files} for stem in stems}


def missing_stems(listings: Mapping[str, Mapping[str, Path]]) -> dict[str, list[str]]:
    """Role -> the stems that it lacks and another one has."""
    stems = sorted(set().union(*listings.values()))
    return {role: [stem for stem in stems if stem not in files] for role, files in listings.items()}


def describe_missing(missing: Mapping[str, Sequence[str]], folders: Mapping[str, Any], total: int) -> list[str]:
    """A line for each role that lacks some of the `total` stems: how many, and the first ten of them."""
    lines = []
    for role, stems in missing.items():
        if stems:
            shown = ', '.join(stems[:10]) + (f' and {len(stems) - 10} more' if len(stems) > 10 else '')
            lines.append(f'{role} ({folders[role]}) has no file for {len(stems)} of {total} stems: {shown}')
    return lines


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
        if SequenceMatcher(None, a, b).ratio() > 0.4:
            return (
                f'\n  {a} and {b} look like a pair: rename the files so that both have one name, '
                f'without a mark of {one} or {other}'
            )
    return ''
