"""SIGTERM and SIGKILL at random moments of every command; given again, it ends with the result of the unbroken run.

    LUREFUSION_KILLS=6 LUREFUSION_FAULTS=faults.json pytest -m faults tests/test_faults

The moments are drawn from the processor time of the unbroken run, by seed. The commands run in forked processes, with
everything imported, so that no kill is wasted on the start of Python.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

# what the forked commands would import each for itself
import lurefusion.apis
import lurefusion.engine.hooks
import lurefusion.engine.keeping
import lurefusion.engine.loops
import lurefusion.engine.pipeline
import lurefusion.engine.test
import lurefusion.evaluation.evaluate  # noqa: F401
from lurefusion.cli import main
from lurefusion.datasets.scenes import render_scene
from lurefusion.io.images import write_bytes, write_image
from lurefusion.weights import read_weights

pytestmark = pytest.mark.faults
KINDS = [signal.SIGKILL, signal.SIGTERM]
AVERAGE = ['--model', 'lurefusion::baselines/average_ir_vi.py', '--device', 'cpu']
KILLS = int(os.environ.get('LUREFUSION_KILLS') or 6)


def same_files(*patterns: str):
    """The same files of these kinds, byte by byte."""

    def compare(whole: Path, broken: Path) -> None:
        names = [sorted(p.relative_to(f) for x in patterns for p in f.glob(x)) for f in (whole, broken)]
        assert names[0]
        assert names[0] == names[1]
        for name in names[0]:
            assert (whole / name).read_bytes() == (broken / name).read_bytes(), name

    return compare


def same_weights(*names: str):
    def compare(whole: Path, broken: Path) -> None:
        for name in names:
            first, second = read_weights(whole / name)[0], read_weights(broken / name)[0]
            assert first.keys() == second.keys()
            assert all(torch.equal(first[key], second[key]) for key in first), name

    return compare


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Eight rendered pairs."""
    for number in range(8):
        scene = render_scene(number, (96, 128))
        for role, image in (('vi', scene.visible), ('ir', scene.infrared)):
            write_image(tmp_path / role / f'{number}.png', image)
    return tmp_path


#: after what in the log, and within which part of the whole time
MOMENTS = (
    ('', 0.2),
    ('stage 1 of 2', 0.4),
    ('stage 2 of 2', 0.05),
    (r'stage 2 of 2.*Iter\(train\)', 0.1),
)


def training_phase(log: str) -> str:
    if 'stage 1 of 2' not in log:
        return 'train: checks of the data'
    if 'stage 2 of 2' not in log:
        return 'train: stage 1'
    second = log[log.index('stage 2 of 2') :]
    return 'train: stage 2' if 'Iter(train)' in second else 'train: hand-over between the stages'


@pytest.mark.parametrize('kind', KINDS)
def test_training(pipeline, killing, kind):
    def work(folder: Path, resume: bool) -> int:
        words = ['train', str(pipeline), '--work-dir', str(folder / 'run')]
        return main(words + ['--resume'] * resume)

    compare = same_weights('run/small_stage1/iter_6.pth', 'run/small_stage2/iter_4.pth')
    killing('train', work, compare, kind, 2 * KILLS, 1, training_phase, after=MOMENTS)


@pytest.mark.parametrize('kind', KINDS)
def test_testing(pipeline, killing, kind):
    """Weights that are measured on the test sets of a config."""

    def work(folder: Path, again: bool) -> int:
        from lurefusion.config import load_stages
        from lurefusion.registry import MODELS

        weights = folder.parent / 'weights.pth'
        if not weights.is_file():
            torch.manual_seed(0)
            import lurefusion.models  # noqa: F401

            model = MODELS.build(load_stages(pipeline)[1][-1].model)
            torch.save(dict(state_dict=model.state_dict()), weights)
        return main(['test', str(pipeline), str(weights), '--work-dir', str(folder / 'test')])

    def compare(whole: Path, broken: Path) -> None:
        first, second = (json.loads((folder / 'test/metrics.json').read_text()) for folder in (whole, broken))
        for metrics in (first, second):
            for key in [key for key in metrics if 'time' in key]:
                metrics.pop(key)
        assert first == second
        same_files('test/fused/*/*.png')(whole, broken)

    killing('test', work, compare, kind, KILLS, 3)


