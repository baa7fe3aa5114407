"""The test of weights on every test set of a config."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.dist import barrier
from mmengine.hooks import Hook
from mmengine.utils import get_object_from_string

from lurefusion.config import at_data_root, find_config, load_stages
from lurefusion.engine.hooks import plain_model
from lurefusion.engine.preflight import present_sets
from lurefusion.engine.stage_runner import build_runner, close_runner, first_process
from lurefusion.evaluation.report import format_table
from lurefusion.io.images import write_bytes
from lurefusion.registry import HOOKS
from lurefusion.weights import find_weights, last_run, load_weights, set_aside

#: of a config, no matter of a test
TRAINING_KEYS = (
    'optim_wrapper', 'param_scheduler', 'init_from', 'load_from', 'resume', 'strategy', 'activation_checkpointing',
)  # fmt: skip
#: what a test leaves in its folder
TEST_FILES = ('fused', 'strips', 'report.md', 'metrics.json')


def test(
    config: str | Path,
    weights: str | Path | None = None,
    *,
    work_dir: str | Path | None = None,
    options: Mapping[str, Any] | Sequence[str] | None = None,
    data_root: str | Path | None = None,
    launcher: str = 'none',
) -> dict[str, Any]:
    """Evaluate weights on every test set of the config; of a pipeline, its last stage.

    Sets that are not on disk are named and left out. Writes ``metrics.json``, ``report.md``, ``fused/`` and
    ``strips/``.

    Args:
        config: File or ``lurefusion::`` name.
        weights: Checkpoint, safetensors file, folder of a run, or name of shipped weights; default: what `train` of
            this config left in its folder.
        work_dir: Default ``work_dirs/<name of the config>/test``.
        options: Overrides.
        data_root: Root of relative data folders.
        launcher: Of MMEngine.

    Returns:
        ``<set>/<metric>`` -> value.

    Raises:
        FileNotFoundError: If there are no weights, or not one test set is on disk.
        ValueError: If the config has no test sets, or pictures are of other modalities than the model's.
    """
    with at_data_root(data_root):
        names, cfgs = load_stages(config, options)
        cfg = cfgs[-1]
        stem = find_config(config).stem
        folder = Path(work_dir or Path('work_dirs') / stem / 'test')
        cfg.test_dataloader, cfg.test_evaluator = present_sets(cfg)
        printed = {method: _function(name) for method, name in (cfg.get('printed') or {}).items()}
        path = find_weights(weights or last_run(stem, names)) if weights or cfg.get('needs_weights', True) else None
        for key in list(cfg):
            if key.startswith(('train_', 'val_')) or key in TRAINING_KEYS:
                cfg.pop(key)
        cfg.custom_hooks = [hook for hook in cfg.get('custom_hooks', []) if _takes_part(hook)]
        runner = build_runner(cfg, folder, launcher, amp=False)
        if path is not None:
            load_weights(plain_model(runner), path)
        if first_process():
            set_aside(folder, TEST_FILES)
        barrier()
        results = runner.test()
        close_runner(runner)
        if first_process():
            _write_report(results, printed, folder, stem, path)
        return results


def _takes_part(hook: Mapping[str, Any]) -> bool:
    """Whether a custom hook has anything to do in a test; of ours and MMEngine's, most look at a training."""
    kind = HOOKS.get(hook['type']) if isinstance(hook['type'], str) else hook['type']
    # what is unknown is for the runner to refuse
    if kind is None or not kind.__module__.startswith(('lurefusion.', 'mmengine.')):
        return True
    ends = ('_test', '_test_epoch', '_test_iter')
    general = ('_before_epoch', '_after_epoch', '_before_iter', '_after_iter')
    methods = [name for name in dir(Hook) if name.endswith(ends) or name in general]
    return any(getattr(kind, name) is not getattr(Hook, name) for name in methods)


def _function(name: str) -> Callable[[str], Mapping[str, float]]:
    """Of the config's `printed = {METHOD: 'module.function'}`, which maps a set to metric -> number, or to nothing."""
    found = get_object_from_string(name)
    if not callable(found):
        raise ValueError(f'printed: {name!r} is no function that can be imported')
    return found


def _write_report(
    results: Mapping[str, Any], printed: Mapping[str, Callable], folder: Path, title: str, weights: Path | None
) -> None:
    """metrics.json and report.md: one row per set, and below it what others print for it."""
    rows: dict[str, dict[str, Any]] = {}
    for key, value in results.items():
        name, _, metric = key.partition('/')
        if metric not in ('time', 'data_time'):
            rows.setdefault(name, {})[metric] = value
    lines = [f'# {title}', '', f'weights: {weights or "none"}', '']
    for columns in dict.fromkeys(tuple(row) for row in rows.values()):
        means: dict[str, dict[str, Any]] = {}
        for name, row in rows.items():
            if tuple(row) == columns:
                means[name] = row
                means |= {
                    f'{name}, {m} as printed': found for m, numbers in printed.items() if (found := numbers(name))
                }
        lines += [format_table(means, columns, mark=False), '']
    text = '\n'.join(lines)
    write_bytes(folder / 'report.md', text.encode())
    write_bytes(folder / 'metrics.json', json.dumps(results, indent=1, default=str).encode())
    print(text)
    print(f'report: {folder / "report.md"}')
    for title, pictures in (('fused pictures', folder / 'fused'), ('strips', folder / 'strips')):
        if pictures.is_dir():
            print(f'{title}: {pictures}')
