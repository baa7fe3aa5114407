"""One result whatever the way: run, stream, batch, tiles, MMEngine's test step; an item's error is its own."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import count, islice
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from lurefusion.apis import init_model
from lurefusion.prompts import Route
from lurefusion.registry import MODELS
from lurefusion.runtime.passes import CoarsePass, RunOptions, add_coarse_pass
from lurefusion.runtime.runner import Runner, item_of
from lurefusion.runtime.torch_runner import TorchRunner
from lurefusion.structures import Failure, FusionDataSample, Item, Prediction

# convolutions of a batch add up in another order than those of a single picture
BATCHED = 1e-5


@pytest.fixture(scope='module')
def tiny() -> TorchRunner:
    return TorchRunner(init_model('lure-tiny', device='cpu'), 'cpu')


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def item(height: int = 32, width: int = 48, seed: int = 0, **known) -> Item:
    return Item(str(seed), dict(vi=noise(height, width, seed), ir=noise(height, width, seed + 100)), **known)


def said(runner: Runner, **tasks: str) -> dict[str, Route]:
    return {name: Route(task, runner.prompts.canonical(task), 'key') for name, task in tasks.items()}


class Echo(Runner):
    """A back-end of the least: the mean of its pictures, plus its text."""

    modalities = ('vi', 'ir')
    chroma = 'vi'
    size_divisor = 8

    def __init__(self, **options) -> None:
        self.running = RunOptions(**options)
        self.seen: list[tuple[int, ...]] = []

    @property
    def title(self) -> str:
        return 'Echo'

    def core(self, images: tuple[Tensor, ...], text: Tensor | None = None) -> Tensor:
        self.seen.append(tuple(images[0].shape))
        assert all(side % self.size_divisor == 0 for side in images[0].shape[2:])
        return sum(images) / len(images)


def mean_of(pair: Item) -> np.ndarray:
    return sum(picture.astype(np.float32) / 255 for picture in pair.pictures.values()) / 2


@pytest.mark.parametrize('size', [(32, 48), (37, 53), (8, 9)])
def test_any_size_comes_back_as_it_was_and_in_float(size):
    pair = item(*size)
    result = Echo().run(pair)
    assert (result.picture.dtype, result.picture.flags['C_CONTIGUOUS']) == (np.float32, True)
    np.testing.assert_allclose(result.picture, mean_of(pair), atol=1e-6)
    np.testing.assert_array_equal(result.to_uint8(), np.round(mean_of(pair) * 255))
    assert set(result.seconds) == {'run'}


def test_float_pictures_are_taken_as_they_are():
    pair = Item('x', {name: p.astype(np.float32) / 255 for name, p in item().pictures.items()})
    np.testing.assert_allclose(Echo().run(pair).picture, Echo().run(item()).picture, atol=1e-6)
    with pytest.raises(ValueError, match=r"'ir': float images must lie in \[0, 1\], got"):
        Echo().run(Item('x', dict(pair.pictures, ir=pair.pictures['ir'] * 2)))


def test_run_stream_and_test_step_give_the_same_bits(tiny):
    routes = said(tiny, vi='ll', ir='lc')
    pairs = [item(seed=seed, routes=routes) for seed in range(3)]
    alone = [tiny.run(pair) for pair in pairs]
    streamed = list(tiny.stream(iter(pairs)))
    for pair, one, other in zip(pairs, alone, streamed, strict=True):
        np.testing.assert_array_equal(one.picture, other.picture)
        inputs = {name: [torch.from_numpy(p).permute(2, 0, 1)] for name, p in pair.pictures.items()}
        sample = FusionDataSample(metainfo=dict(tasks=one.tasks))
        with torch.no_grad():
            pred = tiny.model.test_step(dict(inputs=inputs, data_samples=[sample]))[0].pred
        np.testing.assert_array_equal(pred.permute(1, 2, 0), one.picture)
    assert [result.name for result in streamed] == ['0', '1', '2']
    assert streamed[0].tasks == dict(vi='ll', ir='lc')
    for one, other in zip(alone, tiny.stream(pairs, batch_size=2), strict=True):
        np.testing.assert_allclose(one.picture, other.picture, rtol=0, atol=BATCHED)


def test_a_sample_of_a_data_set_becomes_an_item(tiny):
    pair = item(routes=said(tiny, vi='hz', ir='pd'), grey=('ir',))
    inputs = {name: torch.from_numpy(p).permute(2, 0, 1) for name, p in pair.pictures.items()}
    sample = FusionDataSample(metainfo=dict(name='0', tasks=dict(vi='hz'), grey=('ir',)))
    made = item_of(inputs, sample, tiny)
    assert (made.name, made.grey, dict(made.routes)) == (pair.name, pair.grey, dict(pair.routes))
    np.testing.assert_array_equal(tiny.run(made).picture, tiny.run(pair).picture)


def test_neighbours_of_one_size_go_together_and_the_order_stays():
    runner = Echo()
    sizes = [(16, 16), (16, 16), (16, 16), (24, 16), (16, 16)]
    pairs = [item(*size, seed=seed) for seed, size in enumerate(sizes)]
    results = list(runner.stream(iter(pairs), batch_size=2))
    assert [shape[0] for shape in runner.seen] == [2, 1, 1, 1]
    assert [result.name for result in results] == list('01234')
    for pair, result in zip(pairs, results, strict=True):
        np.testing.assert_array_equal(result.picture, Echo().run(pair).picture)


def test_other_prompts_are_not_run_together(tiny):
    pairs = [item(seed=seed, routes=said(tiny, vi=task)) for seed, task in enumerate(('ll', 'll', 'hz'))]
    for pair, result in zip(pairs, tiny.stream(pairs, batch_size=3), strict=True):
        np.testing.assert_allclose(result.picture, tiny.run(pair).picture, rtol=0, atol=BATCHED)
        assert result.tasks == dict(vi=pair.routes['vi'].task, ir='pd')


def test_endless_streams_are_taken_as_they_come():
    drawn = []

    def camera() -> Iterator[Item]:
        for seed in count():
            drawn.append(seed)
            yield item(8, 8, seed)

    assert len(list(islice(Echo().stream(camera(), batch_size=2), 4))) == 4
    assert len(drawn) == 4
    with pytest.raises(ValueError, match='batch_size must be at least 1, got 0'):
        Echo().stream([], batch_size=0)


@pytest.mark.parametrize('batch_size', [1, 3])
def test_what_is_wrong_with_an_item_is_its_own(batch_size):
    bad = Item('bad', dict(item(16, 16).pictures, ir=noise(16, 24)), notes=('odd',))
    beyond = Item('beyond', {name: np.full((16, 16, 3), 2, np.float32) for name in ('vi', 'ir')})
    lost = Failure('lost', OSError('gone'))
    inside = Item('inside', {name: np.full((16, 16, 3), 0.5, np.float32) for name in ('vi', 'ir')})
    results = list(Echo().stream([item(16, 16), bad, lost, inside, beyond, item(16, 16, 1)], batch_size))
    kinds = [type(result) for result in results]
    assert kinds == [Prediction, Failure, Failure, Prediction, Failure, Prediction]
    assert 'vi 16x16, ir 24x16' in str(results[1].error)
    assert results[1].notes == ('odd',)
    assert results[2] is lost
    assert 'must lie in [0, 1]' in str(results[4].error)


def test_a_batch_that_does_not_fit_into_memory_is_run_one_by_one():
    class Small(Echo):
        def core(self, images, text=None):
            if images[0].shape[0] > 1:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")
            return super().core(images, text)

    assert all(isinstance(result, Prediction) for result in Small().stream([item(), item(seed=1)], batch_size=2))

    class Broken(Echo):
        def core(self, images, text=None):
            raise RuntimeError('size mismatch')

    # a fault of the program is nobody's own
    with pytest.raises(RuntimeError, match='size mismatch'):
        list(Broken().stream([item()]))


def test_of_a_pair_that_does_not_fit_the_tiles_that_do_are_said():
    class Small(Echo):
        sizes: ClassVar[list[int]] = []

        def core(self, images, text=None):
            self.sizes.append(images[0].shape[-1])
            if images[0][0, 0].numel() > 256 * 256:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")
            return super().core(images, text)

    runner, pair = Small(), item(296, 304)
    fit = r'\(304x296 pixels\): tiles of 256 pixels fit \(--tile 256, tile=256\), or scale it down'
    for _ in range(2):
        with pytest.raises(MemoryError, match=fit):
            runner.run(pair)
    # what fits is looked for once
    assert runner.sizes == [304, 256, 304]
    runner.use_tiles(256)
    assert np.abs(runner.run(pair).picture - mean_of(pair)).max() < 1e-6
    with pytest.raises(ValueError, match='at least 64 pixels, got 56'):
        runner.use_tiles(56)
    runner.size_divisor = 8
    for side in ('256', 256.0, True):
        with pytest.raises(ValueError, match='tile is a whole number of pixels'):
            Echo().use_tiles(side)
    with pytest.raises(ValueError, match=r'multiple of 8 for .*, got 100'):
        runner.use_tiles(100)


def test_tiles_and_whole_agree_where_pixels_stand_alone():
    pair = item(64, 88)
    runner = Echo(max_pixels=1000, tile=32, overlap=8)
    np.testing.assert_allclose(runner.run(pair).picture, mean_of(pair), atol=1e-6)
    assert set(runner.seen) == {(1, 3, 32, 32)}


def test_tiles_of_a_network_are_close_to_the_whole(tiny, monkeypatch):
    smooth = np.indices((96, 128)).sum(0)[..., None].repeat(3, 2).astype(np.float32) / 224
    pair = Item('x', dict(vi=smooth, ir=smooth[::-1].copy()))
    whole = tiny.run(pair).picture
    monkeypatch.setattr(tiny, 'running', RunOptions(max_pixels=64 * 64, tile=64, overlap=16))
    assert np.abs(tiny.run(pair).picture - whole).mean() < 0.05


def test_the_coarse_pass_belongs_to_tasks(tiny, monkeypatch):
    monkeypatch.setattr(tiny, 'running', RunOptions(coarse=CoarsePass(('hz',), 16)))
    plain, hazy = (item(64, 96, routes=said(tiny, vi=task)) for task in ('ll', 'hz'))
    images = [torch.from_numpy(p / np.float32(255)).permute(2, 0, 1)[None] for p in plain.pictures.values()]
    for pair, corrected in ((plain, False), (hazy, True)):
        text = tiny.encode_text([tiny.prompts.canonical(task) for task in (pair.routes['vi'].task, 'pd')])
        with torch.no_grad():
            out = tiny.model.core(tuple(images), text)
            if corrected:
                before = out
                out = add_coarse_pass(lambda *x, text=text: tiny.model.core(x, text), images, out, 16, 16)
                assert (out - before).abs().mean() > 1e-3
        expected = out[0].permute(1, 2, 0).clamp(0, 1)
        np.testing.assert_allclose(tiny.run(pair).picture, expected, rtol=0, atol=BATCHED)


def test_grey_is_that_of_the_owner(tiny):
    grey = tiny.run(item(grey=('vi',)))
    coloured = tiny.run(item(grey=('ir',)))
    assert (grey.grey, coloured.grey) == (True, False)
    assert (grey.picture == grey.picture[..., :1]).all()
    assert (grey.to_uint8().shape, coloured.to_uint8().shape) == ((32, 48), (32, 48, 3))
    np.testing.assert_allclose(grey.picture[..., 0], coloured.picture.mean(axis=2), atol=1e-6)
    mixed = list(tiny.stream([item(grey=('vi',)), item(grey=('ir',))], batch_size=2))
    assert [result.grey for result in mixed] == [True, False]
    np.testing.assert_allclose(mixed[1].picture, coloured.picture, rtol=0, atol=BATCHED)


def test_chroma_is_kept_on_request():
    pair = item()
    runner = Echo()
    runner.chroma_from = 'visible'
    fused, visible = runner.run(pair).picture, pair.pictures['vi'] / 255
    inside = ((fused > 0.01) & (fused < 0.99)).all(axis=2)
    assert inside.mean() > 0.1
    # differences of channels are chroma
    np.testing.assert_allclose((fused[..., 0] - fused[..., 1])[inside], (visible[..., 0] - visible[..., 1])[inside],
                               atol=1e-4)  # fmt: skip


def test_one_modality_is_restored(tiny):
    single = Item('x', dict(ir=noise(33, 40)), grey=('ir',), routes=said(tiny, ir='lc'))
    result = tiny.run_restore(single)
    assert (result.grey, result.tasks, result.picture.shape) == (True, dict(ir='lc'), (33, 40, 3))
    inputs = dict(x=[torch.from_numpy(single.pictures['ir']).permute(2, 0, 1)])
    sample = FusionDataSample(metainfo=dict(modality='ir', task='lc', grey=('x',)))
    with torch.no_grad():
        pred = tiny.model.test_step(dict(inputs=inputs, data_samples=[sample]))[0].pred
    np.testing.assert_array_equal(pred.permute(1, 2, 0), result.picture)
    [streamed] = tiny.stream([single], single=True)
    np.testing.assert_array_equal(streamed.picture, result.picture)
    with pytest.raises(TypeError, match='a picture of one modality is restored at a time, got vi, ir'):
        tiny.run_restore(item())
    with pytest.raises(TypeError, match='the model needs a picture of each of vi, ir; missing: vi'):
        tiny.run(single)
    average = TorchRunner(MODELS.build(dict(type='BaselineFuser')), 'cpu')
    with pytest.raises(ValueError, match='BaselineFuser only fuses'):
        average.run_restore(Item('x', dict(ir=noise(16, 16))))


@pytest.mark.parametrize(
    ('pictures', 'error', 'message'),
    [
        (dict(vi=noise(16, 16)), TypeError, 'missing: ir'),
        (dict(vi=noise(16, 16), irr=noise(16, 16)), TypeError, "unknown modality 'irr'. Did you mean 'ir'"),
        (dict(vi=noise(16, 16), ir=noise(16, 16)[..., 0]), ValueError, r'ir: expected \(H, W, 3\), got \(16, 16\)'),
        (dict(vi=noise(7, 16), ir=noise(7, 16)), ValueError, 'vi: 16x7 pixels; at least 8x8 are needed'),
    ],
)
def test_wrong_items_are_named(pictures, error, message):
    with pytest.raises(error, match=message):
        Echo().run(Item('x', pictures))


@pytest.mark.parametrize('name', ['lure-fast', 'lure-tiny'])
def test_a_fingerprint_is_the_same_in_every_process(name):
    code = f'from lurefusion.apis import FusionInferencer as F; print(F({name!r}, device="cpu").runner.fingerprint())'
    found = {
        subprocess.run(
            [sys.executable, '-c', code],
            env={**os.environ, 'PYTHONHASHSEED': seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()[-1]
        for seed in '13'
    }
    assert len(found) == 1


def test_the_code_of_a_plug_in_is_a_part_of_the_fingerprint(tmp_path, monkeypatch):
    found = set()
    monkeypatch.syspath_prepend(tmp_path)
    for number, sign in enumerate('++-'):
        code = f'from torch import nn\n\n\nclass Mine(nn.Identity):\n  def forward(self, x):\n    return 0 {sign} x\n'
        (tmp_path / f'mine{number}.py').write_text(code)
        importlib.invalidate_caches()
        model = init_model('lure-fast', device='cpu')
        model.mine = importlib.import_module(f'mine{number}').Mine()
        found.add(TorchRunner(model).fingerprint())
    assert len(found) == 2


def test_options_in_lists_and_dicts_are_a_part_of_the_fingerprint(tiny):
    first = tiny.fingerprint()
    next(tiny.stream([item()]))
    # what is kept while it runs is none
    assert tiny.fingerprint() == first
    arrays = [torch.tensor([0.2, 0.8]), torch.tensor([0.9, 0.1]), np.ones(2), np.float32(3), RunOptions(tile=3)]
    for options in ([0.2, 0.8], [0.9, 0.1], {'a': [1, {2, 3}]}, *arrays):
        tiny.model.options = options
        assert tiny.fingerprint() != first
        first = tiny.fingerprint()
    del tiny.model.options
