"""Ablations: several configs and seeds, each trained and tested by a process of its own, and one table of them all.

Everything is kept in files, ``<work_dir>/<config>/seed_<n>/``: the run, its logs, `settings.json` and, once it is
tested, `result.json`. So a study that was stopped or killed goes on where it was.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from lurefusion.config import at_data_root, diff_configs, find_config, load_stages, resolve_data_root
from lurefusion.engine import LAUNCHERS
from lurefusion.engine.preflight import check_data
from lurefusion.evaluation.cards import card_of, select_metrics
from lurefusion.evaluation.report import format_table
from lurefusion.io.images import write_bytes
from lurefusion.io.logs import read_scalars
from lurefusion.studies.paper_tables import PAPER_TABLES, PaperTable
from lurefusion.weights import latest_checkpoint

TABLE = PAPER_TABLES[6]
#: name of a config -> row of Table 6
PAPER_ROWS = dict(
    single_stage='Single Stage', using_cc='Using CC', wo_inner_residual='w/o Inner Residual', tga_to_gate='TGA→Gate',
    wo_unified_loss='w/o Unified Loss', wo_rule='w/o Rule', ours='Ours',
)  # fmt: skip
#: what Table 6 prints and can be measured without weights
MEASURED = ('EN', 'SD', 'NIQE')
#: trainings and tests that are running
_CHILDREN: set[subprocess.Popen] = set()
PROBE = "default_hooks.probe={'type': 'LatentProbeHook'}"


@dataclass(frozen=True)
class Study:
    """What all jobs share.

    Attributes:
        work_dir: Folder of the study.
        options: Overrides, KEY=VALUE.
        data_root: Root of relative data folders.
        length: Factor on every count of training steps: one budget for all.
        launcher: Of MMEngine, for every training and test.
        processes: Of one job, with a launcher.
        amp: Mixed precision.
        probe: Record latents, see `LatentProbeHook`.
        module: `python -m MODULE train ...` trains, `python -m MODULE test ...` tests.
    """

    work_dir: Path
    options: tuple[str, ...] = ()
    data_root: str | None = None
    length: float = 1.0
    launcher: str = 'none'
    processes: int = 1
    amp: bool = False
    probe: bool = False
    module: str = 'lurefusion'

    def train_options(self) -> list[str]:
        """Overrides of the training."""
        return [*self.options, *([PROBE] if self.probe else [])]

    def command(self, task: str, config: str, options: Sequence[str], *arguments: str) -> list[str]:
        """The command line that trains or tests."""
        start = {
            'none': [sys.executable],
            'pytorch': [sys.executable, '-m', 'torch.distributed.run', f'--nproc_per_node={self.processes}',
                        f'--master_port={_free_port()}'],
            'slurm': ['srun', f'--ntasks={self.processes}', sys.executable],
            'mpi': ['mpirun', '-np', str(self.processes), sys.executable],
        }[self.launcher]  # fmt: skip
        line = [*start, '-m', self.module, task, config, *arguments, '--launcher', self.launcher]
        line += ['--data-root', self.data_root] if self.data_root else []
        return [*line, *(['--cfg-options', *options] if options else [])]


def _free_port() -> int:
    """Several jobs may run at once on one machine."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


@dataclass(frozen=True, eq=False)
class Job:
    """One config with one seed."""

    config: str
    seed: int
    folder: Path
    names: tuple[str, ...]
    stages: tuple[Config, ...]

    @property
    def name(self) -> str:
        """As in messages."""
        return f'{self.folder.parent.name}, seed {self.seed}'

    @property
    def done(self) -> bool:
        """Whether it is trained and tested."""
        return (self.folder / 'result.json').is_file()

    def run_folders(self) -> list[Path]:
        """Where `train` puts each stage."""
        single = len(self.names) == 1 and self.names[0] == find_config(self.config).stem
        return [self.folder if single else self.folder / name for name in self.names]

    def steps(self) -> list[int]:
        """Training steps of each stage; none for what does not train."""
        return [cfg.train_cfg.max_iters for cfg in self.stages if cfg.get('train_cfg')]

    def steps_done(self) -> list[int]:
        """Of them, those that a resumed training would not repeat."""
        newest = [latest_checkpoint(folder) for folder in self.run_folders()]
        return [int(path.stem.removeprefix('iter_')) if path else 0 for path in newest]


