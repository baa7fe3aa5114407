"""A transform between the pixels of two pictures, applied, scaled and kept in a file; and pairs of unequal size.

Pixel centres have integer coordinates, as in OpenCV: the top left pixel is (0, 0), its corner (-0.5, -0.5).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lurefusion.choices import one_of
from lurefusion.io.images import write_bytes

KINDS = ('translation', 'affine', 'homography')
FORMAT = 'lurefusion.alignment/1'


@dataclass(frozen=True, eq=False)
class Alignment:
    """A transform from the pixels of the fixed picture to those of the moving one.

    Attributes:
        transform: (3, 3), takes (x, y, 1) in the fixed picture to the moving one. Read-only.
        kind: ``translation``, ``affine`` or ``homography``.
        fixed_size, moving_size: (width, height) in pixels.
        residual: Expected distance of the corners of the fixed picture from their true place, in its pixels, root mean
            square: the spread over resampled blocks, and the curvature of the fit where nothing holds it. It knows
            nothing of parallax, which no transform of these kinds mends.
        confidence: In [0, 1], from the evidence for the transform; near 0 for pictures of two scenes.
        fixed: Modality of the fixed picture; None where nobody has said it.
    """

    transform: np.ndarray
    kind: str
    fixed_size: tuple[int, int]
    moving_size: tuple[int, int]
    residual: float
    confidence: float
    fixed: str | None = None

    def __post_init__(self) -> None:
        matrix = np.array(self.transform, float)
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-12:
            raise ValueError(f'transform: expected a (3, 3) matrix that can be inverted, got {matrix.tolist()}')
        one_of('kind', self.kind, KINDS)
        matrix.flags.writeable = False
        object.__setattr__(self, 'transform', matrix)
        for name in ('fixed_size', 'moving_size'):
            width, height = (int(side) for side in getattr(self, name))
            if min(width, height) < 1:
                raise ValueError(f'{name}: expected (width, height) in pixels, got {getattr(self, name)}')
            object.__setattr__(self, name, (width, height))

    def apply(self, moving: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bring the moving picture onto the pixels of the fixed one.

        Args:
            moving: (H, W) or (H, W, C), of ``moving_size``; 8 bit, 16 bit or float.

        Returns:
            The warped picture, of ``fixed_size`` and the type given (cubic interpolation, within the values of the
            input; what was not seen repeats the border), and the mask of the pixels that were seen, (H, W) bool.

        Raises:
            ValueError: If the picture has another size; see :meth:`scaled`.
        """
        height, width = moving.shape[:2]
        if (width, height) != self.moving_size:
            raise ValueError(
                f'the alignment is for moving pictures of {_size(self.moving_size)}, got {_size((width, height))}; '
                f'scaled(fixed_size, moving_size) turns it into one for another size of the same cameras'
            )
        source = np.ascontiguousarray(moving)
        shrink = math.sqrt(abs(np.linalg.det(self.transform[:2, :2])))
        if shrink > 1.25:  # fewer pixels than before: without a blur they would alias
            source = cv2.GaussianBlur(source, (0, 0), 0.5 * math.sqrt(shrink**2 - 1))
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        warped = cv2.warpPerspective(
            source, self.transform, self.fixed_size, flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        warped = np.clip(warped, moving.min(), moving.max()).astype(moving.dtype, copy=False)
        return warped.reshape(*warped.shape[:2], *moving.shape[2:]), seen_mask(
            self.transform, self.fixed_size, self.moving_size
        )

    def scaled(self, fixed_size: tuple[int, int], moving_size: tuple[int, int]) -> Alignment:
        """The same alignment for pictures of other sizes, (width, height), of the same two cameras.

        Raises:
            ValueError: If a size has another aspect ratio: that would be a crop, whose place is unknown.
        """
        for name, old, new in (('fixed', self.fixed_size, fixed_size), ('moving', self.moving_size, moving_size)):
            check_aspect(old, new, f'the {name} pictures of the alignment', f'the {name} picture')
        to_fixed = resizing(fixed_size, self.fixed_size)
        from_moving = resizing(self.moving_size, moving_size)
        matrix = from_moving @ self.transform @ to_fixed
        ratio = fixed_size[0] / self.fixed_size[0]
        return Alignment(
            matrix / matrix[2, 2],
            self.kind,
            fixed_size,
            moving_size,
            self.residual * ratio,
            self.confidence,
            self.fixed,
        )

    def figures(self, **more: float) -> dict[str, Any]:
        """Kind, residual (pixels) and confidence, rounded, for reports; with `more`."""
        numbers = dict(residual=self.residual, confidence=self.confidence, **more)
        return dict(kind=self.kind, **{name: round(value, 3) for name, value in numbers.items()})

    def save(self, path: str | os.PathLike) -> None:
        """Write a JSON file, whole or not at all."""
        content = dict(
            format=FORMAT,
            kind=self.kind,
            fixed=self.fixed,
            transform=self.transform.tolist(),
            fixed_size=list(self.fixed_size),
            moving_size=list(self.moving_size),
            residual=self.residual,
            confidence=self.confidence,
        )
        write_bytes(path, (json.dumps(content, indent=1) + '\n').encode())

    @staticmethod
    def load(path: str | os.PathLike) -> Alignment:
        """Read what :meth:`save` has written.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is something else; names the file.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f'no such file of an alignment: {path}')
        try:
            content = json.loads(path.read_text(encoding='utf-8'))
            if not isinstance(content, dict) or content.get('format') != FORMAT:
                raise ValueError(f'it does not say "format": "{FORMAT}"')
            keys = ('transform', 'kind', 'fixed_size', 'moving_size', 'residual', 'confidence')
            if missing := [key for key in keys if key not in content]:
                raise ValueError(f'{", ".join(missing)} missing')
            numbers = [float(content[key]) for key in keys[4:]]
            fixed = content.get('fixed')
            if not isinstance(fixed, str | None):
                raise ValueError(f'"fixed" is no name of a modality: {fixed!r}')
            sizes = [tuple(content[key]) for key in keys[2:4]]
            return Alignment(content['transform'], content['kind'], *sizes, *numbers, fixed)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError(f'{path} is no alignment that lurefusion has written: {error}') from None


def resize_pair(pictures: Mapping[str, np.ndarray], to: str, tolerance: float = 0.02) -> dict[str, np.ndarray]:
    """Bring a pair with one field of view to the size of one of its pictures.

    Args:
        pictures: Modality -> (H, W) or (H, W, C), 8 bit, 16 bit or float; the types are kept.
        to: The modality whose size both get. Smaller by area averages, larger by cubic interpolation within the values
            of the input.
        tolerance: By how much the aspect ratios may differ, as a part.

    Raises:
        ValueError: On another `to`, or where the aspect ratios differ: the cameras do not see the same field.
    """
    one_of('resize', to, tuple(pictures))
    size = pictures[to].shape[1::-1]
    for name, picture in pictures.items():
        check_aspect(size, picture.shape[1::-1], f'the picture {to}', f'the picture {name}', tolerance)
    return {name: _resize(picture, size) for name, picture in pictures.items()}


def _resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    width, height = image.shape[1::-1]
    if (width, height) == size:
        return image
    smaller = size[0] * size[1] < width * height
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    resized = np.clip(resized, image.min(), image.max()).astype(image.dtype, copy=False)
    return resized.reshape(*resized.shape[:2], *image.shape[2:])


def _size(size: tuple[int, int]) -> str:
    return f'{size[0]}x{size[1]}'


def check_aspect(
    one: tuple[int, int], other: tuple[int, int], name: str, other_name: str, tolerance: float = 0.02
) -> None:
    """Raise ValueError if two sizes (width, height) cannot be of one field of view; the names say what they are of."""
    ratio = one[0] * other[1] / (one[1] * other[0])
    if abs(math.log(ratio)) > math.log1p(tolerance):
        raise ValueError(
            f'aspect ratios differ: {name} {_size(one)}, {other_name} {_size(other)}; they do not show the same field, '
            f'and resizing would distort: register the pair (register=affine), or crop it'
        )


def resizing(size: tuple[int, int], new: tuple[int, int]) -> np.ndarray:
    """(3, 3) from the pixels of a picture to those of the same picture at another size."""
    x, y = new[0] / size[0], new[1] / size[1]
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1.0]])


def seen_mask(
    transform: np.ndarray, size: tuple[int, int], source: tuple[int, int], margin: float = -0.5
) -> np.ndarray:
    """(H, W) bool: which pixels of a warped picture come from inside the source, `margin` pixels from its border."""
    x, y = np.ogrid[: size[1], : size[0]][::-1]
    u, v, w = (row[0] * x + row[1] * y + row[2] for row in transform)
    # a transform is known to 1e-6 pixels at best; compared before the division, which a horizon would not stand
    low, high_x, high_y = margin - 1e-6, source[0] - 1 - margin + 1e-6, source[1] - 1 - margin + 1e-6
    return (w > 0) & (u >= low * w) & (u <= high_x * w) & (v >= low * w) & (v <= high_y * w)


def corners_of(transform: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(4, 2) where the corner pixels of a picture go."""
    x, y = size[0] - 1, size[1] - 1
    moved = np.array([[0, 0, 1], [x, 0, 1], [x, y, 1], [0, y, 1]]) @ transform.T
    return moved[:, :2] / moved[:, 2:]


def corner_distance(one: np.ndarray, other: np.ndarray, size: tuple[int, int]) -> float:
    return float(np.linalg.norm(corners_of(one, size) - corners_of(other, size), axis=1).mean())
