"""Studies of several configs and seeds: what is run, skipped, tried again, waited for; and the table."""

import fcntl
import importlib.util
import json
import multiprocessing
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config

from lurefusion.studies import ablation
from lurefusion.studies.ablation import Study, describe_plan, format_results, plan_jobs, read_results, run_jobs

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
TRAIN = """
import pathlib, sys, time
words = sys.argv[2:]
folder = pathlib.Path(words[words.index('--work-dir') + 1])
calls = pathlib.Path('calls.txt').open('a')
print(folder, 'starts', file=calls, flush=True)
time.sleep(float(pathlib.Path('sleep').read_text()) if pathlib.Path('sleep').exists() else 0)
if 'bad' in words[0] and not pathlib.Path('mended').exists():
    sys.exit('boom: this network does not like that')
for stage in ('small_stage1', 'small_stage2'):
    logs = folder / stage / '2026' / 'vis_data'
    logs.mkdir(parents=True, exist_ok=True)
    logs.joinpath('scalars.json').write_text('{"step": 2, "time": 30.0, "loss": 1}\\n{"step": 3, "ti')
print(folder, 'ends', *words, file=calls, flush=True)
"""
TEST = """
import json, pathlib, sys
words = sys.argv[2:]
folder = pathlib.Path(words[words.index('--work-dir') + 1])
folder.mkdir(parents=True)
metrics = {'LC_dev/NIQE': 5.0 + ('seed_1' in str(folder)), 'LC_dev/time': 1}
folder.joinpath('metrics.json').write_text(json.dumps(metrics))
"""
MAIN = """
import importlib, sys
importlib.import_module(f'stand_in.{sys.argv[1]}')
"""


@pytest.fixture
def study(small):
    """Programs that only say that they were called, in place of the real ones."""
    Path('stand_in').mkdir()
    for name, text in (('train', TRAIN), ('test', TEST), ('__main__', MAIN)):
        Path('stand_in', f'{name}.py').write_text(text)
    for name in ('using_cc', 'bad'):
        (small / f'{name}.py').write_text("_base_ = './small.py'\noptions = {'model.losses.unified.kind': 'cc'}\n")
    return Study(Path('study'), module='stand_in')


def calls() -> list[str]:
    file = Path('calls.txt')
    return [line.split()[0] for line in file.read_text().splitlines() if ' ends' in line] if file.exists() else []


def test_what_is_done_is_skipped_and_what_failed_is_tried_again(small, study, capsys):
    configs = [str(small / name) for name in ('bad.py', 'using_cc.py')]
    jobs = plan_jobs(configs, [0, 1], study)
    assert [job.name for job in jobs] == ['bad, seed 0', 'using_cc, seed 0', 'bad, seed 1', 'using_cc, seed 1']
    failed = run_jobs(jobs, study)
    assert set(failed) == {'bad, seed 0', 'bad, seed 1'}
    assert 'code 1' in failed['bad, seed 0']
    assert 'boom: this network does not like that' in failed['bad, seed 0']
    assert calls() == ['study/using_cc/seed_0', 'study/using_cc/seed_1']
    Path('mended').touch()
    assert run_jobs(plan_jobs(configs, [0, 1], study), study, parallel=2) == {}
    assert sorted(calls()[2:]) == ['study/bad/seed_0', 'study/bad/seed_1']
    assert 'using_cc, seed 1: done before' in capsys.readouterr().out
    assert read_results(jobs)['bad'] == [{'LC_dev/NIQE': 5, 'LC_dev/time': 1}, {'LC_dev/NIQE': 6, 'LC_dev/time': 1}]


def test_the_training_gets_the_budget_and_the_test_the_columns(small, study):
    study = replace(study, options=('train_dataloader.batch_size=1',), length=0.5, amp=True, probe=True)
    run_jobs(plan_jobs([str(small / 'small.py')], [3], study), study)
    line = Path('calls.txt').read_text().splitlines()[-1]
    for words in (
        '--resume --seed 3 --length 0.5 --amp',
        "batch_size=1 default_hooks.probe={'type': 'LatentProbeHook'}",
    ):
        assert words in line
    settings = json.loads(Path('study/small/seed_3/settings.json').read_text())
    assert settings['stages']['small_stage1']['train_cfg']['max_iters'] == 3


def test_another_setting_is_refused(small, study):
    configs = [str(small / 'using_cc.py')]
    run_jobs(plan_jobs(configs, [0], study), study)
    other = replace(study, options=('model.losses.unified.weight=0.7',))
    with pytest.raises(ValueError, match=r'other settings(.|\n)*unified\.weight: 0\.1 -> 0\.7'):
        plan_jobs(configs, [0, 1], other)
    for changes, message in ((dict(amp=True), 'run.amp: False -> True'), (dict(data_root=str(small)), 'run.data_root')):
        with pytest.raises(ValueError, match=rf'other settings(.|\n)*{message}'):
            plan_jobs(configs, [0], replace(study, **changes))


def test_mistakes_are_named(small, study):
    (small / 'other').mkdir()
    (small / 'other' / 'small.py').write_text("_base_ = '../small_stage2.py'\n")
    with pytest.raises(ValueError, match='several configs are called small'):
        plan_jobs([str(small / 'small.py'), str(small / 'other' / 'small.py')], [0], study)
    with pytest.raises(ValueError, match="got 'ray'"):
        plan_jobs([str(small / 'small.py')], [0], replace(study, launcher='ray'))


def test_what_another_process_has_in_hand_comes_last(small, study):
    jobs = plan_jobs([str(small / 'small.py'), str(small / 'using_cc.py')], [0], study)
    jobs[0].folder.mkdir(parents=True)
    file = (jobs[0].folder / 'lock').open('w')
    fcntl.flock(file, fcntl.LOCK_EX)
    threading.Timer(1.0, file.close).start()
    assert run_jobs(jobs, study) == {}
    assert calls() == ['study/using_cc/seed_0', 'study/small/seed_0']


