"""What is looked at before anything starts: data that is there, files that are whole, pictures that fit the model."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from lurefusion.config import (
    is_inherited,
    resolve_data_root,
)
from lurefusion.config.tree import nodes
from lurefusion.datasets.mix import is_wanted
from lurefusion.datasets.paired import MissingDataError, PairedDataset
from lurefusion.registry import DATASETS


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
        if not isinstance(loader, Mapping):
            raise ValueError(
                f'config {cfg.filename}: val_dataloader is one loader, not a {type(loader).__name__}; a MixDataset '
                f'joins several data sets'
            )
        if str(cfg.get('load_from') or '').endswith('.safetensors'):
            raise ValueError(
                f'config {cfg.filename}: load_from takes checkpoints of MMEngine; from {cfg.load_from} a training '
                f'starts by init_from = dict(checkpoint=...)'
            )
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


def present_sets(cfg: Config) -> tuple[list[dict], list[Any]]:
    """The test sets that are on disk, with their evaluators.

    Raises:
        ValueError: If there is not one evaluator for each test set, or two sets have one name or a name has a slash.
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
    for name in names:
        if not name or '/' in name:
            # its results are called NAME/METRIC
            raise ValueError(f'{cfg.filename}: a set of test_dataloader is called {name!r}: name it without a slash')
    if len(set(names)) < len(names):
        raise ValueError(f'{cfg.filename}: two sets of test_dataloader have one name: {", ".join(names)}')
    files = [metric['out_csv'] for metric in _metrics(cfg.test_evaluator) if metric.get('out_csv')]
    if twice := sorted({file for file in files if files.count(file) > 1}):
        raise ValueError(f'{cfg.filename}: test sets would overwrite each other in out_csv {", ".join(twice)}')
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


def _metrics(evaluators: Sequence[Any]) -> Iterator[Mapping[str, Any]]:
    for evaluator in evaluators:
        for metric in [evaluator] if isinstance(evaluator, Mapping) else evaluator:
            yield metric
            yield from metric.get('metrics', ()) if metric.get('type') == 'GoalScore' else ()


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
        tasks = node.get('tasks') if 'datasets' in node else None
        for key in ('dataset', 'datasets') if 'dataset' in node or 'datasets' in node else node:
            yield from (
                found for found in _paired_sets(node.get(key)) if is_wanted(getattr(found[1], 'task', None), tasks)
            )
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield from _paired_sets(child)


def _unfit_rows(cfg: Config, loader: Mapping[str, Any]) -> Iterator[str]:
    """What the data sets of a loader have and the model has not, or the other way round."""
    needed = tuple(cfg.model.get('modalities') or ())
    known = [t if isinstance(t, str) else t['key'] for t in (cfg.model.get('prompts') or {}).get('tasks') or ()]
    for where, step in nodes(loader):
        ranges = step.get('range_mode') if isinstance(step, Mapping) and step.get('type') == 'LoadImages' else None
        if needed and isinstance(ranges, Mapping) and (strange := [n for n in ranges if n not in (*needed, None)]):
            yield f'{where}.range_mode names {", ".join(strange)}; model.modalities={needed}'
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
        if 'datasets' in node:
            node = dict(node, datasets=[d for d in node['datasets'] if is_wanted(d.get('task'), node.get('tasks'))])
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
