"""Loops: training that resumes by seeking, training on several batches a step, and a test over several sets."""

from __future__ import annotations

from functools import partial
from typing import Any

from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.runner import BaseLoop, IterBasedTrainLoop, TestLoop
from torch.utils.data import DataLoader

from lurefusion.datasets.mix import MixDataset
from lurefusion.datasets.paired import PairedDataset
from lurefusion.registry import LOOPS
from lurefusion.runtime.memory import MEMORY_ERRORS, first_that_fits, ran_out


@LOOPS.register_module()
class SeekingTrainLoop(IterBasedTrainLoop):
    """Iteration-based training whose sampler seeks to the iteration where a resumed run stopped.

    MMEngine's own loop replays the data instead. With `SeededSampler` the resumed run sees, draw for draw, what the
    unbroken one would have seen.
    """

    def __init__(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(runner, *args, **kwargs)
        self._first_seed = runner.seed

    def run(self) -> Any:
        """Launch training."""
        self.dataloader_iterator = self._start()
        return super().run()

    def run_iter(self, data_batch: Any) -> None:
        """One step.

        Raises:
            MemoryError: If the batch does not fit into memory; says what would.
        """
        try:
            super().run_iter(data_batch)
            return
        except MEMORY_ERRORS as error:
            if not ran_out(error):
                raise
            # its traceback holds what was allocated
            error.__traceback__ = None
        raise MemoryError(f'iteration {self._iter + 1} does not fit into memory: {self._advice(data_batch)}')

    def _advice(self, data_batch: Any) -> str:
        """How many samples of a batch would fit, by trying."""
        count = len(data_batch.get('data_samples', ())) if isinstance(data_batch, dict) else 0
        smaller = 'smaller crops (RandomCrop.size) or --amp need less'
        # to try takes all processes, and the others know nothing of it
        if count < 2 or get_world_size() > 1:
            return f'a smaller train_dataloader.batch_size or {smaller}'
        model = self.runner.model

        def attempt(size: int) -> None:
            part = model.data_preprocessor(_first(data_batch, size, count), True)
            losses = model(**part, mode='loss')
            model.parse_losses(losses)[0].backward()
            model.zero_grad(set_to_none=True)

        model.zero_grad(set_to_none=True)
        fits = first_that_fits([count // part for part in (2, 4, 8, 16, 32) if count >= part], attempt)
        if fits is None:
            return f'not a single sample fits; {smaller}'
        return (
            f'{fits} of {count} samples fit: train_dataloader.batch_size={fits}, and '
            f'optim_wrapper.accumulative_counts={count // fits} for steps of the same size; or {smaller}'
        )

    def _start(self) -> Any:
        """Iterator over the batches from the present iteration on."""
        return self._seek(self.dataloader)

    def _seek(self, dataloader: DataLoader) -> Any:
        endless = type(self.dataloader_iterator)
        if not hasattr(dataloader.sampler, 'seek'):
            if _draws_by_ticket(dataloader.dataset):
                raise ValueError(
                    f'train_dataloader.sampler: {type(dataloader.sampler).__name__} would draw one crop of a sample '
                    f'for ever, the same with every seed; take SeededSampler or TaskUniformSampler'
                )
            return endless(dataloader)
        # they pass on numbers alone, and say so in words of their own
        wrapper = type(dataloader.dataset)
        if wrapper.__module__.startswith('mmengine.') and _draws_by_ticket(dataloader.dataset):
            raise ValueError(
                f'train_dataloader.dataset: {wrapper.__name__} of MMEngine cannot pass on what a sample is drawn with; '
                f'MixDataset joins data sets (datasets=[...]), times=N of a data set repeats it'
            )
        # the checkpoint's, which a resumed run goes on with, came after the loader was built
        if dataloader.sampler.seed == self._first_seed:
            dataloader.sampler.reseed(self.runner.seed)
        dataloader.sampler.seek(self._iter, dataloader.batch_size)
        if self._iter:
            print_log(f'the sampler goes on at iteration {self._iter}', logger='current')
        # what super().run() would replay is already behind the sampler
        return _SkipFirst(endless(dataloader), self._iter)


def _draws_by_ticket(dataset: Any) -> bool:
    """Whether a data set, or one inside of a wrapper, is ours."""
    inner = [getattr(dataset, 'dataset', None), *getattr(dataset, 'datasets', ())]
    return isinstance(dataset, PairedDataset | MixDataset) or any(
        _draws_by_ticket(each) for each in inner if each is not None
    )


def _first(node: Any, size: int, count: int) -> Any:
    """Of a collated batch of `count` samples the first `size`."""
    if isinstance(node, dict):
        return {key: _first(value, size, count) for key, value in node.items()}
    return node[:size] if hasattr(node, '__len__') and len(node) == count and not isinstance(node, str) else node


@LOOPS.register_module()
class JointTrainLoop(SeekingTrainLoop):
    """Every step sees one batch of each of several loaders: LURE's ablation "Single Stage" (Table 6).

    Args:
        runner: MMEngine's runner.
        dataloader: Name -> dataloader config; the data batch is a dict of the same names. Hooks see the first loader.
        **kwargs: Of MMEngine's `IterBasedTrainLoop` (max_iters, val_interval, ...).

    Raises:
        ValueError: If it is a single dataloader.
    """

    def __init__(self, runner: Any, dataloader: dict[str, dict], **kwargs: Any) -> None:
        if 'dataset' in dataloader or not all(isinstance(loader, dict) for loader in dataloader.values()):
            raise ValueError(f'JointTrainLoop needs a dict of name -> dataloader, got the keys {list(dataloader)}')
        names = list(dataloader)
        super().__init__(runner, dataloader[names[0]], **kwargs)
        build = partial(runner.build_dataloader, seed=runner.seed)
        self.dataloaders = {names[0]: self.dataloader, **{name: build(dataloader[name]) for name in names[1:]}}

    def _start(self) -> Any:
        return _Together({name: self._seek(loader) for name, loader in self.dataloaders.items()})


class _Together:
    """One batch of each iterator."""

    def __init__(self, iterators: dict[str, Any]) -> None:
        self.iterators = iterators

    def __next__(self) -> dict[str, Any]:
        return {name: next(iterator) for name, iterator in self.iterators.items()}

    def skip_iter(self, count: int) -> None:
        """As of `_SkipFirst`."""
        for iterator in self.iterators.values():
            iterator.skip_iter(count)


class _SkipFirst:
    """Swallows the calls with which MMEngine would replay the first `count` batches."""

    def __init__(self, iterator: Any, count: int) -> None:
        self.iterator = iterator
        self.count = count

    def __next__(self) -> Any:
        if self.count:
            self.count -= 1
            return None
        return next(self.iterator)

    def skip_iter(self, count: int) -> None:
        """The same in one call, as MMEngine asks for from 0.10.8 on."""
        self.count -= min(count, self.count)


@LOOPS.register_module()
class MultiTestLoop(BaseLoop):
    """Tests a model on several sets, one after the other.

    Args:
        runner: MMEngine's runner.
        dataloader: List of dataloader configs; an optional key `name` labels the set (default: its number).
        evaluator: List of evaluator configs, one per dataloader.
    """

    def __init__(self, runner: Any, dataloader: list[dict], evaluator: list[Any]) -> None:
        if not isinstance(dataloader, (list, tuple)) or len(dataloader) != len(evaluator):
            raise ValueError('MultiTestLoop needs a list of dataloaders and one evaluator for each of them')
        self._runner = runner
        self.names: list[str] = []
        self.loops: list[TestLoop] = []
        for i, (loader, metrics) in enumerate(zip(dataloader, evaluator, strict=True)):
            loader = dict(loader)
            self.names.append(loader.pop('name', str(i)))
            self.loops.append(TestLoop(runner, loader, metrics))
        self.current = ''

    @property
    def dataloader(self) -> Any:
        """Of the set under test (hooks look at it)."""
        index = self.names.index(self.current) if self.current else 0
        return self.loops[index].dataloader

    def run(self) -> dict[str, Any]:
        """Returns ``<set>/<metric>`` -> value."""
        results = {}
        for name, loop in zip(self.names, self.loops, strict=True):
            self.current = name
            print_log(f'testing on {name}: {len(loop.dataloader.dataset)} samples', logger='current')
            results.update({f'{name}/{key}': value for key, value in loop.run().items()})
        return results
