"""Running configs: one stage or a pipeline of stages, resumable at every point, and the test of what came out."""

from __future__ import annotations

import importlib.util
import inspect
import json
import logging
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import barrier
from mmengine.logging import MMLogger, print_log
from mmengine.runner import Runner

from lurefusion.compat import allow_unmatched_torchvision
from lurefusion.config import (
    apply_options,
    at_data_root,
    check_options,
    diff_configs,
    find_config,
    is_inherited,
    known_options,
    load_config,
    parse_options,
    resolve_data_root,
)
from lurefusion.datasets.paired import MissingDataError, PairedDataset
from lurefusion.datasets.verify import check_looks, require_good_files
from lurefusion.engine import LAUNCHERS
from lurefusion.engine.hooks import plain_model
from lurefusion.evaluation.report import format_table
from lurefusion.io.images import write_bytes
from lurefusion.models.losses import FUSION_QUANTITIES
from lurefusion.registry import DATA_SAMPLERS, DATASETS, HOOKS, KINDS, LOOPS, LOSSES, MODELS, TRANSFORMS
from lurefusion.studies.paper_tables import published
from lurefusion.weights import (
    STAGES_FILE,
    allow_resume,
    find_weights,
    latest_checkpoint,
    load_weights,
    read_weights,
    set_aside,
    weights_digest,
)

#: what a test leaves in its folder
TEST_FILES = ('fused', 'strips', 'report.md', 'metrics.json')
# where the class of a dict with a `type` may be
REGISTRIES = (MODELS, DATASETS, DATA_SAMPLERS, TRANSFORMS, HOOKS, LOOPS)


def train(
    config: str | Path,
    *,
    work_dir: str | Path | None = None,
    resume: bool = False,
    options: Mapping[str, Any] | Sequence[str] | None = None,
    data_root: str | Path | None = None,
    launcher: str = 'none',
    amp: bool = False,
    seed: int | None = None,
    length: float = 1.0,
) -> Path:
    """Train a stage, or every stage of a pipeline (see `load_stages`) in order.

    Args:
        config: File or ``lurefusion::`` name.
        work_dir: Where everything goes; default ``work_dirs/<name of the config>``. A pipeline gives each stage a
            folder in it.
        resume: Go on where the run stopped, in the stage where it stopped.
        options: Overrides; in a pipeline each stage takes those that it has.
        data_root: Root of relative data folders.
        launcher: Of MMEngine: ``none``, ``pytorch``, ``slurm`` or ``mpi``.
        amp: Mixed precision (bfloat16 on the CPU).
        seed: Overrides the config's.
        length: Factor on every count of steps, see `scale_length`.

    Returns:
        The last stage's newest checkpoint.

    Raises:
        MissingDataError: One error for everything that is not on disk, before any stage starts.
        ValueError: If the config does not train, or pictures are of other modalities than the model's; one error for
            all files that are unreadable or do not fit, before any stage starts; or if the training diverges.
    """
    with at_data_root(data_root):
        return _train(config, work_dir, resume, options, launcher, amp, seed, length)


