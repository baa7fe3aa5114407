from itertools import islice

import numpy as np
import pytest
from scipy import stats

from lurefusion.datasets.samplers import SeededSampler, TaskUniformSampler
from lurefusion.registry import DATA_SAMPLERS


class Data:
    def __init__(self, **sizes: int) -> None:
        ends = np.cumsum(list(sizes.values()))
        self.groups = {task: np.arange(end - size, end) for (task, size), end in zip(sizes.items(), ends, strict=True)}
        self.size = int(ends[-1])

    def __len__(self) -> int:
        return self.size


DATA = Data(ll=5, hz=40, oe=7)
MEMBERS = [SeededSampler, TaskUniformSampler]


def take(sampler: SeededSampler, number: int) -> list:
    return list(islice(iter(sampler), number))


def ranks(member: type, world: int, iteration: int, batch_size: int) -> list[SeededSampler]:
    samplers = []
    for rank in range(world):
        sampler = member(DATA, seed=3)
        sampler.rank, sampler.world = rank, world
        sampler.seek(iteration, batch_size)
        samplers.append(sampler)
    return samplers


def test_every_sample_once_an_epoch_in_a_new_order():
    indices = [ticket.index for ticket in take(SeededSampler(DATA, seed=1), 3 * 52)]
    epochs = [indices[:52], indices[52:104], indices[104:]]
    assert all(sorted(epoch) == list(range(52)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


@pytest.mark.parametrize('member', MEMBERS)
def test_the_seed_decides(member):
    assert take(member(DATA, seed=1), 60) == take(member(DATA, seed=1), 60)
    assert take(member(DATA, seed=1), 60) != take(member(DATA, seed=2), 60)
    sampler = member(DATA, seed=1)
    assert take(sampler, 9) == take(sampler, 9)


@pytest.mark.parametrize('member', MEMBERS)
def test_tickets_know_position_and_iteration(member):
    sampler = member(DATA, seed=4)
    sampler.seek(0, batch_size=4)
    for position, ticket in enumerate(take(sampler, 120)):
        assert (ticket.position, ticket.iteration, ticket.seed) == (position, position // 4, 4)
        assert type(ticket.index) is int


@pytest.mark.parametrize('member', MEMBERS)
@pytest.mark.parametrize('iteration', [1, 12, 13, 40])
def test_seek_goes_on_where_the_unbroken_sequence_was(member, iteration):
    whole = member(DATA, seed=5)
    whole.seek(0, batch_size=4)
    resumed = member(DATA, seed=5)
    resumed.seek(iteration, batch_size=4)
    assert take(resumed, 100) == take(whole, 4 * iteration + 100)[4 * iteration :]


@pytest.mark.parametrize('member', MEMBERS)
def test_two_ranks_share_the_sequence(member):
    (alone,) = ranks(member, 1, 0, 6)
    pair = [take(sampler, 78) for sampler in ranks(member, 2, 0, 3)]
    together = sorted(pair[0] + pair[1], key=lambda ticket: ticket.position)
    # a batch of 3 on either of two ranks is a batch of 6 on one
    assert together == take(alone, 156)
    assert not set(pair[0]) & set(pair[1])
    for tickets in pair:
        assert [ticket.iteration for ticket in tickets] == [i // 3 for i in range(78)]
    if member is SeededSampler:
        assert sorted(ticket.index for ticket in together[:52]) == list(range(52))


@pytest.mark.parametrize('member', MEMBERS)
def test_ranks_resume(member):
    for whole, resumed in zip(ranks(member, 2, 0, 3), ranks(member, 2, 7, 3), strict=True):
        assert take(resumed, 30) == take(whole, 51)[21:]


@pytest.mark.parametrize('member', MEMBERS)
def test_length_and_epochs_of_a_data_loader(member):
    sampler = DATA_SAMPLERS.build(dict(type=member.__name__, dataset=DATA, seed=0))
    assert len(sampler) == 52
    before = take(sampler, 5)
    sampler.set_epoch(3)
    assert take(sampler, 5) == before


def test_without_a_seed_one_is_drawn():
    assert isinstance(SeededSampler(DATA).seed, int)


def counts(sampler: TaskUniformSampler, number: int) -> dict[str, np.ndarray]:
    indices = np.array([ticket.index for ticket in take(sampler, number)])
    return {
        task: np.bincount(indices[np.isin(indices, group)] - group[0], minlength=len(group))
        for task, group in DATA.groups.items()
    }


@pytest.mark.parametrize(
    ('ratios', 'shares'),
    [
        (None, dict(ll=1 / 3, hz=1 / 3, oe=1 / 3)),
        (dict(hz=2.0), dict(ll=1 / 4, hz=1 / 2, oe=1 / 4)),
        (dict(ll=3, hz=1, oe=0.5), dict(ll=6 / 9, hz=2 / 9, oe=1 / 9)),
    ],
)
def test_tasks_by_share_and_samples_evenly_within(ratios, shares):
    number = 6000
    found = counts(TaskUniformSampler(DATA, seed=7, ratios=ratios), number)
    tasks = [int(found[task].sum()) for task in shares]
    assert stats.chisquare(tasks, [number * share for share in shares.values()]).pvalue > 1e-3
    for per_sample in found.values():
        assert stats.chisquare(per_sample).pvalue > 1e-3


def test_a_share_of_zero_is_never_drawn():
    found = counts(TaskUniformSampler(DATA, seed=7, ratios=dict(ll=0, oe=0)), 500)
    assert found['ll'].sum() == found['oe'].sum() == 0
    assert found['hz'].sum() == 500


def test_bad_ratios():
    with pytest.raises(ValueError, match=r"ratios names tasks without data: \['sr'\]; there are \['hz', 'll', 'oe'\]"):
        TaskUniformSampler(DATA, seed=0, ratios=dict(ll=1, sr=2))
    for ratios in (dict(ll=-1), dict(ll=0, hz=0, oe=0)):
        with pytest.raises(ValueError, match='ratios must not be negative, and not all 0'):
            TaskUniformSampler(DATA, seed=0, ratios=ratios)
