"""Aligning the pictures of two cameras: an infrared and a visible picture of one scene, unequal in size and position.

Intensities of the two modalities are related by no function (polarity turns, textures vanish), edges mostly are. Each
picture becomes four channels of edge strength by orientation, blind to polarity and contrast, as in the channel
features of orientated gradients (Ye et al., Fast and robust matching for multimodal remote sensing image registration,
TGRS 2019). A grid of scales and rotations is searched with the normalised cross-correlation of these channels in a
picture of 160 pixels; the best peaks are refined, in 320 and 512 pixels, by a robust fit of the transform to the
correlation surfaces of some hundred blocks. The surfaces are kept whole: a block on a straight edge says where it lies
across the edge and nothing along it. How much more likely the surfaces are under the transform than under any other
displacement is the evidence that decides whether the result is believed.

The conventions of pixels are those of :mod:`lurefusion.runtime.alignment`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np

from lurefusion.choices import one_of
from lurefusion.ops.colour import LUMA
from lurefusion.runtime.alignment import (
    KINDS,
    Alignment,
    check_aspect,
    corner_distance,
    corners_of,
    resizing,
    seen_mask,
)

# what a first fit may change before the last parameters of a kind are set free
STAGE = dict(translation='translation', affine='similarity', homography='similarity')
PARAMETERS = dict(translation=2, similarity=4, affine=6, homography=8)
# expected size of stretch, shear and perspective, as a part of the half diagonal: two cameras side by side
DEPARTURE = 0.01
# working size in pixels (longer side): search, first and last fit
COARSE, MIDDLE, FINE = 160, 320, 512
STEP_SCALE, STEP_ROTATION = 0.023, 1.7
SHARPNESS = 20.0  # log-likelihood per unit of correlation
OUTLIERS = 0.5  # part of the blocks that may show the other modality nothing
# evidence in nats where the confidence is a half, and how fast it changes: pictures of two scenes stay well below (the
# column `strangers` of benchmarks/registration.py)
EVIDENCE, EVIDENCE_WIDTH = 35.0, 4.0
# evidence of a second transform, as a part of that of the first, from which on both may be right
NEAR_RIVAL, FAR_RIVAL = 0.4, 0.6
SMALLEST = 64
# longer side over shorter one: of strips, too few blocks are left at the working sizes
LONGEST = 5


class NotAligned(ValueError):
    """No transform that can be relied upon was found."""


def estimate(
    fixed: np.ndarray,
    moving: np.ndarray,
    kind: str = 'affine',
    *,
    max_shift: float = 0.08,
    max_scale: float = 0.1,
    max_rotation: float = 5.0,
    max_residual: float = 0.005,
) -> Alignment:
    """Find the transform that takes the pixels of one picture to those of another modality.

    The search starts from pictures with a common centre and the same field of view; where their aspect ratios differ,
    every field of view from equal widths to equal heights is searched.

    Args:
        fixed, moving: (H, W) or (H, W, 3) RGB, uint8, uint16 or float in [0, 1], at least 64 pixels a side,
            one side at most 5 times the other.
        kind: ``translation`` (scale and rotation as the sizes say), ``affine`` or ``homography``. Shear, unequal
            stretch and perspective are expected to be of about 1 %, and larger only where the pictures insist.
        max_shift: Search range, in parts of the width of the fixed picture, up to 0.25.
        max_scale: Search range around the ratio of the sizes, in parts of it, up to 0.5.
        max_rotation: Search range in degrees, up to 45.
        max_residual: Largest expected error of the corners that is accepted, in parts of the fixed picture's width.

    Returns:
        The alignment, with its residual and confidence.

    Raises:
        NotAligned: If the pictures have too little structure in common, or several transforms fit.
        ValueError, TypeError: On pictures or options of other kinds.
    """
    one_of('kind', kind, KINDS)
    for name, value, limit in (
        ('max_shift', max_shift, 0.25),
        ('max_scale', max_scale, 0.5),
        ('max_rotation', max_rotation, 45),
    ):
        if not 0 <= value <= limit:
            raise ValueError(f'{name}: expected 0 to {limit}, got {value}')
    pictures = _grey(fixed, 'fixed'), _grey(moving, 'moving')
    sizes = tuple(picture.shape[::-1] for picture in pictures)
    if kind == 'translation':
        check_aspect(*sizes, 'the fixed picture', 'the moving picture')
    starts = _search(pictures, kind, max_shift, max_scale, max_rotation)
    if not starts:
        raise NotAligned('not aligned: one of the pictures has no edges to align by')
    first = []
    for start in starts:
        # a second pass, for what the first brought near
        near = _refine(pictures, start, STAGE[kind], MIDDLE, (3.0, 2.0, 1.5))
        first.append(_refine(pictures, near.transform, STAGE[kind], MIDDLE, (2.0, 1.5)))
    first.sort(key=lambda fit: -fit.evidence)
    middle = _refine(pictures, first[0].transform, kind, MIDDLE, (2.0, 1.5, 1.0), beside=True)
    best = _refine(pictures, middle.transform, kind, FINE, (2.0, 1.5, 1.0), spread=True)
    confidence = 1 / (1 + math.exp(min(700.0, (EVIDENCE - best.evidence) / EVIDENCE_WIDTH)))
    width = sizes[0][0]
    if confidence < 0.75:
        raise NotAligned(
            f'not aligned: too little structure in common (confidence {confidence:.2f}, needed 0.75); are the pictures '
            f'of one scene, within {max_shift:.0%} of the width, {max_scale:.0%} of scale and {max_rotation:g} degrees?'
        )
    # far rivals are found by the search, near ones by the blocks
    far = [f.evidence for f in first[1:] if corner_distance(f.transform, first[0].transform, sizes[0]) > 0.03 * width]
    if middle.rival > NEAR_RIVAL * middle.evidence or max(far, default=0.0) > FAR_RIVAL * first[0].evidence:
        raise NotAligned(
            'not aligned: several transforms fit about equally well (a pattern that repeats, or parallel edges alone?)'
        )
    if not best.residual <= max_residual * width:
        raise NotAligned(
            f'not aligned: the corners are uncertain by {best.residual:.1f} pixels (accepted: '
            f'{max_residual * width:.1f}); a kind with fewer parameters may be certain, or a picture with more edges'
        )
    return Alignment(best.transform, kind, *sizes, float(best.residual), float(confidence))


def _grey(image: Any, name: str) -> np.ndarray:
    """(H, W) float32 luma."""
    if not isinstance(image, np.ndarray) or not (image.dtype in (np.uint8, np.uint16) or image.dtype.kind == 'f'):
        raise TypeError(
            f'{name}: expected an array of uint8, uint16 or float, got {getattr(image, "dtype", type(image))}'
        )
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3))) or min(image.shape[:2]) < SMALLEST:
        raise ValueError(f'{name}: expected (H, W) or (H, W, 3) of at least {SMALLEST} a side, got {image.shape}')
    if max(image.shape[:2]) > LONGEST * min(image.shape[:2]):
        raise ValueError(f'{name}: strips longer than {LONGEST} times their width are not aligned, got {image.shape}')
    grey = image.astype(np.float32)
    if image.dtype.kind != 'f':
        grey /= np.iinfo(image.dtype).max
    elif not np.isfinite(grey).all():
        raise ValueError(f'{name}: some pixels are not finite')
    if grey.ndim == 3:
        grey = grey[..., 0] if grey.shape[2] == 1 else grey @ np.array(LUMA, np.float32)
    return np.ascontiguousarray(grey)


def _edges(grey: np.ndarray, sigma: float, area: float) -> np.ndarray:
    """(H, W, 4) strength of the edges by orientation, in [0, 1].

    Doubled angles forget the polarity; the energy around a pixel (standard deviation `area`) forgets the contrast.
    Four channels are the most that OpenCV's template matching takes.
    """
    grey = cv2.GaussianBlur(grey, (0, 0), sigma)
    x = cv2.Scharr(grey, cv2.CV_32F, 1, 0, scale=1 / 32)
    y = cv2.Scharr(grey, cv2.CV_32F, 0, 1, scale=1 / 32)
    square = x * x + y * y
    energy = cv2.GaussianBlur(square, (0, 0), area)
    strength = np.sqrt(square / (energy + 0.25 * np.median(energy) + 1e-7))
    strength /= 1 + strength
    square += 1e-12
    cos, sin = (x * x - y * y) / square, 2 * x * y / square
    channels = [strength * (0.5 + 0.5 * part) ** 3 for part in (cos, sin, -cos, -sin)]
    return cv2.GaussianBlur(np.stack(channels, -1), (0, 0), 1.0)


def _edges_of_warped(
    grey: np.ndarray, transform: np.ndarray, size: tuple[int, int], sigma: float, area: float
) -> tuple[np.ndarray, np.ndarray]:
    """The edges of a picture after its warp, zero where nothing was seen, and the mask of what was."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpPerspective(grey, transform, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    seen = seen_mask(transform, size, grey.shape[::-1], 2)
    return _edges(warped, sigma, area) * seen[..., None], seen


