"""Configs: shipped ones by name, bases out of any package, plug-ins, checked overrides, pipelines, the data root.

A config is Python code and runs when it is loaded (that is MMEngine's way): load only configs that you trust.
"""

from lurefusion.config.files import (
    DATA_ROOT_VARIABLE,
    at_data_root,
    config_root,
    find_config,
    list_configs,
    resolve_data_root,
)
from lurefusion.config.keys import OPEN_DICTS, OWN_KEYS, PIPELINE_KEYS, RUNNER_KEYS
from lurefusion.config.length import scale_length
from lurefusion.config.loading import load_config
from lurefusion.config.overrides import apply_options, check_options, known_options, parse_options
from lurefusion.config.pipeline import join_stages, load_stages
from lurefusion.config.reading import is_inherited
from lurefusion.config.tree import ABSENT, diff_configs

__all__ = [
    'ABSENT', 'DATA_ROOT_VARIABLE', 'OPEN_DICTS', 'OWN_KEYS', 'PIPELINE_KEYS', 'RUNNER_KEYS', 'apply_options',
    'at_data_root', 'check_options', 'config_root', 'diff_configs', 'find_config', 'is_inherited', 'join_stages',
    'known_options', 'list_configs', 'load_config', 'load_stages', 'parse_options', 'resolve_data_root',
    'scale_length',
]  # fmt: skip