def plan_jobs(configs: Sequence[str], seeds: Sequence[int], study: Study) -> list[Job]:
    """Every config with every seed, seed by seed: a study that is stopped early has whole columns.

    Raises:
        ValueError: If two configs have one name, an option is out of range, or a folder of the study holds a run with
            other settings.
        MissingDataError: If data of any of them is missing.
    """
    stems = [find_config(config).stem for config in configs]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise ValueError(f'several configs are called {", ".join(twice)}; give each study a --work-dir of its own')
    if study.launcher not in LAUNCHERS or study.processes < 1:
        raise ValueError(
            f'launcher must be one of {", ".join(LAUNCHERS)} and processes at least 1; got {study.launcher!r} and '
            f'{study.processes}'
        )
    jobs = []
    for stem, config in zip(stems, configs, strict=True):
        with at_data_root(study.data_root):
            names, cfgs = load_stages(config, study.train_options(), length=study.length)
            check_data([cfg for cfg in cfgs if cfg.get('train_cfg')])
        for seed in dict.fromkeys(seeds):
            jobs.append(Job(config, seed, study.work_dir / stem / f'seed_{seed}', tuple(names), tuple(cfgs)))
    jobs.sort(key=lambda job: list(seeds).index(job.seed))
    for job in jobs:
        _check_settings(job, study)
    return jobs


def run_jobs(jobs: Sequence[Job], study: Study, parallel: int = 1) -> dict[str, str]:
    """Train and test what is not done; a failure does not stop the rest.

    Returns:
        Name of the job -> what went wrong, of those that failed.
    """
    pool = ThreadPoolExecutor(max(1, parallel))
    try:
        outcome = dict(zip(jobs, pool.map(lambda job: _run_job(job, study, wait=False), jobs), strict=True))
        # what another process has in hand, after everything else
        busy = [job for job, error in outcome.items() if error is None]
        outcome |= zip(busy, pool.map(lambda job: _run_job(job, study, wait=True), busy), strict=True)
    except KeyboardInterrupt:
        # also by SIGTERM, which the children do not get as they get Ctrl-C of the terminal
        pool.shutdown(wait=False, cancel_futures=True)
        for child in list(_CHILDREN):
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return {job.name: error for job, error in outcome.items() if error}


def _run_job(job: Job, study: Study, wait: bool) -> str | None:
    """What went wrong, '' for nothing; None if another process works on it and we do not wait."""
    while True:
        with _locked(job.folder) as lock:
            if lock is not None:
                return _run_locked(job, study, lock)
        if not wait:
            print(f'{job.name}: another process works on it', flush=True)
            return None
        time.sleep(2)


def _run_locked(job: Job, study: Study, lock: int) -> str:
    if job.done:
        print(f'{job.name}: done before', flush=True)
        return ''
    write_bytes(job.folder / 'settings.json', _settings(job, study).encode())
    began = time.monotonic()
    if job.steps():
        arguments = ['--work-dir', str(job.folder), '--resume', '--seed', str(job.seed), '--length', str(study.length)]
        line = study.command('train', job.config, study.train_options(), *arguments, *['--amp'] * study.amp)
        if error := _call(line, job, 'train.log', lock):
            return error
    trained = time.monotonic()
    weights = [str(job.run_folders()[-1])] if job.steps() else []
    arguments = [*weights, '--work-dir', str(job.folder / 'test')]
    options = [*study.options, *_test_options(job.stages[-1])]
    if error := _call(study.command('test', job.config, options, *arguments), job, 'test.log', lock):
        return error
    ended = time.monotonic()
    metrics = json.loads((job.folder / 'test' / 'metrics.json').read_text())
    result = dict(config=job.config, seed=job.seed, test_seconds=ended - trained, metrics=metrics)
    write_bytes(job.folder / 'result.json', json.dumps(result, indent=1).encode())
    print(f'{job.name}: trained in {_minutes(trained - began)}, tested in {_minutes(ended - trained)}', flush=True)
    return ''


def _call(line: Sequence[str], job: Job, log: str, lock: int) -> str:
    """Run a command, its output into a log; the last lines of the log if it fails."""
    path = job.folder / log
    print(f'{job.name}: {" ".join(line)} > {path}', flush=True)
    with path.open('a') as file:
        # the child keeps the lock: should we be killed, nobody starts a second training beside it
        child = subprocess.Popen(line, stdout=file, stderr=subprocess.STDOUT, pass_fds=(lock,))
        _CHILDREN.add(child)
        code = child.wait()
        _CHILDREN.discard(child)
    if code == 0:
        return ''
    tail = ' | '.join(text.strip() for text in path.read_text(errors='replace').splitlines()[-3:])
    print(f'{job.name}: FAILED with code {code}, see {path}: {tail}', flush=True)
    return f'code {code}, see {path}: {tail}'


