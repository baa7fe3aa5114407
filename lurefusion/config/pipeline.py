"""Pipelines: configs that name their stages, and what each stage takes of the options of all."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry

from lurefusion.choices import did_you_mean
from lurefusion.config.files import find_config
from lurefusion.config.length import scale_length
from lurefusion.config.loading import load_config
from lurefusion.config.overrides import apply_options, check_options, known_options, parse_options
from lurefusion.registry import DATA_SAMPLERS, DATASETS, HOOKS, KINDS, LOOPS, LOSSES, MODELS, TRANSFORMS

# where the class of a dict with a `type` may be
REGISTRIES = (MODELS, DATASETS, DATA_SAMPLERS, TRANSFORMS, HOOKS, LOOPS)


def load_stages(
    config: str | Path,
    options: Mapping[str, Any] | Sequence[str] | None = None,
    data_root: str | Path | None = None,
    length: float = 1.0,
) -> tuple[list[str], list[Config]]:
    """Names and configs of the stages: those of a pipeline, or the config itself.

    A pipeline has `stages = [...]`, configs beside it or ``package::`` names. Further keys make variants of it:
    `options`, overrides as of ``--cfg-options``, of which each stage takes those that it has, and losses that it can
    compute; `joint = True`, which trains the stages as one, see `join_stages`; and `scales = dict(NAME=dict(...))`,
    other `stages`, and `options` beside its own, which the override ``scale=NAME`` chooses.

    Args:
        config: File or ``lurefusion::`` name.
        options: Further overrides.
        data_root: Root of relative data folders.
        length: Factor on every count of training steps, see `scale_length`.

    Raises:
        KeyError: If an override has a place in none of the stages, or there is no such scale.
        ValueError: If a stage has no model, the stages cannot be joined, or the length is not above 0.
    """
    cfg = load_config(config, data_root=data_root)
    overrides = parse_options(options)
    files, cfgs, variants = [find_config(config)], [cfg], []
    if 'stages' in cfg:
        chosen = _at_scale(cfg, overrides.pop('scale', None))
        files = [find_config(stage) for stage in chosen.get('stages', cfg.stages)]
        cfgs = [load_config(file, data_root=data_root) for file in files]
        variants = [cfg.get('options', {}), chosen.get('options', {})]
    names = [file.stem for file in files]
    if len(set(names)) < len(names) and not cfg.get('joint'):
        raise ValueError(
            f'config {cfg.filename}: stages need files of different names, since each trains in a folder of its own: '
            f'{", ".join(map(str, files))}'
        )
    for file, stage in zip(files, cfgs, strict=True):
        if not isinstance(stage.get('model'), Mapping):
            what = 'is a pipeline, not a stage of one' if 'stages' in stage else 'has neither a model nor stages'
            raise ValueError(f'config {file} {what}; a stage says model = dict(type=...), or takes one over by _base_')
    for variant in (*variants, overrides):
        single = _loss_by_loss(variant)
        check_options(single, *cfgs)
        shares = [_share(stage, single, cfgs) for stage in cfgs]
        for stage, share in zip(cfgs, shares, strict=True):
            apply_options(stage, share)
    for stage in cfgs:
        scale_length(stage, length)
    if 'stages' in cfg and cfg.get('joint'):
        return ['joint'], [join_stages(cfgs)]
    return names, cfgs


def _at_scale(cfg: Config, name: str | None) -> Mapping[str, Any]:
    """What a pipeline says of one of its scales; None is the pipeline as it stands."""
    scales = cfg.get('scales', {})
    if name is None:
        return {}
    if name not in scales:
        raise KeyError(
            f'config {cfg.filename} has no scale {name!r}.{did_you_mean(str(name), list(scales))} Known: '
            f'{", ".join(scales) or "none"}'
        )
    return scales[name]


def join_stages(cfgs: Sequence[Config]) -> Config:
    """One run that trains at once what two stages train in turn (LURE, Table 6, "Single Stage").

    Everything learns (the language model never does), on one batch of each stage in every step, by the sum of their
    losses; as many steps as both together, with the optimizer and the schedule of the first, stretched. Validation and
    test are those of the second.

    Raises:
        ValueError: If these are not a restoration stage and a fusion stage, or two losses have one name.
    """
    kinds = [cfg.model.stage for cfg in cfgs]
    if kinds != ['restoration', 'fusion']:
        raise ValueError(f'joint=True joins a restoration stage and a fusion stage, in this order; got stages {kinds}')
    restoration, fusion = cfgs
    shared = sorted(set(restoration.model.losses) & set(fusion.model.losses))
    if shared:
        raise ValueError(f'the stages cannot be joined: both have losses called {", ".join(shared)}')
    total = sum(cfg.train_cfg.max_iters for cfg in cfgs)
    for cfg in cfgs:
        scale_length(cfg, total / cfg.train_cfg.max_iters)
    fusion.model.losses = dict(restoration.model.losses, **fusion.model.losses)
    fusion.model.stage = 'joint'
    fusion.model.frozen = ()
    fusion.train_dataloader = dict(restoration=restoration.train_dataloader, fusion=fusion.train_dataloader)
    fusion.train_cfg = dict(restoration.train_cfg, type='JointTrainLoop', max_iters=total)
    for key in ('optim_wrapper', 'param_scheduler', 'default_hooks', 'custom_hooks'):
        fusion[key] = restoration[key]
    fusion.pop('init_from', None)
    return fusion


def _loss_by_loss(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Each loss of ``model.losses={...}`` by itself: a stage takes its own."""
    single: dict[str, Any] = {}
    for key, value in overrides.items():
        whole = key.removeprefix('+') == 'model.losses' and isinstance(value, Mapping) and '_delete_' not in value
        single |= {f'{key}.{name}': loss for name, loss in value.items()} if whole else {key: value}
    return single


