"""What makes a pair difficult: glare or smoke that blinds the visible camera, or targets that only their heat tells."""

from __future__ import annotations

import cv2
import numpy as np

from lurefusion.datasets.scenes import objects
from lurefusion.datasets.scenes.background import Street
from lurefusion.datasets.scenes.canvas import CAR, FAR, OVERSAMPLING, Weather, World, texture
from lurefusion.datasets.scenes.vehicles import add_car


class Difficulty:
    """Plain scenes, and the interface of the difficult ones.

    Everything is drawn from a generator of its own, so that street, weather and what the other parts draw are those of
    the same seed without the difficulty.

    Args:
        rng: Generator.
    """

    time: str | None = None  # by which it is seen, where the caller names no time

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def furnish(self, world: World, street: Street) -> None:
        """Queue further objects."""

    def veil(self, surface: np.ndarray, fields: np.ndarray, weather: Weather) -> np.ndarray:
        """Change the painted layers (H,W,4) of `Canvas`, at output size, in place.

        Returns:
            (H,W) float32 in [0,1]: how much is hidden from the visible camera.
        """
        return np.zeros(fields.shape[:2], np.float32)


class Headlights(Difficulty):
    """High beams of an oncoming car by night, people beside it."""

    time = 'night'

    def furnish(self, world: World, street: Street) -> None:
        rng = self.rng
        z = rng.uniform(11, 16)
        x = street.at(-street.half / 2)(z)
        x = float(np.clip(x, -0.3 * z, 0.3 * z))
        add_car(world, x, z, np.pi + rng.normal(0, 0.03), True)
        for side in (-1.0, 1.0):
            objects.add_person(world, x + side * rng.uniform(1.6, 2.4), z + rng.uniform(-2.5, 1.0))
        self.lamps = np.array([[x + t, 0.65, z - 2.3] for t in (-0.65, 0.65)])
        self.camera = world.camera
        world.add(z, lambda: self._paint(world), layer=2)

    def _paint(self, world: World) -> None:
        for point, unit in zip(world.camera.project(self.lamps), world.camera.focal / self.lamps[:, 2], strict=True):
            world.canvas.capsule(point, point, (0.2 * unit, 0.2 * unit), (255, 252, 240), world.weather.air + 15,
                                 float(self.lamps[0, 2]), label=CAR, emission=60.0)  # fmt: skip

    def veil(self, surface: np.ndarray, fields: np.ndarray, weather: Weather) -> np.ndarray:
        centres = self.camera.project(self.lamps) / OVERSAMPLING
        units = self.camera.focal / self.lamps[:, 2] / OVERSAMPLING
        halos = [_distance(fields.shape[:2], c) / (0.8 * unit) for c, unit in zip(centres, units, strict=True)]
        glare = np.exp(-(np.minimum(*halos) ** 2)).astype(np.float32)
        surface[..., :3] = surface[..., :3] + 0.7 * glare[..., None] * (255.0 - surface[..., :3])
        fields[..., 3] += 1.5 * glare
        return glare


class Smoke(Difficulty):
    """A bright plume across the street by day, which the long waves of the thermal camera pass; people in it."""

    time = 'day'

    def furnish(self, world: World, street: Street) -> None:
        for _ in range(3):
            z = self.rng.uniform(13, 22)
            objects.add_person(world, float(np.clip(street.at(self.rng.uniform(-3, 3))(z), -0.3 * z, 0.3 * z)), z)

    def veil(self, surface: np.ndarray, fields: np.ndarray, weather: Weather) -> np.ndarray:
        height, width = fields.shape[:2]
        tile = np.roll(texture('cloud'), self.rng.integers(0, 512, 2), (0, 1))[:200, :280]
        billows = cv2.resize(tile, (width, height), interpolation=cv2.INTER_CUBIC)
        column = (np.arange(width) / width - self.rng.uniform(0.4, 0.6))[None]
        spread = 0.2 + 0.12 * (1 - np.arange(height)[:, None] / height)
        density = np.exp(-((column / spread) ** 2)) * (1.15 + 0.3 * billows)
        density *= np.clip((fields[..., 1] * FAR - 9) / 9, 0, 1)  # what is nearer stands before the smoke
        alpha = np.clip(density, 0, 0.96).astype(np.float32)
        smoke = np.array([205, 206, 210, 190 * (not weather.overcast)], np.float32) * (1 + 0.05 * billows[..., None])
        surface[:] = np.clip(surface + alpha[..., None] * (smoke - surface), 0, 255).astype(np.uint8)
        fields[..., 3] += alpha * (0.25 - fields[..., 3])
        fields[..., 0] += 0.12 * alpha * (weather.air + 1 - fields[..., 0])
        return alpha


class BrightSky(Difficulty):
    """Against the sun by day: the sky is saturated, and glare washes out what stands before it."""

    time = 'day'

    def furnish(self, world: World, street: Street) -> None:
        for side in (-1.0, 1.0):
            z = self.rng.uniform(9, 16)
            objects.add_pole(world, street.at(side * (street.half + 0.5))(z), z, 'lamp' if side < 0 else 'signal')

    def veil(self, surface: np.ndarray, fields: np.ndarray, weather: Weather) -> np.ndarray:
        height, width = fields.shape[:2]
        sky = np.clip((fields[..., 1] - 0.98) / 0.02, 0, 1)
        rows = max(8.0, 0.5 * float((sky > 0.5).any(1).sum()))
        sun = _distance((height, width), np.array([self.rng.uniform(0.3, 0.7) * width, rows])) / width
        glare = (0.75 * np.exp(-((sun / 0.2) ** 2))).astype(np.float32)
        surface[:] = (surface + glare[..., None] * (np.float32([255, 252, 244, 255]) - surface)).astype(np.uint8)
        fields[..., 3] += sky * (7 * fields[..., 3] + 40 * np.exp(-((sun / 0.05) ** 2))) + 2.5 * glare
        return np.maximum(sky, glare).astype(np.float32)


class HotTargets(Difficulty):
    """People far away: a few pixels each, which only their heat tells from the background."""

    def furnish(self, world: World, street: Street) -> None:
        for z in self.rng.uniform(28, 60, 7):
            x = street.at(self.rng.uniform(-1, 1) * (street.half + street.pavement))(z)
            objects.add_person(world, float(np.clip(x, -0.35 * z, 0.35 * z)), float(z))


def _distance(shape: tuple[int, int], point: np.ndarray) -> np.ndarray:
    """(H,W) float32: pixels from a point (x, y)."""
    rows, columns = (np.arange(side, dtype=np.float32) + np.float32(0.5) for side in shape)
    return np.hypot(columns[None] - np.float32(point[0]), rows[:, None] - np.float32(point[1]))


DIFFICULTIES: dict[str, type[Difficulty]] = {
    'headlights': Headlights,
    'smoke': Smoke,
    'bright_sky': BrightSky,
    'hot_targets': HotTargets,
}
