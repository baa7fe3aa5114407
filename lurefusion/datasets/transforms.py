"""Transforms, in the order of their use: load, crop, flip, degrade, pack.

Each is a callable on a dict with `images` (role -> (H,W,3) uint8, or float32 in [0,1]), `rng` (the sample's own
generator), `iteration`, and whatever the data set put in. `depth` (H,W) float32 in [0,1] is cut along where a data set
knows it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.logging import print_log

from lurefusion.choices import names_of
from lurefusion.datasets.degradations import ramp_depth
from lurefusion.datasets.degradations.base import value_range
from lurefusion.io.images import read_image
from lurefusion.io.labels import read_label
from lurefusion.io.pairing import different_sizes
from lurefusion.io.ranges import RANGE_MODES, parse_range, range_of
from lurefusion.ops.layout import image_to_tensor, to_unit
from lurefusion.registry import DEGRADATIONS, TRANSFORMS
from lurefusion.structures import FusionDataSample

LABEL = 'label'
REFERENCE = 'reference_'


def _share(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f'{name} is a probability, 0 to 1; got {value}')
    return value


@TRANSFORMS.register_module()
class LoadImages:
    """Read the files of `paths` into `images`; the role ``label`` is read as (H,W) uint8 class ids (`read_label`).

    Args:
        range_mode: How 16-bit and float files are brought to [0, 1], for all or for each modality (``minmax``,
            ``dict(ir='28000:31000')``); see `lurefusion.io.ranges.to_unit_range` and `parse_range`.
        cache_mb: Decoded pictures to keep in memory, of each data set and process; training crops then cost no
            decoding.

    Raises:
        ValueError: If the files of one sample differ in size (all sizes are named), or are smaller than 8 pixels.
    """

    def __init__(self, range_mode: str | Mapping[str, str] = 'auto', cache_mb: float = 0) -> None:
        self.ranges = parse_range(range_mode)
        self._noted: set[str] = set()
        self._one_scale: set[str | None] = set()
        self.room = int(cache_mb * 2**20)
        self._cache: dict[tuple[str, bool, str], tuple[np.ndarray, bool]] = {}

    def __call__(self, results: dict) -> dict:
        images = results.setdefault('images', {})
        grey = []
        roles = {role.removeprefix(REFERENCE) for role in results.get('paths', {})}
        named = {name for name in self.ranges if name is not None}
        # a restoration sample shows one modality of those that there are
        if 'modality' not in results and not named <= roles:
            wrong, right = (', '.join(sorted(names)) for names in (named - roles, roles))
            raise ValueError(f'LoadImages.range_mode names {wrong}; the pictures are {right}')
        for role, path in results.get('paths', {}).items():
            # x and y of a restoration pair are of the sample's modality
            name = role.removeprefix(REFERENCE) if 'modality' not in results else results['modality']
            images[role], is_grey = self._read(path, role, name)
            if is_grey:
                grey.append(role)
        results.setdefault('grey', tuple(grey))
        if {'x', 'y'} <= images.keys():
            self._refuse_own_scales(results, images)
        sizes = {role: image.shape[:2] for role, image in images.items()}
        if problem := different_sizes(sizes, results['paths']):
            raise ValueError(problem)
        height, width = next(iter(sizes.values()))
        if min(height, width) < 8:
            raise ValueError(
                f'{next(iter(results["paths"].values()))}: {width}x{height} pixels; at least 8x8 are needed'
            )
        return results

    def _refuse_own_scales(self, results: dict, images: Mapping[str, np.ndarray]) -> None:
        """x and y of a pair, each stretched by what is in it, would have lost what is to be learned."""
        name = results.get('modality')
        mode = range_of(self.ranges, name)
        if mode not in RANGE_MODES or mode == 'full' or name in self._one_scale:
            return
        for role in ('x', 'y'):
            path, image = results['paths'][role], images[role]
            # 8 bit is float32 here in fractions alone
            if image.dtype != np.uint8 and not np.array_equal(image, read_image(path, 'full')[0]):
                raise ValueError(
                    f'{path}: x and y of a restoration pair need one scale, and by the range {mode!r} each picture '
                    f"has its own; give LoadImages(range_mode='full') or the limits, "
                    f"range_mode=dict({name or 'NAME'}='LOW:HIGH')"
                )
        # once: a training reads every file many times
        self._one_scale.add(name)

    def _read(self, path: str, role: str, name: str) -> tuple[np.ndarray, bool]:
        key = path, role == LABEL, range_of(self.ranges, name)
        if key in self._cache:
            image, grey = self._cache[key]
            return image.copy(), grey
        notes: list[str] = []
        if role == LABEL:
            loaded = read_label(path), True
        else:
            loaded = read_image(path, range_of(self.ranges, name), notes)
        if notes and name not in self._noted:  # once: a training reads every file many times
            self._noted.add(name)
            print_log(f'{name} ({path}): {"; ".join(notes)}', logger='current', level=logging.WARNING)
        if loaded[0].nbytes <= self.room:
            self.room -= loaded[0].nbytes
            self._cache[key] = loaded[0].copy(), loaded[1]
        return loaded


def wants_depth(results: Mapping[str, Any], types: Sequence[str]) -> Mapping[str, Any] | None:
    """Config of the first degradation of a sample that looks at the distance; None: no distance is lacking."""
    spoilt = [results.get('degradation') or {}, *(results.get('degradations') or {}).values()]
    wanting = next((cfg for cfg in spoilt if cfg.get('type') in types), None)
    return wanting if results.get('depth') is None else None


@TRANSFORMS.register_module()
class FrameDepth:
    """A made-up distance map of the whole frame for samples that need one and have none; put it before the crop.

    Haze made on a crop would put the whole ramp from near to far into every crop; the modalities of a fusion sample
    share the map.

    Args:
        types: Degradations that look at the distance.
        ramp: Range of the exponent of the vertical ramp; see `lurefusion.datasets.degradations.ramp_depth`. A
            degradation's own `ramp` and `relief`, where its config states them, come first.
        relief: Range of the amplitude of the smooth noise on it.
    """

    def __init__(
        self,
        types: Sequence[str] = ('Haze',),
        ramp: tuple[float, float] = (0.7, 1.5),
        relief: tuple[float, float] = (0.0, 0.15),
    ) -> None:
        self.types = names_of('FrameDepth.types', types)
        self.ramp = tuple(ramp)
        self.relief = tuple(relief)

    def __call__(self, results: dict) -> dict:
        wanting = wants_depth(results, self.types)
        if wanting is not None:
            rng = results['rng']
            height, width = next(iter(results['images'].values())).shape[:2]
            # what the degradation itself says comes first
            ramp, relief = (value_range(n, wanting.get(n, getattr(self, n)), 0) for n in ('ramp', 'relief'))
            results['depth'] = ramp_depth(
                height, width, rng.uniform(*ramp), rng.uniform(*relief), int(rng.integers(2**31))
            )
        return results


@TRANSFORMS.register_module()
class RandomCrop:
    """Cut one random window out of all images of the sample.

    Args:
        size: Side of the window, or a schedule of (first iteration, side) pairs: progressive crops.
        scale: Range of a random factor by which the picture is scaled before (area filter when it shrinks); a network
            that takes statistics over its whole input sees more of the scene in the same window. Never below the
            window.
        scale_prob: How often it is scaled at all.

    Pictures smaller than the window are extended by reflection.
    """

    def __init__(
        self, size: int | list[tuple[int, int]] = 192, scale: tuple[float, float] = (1.0, 1.0), scale_prob: float = 1.0
    ) -> None:
        if not isinstance(size, int) and not all(isinstance(pair, Sequence) and len(pair) == 2 for pair in size):
            raise ValueError(f'RandomCrop.size is one number, or a list of (first iteration, side), got {size!r}')
        schedule = [(0, size)] if isinstance(size, int) else sorted((int(a), int(b)) for a, b in size)
        if any(side < 8 or side % 8 for _, side in schedule):
            raise ValueError(f'crop sizes must be positive multiples of 8, got {[side for _, side in schedule]}')
        if not schedule or schedule[0][0] > 0:
            raise ValueError(f'the schedule of crop sizes must begin at iteration 0, got {schedule}')
        if not 0 < scale[0] <= scale[1]:
            raise ValueError(f'scale must be a range of positive factors, got {scale}')
        _share('scale_prob', scale_prob)
        self.schedule = schedule
        self.scale = tuple(scale)
        self.scale_prob = scale_prob

    def __call__(self, results: dict) -> dict:
        rng, images = results['rng'], results['images']
        size = [side for first, side in self.schedule if first <= results['iteration'] or first == 0][-1]
        height, width = next(iter(images.values())).shape[:2]
        # the source window that becomes size x size: scaling only what is kept costs less than scaling the picture
        factor = rng.uniform(*self.scale)
        if rng.random() >= self.scale_prob:
            factor = 1.0
        window = min(max(round(size / factor), 8), max(min(height, width), size))
        top = int(rng.integers(max(height - window, 0) + 1))
        left = int(rng.integers(max(width - window, 0) + 1))

        def cut(image: np.ndarray, nearest: bool = False) -> np.ndarray:
            part = image[top : top + window, left : left + window]
            bottom, right = window - part.shape[0], window - part.shape[1]
            if bottom or right:
                part = cv2.copyMakeBorder(part, 0, bottom, 0, right, cv2.BORDER_REFLECT)
            if window != size:
                shrink = cv2.INTER_AREA if window > size else cv2.INTER_LINEAR
                part = cv2.resize(part, (size, size), interpolation=cv2.INTER_NEAREST if nearest else shrink)
                # OpenCV's weights add up to 1 only within rounding
                part = np.clip(part, 0, 1) if part.dtype == np.float32 else part
            return part

        results['images'] = {role: cut(image, role == LABEL) for role, image in images.items()}
        if results.get('depth') is not None:
            results['depth'] = cut(results['depth'])
        return results


@TRANSFORMS.register_module()
class ShrinkFrame:
    """Shrink whole pictures to a random short side (area filter), both sides to multiples of `divisor`; none grows.

    Args:
        short: Range of the short side.
        divisor: Of both sides, at most half of the shorter one of `short`.

    Raises:
        ValueError: If the range is none, or a picture is smaller than one `divisor`.
    """

    def __init__(self, short: tuple[int, int] = (160, 400), divisor: int = 16) -> None:
        if not 2 * divisor <= short[0] <= short[1]:
            raise ValueError(f'short must be a range from {2 * divisor} (two divisors) up, got {tuple(short)}')
        self.short = tuple(short)
        self.divisor = divisor

    def __call__(self, results: dict) -> dict:
        height, width = next(iter(results['images'].values())).shape[:2]
        if min(height, width) < self.divisor:
            raise ValueError(
                f'{results["name"]}: {width}x{height} pixels; ShrinkFrame(divisor={self.divisor}) needs that much'
            )
        factor = min(results['rng'].uniform(*self.short) / min(height, width), 1.0)
        size = [max(int(side * factor) // self.divisor, 1) * self.divisor for side in (width, height)]

        def shrunk(image: np.ndarray, nearest: bool = False) -> np.ndarray:
            small = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST if nearest else cv2.INTER_AREA)
            # OpenCV's weights add up to 1 only within rounding
            return np.clip(small, 0, 1) if small.dtype == np.float32 else small

        results['images'] = {role: shrunk(image, role == LABEL) for role, image in results['images'].items()}
        if results.get('depth') is not None:
            results['depth'] = shrunk(results['depth'])
        return results


@TRANSFORMS.register_module()
class RandomExposure:
    """Take clean pictures as another camera would: gain * cast * y^gamma, clipped; put it before `Degrade`.

    Samples that are real pairs, those without a degradation, stay as they are.

    Args:
        gamma: Range, drawn evenly on a logarithmic scale.
        gain: Range.
        cast: Largest deviation of the factor of a colour from 1; grey pictures stay grey.
        prob: How often it is done.
    """

    def __init__(
        self,
        gamma: tuple[float, float] = (0.6, 1.6),
        gain: tuple[float, float] = (0.7, 1.1),
        cast: float = 0.08,
        prob: float = 0.7,
    ) -> None:
        if not (0 < gamma[0] <= gamma[1] and 0 < gain[0] <= gain[1] and 0 <= cast < 1):
            raise ValueError(
                f'gamma and gain must be ranges of positive numbers and cast in [0, 1), got {gamma}, {gain} and {cast}'
            )
        self.gamma = tuple(gamma)
        self.gain = tuple(gain)
        self.cast = cast
        self.prob = prob

    def __call__(self, results: dict) -> dict:
        rng, images = results['rng'], results['images']
        if results.get('degradation') is None or rng.random() >= self.prob:
            return results
        gamma = np.exp(rng.uniform(*np.log(self.gamma)))
        factors = rng.uniform(*self.gain) * rng.uniform(1 - self.cast, 1 + self.cast, 3)
        clean = images['y']
        if (clean == clean[..., :1]).all():
            factors[:] = factors.mean()
        unit = clean.astype(np.float32) / 255 if clean.dtype == np.uint8 else clean
        unit = np.clip(unit**gamma * factors, 0, 1).astype(np.float32)
        images['y'] = np.round(unit * 255).astype(np.uint8) if clean.dtype == np.uint8 else unit
        return results


@TRANSFORMS.register_module()
class CenterCrop:
    """Cut the same window, `size` x `size` pixels in the middle, out of all images of the sample.

    Raises:
        ValueError: If `size` is no positive multiple of 8, or a picture is smaller.
    """

    def __init__(self, size: int = 128) -> None:
        if size < 8 or size % 8:
            raise ValueError(f'the crop size must be a positive multiple of 8, got {size}')
        self.size = size

    def __call__(self, results: dict) -> dict:
        height, width = next(iter(results['images'].values())).shape[:2]
        if min(height, width) < self.size:
            raise ValueError(
                f'{results["name"]}: {width}x{height} pixels; CenterCrop(size={self.size}) needs at least that much'
            )
        top, left = (height - self.size) // 2, (width - self.size) // 2
        window = np.s_[top : top + self.size, left : left + self.size]
        results['images'] = {role: image[window] for role, image in results['images'].items()}
        if results.get('depth') is not None:
            results['depth'] = results['depth'][window]
        return results


@TRANSFORMS.register_module()
class RandomFlip:
    """Flip all images of the sample left-right with probability `prob` (and up-down with `vertical`)."""

    def __init__(self, prob: float = 0.5, vertical: float = 0.0) -> None:
        self.prob = _share('prob', prob)
        self.vertical = _share('vertical', vertical)

    def __call__(self, results: dict) -> dict:
        horizontal, vertical = results['rng'].random(2) < (self.prob, self.vertical)

        def flip(image: np.ndarray) -> np.ndarray:
            image = image[:, ::-1] if horizontal else image
            return image[::-1] if vertical else image

        results['images'] = {role: flip(image) for role, image in results['images'].items()}
        if results.get('depth') is not None:
            results['depth'] = flip(results['depth'])
        return results


@TRANSFORMS.register_module()
class DrawTasks:
    """Choose at random by what the pictures of a fusion sample are spoilt; put it before `FrameDepth` and `Degrade`.

    Args:
        degradations: Task -> member of DEGRADATIONS.
        choices: Lists of a share and of modality -> task, e.g. ``[(2, {}), (1, dict(vi='ll', ir='lc'))]``.

    Raises:
        ValueError: If a choice names a task that `degradations` lacks, or the shares are no shares.
    """

    def __init__(self, degradations: dict[str, dict], choices: list[tuple[float, dict[str, str]]]) -> None:
        unknown = {task for _, tasks in choices for task in tasks.values()} - set(degradations)
        if unknown:
            raise ValueError(f'choices names {sorted(unknown)}; degradations has {sorted(degradations)}')
        shares = np.array([share for share, _ in choices], float)
        if not len(shares) or shares.min() < 0 or shares.sum() <= 0:
            raise ValueError(f'the shares must not be negative, and not all 0; got {shares.tolist()}')
        self.degradations = degradations
        self.choices = [tasks for _, tasks in choices]
        self.bounds = np.cumsum(shares / shares.sum())

    def __call__(self, results: dict) -> dict:
        drawn = int(np.searchsorted(self.bounds, results['rng'].random(), side='right'))
        results['tasks'] = dict(self.choices[min(drawn, len(self.choices) - 1)])
        results['degradations'] = {m: self.degradations[task] for m, task in results['tasks'].items()}
        return results


@TRANSFORMS.register_module()
class Degrade:
    """Spoil pictures by the sample's degradations, where it has some; what was drawn is kept in the sample.

    `degradation` of a restoration sample makes x from y. `degradations` (modality -> member of DEGRADATIONS) of a
    fusion sample spoil its sources; the clean pictures stay as ``reference_<modality>``.
    """

    def __init__(self) -> None:
        self._built: dict[str, Any] = {}

    def __call__(self, results: dict) -> dict:
        images = results['images']
        if results.get('degradation') is not None:
            images['x'], results['degradation_parameters'] = self._spoil(results['degradation'], images['y'], results)
        for modality, cfg in (results.get('degradations') or {}).items():
            if modality not in images:
                raise ValueError(f'degradations: {modality!r} is none of the pictures {", ".join(images)}')
            # a clean picture of its own comes first
            images.setdefault(f'{REFERENCE}{modality}', images[modality])
            images[modality], parameters = self._spoil(cfg, images[modality], results)
            results.setdefault('degradation_parameters', {})[modality] = parameters
        return results

    def _spoil(self, cfg: dict, clean: np.ndarray, results: dict) -> tuple[np.ndarray, dict]:
        # one object per config: data sets hand out copies
        key = repr(cfg)
        if key not in self._built:
            self._built[key] = DEGRADATIONS.build(cfg)
        unit = clean.astype(np.float32) / 255 if clean.dtype == np.uint8 else clean
        x, parameters = self._built[key](np.ascontiguousarray(unit), results['rng'], depth=results.get('depth'))
        x = np.round(x * 255).astype(np.uint8) if clean.dtype == np.uint8 else x
        return x, dict(type=type(self._built[key]).__name__, **parameters)


@TRANSFORMS.register_module()
class PackInputs:
    """Images to `inputs` (role -> (3,H,W) tensor), the rest to a FusionDataSample.

    In test mode the sample also carries `sources` (what the network sees), `references` (roles
    ``reference_<modality>``, or ``y`` of restoration pairs) and `label`.

    Args:
        references: In training, a fusion sample also has ``reference_<modality>`` for each modality among its inputs:
            the clean picture, or the modality's own where that is clean.
    """

    META = ('name', 'paths', 'grey', 'task', 'group', 'modality', 'tasks', 'sentences', 'seed')

    def __init__(self, references: bool = False) -> None:
        self.references = references

    def __call__(self, results: dict) -> dict:
        images = results['images']
        inputs = {
            role: image_to_tensor(image)
            for role, image in images.items()
            if role != LABEL and not role.startswith(REFERENCE)
        }
        if self.references and not results.get('test_mode'):
            inputs |= {
                f'{REFERENCE}{role}': image_to_tensor(images.get(f'{REFERENCE}{role}', images[role]))
                for role in [*inputs]
            }
        sample = FusionDataSample(metainfo={key: results[key] for key in self.META if key in results})
        if results.get('degradation_parameters'):
            sample.set_metainfo(dict(degradation=results['degradation_parameters']))
        if results.get('test_mode'):
            references = {r.removeprefix(REFERENCE): _unit(i) for r, i in images.items() if r.startswith(REFERENCE)}
            if 'y' in inputs:
                references['y'] = _unit(images['y'])
                inputs.pop('y')
            sample.set_data(dict(sources={role: _unit(images[role]) for role in inputs}, references=references))
            if LABEL in images:
                sample.set_data(dict(label=torch.from_numpy(np.ascontiguousarray(images[LABEL]))))
        return dict(inputs=inputs, data_samples=sample)


def _unit(image: np.ndarray) -> torch.Tensor:
    return to_unit(image_to_tensor(image))