def _share(stage: Config, overrides: Mapping[str, Any], cfgs: Sequence[Config]) -> dict[str, Any]:
    """The overrides that a stage takes: those that it has, and of added keys those that find most of their way here.

    What only another stage can make use of is not taken.
    """

    def found(cfg: Config, key: str) -> int:
        node, parts = cfg, key.removeprefix('+').split('.')
        for depth, part in enumerate(parts):
            if not isinstance(node, (Mapping, Config)) or part not in node:
                return depth
            node = node[part]
        return len(parts)

    share = {}
    for key, value in known_options(stage, overrides).items():
        known = [cfg for cfg in cfgs if known_options(cfg, {key: value})]
        if key.startswith('+'):
            longest = max(found(cfg, key) for cfg in known)
            known = [cfg for cfg in known if found(cfg, key) == longest]
        fit = [cfg for cfg in known if _can_use(cfg, key, value)]
        # where none can, the error comes from where the value is used
        if any(cfg is stage for cfg in fit or known):
            share[key] = value
    return share


def _can_use(cfg: Config, key: str, value: Any) -> bool:
    """Whether the stage computes what a loss needs, and whether the class at the end of the way has the argument."""
    *way, last = key.removeprefix('+').split('.')
    if way == ['model', 'losses'] and isinstance(value, Mapping) and isinstance(value.get('type'), str):
        from lurefusion.structures import FUSION_QUANTITIES

        kind: Any = LOSSES.get(value['type'])
        stage = cfg.model.get('stage')
        fusion = kind is not None and set(kind.needs) <= {*FUSION_QUANTITIES}
        return kind is None or last in cfg.model.losses or stage == 'joint' or fusion == (stage == 'fusion')
    node: Any = cfg
    for part in way:
        node = node.get(part) if isinstance(node, (Mapping, Config)) else None
    if not isinstance(node, Mapping) or last in node or not isinstance(node.get('type'), str):
        return True
    registries: tuple[Registry, ...] = (*KINDS, *REGISTRIES)
    kinds = [found for registry in registries if inspect.isclass(found := registry.get(node['type']))]
    parameters = [inspect.signature(kind).parameters for kind in kinds]
    return not kinds or any(last in p or any(q.kind is q.VAR_KEYWORD for q in p.values()) for p in parameters)
