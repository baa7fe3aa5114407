"""Brightness, contrast and cast of areas, put right in latents that are pictures.

Nearly all that is wrong with a restored real picture is of low frequency: how bright a dark scene shall be is one
number that a fully convolutional network spreads over thousands of pixels. :class:`TextGuidedTone` reads the whole
picture, and what the encoder made of it, on a small grid and answers with a gain and an offset for each area, as the
learned enhancement on bilateral grids does (Gharbi et al. 2017, HDRNet). Not in the paper. Shapes as in
:mod:`lurefusion.models.lure`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lurefusion.models.layers import full_precision

#: of each colour and area: mean, least, most, standard deviation
STATISTICS = 4
#: jobs that it tells apart by the text
JOBS = 8


def area_statistics(blocks: Tensor, side: int) -> Tensor:
    """(B,12,h/side,w/side): mean, least, most and deviation of each colour, of a picture in blocks (B,3n,h,w)."""
    pixels = blocks.float().reshape(blocks.shape[0], 3, -1, blocks.shape[2], blocks.shape[3])
    mean = F.avg_pool2d(pixels.mean(2), side)
    square = F.avg_pool2d(pixels.square().mean(2), side)
    least, most = -F.max_pool2d(-pixels.amin(2), side), F.max_pool2d(pixels.amax(2), side)
    return torch.cat([mean, least, most, (square - mean.square()).clamp(min=1e-6).sqrt()], dim=1)


def area_means(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Values (B,C,h,w) on another grid: means by the exact share of each old cell in each new one."""
    rows, columns = _shares(values.shape[2], size[0], values), _shares(values.shape[3], size[1], values)
    return torch.matmul(torch.matmul(rows, values), columns.transpose(0, 1))


def _shares(old: int, new: int, like: Tensor) -> Tensor:
    """(new, old), rows add up to 1."""
    edges = torch.arange(new + 1, device=like.device, dtype=like.dtype) * (old / new)
    cells = torch.arange(old, device=like.device, dtype=like.dtype)
    overlap = torch.minimum(edges[1:, None], cells + 1) - torch.maximum(edges[:-1, None], cells)
    return overlap.clamp(min=0.0) * (new / old)


