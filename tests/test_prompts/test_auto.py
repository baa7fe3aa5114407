"""The automatic prompt: what it believes, whom it asks, and how often the shipped one is right."""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from lurefusion.datasets.scenes import render_scene
from lurefusion.io.images import read_image
from lurefusion.prompts import AutoPrompt, PromptBank, Prompter, PromptRouter, is_automatic
from lurefusion.prompts.auto import SHIPPED, StatisticsPrompter
from lurefusion.prompts.statistics import picture_statistics
from lurefusion.registry import DEGRADATIONS, PROMPTERS
from lurefusion.studies.auto_prompt import validation

GREY = np.full((16, 16, 3), 128, np.uint8)
RAMP = np.repeat(np.linspace(0, 200, 48 * 64).reshape(48, 64, 1), 3, axis=2).astype(np.uint8)


def fixed(shares: dict[str, float], threshold: float | None = None, modality: str = 'vi') -> type[Prompter]:
    """A prompter that always says the same."""

    class Fixed(Prompter):
        tasks: Mapping = {modality: tuple(key for key in shares if key != 'pd')}
        thresholds: Mapping = {} if threshold is None else {modality: threshold}

        def __call__(self, picture, modality):
            return dict(shares)

    return Fixed


def judge(shares, tasks=('ll', 'hz', 'sr', 'pd'), threshold=None, least=None):
    return AutoPrompt(tasks, [dict(type=fixed(shares, least))], threshold)(GREY, 'vi')


def test_the_likeliest_task_is_taken_with_everything_that_was_found() -> None:
    found = judge({'ll': 0.7, 'hz': 0.1, 'pd': 0.2})
    assert (found.task, found.probability) == ('ll', 0.7)
    assert list(found.probabilities.items()) == [('ll', 0.7), ('pd', 0.2), ('hz', 0.1)]
    assert str(found) == 'll 70 %'


@pytest.mark.parametrize('level', [0, 1, 40, 128, 255])
@pytest.mark.parametrize('modality', ['vi', 'ir'])
def test_in_flat_and_very_small_pictures_nothing_is_wrong(level: int, modality: str) -> None:
    auto = AutoPrompt(('ll', 'hz', 'oe', 'lc', 'sr', 'ns', 'st', 'bl', 'rn', 'pd'))
    rng = np.random.default_rng(level)
    flat = np.full((96, 128, 3), level, np.uint8)
    noisy = np.clip(flat + rng.integers(-1, 2, (96, 128, 1)), 0, 255).astype(np.uint8)
    small = rng.integers(0, 256, (8, 31, 3), np.uint8)
    for picture in (flat, noisy, flat / np.float32(255), small):
        assert auto(picture, modality).task == 'pd'
    # one that says something is judged
    dark = (render_scene(3, (96, 128)).visible * 0.1).astype(np.uint8)
    assert auto(dark, 'vi').task == 'll'


def test_unsure_is_nothing_wrong() -> None:
    assert judge({'ll': 0.49, 'hz': 0.48, 'pd': 0.03}).task == 'pd'
    assert judge({'ll': 0.7, 'pd': 0.3}, least=0.8).task == 'pd'
    assert judge({'ll': 0.7, 'pd': 0.3}, threshold=0.8).task == 'pd'
    # a threshold of 0 still needs a fault that is likelier than none
    assert judge({'ll': 0.4, 'hz': 0.05, 'pd': 0.55}, threshold=0).task == 'pd'
    assert judge({'ll': 0.4, 'hz': 0.25, 'pd': 0.35}, threshold=0).task == 'll'


def test_what_the_model_has_no_task_for_counts_for_nothing() -> None:
    found = judge({'ns': 0.9, 'll': 0.06, 'pd': 0.04})
    assert (found.task, found.probability) == ('pd', 0.04)
    assert found.probabilities['ns'] == 0.9
    assert str(found) == 'pd 4 %, perhaps ns 90 %'


def test_factors_of_one_task_add_up_where_the_model_does_not_tell_them() -> None:
    shares = {'sr4': 0.45, 'sr8': 0.4, 'pd': 0.15}
    assert judge(shares) == judge(shares, threshold=0.8)
    assert judge(shares).task == 'sr'
    assert judge(shares).probability == pytest.approx(0.85)
    assert judge({**shares, 'sr4': 0.6, 'sr8': 0.25}, ('sr4', 'sr8', 'pd')).task == 'sr4'
    assert judge(shares, ('sr8', 'pd')).task == 'pd'


def test_a_plug_in_is_asked_for_the_task_that_it_brings(forget_plugins: Path) -> None:
    class Snow(Prompter):
        tasks: Mapping = {'vi': ('snow',), 'mri': ('snow',)}

        def __call__(self, picture, modality):
            share = float(picture.mean() > 200)
            return {'snow': share, 'pd': 1 - share}

    assert len(AutoPrompt(('ll', 'snow', 'pd')).prompters) == 1
    PROMPTERS.register_module(module=Snow)
    auto = AutoPrompt(('ll', 'snow', 'pd'))
    assert [type(p) for p in auto.prompters] == [StatisticsPrompter, Snow]
    white = np.full((64, 64, 3), 255, np.uint8)
    assert auto(white, 'vi').task == 'snow'
    assert auto(white, 'mri') == AutoPrompt(('snow', 'pd'), ['Snow'])(white, 'mri')
    # nobody is asked who knows nothing new
    assert [type(p) for p in AutoPrompt(('ll', 'pd')).prompters] == [StatisticsPrompter]


