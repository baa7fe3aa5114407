"""Restoration pairs (x, y, modality, task)."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from lurefusion.datasets.paired import PairedDataset, read_table, refuse_options
from lurefusion.prompts import PSEUDO_TASK, TASKS
from lurefusion.registry import DATASETS, DEGRADATIONS


@DATASETS.register_module()
class RestorationDataset(PairedDataset):
    """Pairs of one degradation: x as it came, y as it should be.

    Args:
        data_prefix: ``dict(x=..., y=...)`` for real pairs; ``dict(y=...)`` with a `degradation` that makes x from y.
        task: Key of the task, ``pd`` for none.
        modality: Name of the modality.
        degradation: Member of DEGRADATIONS, applied by the transform `Degrade`.
        group: Name under which `RestorationMetrics` shows these pairs; None: the task.
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
        group: str | None = None,
        **kwargs: Any,
    ) -> None:
        if 'y' not in data_prefix or (('x' in data_prefix) == (degradation is not None)):
            raise ValueError(
                f"data_prefix needs 'y' and either 'x' or a degradation that makes it; got roles "
                f'{tuple(data_prefix)} and degradation={degradation!r}'
            )
        made = getattr(DEGRADATIONS.get(degradation['type']), 'task', task) if degradation else task
        # of one factor or of any; tasks of one's own may be made by any degradation
        if {made, task} <= TASKS.keys() and made.rstrip('48') != task.rstrip('48'):
            print_log(
                f'{type(self).__name__}: {degradation["type"]} makes pictures of the task {made!r}, and these are to '
                f'be restored as {task!r}',
                logger='current', level=logging.WARNING,
            )  # fmt: skip
        self.task = task
        self.modality = modality
        self.degradation = degradation
        self.group = group or task
        super().__init__(data_prefix, **kwargs)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The one modality."""
        return (self.modality,)

    def load_data_list(self) -> list[dict]:
        """As :class:`PairedDataset`; what is to be restored is not the target itself."""
        return self._refuse_same(super().load_data_list())

    def _refuse_same(self, found: list[dict]) -> list[dict]:
        for number, paths in enumerate(sample['paths'] for sample in found):
            if self.task == PSEUDO_TASK or 'x' not in paths:
                break
            # a copied cell of a table, or one folder for both
            if paths['x'] == paths['y'] or (number == 0 and os.path.samefile(paths['x'], paths['y'])):
                raise ValueError(
                    f'{type(self).__name__}: x and y of the task {self.task!r} are the same file, {paths["x"]}'
                )
        return found

    def get_data_info(self, idx: int) -> dict:
        """`name`, `paths`, `task`, `modality`, `degradation`."""
        info = super().get_data_info(idx)
        return dict(info, task=self.task, modality=self.modality, degradation=self.degradation, group=self.group)


@DATASETS.register_module()
class ListedPairs(RestorationDataset):
    """Pairs of one task that a table lists: columns ``degraded`` and ``clean`` (files below the data root), ``task``.

    Args:
        table: File below the data root, .tsv or .csv.
        task: Key of the task; rows of other tasks are left out.
        modality: Name of the modality.
        **kwargs: Of :class:`RestorationDataset`.

    Raises:
        ValueError: If the table lacks a column or has no row of the task.
        FileNotFoundError: If a listed file does not exist.
    """

    how_to_get = 'a table with the columns degraded, clean and task'

    def __init__(self, table: str, task: str, modality: str, **kwargs: Any) -> None:
        self.table = table
        refuse_options(self, kwargs, 'pairs', 'stems')
        super().__init__(data_prefix=dict(x='', y=''), task=task, modality=modality, **kwargs)

    def missing(self) -> list[str]:
        """The table, where it is not on disk."""
        path = Path(self.data_root) / self.table
        return [] if path.is_file() else [str(path)]

    def load_data_list(self) -> list[dict]:
        """One entry per row of the task: `name`, `paths` (x, y)."""
        root, path = Path(self.data_root), Path(self.data_root) / self.table
        rows = read_table(path)
        if lacking := {'degraded', 'clean', 'task'} - set(rows[0]):
            raise ValueError(f'{path} has no column {", ".join(sorted(lacking))}; it has {", ".join(rows[0])}')
        rows = [row for row in rows if row['task'] == self.task]
        if not rows:
            raise ValueError(f'{path} has no row of the task {self.task!r}')
        found = self._selected([
            dict(name=Path(r['degraded']).stem, paths=dict(x=root / r['degraded'], y=root / r['clean'])) for r in rows
        ])  # fmt: skip
        gone = [str(file) for item in found for file in item['paths'].values() if not file.is_file()]
        if gone:
            raise FileNotFoundError(f'{path} lists {len(gone)} files that do not exist: {", ".join(gone[:5])}')
        return self._refuse_same(
            [dict(item, paths={role: str(file) for role, file in item['paths'].items()}) for item in found]
        )