@pytest.mark.parametrize('kind', KINDS)
def test_fusing_a_folder(pairs, killing, kind):
    def work(folder: Path, again: bool) -> int:
        words = ['--vi', str(pairs / 'vi'), '--ir', str(pairs / 'ir'), '--out', str(folder / 'out')]
        return main(['fuse', *words, '--model', 'lure-fast', '--device', 'cpu'])

    killing('fuse: a folder', work, same_files('out/*.png'), kind, KILLS, 4)


@pytest.mark.parametrize('kind', KINDS)
def test_fusing_a_folder_by_shards(pairs, killing, kind):
    """One of two processes dies while the other one works on."""

    def shard(folder: Path, number: int) -> int:
        words = ['--vi', str(pairs / 'vi'), '--ir', str(pairs / 'ir'), '--out', str(folder / 'out')]
        return main(['fuse', *words, '--model', 'lure-fast', '--device', 'cpu', '--shard', f'{number}/2'])

    def work(folder: Path, again: bool) -> int:
        other = os.fork()
        if other == 0:
            until = time.monotonic() + 120
            # that of the former try may still be at it, and holds the shard
            while (code := shard(folder, 2)) and time.monotonic() < until:
                time.sleep(0.2)
            os._exit(code)
        code = shard(folder, 1)
        return code or os.waitstatus_to_exitcode(os.waitpid(other, 0)[1])

    killing('fuse: a folder by two shards', work, same_files('out/*.png'), kind, KILLS, 5)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('out', ['clip.mp4', 'frames'])
def test_fusing_a_clip(pairs, killing, kind, out):
    pytest.importorskip('av')

    from lurefusion.io.images import read_image
    from lurefusion.io.video import open_writer

    for role in ('vi', 'ir'):
        with open_writer(pairs / f'{role}.mkv', (128, 96), codec='ffv1', pixel_format='gray') as writer:
            for number, path in enumerate(sorted((pairs / role).iterdir()) * 3):
                writer.write(read_image(path)[0][..., 0], number / 25, '')

    def work(folder: Path, again: bool) -> int:
        words = ['--vi', str(pairs / 'vi.mkv'), '--ir', str(pairs / 'ir.mkv'), '--out', str(folder / out)]
        return main(['fuse', *words, *AVERAGE])

    pattern = 'clip.mp4' if out == 'clip.mp4' else 'frames/*.png'
    name = 'fuse: a clip into a video' if out == 'clip.mp4' else 'fuse: a clip into frames'
    killing(name, work, same_files(pattern), kind, KILLS, 5)


@pytest.mark.parametrize('kind', KINDS)
def test_evaluating(pairs, killing, kind):
    def work(folder: Path, again: bool) -> int:
        words = ['--vi', str(pairs / 'vi'), '--ir', str(pairs / 'ir'), '--metrics', 'EN', 'SD', 'CC', 'MI']
        return main(['eval', f'it={pairs / "vi"}', *words, '--out', str(folder / 'report')])

    killing('eval', work, same_files('report/*.csv', 'report/*.md'), kind, KILLS, 6)


@pytest.mark.parametrize('kind', KINDS)
def test_exporting(killing, kind):
    pytest.importorskip('onnxruntime')

    def work(folder: Path, again: bool) -> int:
        return main(['export', '--model', 'lure-fast', '--out', str(folder / 'fast.onnx')])

    killing('export', work, same_files('*.onnx'), kind, max(KILLS // 2, 2), 7)


STAND_IN = """
import json, pathlib, sys, time
words = sys.argv[1:]
folder = pathlib.Path(words[words.index('--work-dir') + 1])
folder.mkdir(parents=True, exist_ok=True)
time.sleep(0.05)
if words[0] == 'test':
    folder.joinpath('metrics.json').write_text(json.dumps({'LC_dev/NIQE': 5.0, 'LC_dev/time': 1}))
"""


@pytest.mark.parametrize('kind', KINDS)
def test_a_study_of_ablations(pipeline, killing, kind, tmp_path, monkeypatch):
    """Its trainings and tests are programs that take their time: what is tested is the study."""
    from lurefusion.cli import exit_code
    from lurefusion.studies.ablation import Study, format_results, plan_jobs, read_results, run_jobs

    (tmp_path / 'programs').mkdir()
    (tmp_path / 'programs' / 'stand_in.py').write_text(STAND_IN)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path / 'programs'))

    def study(folder: Path) -> None:
        plan = Study(folder / 'study', module='stand_in')
        jobs = plan_jobs([str(pipeline)], [0, 1, 2], plan)
        failed = run_jobs(jobs, plan)
        if failed:
            raise ValueError(str(failed))
        write_bytes(folder / 'table.md', format_results(read_results(jobs)).encode())

    killing(
        'ablation', lambda folder, again: exit_code(study, folder), same_files('table.md', 'study/*/*/test/*.json'),
        kind, KILLS, 8, wall=True,
    )  # fmt: skip


