"""Trees, hedges and buildings along the street."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lurefusion.datasets.scenes.canvas import (
    FAR,
    Colour,
    Weather,
    World,
    box,
    fixed_point,
    patch,
    scaled,
    texture,
    vivid,
)

LETTERS = ('CAFE', 'HOTEL', 'BANK', 'SHOP', 'PARK', 'NOODLE', 'BOOKS', '24H', 'BAKERY', 'TAXI', 'MARKET', 'SALE')


def foliage(world: World, x: float, y: float, z: float, half: tuple[float, float], rgb: Colour, kind: str) -> None:
    """Leaf mass centred at (x, y, z) with half width and height in metres: 'round', 'cone' or 'hedge' outline."""
    rng, canvas, camera = world.rng, world.canvas, world.camera
    low, high = camera.project(np.array([[x - half[0], y + half[1], z], [x + half[0], y - half[1], z]]))
    window = canvas.window(low, high)
    if window is None:
        return
    seeds = rng.uniform(-0.6, 0.6, (9, 2))
    sizes = rng.uniform(0.3, 0.5, 9)
    offset = rng.integers(0, 512, 2)
    lit = world.sunlight(x, z)
    rows, columns = (np.arange(s.start, s.stop) + 0.5 for s in window)
    v = ((rows - low[1]) / (high[1] - low[1]) * 2 - 1)[:, None]
    u = ((columns - low[0]) / (high[0] - low[0]) * 2 - 1)[None]
    coarse_v = np.linspace(v[0, 0], v[-1, 0], 28)[:, None]
    coarse_u = np.linspace(u[0, 0], u[0, -1], 28)[None]
    if kind == 'cone':
        shape = 0.95 * (coarse_v + 1.02) / 2 - np.abs(coarse_u) + 0.05
        shape = np.minimum(shape * 2, (1 - coarse_v) * 2)
        light = -0.5 * coarse_u
    elif kind == 'hedge':
        shape = np.minimum(1.0 - np.abs(coarse_u), (1.0 + coarse_v) * 1.2) * 2.5 + 0 * coarse_v
        light = -1.2 * coarse_v + 0 * coarse_u
    else:
        distance = [np.hypot((coarse_u - a) / r, (coarse_v - b) / r) for (a, b), r in zip(seeds, sizes, strict=True)]
        shape = np.max([1 - d for d in distance] + [1 - np.hypot(coarse_u, coarse_v) / 0.72], axis=0) * 1.5
        nearest = np.argmin(distance, axis=0)
        light = -(coarse_v - seeds[nearest, 1]) / sizes[nearest] * 0.7 - coarse_v * 0.5
    across = world.weather.sun[0]
    shape, light = np.broadcast_arrays(shape, light + 0.4 * across * coarse_u)
    side = np.clip(np.array([v[-1, 0] - v[0, 0], u[0, -1] - u[0, 0]]) * np.array(half[::-1]) * 45, 16, 512).astype(int)
    tile = patch('leaf', side[0], side[1], offset)
    extent = (len(columns), len(rows))
    shrink = extent[0] < side[1]
    leaf = cv2.resize(np.ascontiguousarray(tile), extent, interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR)
    outline = cv2.resize(np.ascontiguousarray(shape, np.float32), extent)
    glow = cv2.resize(np.ascontiguousarray(light, np.float32), extent)
    mask = outline + 0.32 * leaf > (0.2 if kind != 'hedge' else 0.05)
    tone = np.clip(0.62 + 0.3 * leaf + 0.2 * glow, 0.06, 1.7)
    surface = np.empty((*leaf.shape, 4), np.uint8)
    for channel in range(3):
        surface[..., channel] = np.minimum(tone * np.float32(rgb[channel]), 255)
    surface[..., 3] = np.clip((0.35 + 0.3 * glow + 0.2 * leaf) * np.float32(lit), 0, 1) * 255
    fields = np.zeros((*leaf.shape, 4), np.float32)
    weather = world.weather
    fields[..., 0] = weather.air - (0.5 if weather.night else -0.8) + 0.7 * leaf + 0.15 * weather.sun_heat * glow * lit
    fields[..., 1] = min(z / FAR, 1.0)
    canvas.paste(window, mask, surface, fields)


def add_tree(world: World, x: float, z: float) -> None:
    """Broad-leaved tree, conifer, palm or bush."""
    rng, weather = world.rng, world.weather
    kind = str(rng.choice(['round', 'cone', 'palm', 'bush'], p=[0.58, 0.12, 0.1, 0.2]))
    green = rng.uniform(80, 135)
    rgb = (green * rng.uniform(0.68, 0.98), green, green * rng.uniform(0.42, 0.66))
    if rng.random() < 0.08:
        rgb = (rng.uniform(120, 175), rng.uniform(90, 125), 50)
    tall = {'round': rng.uniform(5, 10), 'cone': rng.uniform(5, 11), 'palm': rng.uniform(7, 12), 'bush': 1.3}[kind]
    wide = (
        tall * rng.uniform(0.26, 0.4) * (1.0 if kind == 'round' else 0.55) if kind != 'bush' else rng.uniform(0.8, 1.8)
    )
    angle = np.arange(10) * (2 * np.pi / 10)
    disc = np.stack([x + wide * 0.9 * np.cos(angle), z + wide * 0.9 * np.sin(angle)], axis=1)
    world.cast(disc, 0.4 * tall if kind != 'bush' else 0, 0.85 * tall, leaves=True)
    if kind != 'bush':
        world.cast(box(x, z, 0.35, 0.35), 0, tall * 0.5)
    lean = rng.uniform(-0.06, 0.06) * tall

    def paint() -> None:
        rng = world.rng
        canvas, unit, lit = world.canvas, world.camera.focal / z, world.sunlight(x, z)
        if kind == 'bush':
            foliage(world, x, 0.74, z, (wide, 0.75), rgb, 'hedge')
            return
        bark = tuple(np.array([92, 76, 60]) * rng.uniform(0.6, 1.2))
        heat = weather.air + 0.25 * weather.sun_heat * lit + (0.8 if weather.night else 0)
        stem = 0.9 if kind == 'palm' else 0.62
        foot, top = world.camera.project(np.array([[x, 0, z], [x + lean, tall * stem, z]]))
        radius = (0.16 if kind == 'palm' else 0.024 * tall + 0.04) * unit
        canvas.capsule(foot, top, (radius, radius * 0.6), bark, heat, z, sun=0.5 * lit)
        canvas.stroke(
            np.array([foot, top]) + np.array([radius * 0.5, 0]), radius * 0.8, scaled(bark, 0.6), heat - 0.4, z
        )
        if kind != 'palm':
            for f in rng.uniform(-1, 1, 4):
                start = foot + (top - foot) * rng.uniform(0.5, 0.95)
                end = top + np.array([f * wide * 0.6, -rng.uniform(0.1, 0.25) * tall]) * unit
                canvas.stroke(np.array([start, end]), radius * 0.5, bark, heat - 0.3, z, 0.3 * lit)
            half = tall * (0.32 if kind == 'round' else 0.44)
            foliage(world, x + lean, tall - half, z, (wide, half * 1.05), rgb, kind)
            return
        for t in np.linspace(0, 2 * np.pi, 22) + rng.uniform(-0.1, 0.1, 22):
            f = np.linspace(0, 1, 6)
            length = rng.uniform(1.4, 2.3)
            curve = top + np.stack([np.cos(t) * f, 0.75 * f**2 - (np.sin(t) * 0.5 + 0.35) * f], axis=1) * length * unit
            tone = scaled(rgb, rng.uniform(0.5, 1.1))
            canvas.stroke(curve, 0.17 * unit, tone, weather.air + rng.uniform(-0.5, 1), z, 0.5 * lit)
            canvas.stroke(curve + np.array([0, 0.05 * unit]), 0.06 * unit, scaled(tone, 0.5), weather.air, z)

    world.add(z, paint)


@dataclass(frozen=True)
class Facade:
    """Look shared by the faces of one building; colours in sRGB, sizes in metres."""

    wall: Colour
    glass_tone: float
    storey: float
    bay: float
    window: tuple[float, float]
    brick: bool
    shop: bool
    lit: float
    warmth: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Facade:
        tone, tint = rng.uniform(70, 225), rng.uniform(-1, 1)
        wall = (tone * (1 + 0.12 * tint), tone, tone * (1 - 0.2 * tint)) if rng.random() < 0.7 else (150, 88, 66)
        return cls(wall, rng.uniform(0.5, 1.5), rng.uniform(2.8, 4.0), rng.uniform(1.8, 4.0),
                   (rng.uniform(0.4, 0.8), rng.uniform(0.4, 0.65)), rng.random() < 0.45, rng.random() < 0.4,
                   rng.choice([0.05, 0.2, 0.5]), rng.uniform(-1.5, 2.5))  # fmt: skip


def paint_face(world: World, look: Facade, corners: np.ndarray, normal: np.ndarray) -> None:
    """One wall of a building; ``corners`` (4, 3): top left, top right, bottom right, bottom left as seen."""
    rng, canvas, camera, weather = world.rng, world.canvas, world.camera, world.weather
    quad = camera.project(corners)
    window = canvas.window(quad.min(0), quad.max(0))
    if window is None:
        return
    wide, tall = float(np.linalg.norm(corners[1] - corners[0])), float(corners[0, 1] - corners[3, 1])
    scale = float(np.clip(camera.focal / np.median(corners[:, 2]) * 1.1, 5, 36))
    width, height = max(16, int(wide * scale)), max(16, int(tall * scale))
    wall, heat, glow = _wall(rng, weather, look, width, height, scale)
    incidence = max(0.0, float(normal @ weather.sun))
    sun = np.full(heat.shape, incidence, np.float32)
    heat += weather.sun_heat * incidence * 0.9
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    target = (quad - [window[1].start, window[0].start]).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(source, target)
    extent = (window[1].stop - window[1].start, window[0].stop - window[0].start)
    surface = cv2.warpPerspective(np.dstack([wall, (sun * 255).astype(np.uint8)]), matrix, extent, borderMode=1)
    warped = cv2.warpPerspective(np.dstack([heat, glow]), matrix, extent, borderMode=1)
    mask = np.zeros(extent[::-1], np.uint8)
    cv2.fillPoly(mask, [fixed_point(target)], 1, shift=4)
    fields = np.zeros((*mask.shape, 4), np.float32)
    fields[..., 0], fields[..., 3] = warped[..., 0], warped[..., 1]
    # the plane n.(P - corner) = 0 gives the distance along each pixel's ray
    columns = (np.arange(window[1].start, window[1].stop) + 0.5 - camera.centre) / camera.focal
    reach = normal @ corners[0]
    slope = normal[0] * columns + normal[2]
    fields[..., 1] = np.clip(reach / np.where(np.abs(slope) < 1e-6, 1e-6, slope) / FAR, 0, 1)
    canvas.paste(window, mask > 0, surface, fields)


def _wall(
    rng: np.random.Generator, weather: Weather, look: Facade, width: int, height: int, scale: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Texture of a wall: colour (h, w, 3) uint8, temperature and emission (h, w) float32."""
    offset = rng.integers(0, 512, 2)
    small = max(32, min(512, int(max(width, height) * 12 / scale)))
    stains = cv2.resize(patch('fractal', small, small, offset), (width, height))
    grain = np.tile(texture('speckle'), (height // 512 + 1, width // 512 + 1))[:height, :width]
    shade = 1 + 0.05 * stains + 0.05 * grain
    if look.brick:
        rows, columns = max(2, int(height / scale / 0.22)), max(2, int(width / scale / 0.5))
        bricks = np.repeat(rng.normal(1, 0.11, (rows, columns)), 4, axis=1)
        bricks[1::2] = np.roll(bricks[1::2], 2, axis=1)
        bricks = cv2.resize(bricks.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        shade = shade * bricks
        if scale > 12:
            course = max(3, round(height / rows))
            shade[::course] *= 0.72
    wall = np.clip(shade[..., None] * np.array(look.wall, np.float32), 0, 255).astype(np.uint8)
    heat = (weather.air + look.warmth + 0.8 * stains + (1.0 if weather.night else 0.0)).astype(np.float32)
    glow = np.zeros((height, width), np.float32)
    storey, bay = look.storey * scale, look.bay * scale
    glass_heat = weather.air + (weather.sky - weather.air) * 0.1 + look.warmth
    frame = scaled(look.wall, rng.choice([1.25, 0.85, 0.5]))
    blind_tone = rng.uniform(0.6, 1.1)
    for floor in range(max(1, int(height / storey + 0.3))):
        bottom = height - floor * storey
        ground = floor == 0 and look.shop
        if rng.random() < 0.6 or ground:
            cv2.rectangle(
                wall,
                (0, int(bottom - storey)),
                (width, int(bottom - storey + 0.12 * scale)),
                scaled(look.wall, 0.62),
                -1,
            )
            cv2.rectangle(
                wall, (0, int(bottom - storey - 0.1 * scale)), (width, int(bottom - storey)), scaled(look.wall, 1.2), -1
            )
        row_lit = rng.random() < look.lit
        for column in range(max(1, int(width / bay))):
            left = (column + 0.5) * width / max(1, int(width / bay))
            half_w = bay * (0.42 if ground else look.window[0] / 2)
            half_h = storey * (0.36 if ground else look.window[1] / 2)
            middle = bottom - storey * (0.4 if ground else 0.52)
            x0, x1, y0, y1 = int(left - half_w), int(left + half_w), int(middle - half_h), int(middle + half_h)
            if y0 < 2 or x1 - x0 < 2:
                continue
            edge = max(1, round(0.07 * scale))
            cv2.rectangle(wall, (x0 - edge, y0 - edge), (x1 + edge, y1 + edge), frame, -1)
            cv2.rectangle(heat, (x0 - edge, y0 - edge), (x1 + edge, y1 + edge), weather.air + look.warmth + 2.2, -1)
            tone = look.glass_tone * rng.uniform(0.6, 1.4)
            glass = (50 * tone, 56 * tone, 62 * tone)
            lit = rng.random() < (0.65 if row_lit or ground else 0.12) and weather.night
            if lit:
                glass = (255, rng.uniform(195, 245), rng.uniform(120, 225))
            cv2.rectangle(wall, (x0, y0), (x1, y1), glass, -1)
            cv2.rectangle(wall, (x0, y0), (x1, (y0 + y1) // 2), scaled(glass, 1.25), -1)
            if scale > 7 and rng.random() < 0.25:
                blind = int(y0 + (y1 - y0) * rng.uniform(0.2, 0.8))
                cv2.rectangle(
                    wall, (x0, y0), (x1, blind), scaled(look.wall, blind_tone) if not lit else scaled(glass, 0.7), -1
                )
            if scale > 7:
                cv2.line(wall, ((x0 + x1) // 2, y0), ((x0 + x1) // 2, y1), frame, max(1, edge // 2))
            leak = rng.uniform(-0.5, 3.0) if weather.night else 0.0  # heat that only the infrared shows
            cv2.rectangle(heat, (x0, y0), (x1, y1), glass_heat + leak + (1.5 if lit else 0), -1)
            if lit:
                cv2.rectangle(glow, (x0, y0), (x1, y1), rng.uniform(0.4, 1.6), -1)
        if ground and scale > 6:
            top = int(bottom - storey * 0.95)
            board = vivid(rng, 0.2)
            high = max(3, int(0.7 * scale))
            for start in range(0, width - int(3 * scale), max(8, int(rng.uniform(5, 9) * scale))):
                end = start + int(rng.uniform(3, 5) * scale)
                cv2.rectangle(wall, (start, top), (end, top + high), board, -1)
                cv2.putText(wall, str(rng.choice(LETTERS)), (start + high // 3, top + int(high * 0.8)),
                            cv2.FONT_HERSHEY_DUPLEX, high / 32, (245, 245, 235), max(1, round(high / 16)))  # fmt: skip
                cv2.rectangle(heat, (start, top), (end, top + high), weather.air + look.warmth, -1)
                if weather.night and rng.random() < 0.6:
                    cv2.rectangle(glow, (start, top), (end, top + high), rng.uniform(0.3, 1.2), -1)
    for pipe in range(int(rng.integers(0, 3))):  # warm pipes behind the plaster: infrared only
        x = int(rng.uniform(0, width))
        cv2.line(
            heat,
            (x, height),
            (x, int(rng.uniform(0, height * 0.5))),
            weather.air + rng.uniform(3, 9),
            max(1, int(0.12 * scale)),
        )
        if pipe:
            cv2.line(wall, (x + 4, height), (x + 4, 0), scaled(look.wall, 0.7), max(1, int(0.1 * scale)))
    return wall, heat, glow


def add_building(world: World, side: float, x: float, z0: float, z1: float, height: float, depth: float) -> None:
    """Block whose street face is the plane X = x from z0 to z1, on the left (side -1) or right (side 1)."""
    look = Facade.draw(world.rng)
    outer = x + side * depth
    z0 = max(z0, 1.5)
    world.cast(box((x + outer) / 2, (z0 + z1) / 2, depth, z1 - z0), 0, height)

    def paint() -> None:
        front = [
            [min(x, outer), height, z0],
            [max(x, outer), height, z0],
            [max(x, outer), 0, z0],
            [min(x, outer), 0, z0],
        ]
        paint_face(world, look, np.array(front, np.float64), np.array([0.0, 0.0, -1.0]))
        near, far = (z0, z1) if side > 0 else (z1, z0)
        street = [[x, height, far], [x, height, near], [x, 0, near], [x, 0, far]]
        paint_face(world, look, np.array(street, np.float64), np.array([-side, 0.0, 0.0]))

    world.add(z1, paint, layer=0)
