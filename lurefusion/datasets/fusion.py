"""Pairs (or larger groups) of registered images, one per modality."""

from __future__ import annotations

from typing import Any

from lurefusion.datasets.paired import PairedDataset
from lurefusion.registry import DATASETS


@DATASETS.register_module()
class FusionPairDataset(PairedDataset):
    """One image per modality, paired by file stem; optional ``label`` and clean ``reference_<modality>`` folders.

    Args:
        data_prefix: Modality -> folder, e.g. ``dict(vi='MSRS/train/vi', ir='MSRS/train/ir')``.
        tasks: Modality -> task key that the prompts name at test time; left out: no degradation.
        degradations: Modality -> member of DEGRADATIONS with which the transform `Degrade` spoils it.
        **kwargs: Of :class:`PairedDataset`.

    Raises:
        ValueError: If `tasks` or `degradations` name a modality that has no folder.
    """

    def __init__(
        self,
        data_prefix: dict[str, str],
        tasks: dict[str, str] | None = None,
        degradations: dict[str, dict] | None = None,
        **kwargs: Any,
    ) -> None:
        self.tasks = dict(tasks or {})
        self.degradations = dict(degradations or {})
        unknown = [name for name in (*self.tasks, *self.degradations) if name not in data_prefix]
        if unknown:
            raise ValueError(f'tasks and degradations name {unknown}; there are folders for {tuple(data_prefix)}')
        super().__init__(data_prefix, **kwargs)

    def get_data_info(self, idx: int) -> dict:
        """`name`, `paths`, `tasks` and `degradations`."""
        return dict(super().get_data_info(idx), tasks=dict(self.tasks), degradations=dict(self.degradations))
