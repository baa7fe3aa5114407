"""Files of arrays (.npz): read without opening what could run, and without unpacking more than memory takes."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np

#: bytes that a file of arrays may hold once it is unpacked
LARGEST = 1 << 30


def read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Name -> array of an .npz file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, something else, unpacks to more than a gigabyte, or holds pickled objects, which
            are not opened; names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'no such file: {path}')
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > LARGEST:
            raise ValueError(f'it unpacks to {size} bytes; at most {LARGEST} are read')
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        # of other members, NumPy gives the bytes
        if others := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
            raise ValueError(f'its part {others[0]!r} is no array')
        return arrays
    # zipfile, zlib and NumPy raise errors of many kinds
    except Exception as error:
        raise ValueError(f'{path} is no file of arrays (npz) that can be read: {error}') from error
