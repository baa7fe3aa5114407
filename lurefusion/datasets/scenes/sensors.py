"""The two cameras: from the painted layers and the lights to an RGB and a thermal picture."""

from __future__ import annotations

import cv2
import numpy as np

from lurefusion.datasets.scenes.canvas import FAR, OVERSAMPLING, Camera, Light, Weather
from lurefusion.ops.colour import LUMA

_LEVELS = np.arange(256) / 255
TO_LINEAR = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4).astype(np.float32)


def lamp_light(depth: np.ndarray, camera: Camera, lights: list[Light]) -> np.ndarray:
    """Linear RGB irradiance (h, w, 3) of all lamps on the surfaces seen, from their distances.

    ``camera`` is in pixels of ``depth``. A lamp gives I / (1 + r^2); a headlight is a cone around its direction.
    """
    height, width = depth.shape
    z = depth * FAR
    x = (np.arange(width, dtype=np.float32) + 0.5 - camera.centre)[None] / camera.focal * z
    y = camera.height - (np.arange(height, dtype=np.float32) + 0.5 - camera.horizon)[:, None] / camera.focal * z
    total = np.zeros((height, width, 3), np.float32)
    for light in lights:
        dx, dy, dz = (a - np.float32(b) for a, b in zip((x, y, z), light.position, strict=True))
        square = dx * dx + dy * dy + dz * dz + np.float32(0.3)
        if light.direction is None:
            power = np.clip(-dy + 0.6, 0, 3) / (square * np.sqrt(square) * 0.25 + 1)
        else:
            a, b, c = (np.float32(v) for v in light.direction)
            cosine = np.maximum(a * dx + b * dy + c * dz, 0) ** 2 / square
            power = cosine**12 / (1 + 0.06 * square)
        for channel in range(3):
            total[..., channel] += power * np.float32(light.rgb[channel])
    return total


def visible_image(
    surface: np.ndarray,
    emission: np.ndarray,
    depth: np.ndarray,
    camera: Camera,
    weather: Weather,
    lights: list[Light],
    rng: np.random.Generator,
) -> np.ndarray:
    """Expose the scene: (H, W, 3) uint8. Inputs are the layers at output size, ``camera`` in canvas pixels."""
    colour = cv2.LUT(surface[..., :3], TO_LINEAR)
    height, width = depth.shape
    if weather.night:
        ambient = rng.uniform(0.006, 0.05) * np.array([0.75, 0.95, 1.15], np.float32)
        scale = 0.5 / OVERSAMPLING
        half = Camera(camera.height, camera.focal * scale, camera.centre * scale, camera.horizon * scale)
        small = cv2.resize(depth, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_NEAREST)
        lamps = cv2.resize(lamp_light(small, half, lights), (width, height))
        glow = np.minimum(colour * emission[..., None], 30)
        radiance = colour * (lamps * np.float32(0.22) + ambient) + glow + _bloom(glow * 0.6, rng.uniform(0.6, 1.4))
    else:
        level = rng.uniform(0.22, 0.5) if not weather.overcast else 0.8
        warm = rng.uniform(0, 1) if weather.sun[1] < 0.5 else rng.uniform(0, 0.3)
        sunlight = np.array([1.0, 1.0 - 0.15 * warm, 1.0 - 0.4 * warm]) * (1.15 - 0.9 * weather.overcast)
        haze = rng.uniform(0, 0.35) ** 2 * 2  # clear air still veils the distance a little
        veil = cv2.exp(depth * np.float32(-haze))
        direct = surface[..., 3] * np.float32(1 / 255)
        planes = []
        for plane, sun, sky, air in zip(
            cv2.split(colour), sunlight, (0.88, 0.97, 1.12), (0.72, 0.78, 0.86), strict=True
        ):
            plane *= direct * np.float32(sun) + (emission + np.float32(sky * level))
            planes.append((plane - np.float32(air)) * veil + np.float32(air))
        radiance = cv2.merge(planes)
        strength = rng.uniform(0.3, 1.0)
        if rng.random() < 0.25:
            radiance += _bloom(np.maximum(radiance - 0.7, 0), strength)
    target = np.exp(rng.uniform(np.log(0.08), np.log(0.27))) if weather.night else rng.uniform(0.28, 0.62)
    image = _expose(radiance, target, 1.0 if weather.night else rng.uniform(0.7, 1.6))
    balance = np.exp(rng.normal(0, 0.05, 3))
    lift = rng.uniform(0, 0.02) if weather.night else rng.uniform(0, 0.12) ** 1.3
    saturation = 1 + rng.uniform(-0.35, 0.25)
    matrix = saturation * np.eye(3) + (1 - saturation) * np.array(LUMA)
    matrix = matrix * (balance * (1 - lift))
    image = cv2.transform(image, np.column_stack([matrix, np.full(3, lift)]).astype(np.float32))
    image = cv2.GaussianBlur(image, (3, 3) if width < 1000 else (0, 0), rng.uniform(0.3, 0.6))
    noise = rng.uniform(0.003, 0.011) if weather.night else rng.uniform(0.001, 0.005)
    grain = rng.standard_normal((height, width + 96), dtype=np.float32) * np.float32(noise)
    for channel in range(3):  # one field, shifted: independent at every pixel
        image[..., channel] += grain[:, channel * 48 : channel * 48 + width]
    return cv2.convertScaleAbs(np.maximum(image, 0), alpha=255)


