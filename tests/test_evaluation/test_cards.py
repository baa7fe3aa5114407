"""What the card of every metric says is true of its values; what cannot be a metric is refused."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from lurefusion.cli import main
from lurefusion.evaluation.cards import MetricCard, NetworkCard, card_of, check_options, compute, select_metrics
from lurefusion.evaluation.evaluate import evaluate_folders
from lurefusion.evaluation.functional import correlation
from lurefusion.evaluation.metrics import FusionMetrics
from lurefusion.evaluation.report import describe_metrics, format_table, is_metric, mean_ranks
from lurefusion.io.images import write_image
from lurefusion.registry import DATASETS, HOOKS, MEASURES, METRICS, members

# of this package: what tests of projects have imported is theirs to check
CARDS = [card_of(name) for name, module in members(MEASURES).items() if module.startswith('lurefusion.')]
MEASURED = [card.name for card in CARDS if card.function]
FIELDS = dict(title='t', unit='', range=(0, 1), higher_is_better=True, needs='fused', source='s')


@pytest.fixture
def registered() -> Iterator[None]:
    """What a test registers is gone afterwards."""
    MEASURES.known()
    before = dict(MEASURES.module_dict)
    yield
    MEASURES.module_dict.clear()
    MEASURES.module_dict.update(before)


def natural(seed: int, side: int = 200) -> np.ndarray:
    """Colour picture (3, side, side) in 0..1 with the 1/f spectrum of natural ones."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft2(rng.normal(size=(3, side, side)))
    v, u = np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing='ij')
    image = np.fft.irfft2(spectrum / np.maximum(np.hypot(u, v), 1 / side), s=(side, side))
    return np.clip(0.5 + 0.2 * image / image.std(), 0, 1)


def batch(*images: np.ndarray) -> Tensor:
    return torch.from_numpy(np.stack([np.clip(image, 0, 1) for image in images]))


def extremes(side: int = 200) -> list[np.ndarray]:
    """Pictures (3, side, side) at which values reach the ends of their ranges, and random ones."""
    rng = np.random.default_rng(0)
    y, x = np.indices((side, side))
    grey = [
        np.zeros_like(x),
        np.ones_like(x),
        (x + y) % 2,
        x % 2,
        x // 2 % 2,
        x >= side // 2,
        rng.random(x.shape) < 0.5,
    ]
    single = np.zeros((side, side))
    single[0, 0] = 1
    ramp = x / (side - 1)
    pictures = [np.broadcast_to(g, (3, side, side)).astype(float) for g in (*grey, single, ramp, 1 - ramp)]
    pictures += [rng.random((3, side, side)), natural(1), 1 - natural(1)]
    pictures += [natural(2) * np.reshape(colour, (3, 1, 1)) for colour in ((1, 0, 0), (0, 1, 1))]
    # just large enough for every metric
    return [picture[:, :161, :192] for picture in pictures]


@pytest.fixture(scope='module')
def everything() -> dict[str, Tensor]:
    """Column -> values of many triples of pictures."""
    pictures = extremes()
    count = len(pictures)
    places = [(i, (i * 3 + k) % count, (i * 5 + 2 * k) % count) for i in range(count) for k in range(2)]
    places += [(i, i, i) for i in range(count)]
    # the coloured ones against each other
    places += [(count - 1, count - 2, 0), (count - 2, count - 1, 0)]
    values: dict[str, list[Tensor]] = {}
    for start in range(0, len(places), 8):
        fused, first, second = (batch(*(pictures[p] for p in group)) for group in zip(*places[start : start + 8]))  # noqa: B905
        label = (fused[:, 0] > 0.5).long()
        got = compute(fused, dict(vi=first, ir=second), MEASURED, 'both', reference=first, label=label)
        for column, value in got.items():
            values.setdefault(column, []).append(value)
    return {column: torch.cat(parts) for column, parts in values.items()}


def columns() -> list[str]:
    return [*MEASURED, *(f'{name}_paper' for name in MEASURED if 'paper' in card_of(name).variants)]


