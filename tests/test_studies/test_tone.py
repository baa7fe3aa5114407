"""Training of the tone: windows of pictures, what is measured, what is learned, the command."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lurefusion.config import load_stages
from lurefusion.models.tone import enlarged, toned
from lurefusion.ops.colour import ycbcr, ycbcr_to_rgb
from lurefusion.registry import MODELS
from lurefusion.studies import tone as study
from lurefusion.weights import read_weights, save_weights

CONFIG = """
_base_ = ['{root}/configs/lure/stage1_demo.py']
model = dict(image_encoder=dict(tone=dict(members=1, width=16, depth=1, grid=(8, 8))))
"""
SMALL = study.Recipe(short=(48, 64), steps=300, average=0.05, decibel=0.0, batch=dict(ll=(4, 2), oe=(0, 2)))


@pytest.fixture(scope='module')
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp('tone') / 'with_tone.py'
    file.write_text(CONFIG.format(root=Path(__file__).parents[2]))
    return file


@pytest.fixture
def model(config: Path):
    torch.manual_seed(0)
    cfg = load_stages(config)[1][0].model.to_dict()
    return MODELS.build(dict(cfg, losses=None)).eval().requires_grad_(False)


def test_windows_are_the_same_in_all_parts():
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing='ij')
    fine = torch.stack([(rows + 0.5) / 48, (columns + 0.5) / 64]).expand(8, -1, -1, -1)
    coarse = torch.nn.functional.avg_pool2d(fine, 2)
    first, second = study.windows([fine, coarse], np.random.default_rng(0), 0.5)
    # inside: at the border the outermost values are repeated
    torch.testing.assert_close(
        torch.nn.functional.avg_pool2d(first, 2)[..., 2:-2, 2:-2], second[..., 2:-2, 2:-2], atol=2e-3, rtol=0
    )
    heights, widths = (first[:, k].amax((1, 2)) - first[:, k].amin((1, 2)) for k in (0, 1))
    assert (heights > 0.45).all()
    assert (widths > 0.45).all()
    assert heights.max() - heights.min() > 0.1
    mirrored = first[:, 1, 0, 0] > first[:, 1, 0, -1]
    assert 0 < mirrored.sum() < 8


def test_measures_what_the_encoder_makes_of_whole_pictures(config, model):
    dataset = study.pictures(load_stages(config)[1][0], SMALL)
    assert set(dataset.groups) == {'ll', 'hz', 'oe'}
    found = study.measure(model, dataset, 6, 0, SMALL)
    assert found['seen'].shape == (6, 24, 8, 8)
    assert found['restored'].shape == found['target'].shape == (6, 3, *study.COMPARED)
    assert found['made'].all()
    # the network starts as the identity: what is restored is what came, and both halves of what is seen agree
    torch.testing.assert_close(found['seen'][:, :12], found['seen'][:, 12:], atol=2e-3, rtol=0)
    again = study.measure(model, dataset, 6, 0, SMALL)
    assert all(torch.equal(found[name], again[name]) for name in found)


def test_made_pairs_as_by_other_cameras_or_as_they_are(config, model):
    cfg = load_stages(config)[1][0]
    found = [
        study.measure(model, study.pictures(cfg, replace(SMALL, cameras=cameras)), 6, 0, SMALL)['target']
        for cameras in (True, False)
    ]
    # the same scenes, brighter or darker
    means = [target.float().mean((1, 2, 3)) for target in found]
    assert (means[0] - means[1]).abs().max() > 0.02


def test_tasks_that_have_no_tone_are_left_out(config):
    cfg = load_stages(config)[1][0]
    cfg.train_dataloader.dataset.tasks = ('ll', 'oe', 'lc')
    assert set(study.pictures(cfg, SMALL).groups) == {'ll', 'hz', 'oe'}


def test_lure_fast_is_measured_in_luma_and_chroma(config):
    torch.manual_seed(0)
    cfg = dict(
        type='LureFast', modalities=('vi', 'ir'), chroma='vi', widths=(4, 8, 8, 8),
        text_encoder=dict(backbone=dict(type='HashBag'), out_dim=32), tone=dict(members=1, width=8, depth=1),
    )  # fmt: skip
    fast = MODELS.build(cfg).eval().requires_grad_(False)
    dataset = study.pictures(load_stages(config)[1][0], replace(SMALL, short=(64, 96)), fast.size_divisor)
    found = study.measure(fast, dataset, 6, 0, SMALL)
    assert found['seen'].shape == (6, 24, 24, 32)
    torch.testing.assert_close(found['seen'][:, :12], found['seen'][:, 12:], atol=2e-3, rtol=0)
    # it starts as the identity: brighter and darker pictures than the clean ones, in luma
    luma = sum(w * found['target'][:, k].float() for k, w in enumerate((0.299, 0.587, 0.114)))
    tasks = {key: found['task'] == fast.prompts.index(key) for key in ('ll', 'oe')}
    brighter = (found['restored'][:, 0].float() - luma).mean((1, 2))
    assert (brighter[tasks['ll']] < -0.02).all()
    assert (brighter[tasks['oe']] > 0.02).all()
    before = {name: value.clone() for name, value in fast.state_dict().items() if not name.startswith('tone.')}
    found = {name: values[tasks['ll'] | tasks['oe']] for name, values in found.items()}
    study.fit(fast, found, 0, SMALL)
    assert all(torch.equal(fast.state_dict()[name], value) for name, value in before.items())
    c = fast.encode_text([fast.prompts.canonical(fast.prompts.keys[k]) for k in found['task']])
    restored, target = found['restored'].float(), found['target'].float()
    gain, offset = (enlarged(maps, restored) for maps in fast.tone.answer(found['seen'].float(), c))
    errors = [
        (torch.stack(ycbcr_to_rgb(*planes.unbind(1)), dim=1) - target).abs().mean()
        for planes in (toned(restored, gain.exp(), offset), restored)
    ]
    assert errors[0] < errors[1] / 2


def test_learns_a_gain_for_its_tasks_and_is_closed_for_others(model):
    rng = torch.Generator().manual_seed(0)
    restored = torch.rand(40, 3, *study.COMPARED, generator=rng) * 0.2 + 0.2
    mean = torch.nn.functional.interpolate(restored, (8, 8), mode='area')
    task = torch.tensor([model.prompts.index(key) for key in ('ll', 'oe')] * 20)
    gain = torch.where(task == model.prompts.index('ll'), 2.0, 0.5)[:, None, None, None]
    seen = dict(
        seen=mean.repeat(1, 8, 1, 1), restored=restored, target=restored * gain, task=task, made=torch.arange(40) < 20
    )
    study.fit(model, seen, seed=0, recipe=SMALL)
    tone = model.image_encoder.tone
    for number, key in ((0, 'll'), (1, 'oe')):
        c = model.encode_text([model.prompts.canonical(key)])
        gain, offset = (enlarged(maps, restored) for maps in tone.answer(seen['seen'][number : number + 1], c))
        out = toned(restored[number : number + 1], gain.exp(), offset)
        assert (out - seen['target'][number]).abs().mean() < 0.04
        assert tone.gate(c).item() > 1
    closed = model.encode_text([model.prompts.canonical(key) for key in ('pd', 'sr')])
    assert (tone.gate(closed) < 0).all()
    assert not tone.training


def test_one_task_alone_leaves_what_the_others_get(model):
    rng = torch.Generator().manual_seed(0)
    restored = torch.rand(40, 3, *study.COMPARED, generator=rng) * 0.2 + 0.2
    task = torch.tensor([model.prompts.index(key) for key in ('ll', 'oe')] * 20)
    seen = dict(
        seen=torch.nn.functional.interpolate(restored, (8, 8), mode='area').repeat(1, 8, 1, 1), restored=restored,
        target=restored * 1.5, task=task, made=torch.arange(40) < 20,
    )  # fmt: skip
    tone = model.image_encoder.tone
    study.fit(model, seen, seed=0, recipe=replace(SMALL, steps=100))
    before = {key: value.clone() for key, value in tone.state_dict().items()}

    def error(key: str) -> float:
        gain, offset = (enlarged(m, restored) for m in tone.answer(seen['seen'], model.encode_text([said[key]] * 40)))
        return float((toned(restored, gain.exp(), offset) - wanted).abs().mean())

    said = {key: model.prompts.canonical(key) for key in ('ll', 'oe')}
    wanted = seen['target'] = restored * 1.7
    errors = {key: error(key) for key in said}
    study.fit(model, seen, seed=0, recipe=replace(SMALL, steps=200, lr=2e-2), go_on=True, task='oe')
    assert error('oe') < 0.7 * errors['oe']
    assert error('ll') == pytest.approx(errors['ll'], abs=2e-3)
    job = int(tone.jobs(model.encode_text([said['oe']])).argmax())
    for key, value in tone.state_dict().items():
        columns = [k for k in range(value.shape[-1]) if k != job] if key.endswith('text.weight') else ...
        torch.testing.assert_close(value[..., columns], before[key][..., columns], rtol=0, atol=0)
    # and no hook is left behind: afterwards all of it learns again
    study.fit(model, seen, seed=0, recipe=replace(SMALL, steps=5), go_on=True)
    now = tone.heads[0].blocks[0].text.weight
    assert (now != before['heads.0.blocks.0.text.weight']).sum(0).bool()[:2].all()
    with pytest.raises(ValueError, match=r'no picture of hz was measured: measure some first \(--pictures\)'):
        study.fit(model, seen, seed=0, recipe=SMALL, task='hz')
    with pytest.raises(ValueError, match="the tone is trained for ll, hz, oe, not for 'sr'"):
        study.fit(model, seen, seed=0, recipe=SMALL, go_on=True, task='sr')


def test_the_error_of_the_colours_counts_by_its_weight(model):
    rng = torch.Generator().manual_seed(0)
    grey = torch.rand(40, 1, *study.COMPARED, generator=rng) * 0.2 + 0.3
    # here red, there blue: only a gain, which luma has no use for, makes both stronger
    signs = torch.randint(0, 2, grey.shape, generator=rng) * 2 - 1
    colours = signs * torch.tensor([0.05, 0.0, -0.05]).view(3, 1, 1)
    task = torch.full((40,), model.prompts.index('ll'))
    seen = dict(
        seen=torch.rand(40, 24, 8, 8, generator=rng) * 0.2 + 0.3, restored=grey + colours, target=grey + 2 * colours,
        task=task, made=torch.arange(40) < 20,
    )  # fmt: skip
    model.image_encoder.tone.requires_grad_(True)
    texts = study.fit_text(model, replace(SMALL, text_steps=20))
    head, errors = model.image_encoder.tone.heads[0], []
    jobs = model.image_encoder.tone.jobs(texts[model.prompts.index('ll')][:1]).softmax(1)
    for colour in (0.0, 20.0):
        study.fit_head(model, head, seen, texts, 0, replace(SMALL, batch=dict(ll=(4, 2)), colour=colour, steps=100))
        with torch.no_grad():
            gain, offset = (enlarged(m, grey) for m in head(seen['seen'], jobs.expand(40, -1)).chunk(2, dim=1))
            out, wanted = (ycbcr(x) for x in (toned(seen['restored'], gain.exp(), offset), seen['target']))
        errors.append(float(sum((out[k] - wanted[k]).abs().mean() for k in (1, 2))))
    assert errors[1] < 0.8 * errors[0]


def test_nothing_measured_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no seen_.*measure pictures first'):
        study.load(tmp_path, 'LURE')


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    script = Path(__file__).parents[2] / 'tools/train_tone.py'
    return subprocess.run([sys.executable, str(script), *arguments], cwd=cwd, capture_output=True, text=True)


def test_the_command_measures_trains_and_changes_the_tone_alone(config, model, tmp_path):
    # weights from before there was a tone
    state = {key: value for key, value in model.state_dict().items() if '.tone.' not in key}
    save_weights(state, tmp_path / 'before.safetensors', {})
    common = ('before.safetensors', '--config', str(config), '--work-dir', 'seen')
    for seed in ('1', '2'):
        done = command(*common, '--pictures', '4', '--seed', seed, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    done = command(*common, '--out', 'after.safetensors', '--steps', '3', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert '8 pictures' in done.stdout
    after = read_weights(tmp_path / 'after.safetensors')[0]
    assert all(torch.equal(after[key], value) for key, value in state.items())
    assert after['image_encoder.tone.heads.0.maps.weight'].abs().sum() > 0
    more = ('after.safetensors', *common[1:], '--out', 'more.safetensors', '--steps', '2', '--rate', '1e-6', '--go-on')
    done = command(*more, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    more = read_weights(tmp_path / 'more.safetensors')[0]
    for key, value in after.items():
        # what reads the text stays, the heads go on from what they were
        torch.testing.assert_close(more[key], value, rtol=0, atol=1e-5 if '.heads.' in key else 0)
    assert not all(torch.equal(more[key], value) for key, value in after.items())
    done = command(*common, '--out', 'more.safetensors', '--go-on', cwd=tmp_path)
    assert done.returncode == 1
    assert 'before.safetensors has no tone to go on with' in done.stderr
    other = {key: value + 1 if key == 'decoder.end.bias' else value for key, value in state.items()}
    save_weights(other, tmp_path / 'other.safetensors', {})
    done = command('other.safetensors', *common[1:], '--out', 'after.safetensors', '--steps', '3', cwd=tmp_path)
    assert done.returncode == 1
    assert 'seen_1.safetensors was measured by LURE ' in done.stderr
    done = command(*common, cwd=tmp_path)
    assert done.returncode == 2
    assert 'name --pictures or --out' in done.stderr
    for wrong, message in ((('--steps', '0'), 'above 0'), ((), 'must be a .safetensors file, got after.txt')):
        done = command(*common, '--out', 'after.txt', *wrong, cwd=tmp_path)
        assert done.returncode == 2
        assert message in done.stderr
    done = command('before.safetensors', '--config', 'lurefusion::lure/stage1_demo.py', '--pictures', '1', cwd=tmp_path)
    assert done.returncode == 1
    assert 'LURE has no tone' in done.stderr