@pytest.mark.parametrize('kind', KINDS)
def test_a_cross_validation(killing, kind, tmp_path, monkeypatch):
    """With a stand-in for the segmentation network; folds, pictures, fusing and the report are the real ones."""
    from lurefusion.cli import exit_code
    from lurefusion.downstream import networks
    from lurefusion.studies.cross_validation import CrossValidation

    classes, palette = tuple('abcdefghi'), [(number, 0, 0) for number in range(9)]
    data = dict(type='FusionPairDataset', data_prefix={role: str(tmp_path / role) for role in ('vi', 'ir', 'label')})
    for number, name in enumerate(('00001D', '00002D', '00020D', '00021D', '00040N')):
        scene = render_scene(number, (32, 48))
        for role, image in (('vi', scene.visible), ('ir', scene.infrared), ('label', scene.label)):
            write_image(tmp_path / role / f'{name}.png', image)

    def run_child(job: dict) -> list | None:
        if job['mode'] == 'check':
            return [
                dict(pictures=dict(classes=classes, palette=palette), inputs=['fused'], settings='s', pretrained=None)
            ]
        time.sleep(0.02)
        out, run = Path(job['evaluations'][0]['out']), Path(job['work_dir'])
        for _, name in job['test']:
            write_image(out / 'predictions' / f'{name}.png', np.zeros((32, 48), np.uint8))
        lines = [json.dumps(dict(step=step, loss=1 / step)) for step in (1, 2, 3, 4)]
        write_bytes(run / '0' / 'vis_data' / 'scalars.json', '\n'.join(lines).encode())
        confusion = (np.eye(9, dtype=int) * (1 + job['seed'])).tolist()
        write_bytes(out / 'scores.json', json.dumps(dict(classes=classes, confusion=confusion)).encode())
        return None

    monkeypatch.setattr(networks, 'run_child', run_child)
    monkeypatch.setattr(networks, 'require_segmentation', lambda: None)

    def study(folder: Path) -> None:
        inputs = dict(infrared='ir', average='lurefusion::baselines/average_ir_vi.py')
        task = 'lurefusion::segmentation/segformer_demo.py'
        plan = CrossValidation(task, data, inputs, folder / 'work', folds=2, seeds=(0, 1), gap=5)
        plan.run()
        plan.report(folder / 'report.md')

    compare = same_files('report.md', 'work/results.json', 'work/strips/*/*.png')
    killing('cross-validation', lambda folder, again: exit_code(study, folder), compare, kind, KILLS, 9, wall=True)


def test_the_first_moments_of_a_real_process(tmp_path, tally):
    """From the start of Python on: whole interpreters, not forked ones."""
    rng = np.random.default_rng(10)
    for role in ('vi', 'ir'):
        write_image(tmp_path / role / '0.png', np.full((32, 48), 99, np.uint8))
    words = ['--vi', str(tmp_path / 'vi'), '--ir', str(tmp_path / 'ir'), '--out', str(tmp_path / 'out'), *AVERAGE]
    command = [sys.executable, '-m', 'lurefusion', 'fuse', *words]
    for kind in KINDS:
        for moment in rng.uniform(0, 3, 3):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(moment)
            process.send_signal(kind)
            process.wait()
            if process.returncode:
                tally.injected['start of a process', kind.name] += 1
                tally.survived['start of a process', kind.name] += 1
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert [path.name for path in (tmp_path / 'out').glob('*.png')] == ['0.png']
