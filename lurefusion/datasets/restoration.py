"""Restoration pairs (x, y, modality, task)."""

from __future__ import annotations

import os
from typing import Any

from lurefusion.datasets.paired import PairedDataset
from lurefusion.datasets.prompts import PSEUDO_TASK
from lurefusion.registry import DATASETS


@DATASETS.register_module()
class RestorationDataset(PairedDataset):
    """Pairs of one degradation: x as it came, y as it should be.

    Args:
        data_prefix: ``dict(x=..., y=...)`` for real pairs; ``dict(y=...)`` with a `degradation` that makes x from y.
        task: Key of the task, ``pd`` for none.
        modality: Name of the modality.
        degradation: Member of DEGRADATIONS, applied by the transform `Degrade`.
        **kwargs: Of :class:`PairedDataset`.

    Raises:
        ValueError: If the roles do not make a pair, or x and y are the same file though a task is to be learnt.
    """

    def __init__(
        self,
        data_prefix: dict[str, str],
        task: str,
        modality: str,
        degradation: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if 'y' not in data_prefix or (('x' in data_prefix) == (degradation is not None)):
            raise ValueError(
                f"data_prefix needs 'y' and either 'x' or a degradation that makes it; got roles "
                f'{tuple(data_prefix)} and degradation={degradation!r}'
            )
        self.task = task
        self.modality = modality
        self.degradation = degradation
        super().__init__(data_prefix, **kwargs)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The one modality."""
        return (self.modality,)

    def load_data_list(self) -> list[dict]:
        """As :class:`PairedDataset`; what is to be restored is not the target itself."""
        found = super().load_data_list()
        for paths in (sample['paths'] for sample in found[:1]):
            if self.task != PSEUDO_TASK and 'x' in paths and os.path.samefile(paths['x'], paths['y']):
                raise ValueError(
                    f'{type(self).__name__}: x and y of the task {self.task!r} are the same file, {paths["x"]}'
                )
        return found

    def get_data_info(self, idx: int) -> dict:
        """`name`, `paths`, `task`, `modality`, `degradation`."""
        info = super().get_data_info(idx)
        return dict(info, task=self.task, modality=self.modality, degradation=self.degradation)
