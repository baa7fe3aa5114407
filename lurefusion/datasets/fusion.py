"""Pairs (or larger groups) of registered images, one per modality."""

from __future__ import annotations

import os
from itertools import combinations
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
        ValueError: If `tasks` or `degradations` name a modality that has no folder, or two modalities have the same
            files, and nothing makes them differ.
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

    def load_data_list(self) -> list[dict]:
        """As :class:`PairedDataset`; no file is two modalities."""
        found = super().load_data_list()
        modalities = [role for role in self.data_prefix if role != 'label' and not role.startswith('reference_')]
        for one, two in combinations(modalities, 2):
            if self.degradations.get(one) != self.degradations.get(two):
                continue
            files = [(sample['paths'][one], sample['paths'][two]) for sample in found]
            same = [a for a, b in files if a == b]
            if same or os.path.samefile(*files[0]):
                raise ValueError(
                    f'{type(self).__name__}: {one} and {two} are the same file, {(same or files[0])[0]}; each modality '
                    f'needs pictures of its own, or a degradation that makes them differ'
                )
        return found

    def get_data_info(self, idx: int) -> dict:
        """`name`, `paths`, `tasks` and `degradations`."""
        return dict(super().get_data_info(idx), tasks=dict(self.tasks), degradations=dict(self.degradations))
