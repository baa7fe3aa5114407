"""Painter's canvas of a rendered scene: one camera, one set of layers, procedural textures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import cv2
import numpy as np

FAR = 100.0  # metres that map to depth 1
OVERSAMPLING = 2
CAR, PERSON, BIKE, CURVE, CAR_STOP, GUARDRAIL, COLOR_CONE, BUMP = range(1, 9)  # MSRS label ids; 0 is background
NEAR = 0.6  # metres; ground polygons are clipped here

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Camera:
    """Pinhole camera with the optical axis parallel to the ground.

    World axes: X right, Y up from the ground, Z forward, in metres. ``focal``, ``centre`` (column of the axis) and
    ``horizon`` (row) are in canvas pixels, ``height`` in metres.
    """

    height: float
    focal: float
    centre: float
    horizon: float

    def project(self, points: np.ndarray) -> np.ndarray:
        """World points (..., 3) to canvas points (..., 2), x then y."""
        points = np.asarray(points, np.float64)
        scale = self.focal / np.maximum(points[..., 2], 1e-3)
        out = np.empty((*points.shape[:-1], 2))
        out[..., 0] = self.centre + points[..., 0] * scale
        out[..., 1] = self.horizon + (self.height - points[..., 1]) * scale
        return out

    def ground_depth(self, rows: np.ndarray) -> np.ndarray:
        """Distance in metres at which the ground appears in a canvas row (infinite at and above the horizon)."""
        below = np.asarray(rows, np.float64) - self.horizon
        return np.where(below > 0, self.focal * self.height / np.maximum(below, 1e-6), np.inf)


@dataclass(frozen=True)
class Weather:
    """Temperatures in degrees Celsius; ``sun`` is the unit vector to the sun (X, Y, Z)."""

    night: bool
    overcast: bool
    air: float
    sky: float
    sun: np.ndarray
    sun_heat: float  # warming of a fully sunlit wall over the air


@dataclass(frozen=True)
class Light:
    """Lamp at ``position`` with linear RGB intensity; ``direction`` (unit vector) makes it a headlight beam."""

    position: tuple[float, float, float]
    rgb: np.ndarray
    direction: np.ndarray | None = None


@dataclass
class Canvas:
    """Layers at twice the output size.

    ``surface`` (H, W, 4) uint8: sRGB colour and direct sunlight received. ``fields`` (H, W, 4) float32: temperature in
    degrees Celsius, depth in [0, 1], label, emission (factor on the linear colour).
    """

    shape: tuple[int, int]
    camera: Camera
    surface: np.ndarray = field(init=False)
    fields: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.surface = np.zeros((*self.shape, 4), np.uint8)
        self.fields = np.zeros((*self.shape, 4), np.float32)

    def fill(
        self,
        xy: np.ndarray,
        rgb: Colour,
        temperature: float,
        z: float,
        sun: float = 0.0,
        label: int = 0,
        emission: float = 0.0,
    ) -> None:
        """Fill a canvas polygon (N, 2) with one material at distance ``z`` metres."""
        points = [fixed_point(xy)]
        cv2.fillPoly(self.surface, points, (*clip_colour(rgb), min(max(sun, 0.0), 1.0) * 255), shift=4)
        cv2.fillPoly(self.fields, points, (temperature, min(z / FAR, 1.0), label, emission), shift=4)

    def fill_world(self, points: np.ndarray, rgb: Colour, temperature: float, **material: float) -> None:
        """Fill a polygon of world points (N, 3) at their mean distance."""
        points = np.asarray(points, np.float64)
        self.fill(self.camera.project(points), rgb, temperature, float(points[:, 2].mean()), **material)

    def stroke(
        self,
        xy: np.ndarray,
        width: float,
        rgb: Colour,
        temperature: float,
        z: float,
        sun: float = 0.0,
        label: int = 0,
        closed: bool = False,
    ) -> None:
        """Draw a polyline of canvas points (N, 2), at least one canvas pixel wide."""
        points, thick = [fixed_point(xy)], max(1, round(width))
        colour = (*clip_colour(rgb), min(max(sun, 0.0), 1.0) * 255)
        cv2.polylines(self.surface, points, closed, colour, thick, shift=4)
        cv2.polylines(self.fields, points, closed, (temperature, min(z / FAR, 1.0), label, 0), thick, shift=4)

    def capsule(self, start: tuple, end: tuple, radii: tuple[float, float], *material: object, **more: object) -> None:
        """Fill the convex hull of two discs (canvas points, radii in pixels), the shape of a limb."""
        ring = _ring(12)
        points = np.concatenate([np.asarray(start) + ring * radii[0], np.asarray(end) + ring * radii[1]])
        self.fill(cv2.convexHull(points.astype(np.float32))[:, 0], *material, **more)

    def window(self, low: np.ndarray, high: np.ndarray) -> tuple[slice, slice] | None:
        """Row and column slices of a canvas box, or None if it lies outside."""
        height, width = self.shape
        x0, y0 = max(0, min(width, int(low[0]))), max(0, min(height, int(low[1])))
        x1, y1 = max(0, min(width, int(high[0]) + 1)), max(0, min(height, int(high[1]) + 1))
        return (slice(y0, y1), slice(x0, x1)) if x1 - x0 > 1 and y1 - y0 > 1 else None

    def paste(self, window: tuple[slice, slice], mask: np.ndarray, surface: np.ndarray, fields: np.ndarray) -> None:
        """Copy (h, w, 4) patches of both layers into a window where ``mask`` (h, w) is true."""
        chosen = mask.astype(np.uint8)
        cv2.copyTo(surface, chosen, self.surface[window])
        cv2.copyTo(fields, chosen, self.fields[window])

    def grain(self, low: np.ndarray, high: np.ndarray, z: float, label: int, strength: float, offset: int) -> None:
        """Give the pixels of one object (label and distance) folds and blotches, which infrared hardly shows."""
        window = self.window(low, high)
        if window is None:
            return
        height, width = self.surface[window].shape[:2]
        if min(height, width) < 12:
            return
        side = min(160, max(24, height // 2))
        noise = cv2.resize(patch('fractal', side, side, (offset % 512, offset // 512 % 512)), (width, height))
        fields = self.fields[window]
        noise *= np.float32(1 / 255) * cv2.inRange(
            fields, (-99, min(z / FAR, 1.0) - 0.02, label, 0), (99, min(z / FAR, 1.0) + 0.02, label, 99)
        )
        surface = self.surface[window]
        factor = cv2.merge([1 + np.float32(strength) * noise] * 3 + [np.ones_like(noise)])
        cv2.multiply(surface, factor, dst=surface, dtype=cv2.CV_8U)
        fields[..., 0] += np.float32(0.6) * noise


def fixed_point(xy: np.ndarray) -> np.ndarray:
    """Canvas points as OpenCV fixed-point integers with four fractional bits."""
    return (np.minimum(np.maximum(xy, -4e4), 4e4) * 16 + 0.5).astype(np.int32)


def clip_colour(rgb: Colour) -> tuple[float, ...]:
    """A colour with every channel cut to [0, 255], as OpenCV's drawing functions need it."""
    return tuple(min(max(float(c), 0.0), 255.0) for c in rgb)


