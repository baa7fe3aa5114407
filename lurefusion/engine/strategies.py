"""One stage over many processes: MMEngine's strategies (DDP, FSDP, DeepSpeed), and less memory for activations."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from mmengine._strategy import FSDPStrategy
from mmengine.config import Config
from mmengine.fileio import register_backend
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.registry import STRATEGIES
from mmengine.runner import FlexibleRunner
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.fsdp.fully_sharded_data_parallel import OptimStateKeyType
from torch.utils.checkpoint import checkpoint

from lurefusion.choices import names_of, one_of
from lurefusion.models.base import FusionModel
from lurefusion.registry import HOOKS, OPTIM_WRAPPERS
from lurefusion.weights import AtomicBackend

#: of MMEngine
KINDS = ('DDPStrategy', 'FSDPStrategy', 'DeepSpeedStrategy')
#: MMEngine's 'full' moves what it has gathered to the CPU and frees it, which crashes where it is on the CPU already
WHOLE_ON_CPU = dict(
    state_dict_type='FULL_STATE_DICT',
    state_dict_config=dict(type='FullStateDictConfig', offload_to_cpu=False),
    optim_state_dict_config=dict(type='FullOptimStateDictConfig', offload_to_cpu=False),
)


@contextmanager
def whole_model(runner: Any, change: bool = False) -> Iterator[FusionModel]:
    """The runner's model without its distributed wrapper, each parameter whole also where FSDP has spread them.

    All processes enter it together. With `change` what is done to the parameters stays.
    """
    model = runner.model
    if isinstance(model, FullyShardedDataParallel):
        with FullyShardedDataParallel.summon_full_params(model, writeback=change):
            yield model.module
    else:
        yield model.module if is_model_wrapper(model) else model


def fit_strategy(cfg: Config, amp: bool) -> None:
    """Complete the strategy of a config for this machine, and the optimizer for the strategy.

    Raises:
        ValueError: If the strategy is none of MMEngine's, or a hook does not work with it.
        ModuleNotFoundError: If it needs a package that is not installed.
    """
    kind = one_of('strategy.type', cfg.strategy.get('type'), KINDS)
    hooks = [*(cfg.get('default_hooks') or {}).values(), *cfg.get('custom_hooks', [])]
    if kind != 'DDPStrategy' and any(hook and hook['type'] == 'EMAHook' for hook in hooks):
        raise ValueError(f'{kind} spreads the weights over the processes, and EMAHook copies whole ones: leave it out '
                         f'(default_hooks.ema=None), or train with strategies/ddp.py')  # fmt: skip
    cpu = not torch.cuda.is_available()
    if kind == 'DDPStrategy':
        own = dict(type='MMDistributedDataParallel', broadcast_buffers=False)
        own |= dict(find_unused_parameters=cfg.get('find_unused_parameters', False))
        cfg.strategy.model_wrapper = (
            own | (dict(device_ids=None) if cpu else {}) | (cfg.strategy.get('model_wrapper') or {})
        )
    elif kind == 'FSDPStrategy':
        own = dict(type='MMFullyShardedDataParallel', use_orig_params=True)
        cfg.strategy.model_wrapper = (
            own | (dict(device_id='cpu') if cpu else {}) | (cfg.strategy.get('model_wrapper') or {})
        )
        cfg.strategy.type = 'ResumableFSDPStrategy'
        # one file that every other start can go on from, as without FSDP
        cfg.strategy.state_dict_cfg = WHOLE_ON_CPU if cpu else 'full'
        cfg.optim_wrapper.type = 'FSDPOptimWrapper'
        if amp:
            cfg.optim_wrapper.dtype = 'bfloat16'
    else:
        _fit_deepspeed(cfg, amp)


def _fit_deepspeed(cfg: Config, amp: bool) -> None:
    """Say to DeepSpeed what the optimizer's wrapper would have done: it accumulates, clips and steps by itself."""
    if importlib.util.find_spec('deepspeed') is None:
        raise ModuleNotFoundError(
            'strategy.type=DeepSpeedStrategy needs the package deepspeed, which is not installed: '
            "pip install 'deepspeed>=0.16,<0.19'"
        )
    wrapper = cfg.optim_wrapper
    if clip := wrapper.pop('clip_grad', None):
        cfg.strategy.gradient_clipping = clip.max_norm
    cfg.strategy.gradient_accumulation_steps = wrapper.pop('accumulative_counts', 1)
    wrapper.type = 'DeepSpeedOptimWrapper'
    if amp:
        cfg.strategy.bf16 = dict(enabled=True)


