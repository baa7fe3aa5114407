"""Measure folders of fused pictures made by any program: the engine of `lurefusion eval`."""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lurefusion.evaluation import report
from lurefusion.evaluation.cards import (
    FIDELITY_METRICS,
    NETWORK_METRICS,
    RANKED_METRICS,
    check_options,
    columns_of,
    compute,
    needing,
    select_metrics,
)
from lurefusion.evaluation.iqa import NetworkScore
from lurefusion.evaluation.metrics import Row, left_out, write_rows
from lurefusion.io.images import COLOURED, colourfulness, decode, read_image, write_bytes, write_image
from lurefusion.io.labels import read_label
from lurefusion.io.pairing import (
    check_output,
    describe_missing,
    different_sizes,
    list_images,
    missing_stems,
    naming_advice,
    refuse_overwrite,
    refuse_same,
)
from lurefusion.io.ranges import parse_range, range_of
from lurefusion.io.shared_range import pictures_of, shared_range
from lurefusion.io.tables import csv_text, read_rows
from lurefusion.ops.layout import image_to_tensor, tensor_to_image
from lurefusion.plugins import load_plugins

StrPath = str | os.PathLike
# what write_report writes
REPORT_FILES = ('report.md', 'report.tex', 'report.csv', 'per_image.csv', 'grid.png')


