"""People, bicycles and street furniture, painted in metres through the scene's camera."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np

from lurefusion.datasets.scenes.canvas import (
    BIKE,
    CAR_STOP,
    COLOR_CONE,
    GUARDRAIL,
    PERSON,
    Colour,
    Light,
    World,
    box,
    scaled,
    vivid,
)

SKIN_TEMPERATURE = 33.5
SIGNS = (  # corners, colour of the rim, colour of the middle
    (4, (20, 20, 20), (240, 200, 30)),
    (18, (200, 25, 30), (235, 235, 235)),
    (18, (245, 245, 245), (25, 70, 170)),
    (3, (200, 25, 30), (240, 240, 240)),
)


def person(world: World, x: float, z: float, lift: float = 0.0, riding: bool = False) -> None:
    """Pedestrian (or the rider of a bicycle) standing at (x, z); warm skin, cooler clothes."""
    rng, canvas, weather = world.rng, world.canvas, world.weather
    tall = rng.uniform(1.1, 1.35) if rng.random() < 0.07 else float(np.clip(rng.normal(1.69, 0.09), 1.48, 1.92))
    base = world.camera.project(np.array([x, lift, z]))
    unit = world.camera.focal / z * tall
    sun = world.sunlight(x, z) * rng.uniform(0.45, 0.75)
    shirt, trousers, coat = vivid(rng, 0.5), scaled(vivid(rng, 0.8), 0.7), rng.random() < 0.25
    skin = tuple(np.array([222, 178, 150]) * rng.uniform(0.45, 1.05))
    hair = tuple(np.array([60, 42, 30]) * rng.uniform(0.3, 1.6))
    side, stride = rng.random() < 0.6, rng.uniform(0.2, 1.0)
    way = rng.choice([-1.0, 1.0])
    gap = SKIN_TEMPERATURE - weather.air
    worn = [weather.air + gap * rng.uniform(0.35, 0.8) for _ in range(2)]
    bare = rng.random() < 0.25

    def at(a: float, y: float) -> tuple[float, float]:
        return base[0] + a * unit, base[1] - y * unit

    def limb(p: tuple, q: tuple, radii: tuple, rgb: Colour, temperature: float, shade: float = 1.0) -> None:
        radii = (radii[0] * unit, radii[1] * unit)
        canvas.capsule(at(*p), at(*q), radii, scaled(rgb, shade), temperature, z, sun=sun * shade, label=PERSON)

    leg_rgb, leg_heat = (skin, SKIN_TEMPERATURE - 1) if bare else (trousers, worn[1])
    spread = 0.15 * stride if side else 0.05
    for sign, shade in ((-1.0, 0.75), (1.0, 1.0)):
        foot = (way * sign * spread, 0.02 if side or sign > 0 else 0.03)
        knee = (way * (sign * spread * 0.5 + (0.03 * stride if side else 0)) + (0 if side else sign * 0.012), 0.27)
        hip = (0.0 if side else sign * 0.05, 0.5)
        if riding:
            foot, knee = (way * (0.02 + 0.06 * sign), 0.06 + 0.06 * sign), (way * (0.16 + 0.03 * sign), 0.32)
        arm_end = (way * (-sign * spread * 0.9) if side else sign * 0.14, 0.46 + 0.05 * stride * (sign > 0))
        shoulder = (0.0 if side else sign * 0.1, 0.8)
        elbow = (shoulder[0] * 1.25 + arm_end[0] * 0.35, 0.63)
        if riding:
            elbow, arm_end = (way * 0.14, 0.64), (way * 0.27, 0.6)
        if sign < 0 or not side:
            limb(shoulder, elbow, (0.038, 0.03), shirt, worn[0], 0.85)
            limb(elbow, arm_end, (0.028, 0.022), skin if bare else shirt, worn[0] + 1.5, 0.85)
            limb(arm_end, arm_end, (0.025, 0.02), skin, SKIN_TEMPERATURE - 2, 0.85)
        limb(hip, knee, (0.062, 0.045), leg_rgb, leg_heat, shade)
        limb(knee, foot, (0.042, 0.028), leg_rgb, leg_heat - 0.3, shade)
        limb(foot, (foot[0] + way * 0.05, 0.015 + foot[1] * 0.5), (0.024, 0.018), (30, 28, 28), weather.air + 3, shade)
    width = 0.075 if side else 0.1
    hem = 0.3 if coat and not riding else 0.5
    lean = way * (0.1 if riding else 0.015 * stride * side)
    limb((lean, 0.77), (0.0, hem), (width, width * (1.05 if hem < 0.5 else 0.85)), shirt, worn[0])
    limb((lean * 1.2 - 0.01, 0.72), (0.0, hem + 0.12), (width * 0.5, width * 0.45), shirt, worn[0] + 1.2, 1.15)
    if rng.random() < 0.3 and not riding:
        bag = vivid(rng, 0.6)
        limb((-way * 0.09, 0.75), (-way * 0.1, 0.6), (0.05, 0.055), bag, weather.air + gap * 0.3, 0.9)
    if side:
        limb((lean, 0.78), (way * (0.02 + spread * 0.5), 0.63), (0.04, 0.032), shirt, worn[0] - 0.5, 1.08)
        end = (way * (spread * 0.9 + (0.22 if riding else 0.02)), 0.6 if riding else 0.49)
        limb((way * (0.02 + spread * 0.5), 0.63), end, (0.03, 0.022), skin if bare else shirt, worn[0] + 1, 1.05)
        limb(end, end, (0.024, 0.02), skin, SKIN_TEMPERATURE - 1.5)
    head = lean * 1.35
    limb((lean, 0.82), (head, 0.87), (0.035, 0.035), skin, SKIN_TEMPERATURE)
    limb((head, 0.905), (head, 0.945), (0.045, 0.052), hair, weather.air + gap * 0.75)
    if not (not side and rng.random() < 0.5):
        limb((head + way * 0.018 * side, 0.905), (head + way * 0.02 * side, 0.93), (0.038, 0.036), skin, 34.2)
    reach = np.array([0.4 * unit, 1.02 * unit])
    canvas.grain(base - reach, base + np.array([reach[0], 4]), z, PERSON, 0.1, int(rng.integers(1 << 16)))


def add_person(world: World, x: float, z: float) -> None:
    """Put a person on the ground at (x, z), metres, with shadow and contact."""
    world.cast(box(x, z, 0.4, 0.3), 0, 1.7)
    world.contacts.append(box(x, z, 0.5, 0.4))
    world.add(z, lambda: person(world, x, z))


def add_bike(world: World, x: float, z: float, rider: bool) -> None:
    """Bicycle seen from the side or turned, with or without its rider."""
    rng = world.rng
    turn = rng.choice([-1.0, 1.0]) * rng.uniform(0.35, 1.0)
    rgb, parked_heat = vivid(rng, 0.4), world.weather.air + rng.uniform(-1, 1.5)
    world.cast(box(x, z, 1.4 * abs(turn), 0.2), 0, 1.6 if rider else 0.9)
    world.contacts.append(box(x, z, 1.5 * abs(turn), 0.35))

    def paint() -> None:
        rng = world.rng
        camera, canvas = world.camera, world.canvas
        unit = camera.focal / z
        base, sun = camera.project(np.array([x, 0.0, z])), 0.5 * world.sunlight(x, z)

        def at(a: float, y: float) -> tuple[float, float]:
            return base[0] + a * turn * unit, base[1] - y * unit

        angle = np.arange(18) * (2 * np.pi / 18)
        for hub in (-0.52, 0.52):
            for radius, tone, width in ((0.33, 25, 0.05), (0.3, 120, 0.012)):
                ring = np.array([at(hub + radius * np.cos(t), 0.34 + radius * np.sin(t)) for t in angle])
                heat = parked_heat + (3 if rider else 0)
                canvas.stroke(ring, width * unit, (tone,) * 3, heat, z, sun, BIKE, closed=True)
            for t in angle[:9:2]:
                spoke = np.array([at(hub + r * np.cos(t), 0.34 + r * np.sin(t)) for r in (-0.3, 0.3)])
                canvas.stroke(spoke, 0.008 * unit, (110, 110, 112), parked_heat, z, sun, BIKE)
        frame = [(-0.52, 0.34), (-0.2, 0.75), (0.38, 0.78), (0.0, 0.36), (-0.2, 0.75), (-0.22, 0.9)]
        for line in (frame, [(-0.52, 0.34), (0.0, 0.36)], [(0.52, 0.34), (0.36, 0.95), (0.28, 1.0)]):
            canvas.stroke(np.array([at(*p) for p in line]), 0.045 * unit, rgb, parked_heat, z, sun, BIKE)
        canvas.capsule(at(-0.3, 0.92), at(-0.12, 0.92), (0.05 * unit, 0.03 * unit), (20, 20, 20), parked_heat, z,
                       label=BIKE)  # fmt: skip
        if rng.random() < 0.5:
            basket = np.array([at(0.42, 0.7), at(0.72, 0.7), at(0.76, 0.95), at(0.4, 0.95)])
            canvas.fill(basket, (70, 66, 60), parked_heat, z, sun, BIKE)
        if rider:
            person(world, x - 0.2 * turn, z - 0.02, lift=0.22, riding=True)

    world.add(z, paint)


def add_pole(world: World, x: float, z: float, kind: str) -> None:
    """Street lamp, utility pole, round or diamond sign, or traffic light, standing at (x, z)."""
    rng, weather = world.rng, world.weather
    height = {'lamp': 6.5, 'utility': 9.0, 'sign': 2.6, 'signal': 5.0}[kind] * rng.uniform(0.85, 1.15)
    width = {'lamp': 0.14, 'utility': 0.26, 'sign': 0.07, 'signal': 0.18}[kind]
    arm = -np.sign(x or 1.0) * {'lamp': 1.6, 'utility': 0.0, 'sign': 0.0, 'signal': 2.2}[kind]
    world.cast(box(x, z, width, width), 0, height)
    tint = np.array([1.0, 0.72, 0.4]) if rng.random() < 0.4 else np.array([0.9, 0.97, 1.0])
    power, on = rng.uniform(5, 14), rng.random() < 0.85 and weather.night
    if kind == 'lamp' and on:
        world.lights.append(Light((x + arm, height - 0.25, z), tint * power))
    grey = rng.uniform(70, 150)
    tone = (grey, grey, grey) if kind != 'utility' else (96, 78, 62)

    def paint() -> None:
        rng = world.rng
        canvas, unit = world.canvas, world.camera.focal / z
        lit = 0.6 * world.sunlight(x, z)
        metal = weather.air + (0.25 * weather.sun_heat * lit if not weather.night else -0.8)
        foot, top = world.camera.project(np.array([[x, 0, z], [x, height, z]]))
        canvas.capsule(foot, top, (width * unit / 2, width * unit / 3), tone, metal, z, sun=lit)
        canvas.stroke(
            np.array([foot, top]) + np.array([width * unit / 4, 0]), width * unit / 4, scaled(tone, 0.6), metal, z
        )
        if arm:
            end = top + np.array([arm * unit, 0])
            canvas.stroke(np.array([top, end]), 0.09 * unit, tone, metal, z, lit)
        if kind == 'lamp':
            colour = tuple(255 * (0.35 + 0.65 * tint)) if on else (190, 190, 180)
            canvas.capsule(end, end + np.array([0.5 * unit * np.sign(arm), 0]), (0.12 * unit, 0.09 * unit), colour,
                           weather.air + (30 if on else 0), z, sun=lit, emission=60.0 if on else 0.0)  # fmt: skip
        elif kind == 'signal':
            head = np.array([[-0.55, -0.2], [0.55, -0.2], [0.55, 0.2], [-0.55, 0.2]]) * unit
            canvas.fill(end + head, (28, 30, 30), metal + 1, z, sun=lit)
            bright = int(rng.integers(3))
            for k, colour in enumerate(((255, 40, 30), (255, 190, 40), (40, 255, 150))):
                spot = end + np.array([(k - 1) * 0.34 * unit, 0])
                lamp = k == bright
                canvas.capsule(spot, spot, (0.13 * unit,) * 2, scaled(colour, 1 if lamp else 0.25),
                               metal + (8 if lamp else 1), z, sun=lit, emission=8.0 if lamp else 0.0)  # fmt: skip
        elif kind == 'sign':
            _paint_sign(world, top, unit, z, lit, metal)

    world.add(z, paint)


def _paint_sign(world: World, top: np.ndarray, unit: float, z: float, lit: float, metal: float) -> None:
    rng, canvas = world.rng, world.canvas
    corners, rim, inner = SIGNS[rng.integers(len(SIGNS))]
    angle = np.arange(corners) * (2 * np.pi / corners) + (np.pi / 2 if corners != 18 else 0)
    shape = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    radius = 0.36 * unit
    cold = metal - 1.5  # smooth metal mirrors the sky
    canvas.fill(top + shape * radius, rim, cold, z, sun=lit)
    canvas.fill(top + shape * radius * 0.78, inner, cold, z, sun=lit)
    text = str(rng.choice(['30', '50', 'STOP', 'P', '40', '!', '60']))
    scale = radius * (1.3 if len(text) < 3 else 0.75) / 22 / max(1, len(text) - 1)
    window = canvas.window(top - radius, top + radius)
    if window and scale > 0.12:
        layer = np.ascontiguousarray(canvas.surface[window])
        origin = (top - [window[1].start, window[0].start] + [-11 * scale * len(text), 11 * scale]).astype(int)
        cv2.putText(layer, text, (int(origin[0]), int(origin[1])), cv2.FONT_HERSHEY_SIMPLEX, scale,
                    (*((250,) * 3 if inner[2] > 150 and inner[0] < 100 else (20,) * 3), 255 * lit),
                    max(1, round(scale * 3)))  # fmt: skip
        canvas.surface[window] = layer


def add_cone(world: World, x: float, z: float) -> None:
    """Orange traffic cone with reflective bands."""
    world.cast(box(x, z, 0.25, 0.25), 0, 0.6)
    world.contacts.append(box(x, z, 0.4, 0.4))
    tall, rgb = world.rng.uniform(0.5, 0.9), (235, 75 + world.rng.uniform(-25, 25), 25)

    def paint() -> None:
        lit, heat = 0.6 * world.sunlight(x, z), world.weather.air + world.weather.sun_heat * 0.2
        for low, high, colour in ((0, 0.07, (50, 40, 36)), (0.07, 1, rgb), (0.4, 0.55, (235, 235, 230)),
                                  (0.68, 0.8, (235, 235, 230))):  # fmt: skip
            a, b = (0.26, 0.26) if high < 0.1 else (0.19 - 0.16 * low, 0.19 - 0.16 * high)
            quad = np.array(
                [[x - a, low * tall, z], [x + a, low * tall, z], [x + b, high * tall, z], [x - b, high * tall, z]]
            )
            world.canvas.fill_world(quad, colour, heat, sun=lit, label=COLOR_CONE)
            quad[1:3, 0] = x - 0.3 * np.array([a, b])
            world.canvas.fill_world(quad, scaled(colour, 0.75), heat, sun=lit * 0.6, label=COLOR_CONE)

    world.add(z, paint)


def add_stops(world: World, path: Callable[[float], float], z0: float, z1: float) -> None:
    """Row of bollards or bent-pipe barriers (MSRS 'car stop') along a path."""
    rng = world.rng
    pipe, step = rng.random() < 0.5, rng.uniform(1.4, 2.6)
    rgb = (205, 205, 200) if rng.random() < 0.5 else ((190, 150, 40) if rng.random() < 0.5 else (60, 62, 64))
    for z in np.arange(z0, z1, step * (1.6 if pipe else 1)):
        _add_stop(world, float(path(z)), float(z), pipe, rgb)


def _add_stop(world: World, x: float, z: float, pipe: bool, rgb: Colour) -> None:
    world.cast(box(x, z, 0.12, 1.2 if pipe else 0.12), 0, 0.75)
    world.contacts.append(box(x, z, 0.3, 0.3))

    def paint() -> None:
        unit, lit = world.camera.focal / z, 0.6 * world.sunlight(x, z)
        heat = world.weather.air + world.weather.sun_heat * 0.25 * lit - (1 if world.weather.night else 0)
        if pipe:
            bend = np.array([[x, 0, z], [x, 0.7, z], [x - 0.1, 0.78, z + 0.15], [x - 0.1, 0.78, z + 1.1],
                             [x, 0.7, z + 1.25], [x, 0, z + 1.25]])  # fmt: skip
            for a, b in pairwise(bend):
                world.canvas.stroke(world.camera.project(np.array([a, b])), 0.08 * unit, rgb, heat, a[2], lit, CAR_STOP)
            return
        foot, top = world.camera.project(np.array([[x, 0, z], [x, 0.8, z]]))
        world.canvas.capsule(foot, top, (0.08 * unit, 0.075 * unit), rgb, heat, z, sun=lit, label=CAR_STOP)
        world.canvas.stroke(
            np.array([foot, top]) + np.array([0.04 * unit, 0]), 0.05 * unit, scaled(rgb, 0.7), heat, z, 0, CAR_STOP
        )
        band = world.camera.project(np.array([[x - 0.08, 0.62, z], [x + 0.08, 0.62, z]]))
        world.canvas.stroke(band, 0.07 * unit, (240, 90, 40), heat, z, lit, CAR_STOP)

    world.add(z, paint)


def add_guardrail(world: World, path: Callable[[float], float], z0: float, z1: float, fence: bool) -> None:
    """Steel beam on posts or a white fence along a path, in pieces so that it interleaves with other objects."""
    step = 2.0
    for z in np.arange(z0, z1, step):
        a = np.array([path(z), 0.0, z])
        b = np.array([path(z + step), 0.0, z + step])
        world.shadows.append((_standing_shadow(world, a, b, 0.75), False))
        world.add(float(z), lambda a=a, b=b: _paint_rail(world, a, b, fence))


def _standing_shadow(world: World, a: np.ndarray, b: np.ndarray, height: float) -> np.ndarray:
    sun = world.weather.sun
    shift = -height * np.array([sun[0], 0, sun[2]]) / max(sun[1], 0.15)
    return np.array([a + shift * 0.55, b + shift * 0.55, b + shift, a + shift])


def _paint_rail(world: World, a: np.ndarray, b: np.ndarray, fence: bool) -> None:
    lit = 0.7 * world.sunlight(a[0], a[2])
    heat = world.weather.air + world.weather.sun_heat * 0.3 * lit - (1.0 if world.weather.night else 0.0)

    def strip(low: float, high: float, tone: float) -> None:
        quad = np.array([[*a], [*b], [*b], [*a]], np.float64)
        quad[:, 1] = [low, low, high, high]
        world.canvas.fill_world(quad, (tone, tone, tone * 0.98), heat, sun=lit, label=GUARDRAIL)

    posts = np.linspace(0, 1, 9)[:-1] if fence else [0.0]
    for f in posts:
        foot = a + (b - a) * f
        line = world.camera.project(np.array([foot, foot + np.array([0, 0.8 if fence else 0.72, 0])]))
        width = (0.05 if fence and f else 0.12) * world.camera.focal / foot[2]
        world.canvas.stroke(line, width, (215,) * 3 if fence else (120,) * 3, heat, foot[2], lit, GUARDRAIL)
    if fence:
        strip(0.74, 0.82, 225)
        strip(0.14, 0.2, 205)
    else:
        for low, high, tone in ((0.48, 0.58, 168), (0.58, 0.65, 118), (0.65, 0.78, 190)):
            strip(low, high, tone)