def toned(z: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    """gain z + offset, of z (B,3n,h,w) and maps (B,3,h,w)."""
    batch, _, height, width = z.shape
    gain, offset = (maps.reshape(batch, 3, 1, height, width) for maps in (gain, offset))
    # one large tensor is made, not two
    return torch.addcmul(offset, gain, z.reshape(batch, 3, -1, height, width)).reshape(z.shape)


def enlarged(maps: Tensor, like: Tensor) -> Tensor:
    """Maps (B,C,h,w) at the height and width of another tensor, bilinear."""
    rows, columns = _hats(maps.shape[2], like.shape[2], maps), _hats(maps.shape[3], like.shape[3], maps)
    return torch.matmul(torch.matmul(rows, maps), columns.transpose(0, 1))


def _hats(old: int, new: int, like: Tensor) -> Tensor:
    """(new, old), rows add up to 1."""
    places = (torch.arange(new, device=like.device, dtype=like.dtype) + 0.5) * (old / new) - 0.5
    cells = torch.arange(old, device=like.device, dtype=like.dtype)
    return (1 - (places.clamp(0, old - 1)[:, None] - cells).abs()).clamp(min=0.0)


def of_one_colour(maps: Tensor, grey: Tensor) -> Tensor:
    """Maps (B,3,h,w) with one value for all colours in the rows that are `grey` (B,)."""
    return torch.where(grey[:, None, None, None], maps.mean(1, keepdim=True).expand_as(maps), maps)


class TextGuidedTone(nn.Module):
    """z' = exp(g a) z + g b for every scale: a, b smooth maps (B,3,h,w), g the gate of the text.

    The maps come from statistics of areas of x and of z, the latter as a picture, on a grid of one size for all
    pictures: so a scene means the same to it at any resolution. g = clamp(Linear(c), 0, 1) is exactly 0 for texts that
    ask for nothing of the kind: then nothing is changed. Starts as the identity.

    Args:
        text_dim: Width of c.
        side: Of an area, in blocks of the finest latent.
        members: Heads whose maps are averaged.
        width: Channels of a head.
        depth: Blocks of a head.
        grid: Rows and columns of what is read; the maps have half of them. Even numbers.
    """

    # replaced in an export
    means = staticmethod(area_means)
    enlarge = staticmethod(enlarged)

    def __init__(
        self,
        text_dim: int,
        side: int = 8,
        members: int = 2,
        width: int = 64,
        depth: int = 4,
        grid: tuple[int, int] = (24, 32),
    ) -> None:
        super().__init__()
        if any(side < 2 or side % 2 for side in grid):
            raise ValueError(f'image_encoder.tone.grid must be two even numbers, got {tuple(grid)}')
        self.side = side
        self.grid = tuple(grid)
        self.gate = nn.Linear(text_dim, 1)
        # shares of a few jobs: wordings of a task are further apart than tasks are
        self.jobs = nn.Linear(text_dim, JOBS)
        self.heads = nn.ModuleList(ToneHead(width, depth) for _ in range(members))

    def read(self, x: Tensor, z: Tensor) -> Tensor:
        """What it sees, (B,24,*grid), of picture x and finest latent z in blocks (B,3n,h,w)."""
        areas = torch.cat([area_statistics(x, self.side), area_statistics(z, self.side)], dim=1)
        return self.means(areas, self.grid).reshape(areas.shape[0], areas.shape[1], *self.grid)

    def answer(self, seen: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithm of the gain, and offset, (B,3,rows/2,columns/2) each, before the gate; c (B,text_dim)."""
        jobs = self.jobs(c).softmax(dim=1)
        return (sum(head(seen, jobs) for head in self.heads) / len(self.heads)).chunk(2, dim=1)

    def opening(self, c: Tensor) -> Tensor | None:
        """How far each text opens it, (B,1,1,1) in [0,1], of c (B,text_dim); None: closed for all, nothing is to do."""
        gate = self.gate(c.float()).clamp(0, 1)[:, :, None, None]
        recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()
        return gate if self.training or recorded or gate.any() else None

    def maps(self, x: Tensor, z: Tensor, c: Tensor, gate: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithm of the gain, and offset, (B,3,rows/2,columns/2) each.

        Args:
            x: The picture in blocks (B,3n,h,w), as it came.
            z: What it became, in the same blocks.
            c: (B,text_dim).
            gate: Of :meth:`opening`.
        """
        gain, offset = self.answer(self.read(x, z), c.float())
        return gate * gain, gate * offset

    def forward(self, x: Tensor, latents: list[Tensor], c: Tensor, grey: Tensor) -> list[Tensor]:
        """Latents (B,3n,h,w), fine to coarse, put right; x (B,3n,h,w) in the same blocks as the finest of them.

        Args:
            x: The picture in blocks, as it came.
            latents: Pictures at several sizes.
            c: (B,text_dim).
            grey: (B,) bool: of these, all colours get the same.
        """
        # brightness of a whole picture: rounding of half precision would show
        with full_precision(x):
            gate = self.opening(c)
            if gate is None:
                return latents
            gain, offset = (of_one_colour(values, grey) for values in self.maps(x, latents[0], c, gate))
            return [toned(z, self.enlarge(gain.exp(), z), self.enlarge(offset, z)) for z in latents]

    def export_form(self) -> nn.Module:
        """See :mod:`lurefusion.models.export_forms`: what is made of sizes is not recorded as it was for one."""
        self.means, self.enlarge = torch.jit.script(area_means), torch.jit.script(enlarged)
        return self


class ToneHead(nn.Module):
    """Statistics of areas and shares of jobs to the six maps."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2 * 3 * STATISTICS, width, 4, stride=2, padding=1)
        self.blocks = nn.ModuleList(ToneBlock(width) for _ in range(depth))
        self.maps = nn.Conv2d(width, 6, 1)
        for values in (self.maps.weight, self.maps.bias):
            nn.init.zeros_(values)

    def forward(self, seen: Tensor, jobs: Tensor) -> Tensor:
        """(B,24,rows,columns), (B,JOBS) to (B,6,rows/2,columns/2)."""
        h = self.stem(seen)
        for block in self.blocks:
            h = block(h, jobs)
        return self.maps(h)


class ToneBlock(nn.Module):
    """Norm, depthwise 5x5 under the text, means and deviations of the whole, an MLP at every point; residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 5, groups=width)
        self.text = nn.Linear(JOBS, 2 * width)
        # a row for each job, not a sum of many
        nn.init.normal_(self.text.weight, std=0.5)
        self.whole = nn.Linear(2 * width, width)
        self.enter = nn.Conv2d(width, 2 * width, 1)
        self.leave = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: Tensor, jobs: Tensor) -> Tensor:
        """x (B,C,h,w), jobs (B,JOBS)."""
        scale, shift = self.text(jobs)[:, :, None, None].chunk(2, dim=1)
        mean = x.mean(dim=(2, 3))
        deviation = ((x - mean[:, :, None, None]).square().mean(dim=(2, 3)) + 1e-6).sqrt()
        h = x - x.mean(dim=(1, 2, 3), keepdim=True)
        h = h / (h.square().mean(dim=(1, 2, 3), keepdim=True) + 1e-5).sqrt()
        h = self.depthwise(F.pad(h, [2, 2, 2, 2], mode='replicate')) * (1 + scale) + shift
        h = h + self.whole(torch.cat([mean, deviation], dim=1))[:, :, None, None]
        return x + self.leave(F.gelu(self.enter(h)))
