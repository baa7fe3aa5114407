"""The pages that say how to add a part are short, and their code runs."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from lurefusion.cli import main
from lurefusion.config import load_config, load_stages
from lurefusion.io.images import read_image, write_image
from lurefusion.registry import MODELS
from lurefusion.structures import FusionDataSample

DOCS = Path(__file__).resolve().parents[1] / 'docs'
KINDS = ('encoder', 'interaction', 'fusion_rule', 'loss', 'degradation', 'dataset', 'modality_pair')
MAX_LINES = 66


def blocks(page: Path) -> list[str]:
    return re.findall(r'^```python\n(.*?)^```$', page.read_text(encoding='utf-8'), flags=re.MULTILINE | re.DOTALL)


def test_every_kind_has_a_page_and_no_page_is_long() -> None:
    pages = {page.stem.removeprefix('add_'): page for page in DOCS.glob('add_*.md')}
    assert set(pages) >= set(KINDS)
    for page in pages.values():
        assert len(page.read_text(encoding='utf-8').splitlines()) <= MAX_LINES, page.name


def commands(page: Path) -> list[str]:
    """Calls of tools, in the text or in blocks of their own."""
    found = re.findall(r'\bpython (tools/[^`\n]+)', page.read_text(encoding='utf-8'))
    assert all(re.fullmatch(r'tools/\w+\.py [\w:/.-]+', command) for command in found), found
    return found


def make_pictures(kind: str, root: Path) -> None:
    """What the pages take for granted: pictures of the two sets, in the folders that they name."""
    if kind != 'modality_pair':
        return
    rng = np.random.default_rng(0)
    for folder in ('LOL/our485/low', 'LOL/our485/high', 'LOL/eval15/low', 'LOL/eval15/high'):
        write_image(root / folder / '1.png', rng.integers(0, 256, (144, 160, 3), np.uint8))
    for name in ('1', '2', '91'):
        write_image(root / f'rgb_nir/train/rgb/{name}.png', rng.integers(0, 256, (144, 160, 3), np.uint8))
        write_image(root / f'rgb_nir/train/nir/{name}.png', rng.integers(0, 256, (144, 160), np.uint8))


@pytest.fixture(scope='module')
def stage_1(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folder of what the first stage of the demo left, by its command: several pages begin with it."""
    return {}


def run(command: str, stage_1: dict[str, Path]) -> None:
    """The command as the page gives it, but three steps of it, of one picture each."""
    tool, config = command.split()
    place = Path('work_dirs') / Path(config.rpartition('::')[2]).stem
    if command in stage_1:
        shutil.copytree(stage_1[command], place)
        return
    length = str(3 / load_stages(config)[1][0].train_cfg.max_iters)
    arguments = [tool, config, '--length', length, '--cfg-options', 'train_dataloader.batch_size=1']
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', arguments)
        assert runpy.run_path(str(DOCS.parent / tool))['main']() == 0, command
    assert (place / 'iter_3.pth').is_file()
    if config.startswith('lurefusion::'):
        stage_1[command] = place.absolute()


@pytest.mark.parametrize('kind', KINDS)
def test_code_and_commands_run_to_their_end(kind: str, forget_plugins: Path, stage_1: dict[str, Path]) -> None:
    """A block whose first line is `# name.py` is that file, the others run one after the other."""
    namespace: dict[str, object] = {}
    ran = 0
    for block in blocks(DOCS / f'add_{kind}.md'):
        name = re.match(r'# (\w+\.py)\n', block)
        if name:
            (forget_plugins / name[1]).write_text(block)
        else:
            exec(compile(block, f'docs/add_{kind}.md', 'exec'), namespace)
            ran += 1
    assert ran, 'nothing of the page was tried'
    assert 'assert' in block, 'a page ends with code that shows that it works'
    make_pictures(kind, forget_plugins / 'data')
    found = commands(DOCS / f'add_{kind}.md')
    assert found, 'a page says how to train with the new part'
    for command in found:
        run(command, stage_1)