def _train(
    config: str | Path,
    work_dir: str | Path | None,
    resume: bool,
    options: Mapping[str, Any] | Sequence[str] | None,
    launcher: str,
    amp: bool,
    seed: int | None,
    length: float,
) -> Path:
    names, cfgs = load_stages(config, options, length=length)
    check_data(cfgs)
    base = Path(work_dir or Path('work_dirs') / find_config(config).stem)
    pipeline = len(cfgs) > 1 or names[0] != find_config(config).stem
    folders = [base / name if pipeline else base for name in names]
    if first_process():
        for cfg in cfgs:
            data = [cfg.get('train_dataloader') or {}, cfg.get('val_dataloader') or {}]
            require_good_files(data)
            for row in check_looks(data, cfg.model.get('chroma')):
                print_log(row, logger='current', level=logging.WARNING)
        if pipeline:
            write_bytes(base / STAGES_FILE, json.dumps(names).encode())
    for cfg in cfgs:
        if seed is not None:
            cfg.randomness = dict(cfg.get('randomness', {}), seed=seed)
    checkpoint = None
    for number, (name, cfg, folder) in enumerate(zip(names, cfgs, folders, strict=True), start=1):
        if pipeline:
            print_log(f'stage {number} of {len(cfgs)}: {name} in {folder}')
        start = _take_over(cfg, folder.parent)
        record = dict(_recorded_config(cfg), amp=amp)
        newest, processes = _resumable(record, folder, start) if resume else (None, None)
        if newest and newest.name == f'iter_{cfg.train_cfg.max_iters}.pth':
            print_log(f'{name} is finished: {newest}')
            checkpoint = newest
            continue
        if newest:
            cfg.resume, cfg.load_from = True, str(newest)
        cfg.custom_hooks = [
            *cfg.get('custom_hooks', []),
            dict(
                type='RunRecordHook',
                start=start,
                config=json.dumps(record),
                resumed_processes=processes,
                # a pipeline that begins anew makes what its later stages hold the work of another run
                later=[] if resume else [str(later) for later in folders[number:]],
            ),
            dict(type='FiniteCheckHook'),
        ]
        runner = build_runner(cfg, folder, launcher, amp)
        try:
            runner.train()
        except KeyboardInterrupt:
            newest = latest_checkpoint(folder)
            raise KeyboardInterrupt(
                f'{name} was interrupted at iteration {runner.iter}; the newest checkpoint is {newest}. The same '
                f'command with --resume goes on from there'
            ) from None
        finally:
            _close(runner)
        # the main process may still be writing what the next stage starts from
        barrier()
        checkpoint = latest_checkpoint(folder)
    return checkpoint


