"""Pictures of class ids: as stored, never converted."""

from __future__ import annotations

import os
import re
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from lurefusion.io import formats


def read_label(path: str | os.PathLike) -> np.ndarray:
    """Read class ids as they are stored: no range is stretched, no palette becomes colours.

    Read are whole numbers 0 to 255 in one channel: 1 to 32 bit, integer or floating, grey or the indices of a palette
    of any colours; and three equal channels, with or without a constant alpha channel. An orientation stored beside the
    pixels is applied.

    Returns:
        (H, W) uint8.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a readable image, cut off, lossy (JPEG), has several pages, channels that differ, or
            values that are no ids; the message names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'no such label file: {path}')
    try:
        ids = _stored_values(path)
        if ids.ndim == 3:
            ids = _only_channel(ids)
        if np.issubdtype(ids.dtype, np.floating) and not (np.isfinite(ids) & (ids == np.round(ids))).all():
            raise ValueError('values that are not whole numbers')
        if ids.min() < 0 or ids.max() > 255:
            raise ValueError(f'values from {ids.min():g} to {ids.max():g}')
    except ValueError as error:
        raise ValueError(
            f'{path} is no label: {error}; expected class ids 0 to 255 (255: does not count) in one channel, as PNG'
        ) from None
    return np.ascontiguousarray(ids.astype(np.uint8))


def _stored_values(path: Path) -> np.ndarray:
    """Samples of a file, (H,W) or (H,W,C), before any conversion."""
    try:
        with Image.open(path) as image:
            if problem := formats.too_large(*image.size):
                raise ValueError(f'it {problem}')
            # the layout in the file: Pillow widens few bits to 0..255 and cuts 16-bit colours to 8
            layout = image.tile[0].args if image.tile else ''
            layout = layout if isinstance(layout, str) else str(layout[0])
            if image.format in ('JPEG', 'MPO', 'JPEG2000') or (image.format == 'WEBP' and _lossy_webp(path)):
                raise ValueError(f'{image.format} is lossy, it changes ids')
            if getattr(image, 'n_frames', 1) > 1:
                raise ValueError(f'{image.n_frames} pages in one file')
            if re.match(r'[1L];\d?I', layout):
                raise ValueError('stored inverted (white is zero)')
            image.load()
            upright = ImageOps.exif_transpose(image)
            if ';16' not in layout or len(image.getbands()) == 1:
                values = np.asarray(upright)
                bits = re.match(r'L;([24])', layout)
                return values // (255 // (2 ** int(bits[1]) - 1)) if bits else values
            if upright.tobytes() != image.tobytes():
                raise ValueError('turned by an orientation tag, with 16-bit channels')
    except UnidentifiedImageError:
        pass
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f'not readable or cut off ({error})') from None
    try:
        data = path.read_bytes()
        if problem := formats.too_large(*formats.header_size(data)):
            raise ValueError(f'it {problem}')
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        values = None
    if values is None:
        raise ValueError('not a readable image')
    return values


def _lossy_webp(path: Path) -> bool:
    with open(path, 'rb') as file:
        return b'VP8L' not in file.read(512)


def _only_channel(values: np.ndarray) -> np.ndarray:
    if values.shape[2] in (2, 4):
        if (values[..., -1] != values[0, 0, -1]).any():
            raise ValueError('a mask in its alpha channel')
        values = values[..., :-1]
    if (values != values[..., :1]).any():
        colours = len(np.unique(values.reshape(-1, values.shape[2]), axis=0))
        raise ValueError(
            f'{colours} colours in {values.shape[2]} channels, as a coloured picture of the label has them; give each '
            'colour its id'
        )
    return values[..., 0]
