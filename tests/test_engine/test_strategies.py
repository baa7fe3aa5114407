"""Strategies as configs, blocks that compute their activations twice, and gradients that are summed over batches."""

from __future__ import annotations

import copy
import importlib
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from lurefusion.config import load_config
from lurefusion.engine.hooks import global_batch
from lurefusion.engine.stage_runner import _check_accumulation
from lurefusion.engine.strategies import checkpoint_blocks, fit_strategy
from lurefusion.models.lure import LURE

WRAPPERS = [('ddp', 'MMDistributedDataParallel'), ('fsdp', 'MMFullyShardedDataParallel')]


def network() -> LURE:
    torch.manual_seed(0)
    model = LURE(
        'fusion',
        ('vi', 'ir'),
        dict(backbone=dict(type='HashBag', dim=16), out_dim=8),
        dict(type='LUREEncoder', channels=(8, 8), latent_channels=(4, 4), K_bt=(1, 1), K_tb=(1, 2)),
        dict(type='LUREDecoder', K_dec=(1, 2)),
        dict(type='CrossAttentionFuser', K_f=(1, 1), num_heads=2, rule='l1'),
    )
    for parameter in model.parameters():
        # beta and gamma of the blocks start at zero
        if not parameter.any():
            parameter.data = 0.2 * torch.randn(parameter.shape)
    return model.train()


def gradients_and_bytes(model: LURE) -> tuple[dict[str, torch.Tensor], int]:
    """Of every parameter that has one; and what the forward pass keeps for the backward pass."""
    kept = 0

    def keep(value: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += value.numel() * value.element_size()
        return value

    generator = torch.Generator().manual_seed(1)
    images = tuple(torch.rand(2, 3, 32, 32, generator=generator) for _ in range(2))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        fused = model.core(images, model.encode_text(['dark', 'clear']))
        in_forward = kept
    fused.square().mean().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}, in_forward


def test_blocks_that_are_computed_twice_give_the_same_gradients_and_hold_less() -> None:
    model = network()
    twice = copy.deepcopy(model)
    assert checkpoint_blocks(twice, ('image_encoder', 'fuser', 'decoder')) > 10
    (wanted, much), (found, less) = gradients_and_bytes(model), gradients_and_bytes(twice)
    assert found.keys() == wanted.keys()
    assert len(wanted) > 100
    for name, value in wanted.items():
        assert torch.equal(found[name], value), name
    assert less < 0.4 * much
    assert twice.state_dict().keys() == model.state_dict().keys()


def test_parts_without_blocks_are_named() -> None:
    with pytest.raises(ValueError, match=r"must be one of .*image_encoder.*'encoder'"):
        checkpoint_blocks(network(), ('encoder',))
    with pytest.raises(ValueError, match="'losses', which has no list of blocks"):
        checkpoint_blocks(network(), ('losses',))


def stage(strategy: str) -> Config:
    """A stage at paper scale with a strategy, as a config of two bases gives it."""
    cfg = load_config('lurefusion::lure/stage1_ir_vi.py')
    cfg.strategy = load_config(f'lurefusion::_base_/strategies/{strategy}.py').strategy
    return cfg


@pytest.mark.parametrize(('strategy', 'wrapper'), WRAPPERS)
def test_wrappers_fit_the_machine(strategy: str, wrapper: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for cuda in (False, True):
        monkeypatch.setattr(torch.cuda, 'is_available', lambda cuda=cuda: cuda)
        cfg = stage(strategy)
        fit_strategy(cfg, amp=False)
        assert cfg.strategy.model_wrapper.type == wrapper
        device = dict(ddp='device_ids', fsdp='device_id')[strategy]
        assert (device in cfg.strategy.model_wrapper) is not cuda
    assert cfg.optim_wrapper.clip_grad.max_norm == 1.0


def test_a_strategy_that_does_not_fit_is_refused() -> None:
    cfg = stage('fsdp')
    cfg.default_hooks.ema = dict(type='EMAHook')
    with pytest.raises(ValueError, match=r'default_hooks\.ema=None'):
        fit_strategy(cfg, amp=False)
    cfg.strategy.type = 'FDSPStrategy'
    with pytest.raises(ValueError, match="Did you mean 'FSDPStrategy'"):
        fit_strategy(cfg, amp=False)


def test_deepspeed_is_told_what_the_optimizer_wrapper_would_have_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of DeepSpeed itself there is a stand-in: what is looked at is what MMEngine's strategy would hand to it."""
    if importlib.util.find_spec('deepspeed') is None:
        with pytest.raises(ModuleNotFoundError, match="pip install 'deepspeed"):
            fit_strategy(stage('deepspeed'), amp=False)
    module = importlib.import_module('mmengine._strategy.deepspeed')
    stand_in = ModuleType('deepspeed')
    stand_in.__spec__ = SimpleNamespace(name='deepspeed')
    monkeypatch.setitem(sys.modules, 'deepspeed', stand_in)
    monkeypatch.setattr(module, 'deepspeed', SimpleNamespace(__version__='0.17.0'))
    monkeypatch.setattr(module, 'register_deepspeed_optimizers', lambda: [])
    cfg = stage('deepspeed')
    cfg.optim_wrapper.accumulative_counts = 4
    fit_strategy(cfg, amp=True)
    assert cfg.optim_wrapper.type == 'DeepSpeedOptimWrapper'
    assert not {'clip_grad', 'accumulative_counts'} & cfg.optim_wrapper.keys()
    arguments = {key: value for key, value in cfg.strategy.to_dict().items() if key != 'type'}
    built = module.DeepSpeedStrategy(**arguments, env_kwargs=dict(launcher='none', randomness=dict(seed=0)))
    expected = dict(zero_optimization=dict(stage=1), gradient_clipping=1.0, gradient_accumulation_steps=4)
    assert built.config.items() >= (expected | dict(bf16=dict(enabled=True))).items()


def test_gradients_are_not_cut_off_by_a_checkpoint() -> None:
    cfg = load_config('lurefusion::lure/stage1_small_gpu_ir_vi.py')
    _check_accumulation(cfg)
    assert global_batch(cfg, 1) == global_batch(load_config('lurefusion::lure/stage1_ir_vi.py'), 1) == 16
    assert global_batch(cfg, 3) == 48
    cfg.default_hooks.checkpoint.interval = 10
    with pytest.raises(ValueError, match=r'checkpoint.interval=10 is no multiple of .*accumulative_counts=4'):
        _check_accumulation(cfg)


def test_small_gpu_configs_are_those_of_the_paper_but_for_memory() -> None:
    for number in (1, 2):
        small, paper = (load_config(f'lurefusion::lure/stage{number}_{name}ir_vi.py') for name in ('small_gpu_', ''))
        assert global_batch(small, 1) == global_batch(paper, 1)
        counts = small.optim_wrapper.accumulative_counts
        assert small.train_cfg.max_iters == counts * paper.train_cfg.max_iters
        for loss in small.model.losses.values():
            # in iterations, of which a step takes several
            if 'warmup' in loss:
                loss.warmup //= counts
        assert small.model == paper.model
