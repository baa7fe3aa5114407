"""Speed of the 12 full-reference metrics against straightforward NumPy/SciPy code of the same formulas.

    python benchmarks/metrics.py [--images 4] [--threads 2]

The NumPy code is written as the evaluation scripts of fusion papers are: one picture and one source at a time, windows
as two-dimensional convolutions of `scipy.signal`, each metric from scratch. `--separable` gives it one-dimensional
windows instead, which such scripts do not have. Both sides compute the same numbers, which is checked first.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from scipy.ndimage import correlate1d
from scipy.signal import convolve2d

from lurefusion.evaluation.cards import FULL_REFERENCE_METRICS, compute

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
Array = np.ndarray

separable = False


def gaussian(size: int, sigma: float) -> Array:
    """One-dimensional normalised window."""
    x = np.arange(size) - (size - 1) / 2
    window = np.exp(-(x**2) / (2 * sigma**2))
    return window / window.sum()


def blur(image: Array, window: Array) -> Array:
    """Window where it fits."""
    if separable:
        cut = slice(len(window) // 2, -(len(window) // 2))
        return correlate1d(correlate1d(image, window, 0), window, 1)[cut, cut]
    return convolve2d(image, np.outer(window, window), mode='valid')


def moments(a: Array, b: Array, window: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Means, variances and covariance in each window."""
    ma, mb = blur(a, window), blur(b, window)
    return ma, mb, blur(a * a, window) - ma**2, blur(b * b, window) - mb**2, blur(a * b, window) - ma * mb


def cc(f: Array, sources: list[Array]) -> float:
    return float(np.mean([np.corrcoef(f.ravel(), s.ravel())[0, 1] for s in sources]))


def scd(f: Array, sources: list[Array]) -> float:
    a, b = sources
    return float(np.corrcoef((f - b).ravel(), a.ravel())[0, 1] + np.corrcoef((f - a).ravel(), b.ravel())[0, 1])


def psnr(f: Array, sources: list[Array]) -> float:
    return float(10 * np.log10(255**2 / np.mean([np.mean((f - s) ** 2) for s in sources])))


def ssim_maps(f: Array, s: Array) -> tuple[Array, Array]:
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mf, ms, vf, vs, cov = moments(f, s, gaussian(11, 1.5))
    structure = (2 * cov + c2) / (vf + vs + c2)
    return (2 * mf * ms + c1) / (mf**2 + ms**2 + c1) * structure, structure


def ssim(f: Array, sources: list[Array]) -> float:
    return float(np.mean([ssim_maps(f, s)[0].mean() for s in sources]))


def halve(x: Array) -> Array:
    x = np.pad(x, [(n % 2, n % 2) for n in x.shape])
    h, w = x.shape[0] // 2, x.shape[1] // 2
    return x[: 2 * h, : 2 * w].reshape(h, 2, w, 2).mean((1, 3))


def ms_ssim(f: Array, sources: list[Array]) -> float:
    values = []
    for s in sources:
        value, x, y = 1.0, f, s
        for scale, weight in enumerate(WEIGHTS):
            full, structure = ssim_maps(x, y)
            value *= max((full if scale == 4 else structure).mean(), 0) ** weight
            x, y = halve(x), halve(y)
        values.append(value)
    return float(np.mean(values))


def vif(f: Array, sources: list[Array]) -> float:
    total = 0.0
    for s in sources:
        x, y, kept, available = s, f, 0.0, 0.0
        for size in (17, 9, 5, 3):
            window = gaussian(size, size / 5)
            if size < 17:
                x, y = blur(x, window)[::2, ::2], blur(y, window)[::2, ::2]
            _, _, vx, vy, cov = moments(x, y, window)
            vx, vy = np.maximum(vx, 0), np.maximum(vy, 0)
            gain = cov / (vx + 1e-10)
            gain[(vx < 1e-10) | (vy < 1e-10)] = 0
            gain = np.maximum(gain, 0)
            rest = np.maximum(vy - gain * cov, 1e-10)
            kept += np.log10(1 + gain**2 * vx / (rest + 2)).sum()
            available += np.log10(1 + vx / 2).sum()
        total += kept / available
    return float(total)


def edge(x: Array) -> tuple[Array, Array]:
    kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    gx, gy = convolve2d(x, kernel[:, ::-1], mode='same'), convolve2d(x, kernel.T[::-1], mode='same')
    angle = np.full_like(x, np.pi / 2)
    angle[gx != 0] = np.arctan(gy[gx != 0] / gx[gx != 0])
    return np.sqrt(gx**2 + gy**2), angle


def qabf(f: Array, sources: list[Array]) -> float:
    kept = weight = 0.0
    for s in sources:
        gs, a_s = edge(s)
        gf, af = edge(f)
        ratio = np.ones_like(f)
        ratio[gs > gf] = gf[gs > gf] / gs[gs > gf]
        ratio[gf > gs] = gs[gf > gs] / gf[gf > gs]
        alike = 1 - np.abs(a_s - af) / (np.pi / 2)
        quality = 0.9994 / (1 + np.exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + np.exp(-22 * (alike - 0.8)))
        kept, weight = kept + (quality * gs).sum(), weight + gs.sum()
    return float(kept / weight)


