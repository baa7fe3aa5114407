"""Measure weight-free fusers and trained models on the validation pictures, and write docs/benchmark.md.

    LUREFUSION_DATA=DIR python tools/benchmark.py lure-tiny --out docs/benchmark.md

A model is the name of shipped weights or CONFIG:WEIGHTS, with NAME= before it for a name of its own in the tables.
What was measured is kept picture by picture in a JSON file beside the page: the same command again measures only what
is new (other weights, configs, pictures, another version of a package, or any change of the code that fuses, reads or
measures). Sets that are missing below the data root are named and left out.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import lurefusion
from lurefusion.apis import FusionInferencer
from lurefusion.cli import exit_code
from lurefusion.engine.stages import load_stages
from lurefusion.evaluation import report
from lurefusion.evaluation.cards import FUSION_METRICS, RANKED_METRICS, card_of, compute
from lurefusion.evaluation.evaluate import read_means
from lurefusion.evaluation.metrics import mean_columns
from lurefusion.io.images import read_image, write_bytes
from lurefusion.io.pairing import list_images
from lurefusion.prompts import PSEUDO_TASK
from lurefusion.weights import find_weights, shipped_weights

ROOT = Path(__file__).resolve().parents[1]
TARGETS = ROOT / 'docs' / 'targets.csv'
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
NUMBERS_CODE = ('*.py', 'datasets/**/*', 'engine/*.py', 'evaluation/*', 'models/**/*')
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
        wrong = {modality: self._another(task, modality) for modality, task in table.tasks.items()}
        return {
            self.name: table.tasks,
            **dict(zip((f'{self.name}, {other}' for other in OTHER_PROMPTS), (None, wrong), strict=True)),
        }

    def _another(self, task: str, modality: str) -> str:
        """The next task of the same modality, in the order of the model's tasks."""
        bank = self.fuser.model.prompts
        same = [key for key in bank.keys if bank.task(key).modality == modality]
        return same[(same.index(task) + 1) % len(same)]


def digest(*parts: bytes | str | Path) -> str:
    """Hash of texts and of the contents of files."""
    total = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part.encode() if isinstance(part, str) else part
        total.update(hashlib.sha256(data).digest())
    return total.hexdigest()[:16]


def everything_else() -> str:
    """Digest of what all numbers depend on: code and data files of the package, versions of others, scoring in here."""
    package = Path(lurefusion.__file__).parent
    files = sorted({path for pattern in NUMBERS_CODE for path in package.glob(pattern) if path.is_file()})
    files = [path for path in files if not set(path.relative_to(package).parts) & set(NO_NUMBERS)]
    names = [str(path.relative_to(package)) for path in files]
    versions = [f'{name} {metadata.version(name)}' for name in PACKAGES] + [f'cuda {torch.cuda.is_available()}']
    scoring = [inspect.getsource(function) for function in (tensor, score_fused, score_restored)]
    return digest(*names, *files, *versions, *scoring)


def load_methods(models: Sequence[str]) -> tuple[list[Method], list[Method]]:
    """Weight-free fusers, and the trained models that were asked for."""
    rest = everything_else()
    files = {name: str(ROOT / 'configs' / 'baselines' / f'{stem}_ir_vi.py') for name, stem in BASELINES.items()}
    baselines = [Method(name, FusionInferencer(file), digest(rest, _model_of(file))) for name, file in files.items()]
    trained = []
    for text in models:
        name, _, model = text.rpartition('=')
        config, _, weights = model.partition(':')
        fuser = FusionInferencer(config, weights or None)
        if weights:
            made_of = [_model_of(config), find_weights(weights)]
        else:
            # shipped weights hold their config
            made_of = [shipped_weights().get(config) or _model_of(config)]
        trained.append(Method(name or Path(config).stem, fuser, digest(rest, *made_of)))
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
            key = digest(version, *(f'{role} {path.name} {self._content(path)}' for role, path in files.items()))
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
            self.contents[path] = digest(path)
        return self.contents[path]