@contextmanager
def _locked(folder: Path) -> Iterator[int | None]:
    folder.mkdir(parents=True, exist_ok=True)
    file = os.open(folder / 'lock', os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield file
    finally:
        os.close(file)


def _settings(job: Job, study: Study) -> str:
    stages = {name: cfg.to_dict() for name, cfg in zip(job.names, job.stages, strict=True)}
    with at_data_root(study.data_root):
        run = dict(amp=study.amp, processes=study.processes, data_root=str(Path(resolve_data_root('.')).resolve()))
    return json.dumps(dict(seed=job.seed, run=run, stages=stages), indent=1, default=str)


def _check_settings(job: Job, study: Study) -> None:
    path = job.folder / 'settings.json'
    if not path.is_file():
        return
    old, new = json.loads(path.read_text()), json.loads(_settings(job, study))
    # files of former versions do not say it
    old.setdefault('run', new['run'])
    if different := diff_configs(old, new):
        rows = '\n'.join(f'  {key}: {before!r} -> {after!r}' for key, before, after in different[:5])
        raise ValueError(f'{job.folder} holds a run with other settings; take another --work-dir. First keys:\n{rows}')


def _test_options(cfg: Config) -> list[str]:
    """Overrides that let the test measure the columns of the table."""
    options = []
    for i, metrics in enumerate(cfg.test_evaluator):
        for j, metric in enumerate(metrics if isinstance(metrics, (list, tuple)) else [metrics]):
            if metric['type'] == 'FusionMetrics':
                columns = select_metrics(metric.get('metrics', 'all'))
                if lacking := [name for name in MEASURED if name not in columns]:
                    place = f'{i}.{j}' if isinstance(metrics, (list, tuple)) else f'{i}'
                    options.append(f'test_evaluator.{place}.metrics=[{",".join([*columns, *lacking])}]')
    return options


# ---------------------------------------------------------------- how long


def describe_plan(jobs: Sequence[Job], study: Study, parallel: int = 1, timed_steps: int = 0) -> str:
    """What would be run and how long it would take, one line per job.

    Seconds per step come from the logs of the same config in this study; where there are none and `timed_steps` is
    above 0, from so many steps trained for this in a temporary folder. Of the test,
    from tests of this study.
    """
    tests = [json.loads((job.folder / 'result.json').read_text())['test_seconds'] for job in jobs if job.done]
    test_seconds = statistics.mean(tests) if tests else None
    lines, total, unknown = [], 0.0, 0
    timed: dict[str, list[float | None]] = {}
    for job in jobs:
        steps, done = job.steps(), job.steps_done()
        if job.done:
            lines.append(f'{job.name}: done')
            continue
        same = [other for other in jobs if other.config == job.config]
        seconds = [_logged_seconds(*folders) for folders in zip(*(other.run_folders() for other in same), strict=True)]
        source = 'from logs'
        if None in seconds and timed_steps and steps:
            if job.config not in timed:
                timed[job.config] = _timed_seconds(job, study, timed_steps)
            seconds, source = timed[job.config], f'from {timed_steps} timed steps of each stage'
        state = ' + '.join(f'{n} of {stage} ({k} done)' for n, k, stage in zip(steps, done, job.names, strict=False))
        if steps and None in seconds:
            unknown += 1
            lines.append(f'{job.name}: {state} steps, time unknown')
            continue
        left = sum(s * (n - k) for s, n, k in zip(seconds, steps, done, strict=False))
        total += left + (test_seconds or 0)
        lines.append(f'{job.name}: {state or "no"} steps, {_minutes(left)} of training ({source})')
    note = f'test {_minutes(test_seconds)} each, from logs' if test_seconds else 'tests not counted'
    note += f'; {unknown} of unknown length' if unknown else ''
    lines.append(f'to go: {_minutes(total / max(1, parallel))} with {max(1, parallel)} at once ({note}; no validation)')
    return '\n'.join(lines)


def _logged_seconds(*folders: Path) -> float | None:
    """Mean seconds per step in the logs of a stage."""
    found = [seconds for folder in folders for _, seconds in _logged_steps(folder)]
    return statistics.mean(found) if found else None


def _timed_seconds(job: Job, study: Study, steps: int) -> list[float | None]:
    """The same from a few steps, without the first; None for a stage that could not be run."""
    options = [f'train_cfg.max_iters={steps + 1}', 'default_hooks.logger.interval=1', 'log_processor.window_size=1']
    with tempfile.TemporaryDirectory() as folder:
        arguments = ['--work-dir', folder, '--no-val', *['--amp'] * study.amp]
        line = study.command('train', job.config, [*study.options, *options], *arguments)
        subprocess.run(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        runs = [Path(folder) / run.relative_to(job.folder) for run in job.run_folders()]
        times = [[seconds for step, seconds in _logged_steps(run) if step > 1] for run in runs]
    return [statistics.median(found) if found else None for found in times]


def _logged_steps(folder: Path) -> Iterator[tuple[int, float]]:
    """(step, seconds per step) of the training in the logs of one run."""
    for row in read_scalars(folder):
        if 'time' in row and 'loss' in row:
            yield row['step'], row['time']


def _minutes(seconds: float) -> str:
    return f'{seconds / 60:.1f} min' if seconds < 5400 else f'{seconds / 3600:.1f} h'


# ---------------------------------------------------------------- the tables


def read_results(jobs: Sequence[Job]) -> dict[str, list[dict[str, Any]]]:
    """Name of the config -> metrics of every seed that is done."""
    results: dict[str, list[dict[str, Any]]] = {}
    for job in jobs:
        if job.done:
            metrics = json.loads((job.folder / 'result.json').read_text())['metrics']
            results.setdefault(job.folder.parent.name, []).append(metrics)
    return results


def format_results(results: Mapping[str, Sequence[Mapping[str, Any]]], table: PaperTable = TABLE) -> str:
    """Table 6 with the paper's numbers below ours, then every metric on every test set; mean ± standard deviation.

    Args:
        results: See `read_results`; keys of the metrics are ``<set>/<metric>``. A column ``LC/...`` of the table is
            looked up in the set `LC`, or one whose name goes on with an underscore, as `LC_dev`.
        table: Layout.
    """
    if not results:
        return 'nothing is done yet\n'
    shown = {name: f'{PAPER_ROWS.get(name, name)} (n={len(runs)})' for name, runs in results.items()}
    rows: dict[str, dict[str, str]] = {}
    for name, runs in results.items():
        row = rows[shown[name]] = {}
        for column in table.columns:
            group, _, metric = column.partition('/')
            keys = [key for key in runs[0] if _set_and_metric(key)[1] == metric]
            keys = [k for k in keys if _set_and_metric(k)[0] == group or k.startswith(f'{group}_')]
            mean, deviation = _over_seeds(runs, keys[0]) if keys else (math.nan, math.nan)
            row[_title(column)] = _cell(mean, deviation)
        if printed := table.rows.get(PAPER_ROWS.get(name, '')):
            titles = [_title(column) for column in table.columns]
            rows[f'{PAPER_ROWS[name]}, as printed'] = dict(zip(titles, printed, strict=True))
    columns = [_title(column) for column in table.columns]
    text = f'## Table 6\n\n{format_table(rows, columns, mark=False, head="row")}\n'
    sets: dict[str, dict[str, None]] = {}
    for runs in results.values():
        for key in runs[0]:
            group, metric = _set_and_metric(key)
            if metric not in ('time', 'data_time'):
                sets.setdefault(group, {})[metric] = None
    for group, metrics in sets.items():
        means: dict[str, dict[str, float]] = {}
        spread: dict[str, dict[str, float]] = {}
        notes: list[str] = []
        for name, runs in results.items():
            values = {metric: _over_seeds(runs, f'{group}/{metric}') for metric in metrics}
            means[shown[name]] = {metric: mean for metric, (mean, _) in values.items()}
            spread[shown[name]] = {metric: deviation for metric, (_, deviation) in values.items()}
            counts = {
                metric: sum(math.isfinite(_value(run, f'{group}/{metric}')) for run in runs) for metric in metrics
            }
            if fewer := [f'{metric} {count}' for metric, count in counts.items() if 0 < count < len(runs)]:
                notes.append(f'{name}: of {len(runs)} seeds have a number: {", ".join(fewer)}.')
        text += f'## {group}\n\n{format_table(means, list(metrics), spread=spread, head="row")}\n'
        text += ''.join(f'{note}\n\n' for note in notes)
    return text


def _set_and_metric(key: str) -> tuple[str, str]:
    group, _, metric = key.partition('/')
    return group, metric


def _over_seeds(runs: Sequence[Mapping[str, Any]], key: str) -> tuple[float, float]:
    """Mean and sample standard deviation; NaN where there is none."""
    values = [value for run in runs if math.isfinite(value := _value(run, key))]
    if not values:
        return math.nan, math.nan
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else math.nan


def _value(run: Mapping[str, Any], key: str) -> float:
    return run[key] if isinstance(run.get(key), (int, float)) else math.nan


def _cell(mean: float, deviation: float) -> str:
    if math.isnan(mean):
        return '-'
    return f'{mean:.3f}' if math.isnan(deviation) else f'{mean:.3f} ± {deviation:.3f}'


def _title(column: str) -> str:
    group, metric = _set_and_metric(column)
    return f'{group} {metric}' if card_of(metric).higher_is_better else f'{group} {metric} ↓'