def entropy_of(counts: Array) -> float:
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log2(p)).sum())


def mi(f: Array, sources: list[Array]) -> float:
    total = 0.0
    for s in sources:
        joint = np.histogram2d(s.ravel(), f.ravel(), bins=256, range=((0, 256), (0, 256)))[0]
        total += entropy_of(joint.sum(0)) + entropy_of(joint.sum(1)) - entropy_of(joint)
    return total


def en(f: Array, sources: list[Array]) -> float:
    return entropy_of(np.histogram(f, bins=256, range=(0, 256))[0])


def sd(f: Array, sources: list[Array]) -> float:
    return float(f.std())


def ag(f: Array, sources: list[Array]) -> float:
    gy, gx = np.gradient(f)
    return float(np.sqrt((gx**2 + gy**2) / 2).mean())


def sf(f: Array, sources: list[Array]) -> float:
    return float(np.sqrt((np.diff(f, axis=0) ** 2).mean() + (np.diff(f, axis=1) ** 2).mean()))


PLAIN: dict[str, Callable[[Array, list[Array]], float]] = {
    'CC': cc, 'SCD': scd, 'PSNR': psnr, 'SSIM': ssim, 'MS-SSIM': ms_ssim, 'VIF': vif, 'Qabf': qabf, 'MI': mi, 'EN': en,
    'SD': sd, 'AG': ag, 'SF': sf,
}  # fmt: skip


def scenes(count: int, seed: int = 0) -> list[tuple[Array, list[Array]]]:
    """Textured 640x480 pairs and their mean, uint8."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        sources = []
        for _ in range(2):
            image = sum(
                np.kron(rng.normal(size=(480 // n, 640 // n)), np.ones((n, n))) * n**0.5 for n in (1, 4, 16, 80)
            )
            image = 128 + 40 * image / image.std()
            sources.append(np.clip(np.round(image), 0, 255).astype(np.uint8))
        fused = ((sources[0].astype(int) + sources[1]) // 2).astype(np.uint8)
        made.append((fused, sources))
    return made


def main() -> None:
    global separable
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=4)
    parser.add_argument('--threads', type=int, nargs='+', default=[1, 2], help='threads of torch')
    parser.add_argument('--separable', action='store_true', help='one-dimensional windows for the NumPy code')
    args = parser.parse_args()
    separable = args.separable
    data = scenes(args.images)
    tensors = [[torch.from_numpy(x)[None, None] for x in (fused, *sources)] for fused, sources in data]

    plain_each = dict.fromkeys(PLAIN, 0.0)
    plain_cpu = time.process_time()
    plain_values = []
    for fused, sources in data:
        values = {}
        for name, function in PLAIN.items():
            start = time.perf_counter()
            values[name] = function(fused.astype(np.float64), [s.astype(np.float64) for s in sources])
            plain_each[name] += (time.perf_counter() - start) / len(data)
        plain_values.append(values)
    plain_cpu = (time.process_time() - plain_cpu) / len(data)

    torch.set_num_threads(1)
    own_each = {}
    for name in FULL_REFERENCE_METRICS:
        compute(tensors[0][0], tensors[0][1:], [name])
        start = time.perf_counter()
        for fused, *sources in tensors:
            compute(fused, sources, [name])
        own_each[name] = (time.perf_counter() - start) / len(tensors)
    worst = 0.0
    print(f'{"metric":8} {"NumPy ms":>9} {"own ms":>8} {"factor":>7}   (each alone, one thread)')
    for name in FULL_REFERENCE_METRICS:
        for (fused, *sources), values in zip(tensors, plain_values, strict=True):
            own = float(compute(fused, sources, [name])[name])
            worst = max(worst, abs(own - values[name]) / max(abs(values[name]), 1e-9))
        plain, own = 1e3 * plain_each[name], 1e3 * own_each[name]
        print(f'{name:8} {plain:9.1f} {own:8.1f} {plain / own:7.1f}')
    print(f'largest relative difference of the values: {worst:.1e}')

    plain = sum(plain_each.values())
    print(f'NumPy, all 12: {plain:.3f} s per image ({plain_cpu:.3f} CPU s)')
    for threads in args.threads:
        torch.set_num_threads(threads)
        compute(tensors[0][0], tensors[0][1:], FULL_REFERENCE_METRICS)
        start, cpu = time.perf_counter(), time.process_time()
        for fused, *sources in tensors:
            compute(fused, sources, FULL_REFERENCE_METRICS)
        own, cpu = ((clock - begin) / len(tensors) for clock, begin in
                    ((time.perf_counter(), start), (time.process_time(), cpu)))  # fmt: skip
        print(
            f'own, all 12, {threads} thread(s): {own:.3f} s per image ({cpu:.3f} CPU s), {plain / own:.1f} times faster'
        )


if __name__ == '__main__':
    main()
