"""Weight-free fusers and trained models measured on validation pictures, picture by picture, and what is known kept.

A model is the name of shipped weights or CONFIG:WEIGHTS, with NAME= before it for a name of its own in the tables.
"""

from __future__ import annotations

import inspect
import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

import lurefusion
from lurefusion.apis import FusionInferencer
from lurefusion.config import config_root, load_stages
from lurefusion.evaluation.cards import FUSION_METRICS, RANKED_METRICS, card_of, compute
from lurefusion.evaluation.metrics import mean_columns
from lurefusion.io.digests import digest_of_parts
from lurefusion.io.images import read_image, write_bytes
from lurefusion.io.pairing import list_images
from lurefusion.ops.layout import image_to_tensor
from lurefusion.prompts import PSEUDO_TASK
from lurefusion.prompts.grammar import compile_names
from lurefusion.weights import find_weights, shipped_weights

BASELINES = {'Average': 'average', 'Max': 'max', 'LapPyr': 'lap_pyramid', 'GuidedFilter': 'guided_filter'}
# folder below degraded_val -> modality that it spoils, task that mends it
TASKS = {'low_light': ('vi', 'll'), 'over_exposure': ('vi', 'oe'), 'haze': ('vi', 'hz'), 'low_contrast': ('ir', 'lc'),
         'sr4': ('ir', 'sr'), 'sr8': ('ir', 'sr')}  # fmt: skip
CONDITIONS = ('clean', *TASKS, 'low_light+low_contrast', 'over_exposure+low_contrast', 'haze+sr4')
UNPUBLISHED = ('haze+sr4',)
CLEAN = {'vi': 'MSRS/test_dev/vi', 'ir': 'MSRS/test_dev/ir'}
ROADS = {'vi': 'RoadScene/val/vi', 'ir': 'RoadScene/val/ir'}
# beside the seven: what the published rows have as well, and what only own rows have
PUBLISHED_DETAILS = ('MI', 'EN', 'SD', 'AG', 'SF', 'SSIM_paper', 'MS-SSIM_paper')
DETAILS = ('MI', 'EN', 'SD', 'AG', 'SF', 'Qcv', 'NIQE')
RESTORED_COLUMNS = ('PSNR degraded', 'PSNR restored', 'PSNR gain', 'SSIM degraded', 'SSIM restored', 'SD degraded',
                    'SD restored', 'SD clean')  # fmt: skip
# what is imported to fuse, read or measure; the rest of the package has no say in the numbers
NUMBERS_CODE = (
    '*.py', 'apis/*', 'config/*', 'datasets/**/*', 'engine/*.py', 'evaluation/*', 'io/*', 'models/**/*', 'ops/*',
    'prompts/*', 'runtime/*',
)  # fmt: skip
NO_NUMBERS = ('__pycache__', 'cli.py')
PACKAGES = ('torch', 'numpy', 'opencv-python', 'transformers', 'safetensors', 'mmengine', 'pillow')

Row = dict[str, float]
Means = dict[str, Row]

OTHER_PROMPTS = ('no prompt', 'wrong prompt')


@dataclass(frozen=True)
class Table:
    """Pairs that are fused: modality -> folder, of the pictures that go in and of the clean ones to score against.

    `stems` is the folder that tells which pairs, `every` takes each n-th of them; `tasks` is the right prompt,
    `published` the `set` in docs/targets.csv.
    """

    title: str
    inputs: dict[str, str]
    clean: dict[str, str]
    stems: str
    every: int = 1
    tasks: dict[str, str] = field(default_factory=dict)
    published: str | None = None

    def folders(self) -> set[str]:
        """All that must be on disk."""
        return {*self.inputs.values(), *self.clean.values(), self.stems}

    def pairs(self, root: Path, limit: int | None) -> dict[str, dict[str, Path]]:
        """Stem -> role -> file; roles are the modalities and ``clean <modality>``."""
        roles = self.inputs | {f'clean {m}': folder for m, folder in self.clean.items()}
        files = {role: list_images(root / folder) for role, folder in roles.items()}
        stems = list(list_images(root / self.stems))[:: self.every][:limit]
        return {stem: {role: files[role][stem] for role in roles} for stem in stems}


def vanilla_tables() -> list[Table]:
    """Pictures as they are: the pairs that published networks were measured on, and all of them."""
    return [
        Table('MSRS/test_dev, every third pair', CLEAN, CLEAN, CLEAN['vi'], 3, published='MSRS/test_dev 19'),
        Table('RoadScene/val, every second pair', ROADS, ROADS, ROADS['vi'], 2, published='RoadScene/val 15'),
        Table('MSRS/test_dev, all pairs', CLEAN, CLEAN, CLEAN['vi']),
        Table('RoadScene/val, all pairs', ROADS, ROADS, ROADS['vi']),
    ]


