"""Slices of medical volumes: DICOM and NIfTI files, through the extra `medical` (pydicom, nibabel).

Both libraries are imported when the first such file is met.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from lurefusion.io.formats import too_large

# `brain.nii.gz:40` is the slice 40
_NAME = re.compile(r'(?is)(?P<file>.*\.(?:(?P<dicom>dcm|dicom)|nii|nii\.gz))(?::(?P<number>\d+))?')


@dataclass(frozen=True)
class Slice:
    """One slice as it is stored.

    Attributes:
        pixels: (H, W) numbers of the scanner (slope and intercept applied), or (H, W, 3) uint8 RGB.
        window: ``LOW:HIGH`` that the file asks to be shown; None where it does not say.
        inverted: Whether small numbers are to be shown bright (DICOM's MONOCHROME1).
        notes: What has to be said.
    """

    pixels: np.ndarray
    window: str | None = None
    inverted: bool = False
    notes: tuple[str, ...] = ()


def is_slice(path: str | os.PathLike) -> bool:
    """Whether a path names a DICOM or NIfTI file, with or without the number of a slice."""
    return _NAME.fullmatch(os.fspath(path)) is not None


def file_of(path: str | os.PathLike) -> Path:
    """The file of a path that may end in the number of a slice."""
    found = _NAME.fullmatch(os.fspath(path))
    return Path(path) if found is None or Path(path).exists() else Path(found['file'])


def read_slice(path: str | os.PathLike) -> Slice:
    """Read ``FILE`` or ``FILE:NUMBER``, counted from 0; of several slices without a number the middle one.

    A DICOM slice is shown as the file says: rescale slope and intercept, first window, MONOCHROME1 inverted. Slices of
    NIfTI volumes are axial, from the feet up, front at the top and the patient's right on the right.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: Without the library; names the extra.
        ValueError: If it is damaged, has no picture, several volumes, or no slice of this number; names the file.
    """
    file = file_of(path)
    if not file.is_file():
        raise FileNotFoundError(f'no such image file: {file}')
    found = _NAME.fullmatch(os.fspath(path))
    number = None if found['number'] is None or file == Path(path) else int(found['number'])
    return _dicom(file, number) if found['dicom'] else _nifti(file, number)


def _dicom(file: Path, number: int | None) -> Slice:
    pydicom = _library('pydicom', file)
    try:
        data = pydicom.dcmread(file)
        _refuse_large(data.get('Columns'), data.get('Rows'), data.get('NumberOfFrames'))
        pixels = data.pixel_array
    # its decoders raise errors of many kinds
    except Exception as error:
        raise ValueError(f'{file} is not a readable DICOM picture: {error}') from None
    colour = int(data.get('SamplesPerPixel', 1)) > 1
    several = pixels if int(data.get('NumberOfFrames', 1) or 1) > 1 else pixels[None]
    pixels, notes = _one(file, several, number)
    frame = len(several) // 2 if number is None else number
    if data.get('PhotometricInterpretation') == 'PALETTE COLOR':
        from pydicom.pixels import apply_color_lut

        try:
            pixels = apply_color_lut(pixels, data)
        except Exception as error:
            raise ValueError(f'{file} is not a readable DICOM picture: {error}') from None
        pixels, colour = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8), True
    if colour:
        return Slice(pixels[..., :3], notes=notes)
    slope, intercept = (
        default if (found := _shown_by(data, frame, 'PixelValueTransformationSequence', name)) is None else found
        for name, default in _RESCALE
    )
    pixels = (pixels * np.float64(slope) + intercept).astype(np.float32)
    centre, width = (_shown_by(data, frame, 'FrameVOILUTSequence', name) for name in ('WindowCenter', 'WindowWidth'))
    window = None
    if centre is not None and width is not None and width > 1:
        # DICOM PS3.3, C.11.2.1.2.1
        window = f'{centre - 0.5 - (width - 1) / 2:.10g}:{centre - 0.5 + (width - 1) / 2:.10g}'
    return Slice(pixels, window, data.get('PhotometricInterpretation') == 'MONOCHROME1', notes)


def _shown_by(data: Any, frame: int, group: str, name: str) -> float | None:
    """First number of an attribute: of the frame, of all frames, or of the whole file (DICOM PS3.3, C.7.6.16)."""
    per_frame, shared = (data.get(f'{which}FunctionalGroupsSequence') or () for which in ('PerFrame', 'Shared'))
    for groups in (per_frame[frame : frame + 1], shared[:1]):
        for item in groups:
            for inner in item.get(group) or ():
                if (value := _first(inner.get(name))) is not None:
                    return value
    return _first(data.get(name))


_RESCALE = (('RescaleSlope', 1), ('RescaleIntercept', 0))


def _nifti(file: Path, number: int | None) -> Slice:
    nibabel = _library('nibabel', file)
    try:
        stored = nibabel.load(file)
        _refuse_large(*(list(stored.shape) + [1, 1])[:2], math.prod(stored.shape[2:]))
        volume = nibabel.as_closest_canonical(stored)
        values = np.asanyarray(volume.dataobj)
    except Exception as error:
        raise ValueError(f'{file} is not a readable NIfTI volume: {error}') from None
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim not in (2, 3) or values.dtype.kind not in 'uif':
        raise ValueError(
            f'{file}: expected one volume of numbers, got {values.shape} {values.dtype}; save the one meant'
        )
    values = values[..., None] if values.ndim == 2 else values
    pixels, notes = _one(file, np.moveaxis(values, 2, 0), number)
    return Slice(np.ascontiguousarray(np.rot90(pixels)), notes=notes)


def _refuse_large(width: Any, height: Any, count: Any) -> None:
    if problem := too_large(int(width or 0), int(height or 0), int(count or 1)):
        raise ValueError(f'it {problem}')


def _one(file: Path, several: np.ndarray, number: int | None) -> tuple[np.ndarray, tuple[str, ...]]:
    count = len(several)
    if number is None:
        middle = count // 2
        note = (f'slice {middle} of 0 to {count - 1} is taken, {file.name}:{middle}',) if count > 1 else ()
        return several[middle], note
    if number >= count:
        raise ValueError(f'{file} has the slices 0 to {count - 1}, not {number}')
    return several[number], ()


def _first(value: Any) -> float | None:
    if value is None or value == '':
        return None
    return float(value if isinstance(value, int | float | str) else value[0])


def _library(name: str, file: Path) -> ModuleType:
    try:
        return __import__(name)
    except ImportError:
        raise ImportError(f'{file} needs {name}: pip install "lurefusion[medical]" (or: pip install {name})') from None
