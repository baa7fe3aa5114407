"""From collated samples to network input, and back: the only owner of scaling, padding and their inverse."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from lurefusion.registry import MODELS
from lurefusion.structures import FusionDataSample

MIN_SIDE = 8


@MODELS.register_module()
class FusionDataPreprocessor(BaseDataPreprocessor):
    """uint8 or float pictures of any size -> float32 (N,3,H',W') in [0,1], H' and W' multiples of `size_divisor`.

    Args:
        size_divisor: None: what the model needs.
        **kwargs: Of MMEngine's `BaseDataPreprocessor`.
    """

    def __init__(self, size_divisor: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size_divisor = size_divisor

    def forward(self, data: dict, training: bool = False) -> dict:
        """`data`: `inputs`, a dict of role -> list of (C,H,W) or a (N,C,H,W) tensor, and `data_samples`, a list.

        Pads right and bottom by reflection (by replication where a side is not longer than the pad), records
        `ori_shape`. Several such batches under names of their own (see `JointTrainLoop`) are treated one by one, so
        that their sizes may differ, and their inputs and samples put together.

        Raises:
            TypeError: If `inputs` is no dict.
            ValueError: If sizes differ within the batch, a side is below 8 pixels, or a float image leaves [0, 1].
        """
        if data and all(isinstance(part, dict) and 'inputs' in part for part in data.values()):
            batches = [self.forward(batch, training) for batch in data.values()]
            return dict(
                inputs={role: x for batch in batches for role, x in batch['inputs'].items()},
                data_samples=[sample for batch in batches for sample in batch['data_samples']],
            )
        inputs = data['inputs']
        if not isinstance(inputs, dict):
            raise TypeError(f'inputs must be a dict of modality -> images, got {type(inputs).__name__}')
        if not inputs or any(len(images) == 0 for images in inputs.values()):
            raise ValueError(f'inputs must hold at least one image of each modality, got {tuple(inputs)}')
        samples = data.get('data_samples')
        batch = {role: self._stack(role, images) for role, images in inputs.items()}
        shapes = {role: tuple(x.shape[-2:]) for role, x in batch.items()}
        if len(set(shapes.values())) > 1:
            raise ValueError(f'the images of one sample must have one size (height, width), got {shapes}')
        height, width = next(iter(shapes.values()))
        if min(height, width) < MIN_SIDE:
            raise ValueError(
                f'images must be at least {MIN_SIDE}x{MIN_SIDE} pixels, got {width}x{height} (width x height)'
            )
        if samples is None:
            samples = [FusionDataSample() for _ in range(len(next(iter(batch.values()))))]
        for sample in samples:
            sample.set_metainfo(dict(ori_shape=(height, width)))
        return dict(inputs={role: self.pad(x) for role, x in batch.items()}, data_samples=samples)

    def _stack(self, role: str, images: list[Tensor] | Tensor) -> Tensor:
        if not isinstance(images, Tensor):
            sizes = sorted({tuple(image.shape[-2:]) for image in images})
            if len(sizes) > 1:
                raise ValueError(f'{role!r}: one batch holds sizes {sizes}; crop to one size or use batch_size=1')
            images = torch.stack(list(images))
        images = images.to(self.device, non_blocking=self._non_blocking)
        if images.dtype == torch.uint8:
            images = images.float().div_(255)
        elif not images.is_floating_point():
            raise ValueError(f'{role!r}: expected uint8 or float images, got {images.dtype}')
        else:
            images = images.float()
            low, high = float(images.min()), float(images.max())
            if not (low >= -1e-4 and high <= 1 + 1e-4):
                raise ValueError(f'{role!r}: float images must lie in [0, 1], got [{low:.4g}, {high:.4g}]')
        if images.shape[1] not in (1, 3):
            raise ValueError(f'{role!r}: expected 1 or 3 channels (grey or RGB), got {images.shape[1]}')
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        return images.contiguous(memory_format=torch.channels_last)

    def pad(self, x: Tensor) -> Tensor:
        """(N,C,H,W) to the next multiples of `size_divisor`."""
        divisor = self.size_divisor or 1
        bottom, right = -x.shape[-2] % divisor, -x.shape[-1] % divisor
        if not (bottom or right):
            return x
        mode = 'reflect' if bottom < x.shape[-2] and right < x.shape[-1] else 'replicate'
        return F.pad(x, (0, right, 0, bottom), mode=mode)

    def take_divisor(self, divisor: int) -> int:
        """The divisor in use: that of the model, unless a config has set one."""
        if self.size_divisor is None:
            self.size_divisor = divisor
        return self.size_divisor

    @staticmethod
    def unpad(x: Tensor, sample: FusionDataSample) -> Tensor:
        """(..., H', W') network output to the sample's original size, clamped to [0, 1], float32."""
        height, width = sample.ori_shape
        return x[..., :height, :width].float().clamp(0, 1)