def tensor(image: np.ndarray) -> Tensor:
    """(H,W) or (H,W,3) to (1,C,H,W)."""
    return torch.from_numpy(np.ascontiguousarray(np.atleast_3d(image).transpose(2, 0, 1)))[None]


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
            version = digest(method.version, repr((metrics, variant, prompt)))
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
        f'restored {table.inputs[modality]} | {method.name}', digest(method.version, task), pairs,
        partial(score_restored, method, modality, task),
    )  # fmt: skip
    means['PSNR gain'] = means['PSNR restored'] - means['PSNR degraded']
    return {c: f'{means[c]:.{card_of(c.split()[0]).decimals}f}' for c in RESTORED_COLUMNS}


def measure_routing(method: Method) -> dict[str, dict[str, float | str]]:
    """Share of sentences of unseen templates that reach their task: by the whole router, and by the text head alone."""
    bank, fuser = method.fuser.model.prompts, method.fuser
    rows = {}
    logging.disable(logging.WARNING)  # what the router did not understand is counted, not told
    try:
        for modality in fuser.modalities:
            right, head = [], []
            for task in (key for key in bank.keys if bank.task(key).modality in (None, modality)):
                sentences = [s for split in ('val', 'test') for s in bank.sentences(task, split)]
                head += list(fuser.model.classify_text(sentences).argmax(1) == bank.index(task))
                for routes in map(fuser.route, sentences):
                    others = {name: route.task for name, route in routes.items() if name != modality}
                    right.append(routes[modality].task == task and set(others.values()) <= {PSEUDO_TASK})
            rows[f'{method.name}, {modality}'] = {
                'sentences': str(len(right)), 'right task, %': 100 * np.mean(right),
                'text head alone, %': 100 * np.mean(head),
            }  # fmt: skip
    finally:
        logging.disable(logging.NOTSET)
    return rows


INTRODUCTION = """# Benchmark

    LUREFUSION_DATA=DIR python tools/benchmark.py {command}

writes this page from real pictures below `DIR`. They are validation pictures: {names} was not trained on them, but its
recipe was chosen with a look at them (and the frames of `MSRS/test_dev` belong to the official MSRS test split, but are
not all of it: never report them as "MSRS test").

Average, Max, LapPyr and GuidedFilter need no weights (`configs/baselines/`): every table of a new method should show
them, they cost nothing and beat many networks by mean rank. They fuse luminance and keep the visible picture's chroma.
The other rows are networks run on the same pictures with their authors' published weights, measured by independent code
(`docs/targets.csv`). The mean rank counts CC, SCD, PSNR, SSIM, MS-SSIM, VIF and Qabf as printed, over one row a method,
ties shared; what a model makes of no prompt or a wrong one is ranked in its place. Best in bold, second underlined.
"""
WHY_MAX = (
    'That code took chroma through the fixed-point YCrCb of OpenCV, which moves single grey levels, and with them the '
    'MI of Max; here it is exact.'
)
DEGRADED = """## Degraded pairs

Pairs of `degraded_val`, spoilt by fixed formulas and measured against the *clean* pair; `clean` is the same pairs
unspoilt. A trained model has three rows: the right task for each degraded picture, no prompt, and a wrong prompt
(another task of the same modality).

"""
RESTORED = """## Restored single pictures

Each degraded picture restored by its prompt, without fusion. PSNR (dB) and SSIM against the clean picture; SD, the
standard deviation, tells the contrast. For sr4 and sr8 the degraded picture *is* the bicubic enlargement.

"""
ROUTING = """## Free sentences

Sentences of the prompt bank whose templates were in no training sentence (its splits `val` and `test`). Right means:
this modality gets the task of the sentence, the others are kept as they are.

"""


