"""The length of a training, `train_cfg.max_iters`, and everything that counts steps and follows from it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from mmengine.config import Config

# What counts steps, by where it stands. The checkpoint's interval does not follow: it is the work that a stop may cost.
OF_THE_LOOP = ('max_iters', 'val_begin', 'val_interval', 'dynamic_intervals')
OF_SCHEDULES = ('begin', 'end', 'T_max', 'periods', 'milestones', 'step_size', 'total_steps')
OF_HOOKS = ('interval', 'iterations', 'begin_iter')
OF_LOSSES = ('start', 'warmup')


def length_of(cfg: Config) -> int | None:
    """Steps of the training, None for what does not train by steps.

    Raises:
        ValueError: If `train_cfg.max_iters` is no whole number above 0, or stands beside `max_epochs`.
    """
    loop = cfg.get('train_cfg') or {}
    length = loop.get('max_iters')
    if length is None:
        return None
    where = f'config {cfg.filename}: ' if cfg.filename else ''
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        raise ValueError(f'{where}train_cfg.max_iters is the number of training steps, at least 1; got {length!r}')
    if 'max_epochs' in loop:
        raise ValueError(f'{where}train_cfg has a length in steps, max_iters={length}: max_epochs has no effect')
    return length


def scale_length(cfg: Config, factor: float, stated: Collection[str] = ()) -> None:
    """Multiply every count of training steps in a config, at least to 1: the length of the training and of its
    schedules, intervals of hooks and validation, starts and warm-ups of losses, schedules of crop sizes; and the
    memory of an EMAHook, which is 1 / momentum steps.

    Args:
        cfg: A stage.
        factor: On the number of steps.
        stated: Dotted keys that stay what they are.

    Raises:
        ValueError: If the factor is not above 0.
    """
    if not 0 < factor < float('inf'):
        raise ValueError(f'length is a factor above 0 on the number of training steps, got {factor!r}')
    if factor == 1 or length_of(cfg) is None:
        return

    def is_stated(path: str) -> bool:
        return any(f'{path}.'.startswith(f'{key}.') or f'{key}.'.startswith(f'{path}.') for key in stated)

    def stretched(path: str, count: float) -> float:
        # 0 is the beginning or none at all, -1 never
        return count if count <= 0 or is_stated(path) else max(1, round(count * factor))

    _change_counts(cfg, stretched)
    for path, hook in _hooks(cfg):
        if hook.get('type') == 'EMAHook' and 'momentum' in hook and not is_stated(f'{path}.momentum'):
            hook['momentum'] = min(0.5, hook['momentum'] / factor)
    settle_length(cfg)


def settle_length(cfg: Config) -> None:
    """Make steps of what is stated as a part of the training: a float up to 1, `val_interval=0.25`.

    A schedule without `end` ends with the training, and an interval of validation beyond its end is its end.
    """
    length = length_of(cfg)
    if length is None:
        return
    _change_counts(cfg, lambda _, n: max(1, round(n * length)) if isinstance(n, float) and 0 < n <= 1 else n)
    for _, schedule in _schedules(cfg):
        if schedule.get('end') is None:
            schedule['end'] = length
        schedule['end'] = max(schedule['end'], schedule.get('begin', 0) + 1)
    for key in ('val_begin', 'val_interval'):
        if cfg.train_cfg.get(key) is not None:
            cfg.train_cfg[key] = min(cfg.train_cfg[key], length)


def _schedules(cfg: Config) -> list[tuple[str, Any]]:
    """Those that count steps, each with its dotted key."""
    found = cfg.get('param_scheduler') or []
    keyed = {'param_scheduler': found} if isinstance(found, Mapping) else _keyed('param_scheduler', enumerate(found))
    return [(key, schedule) for key, schedule in keyed.items() if not schedule.get('by_epoch', True)]


def _hooks(cfg: Config) -> list[tuple[str, Any]]:
    default = _keyed('default_hooks', (cfg.get('default_hooks') or {}).items())
    keyed = default | _keyed('custom_hooks', enumerate(cfg.get('custom_hooks') or ()))
    return [(key, hook) for key, hook in keyed.items() if isinstance(hook, Mapping)]


def _keyed(key: str, items: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    return {f'{key}.{name}': value for name, value in items}


def _change_counts(cfg: Config, change: Callable[[str, float], float]) -> None:
    """Replace every count of steps in a config by `change(dotted key, count)`."""

    def changed(path: str, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [changed(path, item) for item in value]
        return change(path, value) if isinstance(value, (int, float)) else value

    def visit(node: dict[str, Any], path: str, keys: Collection[str]) -> None:
        node.update({key: changed(f'{path}.{key}', node[key]) for key in keys if key in node})

    visit(cfg.train_cfg, 'train_cfg', OF_THE_LOOP)
    for path, schedule in _schedules(cfg):
        visit(schedule, path, OF_SCHEDULES)
    for path, hook in _hooks(cfg):
        visit(hook, path, OF_HOOKS if path != 'default_hooks.checkpoint' else ())
    model = cfg.get('model')
    for name, loss in (model.get('losses') or {}).items() if isinstance(model, Mapping) else ():
        visit(loss or {}, f'model.losses.{name}', OF_LOSSES)
    if cfg.get('train_dataloader'):
        cfg.train_dataloader = _change_crops(cfg.train_dataloader, 'train_dataloader', change)


def _change_crops(node: Any, path: str, change: Callable[[str, float], float]) -> Any:
    """A copy: data sets may share one pipeline."""
    if isinstance(node, Mapping):
        if node.get('type') == 'RandomCrop' and isinstance(size := node.get('size'), (list, tuple)):
            return dict(node, size=[(change(f'{path}.size', start), side) for start, side in size])
        return {key: _change_crops(value, f'{path}.{key}', change) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return type(node)(_change_crops(child, f'{path}.{i}', change) for i, child in enumerate(node))
    return node
