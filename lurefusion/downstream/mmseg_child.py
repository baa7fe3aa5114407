"""The process in which MMSegmentation runs: python -m lurefusion.downstream.mmseg_child JOB.json.

MMSegmentation changes MMEngine's global registries and scopes, and wants compiled operators that nothing here uses: it
stays out of the process that fuses. `lurefusion.downstream.chain` writes the jobs and starts it.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

#: exit code when another process is at work in the same folder
BUSY = 75
#: exit code of a mistake of the user; `error.json` beside the job says which
MISTAKE = 1
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def make_importable() -> None:
    """Let `mmseg` be imported where mmcv was built without its compiled operators, with a cross-entropy for any label.

    MMSegmentation imports `mmcv.ops` as a whole for a few heads; `mmcv._ext` is replaced by a module whose operators
    raise when they are called.
    """
    from lurefusion.compat import allow_unmatched_torchvision

    allow_unmatched_torchvision()
    if 'mmcv._ext' not in sys.modules and find_spec('mmcv._ext') is None:
        _replace_operators()
    _mend_cross_entropy()


def _replace_operators() -> None:
    stub = ModuleType('mmcv._ext')
    stub.__spec__ = ModuleSpec('mmcv._ext', loader=None)

    def missing(name: str) -> Callable[..., None]:
        if name.startswith('__'):
            raise AttributeError(name)

        def operator(*args: Any, **kwargs: Any) -> None:
            raise ImportError(
                f'this model needs the compiled operator {name} of mmcv: install mmcv built with operators'
            )

        return operator

    stub.__getattr__ = missing
    sys.modules['mmcv._ext'] = stub


def _mend_cross_entropy() -> None:
    """MMSegmentation 1.2.2 looks up the class weight of every pixel, which fails where a pixel is ignored (255).

    Here ignored pixels weigh nothing in the mean, as in PyTorch's own cross-entropy; without them the value is the same
    as before. With `use_sigmoid` it lays the weights along the width of the picture; here along the classes. Every head
    of every config is mended, its auxiliary ones too.
    """
    import torch
    from mmseg.models.losses import cross_entropy_loss as losses

    original, binary = losses.cross_entropy, losses.binary_cross_entropy
    if original.__module__ == __name__:
        return

    def cross_entropy(
        pred: Any, label: Any, weight: Any = None, class_weight: Any = None, reduction: str = 'mean',
        avg_factor: Any = None, ignore_index: int = -100, avg_non_ignore: bool = False,
    ) -> Any:  # fmt: skip
        if class_weight is not None and avg_factor is None and reduction == 'mean':
            counted = label != ignore_index
            avg_factor = class_weight[torch.where(counted, label, 0)].mul(counted).sum()
        return original(pred, label, weight, class_weight, reduction, avg_factor, ignore_index, avg_non_ignore)

    def binary_cross_entropy(pred: Any, label: Any, *args: Any, class_weight: Any = None, **kwargs: Any) -> Any:
        if class_weight is not None:
            class_weight = class_weight.view(-1, *[1] * (pred.dim() - 2))
        return binary(pred, label, *args, class_weight=class_weight, **kwargs)

    losses.cross_entropy, losses.binary_cross_entropy = cross_entropy, binary_cross_entropy


def read_task(name: str, options: Any = None, iterations: int | None = None) -> Any:
    """A segmentation config, with overrides and another length of training.

    Raises:
        ValueError: If `iterations` is given and the config trains by epochs.
    """
    from lurefusion.config import apply_options, load_config, parse_options

    cfg = load_config(name)
    if not isinstance(cfg.get('model'), dict):
        raise ValueError(f'segmentation config {name} has no model = dict(type=...)')
    cfg.setdefault('inputs', ['fused'])
    cfg.setdefault('pretrained', None)
    # after the shipped keys that MMSegmentation's own configs lack
    apply_options(cfg, parse_options(options))
    if iterations is not None:
        if 'max_iters' not in cfg.train_cfg:
            raise ValueError(
                f'the config trains by epochs ({dict(cfg.train_cfg)}); its length cannot be set in iterations'
            )
        apply_options(cfg, {'train_cfg.max_iters': iterations})
    return cfg


def adapt(cfg: Any, classes: list[str]) -> None:
    """Fit a config to the pictures: channels, no SyncBN in one process, pretrained weights not from a URL.

    Raises:
        ValueError: If a head predicts another number of classes than the labels have, ignores another id than 255, or
            a loss weighs another number of classes.
    """
    from mmengine.logging import print_log

    from lurefusion.downstream.pictures import IGNORED

    heads = {'model.decode_head': cfg.model.get('decode_head'), 'model.auxiliary_head': cfg.model.get('auxiliary_head')}
    for key, head in heads.items():
        for one in head if isinstance(head, (list, tuple)) else [head] if head else []:
            if one.get('num_classes') != len(classes):
                raise ValueError(
                    f'{key}.num_classes={one.get("num_classes")}, but the labels have {len(classes)} classes '
                    f'({", ".join(classes)}); set it in the config, or by --downstream-options '
                    f'{key}.num_classes={len(classes)}'
                )
            if one.get('ignore_index', IGNORED) != IGNORED:
                raise ValueError(
                    f'{key}.ignore_index={one.ignore_index}, but pixels that do not count have the id {IGNORED} in the '
                    f'labels that are handed over; leave it out, or set {key}.ignore_index={IGNORED}'
                )
            for loss in _dicts(one.get('loss_decode', {})):
                weights = loss.get('class_weight')
                if isinstance(weights, (list, tuple)) and len(weights) != len(classes):
                    raise ValueError(
                        f'{key}: {loss.get("type")} has a class_weight of {len(weights)} values, but the labels have '
                        f'{len(classes)} classes ({", ".join(classes)}); give one for each, or class_weight=None'
                    )
    if len(cfg.inputs) > 1:
        cfg.model.backbone.in_channels = 3 * len(cfg.inputs)
    for node, key in ((cfg.model, 'pretrained'), (cfg.model.get('backbone', {}), 'init_cfg')):
        if '://' in str(node.get(key)):
            print_log(
                f'nothing is downloaded: {key}={node[key]} of the config is left out; pretrained=PATH gives weights'
            )
            node[key] = None
    for node in _dicts(cfg._cfg_dict):
        if node.get('type') == 'SyncBN':
            node['type'] = 'BN'


def _dicts(node: Any) -> Iterator[dict]:
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from _dicts(child)


def check(job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Load the configs of a job, build their models, and say what the chain needs to know of each."""
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS

    from lurefusion.downstream.mmseg_parts import load_pretrained
    from lurefusion.io.digests import digest, file_digest

    init_default_scope('mmseg')
    lent = [cfg.pictures.to_dict() for cfg in map(read_task, job['lenders']) if cfg.get('pictures')]
    found = []
    for name in job['tasks']:
        cfg = read_task(name, job['options'], job['iterations'])
        # what decides about the pictures is known by their content
        own = cfg.pop('pictures', None)
        row = dict(pictures=own.to_dict() if own else next(iter(lent), None), inputs=list(cfg.inputs), pretrained=None)
        if row['pictures']:
            adapt(cfg, list(row['pictures']['classes']))
            model = MODELS.build(cfg.model)
            if cfg.pretrained:
                load_pretrained(model, cfg.pretrained)
                row['pretrained'] = file_digest(cfg.pretrained)
            row['settings'] = digest(cfg.to_dict())
        found.append(row)
    return found