@cache
def _ring(count: int) -> np.ndarray:
    angle = np.arange(count) * (2 * np.pi / count)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def clip_near(points: np.ndarray) -> np.ndarray:
    """Cut a polygon of world points (N, 3) at the plane Z = NEAR (Sutherland-Hodgman)."""
    kept = []
    for a, b in zip(points, np.roll(points, -1, axis=0), strict=True):
        if a[2] >= NEAR:
            kept.append(a)
        if (a[2] >= NEAR) != (b[2] >= NEAR):
            kept.append(a + (NEAR - a[2]) / (b[2] - a[2]) * (b - a))
    return np.array(kept).reshape(-1, 3)


@cache
def texture(name: str) -> np.ndarray:
    """Seamless 512 x 512 float32 tile, zero mean and unit deviation; the same in every process.

    ``speckle`` (asphalt grains), ``fractal`` (1/f blotches), ``cloud`` (1/f^2), ``leaf`` (clumps with dark gaps),
    ``paver`` (slabs with joints, 32 pixels each).
    """
    names = ('speckle', 'fractal', 'cloud', 'leaf', 'paver')
    rng = np.random.default_rng([names.index(name), 20])
    if name == 'paver':
        tile = np.repeat(np.repeat(rng.normal(0, 0.5, (16, 16)), 32, axis=0), 32, axis=1)
        tile[::32], tile[:, ::32], tile[1::32], tile[:, 1::32] = -4, -4, -3, -3
        tile += 0.4 * texture('speckle')
    else:
        frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(512), np.fft.rfftfreq(512), indexing='ij')) * 512
        frequency[0, 0] = 1
        spectrum = {
            'speckle': np.exp(-((frequency / 180) ** 2)),
            'fractal': frequency**-1.1,
            'cloud': frequency**-1.9,
            'leaf': frequency**-0.55 * np.exp(-((frequency / 150) ** 2)),
        }[name]
        tile = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((512, 512))) * spectrum, s=(512, 512))
        tile = (tile - tile.mean()) / tile.std()
        if name == 'leaf':
            tile = np.sign(tile) * np.abs(tile) ** 0.8
    tile = (tile - tile.mean()) / tile.std()
    tile = tile.astype(np.float32)
    tile.setflags(write=False)
    return tile


