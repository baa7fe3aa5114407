"""The table of all metrics (unit, range, direction, source, function), and one call that runs several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, nan

import torch
from torch import Tensor

from lurefusion.evaluation import functional as fn
from lurefusion.evaluation.functional import VARIANTS
from lurefusion.evaluation.niqe import niqe
from lurefusion.evaluation.pictures import Pictures, Sources, TooSmallError
from lurefusion.registry import did_you_mean

VARIANT_CHOICES = (*VARIANTS, 'both')


@dataclass(frozen=True)
class MetricCard:
    """What one needs to know to read a column.

    Attributes:
        name: Column title, as in fusion papers.
        title: Full name.
        unit: Unit, '' when there is none.
        range: Lowest and highest value.
        higher_is_better: Direction.
        needs: ``fused`` (the picture alone), ``sources`` or ``reference``.
        aggregation: How the sources are combined, '' when there is nothing to combine.
        source: Publication.
        function: `function(fused, sources, **options)` or, with a reference, `function(image, reference)`; None for
            the networks that pyiqa runs.
        variants: Values of `variant` that the function knows.
        decimals: Digits after the point in tables.
        note: What to beware of.
    """

    name: str
    title: str
    unit: str
    range: tuple[float, float]
    higher_is_better: bool
    needs: str
    aggregation: str
    source: str
    function: Callable[..., Tensor] | None
    variants: tuple[str, ...] = ('standard',)
    decimals: int = 3
    note: str = ''

    @property
    def arrow(self) -> str:
        return '↑' if self.higher_is_better else '↓'


@dataclass(frozen=True)
class NetworkCard(MetricCard):
    """A no-reference score by a trained network of pyiqa.

    Attributes:
        network: Name in pyiqa.
        files: Weight files that the user provides.
    """

    network: str = ''
    files: tuple[str, ...] = ()


def _network(name: str, title: str, span: tuple[float, float], source: str, network: str, *files: str) -> NetworkCard:
    return NetworkCard(name, title, '', span, True, 'fused', '', source, None, network=network, files=files)


NOISE_NOTE = 'noise raises it too: read it beside PSNR and SSIM'

METRIC_CARDS: dict[str, MetricCard] = {
    card.name: card
    for card in (
        MetricCard('CC', 'correlation coefficient', '', (-1, 1), True, 'sources', 'mean', 'Pearson', fn.correlation),
        MetricCard('SCD', 'sum of the correlations of differences', '', (-2, 2), True, 'sources', 'sum',
                   'Aslantas and Bendes, AEU 2015', fn.scd, note='defined for two sources'),
        MetricCard('PSNR', 'peak signal-to-noise ratio', 'dB', (0, inf), True, 'sources', 'PSNR of the mean MSE',
                   'LURE, section 4.1.3', fn.psnr, VARIANTS, 2,
                   'paper variant: 10 log10(255 / RMSE of [0, 1] pictures) = (dB + 48.13) / 2'),
        MetricCard('SSIM', 'structural similarity', '', (-1, 1), True, 'sources', 'mean', 'Wang et al., IEEE TIP 2004',
                   fn.ssim, VARIANTS, note='paper variant: stabilisers of L = 1 on 0..255 data'),
        MetricCard('MS-SSIM', 'multi-scale structural similarity', '', (0, 1), True, 'sources', 'mean',
                   'Wang et al., Asilomar 2003', fn.ms_ssim, VARIANTS, note='sides of at least 161 pixels'),
        MetricCard('VIF', 'visual information fidelity, pixel domain', '', (0, inf), True, 'sources', 'sum',
                   'Sheikh and Bovik, IEEE TIP 2006', fn.vif, note='sides of at least 41 pixels'),
        MetricCard('Qabf', 'edge preservation', '', (0, 1), True, 'sources', 'weighted by edge strength',
                   'Xydeas and Petrovic, Electronics Letters 2000', fn.qabf),
        MetricCard('MI', 'mutual information', 'bits', (0, 16), True, 'sources', 'sum',
                   'Qu et al., Electronics Letters 2002', fn.mutual_information),
        MetricCard('EN', 'entropy', 'bits', (0, 8), True, 'fused', '', 'Shannon; Roberts et al., JARS 2008',
                   fn.entropy, note=NOISE_NOTE),
        MetricCard('SD', 'standard deviation', 'grey levels', (0, 127.5), True, 'fused', '', 'Rao, 1997',
                   fn.standard_deviation, decimals=2, note=NOISE_NOTE),
        MetricCard('AG', 'average gradient', 'grey levels / pixel', (0, 255), True, 'fused', '',
                   'Cui et al., Optics Communications 2015', fn.average_gradient, decimals=2, note=NOISE_NOTE),
        MetricCard('SF', 'spatial frequency', 'grey levels / pixel', (0, 360.6), True, 'fused', '',
                   'Eskicioglu and Fisher, IEEE Trans. Communications 1995', fn.spatial_frequency, decimals=2,
                   note=NOISE_NOTE),
        MetricCard('Qcv', 'visual difference by regions', 'grey levels squared', (0, inf), False, 'sources',
                   'weighted by saliency', 'Chen and Varshney, Information Fusion 2007', fn.qcv, decimals=1),
        MetricCard('NIQE', 'natural image quality evaluator', '', (0, inf), False, 'fused', '',
                   'Mittal et al., IEEE SPL 2013', niqe, decimals=2,
                   note='pristine model fitted for this package: values differ from those of the original MATLAB '
                        'parameters (pass them as `parameters` for those); rank correlation with the strength of blur '
                        '0.98, of noise 0.99, of lost contrast 0.75, on 12 pictures outside the fit'),
        MetricCard('PSNR_ref', 'PSNR against the clean reference', 'dB', (0, inf), True, 'reference', '',
                   'ordinary definition, on RGB', fn.reference_psnr, decimals=2),
        MetricCard('SSIM_ref', 'SSIM against the clean reference', '', (-1, 1), True, 'reference', '',
                   'Wang et al., IEEE TIP 2004, mean over RGB', fn.reference_ssim),
        MetricCard('Chroma', 'chroma kept in coloured pixels', '%', (0, inf), True, 'reference', '', 'this package',
                   fn.chroma_kept, decimals=1, note='100 is all of it, more is too much; a grey reference gives NaN'),
        MetricCard('Hue', 'turn of the hue in coloured pixels', 'degrees', (0, 180), False, 'reference', '',
                   'this package', fn.hue_shift, decimals=1),
    )
}  # fmt: skip

NETWORK_CARDS: dict[str, NetworkCard] = {
    card.name: card
    for card in (
        _network('CLIP-IQA', 'CLIP image quality', (0, 1), 'Wang et al., AAAI 2023', 'clipiqa', 'RN50.pt'),
        _network('LIQE', 'vision-language quality, KonIQ', (1, 5), 'Zhang et al., CVPR 2023', 'liqe',
                 'ViT-B-32.pt', 'liqe_koniq.pt'),
        _network('LIQE-mix', 'vision-language quality, six data sets', (1, 5), 'Zhang et al., CVPR 2023', 'liqe_mix',
                 'ViT-B-32.pt', 'liqe_mix.pt'),
        _network('MANIQA', 'multi-dimension attention, KonIQ', (0, 1), 'Yang et al., CVPR Workshops 2022', 'maniqa',
                 'ckpt_koniq10k.pt'),
        _network('MUSIQ', 'multi-scale transformer, KonIQ', (0, 100), 'Ke et al., ICCV 2021', 'musiq',
                 'musiq_koniq_ckpt-e95806b9.pth'),
        _network('MUSIQ-AVA', 'multi-scale transformer, AVA', (1, 10), 'Ke et al., ICCV 2021', 'musiq-ava',
                 'musiq_ava_ckpt-e8d3f067.pth'),
        _network('ARNIQA', 'distortion manifold, KonIQ', (0, 1), 'Agnolucci et al., WACV 2024', 'arniqa',
                 'ARNIQA.pth', 'regressor_koniq10k.pth'),
    )
}  # fmt: skip

NETWORK_METRICS = ('CLIP-IQA', 'LIQE', 'MANIQA', 'MUSIQ', 'ARNIQA')
FUSION_METRICS = tuple(name for name, card in METRIC_CARDS.items() if card.needs != 'reference')
RANKED_METRICS = ('CC', 'SCD', 'PSNR', 'SSIM', 'MS-SSIM', 'VIF', 'Qabf')
FULL_REFERENCE_METRICS = ('CC', 'SCD', 'PSNR', 'SSIM', 'MS-SSIM', 'VIF', 'Qabf', 'MI', 'EN', 'SD', 'AG', 'SF')


def card_of(column: str) -> MetricCard:
    """Card of a column title, ``PSNR_paper`` and the like included.

    Raises:
        KeyError: If there is no such metric; the message suggests the nearest one and lists all.
    """
    cards = {**METRIC_CARDS, **NETWORK_CARDS}
    card = cards.get(column) or cards.get(column.removesuffix('_paper'))
    if card is None or (column.endswith('_paper') and 'paper' not in card.variants):
        known = list(cards)
        raise KeyError(f'{column!r} is not a metric.{did_you_mean(column, known)} Known: {", ".join(known)}')
    return card


def select_metrics(metrics: str | Sequence[str] = 'all') -> tuple[str, ...]:
    """Names of fusion metrics: ``all``, ``ranked`` (the seven of the mean rank), one name, or a sequence of names.

    Raises:
        KeyError: On an unknown name.
    """
    if isinstance(metrics, str):
        metrics = {'all': FUSION_METRICS, 'ranked': RANKED_METRICS}.get(metrics, (metrics,))
    for name in metrics:
        if name not in METRIC_CARDS:
            card = card_of(name)
            hint = 'with NoReferenceIQA' if isinstance(card, NetworkCard) else 'with variant="paper"'
            raise KeyError(f'{name!r} is not computed here: ask for {card.name!r} {hint}')
    return tuple(dict.fromkeys(metrics))


def columns_of(metrics: Sequence[str], variant: str = 'standard') -> list[tuple[str, str, str]]:
    """(column, metric, variant) in table order; ``both`` adds a `_paper` column to the metrics that have the variant.

    Raises:
        ValueError: On an unknown variant.
    """
    if variant not in VARIANT_CHOICES:
        raise ValueError(f'variant must be one of {", ".join(VARIANT_CHOICES)}; got {variant!r}')
    columns = []
    for name in metrics:
        has_paper = 'paper' in METRIC_CARDS[name].variants
        if variant != 'paper' or not has_paper:
            columns.append((name, name, 'standard'))
        if variant != 'standard' and has_paper:
            columns.append((f'{name}_paper', name, 'paper'))
    return columns


def compute(
    fused: Tensor | Pictures,
    sources: Sources | None = None,
    metrics: str | Sequence[str] = 'all',
    variant: str = 'standard',
    reference: Tensor | None = None,
    options: dict[str, dict] | None = None,
    too_small: str = 'raise',
) -> dict[str, Tensor]:
    """Several metrics of one batch, sharing what they have in common.

    Args:
        fused: (B, 1|3, H, W), uint8 or floating in [0, 1].
        sources: Tensors of the same B, H, W.
        metrics: See :func:`select_metrics`.
        variant: ``standard``, ``paper`` or ``both``.
        reference: Clean pictures (B, 1|3, H, W), for `PSNR_ref` and `SSIM_ref`.
        options: Metric -> further keywords, such as ``{'MI': {'base': 'nats'}}``.
        too_small: ``raise`` when the pictures are too small for a metric (MS-SSIM, VIF, NIQE), or ``nan``.

    Returns:
        Column -> (B,) float64; a metric in its paper variant is called `<name>_paper`.

    Raises:
        KeyError: On an unknown metric.
        ValueError: As the metrics raise, or if `PSNR_ref` or `SSIM_ref` is asked for without a reference.
    """
    if too_small not in ('raise', 'nan'):
        raise ValueError(f'too_small must be "raise" or "nan", got {too_small!r}')
    options = options or {}
    unknown = set(options) - set(METRIC_CARDS)
    if unknown:
        raise KeyError(f'options for unknown metrics: {", ".join(sorted(unknown))}')
    pictures = Pictures.of(fused, sources)
    values = {}
    with torch.no_grad():
        for column, name, kind in columns_of(select_metrics(metrics), variant):
            card = METRIC_CARDS[name]
            keywords = dict(options.get(name, {}))
            if card.needs == 'reference':
                if reference is None or isinstance(fused, Pictures):
                    raise ValueError(f'{name} needs a reference image and the fused tensor itself')
                values[column] = card.function(fused, reference, **keywords)
                continue
            if kind != 'standard':
                keywords['variant'] = kind
            try:
                values[column] = card.function(pictures, **keywords)
            except TooSmallError:
                if too_small == 'raise':
                    raise
                values[column] = pictures.fused.new_full((len(pictures.fused),), nan)
    return values
