"""From collated samples to the input of a network."""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseDataPreprocessor

from lurefusion.registry import MODELS
from lurefusion.runtime.batches import common_size, pad, stack
from lurefusion.structures import FusionDataSample


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
        batch = {role: stack(role, images, self.device, self._non_blocking) for role, images in inputs.items()}
        size = common_size({role: tuple(x.shape[-2:]) for role, x in batch.items()})
        if samples is None:
            samples = [FusionDataSample() for _ in range(len(next(iter(batch.values()))))]
        for sample in samples:
            sample.set_metainfo(dict(ori_shape=size))
        return dict(inputs={role: pad(x, self.size_divisor or 1) for role, x in batch.items()}, data_samples=samples)

    def take_divisor(self, divisor: int) -> int:
        """The divisor in use: that of the model, unless a config has set one."""
        if self.size_divisor is None:
            self.size_divisor = divisor
        return self.size_divisor