def _at_size(grey: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """A picture resized by a factor and the (3, 3) from the pixels of the result to those of the picture."""
    size = grey.shape[::-1]
    new = tuple(max(8, round(side * factor)) for side in size)
    small = cv2.resize(grey, new, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    return small, resizing(new, size)


def _motion(parameters: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(3, 3) of up to eight parameters, each the displacement in pixels that it makes half a diagonal from the centre.

    In the order of the kinds: shift in x, y; scale, rotation; stretch, shear; perspective in x, y.
    """
    radius = math.hypot(*size) / 2
    x, y, scale, turn, stretch, shear, tilt_x, tilt_y = np.pad(parameters / radius, (0, 8 - len(parameters)))
    matrix = np.array(
        [[1 + scale + stretch, shear - turn, x], [turn + shear, 1 + scale - stretch, y], [tilt_x, tilt_y, 1]]
    )
    centred = np.array(
        [[1 / radius, 0, -(size[0] - 1) / 2 / radius], [0, 1 / radius, -(size[1] - 1) / 2 / radius], [0, 0, 1]]
    )
    motion = np.linalg.inv(centred) @ matrix @ centred
    return motion / motion[2, 2]


def _derivatives(points: np.ndarray, size: tuple[int, int], kind: str) -> np.ndarray:
    """(B, 2, P) of the displacements of points (B, 2) with the parameters of `_motion`."""
    u, v = ((points - (np.array(size) - 1) / 2) / (math.hypot(*size) / 2)).T
    one, zero = np.ones_like(u), np.zeros_like(u)
    columns = [(one, zero), (zero, one), (u, v), (-v, u), (u, -v), (v, u), (-u * u, -u * v), (-u * v, -v * v)]
    return np.stack([np.stack(column, -1) for column in columns[: PARAMETERS[kind]]], -1)


def _search(
    pictures: tuple[np.ndarray, np.ndarray], kind: str, max_shift: float, max_scale: float, max_rotation: float
) -> list[np.ndarray]:
    """The best peaks of the correlation over scales, rotations and shifts: up to four transforms, the best first."""
    fixed, moving = pictures
    size, source = np.array(fixed.shape[::-1], float), np.array(moving.shape[::-1], float)
    small, to_full = _at_size(fixed, COARSE / size.max())
    small_size = small.shape[::-1]
    margin = max(4, math.ceil(max_shift * small_size[0]))
    margins = [min(margin, side // 3) for side in small_size]
    template = _edges(small, 0.7, 6.0)[margins[1] : -margins[1], margins[0] : -margins[0]]
    ratio = source / size
    base = math.sqrt(ratio.prod())
    low, high = ratio.min() / base, ratio.max() / base
    scales, rotations = np.array([1.0]), np.array([0.0])
    if kind != 'translation':
        low, high = low * (1 - max_scale), high * (1 + max_scale)
        scales = np.linspace(low, high, 1 + 2 * math.ceil((high - low) / STEP_SCALE / 2))
        rotations = np.linspace(-max_rotation, max_rotation, 1 + 2 * math.ceil(max_rotation / STEP_ROTATION))
    shrunk, from_shrunk = _at_size(moving, COARSE / size.max() / base)
    if not np.ptp(template) > 1e-3 or not np.ptp(_edges(shrunk, 0.7, 6.0)) > 1e-3:
        return []
    centre = np.eye(3)
    centre[:2, 2] = (np.array(shrunk.shape[::-1]) - small_size) / 2
    radius = math.hypot(*small_size) / 2
    peaks = []
    for scale in scales:
        for rotation in rotations:
            turned = scale * np.exp(1j * math.radians(rotation)) - 1
            start = centre @ _motion(radius * np.array([0, 0, turned.real, turned.imag]), small_size)
            edges, _ = _edges_of_warped(shrunk, start, small_size, 0.7, 6.0)
            surface = np.nan_to_num(cv2.matchTemplate(edges, template, cv2.TM_CCOEFF_NORMED), posinf=0, neginf=0)
            for _ in range(2):
                y, x = np.unravel_index(surface.argmax(), surface.shape)
                shift = np.array([[1, 0, x - margins[0]], [0, 1, y - margins[1]], [0, 0, 1.0]])
                transform = from_shrunk @ start @ shift @ np.linalg.inv(to_full)
                peaks.append((float(surface[y, x]), transform))
                surface[max(0, y - 4) : y + 5, max(0, x - 4) : x + 5] = -1
    peaks.sort(key=lambda peak: -peak[0])
    distinct: list[np.ndarray] = []
    for _, transform in peaks:
        if all(corner_distance(transform, other, fixed.shape[::-1]) > 0.03 * size[0] * base for other in distinct):
            distinct.append(transform)
        if len(distinct) == 4:
            break
    return distinct


class _Fit(NamedTuple):
    transform: np.ndarray
    evidence: float
    residual: float
    rival: float


def _refine(
    pictures: tuple[np.ndarray, np.ndarray],
    transform: np.ndarray,
    kind: str,
    working: int,
    widths: tuple[float, ...],
    spread: bool = False,
    beside: bool = False,
) -> _Fit:
    """Fit a transform near a given one to the correlation surfaces of blocks.

    Args:
        pictures: Fixed and moving, grey.
        transform: Start, right to a few working pixels.
        kind: What may change.
        working: Longer side of the fixed picture while fitting, in pixels.
        widths: Standard deviations of the kernel that the surfaces are seen through, one fit each, in working pixels.
        spread: Whether the residual is estimated.
        beside: Whether the rival is sought, else 0.
    """
    fixed, moving = pictures
    factor = working / max(fixed.shape)
    small, to_full = _at_size(fixed, factor)
    size = small.shape[::-1]
    # at most a little magnified: the moving picture at the resolution that the warp needs
    shrunk, from_shrunk = _at_size(moving, min(1.0, factor / math.sqrt(abs(np.linalg.det(transform[:2, :2])))))
    start = np.linalg.inv(from_shrunk) @ transform @ to_full
    area, sigma = working / 25, 0.8 if working < FINE else 1.0
    edges = _edges(small, sigma, area)
    warped, seen = _edges_of_warped(shrunk, start, size, sigma, area)
    reach, block = (8, 40) if working < FINE else (6, 56)
    blocks = _Blocks.match(edges, warped, seen, reach, block, kind)
    count = PARAMETERS[kind]
    if blocks is None:
        return _Fit(transform, 0.0, math.inf, 1.0)
    parameters = np.zeros(count)
    for width in widths:
        parameters = blocks.fit(parameters, width)
    motion = _motion(parameters, size)
    evidence = blocks.evidence(parameters, widths[-1])
    residual = math.inf
    if spread:
        generator = np.random.default_rng(0)
        corners = corners_of(motion, size)
        drawn = generator.multinomial(len(blocks.points), np.full(len(blocks.points), 1 / len(blocks.points)), size=20)
        others = [corners_of(_motion(blocks.fit(parameters, widths[-1], draw, 4), size), size) for draw in drawn]
        variance = float(((np.array(others) - corners) ** 2).sum(-1).mean()) + blocks.corner_variance(
            parameters, widths[-1], size
        )
        residual = math.sqrt(variance) / factor
    result = from_shrunk @ start @ motion @ np.linalg.inv(to_full)
    rival = blocks.rival(parameters, widths[-1], reach) if beside else 0.0
    return _Fit(result / result[2, 2], evidence, residual, rival)


class _Blocks:
    """Correlation surfaces of the blocks of one picture with another, and the fit of a motion to all of them."""

    def __init__(self, points: np.ndarray, surfaces: np.ndarray, size: tuple[int, int], kind: str) -> None:
        self.points = points
        reach = surfaces.shape[1] // 2
        steps = np.arange(-reach, reach + 1)
        self.steps = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2).astype(np.float32)
        surfaces = surfaces.reshape(len(points), -1)
        likelihood = np.exp(SHARPNESS * (surfaces - surfaces.max(1, keepdims=True)))
        self.likelihood = likelihood / likelihood.mean(1, keepdims=True)
        self.derivatives = _derivatives(points, size, kind)
        expected = np.full(PARAMETERS[kind], 1e3)
        expected[4:] = DEPARTURE * math.hypot(*size) / 2
        self.prior = 1 / expected**2

    @classmethod
    def match(
        cls, edges: np.ndarray, warped: np.ndarray, seen: np.ndarray, reach: int, side: int, kind: str
    ) -> _Blocks | None:
        """Blocks of `side` pixels, half overlapping, moved up to `reach`; None where fewer than eight are seen."""
        size = edges.shape[1::-1]
        starts = [
            np.linspace(reach, n - reach - side, max(2, round((n - 2 * reach - side) / (side / 2)) + 1)).astype(int)
            for n in size
        ]
        points, surfaces = [], []
        for y in starts[1]:
            for x in starts[0]:
                template = edges[y : y + side, x : x + side]
                if y < reach or x < reach or seen[y : y + side, x : x + side].mean() < 0.6 or np.ptp(template) < 1e-3:
                    continue
                window = warped[y - reach : y + side + reach, x - reach : x + side + reach]
                surface = cv2.matchTemplate(window, template, cv2.TM_CCOEFF_NORMED)
                points.append((x + (side - 1) / 2, y + (side - 1) / 2))
                surfaces.append(np.clip(np.nan_to_num(surface, posinf=0, neginf=0), -1, 1))
        return cls(np.array(points), np.array(surfaces), size, kind) if len(points) >= 8 else None

    def _moments(self, displacement: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Density at the displacements (B, 2) seen through a Gaussian, and mean and covariance under it."""
        kernel = np.exp(-((self.steps - displacement[:, None]) ** 2).sum(-1) / (2 * width**2))
        weight = self.likelihood * kernel
        total = weight.sum(1) + 1e-12
        mean = weight @ self.steps / total[:, None]
        square = weight @ (self.steps[:, :, None] * self.steps[:, None]).reshape(-1, 4) / total[:, None]
        covariance = square.reshape(-1, 2, 2) - mean[:, :, None] * mean[:, None]
        return total / (2 * math.pi * width**2), mean, covariance

    def _normal_equations(
        self, parameters: np.ndarray, width: float, draw: np.ndarray | float, least: float
    ) -> tuple[np.ndarray, np.ndarray]:
        density, mean, covariance = self._moments(self.derivatives @ parameters, width)
        inlier = draw * (1 - OUTLIERS) * density / ((1 - OUTLIERS) * density + OUTLIERS) / width**2
        # along a straight edge the density does not fall off: the covariance is the kernel's, and nothing is known
        values, vectors = np.linalg.eigh(np.eye(2) - covariance / width**2)
        known = (vectors * np.clip(values, least, 1)[:, None]) @ vectors.transpose(0, 2, 1) * inlier[:, None, None]
        pull = (mean - self.derivatives @ parameters) * inlier[:, None]
        curvature = np.einsum('bki,bkl,blj->ij', self.derivatives, known, self.derivatives) + np.diag(self.prior)
        return curvature, np.einsum('bij,bi->j', self.derivatives, pull) - self.prior * parameters

    def fit(
        self, parameters: np.ndarray, width: float, draw: np.ndarray | float = 1.0, iterations: int = 6
    ) -> np.ndarray:
        """Newton steps to the parameters under which the surfaces are most likely; `draw` weighs the blocks."""
        for _ in range(iterations):
            curvature, gradient = self._normal_equations(parameters, width, draw, 0.02)
            step = np.linalg.solve(curvature, gradient)
            largest = np.abs(step).max()
            parameters = parameters + step * min(1, 2 * width / max(largest, 1e-9))
            if largest < 0.02:
                break
        return parameters

    def evidence(self, parameters: np.ndarray, width: float) -> float:
        """Log of how much more likely the surfaces are under the parameters than under any displacements, in nats."""
        density = self._moments(self.derivatives @ parameters, width)[0]
        return float(np.log((1 - OUTLIERS) * density + OUTLIERS).sum())

    def rival(self, parameters: np.ndarray, width: float, reach: int) -> float:
        """The largest evidence (nats) at least four pixels beside the parameters, as far as the surfaces reach.

        It is near that of the parameters where nothing but parallel edges, or a pattern that repeats, is seen.
        """
        steps = np.arange(-reach, reach + 1, 2)
        shifts = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
        beside = np.pad(shifts[np.hypot(*shifts.T) >= 4], ((0, 0), (0, len(parameters) - 2)))
        return max(self.evidence(parameters + shift, width) for shift in beside)

    def corner_variance(self, parameters: np.ndarray, width: float, size: tuple[int, int]) -> float:
        """Mean square error of the corners by the curvature of the fit, of what no block holds in the first place."""
        curvature, _ = self._normal_equations(parameters, width, 1.0, 0.0)
        covariance = np.linalg.inv(curvature)
        corners = corners_of(np.eye(3), size)
        slopes = _derivatives(corners, size, next(k for k, n in PARAMETERS.items() if n == len(parameters)))
        return float(np.einsum('bki,ij,bkj->b', slopes, covariance, slopes).mean())