def patch(name: str, height: int, width: int, offset: tuple[int, int]) -> np.ndarray:
    """Crop of a texture tile, sides up to 512, corner anywhere (the tile repeats)."""
    y, x = int(offset[0]) % 512, int(offset[1]) % 512
    return _doubled(name)[y : y + height, x : x + width]


@cache
def _doubled(name: str) -> np.ndarray:
    return np.tile(texture(name), (2, 2))


@dataclass
class World:
    """What the object painters share. ``shadows`` collects ground polygons (N, 3), each solid or of leaves."""

    camera: Camera
    canvas: Canvas
    weather: Weather
    rng: np.random.Generator
    lights: list[Light] = field(default_factory=list)
    shadows: list[tuple[np.ndarray, bool]] = field(default_factory=list)
    contacts: list[np.ndarray] = field(default_factory=list)
    items: list[tuple[int, float, int, Callable[[], None]]] = field(default_factory=list)

    def add(self, z: float, paint: Callable[[], None], layer: int = 1) -> None:
        """Queue a painter; layers (0 buildings, 1 what stands before them) go one after the other, each far to near."""
        self.items.append((layer, -z, len(self.items), paint))

    def paint_items(self, seed: int) -> None:
        """Run the queue; every item has its own generator, so that none depends on what the others draw."""
        for _, _, index, paint in sorted(self.items, key=lambda item: item[:3]):
            self.rng = np.random.default_rng([seed, index])
            paint()

    def cast(self, base: np.ndarray, bottom: float, top: float, leaves: bool = False) -> None:
        """Add the sun's shadow of a prism over ground points ``base`` (N, 2: X, Z) between two heights."""
        sun = self.weather.sun
        shift = -np.array([sun[0], sun[2]]) / max(sun[1], 0.15)
        hull = cv2.convexHull(np.concatenate([base + bottom * shift, base + top * shift]).astype(np.float32))[:, 0]
        self.shadows.append((np.insert(hull.astype(np.float64), 1, 0.0, axis=1), leaves))

    def sunlight(self, x: float, z: float) -> float:
        """1 where the ground at (x, z) lies in the sun, 0 in the shade."""
        column, row = self.camera.project(np.array([x, 0.0, z]))
        height, width = self.canvas.shape
        row, column = int(np.clip(row, 0, height - 1)), int(np.clip(column, 0, width - 1))
        return min(1.0, float(self.canvas.surface[row, column, 3]) / 255 / max(self.weather.sun[1], 0.1))


def box(x: float, z: float, width: float, length: float) -> np.ndarray:
    """Ground rectangle (4, 2) centred on (x, z)."""
    a, b = width / 2, length / 2
    return np.array([[x - a, z - b], [x + a, z - b], [x + a, z + b], [x - a, z + b]])


def scaled(rgb: Colour, factor: float) -> Colour:
    """A colour at another brightness, not clipped."""
    return (rgb[0] * factor, rgb[1] * factor, rgb[2] * factor)


def vivid(rng: np.random.Generator, dull: float = 0.6) -> Colour:
    """Random object colour: mostly greys and dark tones, some saturated ones."""
    grey = rng.choice([20, 35, 60, 110, 170, 220, 240]) + rng.uniform(-12, 12)
    if rng.random() < dull:
        return tuple(grey + rng.uniform(-8, 8, 3))
    hue, value = rng.uniform(0, 180), rng.uniform(70, 220)
    hsv = np.array([[[hue, rng.uniform(50, 190), value]]]).astype(np.uint8)
    return tuple(float(c) for c in cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0])