def _prepared(job: Mapping[str, Any]) -> Any:
    """The config of a run, with the handed pictures in all of its loaders."""
    cfg = read_task(job['config'], job['options'], job['iterations'])
    cfg.randomness = dict(cfg.get('randomness') or {}, seed=job['seed'])
    cfg.inputs = job['inputs']
    adapt(cfg, job['classes'])
    if 'statistics' in cfg.model.data_preprocessor and cfg.model.data_preprocessor.statistics is None:
        cfg.model.data_preprocessor.statistics = str(Path(job['work_dir']) / 'statistics.json')
    for key in LOADERS:
        if cfg.get(key) is not None:
            cfg[key].dataset = _handed(cfg[key].dataset, job, job['train'] if key == LOADERS[0] else job['test'])
    hooks = cfg.default_hooks
    hooks.checkpoint.backend_args = dict(backend='atomic')
    if hooks.checkpoint.type == 'CheckpointHook':
        hooks.checkpoint.type = 'lurefusion.KeepingCheckpointHook'
    if not (hooks.get('visualization') or {}).get('draw'):
        hooks.pop('visualization', None)
    # MMEngine keeps visualizers by name: the second runner of a process would write into the folder of the first
    if cfg.get('visualizer'):
        cfg.visualizer.pop('name', None)
    return cfg