@STRATEGIES.register_module()
class ResumableFSDPStrategy(FSDPStrategy):
    """MMEngine's, which mixes up the arguments of today's PyTorch, and reads no state of an optimizer without names."""

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Spread the state of a checkpoint over the processes."""
        optimizer = self.optim_wrapper.optimizer
        if any(isinstance(key, int) for key in state_dict['state']):
            # written without FSDP, by numbers
            state_dict = FullyShardedDataParallel.rekey_optim_state_dict(
                state_dict, OptimStateKeyType.PARAM_NAME, self.model, optim=optimizer
            )
        found = FullyShardedDataParallel.optim_state_dict_to_load(
            model=self.model, optim=optimizer, optim_state_dict=state_dict
        )
        self.optim_wrapper.load_state_dict(found)


@OPTIM_WRAPPERS.register_module()
class FSDPOptimWrapper(OptimWrapper):
    """Optimizer of a model whose parameters are spread over processes.

    Args:
        model: In FSDP's wrapper.
        dtype: ``bfloat16``: the forward pass is computed in it; None: in float32.
        **kwargs: Of MMEngine's OptimWrapper.

    Raises:
        ValueError: If gradients are to be clipped by their values.
    """

    def __init__(self, *args: Any, model: FullyShardedDataParallel, dtype: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # in a list: the optimizer's state holds no model
        self._model = [model]
        self._dtype = getattr(torch, dtype) if dtype else None
        if self.clip_grad_kwargs and self.clip_func is not nn.utils.clip_grad_norm_:
            raise ValueError("optim_wrapper.clip_grad.type='value' is not for FSDP: clip by the norm")

    def _clip_grad(self) -> None:
        """By the norm of all gradients, of which this process has a part, perhaps an empty one."""
        norm = self._model[0].clip_grad_norm_(**self.clip_grad_kwargs)
        self.message_hub.update_scalar('train/grad_norm', float(norm))

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[Any]:
        """Forward, under autocast where a type is given."""
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
        with super().optim_context(model), torch.autocast(device, self._dtype, enabled=self._dtype is not None):
            yield


class FewWords:
    """For runners of MMEngine: a line each where they say a thousand before the first step."""

    def _log_env(self, *_: Any) -> None:
        where = 'CUDA' if torch.cuda.is_available() else f'CPU, {torch.get_num_threads()} threads'
        by = f'{type(self.strategy).__name__}, ' if hasattr(self, 'strategy') else ''
        self.logger.info(
            f'torch {torch.__version__} on {where}; {by}{self.world_size} processes; seed {self.seed}; the whole '
            f'config is in {self.work_dir}'
        )

    def get_hooks_info(self) -> str:
        """In the order of their priority."""
        return ', '.join(type(hook).__name__ for hook in self.hooks)


class StrategyRunner(FewWords, FlexibleRunner):
    """MMEngine's FlexibleRunner: a strategy makes the model, the optimizer and the checkpoints."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # a strategy writes checkpoints by the back-end of plain paths, whatever the hook is told
        register_backend('local', AtomicBackend, prefixes='', force=True)
        super().__init__(*args, **kwargs)
        # here, as MMEngine's Runner does: the same seed gives the same network with and without a strategy
        self.model = self.strategy.build_model(self.model)


@HOOKS.register_module()
class ActivationCheckpointHook(Hook):
    """Blocks keep what goes into them alone, and compute all else again while gradients are computed.

    The gradients are the same; memory falls and a step takes about a third longer. A block is what a list of a part
    holds (`nn.ModuleList`), at the innermost.

    Args:
        parts: Names of modules of the model, e.g. ``('image_encoder', 'decoder')``.
    """

    def __init__(self, parts: Sequence[str]) -> None:
        self.parts = names_of('activation_checkpointing', parts)

    def before_train(self, runner: Any) -> None:
        """Wrap the blocks."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        count = checkpoint_blocks(model, self.parts)
        runner.logger.info(f'{count} blocks of {", ".join(self.parts)} are computed twice, to hold less')


def checkpoint_blocks(model: nn.Module, parts: Sequence[str]) -> int:
    """Let the blocks of these parts hold their input only, see :class:`ActivationCheckpointHook`.

    Returns:
        How many blocks.

    Raises:
        ValueError: If a name is no part of the model, or a part has no blocks.
    """
    known = dict(model.named_modules())
    blocks: dict[int, nn.Module] = {}
    for part in parts:
        one_of('activation_checkpointing', part, [name for name in known if name and '.' not in name])
        lists = [module for module in known[part].modules() if isinstance(module, nn.ModuleList)]
        inner = [block for entries in lists for block in entries if not _has_list(block)]
        if not inner:
            raise ValueError(f'activation_checkpointing names {part!r}, which has no list of blocks')
        blocks.update({id(block): block for block in inner})
    for block in blocks.values():
        block.forward = _recomputed(block.forward)
    return len(blocks)


def _has_list(module: nn.Module) -> bool:
    return any(isinstance(child, nn.ModuleList) for child in module.modules())


def _recomputed(forward: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(forward)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)

    return call
