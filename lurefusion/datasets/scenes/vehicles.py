"""Cars, vans and buses: a profile extruded over the width, with glass, wheels, lamps and hot parts."""

from __future__ import annotations

import numpy as np

from lurefusion.datasets.scenes.canvas import CAR, Colour, Light, World, scaled, vivid

# length, width, height in metres; profile from rear bottom over the roof to front bottom (in half lengths, ...)
SHAPES: dict[str, tuple[tuple[float, float, float], list[tuple[float, float, float]]]] = {
    'sedan': ((4.6, 1.8, 1.46), [
        (-1, 0.16, 0.95), (-1, 0.5, 1), (-0.96, 0.65, 0.96), (-0.64, 0.68, 0.95), (-0.32, 1, 0.76),
        (0.1, 1, 0.76), (0.44, 0.66, 0.95), (0.92, 0.54, 0.92), (1, 0.42, 0.95), (1, 0.16, 0.92)]),
    'hatch': ((4.0, 1.75, 1.52), [
        (-1, 0.16, 0.95), (-1, 0.5, 1), (-0.97, 0.62, 0.97), (-0.93, 0.64, 0.95), (-0.75, 0.97, 0.78),
        (0.1, 1, 0.78), (0.52, 0.64, 0.95), (0.92, 0.54, 0.92), (1, 0.4, 0.95), (1, 0.16, 0.92)]),
    'suv': ((4.7, 1.9, 1.75), [
        (-1, 0.2, 0.95), (-1, 0.5, 1), (-0.98, 0.6, 0.98), (-0.96, 0.62, 0.96), (-0.85, 0.97, 0.82),
        (0.12, 1, 0.82), (0.45, 0.64, 0.96), (0.92, 0.58, 0.94), (1, 0.45, 0.96), (1, 0.2, 0.94)]),
    'van': ((4.9, 1.85, 2.05), [
        (-1, 0.14, 0.97), (-1, 0.45, 1), (-0.99, 0.52, 0.98), (-0.98, 0.54, 0.97), (-0.95, 0.97, 0.88),
        (0.55, 1, 0.88), (0.88, 0.55, 0.97), (0.97, 0.45, 0.97), (1, 0.36, 0.97), (1, 0.14, 0.95)]),
    'bus': ((10.0, 2.5, 3.0), [
        (-1, 0.1, 0.99), (-1, 0.4, 1), (-1, 0.42, 0.99), (-0.995, 0.45, 0.99), (-0.985, 0.97, 0.96),
        (0.97, 1, 0.96), (0.985, 0.4, 0.99), (0.99, 0.36, 0.99), (1, 0.3, 0.99), (1, 0.1, 0.98)]),
}  # fmt: skip
REAR_GLASS, WINDSCREEN, BONNET = 3, 5, 6  # profile edges


def add_car(world: World, x: float, z: float, yaw: float, running: bool) -> None:
    """Vehicle centred on (x, z); yaw 0 drives away, pi comes towards the camera. Hot parts only when running."""
    rng = world.rng
    kind = str(rng.choice(list(SHAPES), p=[0.36, 0.24, 0.24, 0.12, 0.04]))
    size = np.array(SHAPES[kind][0]) * rng.uniform(0.95, 1.05, 3)
    forward = np.array([np.sin(yaw), 0.0, np.cos(yaw)])
    right = np.array([np.cos(yaw), 0.0, -np.sin(yaw)])
    corners = np.array(
        [[x, z] + a * size[0] / 2 * forward[[0, 2]] + b * size[1] / 2 * right[[0, 2]]
         for a, b in ((-1, -1), (-1, 1), (1, 1), (1, -1))])  # fmt: skip
    if corners[:, 1].min() < 1.2:
        return
    world.cast(corners, 0, size[2] * 0.9)
    world.contacts.append(corners)
    centre = np.array([x, size[2] / 2, z])
    rgb = vivid(rng, 0.78)
    if running:
        _car_lights(world, centre, forward, right, size)
    world.add(
        z - size[0] * abs(forward[2]) / 2, lambda: _paint_car(world, kind, centre, forward, right, size, rgb, running)
    )