def degraded_table(condition: str) -> Table:
    """Pairs of `degraded_val`, several degradations joined by +; ``clean`` is the same pairs without any."""
    names = [] if condition == 'clean' else condition.split('+')
    folders = {TASKS[name][0]: f'degraded_val/{name}/{TASKS[name][0]}' for name in names}
    return Table(
        condition.replace('_', ' ').replace('+', ' + '), CLEAN | folders, CLEAN,
        stems=next(iter(folders.values()), 'degraded_val/low_light/vi'), tasks=dict(TASKS[name] for name in names),
        published=None if condition in UNPUBLISHED else f'degraded_val {condition}',
    )  # fmt: skip


@dataclass
class Method:
    """What fuses, and a digest of everything that its pictures depend on."""

    name: str
    fuser: FusionInferencer
    version: str

    def prompts(self, table: Table) -> dict[str, dict[str, str] | None]:
        """Row title -> prompt. Three for degraded pictures, if the model takes prompts: right, none, wrong."""
        if self.fuser.router is None or not table.tasks:
            return {self.name: None}
        known = self.fuser.model.prompts.keys
        if lacking := [task for task in table.tasks.values() if task not in known]:
            print_log(f'{self.name} has no task {", ".join(lacking)}: left out of "{table.title}"')
            return {}
        wrong = {modality: self._another(task, modality) for modality, task in table.tasks.items()}
        without, another = (f'{self.name}, {other}' for other in OTHER_PROMPTS)
        rows: dict[str, dict[str, str] | None] = {self.name: table.tasks, without: None}
        # a model of one task for each modality has no wrong one
        return rows if wrong == table.tasks else {**rows, another: wrong}

    def _another(self, task: str, modality: str) -> str:
        """The next task of the same modality that a table is about, in the order of the model's tasks."""
        same = [key for key in self.fuser.model.prompts.keys if (modality, key) in TASKS.values()]
        return same[(same.index(task) + 1) % len(same)]


def everything_else() -> str:
    """Digest of what all numbers depend on: code and data files of the package, versions of others, scoring in here."""
    package = Path(lurefusion.__file__).parent
    files = sorted({path for pattern in NUMBERS_CODE for path in package.glob(pattern) if path.is_file()})
    files = [path for path in files if not set(path.relative_to(package).parts) & set(NO_NUMBERS)]
    names = [str(path.relative_to(package)) for path in files]
    versions = [f'{name} {metadata.version(name)}' for name in PACKAGES] + [f'cuda {torch.cuda.is_available()}']
    scoring = [inspect.getsource(function) for function in (tensor, score_fused, score_restored)]
    return digest_of_parts(*names, *files, *versions, *scoring)


def load_methods(models: Sequence[str]) -> tuple[list[Method], list[Method]]:
    """Weight-free fusers, and the trained models that were asked for."""
    rest = everything_else()
    files = {name: str(config_root() / 'baselines' / f'{stem}_ir_vi.py') for name, stem in BASELINES.items()}
    baselines = [
        Method(name, FusionInferencer(file), digest_of_parts(rest, _model_of(file))) for name, file in files.items()
    ]
    trained = []
    for text in models:
        name, _, model = text.rpartition('=')
        # `::` names a config of a package
        config, _, weights = re.fullmatch(r'((?:::|[^:])*)(:?)(.*)', model).groups()
        fuser = FusionInferencer(config, weights or None)
        if weights:
            made_of = [_model_of(config), find_weights(weights)]
        else:
            # shipped weights hold their config
            made_of = [shipped_weights().get(config) or _model_of(config)]
        trained.append(Method(name or Path(config).stem, fuser, digest_of_parts(rest, *made_of)))
    names = [method.name for method in baselines + trained]
    if len(set(names)) < len(names):
        raise ValueError(f'two rows would have one name: {", ".join(names)}; name models apart: NAME=CONFIG:WEIGHTS')
    return baselines, trained


def _model_of(config: str) -> str:
    return repr(load_stages(config)[1][-1].model.to_dict())