def _handed(dataset: Any, job: Mapping[str, Any], items: list) -> dict[str, Any]:
    pipeline = next((node['pipeline'] for node in _dicts(dataset) if 'pipeline' in node), None)
    if pipeline is None:
        raise ValueError(f'the data set {dataset.get("type")} of {job["config"]} has no pipeline to keep')
    # of the labels of the config's own data set, whose first class does not count
    for step in _dicts(pipeline):
        step.pop('reduce_zero_label', None)
    return dict(
        type='HandedPictures',
        root=job['root'],
        items=items,
        roles=job['roles'],
        pipeline=pipeline,
        metainfo=dict(classes=job['classes'], palette=job['palette']),
    )


def run(job: Mapping[str, Any]) -> None:
    """Train, unless the folder holds a finished training; go on where one was interrupted; evaluate."""
    folder = Path(job['work_dir'])
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / '.lock', 'w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print(f'another process is at work in {folder}', file=sys.stderr)
            raise SystemExit(BUSY) from None
        if job.get('train') and not (folder / 'trained.json').is_file():
            _train(job, folder)
        for evaluation in job['evaluations']:
            if not (Path(evaluation['out']) / 'scores.json').is_file():
                _evaluate(job, evaluation)


def _train(job: Mapping[str, Any], folder: Path) -> None:
    from mmengine.logging import print_log

    from lurefusion.engine.stage_runner import build_runner
    from lurefusion.io.images import write_bytes
    from lurefusion.weights import latest_checkpoint, whole_checkpoint

    cfg = _prepared(job)
    newest = whole_checkpoint(folder)
    cfg.resume, cfg.load_from = newest is not None, str(newest) if newest else None
    if cfg.pretrained and not newest:
        cfg.custom_hooks = [*cfg.get('custom_hooks', []), dict(type='PretrainedHook', path=cfg.pretrained)]
    cfg.custom_hooks = [*cfg.get('custom_hooks', []), dict(type='lurefusion.FiniteCheckHook')]
    runner = build_runner(cfg, folder)
    start = f'starts from {cfg.pretrained}' if cfg.pretrained else 'trains from scratch: no pretrained=PATH is given'
    print_log(f'goes on from {newest}' if newest else f'the segmentation network {start}', logger='current')
    runner.train()
    write_bytes(folder / 'trained.json', json.dumps(dict(checkpoint=latest_checkpoint(folder).name)).encode())


def _evaluate(job: Mapping[str, Any], evaluation: Mapping[str, Any]) -> None:
    from lurefusion.engine.stage_runner import build_runner
    from lurefusion.weights import find_weights, read_weights

    cfg = _prepared(dict(job, roles=evaluation['roles'], test=evaluation['items']))
    for key in ('train_cfg', 'train_dataloader', 'val_cfg', 'val_dataloader', 'val_evaluator', 'optim_wrapper'):
        cfg[key] = None
    cfg.param_scheduler = None
    own = dict(type='ConfusionMetric', out=evaluation['out'], root=job['root'])
    theirs = cfg.get('test_evaluator') or []
    cfg.test_evaluator = [*(theirs if isinstance(theirs, (list, tuple)) else [theirs]), own]
    cfg.resume, cfg.load_from = False, None
    path = find_weights(job.get('weights') or job['work_dir'])
    runner = build_runner(cfg, Path(evaluation['out']) / 'log')
    runner.model.load_state_dict(read_weights(path)[0], strict=True)
    runner.test()


def main() -> int:
    """Read the job, do it; a mistake of the user ends in ``error.json`` beside the job."""
    file = Path(sys.argv[1])
    job = json.loads(file.read_text())
    warnings.filterwarnings('ignore', module='mmseg')
    from lurefusion.io.images import write_bytes

    try:
        make_importable()
        from mmseg import datasets, engine, evaluation, models  # noqa: F401

        import lurefusion.downstream.mmseg_parts
        import lurefusion.engine  # noqa: F401

        if job['mode'] == 'check':
            write_bytes(file.with_name('found.json'), json.dumps(check(job)).encode())
        else:
            run(job)
    except (OSError, KeyError, ValueError, TypeError, ImportError) as error:
        if os.environ.get('LUREFUSION_TRACEBACK'):
            raise
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        content = dict(type=type(error).__name__, text=str(text))
        write_bytes(file.with_name('error.json'), json.dumps(content).encode())
        return MISTAKE
    return 0


if __name__ == '__main__':
    sys.exit(main())
