"""LureFast: fusion by prompt in real time on a CPU; a small network draws maps, a few filters of full size use them.

The luma of each picture passes a curve of straight pieces that differs from place to place and follows the text; the
chroma of the modality that owns it is scaled beside it. A tone may put both right by a look at the whole picture. A few
convolutions on blocks of 2x2 pixels then say, pixel by pixel, how much of either luma is taken, and what is noise.

Shapes: B batch, M = 2 modalities, D width of the text vector, images (B,3,H,W) in [0,1]. A picture in blocks is
(B,6,H/2,W/2): the four lumas of 2x2 pixels, and their mean Cb and Cr. Features are (B,F,H/8,W/8).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lurefusion.models.base import FusionModel
from lurefusion.models.layers import full_precision
from lurefusion.models.losses import LossSet
from lurefusion.models.strips import in_parts, rectangles
from lurefusion.models.text_encoders import TextEncoder
from lurefusion.models.tone import TextGuidedTone
from lurefusion.ops.colour import CHROMA_BLUE, CHROMA_RED, LUMA, ycbcr_to_rgb
from lurefusion.prompts import PSEUDO_TASK, PromptBank
from lurefusion.registry import MODELS
from lurefusion.runtime.passes import RunOptions
from lurefusion.structures import FusionDataSample

#: lumas at which the slope of a curve changes: dense where a dark picture has to be pulled apart
KNOTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4)
#: a curve: offset, slope, change of slope at each knot; chroma: 2x2 matrix, share of the gain of luma, offset
CURVE, CHROMA = 2 + len(KNOTS), 7
#: planes at stride 8 that make an area of the tone, 16 pixels a side
AREA = 2
# slopes of a very dark picture are ten times those of a clean one: what the heads give counts so many times
SLOPE = 4.0
# passes of what is negative: without it, channels that one text makes negative everywhere are dead under this text
LEAK = 0.1
REFERENCE = 'reference_'
#: height and width of the maps of a part (1024x1280 pixels): larger pictures are drawn part by part, see models.strips
PART = (128, 160)


class ToBlocks(nn.Module):
    """(B,3,H,W) RGB to (B,6,H/2,W/2): luma of the pixels (0,0), (0,1), (1,0), (1,1), mean Cb and Cr of the four."""

    def __init__(self) -> None:
        super().__init__()
        kernel = np.zeros((6, 3, 4), np.float32)
        kernel[range(4), :, range(4)] = LUMA
        kernel[4:] = np.array([CHROMA_BLUE, CHROMA_RED])[:, :, None] / 4
        self.register_buffer('kernel', torch.from_numpy(kernel).view(6, 3, 2, 2), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Planes one after the other: what follows takes them apart."""
        return F.conv2d(x, self.kernel, stride=2).contiguous(memory_format=torch.contiguous_format)


class FromBlocks(nn.Module):
    """(B,6,h,w) to (B,3,2h,2w) RGB; chroma is enlarged bilinearly."""

    def __init__(self) -> None:
        super().__init__()
        rgb = np.stack(ycbcr_to_rgb(*np.eye(3)))
        # of the block's row (column) and its neighbours, what a pixel of its first and of its second one takes
        near = np.array([[0.25, 0.75, 0.0], [0.0, 0.75, 0.25]])
        kernel = np.zeros((3, 2, 2, 6, 3, 3), np.float32)
        for row, column in np.ndindex(2, 2):
            kernel[:, row, column, 2 * row + column, 1, 1] = rgb[:, 0]
            kernel[:, row, column, 4:] = rgb[:, 1:, None, None] * np.outer(near[row], near[column])
        self.register_buffer('kernel', torch.from_numpy(kernel).view(12, 6, 3, 3), persistent=False)

    def forward(self, blocks: Tensor) -> Tensor:
        """Borders are repeated."""
        return F.pixel_shuffle(F.conv2d(F.pad(blocks, (1, 1, 1, 1), mode='replicate'), self.kernel), 2)


