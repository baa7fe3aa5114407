"""What lies behind and below the objects: sky, horizon, and the ground with its markings and shadows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from lurefusion.datasets.scenes.canvas import BUMP, CURVE, FAR, Colour, World, clip_near, fixed_point, scaled, texture


@dataclass(frozen=True)
class Street:
    """Road of half width ``half`` around x = shift + bend * z^2 (straight past 90 m), metres.

    ``pavement`` is the width of the strips beside it, ``grass`` and ``built`` describe the left and the right side:
    lawn behind the pavement, share of the length with buildings.
    """

    half: float
    pavement: float
    shift: float
    bend: float
    grass: tuple[bool, bool]
    built: tuple[float, float]

    def at(self, u: float) -> Callable[[float], float]:
        """Path at lateral offset ``u`` metres from the middle of the road."""
        return lambda z: self.shift + u + self.bend * z * np.minimum(z, 90.0)


def paint_sky(world: World) -> None:
    """Sky with clouds down to the horizon, far hills or tree line, wires."""
    rng, canvas, camera, weather = world.rng, world.canvas, world.camera, world.weather
    height, width = canvas.shape
    rows = min(height, int(camera.horizon) + 1)
    half = (max(2, (width + 3) // 4), max(2, (rows + 3) // 4))
    up = np.linspace(1, 0, half[1], dtype=np.float32)[:, None] * (rows / height) / 0.5
    tones = rng.spawn(1)[0]  # what differs by the time of day must not move the rest
    start = rng.integers(0, 512, 2)
    stretch = 300 / half[0]
    column = (np.arange(half[0], dtype=np.float32) * stretch + start[0])[None]
    row = 120 / (up + 0.25) + start[1]
    cloud = cv2.remap(texture('cloud'), *(np.broadcast_to(a, half[::-1]).astype(np.float32) for a in (column, row)),
                      cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)  # fmt: skip
    cover = np.clip((cloud - rng.uniform(-0.3, 1.6)) * 0.8, 0, 1)
    cover = np.maximum(cover, 0.85 + 0.1 * np.clip(cloud, -1, 1)) if weather.overcast else cover
    if weather.night:
        level = tones.uniform(3, 34)
        zenith, haze, white = (
            np.array([0.5, 0.7, 1.2]) * level,
            np.array([1.1, 1.0, 1.0]) * level,
            np.array([1.3, 1.2, 1.2]) * level,
        )
    else:
        zenith = np.array([tones.uniform(70, 130), tones.uniform(130, 175), tones.uniform(195, 240)])
        haze, white = np.array([205, 222, 238]) * tones.uniform(0.9, 1.05), np.array([240, 240, 242])
        if weather.overcast:
            zenith, haze, white = np.full(3, 200.0), np.full(3, 225.0), np.full(3, tones.uniform(185, 235))
    mix = np.clip(up, 0, 1)[..., None] ** 0.6
    sky = haze + (zenith - haze) * mix
    sky = sky + (white * (0.92 + 0.06 * cloud[..., None]) - sky) * cover[..., None]
    emission = 0.35 if weather.night else tones.uniform(0.9, 1.5)
    warmth = weather.sky + 2.5 * (1 - np.clip(up, 0, 1)) ** 2 + 2.0 * cover
    flat = np.zeros_like(warmth, np.float32)
    surface = np.dstack([np.clip(sky, 0, 255), flat]).astype(np.uint8)
    fields = cv2.merge([warmth.astype(np.float32), flat + 1, flat, flat + np.float32(emission)])
    cv2.resize(surface, (width, rows), dst=canvas.surface[:rows])
    cv2.resize(fields, (width, rows), dst=canvas.fields[:rows])
    _paint_far(world)
    if rng.random() < 0.35:
        for _ in range(rng.integers(2, 6)):
            y0, y1 = rng.uniform(0.1, 0.75, 2) * rows
            f = np.linspace(0, 1, 12)
            wire = np.stack([f * width, y0 + (y1 - y0) * f + 0.12 * rows * (1 - (2 * f - 1) ** 2)], axis=1)
            canvas.stroke(wire, width / 640, (30, 30, 32), weather.air - 1, rng.uniform(15, 40))


def _paint_far(world: World) -> None:
    """Two ragged silhouettes on the horizon: distant hills or blocks, then a tree line."""
    rng, canvas, weather = world.rng, world.canvas, world.weather
    height, width = canvas.shape
    for z, tall, kind in ((97.0, rng.uniform(0.02, 0.12), rng.integers(3)), (90.0, rng.uniform(0.02, 0.07), 0)):
        profile = np.roll(texture('fractal' if kind == 0 else 'cloud')[int(rng.integers(512))], int(rng.integers(512)))
        ridge = np.interp(np.arange(width), np.linspace(0, width, 200), profile[:200])
        if kind == 1:
            ridge = ridge[(np.arange(width) // max(4, width // 40)) * max(4, width // 40) % width]
        top = world.camera.horizon - height * tall * (1 + 0.35 * ridge)
        bottom = int(min(height, world.camera.horizon + 2))
        first = max(0, int(top.min()))
        if bottom - first < 2:
            continue
        inside = np.arange(first, bottom)[:, None] >= top[None]
        tile = cv2.resize(
            texture('leaf')[: max(8, (bottom - first) // 2), : min(512, width // 3)], (width, bottom - first)
        )
        base = np.array([76, 90, 66]) if kind == 0 else np.array([120, 125, 130]) * rng.uniform(0.6, 1.2)
        tone = np.maximum(0.85 + np.float32(0.28 if kind == 0 else 0.06) * tile, 0)
        sunlit = np.full_like(tone, 90 * (not weather.night))
        surface = cv2.merge([*(tone * np.float32(c) for c in base), sunlit]).astype(np.uint8)
        zero = np.zeros_like(tone)
        fields = cv2.merge(
            [np.float32(weather.air - 1.5) + np.float32(0.8) * tile, zero + np.float32(z / FAR), zero, zero]
        )
        canvas.paste((slice(first, bottom), slice(0, width)), inside, surface, fields)


def paint_ground(world: World, street: Street) -> None:
    """Road, markings, kerbs and side strips with texture, then the shadows of everything."""
    rng, canvas, camera, weather = world.rng, world.canvas, world.camera, world.weather
    height = canvas.shape[0]
    first = max(0, min(height - 2, int(np.ceil(camera.horizon + 0.5))))
    canvas.fields[first:, :, 1] = np.minimum(camera.ground_depth(np.arange(first, height) + 0.5) / FAR, 1)[:, None]
    canvas.fields[first:, :, 3] = 0
    incidence = max(0.1, float(weather.sun[1]))
    canvas.surface[first:, :, 3] = round(255 * incidence)
    stored = rng.uniform(0.5, 4)  # heat of the day kept by the road at night
    warm = weather.air + (stored if weather.night else weather.sun_heat * incidence)
    flat = Ground(world, street, first)
    tone = rng.uniform(58, 135)
    road = (tone, tone * rng.uniform(0.97, 1.01), tone * rng.uniform(0.94, 1.06))
    for side, grass in zip((-1.0, 1.0), street.grass, strict=True):
        rgb = (
            tuple(np.array([98, 108, 68]) * rng.uniform(0.75, 1.2) + rng.uniform(-12, 12, 3))
            if grass
            else (tone * 1.1 + 25,) * 3
        )
        lawn = weather.air + (0.5 * weather.sun_heat * incidence if not weather.night else -0.5)
        flat.strip(side * street.half, side * 400, rgb, lawn if grass else warm - 0.6)
        walk = rng.uniform(125, 195)
        flat.strip(
            side * street.half, side * (street.half + street.pavement), (walk, walk * 0.98, walk * 0.94), warm - 0.8
        )
    flat.strip(-street.half, street.half, road, warm)
    _paint_road(flat, street, tone, warm)
    for side in (-1.0, 1.0):
        if rng.random() < 0.88:
            grey = rng.uniform(140, 205)
            edge = side * street.half
            flat.strip(edge, edge + side * 0.24, (grey,) * 3, warm - 1.0, label=CURVE)
            flat.strip(edge - side * 0.09, edge, (grey * 0.62,) * 3, warm - 0.4, label=CURVE)
    flat.finish()


def _paint_road(flat: Ground, street: Street, tone: float, warm: float) -> None:
    """Lane paint, tar seams, patches, manholes, crossings and speed bumps."""
    rng, weather = flat.world.rng, flat.world.weather
    half = street.half
    cool = warm - (1.2 if not weather.night else 0.3)  # white paint takes up less heat
    for _ in range(rng.integers(0, 6)):
        u, z = rng.uniform(-half, half), float(np.exp(rng.uniform(1, 3.6)))
        patch = tone * rng.uniform(0.7, 1.2)
        flat.strip(
            u, u + rng.uniform(0.5, 2.5), (patch,) * 3, warm + rng.uniform(-0.8, 0.8), (z, z + rng.uniform(0.5, 5))
        )
    for lane in (-half / 2, half / 2):  # worn wheel tracks, warmer where cars have passed
        for u in (lane - 0.75, lane + 0.75):
            flat.strip(u - 0.22, u + 0.22, (tone * 0.94,) * 3, warm + 0.7)
    for _ in range(rng.integers(0, 4)):
        u = rng.uniform(-half, half)
        steps = np.linspace(2.5, 45, 40)
        drift = u + np.cumsum(rng.normal(0, 0.12, 40))
        path = np.stack([street.at(0)(steps) + drift, 0 * steps, steps], axis=1)
        points = flat.world.camera.project(path)
        for a, b, z in zip(points, points[1:], steps, strict=False):
            width = 0.045 * flat.world.camera.focal / z
            flat.world.canvas.stroke(np.array([a, b]), width, (tone * 0.45,) * 3, warm + 1.2, z, flat.sun)
    paint = rng.uniform(190, 245)
    white = (paint, paint, paint * 0.96)
    yellow = (paint * 0.95, paint * 0.72, paint * 0.25)
    middle = yellow if rng.random() < 0.5 else white
    style = rng.random()
    if style < 0.4:
        for z in np.arange(rng.uniform(0, 8), 110, 8.0):
            flat.strip(-0.07, 0.07, middle, cool, (z, z + 4))
    elif style < 0.75:
        for u in (-0.16, 0.08):
            flat.strip(u, u + 0.09, middle, cool)
    if half > 5:
        for z in np.arange(rng.uniform(0, 8), 90, 9.0):
            for u in (-half / 2, half / 2):
                flat.strip(u - 0.06, u + 0.06, white, cool, (z, z + 3.5))
    for side in (-1, 1):
        if rng.random() < 0.7:
            flat.strip(side * (half - 0.45), side * (half - 0.33), white, cool)
    if rng.random() < 0.3:  # zebra crossing
        z = rng.uniform(5, 22)
        for u in np.arange(-half + 0.3, half - 0.5, 1.0):
            flat.strip(u, u + 0.5, white, cool, (z, z + 3))
        flat.strip(-half, 0, white, cool, (z - 1.4, z - 1.0))
    if rng.random() < 0.3:
        flat.arrow(rng.choice([-1, 1]) * half / 2, rng.uniform(5, 16), white, cool)
    if rng.random() < 0.45:
        flat.disc(rng.uniform(-0.8, 0.8) * half, rng.uniform(3.5, 15), (tone * 0.6,) * 3, warm + rng.uniform(-1, 3))
    if rng.random() < 0.28:
        z, deep = rng.uniform(4.5, 20), rng.uniform(0.35, 0.9)
        dark = (48, 46, 44) if rng.random() < 0.6 else (tone * 0.8 + 40, tone * 0.7 + 20, tone * 0.6)
        light = (222, 176, 40) if dark[0] < 50 else (tone * 1.1 + 45, tone * 0.95 + 20, tone * 0.85)
        bars = np.linspace(-half, half, int(2 * half / 0.5) + 1)
        for k, (a, b) in enumerate(pairwise(bars)):
            flat.strip(a, b, dark if k % 2 else light, warm + 0.9, (z, z + deep), label=BUMP)
        flat.strip(-half, half, (35, 33, 32), warm + 0.4, (z - 0.07, z), label=BUMP)


class Ground:
    """Painter of flat shapes that follow the street, between the camera and the horizon."""

    def __init__(self, world: World, street: Street, first: int) -> None:
        self.world, self.street, self.first = world, street, first
        nearest = float(world.camera.ground_depth(world.canvas.shape[0]))
        self.samples = np.geomspace(max(0.3, 0.6 * nearest), 3000.0, 32)
        self.sun = max(0.1, float(world.weather.sun[1]))

    def strip(self, u0: float, u1: float, rgb: Colour, heat: float, z: tuple | None = None, label: int = 0) -> None:
        """Fill lateral offsets u0 to u1 (metres), over distances ``z`` (default: all of them)."""
        samples = self.samples if z is None else np.linspace(max(z[0], 0.3), z[1], 6)
        centre = self.street.at(0.0)(samples)
        left = np.stack([centre + u0, 0 * samples, samples], axis=1)
        right = np.stack([centre + u1, 0 * samples, samples], axis=1)
        self._fill(np.concatenate([left, right[::-1]]), rgb, heat, label)

    def arrow(self, u: float, z: float, rgb: Colour, heat: float) -> None:
        x = self.street.at(u)(z)
        outline = np.array([(-0.1, 0), (0.1, 0), (0.1, 2.2), (0.4, 2.2), (0, 4), (-0.4, 2.2), (-0.1, 2.2)])
        self._fill(np.stack([x + outline[:, 0], 0 * outline[:, 0], z + outline[:, 1]], axis=1), rgb, heat, 0)

    def disc(self, u: float, z: float, rgb: Colour, heat: float) -> None:
        angle = np.arange(20) * (2 * np.pi / 20)
        x = self.street.at(u)(z)
        for radius, tone in ((0.42, 0.8), (0.36, 1.2), (0.2, 1.0)):
            ring = np.stack([x + radius * np.cos(angle), 0 * angle, z + radius * np.sin(angle)], axis=1)
            self._fill(ring, scaled(rgb, tone), heat, 0)

    def _fill(self, points: np.ndarray, rgb: Colour, heat: float, label: int) -> None:
        xy = self.world.camera.project(points)
        if np.ptp(xy[:, 1]) < 0.5:
            return
        self.world.canvas.fill(xy, rgb, heat, 0.0, sun=self.sun, label=label)

    def finish(self) -> None:
        """Texture by distance, exact depth of every row, cast shadows and contact shade."""
        canvas, camera, rng = self.world.canvas, self.world.camera, self.world.rng
        height, width = canvas.shape
        first, rows = self.first, height - self.first
        depth = camera.ground_depth(np.arange(first, height) + 0.5)
        canvas.fields[first:, :, 1] = np.minimum(depth / FAR, 1)[:, None]
        # texture at half the canvas resolution: world coordinates of each pixel into seamless tiles
        half = (max(1, rows // 2), max(1, width // 2))
        z = np.minimum(camera.ground_depth(np.linspace(first + 1, height - 1, half[0])), 400.0).astype(np.float32)[
            :, None
        ]
        x = (
            (np.linspace(1, width - 1, half[1], dtype=np.float32)[None] - np.float32(camera.centre))
            / np.float32(camera.focal)
            * z
        )
        z = np.broadcast_to(z, x.shape)
        u = (x - self.street.at(0.0)(z)).astype(np.float32)
        footprint = z[:, :1] ** 2 / np.float32(camera.focal * camera.height) * 2
        start = rng.uniform(0, 512, (4, 2)).astype(np.float32)

        def layer(name: str, scale: float, k: int) -> np.ndarray:
            fade = 1 / (1 + (scale * footprint / 3) ** 2)
            tile = texture(name)
            return cv2.remap(tile, u * np.float32(scale) + start[k, 0], z * np.float32(scale) + start[k, 1],
                             cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP) * fade  # fmt: skip

        rough = rng.uniform(0.05, 0.13)
        blotch = layer('fractal', 14.0, 1)
        large = layer('cloud', 3.5, 2)
        road = rough * layer('speckle', 60.0, 0) + 0.05 * blotch + 0.05 * large
        across = np.abs(u)
        for side, grass in zip((-1.0, 1.0), self.street.grass, strict=True):
            here = u * side > self.street.half
            walk = here & (across < self.street.half + self.street.pavement)
            if walk.any():
                slab = rng.uniform(40, 90)
                road = np.where(walk, 0.06 * layer('paver', slab, 3) + 0.5 * road, road)
            if grass and here.any():
                road = np.where(here & ~walk, 0.24 * layer('leaf', 70.0, 0) + 0.1 * blotch, road)
        heat = 0.7 * blotch + 0.6 * large
        factor = cv2.resize(np.clip(1 + road, 0.3, 1.8), (width, rows))
        canvas.fields[first:, :, 0] += cv2.resize(heat, (width, rows))
        self._shade(first, rows, cv2.resize(blotch, (width, rows)), factor)

    def _shade(self, first: int, rows: int, blotch: np.ndarray, factor: np.ndarray) -> None:
        world, canvas = self.world, self.world.canvas
        width = canvas.shape[1]
        solid, dapple, contact = (np.zeros((rows, width), np.uint8) for _ in range(3))
        sunny = not (world.weather.night or world.weather.overcast)
        for points, leaves in world.shadows if sunny else ():
            self._mask(dapple if leaves else solid, points, first)
        for base in world.contacts:
            self._mask(contact, np.insert(np.asarray(base, np.float64), 1, 0.0, axis=1), first)
        size = max(3, width // 160 * 2 + 1)
        shadow = cv2.blur(solid, (3, 3)).astype(np.float32)
        if sunny:
            leafy = cv2.blur(dapple, (size, 3)).astype(np.float32) * np.clip(0.75 + 0.9 * blotch, 0, 1)
            shadow = np.maximum(shadow, leafy)
        shadow *= np.float32(1 / 255)
        region = canvas.surface[first:]
        factor = factor * (1 - np.float32(0.6 / 255) * cv2.blur(contact, (size, 3)))
        cv2.multiply(region, cv2.merge([factor, factor, factor, 1 - shadow]), dst=region, dtype=cv2.CV_8U)
        canvas.fields[first:, :, 0] -= shadow * np.float32(0.55 * world.weather.sun_heat * self.sun)

    def _mask(self, layer: np.ndarray, points: np.ndarray, first: int) -> None:
        points = clip_near(points)
        if len(points) >= 3:
            cv2.fillPoly(layer, [fixed_point(self.world.camera.project(points) - [0, first])], 255, shift=4)
