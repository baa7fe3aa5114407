"""Loops: training that resumes by seeking, and a test over several sets."""

from __future__ import annotations

from typing import Any

from mmengine.logging import print_log
from mmengine.runner import BaseLoop, IterBasedTrainLoop, TestLoop

from lurefusion.registry import LOOPS


@LOOPS.register_module()
class SeekingTrainLoop(IterBasedTrainLoop):
    """Iteration-based training whose sampler seeks to the iteration where a resumed run stopped.

    MMEngine's own loop replays the data instead. With `SeededSampler` the resumed run sees, draw for draw, what the
    unbroken one would have seen.
    """

    def run(self) -> Any:
        """Launch training."""
        sampler = self.dataloader.sampler
        if hasattr(sampler, 'seek'):
            sampler.seek(self._iter, self.dataloader.batch_size)
            self.dataloader_iterator = type(self.dataloader_iterator)(self.dataloader)
            # what super().run() would replay is already behind the sampler
            first, self.dataloader_iterator = self._iter, _SkipFirst(self.dataloader_iterator, self._iter)
            if first:
                print_log(f'the sampler goes on at iteration {first}', logger='current')
        return super().run()


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
