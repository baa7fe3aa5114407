"""Checkpoints that stay until others are there, and trainings that diverge."""

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import CheckpointHook
from mmengine.logging import MessageHub, MMLogger
from mmengine.optim import OptimWrapper
from mmengine.runner import get_priority
from torch import nn

from lurefusion.engine.keeping import FiniteCheckHook, KeepingCheckpointHook
from lurefusion.structures import FusionDataSample


class Divergence:
    """A runner as FiniteCheckHook sees it, with a checkpoint due at every second step."""

    def __init__(self, folder, step, spoil=False):
        self.model = nn.Linear(2, 2)
        if spoil:
            with torch.no_grad():
                self.model.bias[1] = float('inf')
        self.iter, self.max_iters, self.work_dir = step - 1, 100, str(folder)
        self.hooks = [CheckpointHook(interval=2, by_epoch=False)]
        self.train_loop = SimpleNamespace(dataloader=[0] * 100)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_a_loss_that_is_not_finite_ends_the_training_and_names_the_samples(tmp_path, value):
    (tmp_path / 'iter_2.pth').touch()
    batch = dict(data_samples=[FusionDataSample(metainfo=dict(name='0007', seed=5))])
    runner = Divergence(tmp_path, 3)
    FiniteCheckHook().after_train_iter(runner, 2, batch, dict(loss=torch.tensor(1.0)))
    message = r'iteration 3: not finite are loss_grad of this step, on 0007 \(seed 5\).*iter_2\.pth.*lr'
    with pytest.raises(ValueError, match=message):
        FiniteCheckHook().after_train_iter(
            runner, 2, batch, dict(loss_grad=torch.tensor(value), loss=torch.tensor(1.0))
        )


def test_weights_that_are_not_finite_are_found_before_their_checkpoint_is_written(tmp_path):
    finite = dict(loss=torch.tensor(1.0))
    FiniteCheckHook().after_train_iter(Divergence(tmp_path, 3, spoil=True), 2, None, finite)
    with pytest.raises(ValueError, match=r"the weights 'bias', of which a checkpoint.*no checkpoint yet"):
        FiniteCheckHook().after_train_iter(Divergence(tmp_path, 4, spoil=True), 3, None, finite)
    FiniteCheckHook().after_train_iter(Divergence(tmp_path, 4), 3, None, finite)
    checkpoint, check = (get_priority(priority) for priority in (CheckpointHook.priority, FiniteCheckHook.priority))
    assert check < checkpoint


def full(*_, **__) -> None:
    raise OSError(errno.ENOSPC, 'No space left on device')


class Saving:
    """A runner as CheckpointHook sees it, whose disk may be full."""

    def __init__(self, folder: Path, full: bool = False) -> None:
        self.work_dir, self.full, self.iter, self.epoch = str(folder), full, 0, 0
        self.message_hub = MessageHub.get_instance(folder.name)
        self.logger = MMLogger.get_instance('test_keeping')

    def save_checkpoint(self, out_dir: str, filename: str, *_, **__) -> None:
        if self.full:
            full()
        Path(out_dir, filename).write_text(filename)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob('*.pth'))


@pytest.mark.parametrize('most', [1, 2])
def test_an_old_checkpoint_goes_when_the_new_one_is_there_and_not_before(tmp_path, most):
    runner = Saving(tmp_path)
    hook = KeepingCheckpointHook(interval=1, by_epoch=False, max_keep_ckpts=most, save_best='PSNR', rule='greater')
    hook.before_train(runner)
    for runner.iter in range(4):
        hook._save_checkpoint(runner)
        # it is validated after the step
        runner.iter += 1
        hook._save_best_checkpoint(runner, dict(PSNR=runner.iter))
    before = names(tmp_path)
    assert [name for name in before if name.startswith('iter')] == [f'iter_{n}.pth' for n in range(5 - most, 5)]
    assert [name for name in before if name.startswith('best')] == ['best_PSNR_iter_4.pth']
    runner.full, runner.iter = True, 4
    for save in (hook._save_checkpoint, lambda runner: hook._save_best_checkpoint(runner, dict(PSNR=9))):
        with pytest.raises(OSError, match='No space left'):
            save(runner)
        assert names(tmp_path) == before


def diverging(hook: FiniteCheckHook, values: list[float], folder: Path) -> tuple[list[float], list[str]]:
    """Weights after each step of a training whose loss is value * weight, and its warnings."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    said = []
    runner = SimpleNamespace(
        model=model, iter=0, max_iters=100, work_dir=str(folder), hooks=[], seed=3,
        optim_wrapper=OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.5)),
        logger=SimpleNamespace(warning=said.append),
    )  # fmt: skip
    hook.before_train(runner)
    after = []
    for runner.iter, value in enumerate(values):
        loss = (model.weight * value).sum()
        runner.optim_wrapper.update_params(loss)
        sample = FusionDataSample(metainfo=dict(name=f'{runner.iter:04}', seed=runner.iter + 70))
        batch = dict(inputs=dict(vi=[torch.full((3, 4, 4), runner.iter)]), data_samples=[sample])
        hook.after_train_iter(runner, runner.iter, batch, dict(loss=loss))
        after.append(model.weight.item())
    return after, said


def test_the_batch_on_which_a_training_diverged_is_kept_for_study(tmp_path):
    nan = float('nan')
    with pytest.raises(ValueError, match=r'iteration 2: not finite are loss .*0001 \(seed 71\).*diverged/iter_2\.pt'):
        diverging(FiniteCheckHook(), [1.0, nan], tmp_path)
    kept = torch.load(tmp_path / 'diverged/iter_2.pt', weights_only=True)
    assert (kept['iteration'], kept['seed'], kept['samples']) == (2, 3, [dict(name='0001', seed=71)])
    assert torch.equal(kept['batch']['inputs']['vi'][0], torch.ones(3, 4, 4, dtype=torch.int64))
    assert kept['losses']['loss'].isnan()


def test_steps_that_are_not_finite_may_be_left_out(tmp_path):
    nan, inf = float('nan'), float('inf')
    after, said = diverging(FiniteCheckHook('skip'), [1.0, nan, 1.0, inf, nan], tmp_path)
    assert after == [0.5, 0.5, 0.0, 0.0, 0.0]
    assert [text.split(':')[0] for text in said] == [
        'iteration 2 is left out (1 so far)',
        'iteration 4 is left out (2 so far)',
        'iteration 5 is left out (3 so far)',
    ]
    # the first is kept, the rest would be as many files as steps
    assert [path.name for path in (tmp_path / 'diverged').iterdir()] == ['iter_2.pt']
    with pytest.raises(ValueError, match='not finite are 3 steps in a row, the last on 0003'):
        diverging(FiniteCheckHook('skip', most=3), [1.0, nan, nan, nan, 1.0], tmp_path)
    with pytest.raises(ValueError, match='action must be one of stop, skip'):
        FiniteCheckHook('leave')
    with pytest.raises(ValueError, match='at least 1, got 0'):
        FiniteCheckHook(most=0)