def scaled(part: tuple[slice, slice], factor: int = 1) -> tuple[Any, slice, slice]:
    """Index of the same rectangle of pictures (...,H,W) of `factor` times the size."""
    rows, columns = (slice(factor * x.start, factor * x.stop) for x in part)
    return ..., rows, columns


def enlarged(maps: Tensor) -> Tensor:
    """(B,C,H/8,W/8) to (B,C,H/2,W/2), float32."""
    planes = maps.contiguous(memory_format=torch.contiguous_format)
    return F.interpolate(planes, scale_factor=4, mode='bilinear').float()


class Film(nn.Module):
    """Convolution, then (1 + gamma) h + beta with gamma and beta from a code (B,K), then leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, code: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1)
        self.film = nn.Linear(code, 2 * outputs)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """x (B,C,h,w), code (B,K)."""
        gamma, beta = self.film(code)[:, :, None, None].chunk(2, dim=1)
        return F.leaky_relu_(torch.addcmul(beta, 1 + gamma, self.conv(x)), LEAK)


class MapEncoder(nn.Module):
    """Features of a picture in blocks, under a text: strides 4 to 32 and back to 8, and the mean of the whole picture.

    Args:
        text_dim: D.
        num_modalities: M.
        widths: Channels at the strides 4, 8, 16 and 32; the second is F.
        code: Length of the code that text and modality become.
    """

    def __init__(self, text_dim: int, num_modalities: int, widths: Sequence[int], code: int) -> None:
        super().__init__()
        a, b, c, d = widths
        self.text = nn.Linear(text_dim, code)
        self.modality = nn.Parameter(torch.zeros(num_modalities, code))
        nn.init.normal_(self.modality, std=0.5)
        self.stem = nn.Conv2d(6, a, 3, 2, 1)
        self.down = nn.ModuleList([Film(a, b, code, 2), Film(b, c, code, 2), Film(c, d, code, 2)])
        self.whole = nn.Linear(d, d)
        self.deep = Film(d, d, code)
        self.shrink = nn.ModuleList([nn.Conv2d(d, c, 1), nn.Conv2d(c, b, 1)])
        self.up = nn.ModuleList([Film(c, c, code), Film(b, b, code)])

    def forward(self, blocks: Tensor, c: Tensor, m: Tensor) -> Tensor:
        """blocks (B,6,H/2,W/2), c (B,D), m (B,) int64 to (B,F,H/8,W/8)."""
        # text vectors are long: a step of the optimizer would send the code of all texts to its bounds
        code = torch.tanh(self.text(F.normalize(c)) + self.modality[m])
        h, skips = F.leaky_relu_(self.stem(blocks), LEAK), []
        for down in self.down:
            h = down(h, code)
            skips.append(h)
        h = self.deep(h + self.whole(h.mean(dim=(2, 3)))[:, :, None, None], code)
        for shrink, up, skip in zip(self.shrink, self.up, skips[-2::-1], strict=True):
            h = up(skip + F.interpolate(shrink(h), scale_factor=2, mode='bilinear'), code)
        return h


class Merger(nn.Module):
    """Two restored lumas and one chroma to the fused blocks, by convolutions on blocks.

    Args:
        features: F of the map encoder.
        width: Channels of the convolutions.
        depth: Number of convolutions.
        context: Channels in which the features of both pictures are looked at.

    Raises:
        ValueError: If `depth` is below 2.
    """

    def __init__(self, features: int, width: int, depth: int, context: int) -> None:
        super().__init__()
        if depth < 2:
            raise ValueError(f'model.merger.depth must be at least 2, got {depth}')
        self.context = nn.Conv2d(2 * features, context, 1)
        inner = [nn.Conv2d(10 + context if i == 0 else width, width, 3, 1, 1) for i in range(depth - 1)]
        self.inner = nn.ModuleList(inner)
        self.last = nn.Conv2d(width, 10, 3, 1, 1)

    def forward(self, one: Tensor, other: Tensor, chroma: Tensor, features: Tensor) -> Tensor:
        """Lumas (B,4,h,w) of the owner of the colour and of the other, chroma (B,2,h,w), features (B,2F,h/4,w/4)."""
        h = torch.cat([one, other, chroma, enlarged(self.context(features))], dim=1)
        h = h.contiguous(memory_format=torch.channels_last)
        for conv in self.inner:
            h = F.leaky_relu_(conv(h), LEAK)
        h = self.last(h).contiguous(memory_format=torch.contiguous_format)
        share, change, tint = h.split((4, 4, 2), dim=1)
        luma = torch.addcmul(one + change, 0.5 + share, other - one)
        return torch.cat([luma, chroma + tint], dim=1)


@MODELS.register_module()
class LureFast(FusionModel):
    """Restores by prompt and fuses two modalities, as :class:`~lurefusion.models.lure.LURE`, at a fraction of its cost.

    It starts as the identity: a picture alone comes back as it is (its chroma at half the resolution), a pair as the
    mean of the lumas with the chroma of its owner. A picture alone is a pair of twice the same.

    Training takes restoration pairs (`x`, `y`) and groups of modalities, together or either alone. Where a batch of
    modalities has ``reference_<modality>`` pictures, the losses of fusion look at those in place of the inputs.

    Args:
        modalities: Two names; the position is the modality index m.
        chroma: The one that owns the colour.
        text_encoder: Keywords of :class:`TextEncoder` (backbone, out_dim).
        prompts: Keywords of :class:`PromptBank` (tasks, modality words).
        widths: Channels of the map encoder at the strides 4, 8, 16, 32.
        code: Length of what is left of the text.
        merger: Keywords of :class:`Merger` (width, depth, context).
        losses: Name -> member of LOSSES; the name appears in the log as ``loss_<name>``.
        frozen: Names of children that neither train nor leave eval mode.
        coarse: ``dict(tasks=('hz', 'lc'), size=128)``: where one of these tasks is named, the prediction is corrected
            by a second pass over pictures whose short side is shrunk to `size` (`runtime.passes.add_coarse_pass`).
        tone: Keywords of :class:`lurefusion.models.tone.TextGuidedTone`, which here works on luma, Cb and Cr; None: the
            curves are all.
        data_preprocessor: Of MMEngine's BaseModel.
        init_cfg: Of MMEngine's BaseModel.

    Raises:
        ValueError: If there are not two modalities, or an option does not fit.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        chroma: str,
        text_encoder: dict[str, Any],
        prompts: dict[str, Any] | None = None,
        widths: Sequence[int] = (16, 32, 48, 64),
        code: int = 24,
        merger: dict[str, Any] | None = None,
        losses: dict[str, Any] | None = None,
        frozen: Sequence[str] = (),
        coarse: dict[str, Any] | None = None,
        tone: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor or dict(type='FusionDataPreprocessor')), init_cfg)
        self.modalities = tuple(modalities)
        if len(self.modalities) != 2 or chroma not in self.modalities:
            raise ValueError(
                f'LureFast fuses two modalities, one of which owns the colour; got model.modalities={self.modalities} '
                f'and model.chroma={chroma!r}'
            )
        if len(widths) != 4:
            raise ValueError(f'model.widths are four numbers of channels, got {tuple(widths)}')
        self.chroma = chroma
        self.prompts = PromptBank(**{'modalities': self.modalities, **(prompts or {})})
        self.text_encoder = TextEncoder(**text_encoder, num_classes=len(self.prompts))
        self.to_blocks, self.from_blocks = ToBlocks(), FromBlocks()
        self.encoder = MapEncoder(self.text_encoder.dim, len(self.modalities), widths, code)
        self.maps = nn.Conv2d(widths[1], CURVE + CHROMA, 3, 1, 1)
        self.tone = None if tone is None else TextGuidedTone(self.text_encoder.dim, AREA, **tone)
        self.merger = Merger(widths[1], **{'width': 16, 'depth': 4, 'context': 6, **(merger or {})})
        for head in (self.maps, self.merger.last):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        divisor = self.data_preprocessor.take_divisor(self.size_divisor)
        if divisor % self.size_divisor:
            raise ValueError(
                f'model.data_preprocessor.size_divisor={divisor} is no multiple of {self.size_divisor}, which the '
                f'strides of LureFast ask for'
            )
        # a tone looks at the whole picture, of which a tile is none
        self.running = RunOptions(coarse=self.coarse_pass(coarse), levelled=tone is not None)
        self.losses = LossSet(losses or {})
        self.freeze(frozen)

    @property
    def size_divisor(self) -> int:
        """The last stride of the map encoder."""
        return 32

    def encode_text(self, sentences: Sequence[str]) -> Tensor:
        """(M,D) of one sentence for each modality."""
        return self.text_encoder(sentences)[0]

    def classify_text(self, sentences: Sequence[str]) -> np.ndarray:
        """(N,T): how likely each sentence is about each task."""
        return self.text_encoder.classify(sentences)

    # ------------------------------------------------------------- pictures

    def core(self, images: tuple[Tensor, ...], text: Tensor | None = None) -> Tensor:
        """Fused picture (B,3,H,W), not clamped, of two (B,3,H,W) and their text vectors (2,D)."""
        return self.fuse(images, [c.expand(images[0].shape[0], -1) for c in text[:, None]])

    def fuse(self, images: Sequence[Tensor], c: Sequence[Tensor]) -> Tensor:
        """Fused picture (B,3,H,W), not clamped: `images` 2 x (B,3,H,W), `c` 2 x (B,D)."""
        owner = self.modalities.index(self.chroma)
        m = [torch.full(images[0].shape[:1], i, device=images[0].device) for i in (owner, 1 - owner)]
        return self._picture([images[owner], images[1 - owner]], [c[owner], c[1 - owner]], m)

    def restore(self, x: Tensor, text: Tensor, modality: int) -> Tensor:
        """Restored picture (B,3,H,W), not clamped: x (B,3,H,W), text (D,), modality index m."""
        batch = x.shape[0]
        m = torch.full((batch,), modality, device=x.device)
        return self._picture([x], [text.expand(batch, -1)], [m])

    def _picture(self, images: list[Tensor], c: list[Tensor], m: list[Tensor]) -> Tensor:
        """The picture (B,3,H,W) of K times (B,3,H,W), (B,D), (B,): of the pair, the owner of the colour first."""
        with full_precision(images[0]):
            blocks = torch.cat([self.to_blocks(image) for image in images])
        features = self.encoder(blocks, torch.cat(c), torch.cat(m))
        maps = self.maps(features)
        tones = None if self.tone is None else self._tones(blocks, maps, torch.cat(c))
        # not unflatten, nor the size of the batch: an export would keep what it was
        count = len(images)
        blocks, features, maps = (x.view(count, -1, *x.shape[1:]) for x in (blocks, features, maps))
        size = maps.shape[-2:]
        if not in_parts(blocks) or (size[0] <= PART[0] and size[1] <= PART[1]):
            return self._drawn(blocks, features, maps, tones)
        out = blocks.new_empty(len(images[0]), 3, 2 * blocks.shape[-2], 2 * blocks.shape[-1])
        rows, columns = (-(-n // -(-n // most)) for n, most in zip(size, PART, strict=True))
        # blocks that reach over the border of a part: 2 by interpolation, 1 by each convolution
        border = -(-(2 + len(self.merger.inner) + 2) // 4)
        for part in rectangles(*size, rows, columns, border):
            near = scaled(part.outer)
            drawn = self._drawn(
                blocks[scaled(part.outer, 4)], features[near], maps[near], None if tones is None else tones[near]
            )
            out[scaled(part.target, 8)] = drawn[scaled(part.inner, 8)]
        return out

    def before_tone(self, x: Tensor, data_samples: list[FusionDataSample]) -> tuple[Tensor, Tensor]:
        """What the tone reads of pictures alone, for its training: see :meth:`_small`."""
        c, _ = self.text_encoder([self._sentence(s, s.get('modality')) for s in data_samples])
        blocks = self.to_blocks(x)
        return self._small(blocks, self.maps(self.encoder(blocks, c, self._modality_index(data_samples).to(c.device))))

    def _small(self, blocks: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Luma, Cb and Cr, (B,3,H/8,W/8), as they came and as the maps (B,CURVE+CHROMA,H/8,W/8) make them."""
        small = F.avg_pool2d(blocks.float(), 4)
        luma = self._restored_luma(small, maps[:, :CURVE], Tensor.float)
        chroma = self._restored_chroma(small, luma, maps[:, CURVE:], Tensor.float)
        came, became = (
            torch.cat([y.mean(dim=1, keepdim=True), colours], dim=1)
            for y, colours in ((small[:, :4], small[:, 4:]), (luma, chroma))
        )
        return came, became

    def _tones(self, blocks: Tensor, maps: Tensor, c: Tensor) -> Tensor | None:
        """Gains, then offsets, of luma, Cb and Cr, (B,6,H/8,W/8); None where no row asks for a tone."""
        with full_precision(blocks):
            gate = self.tone.opening(c)
            if gate is None:
                return None
            gain, offset = self.tone.maps(*self._small(blocks, maps), c, gate)
            return self.tone.enlarge(torch.cat([gain.exp(), offset], dim=1), maps)

    def _drawn(self, blocks: Tensor, features: Tensor, maps: Tensor, tones: Tensor | None = None) -> Tensor:
        """(B,3,H,W) of blocks (K,B,6,H/2,W/2), features (K,B,F,H/8,W/8), maps (K,B,CURVE+CHROMA,H/8,W/8) and tones."""
        luma = self._restored_luma(blocks.flatten(0, 1), maps[:, :, :CURVE].flatten(0, 1))
        luma = luma.view(len(blocks), -1, *luma.shape[1:])
        chroma = self._restored_chroma(blocks[0], luma[0], maps[0, :, CURVE:])
        if tones is not None:
            tones = enlarged(tones)
            tones = tones.view(len(blocks), -1, *tones.shape[1:])
            luma = torch.addcmul(tones[:, :, 3:4], tones[:, :, :1], luma)
            chroma = torch.addcmul(tones[0, :, 4:], tones[0, :, 1:3], chroma)
        merged = self.merger(luma[0], luma[-1], chroma, torch.cat([features[0], features[-1]], dim=1))
        with full_precision(merged):
            return self.from_blocks(merged.float())

    @staticmethod
    def _restored_luma(blocks: Tensor, curves: Tensor, enlarge: Callable[[Tensor], Tensor] = enlarged) -> Tensor:
        """(B,4,H/2,W/2): y + offset + slope y + sum_k change_k relu(y - knot_k), with maps (B,CURVE,H/8,W/8)."""
        y, slopes = blocks[:, :4], SLOPE * curves[:, 1:].float()
        # relu(y - k) = max(y, k) - k; what does not depend on y is done at the size of the maps
        offset = curves[:, :1] - (slopes[:, 1:] * slopes.new_tensor(KNOTS)[:, None, None]).sum(dim=1, keepdim=True)
        maps = enlarge(torch.cat([offset, slopes], dim=1))
        out = torch.addcmul(y + maps[:, :1], y, maps[:, 1:2])
        for k, knot in enumerate(KNOTS, start=2):
            out = out.addcmul_(y.clamp(min=knot), maps[:, k : k + 1])
        return out

    @staticmethod
    def _restored_chroma(
        blocks: Tensor, luma: Tensor, colours: Tensor, enlarge: Callable[[Tensor], Tensor] = enlarged
    ) -> Tensor:
        """(B,2,H/2,W/2): A c + s g c + o, c the chroma, g by how much luma has grown, with maps (B,CHROMA,H/8,W/8)."""
        chroma = blocks[:, 4:]
        maps = enlarge(torch.cat([SLOPE * colours[:, :4].float(), colours[:, 4:].float()], dim=1))
        before, after = (y.mean(dim=1, keepdim=True) for y in (blocks[:, :4], luma))
        growth = maps[:, 4:5] * ((after - before) / (before.clamp(min=0) + 0.05))
        mixed = torch.addcmul(maps[:, 5:7], maps[:, 0:2], chroma[:, :1]).addcmul_(maps[:, 2:4], chroma[:, 1:])
        return torch.addcmul(mixed, 1 + growth, chroma)

    # -------------------------------------------------------- MMEngine's door

    def loss(self, inputs: dict[str, Tensor], data_samples: list[FusionDataSample]) -> dict[str, Tensor]:
        """Weighted losses, keys ``loss_<name>``, of restoration pairs, of groups of modalities, or of both.

        The samples of a restoration batch come first.
        """
        quantities: dict[str, Any] = {}
        pairs = len(inputs['x']) if 'x' in inputs else 0
        if pairs:
            samples = data_samples[:pairs]
            m = self._modality_index(samples).to(inputs['x'].device)
            c, _ = self.text_encoder([self._sentence(s, s.get('modality'), training=True) for s in samples])
            pred = self._picture([inputs['x']], [c], [m])
            quantities |= dict(
                pred=pred, target=inputs['y'], degraded=inputs['x'], tasks=[s.task for s in samples], m=m
            )
        if not pairs or self.modalities[0] in inputs:
            images, samples = self._images(inputs), data_samples[pairs:]
            texts = [
                self.text_encoder([self._sentence(s, name, training=True) for s in samples])[0]
                for name in self.modalities
            ]
            clean = {name: inputs.get(f'{REFERENCE}{name}', inputs[name]) for name in self.modalities}
            quantities |= dict(fused=self.fuse(images, texts), sources=clean)
        return self.losses(quantities)

    def reconstruct(self, inputs: dict[str, Tensor], data_samples: list[FusionDataSample]) -> Tensor:
        """Restored (`x` in the inputs) or fused picture, (B,3,H,W), not clamped."""
        if 'x' in inputs:
            c, _ = self.text_encoder([self._sentence(s, s.get('modality')) for s in data_samples])
            return self._picture([inputs['x']], [c], [self._modality_index(data_samples).to(c.device)])
        texts = [self.text_encoder([self._sentence(s, name) for s in data_samples])[0] for name in self.modalities]
        return self.fuse(self._images(inputs), texts)

    def _images(self, inputs: dict[str, Tensor]) -> list[Tensor]:
        missing = [name for name in self.modalities if name not in inputs]
        if missing:
            raise ValueError(f'LureFast fuses {self.modalities}, got {tuple(inputs)}; missing: {missing}')
        return [inputs[name] for name in self.modalities]

    def _modality_index(self, data_samples: list[FusionDataSample]) -> Tensor:
        """(B,) int64."""
        names = [sample.get('modality') for sample in data_samples]
        for name in names:
            if name not in self.modalities:
                raise ValueError(f'a sample is of modality {name!r}; model.modalities={self.modalities}')
        return torch.tensor([self.modalities.index(name) for name in names])

    def _sentence(self, sample: FusionDataSample, modality: str | None, training: bool = False) -> str:
        """The sample's own sentence, else one of its task: the canonical one, in training one of many."""
        own = sample.get('sentences', {}).get(modality)
        if own is not None:
            return own
        task = sample.get('tasks', {}).get(modality) or sample.get('task') or PSEUDO_TASK
        if not training:
            return self.prompts.canonical(task)
        return self.prompts.sample(task, np.random.default_rng([sample.seed, self.modalities.index(modality)]))