@dataclass
class Measured:
    """A table with its numbers: own rows, and all rows with the published ones, best mean rank first."""

    table: Table
    pairs: int
    own: Means
    published: Means

    def __post_init__(self) -> None:
        joined = self.own | {m: row for m, row in self.published.items() if m not in self.own}
        methods = [m for m in joined if not _asked_otherwise(m)]
        self.ranks = report.mean_ranks({m: joined[m] for m in methods}, rounded=True)
        for row in joined.keys() - self.ranks.keys():
            model = row.partition(', ')[0]
            in_its_place = {m: joined[row if m == model else m] for m in methods}
            self.ranks[row] = report.mean_ranks(in_its_place, rounded=True)[model]
        self.rows = {m: joined[m] for m in sorted(joined, key=self.ranks.__getitem__)}

    def markdown(self, names: Iterable[str], columns: Sequence[str] = RANKED_METRICS) -> str:
        """Title, table, and for each of `names` its place and the metrics in the bottom third of all rows."""
        lines = [f'### {self.table.title}, {self.pairs}\n', report.format_table(self.rows, columns, ranks=self.ranks)]
        for name in names:
            methods = {m: row for m, row in self.rows.items() if not _asked_otherwise(m)}
            places = {c: report.mean_ranks(methods, [c], rounded=True)[name] for c in RANKED_METRICS}
            low = [column for column, place in places.items() if place > 2 * len(methods) / 3]
            place = 1 + sum(self.ranks[m] < self.ranks[name] for m in methods)
            lines.append(f'{name}: place {place} of {len(methods)}; in the bottom third: {", ".join(low) or "none"}.\n')
        return '\n'.join(lines) + '\n'

    def compared(self) -> tuple[int, list[str]]:
        """Numbers that independent code measured as well: how many, and which differ in the printed digits."""
        count, differing = 0, []
        for method, row in self.published.items():
            for column, other in row.items():
                own = self.own.get(method, {}).get(column)
                if own is None:
                    continue
                count += 1
                digits = card_of(column).decimals
                if abs(own - other) > 0.5 * 10**-digits + 1e-9:
                    where = f'{column} of {method}, {self.table.title}'
                    differing.append(f'{where} ({own:.{digits + 1}f} here, {other:.{digits}f} there)')
        return count, differing


def _asked_otherwise(row: str) -> bool:
    """Whether the row shows what a model makes of no prompt or a wrong one."""
    return row.endswith(tuple(f', {prompt}' for prompt in OTHER_PROMPTS))


def at_a_glance(tables: Sequence[Measured], names: Sequence[str]) -> str:
    """Mean rank of every row in every table, trained models first, and what follows for these."""
    titles = [m.table.title.split('/')[0] for m in tables]
    own = dict.fromkeys(row for m in tables for row in m.own if row not in BASELINES)
    rows = [*own, *(row for row in dict.fromkeys(row for m in tables for row in m.ranks) if row not in own)]
    ranks = {row: {t: m.ranks.get(row, np.nan) for t, m in zip(titles, tables, strict=True)} for row in rows}
    text = report.format_table(ranks, titles, higher_is_better=False)
    for name in names:
        others = [min(rank for row, rank in m.ranks.items() if row not in own) for m in tables]
        ahead = sum(m.ranks[name] < other for m, other in zip(tables, others, strict=True))
        text += (
            f'\n{name}: better mean rank than every published network and baseline in {ahead} of {len(tables)} tables'
        )
        alone = [report.mean_ranks(m.published | {name: m.own[name]}, rounded=True) for m in tables if m.published]
        first = sum(ranks.pop(name) < min(ranks.values()) for ranks in alone)
        text += f', of `docs/targets.csv` alone in {first} of {len(alone)}' if alone else ''
        for other in OTHER_PROMPTS:
            rows = (name, f'{name}, {other}')
            both = [m for m in tables if rows[1] in m.ranks]
            better = sum(m.ranks[rows[0]] < m.ranks[rows[1]] for m in both)
            pairs = [report.mean_ranks({row: m.own[row] for row in rows}, rounded=True) for m in both]
            head = sum(ranks[rows[0]] < ranks[rows[1]] for ranks in pairs)
            text += (
                f'; than with {other} in {better} of {len(both)} ({head} if these two alone are ranked)' if both else ''
            )
        text += '.\n'
    return text


