"""Synthetic degradations of clean images, registered in `DEGRADATIONS`: seeded, recorded, on the 8-bit grid.

They stand in where real pairs of degraded and clean images are missing. A network trained on the exact floating-point
formulas learns to invert them and fails on real files, so every output is rounded to 8 bits.
"""

from lurefusion.datasets.degradations.base import Degradation, Degraded, Identity, Range, ramp_depth
from lurefusion.datasets.degradations.blur import Blur, Defocus
from lurefusion.datasets.degradations.light import LowContrast, LowLight, OverExposure
from lurefusion.datasets.degradations.sensor import LowResolution, Noise, StripeNoise
from lurefusion.datasets.degradations.weather import Haze, Rain

__all__ = [
    'Blur', 'Defocus', 'Degradation', 'Degraded', 'Haze', 'Identity', 'LowContrast', 'LowLight', 'LowResolution',
    'Noise', 'OverExposure', 'Rain', 'Range', 'StripeNoise', 'ramp_depth',
]  # fmt: skip