def test_what_is_no_prompter_is_refused() -> None:
    with pytest.raises(TypeError, match='not a prompter'):
        PROMPTERS.register_module(module=dict)
    with pytest.raises(KeyError, match="Did you mean 'StatisticsPrompter'"):
        AutoPrompt(('pd',), ['StatisticPrompter'])


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (dict(tasks=('ll',)), "task 'pd'"),
        (dict(tasks=('pd',), threshold=1.2), r'\[0, 1\], got 1.2'),
        (dict(tasks=('pd',), prompters=[]), 'at least one'),
        (dict(tasks=('pd',), prompters='StatisticsPrompter'), 'must be a list'),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AutoPrompt(**arguments)


def test_a_modality_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cannot judge pictures of 'mri', only of ir, vi"):
        AutoPrompt(('ll', 'pd'))(GREY, 'mri')
    with pytest.raises(ValueError, match=r"'mri'.*Known: "):
        StatisticsPrompter()(GREY, 'mri')


def test_files_that_are_no_weights_of_it_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='no such file'):
        StatisticsPrompter(tmp_path / 'none.safetensors')
    file = tmp_path / 'broken.safetensors'
    file.write_bytes(SHIPPED.read_bytes()[:1000])
    with pytest.raises(ValueError, match='holds no weights of the automatic prompt'):
        StatisticsPrompter(file)
    save_file({'a': np.zeros(1)}, file)
    with pytest.raises(ValueError, match=r"KeyError: 'statistics'.*train_auto_prompt"):
        StatisticsPrompter(file)
    with safe_open(SHIPPED, 'np') as shipped:
        meta = dict(shipped.metadata(), statistics=json.dumps(['luma_mean']))
        save_file({key: shipped.get_tensor(key) for key in shipped.keys()}, file, meta)
    with pytest.raises(ValueError, match='other statistics'):
        StatisticsPrompter(file)(RAMP, 'vi')


def test_the_network_is_the_formula() -> None:
    """By hand: standardise and cut, two layers with ReLU, softmax; the mean over the members."""
    rng = np.random.default_rng(0)
    names, tensors = list(picture_statistics(RAMP)), {}
    count = len(names)
    tensors |= {'vi.mean': rng.normal(size=count), 'vi.deviation': rng.uniform(0.5, 1, count)}
    for member in range(2):
        for layer, (rows, columns) in enumerate([(5, count), (4, 5), (3, 4)]):
            tensors[f'vi.{member}.{layer}.weight'] = rng.normal(size=(rows, columns)) / 4
            tensors[f'vi.{member}.{layer}.bias'] = rng.normal(size=rows)
    meta = dict(statistics=names, classes={'vi': ['hz', 'll', 'pd']}, members=2, thresholds={'vi': 0.6})
    shares = StatisticsPrompter.of(tensors, meta)(RAMP, 'vi')
    x = np.array(list(picture_statistics(RAMP).values()))
    expected = np.zeros(3)
    for member in range(2):
        h = ((x - tensors['vi.mean']) / tensors['vi.deviation']).clip(-4, 4)
        for layer in range(3):
            h = tensors[f'vi.{member}.{layer}.weight'] @ h + tensors[f'vi.{member}.{layer}.bias']
            h = h.clip(0) if layer < 2 else h
        expected += np.exp(h) / np.exp(h).sum() / 2
    assert list(shares) == ['hz', 'll', 'pd']
    assert list(shares.values()) == pytest.approx(expected, abs=1e-5)


def test_what_ships_is_small_and_says_what_it_is() -> None:
    with safe_open(SHIPPED, 'np') as file:
        size = sum(file.get_tensor(key).size for key in file.keys())
    assert size <= 100_000
    assert SHIPPED.stat().st_size <= 420_000
    assert SHIPPED.with_suffix('.md').is_file()
    shipped = StatisticsPrompter()
    assert set(shipped.tasks['vi']) == {'ll', 'hz', 'oe', 'ns', 'bl', 'rn'}
    assert set(shipped.tasks['ir']) == {'lc', 'sr4', 'sr8', 'ns', 'st'}
    shares = shipped(GREY, 'vi')
    assert sum(shares.values()) == pytest.approx(1, abs=1e-5)


