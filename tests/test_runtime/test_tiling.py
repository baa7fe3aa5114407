from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from lurefusion.apis import FusionInferencer
from lurefusion.datasets.scenes import render_scene
from lurefusion.runtime.passes import RunOptions, add_coarse_pass, level_tiles, run_rows
from lurefusion.runtime.tiling import run_tiled


def image(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(('height', 'width'), [(32, 32), (8, 8), (64, 96), (40, 33), (16, 200)])
@pytest.mark.parametrize(('tile', 'overlap'), [(32, 8), (32, 15), (24, 1)])
def test_pointwise_function_is_the_same_whole_and_in_tiles(height: int, width: int, tile: int, overlap: int) -> None:
    a, b = image(height, width), image(height, width, seed=1)
    seen: list[tuple[int, int]] = []

    def run(x: Tensor, y: Tensor) -> Tensor:
        seen.append(tuple(x.shape[-2:]))
        return (2 * x - y).square()

    out = run_tiled(run, [a, b], tile=tile, overlap=overlap)
    torch.testing.assert_close(out, (2 * a - b).square())
    assert set(seen) == {(min(height, tile), min(width, tile))}


def test_two_tiles_cross_fade_as_a_raised_cosine() -> None:
    tile, overlap = 16, 6
    numbers = iter([0.0, 1.0])
    out = run_tiled(lambda x: torch.full_like(x, next(numbers)), [image(8, 26)], tile=tile, overlap=overlap)
    phase = (np.arange(overlap) + 0.5) / overlap
    expected = np.concatenate([np.zeros(10), 0.5 - 0.5 * np.cos(np.pi * phase), np.ones(10)])
    np.testing.assert_allclose(out, np.broadcast_to(expected, (1, 3, 8, 26)), atol=1e-6)


@pytest.mark.parametrize(('height', 'width'), [(50, 70), (33, 34), (100, 16)])
def test_weights_sum_to_one_everywhere(height: int, width: int) -> None:
    ones = run_tiled(torch.ones_like, [image(height, width)], tile=32, overlap=12)
    torch.testing.assert_close(ones, torch.ones(1, 3, height, width))
    # whatever the tiles say, no pixel leaves their range
    generator = torch.Generator().manual_seed(0)
    out = run_tiled(
        lambda x: torch.rand(1, generator=generator).expand_as(x), [image(height, width)], tile=32, overlap=12
    )
    assert out.isfinite().all()
    assert out.min() >= 0
    assert out.max() <= 1


def test_tiles_cover_all_and_lie_inside() -> None:
    whole = torch.arange(100.0).view(1, 1, 1, 100).expand(1, 3, 8, 100)
    starts = []

    def run(x: Tensor) -> Tensor:
        starts.append(int(x[0, 0, 0, 0]))
        return x

    torch.testing.assert_close(run_tiled(run, [whole], tile=40, overlap=8), whole)
    assert starts == [0, 32, 60]


def test_half_precision_tiles_are_blended_in_float32() -> None:
    out = run_tiled(lambda x: x.bfloat16(), [image(8, 60)], tile=32, overlap=8)
    assert out.dtype == torch.float32


@pytest.mark.parametrize(('tile', 'overlap'), [(32, 16), (32, 0), (32, -1), (8, 64)])
def test_bad_overlap(tile: int, overlap: int) -> None:
    with pytest.raises(ValueError, match=f'less than half a tile, got overlap={overlap}, tile={tile}'):
        run_tiled(torch.ones_like, [image(64, 64)], tile=tile, overlap=overlap)


def test_coarse_pass_moves_the_level_and_keeps_the_detail() -> None:
    x = image(64, 96)
    sizes = []

    def run(a: Tensor) -> Tensor:
        sizes.append(tuple(a.shape[-2:]))
        # what a network might do that sees the whole
        return a + 0.2 if a.shape[-1] < 96 else a

    out = add_coarse_pass(run, [x], run(x), size=32, stride=16)
    assert sizes == [(64, 96), (32, 48)]
    torch.testing.assert_close(out, x + 0.2)


def test_coarse_pass_follows_a_smooth_field() -> None:
    column = torch.linspace(0, 1, 128).expand(1, 3, 128, 128)
    out = add_coarse_pass(lambda a: a * 0, [column], column, size=64, stride=16)
    assert out[..., 4:-4].abs().max() < 5e-3


def test_coarse_pass_leaves_no_halo_at_an_edge() -> None:
    """Dark 0.2 becomes 0.1 and bright 0.8 becomes 0.9: up to the edge, where a blurred change would be near 0."""
    x = torch.full((1, 3, 128, 128), 0.2)
    x[..., 64:] = 0.8
    goal = torch.where(x < 0.5, 0.1, 0.9)
    stretch = lambda a: 0.5 + (a - 0.5) * 4 / 3  # noqa: E731
    out = add_coarse_pass(stretch, [x], x, size=32, stride=16)
    assert (out - goal).abs().max() < 0.04


def test_coarse_pass_spares_small_pictures() -> None:
    x = image(47, 80)
    assert add_coarse_pass(lambda a: 1 / 0, [x], x, size=32, stride=16) is x


def exposed(x: torch.Tensor) -> torch.Tensor:
    """A network that brings the mean of what it sees to one half."""
    return x + 0.5 - x.mean((-2, -1), keepdim=True)


def test_tiles_get_the_level_of_the_whole():
    x = torch.linspace(0, 1, 256)[:, None].expand(1, 3, 256, 320).clone()
    x[..., ::16] *= 0.9  # something to see
    whole, tiled = exposed(x), run_tiled(exposed, [x], tile=96, overlap=16)
    out = level_tiles(exposed, [x], tiled, pixels=96 * 96, stride=8)
    assert (tiled - whole).abs().mean() > 0.15
    assert (out - whole).abs().mean() < 0.05
    # from row to row: no seam, 16 points on 256 rows
    assert (out - whole)[..., 8:-8, :].diff(dim=-2).abs().max() < (tiled - whole).diff(dim=-2).abs().max()


def test_what_is_level_stays():
    rough = torch.rand(2, 3, 3, 4, generator=torch.Generator().manual_seed(0))
    x = torch.nn.functional.interpolate(rough, (96, 128), mode='bicubic', align_corners=True)
    torch.testing.assert_close(level_tiles(lambda v: v, [x], x, pixels=64 * 64, stride=8), x, rtol=0, atol=0.03)


def test_only_networks_that_ask_for_it_are_levelled():
    class Mean:
        modalities, prompts, size_divisor = ('vi',), None, 8
        running = RunOptions(max_pixels=64 * 64, tile=64, overlap=8)

        def core(self, images, text=None):
            return exposed(images[0])

    x = torch.linspace(0, 1, 192)[:, None].expand(1, 3, 192, 128)
    plain = run_rows(Mean(), [x], [{}])
    torch.testing.assert_close(plain, run_tiled(exposed, [x], tile=64, overlap=8, stride=8))
    Mean.running = replace(Mean.running, levelled=True)
    assert (run_rows(Mean(), [x], [{}]) - exposed(x)).abs().mean() < 0.3 * (plain - exposed(x)).abs().mean()


def test_thermal_cameras_of_1280_are_run_whole_everywhere():
    layers = RunOptions(12_600_000, 2048).in_layers()
    assert 1280 * 1024 <= layers.max_pixels < layers.tile**2 * 1.1
    assert RunOptions(1_000_000, 640).in_layers() == RunOptions(1_000_000, 640)


@pytest.mark.parametrize('size', [(32, 5000), (5000, 40), (130, 1000), (480, 640), (64, 65)])
def test_no_more_is_run_than_allowed(size: tuple[int, int]):
    seen = []
    x = torch.zeros(1, 3, *size)
    level_tiles(lambda v: (seen.append(v.shape[-2:]), v)[1], [x], x, pixels=64 * 64, stride=32)
    [(height, width)] = seen
    assert height % 32 == width % 32 == 0
    assert height * width <= 64 * 64


def test_flat_infrared_in_tiles_has_one_brightness():
    """What ships, against the whole picture; unlevelled, each tile guesses by itself what the frame has lost."""
    scene = render_scene(2010, (320, 480), 'day')
    flat = np.uint8(115 + 0.3 * (scene.infrared.astype(float) - 115))
    fuser = FusionInferencer('lure-tiny', device='cpu')
    own, pair = fuser.runner.running, dict(vi=scene.visible, ir=flat)
    whole, levelled, plain = [], [], []
    for running, into in (
        (own, whole),
        (own.in_tiles(256), levelled),
        (replace(own.in_tiles(256), levelled=False), plain),
    ):
        fuser.runner.running = running
        into.append(fuser.predict(dict(ir='lc'), **pair).picture)
    errors = [np.abs(found[0] - whole[0]).mean() for found in (levelled, plain)]
    assert errors[0] < 0.7 * errors[1]


@pytest.mark.parametrize(
    ('size', 'tile', 'tiles'),
    [((1536, 2048), 1152, {(800, 1056)}), ((64, 96), 64, {(64, 64)}), ((160, 32), 64, {(64, 32)})],
)
def test_tiles_cover_the_picture_evenly(size: tuple[int, int], tile: int, tiles: set[tuple[int, int]]):
    seen = []
    x = torch.zeros(1, 1, *size)
    run_tiled(
        lambda v: (seen.append(tuple(v.shape[-2:])), v.expand(-1, 3, -1, -1))[1], [x], tile, 64 * tile // 1152, 32
    )
    assert set(seen) == tiles