def _car_lights(world: World, centre: np.ndarray, forward: np.ndarray, right: np.ndarray, size: np.ndarray) -> None:
    power = world.rng.uniform(10, 30)
    tint = np.array([1.0, 0.95, 0.85]) if world.rng.random() < 0.7 else np.array([0.85, 0.93, 1.0])
    beam = forward + np.array([0, -0.06, 0])
    if not world.weather.night:
        return
    for t in (-0.7, 0.7):
        lamp = centre + forward * size[0] / 2 + right * t * size[1] / 2 + np.array([0, 0.62 - centre[1], 0])
        world.lights.append(Light(tuple(lamp), tint * power, beam / np.linalg.norm(beam)))
    tail = centre - forward * (size[0] / 2 + 0.3) + np.array([0, 0.7 - centre[1], 0])
    world.lights.append(Light(tuple(tail), np.array([0.5, 0.04, 0.03])))


def _normal(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    (ax, ay, az), (bx, by, bz) = (b - a).tolist(), (c - a).tolist()
    n = (ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)
    return np.array(n) / max((n[0] ** 2 + n[1] ** 2 + n[2] ** 2) ** 0.5, 1e-9)


def _paint_car(
    world: World,
    kind: str,
    centre: np.ndarray,
    forward: np.ndarray,
    right: np.ndarray,
    size: np.ndarray,
    rgb: Colour,
    running: bool,
) -> None:
    rng, canvas, weather = world.rng, world.canvas, world.weather
    lit = world.sunlight(centre[0], max(centre[2] - size[0] * 0.6, 1.0))
    eye = np.array([0.0, world.camera.height, 0.0])
    metal = weather.air + weather.sun_heat * 0.35 * lit + (1.0 if running else rng.uniform(-1, 1.5))
    hot = metal + (rng.uniform(8, 16) if running else (rng.uniform(0, 4) if rng.random() < 0.3 else 0))
    glass_heat = weather.air + (weather.sky - weather.air) * 0.12 + (2.5 if running else 0)
    glass = (38, 44, 50) if not weather.night else (16, 18, 20)
    profile = SHAPES[kind][1]
    close = centre[2] < 28  # small parts are below a pixel farther away

    basis = np.stack([forward * size[0] / 2, right * size[1] / 2, np.array([0.0, size[2], 0.0])])
    origin = centre * [1, 0, 1]

    def at(*coordinates: tuple[float, float, float]) -> np.ndarray:
        return np.array(coordinates) @ basis + origin  # length, width in halves; height in units

    def face(points: np.ndarray, colour: Colour, heat: float, gloss: float = 1.0, emission: float = 0.0,
             normal: np.ndarray | None = None) -> bool:  # fmt: skip
        middle = points.mean(0)
        if normal is None:
            normal = _normal(points[0], points[1], points[2])
            normal = normal if normal @ (middle - centre) > 0 else -normal
        if normal @ (eye - middle) <= 0:
            return False
        shade = 0.72 + 0.28 * normal[1]
        canvas.fill_world(points, scaled(colour, shade * gloss), heat + 1.5 * normal[1] * (weather.sun_heat > 3),
                          sun=lit * max(0.0, normal @ weather.sun), label=CAR, emission=emission)  # fmt: skip
        return True

    def plate(s: float, t: tuple, y: tuple, colour: Colour, heat: float, emission: float = 0.0) -> None:
        quad = at((s, t[0], y[0]), (s, t[1], y[0]), (s, t[1], y[1]), (s, t[0], y[1]))
        face(quad, colour, heat, 1.4, emission, forward * np.sign(s))

    order = sorted(range(len(profile) - 1), key=lambda i: -profile[i][0] * forward[2])
    for i in order:
        (s0, y0, w0), (s1, y1, w1) = profile[i], profile[i + 1]
        quad = at((s0, -w0, y0), (s0, w0, y0), (s1, w1, y1), (s1, -w1, y1))
        warm = hot if i >= BONNET else metal
        if not face(quad, rgb, warm):
            continue
        if i in (REAR_GLASS, WINDSCREEN):
            mean = quad.mean(0)
            face(mean + (quad - mean) * 0.86, glass, glass_heat)
            upper = mean + (quad - mean) * 0.8
            low = upper[:2] * 0.45 + upper[[3, 2]] * 0.55
            face(np.array([low[0], low[1], upper[2], upper[3]]), scaled(glass, 1.9), glass_heat - 0.5)
    for side in (-1.0, 1.0):
        out = right * side
        if not face(at(*((s, side * w, y) for s, y, w in profile)), rgb, metal, normal=out):
            continue
        sill = at((-1, side, 0.18), (1, side * 0.96, 0.18), (1, side * 0.98, 0.36), (-1, side * 1.01, 0.36))
        face(sill, scaled(rgb, 0.7), metal + 0.5, normal=out)
        cabin = [np.array(profile[k]) for k in (3, 4, 5, 6)]
        split = [cabin[1] * (1 - f) + cabin[2] * f for f in (0.0, 0.52, 0.6, 1.0)]
        base = [cabin[0] * (1 - f) + cabin[3] * f for f in (0.05, 0.52, 0.56, 0.95)]
        for k in (0, 2):
            quad = at(*((s, side * w, y) for s, y, w in (base[k], split[k], split[k + 1], base[k + 1])))
            mean = quad.mean(0)
            face(mean + (quad - mean) * 0.84, scaled(glass, rng.uniform(0.8, 1.6)), glass_heat, normal=out)
        angle = np.arange(16) * (2 * np.pi / 16)
        radius = 0.33 if kind != 'bus' else 0.5
        rings = ((1.12, 12, metal), (1, 26, metal + (7 if running else 0)), (0.6, 150, metal + 2))
        for s in (-0.6, 0.6):
            for r, tone, heat in rings if close else rings[1:2]:
                circle = at((s, side * 1.01, radius / size[2])) + np.outer(np.cos(angle), forward) * radius * r
                circle[:, 1] += np.sin(angle) * radius * r
                face(circle, (tone, tone, tone * 1.02), heat, normal=out)
    lamps = 40.0 if weather.night and running else 0.0
    for t in ((-0.92, -0.55), (0.55, 0.92)):
        plate(-1.012, t, (0.47, 0.6), (150, 20, 18) if not lamps else (255, 40, 30), metal + 1, lamps * 0.12)
        plate(1.012, t, (0.38, 0.5), (215, 218, 220) if not lamps else (255, 250, 238), hot + 3, lamps)
    if close:
        plate(-1.015, (-0.28, 0.28), (0.36, 0.45), (205, 205, 190), metal - 0.5)
        plate(-1.008, (-0.95, 0.95), (0.16, 0.27), (26, 26, 28), metal + 2)
        plate(1.012, (-0.5, 0.5), (0.3, 0.45), (28, 28, 30), hot + 2)
    if running:
        plate(-1.016, (-0.6, -0.42), (0.17, 0.24), (20, 20, 20), metal + 28)
    reach = np.concatenate([world.camera.project(centre + d * size[0] * 0.75 * forward + e * right * 1.6)[None]
                            for d in (-1, 1) for e in (-1, 1)])  # fmt: skip
    tall = world.camera.focal / max(centre[2] - size[0] / 2, 1) * size[2]
    low, high = reach.min(0) - np.array([0, tall]), reach.max(0) + np.array([0, tall * 0.5])
    z = float(centre[2] - size[0] * abs(forward[2]) / 2)
    canvas.grain(low, high, z, CAR, 0.05, int(rng.integers(1 << 16)))