def test_a_plug_in_encoder_learns_with_the_papers_losses_and_meets_no_others(forget_plugins: Path) -> None:
    for block in blocks(DOCS / 'add_encoder.md')[:2]:
        (forget_plugins / re.match(r'# (\w+\.py)\n', block)[1]).write_text(block)
    config = load_config('stage1_plain.py').model
    torch.manual_seed(0)
    model = MODELS.build(dict(config, prompts=dict(config.prompts, per_template=1))).train()
    assert set(model.losses) == {'task', 'unified', 'recon', 'text'}
    assert not [part for part in model.modules() if type(part).__module__.endswith('tiny')]
    clean = torch.nn.functional.interpolate(torch.rand(4, 3, 4, 4), (24, 24), mode='bilinear')
    tasks = (('ll', 'vi'), ('hz', 'vi'), ('lc', 'ir'), ('sr', 'ir'))
    samples = [
        FusionDataSample(metainfo=dict(task=task, modality=modality, seed=i))
        for i, (task, modality) in enumerate(tasks)
    ]
    batch = dict(x=torch.tensor([0.2, 0.5, 0.4, 0.8])[:, None, None, None] * clean, y=clean)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    seen = []
    for _ in range(25):
        losses = model(batch, samples, mode='loss')
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        seen.append({name: value.item() for name, value in losses.items()})
    assert all(seen[-1][name] < 0.5 * seen[0][name] for name in ('loss_task', 'loss_recon')), seen[-1]


def test_own_folders_of_the_readme(forget_plugins: Path, capsys: pytest.CaptureFixture) -> None:
    """Word for word, in a folder that holds two folders of pictures and nothing else."""
    text = (DOCS.parent / 'README.md').read_text(encoding='utf-8')
    section = text[text.index('### Your own folders') : text.index('## Results')]
    (block,) = re.findall(r'^```python\n(.*?)^```$', section, flags=re.MULTILINE | re.DOTALL)
    (command,) = re.findall(r'\bpython (tools/[^`\n]+)', section)
    page = (DOCS / 'train.md').read_text(encoding='utf-8')
    assert block in page, 'the page says the same'
    assert f'`python {command}`' in page
    Path('own.py').write_text(block)
    rng = np.random.default_rng(0)
    for name in ('a', 'b'):
        write_image(f'data/mine/visible/{name}.png', rng.integers(0, 256, (144, 160, 3), np.uint8))
        write_image(f'data/mine/thermal/{name}.png', rng.integers(0, 256, (144, 160), np.uint8))
    run(command, {})
    assert 'warning: no validation: FusionPairDataset: no folder' in capsys.readouterr().out


