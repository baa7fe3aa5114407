"""Names that have an effect in a config, and the refusal of those that have none."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from lurefusion.choices import did_you_mean
from lurefusion.config.reading import Reading, instead
from lurefusion.config.tree import mapping_of, paths

# Dicts whose keys are names that the user chooses, not arguments: a new key is no mistake there.
OPEN_DICTS = frozenset({'losses', 'custom_keys', 'default_hooks', 'env_cfg', 'mp_cfg', 'dist_cfg', 'metainfo'})


# Arguments of MMEngine's Runner.
RUNNER_KEYS = frozenset(
    {
        'model', 'work_dir', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'train_cfg', 'val_cfg',
        'test_cfg', 'auto_scale_lr', 'optim_wrapper', 'param_scheduler', 'val_evaluator', 'test_evaluator',
        'default_hooks', 'custom_hooks', 'data_preprocessor', 'load_from', 'resume', 'launcher', 'env_cfg',
        'log_processor', 'log_level', 'visualizer', 'default_scope', 'randomness', 'experiment_name',
        'model_wrapper_cfg',
    }
)  # fmt: skip


# What a pipeline of stages may say: all else is its stages' matter.
PIPELINE_KEYS = frozenset({'stages', 'options', 'joint', 'scales', 'downstream', 'custom_imports', 'default_scope'})


# What else lurefusion reads. Every other name of a config is a helper: its value counts where the file itself uses it.
OWN_KEYS = PIPELINE_KEYS | {
    'init_from', 'needs_weights', 'find_unused_parameters', 'printed', 'probe', 'inputs', 'pretrained', 'pictures',
    'strategy', 'activation_checkpointing',
}  # fmt: skip


# Arguments of the Runner that are given otherwise, and would be overwritten.
GIVEN_OTHERWISE = {
    'work_dir': '--work-dir',
    'launcher': '--launcher',
    'experiment_name': 'the name of the folder of the run (--work-dir)',
}


# Dicts whose unknown keys nothing else refuses.
CLOSED_DICTS = {
    'init_from': ('stage', 'checkpoint', 'prefixes'),
    'env_cfg': ('cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'),
    'custom_imports': ('imports', 'allow_failed_imports'),
}


def has_effect(name: str) -> bool:
    return name in RUNNER_KEYS or name in OWN_KEYS


def refuse_idle_names(cfg: Config, readings: Sequence[Reading]) -> None:
    """ValueError for a name whose value nothing looks at.

    In a base a new name may be there for other heirs; but no file gives a helper of its bases a value in vain.
    """
    leaf = readings[-1] if readings else None
    whole = any(key in cfg for key in ('model', 'stages', 'probe'))
    for reading in readings:
        inherited: dict[str, Any] = {}
        for base in readings:
            if reading in base.heirs:
                inherited |= {name: (base, value) for name, value in base.result.items()}
        for name, line in reading.assigned.items():
            idle = not (reading.foreign or has_effect(name) or name.startswith('_') or reading.uses(name))
            if not idle or name not in reading.result:
                continue
            if name in inherited:
                base, value = inherited[name]
                raise ValueError(
                    f'config {reading.file}, line {line}: {name} has no effect: it is a helper of {base.file}, which '
                    f'has run with its own value. {instead(_effective(reading.result), name, value)}'
                )
            if reading is leaf and whole:
                known = sorted(RUNNER_KEYS | OWN_KEYS)
                raise ValueError(
                    f'config {reading.file}, line {line}: {name} has no effect: it is neither an argument of '
                    f"MMEngine's Runner nor an option of lurefusion, and the file does not use it."
                    f'{did_you_mean(name, known)}{_longer(_effective(reading.result), name)}'
                )


def _longer(content: Mapping[str, Any], name: str) -> str:
    found = [path for path in paths(content) if path.endswith(f'.{name}')]
    return f' There is {found[0]}.' if found else ''


def _effective(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if has_effect(key)}


def drop_helpers(cfg: Config, file: Path) -> None:
    for name in list(mapping_of(cfg)):
        if name in GIVEN_OTHERWISE:
            # dumped configs of runs have them
            message = f'{file}: {name} is not looked at, it is given by {GIVEN_OTHERWISE[name]}'
            print_log(message, logger='current', level=logging.WARNING)
        if name in GIVEN_OTHERWISE or not has_effect(name):
            cfg.pop(name)


def check_keys(cfg: Config, file: Path) -> None:
    """ValueError for keys that nothing reads and nobody else refuses."""
    for name, known in CLOSED_DICTS.items():
        for key in cfg.get(name) or () if isinstance(cfg.get(name), Mapping) else ():
            if key not in known:
                hint = did_you_mean(str(key), list(known))
                raise ValueError(f'config {file}: {name} has no key {key!r}.{hint} Known: {", ".join(known)}')
    if 'stages' in cfg:
        if (
            not isinstance(cfg.stages, (list, tuple))
            or not all(isinstance(s, str) for s in cfg.stages)
            or not cfg.stages
        ):
            raise ValueError(f'config {file}: stages is a list of config files, got {cfg.stages!r}')
        for key in cfg:
            if key not in PIPELINE_KEYS:
                raise ValueError(
                    f'config {file}: {key} has no effect in a pipeline of stages; put it into the file of a stage, or '
                    f"write options = {{'{key}.<key>': <value>}}"
                )
    elif 'model' in cfg:
        for key in ('options', 'joint', 'scales'):
            if key in cfg:
                raise ValueError(f'config {file}: {key} has an effect beside stages = [...] alone')
