"""Scene layout: draws a street from a seed, paints it and photographs it with both cameras."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lurefusion.choices import one_of
from lurefusion.datasets.scenes import objects, surroundings
from lurefusion.datasets.scenes.background import Street, paint_ground, paint_sky
from lurefusion.datasets.scenes.canvas import OVERSAMPLING, Camera, Canvas, Light, Weather, World
from lurefusion.datasets.scenes.difficult import DIFFICULTIES, Difficulty
from lurefusion.datasets.scenes.sensors import infrared_image, visible_image
from lurefusion.datasets.scenes.vehicles import add_car

MIN_SIDE = 32
TIMES = ('day', 'night')


@dataclass(frozen=True)
class Scene:
    """Registered pictures of one rendered street.

    Attributes:
        visible: (H, W, 3) uint8 RGB.
        infrared: (H, W) uint8, brighter is warmer.
        depth: (H, W) float32 in [0, 1]: distance / 100 m, cut at 1; the sky is 1.
        label: (H, W) uint8, MSRS classes: 0 background, 1 car, 2 person, 3 bike, 4 curve, 5 car stop, 6 guardrail,
            7 color cone, 8 bump.
        time: ``day`` or ``night``.
        veil: (H, W) float32 in [0, 1]: how much smoke or glare hides from the visible camera; zero in plain scenes.
    """

    visible: np.ndarray
    infrared: np.ndarray
    depth: np.ndarray
    label: np.ndarray
    time: str
    veil: np.ndarray


def render_scene(
    seed: int, size: tuple[int, int] = (240, 320), time: str | None = None, difficulty: str | None = None
) -> Scene:
    """Render a street scene; the same arguments give the same bytes in every call.

    The same seed shows the same street by day and by night, plain and difficult.

    Args:
        seed: Non-negative integer.
        size: Height and width in pixels, at least 32 each.
        time: ``day``, ``night`` or None (that of the difficulty, else drawn from the seed).
        difficulty: ``headlights`` (by night), ``smoke``, ``bright_sky`` (both by day), ``hot_targets`` or None.

    Raises:
        TypeError: If the seed or the size is not made of integers.
        ValueError: On a negative seed, a size below 32 pixels, an unknown time or difficulty, or one at the wrong time.
    """
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool):
        raise TypeError(f'seed must be an integer; got {seed!r}')
    if seed < 0:
        raise ValueError(f'seed must not be negative; got {seed}')
    if len(size) != 2 or not all(isinstance(side, (int, np.integer)) for side in size):
        raise TypeError(f'size must be two integers (height, width); got {size!r}')
    if min(size) < MIN_SIDE:
        raise ValueError(f'size must be at least {MIN_SIDE} x {MIN_SIDE} pixels (height, width); got {tuple(size)}')
    one_of('time', time, TIMES, optional=True)
    one_of('difficulty', difficulty, DIFFICULTIES, optional=True)
    height, width = int(size[0]), int(size[1])
    layout, weather_rng, paint, sensor, own = map(np.random.default_rng, np.random.SeedSequence(int(seed)).spawn(5))
    hard = DIFFICULTIES.get(difficulty, Difficulty)(own)
    if time and hard.time and time != hard.time:
        raise ValueError(f'{difficulty} is seen by {hard.time}; got time={time!r}')
    time = time or hard.time
    drawn = TIMES[int(weather_rng.random() < 0.5)]
    weather = draw_weather(weather_rng, (time or drawn) == 'night')
    camera = draw_camera(layout, height, width)
    street = draw_street(layout)
    world = World(camera, Canvas((height * OVERSAMPLING, width * OVERSAMPLING), camera), weather, layout)
    furnish(world, street)
    world.rng = own
    hard.furnish(world, street)
    world.rng, ground = paint.spawn(2)
    paint_sky(world)
    world.rng = ground
    paint_ground(world, street)
    world.paint_items(int(paint.integers(1 << 32)))
    canvas = world.canvas
    surface = cv2.resize(canvas.surface, (width, height), interpolation=cv2.INTER_AREA)
    fields = cv2.resize(canvas.fields, (width, height), interpolation=cv2.INTER_AREA)
    label = np.round(canvas.fields[::OVERSAMPLING, ::OVERSAMPLING, 2]).astype(np.uint8)
    depth = np.clip(fields[..., 1], 0, 1)
    veil = hard.veil(surface, fields, weather)
    visible = visible_image(surface, fields[..., 3], depth, camera, weather, world.lights, sensor)
    infrared = infrared_image(np.ascontiguousarray(fields[..., 0]), weather, sensor)
    return Scene(visible, infrared, depth, label, 'night' if weather.night else 'day', veil)


def draw_weather(rng: np.random.Generator, night: bool) -> Weather:
    """Weather of one scene: air of 2 to 21 degrees Celsius; a quarter of the skies overcast, with little sun."""
    day_air, night_air = rng.uniform(6, 21), rng.uniform(2, 17)
    overcast = rng.random() < 0.25
    elevation, azimuth = rng.uniform(0.3, 1.1), rng.uniform(0, 2 * np.pi)
    sun = np.array([np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)])
    clear_sky = rng.uniform(16, 34) * (0.55 if overcast else 1.0)
    heat = rng.uniform(4, 9) * (0.25 if overcast else 1.0)
    air = night_air if night else day_air
    return Weather(night, overcast, air, air - clear_sky, sun, 0.0 if night else heat)


def draw_camera(rng: np.random.Generator, height: int, width: int) -> Camera:
    """Car or street camera: 1.2 to 4 m above the ground, horizon between 30 and 58 % of the picture."""
    high = rng.uniform(1.2, 2.2) if rng.random() < 0.75 else rng.uniform(2.2, 4.0)
    horizon = rng.uniform(0.36, 0.58) if high < 2.2 else rng.uniform(0.28, 0.45)
    focal = rng.uniform(0.75, 1.3) * max(width, 1.2 * height)
    return Camera(high, focal * OVERSAMPLING, rng.uniform(0.35, 0.65) * width * OVERSAMPLING,
                  horizon * height * OVERSAMPLING)  # fmt: skip


def draw_street(rng: np.random.Generator) -> Street:
    """Street of one scene: 5.6 to 13 m wide, buildings or grass on each side, the camera on it or beside it."""
    half = rng.uniform(2.8, 6.5)
    built = [float(rng.choice([0.0, 0.5, 1.0], p=[0.35, 0.25, 0.4])) for _ in range(2)]
    grass = (rng.random() < (0.25 if built[0] else 0.7), rng.random() < (0.25 if built[1] else 0.7))
    where = rng.uniform(-1.0, 1.0) * (half - 0.8) if rng.random() < 0.85 else rng.choice([-1, 1]) * (half + 1.2)
    return Street(half, rng.uniform(1.8, 4.5), -where, rng.normal(0, 0.0022), grass, tuple(built))


# ------------------------------------------------------------------------------------------------------- layout
def furnish(world: World, street: Street) -> None:
    """Queue everything that stands on the ground, with its shadow."""
    rng = world.rng
    half, curb = street.half, street.half + street.pavement
    for side, built in zip((-1.0, 1.0), street.built, strict=True):
        z = rng.uniform(-8, 8)
        while z < 85:
            length, gap = rng.uniform(8, 26), rng.choice([0.0, 0.0, 2.0, 6.0])
            if rng.random() < built:
                set_back = rng.choice([0.0, 0.0, 1.5, 5.0])
                x = street.at(side * (curb + 0.4 + set_back))((max(z, 2) + z + length) / 2)
                if z + length > 4 and x * side > 1.8:
                    high = rng.uniform(3.5, 9) if rng.random() < 0.5 else rng.uniform(9, 28)
                    surroundings.add_building(world, side, x, z, z + length, high, rng.uniform(8, 16))
            z += length + gap
        _greenery(world, street, side, built)
        _roadside(world, street, side)
    if rng.random() < 0.2:  # the street ends at a building
        z = rng.uniform(35, 80)
        surroundings.add_building(
            world, 1.0, street.at(-rng.uniform(4, 18))(z), z, z + 12, rng.uniform(6, 30), rng.uniform(15, 40)
        )
    _traffic(world, street)
    _people(world, street)
    for _ in range(rng.integers(2, 6) if rng.random() < 0.4 else 0):
        edge = rng.choice([-1, 1]) * rng.uniform(0.4, 1.0) * half
        z = rng.uniform(4, 22)
        objects.add_cone(world, street.at(edge)(z), z)
    if rng.random() < 0.6:  # headlights of the camera's own car
        power = np.array([1.0, 0.95, 0.85]) * rng.uniform(8, 35)
        if world.weather.night:
            for x in (-0.6, 0.6):
                world.lights.append(Light((x, 0.7, 0.0), power, np.array([0.0, -0.05, 1.0])))


def _greenery(world: World, street: Street, side: float, built: float) -> None:
    rng = world.rng
    edge = street.half + (0.8 if rng.random() < 0.5 else street.pavement * 0.8)
    spacing = rng.uniform(5, 14) if built else rng.uniform(3.5, 8)
    if rng.random() < 0.85:
        for z in np.arange(rng.uniform(4, 12), 80, spacing):
            offset = edge + rng.uniform(-0.3, 0.3) + (0 if built else abs(rng.normal(0, 5)))
            z = z + rng.uniform(-1, 1)
            surroundings.add_tree(world, street.at(side * offset)(z), z)
    if not built or rng.random() < 0.25:
        rgb = (rng.uniform(60, 95), rng.uniform(85, 115), rng.uniform(45, 65))
        tall, start = rng.uniform(0.5, 1.6), rng.uniform(5, 25)
        for z in np.arange(start, start + rng.uniform(8, 40), 2.0):
            x = street.at(side * (street.half + street.pavement + 1.0))(z)
            world.add(
                float(z),
                lambda x=x, z=z: surroundings.foliage(world, x, tall * 0.54, z, (1.2, tall * 0.55), rgb, 'hedge'),
            )


def _roadside(world: World, street: Street, side: float) -> None:
    rng = world.rng
    for z in np.arange(rng.uniform(6, 25), 75, rng.uniform(16, 30)):
        if rng.random() < 0.85:
            objects.add_pole(
                world, street.at(side * (street.half + 0.5))(z), float(z), 'lamp' if rng.random() < 0.65 else 'utility'
            )
    for kind, chance in (('sign', 0.6), ('signal', 0.25)):
        if rng.random() < chance:
            z = rng.uniform(7, 40)
            objects.add_pole(world, street.at(side * (street.half + 0.4))(z), z, kind)
    choice = rng.random()
    start = rng.uniform(3, 20)
    end = start + rng.uniform(8, 40)
    path = street.at(side * (street.half + 0.35))
    if choice < 0.17:
        objects.add_guardrail(world, path, start, end, fence=rng.random() < 0.4)
    elif choice < 0.36:
        objects.add_stops(world, path, start, min(end, start + 18))


def _traffic(world: World, street: Street) -> None:
    rng, half = world.rng, street.half
    lane = half / 2
    for side in (-1.0, 1.0):
        if rng.random() < 0.45 and half > 3.6:  # parked row
            for z in np.arange(rng.uniform(6, 18), rng.uniform(25, 70), rng.uniform(5.6, 8)):
                if rng.random() < 0.75:
                    yaw = (0.0 if side > 0 else np.pi) + rng.normal(0, 0.03) + np.arctan(2 * street.bend * z)
                    add_car(world, street.at(side * (half - 1.1))(z), float(z), yaw, rng.random() < 0.1)
        count = rng.choice([0, 1, 2, 3], p=[0.4, 0.3, 0.2, 0.1])
        z = rng.uniform(7, 25)
        for _ in range(count):
            x = street.at(side * lane * rng.uniform(0.8, 1.0) * (0.8 if half > 3.6 else 1))(z)
            add_car(world, x, z, (0.0 if side > 0 else np.pi) + np.arctan(2 * street.bend * z), rng.random() < 0.9)
            z += rng.uniform(8, 25)
    if rng.random() < 0.12:  # crossing or turning
        z = rng.uniform(9, 30)
        add_car(world, street.at(rng.uniform(-1, 1) * half)(z), z, rng.uniform(0, 2 * np.pi), True)


def _people(world: World, street: Street) -> None:
    rng, half = world.rng, street.half
    for _ in range(int(rng.choice([0, 1, 2, 3, 5, 8, 12], p=[0.06, 0.14, 0.2, 0.2, 0.2, 0.14, 0.06]))):
        z = float(np.exp(rng.uniform(np.log(3.5), np.log(40))))
        u = (
            rng.choice([-1, 1]) * (half + rng.uniform(0.4, street.pavement))
            if rng.random() < 0.65
            else rng.uniform(-1, 1) * half
        )
        x = street.at(u)(z)
        limit = 0.55 * z  # keep most of them inside the picture
        x = float(np.clip(x, -limit, limit)) if rng.random() < 0.7 else x
        objects.add_person(world, x, z)
        if rng.random() < 0.3:
            objects.add_person(world, x + rng.uniform(0.5, 0.8), z + rng.uniform(-0.3, 0.5))
    for _ in range(rng.choice([0, 1, 2, 4], p=[0.5, 0.27, 0.15, 0.08])):
        z = float(np.exp(rng.uniform(np.log(4.5), np.log(30))))
        rider = rng.random() < 0.55
        u = rng.uniform(-1, 1) * half if rider else rng.choice([-1, 1]) * (half + rng.uniform(0.6, street.pavement))
        objects.add_bike(world, street.at(u)(z), z, rider)