def test_page_on_metrics(
    forget_plugins: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its blocks, then its commands on made pictures: white fused pictures count, whose sources are grey."""
    page = DOCS / 'add_metric.md'
    for block in blocks(page):
        name = re.match(r'# (\w+\.py)\n', block)
        if name:
            (forget_plugins / name[1]).write_text(block)
    for role, level in (('vi', 100), ('ir', 150), ('fused', 255)):
        picture = np.full((48, 64), level, np.uint8)
        picture[:, ::2] //= 2
        for folder in (role, f'data/MSRS/test/{role}'):
            write_image(forget_plugins / folder / 'a.png', picture)
    text = page.read_text(encoding='utf-8')
    scores, info = (line.split()[1:] for line in re.findall(r'^lurefusion .*', text, flags=re.MULTILINE))
    assert main(scores) == 0
    titles, _, row = (line for line in capsys.readouterr().out.splitlines() if line.startswith('|'))
    assert titles.endswith('| Clipped ↓ |')
    assert row.split()[-2] == '50.0'
    assert main(info) == 0
    assert 'Clipped (from my_metric)' in capsys.readouterr().out
    [(tool, config)] = re.findall(r'python (tools/test\.py) (\w+\.py)', text)
    monkeypatch.setattr(sys, 'argv', [tool, config, '--cfg-options', 'test_dataloader.0.num_workers=0'])
    assert runpy.run_path(str(DOCS.parent / tool))['main']() == 0
    assert '| CC | Clipped ↓ |' in Path('work_dirs/pyramid_clipped/test/report.md').read_text()
    namespace: dict[str, object] = {}
    exec(compile(blocks(page)[-1], str(page), 'exec'), namespace)


def own_pictures(root: Path) -> None:
    """What the page on own pictures takes for granted."""
    rng = np.random.default_rng(0)
    for name in ('1', '2'):
        smooth = cv2.GaussianBlur(rng.random((110, 150)), (0, 0), 3)
        blobs = np.digitize(smooth, np.quantile(smooth, (0.25, 0.5, 0.75))).astype(np.uint8) * 70 + 20
        visible, infrared, moved = blobs[:96, :128], 255 - blobs[:96, :128], 255 - blobs[5:101, 4:132]
        colour = np.dstack([visible, visible, visible // 2])
        for folder, picture in (('visible', colour), ('infrared', infrared), ('moved', moved)):
            write_image(root / folder / f'{name}.png', picture)
        write_image(root / 'small/1.png', colour[::2, ::2])
        write_image(root / f'all/sub/{name}_vis.png', colour)
        write_image(root / f'all/sub/{name}_ir.png', infrared)
        (root / 'counts').mkdir(exist_ok=True)
        assert cv2.imwrite(str(root / f'counts/{name}.png'), infrared.astype(np.uint16) * 8 + 29000)
    write_image(root / 'all/alone_vis.png', colour)
    write_image(root / 'cut_out.png', np.dstack([colour, visible]))


def own_clips() -> None:
    from fractions import Fraction

    from lurefusion.io.video import open_writer

    for name in ('visible', 'infrared'):
        picture = read_image(f'{name}/1.png')[0]
        with open_writer(Path(f'{name}.mkv'), (128, 96), Fraction(10)) as writer:
            for number in range(3):
                writer.write(np.roll(picture, number, 1), number / 10, '')


def own_slices() -> None:
    import nibabel
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    volume = np.random.default_rng(0).normal(100, 30, (64, 48, 9)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), 'mri.nii.gz')
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.PhotometricInterpretation, data.SamplesPerPixel, data.PixelRepresentation = 'MONOCHROME2', 1, 0
    data.Rows, data.Columns, data.BitsAllocated, data.BitsStored, data.HighBit = 96, 128, 16, 16, 15
    data.PixelData = np.arange(96 * 128, dtype=np.uint16).tobytes()
    data.save_as('ct.dcm', enforce_file_format=True)


@pytest.mark.parametrize(
    'section', ['Folders', 'What is wrong with them', 'Pairs of', 'Numbers', 'Clips', 'Medical slices']
)
def test_commands_on_own_pictures(section: str, forget_plugins: Path, capsys: pytest.CaptureFixture) -> None:
    """Word for word and in their order; with the weight-free network where no prompt is given, which is quicker."""
    own_pictures(forget_plugins)
    if section == 'Clips':
        pytest.importorskip('av')
        own_clips()
    elif section == 'Medical slices':
        pytest.importorskip('pydicom')
        pytest.importorskip('nibabel')
        own_slices()
    text = (DOCS / 'fuse.md').read_text(encoding='utf-8')
    [part] = [part for part in text.split('\n## ') if part.startswith(section)]
    lines = re.findall(r'^lurefusion (fuse .*)$', part, flags=re.MULTILINE)
    assert lines
    for line in lines:
        words = shlex.split(line)
        model = [] if '--prompt' in words else ['--model', 'lurefusion::baselines/average_ir_vi.py']
        assert main([*words, *model, '--device', 'cpu']) == 0, (line, capsys.readouterr())
        if '--out' in words and '--dry-run' not in words:
            out = Path(words[words.index('--out') + 1])
            assert out.is_file() or list(out.glob('**/[!.]*.png')), line


def test_page_on_deployment(small_export: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its commands as they stand, on a small network in the place of lure-tiny; the export has a test of its own."""
    _, done = small_export
    monkeypatch.chdir(tmp_path)
    shutil.copy(done.path, 'lure-tiny.onnx')
    rng = np.random.default_rng(0)
    for name in ('vi', 'ir'):
        write_image(f'{name}.png', rng.integers(0, 256, (24, 32, 3) if name == 'vi' else (24, 32), np.uint8))
    text = (DOCS / 'deploy.md').read_text(encoding='utf-8')
    export, fuse = (line.split()[1:] for line in re.findall(r'^lurefusion .*', text, flags=re.MULTILINE))
    assert export == ['export', '--model', 'lure-tiny', '--out', 'lure-tiny.onnx']
    assert main(fuse) == 0
    [script] = (line.split() for line in re.findall(r'^python (demo/.*)', text, flags=re.MULTILINE))
    Path('fused.png').unlink()
    monkeypatch.setattr(sys, 'argv', script)
    runpy.run_path(str(DOCS.parent / script[0]), run_name='__main__')
    assert Path('fused.png').is_file()
