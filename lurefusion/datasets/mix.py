"""Several data sets as one."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log
from torch.utils.data import Dataset

from lurefusion.choices import one_of
from lurefusion.datasets.paired import MissingDataError, Ticket
from lurefusion.registry import DATASETS


def is_wanted(task: str | None, tasks: Sequence[str] | None) -> bool:
    """Whether the task of a data set is one of these, or it has none, as pairs to fuse have; `tasks` None: always."""
    return tasks is None or task in (None, *tasks)


@DATASETS.register_module()
class MixDataset(Dataset):
    """Several data sets as one; `groups` lists the sample numbers of each task for `TaskUniformSampler`.

    Args:
        datasets: Configs of data sets; an extra key `times` counts each of its samples so many times.
        pipeline: Transforms for those of them that have none.
        missing: ``error``, or ``skip`` to go on with what is on disk (what is left out is logged).
        tasks: Leave out data sets of single pictures of other tasks: for a model that knows fewer; None: take all.

    Raises:
        MissingDataError: If data sets are missing; the message lists every one.
        ValueError: If there are no data sets, or none is of one of the tasks.
        TypeError: If `tasks` is no list of names.
    """

    def __init__(
        self,
        datasets: Sequence[dict],
        pipeline: Sequence[dict] = (),
        missing: str = 'error',
        tasks: Sequence[str] | None = None,
    ) -> None:
        one_of('missing', missing, ('error', 'skip'))
        if not datasets:
            raise ValueError('MixDataset.datasets is empty: name at least one data set')
        if tasks is not None and (isinstance(tasks, str) or not isinstance(tasks, Sequence)):
            raise TypeError(f"MixDataset.tasks is a list of names such as ('ll', 'hz'), got {tasks!r}")
        self.datasets: list[Any] = []
        gone = []
        for cfg in datasets:
            cfg = dict(dict(pipeline=pipeline), **cfg)
            times = cfg.pop('times', 1)
            if not isinstance(times, int) or times < 1:
                raise ValueError(f'MixDataset: times must be a whole number of at least 1, got {times!r}')
            # what is left out need not be on disk
            if not is_wanted(cfg.get('task'), tasks):
                continue
            try:
                dataset = DATASETS.build(cfg)
            except MissingDataError as error:
                gone.append(str(error))
                continue
            if is_wanted(getattr(dataset, 'task', None), tasks):
                self.datasets += [dataset] * times
        if gone and (missing == 'error' or not self.datasets):
            raise MissingDataError('these data sets are not on disk:\n  ' + '\n  '.join(gone))
        for row in gone:
            print_log(f'left out: {row}', logger='current')
        known = {getattr(dataset, 'task', None) for dataset in self.datasets}
        strange = ', '.join(map(str, sorted(set(tasks or ()) - known)))
        if strange or not self.datasets:
            raise ValueError(f'MixDataset.tasks={list(tasks)}: no data set is of the task {strange or "none"}')
        self.ends = np.cumsum([len(d) for d in self.datasets]).tolist()
        self.metainfo = dict(self.datasets[0].metainfo)
        groups: dict[str, list[np.ndarray]] = {}
        for dataset, end in zip(self.datasets, self.ends, strict=True):
            # a mix within a mix has tasks of its own
            own = getattr(dataset, 'groups', None) or {getattr(dataset, 'task', 'fusion'): np.arange(len(dataset))}
            for task, indices in own.items():
                groups.setdefault(task, []).append(indices + end - len(dataset))
        self.groups = {task: np.concatenate(parts) for task, parts in sorted(groups.items())}
        counts = ', '.join(f'{task} {len(indices)}' for task, indices in self.groups.items())
        print_log(f'training samples: {counts}', logger='current')

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, index: int | Ticket) -> Any:
        ticket = index if isinstance(index, Ticket) else Ticket.plain(index, len(self))
        which = bisect.bisect_right(self.ends, ticket.index)
        start = self.ends[which - 1] if which else 0
        return self.datasets[which][ticket._replace(index=ticket.index - start)]