def test_a_killed_study_leaves_no_two_trainings_in_one_folder(small, study):
    """SIGKILL of the study alone: its training goes on, and the next study waits for it."""
    jobs = plan_jobs([str(small / 'small.py')], [0], study)
    Path('sleep').write_text('2')
    process = multiprocessing.get_context('fork').Process(target=run_jobs, args=(jobs, study))
    process.start()
    end = time.monotonic() + 60
    while not Path('calls.txt').exists() and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not jobs[0].done
    assert run_jobs(jobs, study) == {}
    order = [line.split()[1] for line in Path('calls.txt').read_text().splitlines()]
    assert order == ['starts', 'ends', 'starts', 'ends']
    assert jobs[0].done


def test_dry_run_says_what_and_how_long(small, study):
    configs = [str(small / 'small.py'), str(small / 'using_cc.py')]
    jobs = plan_jobs(configs, [0, 1], study)
    run_jobs(jobs[:1], study)
    checkpoint = Path('study/small/seed_1/small_stage1/iter_2.pth')
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    lines = describe_plan(plan_jobs(configs, [0, 1], study), study, parallel=2).splitlines()
    assert lines[0] == 'small, seed 0: done'
    steps = '6 of small_stage1 ({} done) + 4 of small_stage2 (0 done) steps, '
    assert lines[1] == f'using_cc, seed 0: {steps.format(0)}time unknown'
    # ten steps of 30 s, two of them done
    assert lines[2] == f'small, seed 1: {steps.format(2)}4.0 min of training (from logs)'
    assert lines[-1].startswith('to go: 2.0 min with 2 at once (test 0.0 min each, from logs; 2 of unknown length')


def test_command_lines_of_the_launchers():
    line = Study(Path('w'), launcher='slurm', processes=4).command('train', 'c.py', ['a=1'])
    assert line[:2] == ['srun', '--ntasks=4']
    assert line[3:] == ['-m', 'lurefusion', 'train', 'c.py', '--launcher', 'slurm', '--cfg-options', 'a=1']
    line = Study(Path('w'), launcher='pytorch', processes=2, data_root='d').command('test', 'c.py', [])
    assert line[1:4] == ['-m', 'torch.distributed.run', '--nproc_per_node=2']
    assert line[4].startswith('--master_port=')
    assert line[-2:] == ['--data-root', 'd']


def test_the_columns_of_the_table_are_measured():
    fusion = dict(type='FusionMetrics', metrics=('CC', 'SD'))
    cfg = Config(dict(test_evaluator=[[dict(type='NoReferenceIQA'), fusion], [dict(type='FusionMetrics')]]))
    assert ablation._test_options(cfg) == ['test_evaluator.0.1.metrics=[CC,SD,EN,NIQE]']


def test_table_by_hand():
    runs = [{'LC_dev/NIQE': 4.0, 'LL+LC_dev/EN': 7.0, 'LL+LC_dev/PSNR': 20.0, 'LL+LC_dev/time': 9.0},
            {'LC_dev/NIQE': 5.0, 'LL+LC_dev/EN': 7.5, 'LL+LC_dev/PSNR': 22.0, 'LL+LC_dev/time': 9.0}]  # fmt: skip
    text = format_results({'using_cc': runs, 'rule_sum': [runs[0]]})
    lines = text.splitlines()
    assert lines[2] == (
        '| row | LC CLIP-IQA | LC MANIQA | LC NIQE ↓ | OE CLIP-IQA | OE LIQE | OE MANIQA | LL+LC EN | LL+LC SD '
        '| LL+LC CLIP-IQA |'
    )
    assert lines[4] == '| Using CC (n=2) | - | - | 4.500 ± 0.707 | - | - | - | 7.250 ± 0.354 | - | - |'
    assert lines[5] == (
        '| Using CC, as printed | 0.155 | 0.135 | 4.828 | 0.195 | 1.208 | 0.216 | 7.230 | 48.035 | 0.134 |'
    )
    assert lines[6] == '| rule_sum (n=1) | - | - | 4.000 | - | - | - | 7.000 | - | - |'
    assert '| Using CC (n=2) | **7.250 ± 0.354** | **21.00 ± 1.41** |' in text
    assert 'time' not in text
    assert format_results({}) == 'nothing is done yet\n'


@pytest.mark.slow
def test_whole_study_with_the_real_programs(small, capsys):
    spec = importlib.util.spec_from_file_location('ablate', TOOLS / 'ablate.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    arguments = SimpleNamespace(
        configs=[str(small / 'small.py')], scale=None, seeds=[0], work_dir='study', data_root=None, length=0.5,
        cfg_options=[], amp=False, probe=False, launcher='none', processes=1, jobs=1, dry_run=True, time_steps=1,
    )  # fmt: skip
    assert module.run(arguments) == 0
    assert 'from 1 timed steps of each stage' in capsys.readouterr().out
    assert not Path('study').exists()
    arguments.dry_run = False
    assert module.run(arguments) == 0
    assert Path('study/small/seed_0/small_stage2/iter_2.pth').is_file()
    assert '| small (n=1) |' in Path('study/report.md').read_text()
    metrics = json.loads(Path('study/small/seed_0/result.json').read_text())['metrics']
    assert {'clean/PSNR', 'LL/PSNR', 'LL/EN', 'LL/SD', 'LL/NIQE'} <= set(metrics)
    assert module.run(arguments) == 0
    assert 'small, seed 0: done before' in capsys.readouterr().out
