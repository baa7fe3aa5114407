"""Infinite samplers whose n-th draw depends on (seed, n) alone, so that resuming seeks instead of replaying."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Dataset, Sampler

from lurefusion.datasets.paired import Ticket
from lurefusion.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class SeededSampler(Sampler):
    """Every sample once an epoch, in a new order each time, without end; shared evenly by all processes.

    Args:
        dataset: Anything with a length.
        seed: None takes one seed for all processes from MMEngine.
    """

    def __init__(self, dataset: Dataset, seed: int | None = None) -> None:
        self.dataset = dataset
        self.seed = sync_random_seed() if seed is None else seed
        self.rank, self.world = get_dist_info()
        self.first_iteration = 0
        self.samples_per_iteration = 1
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def reseed(self, seed: int) -> None:
        """Draw by another seed from now on."""
        self.seed, self._order = seed, (-1, np.empty(0, np.int64))

    def seek(self, iteration: int, batch_size: int) -> None:
        """Let the next iteration over this sampler start at the first sample of training iteration `iteration`."""
        self.first_iteration = iteration
        self.samples_per_iteration = batch_size * self.world

    def index_at(self, position: int) -> int:
        """Sample number of the `position`-th draw since the start of training."""
        epoch, place = divmod(position, len(self.dataset))
        if self._order[0] != epoch:
            self._order = epoch, np.random.default_rng([self.seed, epoch]).permutation(len(self.dataset))
        return int(self._order[1][place])

    def __iter__(self) -> Iterator[Ticket]:
        position = self.first_iteration * self.samples_per_iteration + self.rank
        while True:
            yield Ticket(self.index_at(position), position, position // self.samples_per_iteration, self.seed)
            position += self.world

    def __len__(self) -> int:
        return len(self.dataset)

    def set_epoch(self, epoch: int) -> None:
        """Nothing to do: epochs follow from the position."""


@DATA_SAMPLERS.register_module()
class TaskUniformSampler(SeededSampler):
    """Draws the task first, then one of its samples: a large data set does not drown a small one (LURE, Eq. 3).

    Args:
        dataset: With an attribute `groups`, task -> sample numbers.
        seed: See :class:`SeededSampler`.
        ratios: Task -> share; default equal. A task that is not named has share 1.
    """

    def __init__(self, dataset: Dataset, seed: int | None = None, ratios: dict[str, float] | None = None) -> None:
        super().__init__(dataset, seed)
        unknown = set(ratios or {}) - set(dataset.groups)
        if unknown:
            raise ValueError(f'ratios names tasks without data: {sorted(unknown)}; there are {sorted(dataset.groups)}')
        self.tasks = list(dataset.groups)
        shares = np.array([(ratios or {}).get(task, 1.0) for task in self.tasks], float)
        if shares.min() < 0 or shares.sum() <= 0:
            raise ValueError(f'ratios must not be negative, and not all 0; got {dict(ratios or {})}')
        self.bounds = np.cumsum(shares / shares.sum())

    def index_at(self, position: int) -> int:
        """See :class:`SeededSampler`."""
        rng = np.random.default_rng([self.seed, position, 1])
        task = self.tasks[min(int(np.searchsorted(self.bounds, rng.random(), side='right')), len(self.tasks) - 1)]
        group = self.dataset.groups[task]
        return int(group[rng.integers(len(group))])
