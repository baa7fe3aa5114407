"""What MMEngine's optimizers lack here: few parameter groups, and mixed precision on the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

from lurefusion.choices import names_of
from lurefusion.compat import register_optional_optimizers
from lurefusion.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS

register_optional_optimizers()


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupedOptimWrapperConstructor:
    """Groups parameters by weight decay and learning rate; frozen ones are left out.

    MMEngine's own constructor makes a group of every parameter, which costs a small network much of its time.

    Args:
        optim_wrapper_cfg: `type`, `optimizer`, and what the wrapper takes.
        paramwise_cfg: ``no_decay``: parts of parameter names that get no weight decay (vectors and scalars never do);
            ``lr_mult``: part of a name -> factor on the learning rate; of several parts that fit, the longest counts.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        self.wrapper_cfg = dict(optim_wrapper_cfg)
        self.optimizer_cfg = self.wrapper_cfg.pop('optimizer')
        paramwise_cfg = dict(paramwise_cfg or {})
        self.no_decay = names_of('paramwise_cfg.no_decay', paramwise_cfg.pop('no_decay', ()))
        self.lr_mult: Mapping[str, float] = paramwise_cfg.pop('lr_mult', {})
        if paramwise_cfg:
            raise ValueError(f"paramwise_cfg knows 'no_decay' and 'lr_mult', got {sorted(paramwise_cfg)}")

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build optimizer and wrapper for the trainable parameters of a model."""
        sharded = model if isinstance(model, FullyShardedDataParallel) else None
        # FSDP leaves a flat piece of every parameter, or nothing, at its place
        with FullyShardedDataParallel.summon_full_params(model, writeback=False) if sharded else nullcontext():
            if is_model_wrapper(model):
                model = model.module
            dimensions = {name: parameter.ndim for name, parameter in model.named_parameters()}
        if unknown := [part for part in self.lr_mult if not any(part in name for name in dimensions)]:
            raise ValueError(f'paramwise_cfg.lr_mult: no parameter has {" or ".join(map(repr, unknown))} in its name')
        if 'lr' not in self.optimizer_cfg:
            raise ValueError(f'optim_wrapper.optimizer needs a rate, lr: got {self.optimizer_cfg}')
        lr, decay = self.optimizer_cfg['lr'], self.optimizer_cfg.get('weight_decay', 0.0)
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                fitting = [part for part in self.lr_mult if part in name]
                factor = self.lr_mult[max(fitting, key=len)] if fitting else 1.0
                spared = dimensions[name] <= 1 or any(part in name for part in self.no_decay)
                groups.setdefault((lr * factor, 0.0 if spared else decay), []).append(parameter)
        params = [dict(params=p, lr=rate, weight_decay=wd) for (rate, wd), p in groups.items()]
        optimizer = OPTIMIZERS.build(dict(self.optimizer_cfg, params=params))
        given = dict(optimizer=optimizer) if sharded is None else dict(optimizer=optimizer, model=sharded)
        return OPTIM_WRAPPERS.build(self.wrapper_cfg, default_args=given)


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """bfloat16 autocast on the CPU (MMEngine's AmpOptimWrapper refuses it); bfloat16 needs no loss scaling."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[Any]:
        """Forward under autocast."""
        with super().optim_context(model), torch.autocast('cpu', dtype=torch.bfloat16):
            yield