@dataclass
class Evaluation:
    """Result of :func:`evaluate_folders`.

    Attributes:
        columns: Column titles in table order.
        rows: Method -> one row per image (`name` and the columns).
        warnings: What was left out and why.
        unavailable: Column -> reason, for network scores without weights.
        files: Stem -> role (source or method) -> file, of the pictures that were measured.
        failed: Stem -> what is wrong with it, of those that were not.
        options: Metric -> keywords that it was given.
        level: Coverage of the confidence intervals.
    """

    columns: list[str]
    rows: dict[str, list[Row]]
    warnings: list[str] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)
    files: dict[str, dict[str, Path]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    level: float = 0.95

    def statistics(self) -> dict[str, dict[str, report.Statistic]]:
        """Method -> column -> mean, deviation, interval, count."""
        return {m: report.summarise(rows, self.columns, self.level) for m, rows in self.rows.items()}

    def means(self) -> dict[str, dict[str, Any]]:
        """Method -> column -> mean, or the reason why there is none."""
        return {
            method: {c: self.unavailable.get(c, s.mean) for c, s in stats.items()}
            for method, stats in self.statistics().items()
        }

    def ranks(self) -> dict[str, float] | None:
        """Mean rank per method over the seven ranked metrics that were computed; None for a single method."""
        ranked = _ranked(self.columns)
        return report.mean_ranks(self.means(), ranked) if len(self.rows) > 1 and ranked else None


def _ranked(columns: Sequence[str]) -> list[str]:
    """The ranked metrics among the columns, each in one variant: the standard one, where it is there."""
    names = {c.removesuffix('_paper'): c for c in sorted(columns, key=lambda c: not c.endswith('_paper'))}
    return [names[m] for m in RANKED_METRICS if m in names]


def _pair(
    folders: dict[str, Path], methods: Iterable[str]
) -> tuple[dict[str, dict[str, Path]], list[str], dict[str, str]]:
    """Files of the stems that every folder has, warnings, and stem -> what it lacks where some method has fused it."""
    listings = {role: list_images(folder) for role, folder in folders.items()}
    everything = sorted(set().union(*listings.values()))
    common = [stem for stem in everything if all(stem in files for files in listings.values())]
    if not common:
        shown = '\n'.join(f'  {role} ({folders[role]}): {", ".join(list(f)[:3])}, ...' for role, f in listings.items())
        raise ValueError(f'no file stem is in all folders, so nothing can be paired:\n{shown}{naming_advice(listings)}')
    warnings = describe_missing(missing_stems(listings), folders, len(everything))
    if warnings:
        warnings.append(f'only the {len(common)} stems that every folder has are measured')
    lacking = {
        stem: 'no file in ' + ', '.join(f'{role} ({folders[role]})' for role, f in listings.items() if stem not in f)
        for stem in everything
        if stem not in common and any(stem in listings[method] for method in methods)
    }
    return {stem: {role: files[stem] for role, files in listings.items()} for stem in common}, warnings, lacking


def evaluate_folders(
    fused: Mapping[str, StrPath],
    sources: Mapping[str, StrPath],
    reference: StrPath | None = None,
    metrics: str | Sequence[str] = 'all',
    variant: str = 'standard',
    networks: Sequence[str] = (),
    weights_dir: StrPath = 'weights/iqa',
    options: dict[str, dict] | None = None,
    range_mode: str | Mapping[str, str] | Sequence[str] = 'auto',
    device: str | torch.device = 'cpu',
    level: float = 0.95,
    labels: StrPath | None = None,
) -> Evaluation:
    """Measure one or more folders of fused pictures; all methods on the same images, paired by file stem.

    A picture that cannot be measured (a file is unreadable, cut off, of another size than its partners, has NaN pixels,
    or a partner is missing) is left out for all methods and named in `failed`; the others go on.

    Args:
        fused: Method -> folder with its pictures (png, jpg, bmp, tif; colour or grey).
        sources: Modality -> folder with the pictures that were fused.
        reference: Folder with clean pictures, for `PSNR_ref`, `SSIM_ref` and what else needs one.
        metrics: Names, those of plug-ins too, ``all`` or ``ranked``.
        variant: ``standard``, ``paper`` or ``both``.
        networks: No-reference scores of pyiqa, see `lurefusion.evaluation.cards.NetworkCard`.
        weights_dir: Folder with their weights.
        options: Metric -> keywords of its function.
        range_mode: How sources deeper than 8 bit come to [0, 1], for all or for each, see
            `lurefusion.io.ranges.to_unit_range` and `parse_range`; fused and reference pictures deeper than 8 bit are
            divided by their full range; floats are levels of 0 to 1, or of 0 to 255, slightly beyond cut off.
        device: Where to compute.
        level: Coverage of the bootstrap intervals.
        labels: Folder with class ids, for the metrics that need them.

    Raises:
        FileNotFoundError: If a folder does not exist.
        ValueError: If nothing pairs, fewer than one source is named, names collide, or not one picture can be
            measured (the first reasons are given).
    """
    if not fused or not sources:
        raise ValueError('name at least one folder of fused pictures and one of sources')
    clash = set(fused) & set(sources)
    if clash:
        raise ValueError(f'{", ".join(sorted(clash))} names both a source and a method')
    taken = {'reference', 'label'} & {*fused, *sources}
    if taken:
        raise ValueError(
            f'{", ".join(sorted(taken))} is the name of the clean pictures or of the class ids here: give the folder '
            'another, NAME=DIR'
        )
    refuse_same(sources)
    ranges = parse_range(range_mode, sources)
    names = list(select_metrics(metrics))
    check_options(options or {})
    if reference is not None:
        names += [m for m in FIDELITY_METRICS if m not in names]
    elif needy := needing(names, 'reference'):
        raise ValueError(f'{", ".join(needy)} need the folder of clean references (--ref)')
    if labels is None and (needy := needing(names, 'label')):
        raise ValueError(f'{", ".join(needy)} need the folder of class ids (--labels)')
    folders = {role: Path(folder) for role, folder in (*sources.items(), *fused.items())}
    if reference is not None:
        folders['reference'] = Path(reference)
    if labels is not None:
        folders['label'] = Path(labels)
    pairs, warnings, failed = _pair(folders, fused)
    if len(sources) != 2 and 'SCD' in names and 'SCD' not in ([metrics] if isinstance(metrics, str) else metrics):
        names.remove('SCD')
        warnings.append(f'SCD is left out: it is defined for two sources, and here are {len(sources)}')
    for role in sources:
        if range_of(ranges, role) == 'shared':
            ranges = {**ranges, role: shared_range(pictures_of(files[role] for files in pairs.values())) or 'auto'}
    scores = {name: NetworkScore(name, weights_dir, device) for name in networks}
    columns = [column for column, _, _ in columns_of(names, variant)] + list(scores)
    result = Evaluation(
        columns, {method: [] for method in fused}, warnings, failed=failed, level=level, options=options or {}
    )
    refused: dict[str, list[str]] = {}
    painted: dict[str, list[str]] = {}
    doubts: dict[tuple[str, str], list[str]] = {}
    for stem, files in pairs.items():
        try:
            images = _read(files, {role: range_of(ranges, role) for role in sources}, doubts)
        except (OSError, ValueError) as error:
            failed[stem] = str(error)
            continue
        # the first source may have colours of its own
        for role in list(sources)[1:]:
            spread, few = colourfulness(tensor_to_image(images[role][0]))
            if few and spread >= COLOURED:
                painted.setdefault(role, []).append(str(files[role]))
        images = {role: image.to(device) for role, image in images.items()}
        result.files[stem] = files
        for method in fused:
            values = compute(
                images[method],
                {modality: images[modality] for modality in sources},
                names,
                variant,
                reference=images.get('reference'),
                options=options,
                too_small='nan',
                label=images.get('label'),
            )
            row: Row = {'name': stem} | {column: float(value[0]) for column, value in values.items()}
            for name, score in scores.items():
                picture = images[method]
                picture = picture / 255 if picture.dtype == torch.uint8 else picture
                row[name] = math.nan
                if score.reason is None:
                    try:
                        row[name] = float(score(picture)[0])
                    except (AssertionError, RuntimeError, ValueError) as error:
                        refused.setdefault(name, []).append(f'{files[method]}: {error}')
            result.rows[method].append(row)
    if not result.files:
        shown = '\n'.join(f'  {stem}: {reason}' for stem, reason in list(failed.items())[:5])
        raise ValueError(f'not one of {len(failed)} pictures can be measured:\n{shown}')
    result.unavailable = {name: score.reason for name, score in scores.items() if score.reason}
    every = [row for rows in result.rows.values() for row in rows]
    result.warnings += left_out(every, [c for c in columns if c not in result.unavailable and c not in refused])
    result.warnings += [
        f'{role}: {len(paths)} picture(s) look drawn in a palette, as {paths[0]}: their colours count as brightness'
        for role, paths in painted.items()
    ]
    result.warnings += [f'{role}: of {len(told)} picture(s), as {told[0]}' for (role, _), told in doubts.items()]
    result.warnings += [f'{name}: no score for {len(r)} picture(s), as {r[0]}' for name, r in refused.items()]
    return result


def _read(
    files: Mapping[str, Path], ranges: Mapping[str, str], doubts: dict[tuple[str, str], list[str]]
) -> dict[str, Tensor]:
    """Role -> (1,3,H,W), of the role `label` (1,H,W); (role, what looks wrong in its range) -> files is filled.

    Raises:
        OSError, ValueError: If a file cannot be read, or they differ in size; all are named.
    """
    images, wrong = {}, []
    for role, path in files.items():
        try:
            if role == 'label':
                images[role] = torch.from_numpy(read_label(path))[None]
            else:
                notes: list[str] = []
                picture, _ = read_image(path, ranges.get(role) or _full_range(path), notes)
                for note in notes:
                    # numbers in it are of this picture alone
                    doubts.setdefault((role, re.sub(r'[\d.]+', '#', note)), []).append(f'{path}: {note}')
                images[role] = image_to_tensor(picture)[None].contiguous()
        except (OSError, ValueError) as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError('; '.join(wrong))
    sizes = {role: tuple(image.shape[-2:]) for role, image in images.items()}
    if problem := different_sizes(sizes, files):
        raise ValueError(problem)
    return images


def _full_range(path: Path) -> str:
    """The range of a result or reference; ValueError for floats of which nobody knows what is white."""
    if path.suffix.lower() not in ('.tif', '.tiff'):
        return 'full'
    pixels = decode(path)[0]
    if not np.issubdtype(pixels.dtype, np.floating) or not np.isfinite(pixels).all():
        return 'full'
    low, high = pixels.min(), pixels.max()
    # what filters and networks overshoot is cut off
    if low >= -0.1 and high <= 1.1:
        return '0:1'
    # of so little above 1 nobody can tell whether 1 or 255 is white
    if low >= -25 and 2 < high <= 280:
        return '0:255'
    raise ValueError(f'{path}: floats from {low:g} to {high:g} are no grey levels; save them as 8 or 16 bit')


def read_means(path: StrPath, group: str | None = None) -> dict[str, dict[str, float]]:
    """Method -> column -> number from a CSV with a `method` column, such as docs/targets.csv.

    Args:
        path: The file; columns that are no metrics are left out.
        group: Keep the rows whose `set` is this.

    Raises:
        ValueError: If there is no such column, no row of that group, no column of a metric, several groups and none
            named, or two rows of one method.
    """
    columns, rows = read_rows(Path(path))
    lines = [line for _, line in rows]
    if not lines or 'method' not in columns:
        raise ValueError(f'{path} has no column "method"')
    groups = list(dict.fromkeys(line.get('set') for line in lines))
    if group is not None and group not in groups:
        raise ValueError(f'{path} has no set {group!r}; known: {", ".join(map(str, groups))}')
    if group is None and len(groups) > 1:
        raise ValueError(
            f'{path} has several sets ({", ".join(map(str, groups))}), and one table is of one set: name it '
            f'(--beside-set)'
        )
    means: dict[str, dict[str, float]] = {}
    for number, line in rows:
        if group is None or line.get('set') == group:
            if None in line:
                raise ValueError(f'{path}, line {number}: more cells than the header has columns')
            if line['method'] in means:
                raise ValueError(f'{path}, line {number}: {line["method"]!r} has a row already')
            try:
                means[line['method']] = {c: float(v) for c, v in line.items() if v and report.is_metric(c)}
            except ValueError as error:
                raise ValueError(f'{path}, line {number}: {error}') from None
    if not any(means.values()):
        raise ValueError(f'{path} has no number of a metric; its columns are {", ".join(columns)}')
    return means


def _beside(result: Evaluation, beside: Mapping[str, Mapping[str, float]], style: str) -> str:
    """One table of what was measured and of published figures, ranked together."""
    means = result.means()
    # a method that was run again stands beside what was published of it
    joined = means | {f'{name} (published)' if name in means else name: row for name, row in beside.items()}
    columns = [c for c in result.columns if any(c in row for row in beside.values())]
    ranks = report.mean_ranks(joined, _ranked(columns), rounded=True)
    return report.format_table(joined, columns, style, ranks=ranks, mark=style != 'text')


def format_report(result: Evaluation, beside: Mapping[str, Mapping[str, float]] | None = None) -> str:
    """Markdown report: table of means, rank, intervals, warnings, the meaning of the columns."""
    statistics, means = result.statistics(), result.means()
    count = len(next(iter(result.rows.values())))
    text = [f'# Evaluation of {len(result.rows)} method(s) on {count} image(s)', '']
    notes = [*result.warnings, *(f'left out: {stem}: {reason}' for stem, reason in result.failed.items())]
    text += [f'> {note}' for note in notes] + ([''] if notes else [])
    text += ['Mean over the images that have a finite number; best in bold, second underlined.', '']
    text += [report.format_table(means, result.columns, 'markdown', ranks=result.ranks())]
    if beside:
        text += ['## Beside other methods', '', _beside(result, beside, 'markdown')]
    text += ['## Spread over the images', '', report.format_intervals(statistics, result.columns, result.level)]
    text += ['## Columns', '', report.describe_metrics(result.columns, result.options)]
    return '\n'.join(text)


def write_report(
    result: Evaluation,
    out: StrPath,
    beside: Mapping[str, Mapping[str, float]] | None = None,
    grids: int = 4,
    zoom: float = 2.0,
    box: tuple[int, int, int, int] | None = None,
) -> list[Path]:
    """Write report.md, report.tex, report.csv, per_image.csv and grid.png (evenly chosen scenes) into the folder `out`.

    Returns:
        The files.
    """
    out = Path(out)
    means, ranks = result.means(), result.ranks()
    spread = {m: {c: s.std for c, s in stats.items()} for m, stats in result.statistics().items()}
    latex = report.format_table(means, result.columns, 'latex', spread, ranks)
    contents = {
        'report.md': format_report(result, beside),
        'report.tex': latex,
        'report.csv': _means_csv(result),
    }
    for name, content in contents.items():
        # names of files need not be UTF-8
        write_bytes(out / name, content.encode(errors='surrogateescape'))
    write_rows(out / 'per_image.csv', [{'method': m} | row for m, rows in result.rows.items() for row in rows])
    written = [out / name for name in (*contents, 'per_image.csv')]
    if grids > 0:
        stems = list(result.files)
        chosen = [stems[i] for i in sorted({round(i) for i in np.linspace(0, len(stems) - 1, grids)})]
        sources = {
            role for role in next(iter(result.files.values())) if role not in (*result.rows, 'reference', 'label')
        }
        scenes = [
            {
                role: read_image(path, 'percentile' if role in sources else 'full')[0]
                for role, path in files.items()
                if role != 'label'
            }
            for files in (result.files[stem] for stem in chosen)
        ]
        grid = report.comparison_grid(scenes, [box] * len(scenes), zoom)
        write_image(out / 'grid.png', grid)
        written.append(out / 'grid.png')
    return written


def _means_csv(result: Evaluation) -> str:
    rows = [['method', 'metric', 'n', 'mean', 'std', 'low', 'high']]
    for method, stats in result.statistics().items():
        for column, s in stats.items():
            numbers = [f'{v:.9g}' for v in (s.mean, s.std, s.low, s.high)]
            rows.append([method, column, s.n, *(numbers if column not in result.unavailable else [''] * 4)])
    return csv_text(rows)


def _named(entries: Sequence[str], what: str) -> dict[str, str]:
    named: dict[str, str] = {}
    for entry in entries:
        name, equals, folder = entry.partition('=')
        if not equals or os.path.isdir(entry):
            if what == 'source':
                raise ValueError(f'--source takes NAME=DIR, got {entry!r}')
            name, folder = Path(entry).name or entry, entry
        if not name:
            raise ValueError(f'{entry!r} has no name before its =')
        if name in named:
            raise ValueError(f'two folders are called {name!r}; name them apart: NAME=DIR')
        named[name] = folder
    return named


def _options(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Metric -> option -> value.

    Raises:
        ValueError: If an entry is no METRIC.OPTION=VALUE.
    """
    from lurefusion.config import parse_options

    options: dict[str, dict[str, Any]] = {}
    for key, value in parse_options(args.options).items():
        metric, dot, option = key.partition('.')
        if not dot:
            raise ValueError(f'--options takes METRIC.OPTION=VALUE, got {key}={value}')
        options.setdefault(metric, {})[option] = value
    if args.niqe_parameters:
        options.setdefault('NIQE', {})['parameters'] = args.niqe_parameters
    return options


def run(args: argparse.Namespace) -> int:
    """Carry out `lurefusion eval`: print the table, and write the report when `--out` is given.

    Returns:
        Exit code: 1 if pictures were left out, which are named at the end.
    """
    from lurefusion.runtime.torch_runner import pick_device

    load_plugins(args.plugins)
    if args.grids < 0 or not args.zoom >= 1:
        raise ValueError(f'--grids must be 0 or more and --zoom 1 or more, got {args.grids} and {args.zoom:g}')
    if args.box and (min(args.box[:2]) < 0 or min(args.box[2:]) < 1):
        raise ValueError(f'--box takes X Y WIDTH HEIGHT within the picture, got {" ".join(map(str, args.box))}')
    sources = {name: folder for name, folder in (('vi', args.vi), ('ir', args.ir)) if folder}
    for name, folder in _named(args.source, 'source').items():
        if name in sources:
            raise ValueError(f'the source {name!r} is named twice')
        sources[name] = folder
    if len(sources) < 2:
        raise ValueError(f'name two or more sources (--vi, --ir, --source NAME=DIR), got {list(sources) or "none"}')
    fused = _named(args.fused, 'fused')
    if args.out:
        check_output(args.out, folder=True)
        inputs = [*fused.values(), *sources.values(), *(path for path in (args.ref, args.labels, args.beside) if path)]
        refuse_overwrite([args.out, *(Path(args.out) / name for name in REPORT_FILES)], inputs)
    # what is wrong with it is said before the work
    beside = read_means(args.beside, args.beside_set) if args.beside else None
    metrics = args.metrics[0] if len(args.metrics) == 1 else args.metrics
    networks = NETWORK_METRICS if args.networks == ['all'] else args.networks
    result = evaluate_folders(
        fused,
        sources,
        args.ref,
        metrics,
        args.variant,
        networks,
        args.weights_dir,
        _options(args),
        args.range,
        pick_device(args.device),
        labels=args.labels,
    )
    for warning in result.warnings:
        print(f'warning: {warning}')
    print(report.format_table(result.means(), result.columns, 'text', ranks=result.ranks(), mark=False))
    if beside:
        print(f'beside {args.beside}, whose figures may be of other pictures:\n{_beside(result, beside, "text")}')
    if args.out:
        box = tuple(args.box) if args.box else None
        for path in write_report(result, args.out, beside, args.grids, args.zoom, box):
            print(path)
    if result.failed:
        print(f'{len(result.files)} picture(s) measured, {len(result.failed)} left out:', file=sys.stderr)
        for stem, reason in result.failed.items():
            print(f'  {stem}: {reason}', file=sys.stderr)
    return 1 if result.failed else 0