@pytest.mark.parametrize('column', columns())
def test_values_lie_in_the_range_of_the_card(everything: dict[str, Tensor], column: str) -> None:
    low, high = card_of(column).range
    values = everything[column]
    known = values[~values.isnan()]
    assert len(known) >= 4, 'hardly a picture has a value'
    assert known.min() >= low - 1e-9
    assert known.max() <= high + 1e-9
    # a finite range is no wider than it must be; the ends of these need other sizes, or more sources alike
    if math.isfinite(high) and column not in ('AG', 'MI', 'Qabf'):
        assert known.max() > low + 0.7 * (high - low)


def pair(card: MetricCard) -> tuple[dict, dict]:
    """Arguments for a fused picture that is better, and for one that is worse, beyond doubt."""
    rng = np.random.default_rng(3)
    one, two = natural(1), natural(2)
    noise = rng.normal(0, 0.02, one.shape)
    if card.needs == ():
        # sharp and of full contrast; blurred and faint
        return dict(fused=batch(one)), dict(fused=batch(0.5 + 0.3 * (gaussian_filter(one, (0, 2, 2)) - 0.5)))
    if 'reference' in card.needs:
        # nearly the reference; half as bright and with its colours exchanged
        near, far = one + noise, 0.5 * one[[1, 2, 0]] + noise
        return tuple(dict(fused=batch(f), reference=batch(one), sources=[batch(one)]) for f in (near, far))
    # the mean of the sources; a picture that has nothing to do with them
    return tuple(dict(fused=batch(f), sources=[batch(one), batch(two)]) for f in ((one + two) / 2, natural(9)))


@pytest.mark.parametrize('column', columns())
def test_better_is_where_the_card_says(column: str) -> None:
    card = card_of(column)
    variant = 'paper' if column.endswith('_paper') else 'standard'
    better, worse = (float(compute(metrics=[card.name], variant=variant, **given)[column]) for given in pair(card))
    assert (better > worse) == card.higher_is_better, (better, worse)
    assert better != worse


def test_networks_have_ranges_and_files_and_no_function() -> None:
    networks = [card for card in CARDS if card.function is None]
    assert len(networks) >= 7
    for card in networks:
        assert isinstance(card, NetworkCard)
        assert card.files
        assert card.needs == ()