def test_the_router_asks_for_what_is_automatic_alone() -> None:
    router = PromptRouter(PromptBank(('ll', 'lc', 'pd')), ('vi', 'ir'))
    router.auto = AutoPrompt(
        ('ll', 'lc', 'pd'),
        [dict(type=fixed({'ll': 0.9, 'pd': 0.1})), dict(type=fixed({'lc': 0.2, 'pd': 0.8}, modality='ir'))],
    )
    both = dict(vi=GREY, ir=GREY)
    pending = router.route(' Auto ')
    assert all(route.pending for route in pending.values())
    routes = router.look(pending, both)
    assert [(r.task, r.found.probability, r.pending) for r in routes.values()] == [
        ('ll', 0.9, False),
        ('pd', 0.8, False),
    ]
    assert {r.source for r in routes.values()} == {'auto'}
    assert routes['vi'].sentence == router.bank.canonical('ll')
    # what has been looked at is not looked at again, what was said is left
    assert router.look(routes, {}) == routes
    routes = router.look(router.route({'vi': 'auto', 'ir': 'lc'}), both)
    assert [(r.task, r.source) for r in routes.values()] == [('ll', 'auto'), ('lc', 'key')]
    assert router.route({'vi': 'auto'})['ir'].source == 'default'
    assert router.look(pending, dict(vi=GREY))['ir'].pending


def test_auto_is_refused_for_a_modality_that_nobody_can_judge() -> None:
    router = PromptRouter(PromptBank(('lc', 'pd'), modality_words={'mri': ['mri']}), ('mri', 'vi'))
    with pytest.raises(ValueError, match=r"cannot judge pictures of 'mri'.* give it a task or sentence"):
        router.route('auto')
    assert router.route({'vi': 'auto'})['vi'].pending


@pytest.mark.parametrize(
    ('prompt', 'expected'), [('auto', True), (' AUTO', True), (None, False), ('automatic', False), ({}, False)]
)
def test_what_is_automatic(prompt: object, expected: bool) -> None:
    assert is_automatic(prompt) is expected


SEEDS = range(3000, 3004)
MADE = {
    'll': ('vi', dict(type='LowLight', gain=0.5, gamma=2.2)),
    'oe': ('vi', dict(type='OverExposure', stops=1.5)),
    'hz': ('vi', dict(type='Haze', beta=1.5, airlight=0.85)),
    'lc': ('ir', dict(type='LowContrast', gain=0.3, level=0.45)),
    'sr': ('ir', dict(type='LowResolution', scales=(4, 8))),
    'ns': ('vi', dict(type='Noise', sigma=0.08)),
    'st': ('ir', dict(type='StripeNoise', offset=0.05)),
    'bl': ('vi', dict(type='Blur', sigma=2.0, kind='gaussian')),
    'rn': ('vi', dict(type='Rain', density=0.008, opacity=0.5)),
}


@pytest.fixture(scope='module')
def scenes() -> list[dict[str, np.ndarray]]:
    found = []
    for seed in SEEDS:
        scene = render_scene(seed, (240, 320), 'day')
        found.append(dict(vi=scene.visible, ir=np.repeat(scene.infrared[..., None], 3, 2)))
    return found


@pytest.mark.parametrize('task', MADE)
def test_rendered_scenes_are_told(scenes: list, task: str) -> None:
    modality, degradation = MADE[task]
    auto = AutoPrompt((*MADE, 'pd'), [StatisticsPrompter.__name__])
    degrade = DEGRADATIONS.build(degradation)
    found = []
    for seed, scene in zip(SEEDS, scenes, strict=True):
        image, _ = degrade(np.float32(scene[modality]) / 255, np.random.default_rng(seed))
        found.append(auto(image, modality).task)
    assert set(found) <= {task, 'pd'}
    # half of the rain on rendered streets is missed
    assert found.count(task) >= (2 if task == 'rn' else 3), found


def test_clean_rendered_scenes_are_left_alone(scenes: list) -> None:
    auto = AutoPrompt((*MADE, 'pd'))
    assert [auto(picture, name).task for scene in scenes for name, picture in scene.items()].count('pd') >= 7


def test_the_page_on_prompters_runs(forget_plugins: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / 'docs' / 'add_prompter.md').read_text(encoding='utf-8')
    blocks = re.findall(r'^```python\n(.*?)^```$', page, flags=re.MULTILINE | re.DOTALL)
    (forget_plugins / 'my_prompter.py').write_text(blocks[0])
    sys.path.insert(0, str(forget_plugins))
    exec(compile(blocks[1], 'docs/add_prompter.md', 'exec'), {})


@pytest.mark.real_data
def test_real_pictures_are_told_as_the_card_says(data_root: Path) -> None:
    """Of the clean ones every fourth; the issue wants 95 % of the formulas, 90 % of the real ones."""
    auto = AutoPrompt(('ll', 'hz', 'oe', 'lc', 'sr', 'pd'), ['StatisticsPrompter'])
    counts: dict[str, list[bool]] = {}
    for number, (name, modality, file, task) in enumerate(validation(data_root)):
        if name in ('formulas', 'real') or number % 4 == 0:
            found = auto(read_image(file)[0], modality).task
            kind = name if name in ('formulas', 'real') else 'clean'
            counts.setdefault(kind, []).append(found == task.rstrip('0123456789'))
    least = dict(formulas=0.95, real=0.9, clean=0.95)
    assert set(counts) <= set(least)
    for kind, right in counts.items():
        assert np.mean(right) >= least[kind], kind