def agreement(tables: Sequence[Measured]) -> str:
    """What independent measurements of the same rows say."""
    count = sum(m.compared()[0] for m in tables)
    differing = [line for m in tables for line in m.compared()[1]]
    if not count:
        return ''
    others = f'; the others are {"; ".join(differing)}' if differing else ''
    agreeing = f'{count - len(differing)} agree to the printed digit'
    return f'Of {count} numbers that independent code measured as well, {agreeing}{others}. {WHY_MAX}\n'


def measure_tables(methods: Sequence[Method], root: Path, limit: int | None, cache: Cache) -> list[Measured]:
    """Every table whose pictures are on disk."""
    measured, missing = [], set()
    for table in [*vanilla_tables(), *map(degraded_table, CONDITIONS)]:
        absent = {folder for folder in table.folders() if not (root / folder).is_dir()}
        missing |= absent
        if not absent:
            published = read_means(TARGETS, table.published) if table.published else {}
            own = measure_fused(table, methods, root, limit, cache)
            measured.append(Measured(table, len(table.pairs(root, limit)), own, published))
    for folder in sorted(missing):
        print(f'left out, not found: {root / folder}')
    if not measured:
        raise FileNotFoundError(f'none of the sets is below {root}; --data-root or $LUREFUSION_DATA sets another root')
    return measured


def build(models: Sequence[str], root: Path, limit: int | None, out: Path) -> str:
    """The whole page."""
    cache = Cache(out.with_suffix('.json'))
    baselines, trained = load_methods(models)
    names = [method.name for method in trained]
    measured = measure_tables([*baselines, *trained], root, limit, cache)
    prompted = [method for method in trained if method.fuser.router]
    folders = {folder for m in measured for folder in m.table.folders()}
    restored = {
        name.replace('_', ' ') + (f', {method.name}' if len(trained) > 1 else ''):
            measure_restored(method, name, root, limit, cache)
        for name in TASKS if degraded_table(name).folders() <= folders for method in prompted
    }  # fmt: skip
    routing = {row: values for method in prompted for row, values in measure_routing(method).items()}

    command = ' '.join([*models, f'--out {out}', *([f'--quick {limit}'] if limit else [])])
    text = INTRODUCTION.format(command=command, names=' and '.join(f'`{name}`' for name in names))
    if limit:
        text += f'\n**A quick look at {limit} pairs of each set: not comparable with the published rows.**\n'
    beside = [m for m in measured if m.table.published or m.table.tasks]
    text += f'\n## Mean ranks at a glance\n\n{at_a_glance(beside, names)}\n## Pictures as they are\n\n'
    for m in measured:
        text += DEGRADED if m.table.title == 'clean' else ''
        whole = m.table.inputs == m.table.clean and m.table.title != 'clean'
        details = (PUBLISHED_DETAILS if m.published else DETAILS) if whole else ()
        text += m.markdown(names, [*RANKED_METRICS, *details])
    text += '' if limit else agreement(measured)
    if restored:
        table = report.format_table(restored, RESTORED_COLUMNS, mark=False)
        text += f'\n{RESTORED}{table.replace("method", "picture", 1)}'
    if routing:
        table = report.format_table(routing, list(next(iter(routing.values()))), mark=False)
        text += f'\n{ROUTING}{table.replace("method", "model, modality", 1)}'
    return f'{text}\n## Columns\n\n{report.describe_metrics(FUSION_METRICS)}'


def run(args: argparse.Namespace) -> None:
    """Measure what is new, and write the page."""
    write_bytes(args.out, build(args.models, args.data_root, args.quick, args.out).encode())
    print(args.out)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('models', nargs='*', default=['lure-tiny'], metavar='[NAME=]MODEL', help='default: lure-tiny')
    parser.add_argument('--data-root', type=Path, default=Path(os.environ.get('LUREFUSION_DATA', 'data')))
    parser.add_argument('--out', type=Path, default=Path('docs/benchmark.md'), help='the page; the JSON lies beside it')
    parser.add_argument('--quick', type=int, nargs='?', const=2, metavar='N', help='only N pairs of each set (2)')
    return exit_code(run, parser.parse_args())


if __name__ == '__main__':
    sys.exit(main())
