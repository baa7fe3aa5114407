"""Looking at the files of data sets before anything is trained on them: unreadable ones, and sizes that do not fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from PIL import Image

from lurefusion.datasets.fusion import FusionPairDataset
from lurefusion.datasets.paired import PairedDataset
from lurefusion.datasets.transforms import LABEL
from lurefusion.io.formats import too_large
from lurefusion.io.images import TINTED, colourfulness, read_image
from lurefusion.io.labels import read_label
from lurefusion.io.pairing import different_sizes
from lurefusion.registry import DATASETS

#: the EXIF tag that says how a picture is to be turned, and its values that swap width and height
ORIENTATION, SWAPPING = 0x0112, (5, 6, 7, 8)
#: smallest side that the networks take
SMALLEST = 8


def paired_datasets(node: Any) -> Iterator[PairedDataset]:
    """Every data set of files that a config (or a part of one) names, without its pipeline."""
    if isinstance(node, Mapping):
        kind = DATASETS.get(node['type']) if isinstance(node.get('type'), str) else None
        if isinstance(kind, type) and issubclass(kind, PairedDataset):
            own = {key: value for key, value in node.items() if key != 'times'}
            yield DATASETS.build(dict(own, lazy_init=True, pipeline=[]))
            return
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from paired_datasets(child)


def check_files(node: Any, decode: bool = False) -> list[str]:
    """What is wrong with the files of the data sets in a config; sets that are not on disk are passed over.

    Args:
        node: A config, a dataloader or a data set.
        decode: Read every file whole; otherwise only the header of each.

    Returns:
        One line for each bad file or pair, every one once.
    """
    problems: dict[str, None] = {}
    sizes: dict[str, tuple[int, int] | str] = {}
    for dataset in paired_datasets(node):
        if dataset.missing():
            continue
        dataset.full_init()
        for index in range(len(dataset)):
            found: dict[str, tuple[int, int]] = {}  # (height, width)
            paths = dataset.get_data_info(index)['paths']
            for role, path in paths.items():
                if path not in sizes:
                    sizes[path] = _size(path, decode, label=role == LABEL)
                size = sizes[path]
                if isinstance(size, str):
                    problems[size] = None
                else:
                    found[role] = size[::-1]
            if problem := different_sizes(found, paths):
                problems[problem] = None
    return list(problems)


def _size(path: str, decode: bool, label: bool) -> tuple[int, int] | str:
    """(width, height) as a viewer shows it, or what is wrong."""
    try:
        if decode:
            height, width = (read_label(path) if label else read_image(path)[0]).shape[:2]
        else:
            width, height = _header(path)
    except (OSError, ValueError) as error:
        return str(error)
    if min(width, height) < SMALLEST:
        return f'{path}: {width}x{height} pixels; at least {SMALLEST}x{SMALLEST} are needed'
    return width, height


def _header(path: str) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            size = image.size
            if problem := too_large(*size):
                raise ValueError(problem)
            # a PNG's own getexif() would decode the whole picture in search of it
            return size[::-1] if Image.Image.getexif(image).get(ORIENTATION) in SWAPPING else size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        # Pillow knows fewer kinds of TIFF than OpenCV, and less of what is wrong
        height, width = read_image(path)[0].shape[:2]
        return width, height


def check_looks(node: Any, chroma: str | None, every: bool = False) -> list[str]:
    """What looks wrong with the pictures of fusion pairs, one line for each kind of fault and data set.

    Looked for are pictures in colour of modalities that have none (a palette, or folders that were swapped), and one
    picture for two modalities.

    Args:
        node: A config, a dataloader or a data set.
        chroma: The modality that owns the colour; None: the model has none, colours are not looked at.
        every: Look at every pair; otherwise at three of each data set.
    """
    rows: dict[str, str] = {}
    for dataset in paired_datasets(node):
        if dataset.missing() or not isinstance(dataset, FusionPairDataset):
            continue
        dataset.full_init()
        count = len(dataset)
        for index in range(count) if every else sorted({0, count // 2, count - 1}):
            paths = dataset.get_data_info(index)['paths']
            own = {role: paths[role] for role in dataset.modalities if role in paths}
            try:
                pictures = {role: read_image(path) for role, path in own.items()}
            except (OSError, ValueError):
                # said by check_files
                continue
            folders = ' and '.join(str(dataset.data_prefix[role]) for role in own)
            for role, (pixels, grey) in pictures.items():
                if chroma in own and role != chroma and not grey and colourfulness(pixels)[0] >= TINTED:
                    rows.setdefault(
                        f'colour {own[role]}' if every else f'colour {folders}',
                        f'{own[role]} is in colour, and {role} pictures have none: drawn in a palette, or swapped?',
                    )
            for (one, (first, _)), (two, (second, _)) in combinations(pictures.items(), 2):
                if first.shape == second.shape and (first == second).all() and not (first == first[:1, :1]).all():
                    rows.setdefault(
                        f'twins {own[one]}' if every else f'twins {folders}',
                        f'{own[one]} and {own[two]} are one picture, pixel by pixel',
                    )
    return list(rows.values())


def describe(problems: list[str], most: int = 20) -> str:
    """The lines of :func:`check_files`, the first `most` of them."""
    more = [f'  ... and {len(problems) - most} more'] if len(problems) > most else []
    return '\n'.join([*(f'  - {row}' for row in problems[:most]), *more])


def require_good_files(node: Any) -> None:
    """Raise one error for all bad files, before hours of training reach them.

    Raises:
        ValueError: Lists them.
    """
    if problems := check_files(node):
        raise ValueError(
            f'{len(problems)} files or pairs of the data sets cannot be used:\n{describe(problems)}\n'
            f'Mend or remove them; tools/misc/verify_dataset.py CONFIG reads every file whole'
        )


def folder_config(folders: Mapping[str, str | Path]) -> dict[str, Any]:
    """Data set of one folder per role, paired by stem."""
    prefix = {role: str(Path(folder).absolute()) for role, folder in folders.items()}
    return dict(type='FusionPairDataset', data_prefix=prefix)