def _bloom(glow: np.ndarray, strength: float) -> np.ndarray:
    """Light scattered in the lens: a narrow and a wide halo around bright cores."""
    height, width = glow.shape[:2]
    small = cv2.resize(glow, (max(2, width // 4), max(2, height // 4)), interpolation=cv2.INTER_AREA)
    tiny = cv2.resize(small, (max(2, width // 16), max(2, height // 16)), interpolation=cv2.INTER_AREA)
    halo = cv2.GaussianBlur(small, (0, 0), max(0.6, width / 640)) * np.float32(0.12 * strength)
    wide = cv2.GaussianBlur(tiny, (0, 0), max(0.8, width / 320)) * np.float32(0.05 * strength)
    return cv2.resize(halo + cv2.resize(wide, (small.shape[1], small.shape[0])), (width, height))


def _expose(radiance: np.ndarray, target: float, contrast: float) -> np.ndarray:
    """Film curve (1 - exp(-g L))^(1/2.2) with the gain that brings the mean to ``target``."""
    sample = cv2.resize(radiance, (64, 48), interpolation=cv2.INTER_NEAREST)
    low, high = -6.0, 8.0
    for _ in range(9):
        middle = (low + high) / 2
        mean = float(((1 - np.exp(-np.exp(middle) * np.maximum(sample, 0))) ** (contrast / 2.2)).mean())
        low, high = (middle, high) if mean < target else (low, middle)
    return cv2.pow(1 - cv2.exp(radiance * np.float32(-np.exp(low))), contrast / 2.2)


def infrared_image(temperature: np.ndarray, weather: Weather, rng: np.random.Generator) -> np.ndarray:
    """Thermal camera: (H, W) uint8, brighter is warmer.

    The range of the frame is mapped linearly with a random gamma, mixed with plateau equalisation as cameras with
    automatic gain do; then lens blur, vignetting, column pattern and temporal noise.
    """
    height, width = temperature.shape
    image = cv2.GaussianBlur(temperature, (0, 0), max(0.4, width / 640 * rng.uniform(0.7, 1.3)))
    sample = image[:: max(1, height // 96), :: max(1, width // 128)]
    ground = float(np.percentile(sample, 1))
    automatic = rng.random() < 0.6
    low = max(ground, weather.air - rng.uniform(2, 10)) if not automatic or rng.random() < 0.5 else ground
    high = max(float(np.percentile(sample, 99.8)), 33.5)
    linear = np.clip((image - low) * np.float32(1 / (high - low)), 0, 1)
    counts, edges = np.histogram(np.clip((sample - low) / (high - low), 0, 1), 96, (0, 1))
    counts = np.minimum(counts, rng.uniform(2.5, 6) * sample.size / 96) + 0.1 * sample.size / 96
    cdf = np.concatenate([[0], np.cumsum(counts) / counts.sum()])
    equalise = rng.uniform(0.5, 1.0) if automatic else rng.uniform(0, 0.2)
    gamma = rng.uniform(0.8, 1.6) if automatic else rng.uniform(1.2, 3.0)
    levels = np.linspace(0, 1, 1025)
    curve = (1 - equalise) * levels**gamma + equalise * np.interp(levels, edges, cdf)
    top, floor = rng.uniform(0.75, 1.0), rng.uniform(0.0, 0.06)
    image = (floor + (top - floor) * curve).astype(np.float32)[(linear * 1024).astype(np.int16)]
    image *= np.float32(255)
    image += rng.normal(0, rng.uniform(0.1, 0.8), (1, width)).astype(np.float32)
    image += rng.standard_normal((height, width), dtype=np.float32) * np.float32(rng.uniform(0.6, 2.2))
    return cv2.convertScaleAbs(np.maximum(image, 0))