def first_process() -> bool:
    """Whether this is the first of the processes that a launcher started, also before they found each other."""
    ranks = (os.environ.get(name) for name in ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'))
    return next((int(rank) == 0 for rank in ranks if rank), True)


def _recorded_config(cfg: Config) -> dict[str, Any]:
    """What decides the result of a stage, as plain values."""
    ways = ('work_dir', 'launcher', 'resume', 'load_from', 'custom_hooks', 'visualizer', 'log_level', 'log_processor')
    return json.loads(json.dumps({k: v for k, v in cfg.to_dict().items() if k not in ways}, default=str))


def _resumable(record: dict[str, Any], folder: Path, start: str | None) -> tuple[Path | None, int | None]:
    """The checkpoint from which a stage goes on and the number of processes that wrote it; None to begin anew.

    It belongs to the content of what it started from: where the earlier stage is another one now, a checkpoint of this
    stage holds frozen parts that nobody trained any more, and is set aside.
    """
    newest = latest_checkpoint(folder)
    if newest is None:
        return None, None
    meta = read_weights(newest)[1]
    if 'config' not in meta:
        print_log(
            f'{newest} does not say where it began; it is taken as it is', logger='current', level=logging.WARNING
        )
        return newest, None
    if meta.get('start') != start:
        print_log(
            f'{newest} started from other weights than there are now: this stage begins anew',
            logger='current', level=logging.WARNING,
        )  # fmt: skip
        return None, None
    changes = diff_configs(meta['config'], record)
    kept = [key for key, _, _ in changes if key.startswith(('optim_wrapper.optimizer.', 'param_scheduler'))]
    if kept:
        print_log(
            f'no effect on a run that is resumed, whose optimizer and schedules go on from {newest}: {", ".join(kept)}',
            logger='current', level=logging.WARNING,
        )  # fmt: skip
    changes = [change for change in changes if change[0] not in kept]
    if changes:
        rows = ''.join(f'\n  {key}: {before!r} -> {after!r}' for key, before, after in changes[:10])
        more = f'\n  ... and {len(changes) - 10} more' if len(changes) > 10 else ''
        print_log(
            f'{newest} was trained with other settings than those that go on:{rows}{more}',
            logger='current', level=logging.WARNING,
        )  # fmt: skip
    return newest, meta.get('processes')


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
        return _test(config, weights, work_dir, options, launcher)


def _test(
    config: str | Path,
    weights: str | Path | None,
    work_dir: str | Path | None,
    options: Mapping[str, Any] | Sequence[str] | None,
    launcher: str,
) -> dict[str, Any]:
    names, cfgs = load_stages(config, options)
    cfg = cfgs[-1]
    stem = find_config(config).stem
    trained = Path('work_dirs') / stem
    if len(cfgs) > 1 or names[0] != stem:
        trained = trained / names[-1]
    folder = Path(work_dir or Path('work_dirs') / stem / 'test')
    cfg.test_dataloader, cfg.test_evaluator = _present_sets(cfg)
    needs_weights = cfg.get('needs_weights', True)
    path = find_weights(weights or trained) if weights or needs_weights else None
    for key in ('train_cfg', 'train_dataloader', 'val_cfg', 'val_dataloader', 'val_evaluator', 'optim_wrapper'):
        cfg.pop(key, None)
    cfg.pop('param_scheduler', None)
    cfg.pop('init_from', None)
    cfg.custom_hooks = [h for h in cfg.get('custom_hooks', []) if h['type'] == 'StripHook']
    runner = build_runner(cfg, folder, launcher, amp=False)
    if path is not None:
        load_weights(plain_model(runner), path)
    if first_process():
        set_aside(folder, TEST_FILES)
    barrier()
    results = runner.test()
    _close(runner)
    _write_report(results, folder, find_config(config), path)
    return results


def load_stages(
    config: str | Path,
    options: Mapping[str, Any] | Sequence[str] | None = None,
    data_root: str | Path | None = None,
    length: float = 1.0,
) -> tuple[list[str], list[Config]]:
    """Names and configs of the stages: those of a pipeline, or the config itself.

    A pipeline has `stages = [...]`, configs beside it or ``package::`` names. Two further keys make variants of it:
    `options`, overrides as of ``--cfg-options``, of which each stage takes those that it has, and losses that it can
    compute; and `joint = True`, which trains the stages as one, see `join_stages`.

    A schedule without `end` lasts as long as the training.

    Args:
        config: File or ``lurefusion::`` name.
        options: Further overrides.
        data_root: Root of relative data folders.
        length: Factor on every count of training steps, see `scale_length`.

    Raises:
        KeyError: If an override has a place in none of the stages.
        ValueError: If a stage has no model, the stages cannot be joined, or the length is not above 0.
    """
    cfg = load_config(config, data_root=data_root)
    files, cfgs, variant = [find_config(config)], [cfg], {}
    if 'stages' in cfg:
        files = [find_config(stage) for stage in cfg.stages]
        cfgs = [load_config(file, data_root=data_root) for file in files]
        variant = cfg.get('options', {})
    names = [file.stem for file in files]
    for file, stage in zip(files, cfgs, strict=True):
        if not isinstance(stage.get('model'), Mapping):
            what = 'is a pipeline, not a stage of one' if 'stages' in stage else 'has neither a model nor stages'
            raise ValueError(f'config {file} {what}; a stage says model = dict(type=...), or takes one over by _base_')
    for overrides in (variant, parse_options(options)):
        overrides = _loss_by_loss(overrides)
        check_options(overrides, *cfgs)
        shares = [_share(stage, overrides, cfgs) for stage in cfgs]
        for stage, share in zip(cfgs, shares, strict=True):
            apply_options(stage, share)
    for stage in cfgs:
        _end_schedules(stage)
        scale_length(stage, length)
    if 'stages' in cfg and cfg.get('joint'):
        return ['joint'], [join_stages(cfgs)]
    return names, cfgs


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
        kind, stage = LOSSES.get(value['type']), cfg.model.get('stage')
        fusion = kind is not None and set(kind.needs) <= {*FUSION_QUANTITIES}
        return kind is None or last in cfg.model.losses or stage == 'joint' or fusion == (stage == 'fusion')
    node: Any = cfg
    for part in way:
        node = node.get(part) if isinstance(node, (Mapping, Config)) else None
    if not isinstance(node, Mapping) or last in node or not isinstance(node.get('type'), str):
        return True
    kinds = [found for registry in (*KINDS, *REGISTRIES) if inspect.isclass(found := registry.get(node['type']))]
    parameters = [inspect.signature(kind).parameters for kind in kinds]
    return not kinds or any(last in p or any(q.kind is q.VAR_KEYWORD for q in p.values()) for p in parameters)


def _schedules(cfg: Config) -> list[dict[str, Any]]:
    schedules = cfg.get('param_scheduler') or []
    return [schedules] if isinstance(schedules, Mapping) else schedules


def _end_schedules(cfg: Config) -> None:
    """A schedule without `end` ends with the training, whose length is stated once: `train_cfg.max_iters`."""
    length = (cfg.get('train_cfg') or {}).get('max_iters')
    for schedule in _schedules(cfg) if length else ():
        if not schedule.get('by_epoch', True) and schedule.get('end') is None:
            schedule['end'] = max(length, schedule.get('begin', 0) + 1)


def scale_length(cfg: Config, factor: float) -> None:
    """Multiply every count of training steps in a config, at least to 1: the length of the training and of its
    schedules, intervals of hooks and validation, starts and warm-ups of losses, schedules of crop sizes.

    Raises:
        ValueError: If the factor is not above 0.
    """
    if not 0 < factor < float('inf'):
        raise ValueError(f'length is a factor above 0 on the number of training steps, got {factor!r}')
    if factor == 1 or cfg.get('train_cfg') is None:
        return

    def stretched(count: Any) -> Any:
        # 0 is the beginning or none at all, -1 never
        return max(1, round(count * factor)) if count > 0 else count

    def scale(node: Any, *keys: str) -> None:
        for key in keys:
            value = node.get(key)
            if value is not None:
                node[key] = [stretched(v) for v in value] if isinstance(value, (list, tuple)) else stretched(value)

    scale(cfg.train_cfg, 'max_iters', 'val_begin', 'val_interval')
    for schedule in _schedules(cfg):
        scale(schedule, 'begin', 'end', 'T_max', 'periods', 'milestones', 'step_size')
        if 'end' in schedule:
            schedule.end = max(schedule.end, schedule.get('begin', 0) + 1)
    for hook in (*cfg.get('default_hooks', {}).values(), *cfg.get('custom_hooks', [])):
        scale(hook or {}, 'interval', 'iterations')
    for loss in cfg.model.get('losses', {}).values():
        scale(loss or {}, 'start', 'warmup')
    cfg.train_dataloader = _scaled_crops(cfg.train_dataloader, factor)


def _scaled_crops(node: Any, factor: float) -> Any:
    """A copy: data sets may share one pipeline."""
    if isinstance(node, Mapping):
        if node.get('type') == 'RandomCrop' and not isinstance(node['size'], int):
            return dict(node, size=[(round(first * factor), side) for first, side in node['size']])
        return {key: _scaled_crops(value, factor) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return type(node)(_scaled_crops(child, factor) for child in node)
    return node


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


def check_data(cfgs: Sequence[Config]) -> None:
    """Look at all data that training and validation need, before anything starts.

    A validation set that the config takes over from a shipped one and that is missing, or is of other modalities, is
    left out with a warning; so is a missing one where the training data may be skipped (`missing='skip'`). Ratios of
    tasks without data that are taken over are left out too.

    Raises:
        MissingDataError: Lists every missing set, the folders looked in, how to get it, and the config that needs none.
        ValueError: If a config does not train, or a data set has modalities or tasks that the model does not have.
    """
    rows: dict[str, None] = {}
    for cfg in cfgs:
        if not cfg.get('train_cfg') or not cfg.get('train_dataloader'):
            raise ValueError(f'config {cfg.filename} has no train_cfg or train_dataloader: there is nothing to train')
        rows.update(dict.fromkeys(_missing_rows(cfg.train_dataloader)))
        if unfit := list(_unfit_rows(cfg, cfg.train_dataloader)):
            raise ValueError('train_dataloader does not fit the model:\n' + '\n'.join(f'  - {row}' for row in unfit))
        loader = cfg.get('val_dataloader') or {}
        missing, unfit = list(_missing_rows(loader)), list(_unfit_rows(cfg, loader))
        inherited = bool(missing or unfit) and is_inherited(cfg, 'val_dataloader.dataset')
        if inherited or (missing and not unfit and _may_skip(cfg.train_dataloader)):
            print_log(f'warning: no validation: {"; ".join([*missing, *unfit])}', level=logging.WARNING)
            cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        elif unfit:
            raise ValueError('val_dataloader does not fit the model:\n' + '\n'.join(f'  - {row}' for row in unfit))
        else:
            rows.update(dict.fromkeys(missing))
        _leave_out_idle_ratios(cfg)
    if rows:
        raise MissingDataError(
            'these data sets are not on disk:\n'
            + '\n'.join(f'  - {row}' for row in rows)
            + f'\nThe root is {resolve_data_root(".")}; --data-root or $LUREFUSION_DATA sets another. '
            'To train on what is there, set train_dataloader.dataset.missing=skip. '
            'configs/lure/lure_demo.py needs no data at all.'
        )


def _leave_out_idle_ratios(cfg: Config) -> None:
    ratios = cfg.train_dataloader.get('sampler', {}).get('ratios')
    if not ratios:
        return
    sets = list(_paired_sets(cfg.train_dataloader))
    tasks = {getattr(dataset, 'task', 'fusion') for _, dataset in sets if dataset is not None and not dataset.missing()}
    idle = [task for task in ratios if task not in tasks]
    # what a data set of another kind holds is not known
    known = all(dataset is not None for _, dataset in sets)
    if idle and known and is_inherited(cfg, 'train_dataloader.sampler.ratios'):
        print_log(f'warning: no data of {", ".join(idle)}: left out of sampler.ratios', level=logging.WARNING)
        cfg.train_dataloader.sampler.ratios = {task: ratios[task] for task in ratios if task in tasks} or None


def _paired_sets(node: Any) -> Iterator[tuple[Mapping[str, Any], PairedDataset | None]]:
    """Every data set below `node`, not looked for on disk yet; None for one of another kind."""
    if isinstance(node, Mapping) and isinstance(node.get('type'), str) and 'datasets' not in node:
        kind = DATASETS.get(node['type'])
        if isinstance(kind, type) and issubclass(kind, PairedDataset):
            own = {key: value for key, value in node.items() if key != 'times'}
            yield node, DATASETS.build(dict(own, lazy_init=True, pipeline=[]))
        else:
            yield node, None
    elif isinstance(node, Mapping):
        for key in ('dataset', 'datasets') if 'dataset' in node or 'datasets' in node else node:
            yield from _paired_sets(node.get(key))
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield from _paired_sets(child)


def _unfit_rows(cfg: Config, loader: Mapping[str, Any]) -> Iterator[str]:
    """What the data sets of a loader have and the model has not, or the other way round."""
    needed = tuple(cfg.model.get('modalities') or ())
    known = [t if isinstance(t, str) else t['key'] for t in (cfg.model.get('prompts') or {}).get('tasks') or ()]
    for node, dataset in _paired_sets(loader):
        if dataset is None or dataset.missing() or not needed:
            continue
        what = f'{node["type"]} ({", ".join(dataset.data_prefix.values())})' if dataset.data_prefix else node['type']
        single = hasattr(dataset, 'task')
        # one picture has one of the model's modalities, a pair has all of them
        if not (set(dataset.modalities) <= set(needed) if single else set(needed) <= set(dataset.modalities)):
            yield (
                f'{what} has pictures of {", ".join(dataset.modalities)}; model.modalities={needed}. Name its folders '
                f'or its modality as the model does, or give a set of these'
            )
        tasks = [dataset.task] if single else getattr(dataset, 'tasks', {}).values()
        if known and (strange := [task for task in tasks if task not in known]):
            yield f'{what} is of task {", ".join(strange)}; model.prompts.tasks has {", ".join(known)}'


def _may_skip(loader: Mapping[str, Any]) -> bool:
    loaders = [loader] if 'dataset' in loader else loader.values()
    return all(loader['dataset'].get('missing') == 'skip' for loader in loaders)


def _missing_rows(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(node.get('type'), str):
            kind = DATASETS.get(node['type'])
            if isinstance(kind, type) and issubclass(kind, PairedDataset):
                own = {key: value for key, value in node.items() if key != 'times'}
                dataset = DATASETS.build(dict(own, lazy_init=True, pipeline=[]))
                if gone := dataset.missing():
                    yield f'{node["type"]}: no folder {" or ".join(gone)}; get it from: {dataset.how_to_get}'
                return
        if node.get('missing') == 'skip':
            rows = [list(_missing_rows(child)) for child in node['datasets']]
            # something has to be left to train on
            if all(rows):
                yield from (row for found in rows for row in found)
            return
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from _missing_rows(child)


def _present_sets(cfg: Config) -> tuple[list[dict], list[Any]]:
    """The test sets that are on disk, with their evaluators.

    Raises:
        ValueError: If there is not one evaluator for each test set, or two sets have one name.
        MissingDataError: If no set is on disk.
    """
    lists = {key: cfg.get(key) for key in ('test_dataloader', 'test_evaluator')}
    counts = {key: len(value) if isinstance(value, (list, tuple)) else None for key, value in lists.items()}
    if None in counts.values() or len(set(counts.values())) > 1:
        shown = ' and '.join(
            f'{key} is {f"a list of {counts[key]}" if counts[key] is not None else f"a {type(value).__name__}"}'
            for key, value in lists.items()
        )
        raise ValueError(
            f'{cfg.filename}: {shown}: they are lists of equal length, one evaluator (itself a list of metrics) for '
            'each test set; override both, or neither'
        )
    # numbered before any is left out, so that a set keeps its name
    names = [loader.setdefault('name', str(number)) for number, loader in enumerate(cfg.test_dataloader)]
    if len(set(names)) < len(names):
        raise ValueError(f'{cfg.filename}: two sets of test_dataloader have one name: {", ".join(names)}')
    loaders, evaluators, left = [], [], []
    for i, (loader, evaluator) in enumerate(zip(*lists.values(), strict=True)):
        missing, unfit = list(_missing_rows(loader)), list(_unfit_rows(cfg, loader))
        if unfit and not missing and not is_inherited(cfg, f'test_dataloader.{i}.dataset'):
            raise ValueError(f'test_dataloader.{i} does not fit the model: {"; ".join(unfit)}')
        for row in (*missing, *unfit):
            left.append(row)
            print_log(f'left out test set {loader.get("name")}: {row}')
        if not missing and not unfit:
            loaders.append(loader)
            evaluators.append(evaluator)
    if not loaders:
        shown = ''.join(f'\n  - {row}' for row in dict.fromkeys(left))
        raise MissingDataError(
            f'not one test set of the config can be used:{shown}\nSets that are elsewhere: --data-root or '
            f'$LUREFUSION_DATA. Sets of your own: name them in test_dataloader = [...] and their metrics in '
            f'test_evaluator = [...]'
        )
    return loaders, evaluators


def _take_over(cfg: Config, parent: Path) -> str | None:
    """Turn `init_from = dict(stage=... | checkpoint=..., prefixes=...)` into the hook that does it.

    Returns:
        Digest of the weights that the stage starts from; None without `init_from`.
    """
    init_from = cfg.pop('init_from', None)
    if init_from is None:
        return None
    if not init_from.get('checkpoint') and not init_from.get('stage'):
        raise ValueError(
            f'init_from names what to start from: dict(stage=NAME) or dict(checkpoint=FILE, FOLDER or shipped name); '
            f'got {dict(init_from)}'
        )
    checkpoint = init_from.get('checkpoint') or parent / init_from['stage']
    if not Path(checkpoint).exists() and init_from.get('checkpoint') is None:
        raise FileNotFoundError(
            f'this stage starts from stage {init_from["stage"]!r}, looked for in {checkpoint}; train that '
            f'first, or give its checkpoint by --cfg-options +init_from.checkpoint=PATH'
        )
    path = find_weights(checkpoint)
    hook = dict(type='InitFromHook', checkpoint=str(path), prefixes=init_from.get('prefixes'))
    cfg.custom_hooks = [hook, *cfg.get('custom_hooks', [])]
    return weights_digest(read_weights(path)[0])


def build_runner(cfg: Config, work_dir: str | Path, launcher: str = 'none', amp: bool = False) -> Runner:
    """MMEngine's Runner, with what it lacks on this software: CPU launchers, CPU bfloat16, safe resuming."""
    if launcher not in LAUNCHERS:
        raise ValueError(f'launcher must be one of {", ".join(LAUNCHERS)}; got {launcher!r}')
    allow_unmatched_torchvision()
    allow_resume()
    cfg.work_dir = str(work_dir)
    cfg.launcher = launcher
    cuda = torch.cuda.is_available()
    if amp and not cuda and not _fast_bfloat16():
        print_log(
            'this processor has no bfloat16 units (AVX-512 BF16 or AMX); without them --amp makes training '
            'several times slower: leave it out',
            level=logging.WARNING,
        )
    if amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper' if cuda else 'CPUAmpOptimWrapper'
    if launcher == 'pytorch' and not cuda:
        # MMEngine's own start would select a CUDA device
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group('gloo')
        unused = cfg.get('find_unused_parameters', False)
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False, find_unused_parameters=unused
        )
    if importlib.util.find_spec('tensorboard') is None and 'visualizer' in cfg:
        cfg.visualizer.vis_backends = [b for b in cfg.visualizer.vis_backends if b['type'] != 'TensorboardVisBackend']
        print_log('tensorboard is not installed: scalars go to the log and vis_data/ alone')
    # several runs in one process: MMEngine keeps its loggers, message hubs and visualizers by name
    cfg.experiment_name = f'{Path(work_dir).name}_{os.getpid()}_{len(MMLogger._instance_dict)}'
    return StageRunner.from_cfg(cfg)


class StageRunner(Runner):
    """MMEngine's Runner, which says in a few lines what it otherwise says in a thousand before the first step."""

    def _log_env(self, env_cfg: dict) -> None:
        where = 'CUDA' if torch.cuda.is_available() else f'CPU, {torch.get_num_threads()} threads'
        self.logger.info(
            f'torch {torch.__version__} on {where}; {self._world_size} processes; seed {self._seed}; the whole config '
            f'is in {self.work_dir}'
        )

    def get_hooks_info(self) -> str:
        """In the order of their priority."""
        return ', '.join(type(hook).__name__ for hook in self.hooks)


def _fast_bfloat16() -> bool:
    """x86 with AVX-512 BF16 or AMX, or another architecture, of which we do not know."""
    if platform.machine().lower() not in ('x86_64', 'amd64'):
        return True
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _close(runner: Runner) -> None:
    runner.visualizer.close()
    for handler in list(runner.logger.handlers):
        if hasattr(handler, 'baseFilename'):
            handler.close()


def _write_report(results: Mapping[str, Any], folder: Path, config: Path, weights: Path | None) -> None:
    """metrics.json and report.md, one row per set."""
    if int(os.environ.get('RANK', 0)):
        return
    rows: dict[str, dict[str, Any]] = {}
    for key, value in results.items():
        name, _, metric = key.partition('/')
        if not metric.startswith(('time', 'data_time')):
            rows.setdefault(name, {})[metric] = value
    lines = [f'# {config.stem}', '', f'weights: {weights or "none"}', '']
    for columns in dict.fromkeys(tuple(row) for row in rows.values()):
        means: dict[str, dict[str, Any]] = {}
        for name, row in rows.items():
            if tuple(row) == columns:
                means[name] = row
                if printed := published(name):
                    means[f'{name}, LURE as printed'] = printed
        lines += [format_table(means, columns, mark=False), '']
    text = '\n'.join(lines)
    write_bytes(folder / 'report.md', text.encode())
    write_bytes(folder / 'metrics.json', json.dumps(results, indent=1, default=str).encode())
    print(text)
    print(f'report: {folder / "report.md"}\nfused pictures: {folder / "fused"}\nstrips: {folder / "strips"}')
