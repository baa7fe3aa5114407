"""The built-in metrics (unit, range, direction, source, function), and one call that runs several."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf, nan
from typing import Any

import torch
from torch import Tensor

from lurefusion.choices import did_you_mean, one_of
from lurefusion.evaluation import functional as fn
from lurefusion.evaluation.functional import VARIANTS
from lurefusion.evaluation.niqe import niqe
from lurefusion.evaluation.pictures import Pictures, Sources, TooSmallError, to_levels
from lurefusion.registry import MEASURES

VARIANT_CHOICES = (*VARIANTS, 'both')
NEEDS = ('fused', 'sources', 'reference', 'label')
# what else stands in a row beside the columns, or in a list of metrics beside their names
RESERVED = frozenset({'all', 'ranked', 'name', 'method', 'set', 'task', 'rank', 'score'})


@dataclass(frozen=True)
class MetricCard:
    """A metric: a function and what one needs to know to read its values. Registered in `MEASURES`.

    Attributes:
        name: Column title, as in fusion papers.
        title: Full name.
        unit: Unit, '' when there is none.
        range: Lowest and highest value.
        higher_is_better: Direction.
        needs: What the function takes beside the fused picture: of ``sources``, ``reference`` and ``label``, one or
            more; ``fused`` for nothing else.
        aggregation: How the sources are combined, '' when there is nothing to combine.
        source: Publication.
        function: `function(fused, <needs>..., **options) -> (B,)`, see the contract of `MEASURES`; None for the
            networks that pyiqa runs.
        variants: Values of `variant` that the function knows; ``standard`` alone: it has no such argument.
        decimals: Digits after the point in tables.
        note: What to beware of.
        grey: The function takes :class:`~lurefusion.evaluation.pictures.Pictures` in place of `fused` and `sources`:
            8-bit grey, with what several metrics have in common computed once.
        best: Value that none is better than, within the range; None: its end.

    Raises:
        TypeError, ValueError: If a field is wrong, or the function does not take what it needs.
    """

    name: str
    title: str
    unit: str
    range: tuple[float, float]
    higher_is_better: bool
    needs: str | tuple[str, ...]
    aggregation: str
    source: str
    function: Callable[..., Tensor] | None
    variants: tuple[str, ...] = ('standard',)
    decimals: int = 3
    note: str = ''
    grey: bool = False
    best: float | None = None

    def __post_init__(self) -> None:
        needs = (self.needs,) if isinstance(self.needs, str) else tuple(self.needs)
        object.__setattr__(self, 'needs', tuple(need for need in needs if need != 'fused'))
        problem = self._problem(needs)
        if problem:
            raise ValueError(f'metric {self.name!r}: {problem}')
        if self.function is not None and not self.grey:
            self._check_function()

    def _problem(self, needs: tuple[str, ...]) -> str | None:
        name = self.name
        if not isinstance(name, str) or not re.fullmatch(r'\w[\w+-]*', name) or name.endswith('_paper'):
            return 'a name consists of letters, digits, _, + and -, and does not end with _paper'
        if name in RESERVED:
            return f'the name has another meaning; it is none of {", ".join(sorted(RESERVED))}'
        for field in ('title', 'source'):
            if not isinstance(getattr(self, field), str) or not getattr(self, field).strip():
                return f'{field} is a text, got {getattr(self, field)!r}'
        if not isinstance(self.higher_is_better, bool):
            return f'higher_is_better is True or False, got {self.higher_is_better!r}'
        try:
            low, high = (float(v) for v in self.range)
        except (TypeError, ValueError):
            low = high = nan
        if not low < high:
            return f'range is (lowest, highest), got {self.range!r}'
        for need in needs:
            if need not in NEEDS:
                return f'needs are of {", ".join(NEEDS)}, got {need!r}.{did_you_mean(str(need), list(NEEDS))}'
        if 'standard' not in self.variants or not set(self.variants) <= set(VARIANTS):
            return f'variants are standard and perhaps paper, got {self.variants!r}'
        return None

    def _check_function(self) -> None:
        given: dict[str, Any] = dict.fromkeys(self.needs)
        if len(self.variants) > 1:
            given['variant'] = None
        try:
            inspect.signature(self.function).bind(None, **given)
        except TypeError as error:
            raise TypeError(
                f'metric {self.name!r}: by its card the function is called with the fused picture and the keywords '
                f'{", ".join(given) or "(none)"}, but it takes {inspect.signature(self.function)}: {error}'
            ) from None

    @property
    def arrow(self) -> str:
        return '↑' if self.higher_is_better else '↓'

    @property
    def direction(self) -> str:
        """In words."""
        return f'{self.arrow} better' if self.best is None else f'the nearer to {self.best:g}, the better'


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


_grey = partial(MetricCard, grey=True)
NOISE_NOTE = 'noise raises it too: read it beside PSNR and SSIM'

_CARDS = (
    _grey('CC', 'correlation coefficient', '', (-1, 1), True, 'sources', 'mean', 'Pearson', fn.correlation),
    _grey('SCD', 'sum of the correlations of differences', '', (-2, 2), True, 'sources', 'sum',
               'Aslantas and Bendes, AEU 2015', fn.scd, note='defined for two sources'),
    _grey('PSNR', 'peak signal-to-noise ratio', 'dB', (0, inf), True, 'sources', 'PSNR of the mean MSE',
               'LURE, section 4.1.3', fn.psnr, VARIANTS, 2,
               'paper variant: 10 log10(255 / RMSE of [0, 1] pictures) = (dB + 48.13) / 2'),
    _grey('SSIM', 'structural similarity', '', (-1, 1), True, 'sources', 'mean', 'Wang et al., IEEE TIP 2004',
               fn.ssim, VARIANTS, note='paper variant: stabilisers of L = 1 on 0..255 data'),
    _grey('MS-SSIM', 'multi-scale structural similarity', '', (0, 1), True, 'sources', 'mean',
               'Wang et al., Asilomar 2003', fn.ms_ssim, VARIANTS, note='sides of at least 161 pixels'),
    _grey('VIF', 'visual information fidelity, pixel domain', '', (0, inf), True, 'sources', 'sum',
               'Sheikh and Bovik, IEEE TIP 2006', fn.vif, note='sides of at least 41 pixels'),
    _grey('Qabf', 'edge preservation', '', (0, 1), True, 'sources', 'weighted by edge strength',
               'Xydeas and Petrovic, Electronics Letters 2000', fn.qabf),
    _grey('MI', 'mutual information', 'bits', (0, 16), True, 'sources', 'sum',
               'Qu et al., Electronics Letters 2002', fn.mutual_information),
    _grey('EN', 'entropy', 'bits', (0, 8), True, 'fused', '', 'Shannon; Roberts et al., JARS 2008',
               fn.entropy, note=NOISE_NOTE),
    _grey('SD', 'standard deviation', 'grey levels', (0, 127.5), True, 'fused', '', 'Rao, 1997',
               fn.standard_deviation, decimals=2, note=NOISE_NOTE),
    _grey('AG', 'average gradient', 'grey levels / pixel', (0, 255), True, 'fused', '',
               'Cui et al., Optics Communications 2015', fn.average_gradient, decimals=2, note=NOISE_NOTE),
    _grey('SF', 'spatial frequency', 'grey levels / pixel', (0, 255 * 2**0.5), True, 'fused', '',
               'Eskicioglu and Fisher, IEEE Trans. Communications 1995', fn.spatial_frequency, decimals=2,
               note=NOISE_NOTE),
    _grey('Qcv', 'visual difference by regions', 'grey levels squared', (0, inf), False, 'sources',
               'weighted by saliency', 'Chen and Varshney, Information Fusion 2007', fn.qcv, decimals=1),
    _grey('NIQE', 'natural image quality evaluator', '', (0, inf), False, 'fused', '',
               'Mittal et al., IEEE SPL 2013', niqe, decimals=2,
               note='pristine model fitted for this package: values differ from those of the original MATLAB '
                    'parameters (pass them as `parameters` for those); rank correlation with the strength of blur '
                    '0.98, of noise 0.99, of lost contrast 0.75, on 12 pictures outside the fit'),
    MetricCard('PSNR_ref', 'PSNR against the clean reference', 'dB', (0, inf), True, 'reference', '',
               'ordinary definition, on RGB', fn.reference_psnr, decimals=2),
    MetricCard('SSIM_ref', 'SSIM against the clean reference', '', (-1, 1), True, 'reference', '',
               'Wang et al., IEEE TIP 2004, mean over RGB', fn.reference_ssim),
    MetricCard('Chroma', 'chroma kept in coloured pixels', '%', (0, inf), True, 'reference', '', 'this package',
               fn.chroma_kept, decimals=1, note='more than 100 is too much; a grey reference gives NaN', best=100.0),
    MetricCard('Hue', 'turn of the hue in coloured pixels', 'degrees', (0, 180), False, 'reference', '',
               'this package', fn.hue_shift, decimals=1),
)  # fmt: skip

_NETWORKS = (
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
)  # fmt: skip

for _card in (*_CARDS, *_NETWORKS):
    MEASURES.register_module(module=_card)

NETWORK_METRICS = ('CLIP-IQA', 'LIQE', 'MANIQA', 'MUSIQ', 'ARNIQA')
FUSION_METRICS = tuple(card.name for card in _CARDS if 'reference' not in card.needs)
REFERENCE_METRICS = tuple(card.name for card in _CARDS if 'reference' in card.needs)
# computed wherever there is a reference; the others are asked for by name
FIDELITY_METRICS = ('PSNR_ref', 'SSIM_ref')
RANKED_METRICS = ('CC', 'SCD', 'PSNR', 'SSIM', 'MS-SSIM', 'VIF', 'Qabf')
FULL_REFERENCE_METRICS = ('CC', 'SCD', 'PSNR', 'SSIM', 'MS-SSIM', 'VIF', 'Qabf', 'MI', 'EN', 'SD', 'AG', 'SF')


def card_of(column: str) -> MetricCard:
    """Card of a column title, ``PSNR_paper`` and the like included.

    Raises:
        KeyError: If there is no such metric; the message suggests the nearest one and lists all.
    """
    card = MEASURES.get(column.removesuffix('_paper'))
    if card is not None and (column == card.name or 'paper' in card.variants):
        return card
    return MEASURES.require(column)


def select_metrics(metrics: str | Sequence[str] = 'all') -> tuple[str, ...]:
    """Names of metrics that have a function.

    Args:
        metrics: A name, or a sequence of names. ``all`` stands for the built-in ones that need no reference, ``ranked``
            for the seven of the mean rank; what a plug-in registers is named, as in ``('all', 'Mine')``.

    Raises:
        KeyError: On an unknown name.
    """
    groups = {'all': FUSION_METRICS, 'ranked': RANKED_METRICS}
    names = []
    for name in [metrics] if isinstance(metrics, str) else metrics:
        if name not in groups and ((card := card_of(name)).name != name or card.function is None):
            hint = 'with NoReferenceIQA, or --networks' if card.name == name else 'with variant="paper"'
            raise KeyError(f'{name!r} is not computed here: ask for {card.name!r} {hint}')
        names += groups.get(name, (name,))
    return tuple(dict.fromkeys(names))


def needing(metrics: Sequence[str], need: str) -> list[str]:
    """Those of the metrics that need ``sources``, a ``reference`` or a ``label``."""
    return [name for name in metrics if need in card_of(name).needs]


def check_options(options: Mapping[str, Mapping[str, Any]]) -> None:
    """See that the metrics exist and have these options.

    Args:
        options: Metric -> keyword of its function -> value.

    Raises:
        KeyError: If there is no such metric.
        TypeError: If it has no such option.
    """
    for name, keywords in options.items():
        card = MEASURES.require(name)
        parameters = inspect.signature(card.function).parameters.values() if card.function else ()
        known = [p.name for p in parameters if p.default is not p.empty and p.name not in NEEDS]
        for key in keywords:
            if key == 'variant':
                raise TypeError(f'{name}.variant is no option: choose variants for all metrics (variant, --variant)')
            if key not in known:
                raise TypeError(
                    f'metric {name!r} has no option {key!r}.{did_you_mean(key, known)} '
                    f'It has: {", ".join(known) or "none"}'
                )


def columns_of(metrics: Sequence[str], variant: str = 'standard') -> list[tuple[str, str, str]]:
    """(column, metric, variant) in table order; ``both`` adds a `_paper` column to the metrics that have the variant.

    Raises:
        ValueError: On an unknown variant.
    """
    one_of('variant', variant, VARIANT_CHOICES)
    columns = []
    for name in metrics:
        has_paper = 'paper' in card_of(name).variants
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
    label: Tensor | None = None,
) -> dict[str, Tensor]:
    """Several metrics of one batch, sharing what they have in common.

    Args:
        fused: (B, 1|3, H, W), uint8 or floating in [0, 1].
        sources: Tensors of the same B, H, W.
        metrics: See :func:`select_metrics`; with a reference, ``all`` are also `PSNR_ref` and `SSIM_ref`.
        variant: ``standard``, ``paper`` or ``both``.
        reference: Clean pictures (B, 1|3, H, W), for the metrics that need one, as `PSNR_ref` and `SSIM_ref`.
        options: Metric -> further keywords, such as ``{'MI': {'base': 'nats'}}``.
        too_small: ``raise`` when the pictures are too small for a metric (MS-SSIM, VIF, NIQE), or ``nan``.
        label: Classes (B, H, W), for the metrics that need them.

    Returns:
        Column -> (B,) float64; a metric in its paper variant is called `<name>_paper`.

    Raises:
        KeyError: On an unknown metric.
        TypeError: If a metric does not return one value for each picture.
        ValueError: As the metrics raise, or if one needs sources, a reference or labels that are not given.
    """
    if too_small not in ('raise', 'nan'):
        raise ValueError(f'too_small must be "raise" or "nan", got {too_small!r}')
    options = options or {}
    check_options(options)
    pictures = Pictures.of(fused, sources)
    names = select_metrics(metrics)
    if metrics == 'all' and reference is not None:
        names += FIDELITY_METRICS
    values = {}
    with torch.no_grad():
        for column, name, kind in columns_of(names, variant):
            card = card_of(name)
            keywords = dict(options.get(name, {}))
            if kind != 'standard':
                keywords['variant'] = kind
            if 'sources' in card.needs and not pictures.sources:
                raise ValueError(f'{name} needs at least 1 source image(s), got none')
            # colours anew for each: a metric may work in place
            given = pictures if card.grey else to_levels(pictures.given) / 255
            if not card.grey:
                keywords |= _needed(card, pictures, reference, label)
            try:
                values[column] = _one_each(name, card.function(given, **keywords), len(pictures.fused))
            except TooSmallError:
                if too_small == 'raise':
                    raise
                values[column] = pictures.fused.new_full((len(pictures.fused),), nan)
    return values


def _needed(card: MetricCard, pictures: Pictures, reference: Tensor | None, label: Tensor | None) -> dict[str, Any]:
    needed: dict[str, Any] = {}
    fused = pictures.given
    if 'sources' in card.needs:
        needed['sources'] = {modality: to_levels(source) / 255 for modality, source in pictures.named.items()}
    for need, given in (('reference', reference), ('label', label)):
        if need not in card.needs:
            continue
        if given is None:
            raise ValueError(f'{card.name} needs a {need}: give compute the argument {need}')
        if (given.shape[0], *given.shape[-2:]) != (fused.shape[0], *fused.shape[-2:]):
            raise ValueError(f'the {need} has shape {tuple(given.shape)}, the fused image {tuple(fused.shape)}')
        needed[need] = given.clone() if need == 'label' else to_levels(given) / 255
    return needed


def _one_each(name: str, values: Any, count: int) -> Tensor:
    if not isinstance(values, Tensor) or values.shape != (count,) or values.is_complex():
        got = f'a tensor {tuple(values.shape)}' if isinstance(values, Tensor) else f'a {type(values).__name__}'
        raise TypeError(f'metric {name!r} must return a tensor ({count},), one value for each picture; it gave {got}')
    return values.to(torch.float64)