class Cache:
    """Numbers per row of the tables and per picture, each with a digest of what it was measured on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.contents: dict[Path, str] = {}
        self.rows: dict[str, dict[str, dict]] = json.loads(path.read_text()) if path.is_file() else {}

    def means(
        self, row: str, version: str, pairs: Mapping[str, Mapping[str, Path]], measure: Callable[..., Row]
    ) -> Row:
        """Means of a row over pairs (stem -> role -> file); those that are new or changed go through `measure`."""
        known, new = self.rows.setdefault(row, {}), 0
        for stem, files in pairs.items():
            key = digest_of_parts(
                version, *(f'{role} {path.name} {self._content(path)}' for role, path in files.items())
            )
            if known.get(stem, {}).get('key') != key:
                values = {c: float(f'{v:.7g}') for c, v in measure(files=files).items() if not np.isnan(v)}
                known[stem] = {'key': key, **values}
                new += 1
        if new:
            lines = (f'{json.dumps(name)}: {json.dumps(self.rows[name])}' for name in sorted(self.rows))
            write_bytes(self.path, ('{\n' + ',\n'.join(lines) + '\n}\n').encode())
            print(f'{row}: {new} of {len(pairs)} pictures measured', flush=True)
        columns = dict.fromkeys(c for stem in pairs for c in known[stem] if c != 'key')
        return mean_columns([known[stem] for stem in pairs], columns)

    def _content(self, path: Path) -> str:
        if path not in self.contents:
            self.contents[path] = digest_of_parts(path)
        return self.contents[path]


def tensor(image: np.ndarray) -> Tensor:
    """(H,W) or (H,W,3) to (1,C,H,W)."""
    return image_to_tensor(image)[None].contiguous()


def score_fused(
    method: Method, prompt: Mapping[str, str] | None, table: Table, metrics: Sequence[str], variant: str,
    files: Mapping[str, Path],
) -> Row:  # fmt: skip
    """Metrics of one fused pair against the clean one."""
    fused = tensor(method.fuser(prompt, **{m: files[m] for m in table.inputs}))
    against = {m: tensor(read_image(files[f'clean {m}'])[0]) for m in table.clean}
    return {c: float(value) for c, value in compute(fused, against, metrics, variant, too_small='nan').items()}


def measure_fused(table: Table, methods: Iterable[Method], root: Path, limit: int | None, cache: Cache) -> Means:
    """Row title -> means over the pairs of a table."""
    # of degraded pairs only what is shown
    metrics, variant = (RANKED_METRICS, 'standard') if table.tasks else (FUSION_METRICS, 'both')
    means, pairs = {}, table.pairs(root, limit)
    for method in methods:
        for title, prompt in method.prompts(table).items():
            version = digest_of_parts(method.version, repr((metrics, variant, prompt)))
            measure = partial(score_fused, method, prompt, table, metrics, variant)
            means[title] = cache.means(f'{" ".join(table.inputs.values())} | {title}', version, pairs, measure)
    return means


def score_restored(method: Method, modality: str, task: str, files: Mapping[str, Path]) -> Row:
    """PSNR and SSIM to the clean picture, and SD, of a degraded picture and of what the model makes of it."""
    degraded, clean = (tensor(read_image(files[role])[0]) for role in (modality, f'clean {modality}'))
    restored = tensor(method.fuser.restore(files[modality], modality, task)).expand_as(clean)
    row = {'SD clean': float(compute(clean, metrics='SD')['SD'])}
    for name, picture in (('degraded', degraded), ('restored', restored)):
        values = compute(picture, metrics=['PSNR_ref', 'SSIM_ref', 'SD'], reference=clean)
        row |= {f'{column.removesuffix("_ref")} {name}': float(value) for column, value in values.items()}
    return row


def measure_restored(method: Method, name: str, root: Path, limit: int | None, cache: Cache) -> dict[str, str]:
    """Row of the table of restored pictures: means, as they are printed."""
    modality, task = TASKS[name]
    table = degraded_table(name)
    roles = (modality, f'clean {modality}')
    pairs = {stem: {role: files[role] for role in roles} for stem, files in table.pairs(root, limit).items()}
    means = cache.means(
        f'restored {table.inputs[modality]} | {method.name}', digest_of_parts(method.version, task), pairs,
        partial(score_restored, method, modality, task),
    )  # fmt: skip
    means['PSNR gain'] = means['PSNR restored'] - means['PSNR degraded']
    return {c: f'{means[c]:.{card_of(c.split()[0]).decimals}f}' for c in RESTORED_COLUMNS}


def measure_routing(method: Method) -> dict[str, dict[str, float | str]]:
    """Share of sentences of unseen templates that reach their task: by the whole router, and by the text head alone."""
    bank, fuser = method.fuser.model.prompts, method.fuser
    patterns = {name: compile_names(bank.words(name)) for name in fuser.modalities}
    rows = {}
    logging.disable(logging.WARNING)  # what the router did not understand is counted, not told
    try:
        for modality in fuser.modalities:
            right, head = [], []
            for task in (key for key in bank.keys if bank.task(key).modality in (None, modality)):
                sentences = [s for split in ('val', 'test') for s in bank.sentences(task, split)]
                head += list(fuser.model.classify_text(sentences).argmax(1) == bank.index(task))
                for sentence in sentences:
                    named = [name for name, pattern in patterns.items() if pattern.search(sentence.lower())]
                    meant = [modality] if bank.task(task).modality else named or fuser.modalities
                    expected = {name: task if name in meant else PSEUDO_TASK for name in fuser.modalities}
                    right.append({name: route.task for name, route in fuser.route(sentence).items()} == expected)
            rows[f'{method.name}, {modality}'] = {
                'sentences': str(len(right)), 'right task, %': 100 * np.mean(right),
                'text head alone, %': 100 * np.mean(head),
            }  # fmt: skip
    finally:
        logging.disable(logging.NOTSET)
    return rows