@pytest.mark.parametrize(
    ('column', 'unit'),
    [
        ('PSNR', 'dB'),
        ('EN', 'bits'),
        ('SD', 'grey levels'),
        ('SF', 'grey levels / pixel'),
        ('Qcv', 'grey levels squared'),
    ],
)
def test_units_scale_as_they_say(column: str, unit: str) -> None:
    """Half the contrast: the same decibels less for every picture, half the grey levels, a quarter of their squares."""
    assert card_of(column).unit == unit
    rng = np.random.default_rng(0)
    one, two = (2 * rng.integers(0, 128, (1, 1, 64, 64)) for _ in range(2))
    values = []
    for factor in (1, 2):
        fused, source = (torch.from_numpy((x // factor).astype(np.uint8)) for x in (one, two))
        values.append(float(compute(fused, [source], [column])[column]))
    whole, half = values
    expected = {'dB': whole + 20 * math.log10(2), 'bits': whole, 'grey levels squared': whole / 4}
    assert half == pytest.approx(expected.get(unit, whole / 2))


# ------------------------------------------------------------ a metric of one's own


def brightness(fused: Tensor, sources: dict[str, Tensor], *, offset: float = 0.0) -> Tensor:
    """Mean of the fused picture above that of the brightest source."""
    means = torch.stack([source.mean((1, 2, 3)) for source in sources.values()])
    return fused.mean((1, 2, 3)) - means.amax(0) + offset


@pytest.fixture
def own(registered: None) -> str:
    MEASURES.register_module(
        name='Dim', title='brightness', unit='', range=(-1, 2), higher_is_better=False, needs='sources', source='test'
    )(brightness)
    return 'Dim'


def test_own_metric_is_computed_beside_the_others_on_8_bit_pictures(own: str) -> None:
    fused = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    sources = dict(vi=torch.full((2, 1, 24, 24), 0.5), ir=torch.full((2, 3, 24, 24), 0.3))
    got = compute(fused, sources, ('CC', own), options={own: dict(offset=1)})
    assert list(got) == ['CC', own]
    rounded = (fused.double() * 255).round() / 255
    expected = rounded.mean((1, 2, 3)) - 128 / 255 + 1
    torch.testing.assert_close(got[own], expected)
    as_file = compute((fused.double() * 255).round().to(torch.uint8), sources, [own], options={own: dict(offset=1)})
    torch.testing.assert_close(as_file[own], expected, rtol=0, atol=0)


def test_own_metric_in_groups_tables_and_ranks(own: str) -> None:
    assert select_metrics(['ranked', own, 'CC'])[-2:] == ('Qabf', own)
    assert own not in select_metrics('all')
    assert is_metric(own)
    means = {'a': {own: 0.1, 'CC': 0.5}, 'b': {own: 0.2, 'CC': 0.6}}
    table = format_table(means, [own, 'CC'])
    assert '| Dim ↓ |' in table
    assert '**0.100**' in table
    assert '**0.600**' in table
    assert mean_ranks(means, [own]) == {'a': 1, 'b': 2}
    assert '**Dim ↓**: brightness; -1..2; ↓ better; test' in describe_metrics([own])


def test_own_metric_in_an_evaluator_and_in_folders(own: str, tmp_path) -> None:
    rng = np.random.default_rng(0)
    pictures = {role: rng.integers(0, 256, (24, 24, 3), np.uint8) for role in ('vi', 'ir', 'fused')}
    for role, picture in pictures.items():
        write_image(tmp_path / role / 'a.png', picture)
    result = evaluate_folders({'m': tmp_path / 'fused'}, {r: tmp_path / r for r in ('vi', 'ir')}, metrics=['EN', own])
    mean = {role: picture.mean() / 255 for role, picture in pictures.items()}
    expected = mean['fused'] - max(mean['vi'], mean['ir'])
    assert result.means()['m'][own] == pytest.approx(expected)
    tensors = {r: torch.from_numpy(p.transpose(2, 0, 1).copy()).float() / 255 for r, p in pictures.items()}
    evaluator = METRICS.build(dict(type='FusionMetrics', metrics=('EN', own)))
    evaluator.process(None, [dict(pred=tensors.pop('fused'), sources=tensors)])
    assert evaluator.evaluate(1)[own] == pytest.approx(expected)


def test_metrics_do_not_spoil_the_pictures_of_each_other(registered: None) -> None:
    for name in ('First', 'Second'):

        @MEASURES.register_module(name, **{**FIELDS, 'needs': ('sources', 'reference', 'label')})
        def spoils(fused: Tensor, sources: dict[str, Tensor], reference: Tensor, label: Tensor) -> Tensor:
            return sum(x.mul_(0.5).double().flatten(1).mean(1) for x in (fused, *sources.values(), reference, label))

    fused = torch.rand(1, 3, 16, 16, dtype=torch.float64)
    got = compute(
        fused, [fused], ['First', 'Second', 'SD'], reference=fused, label=torch.ones(1, 16, 16, dtype=torch.float64)
    )
    assert got['First'] == got['Second']
    torch.testing.assert_close(got['SD'], compute(fused, metrics=['SD'])['SD'])


def test_references_and_labels_reach_the_metric(registered: None, tmp_path) -> None:
    @MEASURES.register_module('Inside', **{**FIELDS, 'needs': ('reference', 'label')})
    def inside(fused: Tensor, reference: Tensor, label: Tensor) -> Tensor:
        error = (fused - reference).abs().mean(1)
        return (error * (label == 2)).sum((1, 2)) / (label == 2).sum((1, 2))

    label = torch.zeros(8, 8, dtype=torch.long)
    label[2:4] = 2
    pred, clean = torch.zeros(3, 8, 8), torch.zeros(3, 8, 8)
    pred[:, 2] = 1
    sample = dict(pred=pred, sources=dict(vi=pred, ir=pred), references=dict(vi=clean), label=label)
    metric = FusionMetrics(('Inside', 'PSNR_ref'), reference='vi')
    metric.process(None, [sample])
    assert metric.evaluate(1) == {'Inside': 0.5, 'PSNR_ref': pytest.approx(10 * math.log10(8))}
    # without a clean picture of that modality, its source
    metric = FusionMetrics(('Inside',), reference='ir')
    metric.process(None, [sample])
    assert metric.evaluate(1)['Inside'] == 0
    with pytest.raises(ValueError, match=r'Inside, SSIM_ref need a reference: FusionMetrics\(reference=NAME\)'):
        FusionMetrics(('Inside', 'CC', 'SSIM_ref'))
    with pytest.raises(KeyError, match="reference='rgb'; the sample holds the pictures vi, ir"):
        FusionMetrics(('PSNR_ref',), reference='rgb').process(None, [sample])
    with pytest.raises(KeyError, match="needs the field 'label'"):
        FusionMetrics(('Inside',), reference='vi').process(None, [{k: v for k, v in sample.items() if k != 'label'}])
    write_image(tmp_path / 'f/a.png', np.zeros((8, 8), np.uint8))
    folders = ({'m': tmp_path / 'f'}, {'vi': tmp_path / 'f'})
    with pytest.raises(ValueError, match=r'Inside need the folder of clean references \(--ref\)'):
        evaluate_folders(*folders, metrics=['Inside'])
    with pytest.raises(ValueError, match=r'Inside need the folder of class ids \(--labels\)'):
        evaluate_folders(*folders, reference=tmp_path / 'f', metrics=['Inside'])
    for role, image in (('m', pred), ('vi', pred), ('clean', clean), ('ids', label[None])):
        picture = image.permute(1, 2, 0).numpy()
        write_image(tmp_path / role / 'a.png', (picture if role == 'ids' else picture * 255).astype(np.uint8).squeeze())
    words = [
        f'm={tmp_path / "m"}',
        '--vi',
        f'{tmp_path / "vi"}',
        '--ir',
        f'{tmp_path / "clean"}',
        '--metrics',
        'Inside',
    ]
    words += ['--ref', f'{tmp_path / "clean"}', '--labels', f'{tmp_path / "ids"}', '--out', f'{tmp_path / "out"}']
    assert main(['eval', *words]) == 0
    assert '\nm,Inside,1,0.5,' in (tmp_path / 'out/report.csv').read_text()
    with pytest.raises(ValueError, match='label, reference is the name of the clean pictures or of the class ids'):
        evaluate_folders({'reference': tmp_path / 'm'}, {'label': tmp_path / 'vi'})
    x = pred[None]
    for given, message in (
        (dict(label=label[None]), 'Inside needs a reference'),
        (dict(reference=x), 'Inside needs a label'),
        (dict(reference=x[..., :4], label=label[None]), r'the reference has shape \(1, 3, 8, 4\)'),
        (dict(reference=x, label=label[None, :4]), r'the label has shape \(1, 4, 8\)'),
        (dict(reference=x + 1, label=label[None]), r'must lie in \[0, 1\]'),
    ):
        with pytest.raises(ValueError, match=message):
            compute(x, [x], ['Inside'], **given)


@pytest.mark.parametrize('returns', [lambda f: f.mean(), lambda f: 0.5, lambda f: f.mean((2, 3)), lambda f: None])
def test_what_is_not_one_value_per_picture_is_refused(registered: None, returns) -> None:
    @MEASURES.register_module('Odd', **FIELDS)
    def odd(fused: Tensor) -> Tensor:
        return returns(fused)

    with pytest.raises(
        TypeError, match=r"metric 'Odd' must return a tensor \(2,\), one value for each picture; it gave"
    ):
        compute(torch.rand(2, 3, 8, 8), metrics=['Odd'])


def alone(fused: Tensor) -> Tensor:
    return fused.mean((1, 2, 3))


@pytest.mark.parametrize(
    ('change', 'error', 'message'),
    [
        (dict(range=None), TypeError, "metric 'alone': missing a required argument: 'range'"),
        (dict(higher_is_better=None), TypeError, "metric 'alone': missing a required argument: 'higher_is_better'"),
        (dict(units='m'), TypeError, "unexpected keyword argument 'units'. Did you mean 'unit'"),
        (dict(higher_is_better='lower'), ValueError, "higher_is_better is True or False, got 'lower'"),
        (dict(range=(1, 0)), ValueError, r'range is \(lowest, highest\), got \(1, 0\)'),
        (dict(range=(0, math.nan)), ValueError, r'range is \(lowest, highest\)'),
        (dict(range=3), ValueError, r'range is \(lowest, highest\), got 3'),
        (dict(needs='source'), ValueError, "got 'source'. Did you mean 'sources'"),
        (dict(needs='sources'), TypeError, r'keywords sources, but it takes \(fused'),
        (dict(variants=('standard', 'paper')), TypeError, 'keywords variant, but it takes'),
        (dict(variants=('paper',)), ValueError, 'variants are standard and perhaps paper'),
        (dict(source=' '), ValueError, "source is a text, got ' '"),
        (dict(name='all'), ValueError, 'the name has another meaning'),
        (dict(name='a/b'), ValueError, "metric 'a/b': a name consists of letters"),
        (dict(name='CC_paper'), ValueError, 'does not end with _paper'),
        (dict(name='CC'), KeyError, r"'CC' is already a registered metric \(lurefusion.*correlation\); .*alone needs"),
    ],
)
def test_wrong_cards_are_refused(registered: None, change: dict, error: type, message: str) -> None:
    fields = {key: value for key, value in {**FIELDS, **change}.items() if value is not None}
    before = set(MEASURES.known())
    with pytest.raises(error, match=message):
        MEASURES.register_module(**fields)(alone)
    assert set(MEASURES.known()) == before


def test_other_kinds_are_refused_and_a_metric_by_them(registered: None) -> None:
    for wrong in (nn.Linear, FusionMetrics, MetricCard):
        with pytest.raises(TypeError, match=r'a metric is a function fused, \.\.\. -> \(B,\), got'):
            MEASURES.register_module(**FIELDS)(wrong)
    for wrong in (alone, nn.Linear, 3):
        with pytest.raises(TypeError, match='is not a metric: register a function with its card, @MEASURES'):
            MEASURES.register_module(module=wrong)
    for registry, name in ((METRICS, 'evaluator'), (DATASETS, 'dataset'), (HOOKS, 'hook')):
        for wrong in (alone, nn.Linear):
            with pytest.raises(TypeError, match=rf'{wrong.__name__} is not a {name}: it does not derive from '):
                registry.register_module(module=wrong)
            assert wrong.__name__ not in registry.module_dict
    with pytest.raises(TypeError, match='A function that measures pictures is registered in MEASURES'):
        METRICS.register_module()(alone)
    with pytest.raises(TypeError, match=r'a metric is not built; name it in FusionMetrics'):
        MEASURES.build(dict(type='CC'))


def test_unknown_names_and_options() -> None:
    for name, message in (
        ('cc', "Did you mean 'CC'"),
        ('FusionMetrics', 'It is one of another kind: evaluator'),
        ('TGA', 'It is one of another kind: interaction'),
        ('os.path', 'a metric goes by its name alone'),
        ('Nix', 'name its module in custom_imports, or give it to --import'),
    ):
        with pytest.raises(KeyError, match=message):
            select_metrics(['EN', name])
    assert not is_metric('antigravity.fly')
    for options, error, message in (
        (dict(MI=dict(bas='nats')), TypeError, "metric 'MI' has no option 'bas'. Did you mean 'base'"),
        (dict(SD=dict(base='nats')), TypeError, "metric 'SD' has no option 'base'. It has: none"),
        (dict(CC=dict(sources=[])), TypeError, "metric 'CC' has no option 'sources'"),
        (dict(Mi={}), KeyError, "'Mi' is not a registered metric. Did you mean 'MI'"),
    ):
        for call in (
            check_options,
            lambda options: FusionMetrics('CC', options=options),
            lambda options: compute(torch.rand(1, 3, 8, 8), metrics=['SD'], options=options),
        ):
            with pytest.raises(error, match=message):
                call(options)
    with pytest.raises(ValueError, match='CC needs at least 1 source'):
        compute(torch.rand(1, 3, 8, 8), metrics=['CC'])
    assert MEASURES.require('CC').function is correlation
