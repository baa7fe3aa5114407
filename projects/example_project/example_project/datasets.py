"""A data set: where the files of a sample lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lurefusion.datasets.fusion import FusionPairDataset
from lurefusion.registry import DATASETS


@DATASETS.register_module()
class SuffixPairs(FusionPairDataset):
    """All modalities in one folder, told apart by the end of the name: ``0001_vi.png`` and ``0001_ir.png``.

    Args:
        folder: Below the data root.
        modalities: Names, which are the suffixes too.
        **kwargs: Of `FusionPairDataset` (tasks, degradations, keep, pipeline, ...).
    """

    how_to_get = 'python projects/example_project/write_pictures.py FOLDER'

    def __init__(self, folder: str, modalities: Sequence[str] = ('vi', 'ir'), **kwargs: Any) -> None:
        super().__init__(data_prefix=dict.fromkeys(modalities, folder), **kwargs)

    def pair_key(self, role: str, stem: str) -> str | None:
        """Name of the sample that a file belongs to; None where it is another role's."""
        name, _, suffix = stem.rpartition('_')
        return name if name and suffix == role else None

    def find(self, role: str, key: str, files: dict[str, Path]) -> Path | None:
        """File of the sample `key` for a role."""
        return files.get(f'{key}_{role}')
