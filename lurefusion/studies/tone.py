"""Training of :class:`lurefusion.models.tone.TextGuidedTone`, the last step: everything else is trained and stays.

Whole pictures of the restoration's training are degraded and restored once, and what the tone would see of them is
kept; on these small grids a step costs a tenth of a second.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.logging import print_log
from torch import Tensor, nn

from lurefusion.datasets.samplers import TaskUniformSampler
from lurefusion.models.lure import LURE
from lurefusion.models.lure_fast import LureFast
from lurefusion.models.tone import TextGuidedTone, enlarged, toned
from lurefusion.ops.colour import ycbcr, ycbcr_to_rgb
from lurefusion.ops.layout import to_unit
from lurefusion.registry import DATASETS
from lurefusion.weights import read_weights

#: rows and columns at which restored and clean pictures are compared
COMPARED = (48, 64)
#: key of the metadata of what was measured
MEASURED_BY = 'measured_by'
#: rendered scenes: size, and the first seed; tests take others
SCENE_SIZE, FIRST_SCENE = (240, 320), 720_000


@dataclass(frozen=True)
class Recipe:
    """How pictures are drawn and the tone is fitted.

    Attributes:
        tasks: Tasks for which it opens -> share of the pictures.
        scenes: Rendered scenes for each task, beside the pictures of the config.
        batch: Task -> pictures of a batch that are real pairs and made ones; where there are none of a kind, of the
            other.
        alone: The same where one task is trained alone.
        real: How many times real pairs count when pictures are drawn.
        short: Range of the short side to which pictures are shrunk.
        text_steps: Of what reads the text, beforehand.
        steps, lr, decay, average: Of AdamW with one cycle, and of the average of the weights that is kept.
        window: Least share of a side that is looked at.
        decibel: Weight of the mean logarithm of the squared error beside the mean absolute error.
        colour: Weight of the mean absolute error of Cb and Cr.
        cameras: Take made pairs as by other cameras, by `RandomExposure`.
    """

    tasks: Mapping[str, float] = field(default_factory=lambda: dict(ll=2.5, hz=2.5, oe=1.5))
    scenes: int = 400
    batch: Mapping[str, tuple[int, int]] = field(default_factory=lambda: dict(ll=(4, 4), hz=(3, 4), oe=(1, 2)))
    alone: tuple[int, int] = (3, 9)
    real: int = 3
    short: tuple[int, int] = (160, 400)
    text_steps: int = 500
    steps: int = 5000
    lr: float = 2e-3
    decay: float = 0.01
    average: float = 0.005
    window: float = 0.6
    decibel: float = 0.02
    colour: float = 3.0
    cameras: bool = True


def tone_of(model: nn.Module) -> TextGuidedTone:
    """The part that is trained here.

    Raises:
        ValueError: If the model has none.
    """
    tone = model.tone if isinstance(model, LureFast) else getattr(getattr(model, 'image_encoder', None), 'tone', None)
    if tone is None:
        raise ValueError(
            f'{type(model).__name__} has no tone (image_encoder.tone, or tone of LureFast): nothing to train'
        )
    return tone


def pictures(cfg: Config, recipe: Recipe, divisor: int = 16) -> Any:
    """The training set of a restoration config for the tasks of the recipe, with whole frames instead of crops.

    Made pairs are taken by many cameras, unless the recipe says otherwise, and some are of rendered scenes: how bright
    a set of pictures is on average helps on that set alone.
    """
    cfg = cfg.train_dataloader.get('dataset', {})
    if 'datasets' not in cfg:
        raise ValueError(
            'the config does not train on a list of restoration pairs (train_dataloader.dataset.datasets); that of '
            'lure-fast which does is configs/lure/lure_fast_restoration_ir_vi.py'
        )
    cfg = cfg.to_dict()

    def whole(pipeline: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        steps = []
        for item in pipeline:
            frame = [dict(type='ShrinkFrame', short=recipe.short, divisor=divisor)]
            frame += [dict(type='RandomExposure')] * recipe.cameras
            steps += frame if item['type'] == 'RandomCrop' else [dict(item)]
        return steps

    kept, made = [], {}
    for item in cfg['datasets']:
        if item.get('task') not in (None, *recipe.tasks):
            continue
        item = dict(item)
        if 'pipeline' in item:
            item['pipeline'] = whole(item['pipeline'])
        if 'degradation' in item:
            made.setdefault(item['task'], {key: item[key] for key in ('task', 'modality', 'degradation')})
        else:
            item['times'] = recipe.real * item.get('times', 1)
        kept.append(item)
    scenes = dict(type='EmbeddedRestoration', num=recipe.scenes, size=SCENE_SIZE, first=FIRST_SCENE)
    kept += [dict(scenes, **own) for own in made.values()]
    return DATASETS.build(dict(cfg, datasets=kept, tasks=None, pipeline=whole(cfg['pipeline'])))


@torch.no_grad()
def measure(
    model: LURE | LureFast, dataset: Any, count: int, seed: int, recipe: Recipe = Recipe()
) -> dict[str, Tensor]:
    """What the tone sees of `count` pictures, and what it is held against.

    Returns:
        `seen` (N,24,rows,columns), `restored`, in the planes in which the tone works, and `target` (N,3,*COMPARED)
        float16, `task` (N,) int64: index in `model.prompts`, `made` (N,) bool.
    """
    tone = tone_of(model)
    sampler = TaskUniformSampler(dataset, seed, {k: v for k, v in recipe.tasks.items() if k in dataset.groups})
    rows: dict[str, list[Tensor]] = dict(seen=[], restored=[], target=[])
    tasks, made = [], []
    for number, ticket in zip(range(count), sampler, strict=False):
        item = dataset[ticket]
        sample = item['data_samples']
        x, y = (to_unit(item['inputs'][role])[None] for role in ('x', 'y'))
        came, became = _before_tone(model, x, sample)
        rows['seen'].append(tone.read(came, became)[0])
        restored = F.pixel_shuffle(became, math.isqrt(became.shape[1] // 3))
        for role, picture in (('restored', restored), ('target', y)):
            rows[role].append(F.interpolate(picture, COMPARED, mode='area')[0])
        tasks.append(model.prompts.index(sample.task))
        made.append('degradation' in sample)
        if number % 500 == 0:
            print_log(f'restored {number} of {count} pictures', logger='current')
    out = {name: torch.stack(values).half() for name, values in rows.items()}
    return dict(out, task=torch.tensor(tasks), made=torch.tensor(made))


def _before_tone(model: LURE | LureFast, x: Tensor, sample: Any) -> tuple[Tensor, Tensor]:
    """A picture as it came and as it became, in blocks, by a model whose tone is still the identity."""
    if isinstance(model, LureFast):
        return model.before_tone(x, [sample])
    return F.pixel_unshuffle(x, model.image_encoder.patch), model.latents(x, [sample])[0]


def load(folder: str | Path, measured_by: str) -> dict[str, Tensor]:
    """All that was measured, of every file ``seen_*.safetensors`` in a folder.

    Args:
        folder: Where they lie.
        measured_by: Of the model, see :func:`fingerprint`.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If one was measured by another model or by other weights.
    """
    files = sorted(Path(folder).glob('seen_*.safetensors'))
    if not files:
        raise FileNotFoundError(f'no seen_*.safetensors in {folder}; measure pictures first (--pictures)')
    parts = []
    for file in files:
        part, meta = read_weights(file)
        if meta.get(MEASURED_BY) != measured_by:
            raise ValueError(
                f'{file} was measured by {meta.get(MEASURED_BY, "an unknown model")}, and this is {measured_by}: give '
                f'every model, and other weights of it, a --work-dir of their own'
            )
        parts.append(part)
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def fingerprint(model: nn.Module) -> str:
    """Name and digest of a model with all its weights but the tone."""
    own = {id(value) for value in tone_of(model).state_dict(keep_vars=True).values()}
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict(keep_vars=True).items()):
        if id(value) not in own:
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return f'{type(model).__name__} {digest.hexdigest()[:12]}'


def fit(
    model: LURE | LureFast,
    seen: Mapping[str, Tensor],
    seed: int,
    recipe: Recipe = Recipe(),
    go_on: bool = False,
    task: str | None = None,
) -> None:
    """Train the tone on what was measured: what reads the text, then head by head.

    With `go_on`, what reads the text stays as it is, and the heads start from what they are; so with a `task`, and of
    the heads only what its text sets is trained: the other tasks keep what they have.

    Raises:
        ValueError: If the tone does not open for the task, or no picture of its tasks was measured.
    """
    go_on = go_on or task is not None
    if task is not None and task not in recipe.tasks:
        raise ValueError(f'the tone is trained for {", ".join(recipe.tasks)}, not for {task!r}')
    tone = tone_of(model)
    tone.requires_grad_(True).train()
    texts = read_texts(model) if go_on else fit_text(model, recipe)
    for number, head in enumerate(tone.heads):
        print_log(f'head {number + 1} of {len(tone.heads)}', logger='current')
        fit_head(model, head, seen, texts, seed * 100 + number, recipe, go_on, task)
    tone.requires_grad_(False).eval()


def fit_head(
    model: LURE | LureFast,
    head: nn.Module,
    seen: Mapping[str, Tensor],
    texts: Sequence[Tensor],
    seed: int,
    recipe: Recipe,
    go_on: bool = False,
    task: str | None = None,
) -> None:
    """Train one head from a start and by draws that depend on the seed; it then has the average of its weights.

    Args:
        model: Its tone has the head, and reads the text.
        head: Is trained.
        seen: As of :func:`measure`.
        texts: As of :func:`fit_text`.
        seed: Of start and draws.
        recipe: Lengths and weights.
        go_on: Start from what the head is.
        task: With `go_on`, train only what the text of this task sets.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    if not go_on:
        for layer in head.modules():
            if isinstance(layer, nn.Conv2d):
                layer.reset_parameters()
        nn.init.zeros_(head.maps.weight)
        nn.init.zeros_(head.maps.bias)
        _standardise(head.stem, seen['seen'])
    # a quarter faster
    layout = torch.channels_last
    head.to(memory_format=layout)
    with torch.no_grad():
        jobs = [tone_of(model).jobs(c).softmax(dim=1) for c in texts]
    hooks: list[Any] = []
    if task is not None:
        recipe = replace(recipe, batch={task: recipe.alone}, decay=0.0)
        hooks = _train_one_job(head, int(jobs[model.prompts.index(task)].mean(0).argmax()))
    groups = _groups(model, seen, recipe)
    optimizer = torch.optim.AdamW(head.parameters(), recipe.lr, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, total_steps=recipe.steps, pct_start=0.1)
    average = torch.optim.swa_utils.AveragedModel(
        head, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(1 - recipe.average)
    )
    errors: list[Tensor] = []
    for step in range(recipe.steps):
        rows = torch.from_numpy(np.concatenate([rng.choice(own, count) for own, count in groups]))
        parts = [seen[name][rows].float() for name in ('seen', 'restored', 'target')]
        looks, restored, target = windows(parts, rng, recipe.window)
        asked = torch.stack([jobs[task][rng.integers(len(jobs[task]))] for task in seen['task'][rows].tolist()])
        gain, offset = (
            enlarged(maps, restored) for maps in head(looks.contiguous(memory_format=layout), asked).chunk(2, dim=1)
        )
        out = toned(restored, gain.exp(), offset)
        if isinstance(model, LureFast):
            out = torch.stack(ycbcr_to_rgb(*out.unbind(1)), dim=1)
        squared = (out - target).square().mean(dim=(1, 2, 3))
        loss = F.l1_loss(out, target) + recipe.decibel * (squared + 1e-4).log().mean()
        loss = loss + recipe.colour * F.l1_loss(*(torch.cat(ycbcr(picture)[1:], dim=1) for picture in (out, target)))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.update_parameters(head)
        errors.append(squared.detach())
        if (step + 1) % max(recipe.steps // 10, 1) == 0:
            decibel = -10 * (torch.stack(errors) + 1e-6).log10().mean(0)
            errors = []
            print_log(f'{step + 1} of {recipe.steps}: {_by_task(decibel, seen["task"][rows], model)}', logger='current')
    for hook in hooks:
        hook.remove()
    head.load_state_dict(average.module.state_dict())


def _train_one_job(head: nn.Module, job: int) -> list[Any]:
    """Let nothing of a head change but the scales and shifts of one job, until the hooks it returns are removed."""
    head.requires_grad_(False)
    hooks = []
    for block in head.blocks:
        weight = block.text.weight.requires_grad_(True)
        own = torch.zeros_like(weight)
        own[:, job] = 1
        hooks.append(weight.register_hook(own.mul))
    return hooks


@torch.no_grad()
def _standardise(stem: nn.Conv2d, seen: Tensor) -> None:
    """Let the first layer begin with statistics of mean 0 and deviation 1."""
    mean, deviation = seen.float().mean(dim=(0, 2, 3)), seen.float().std(dim=(0, 2, 3)) + 1e-4
    stem.weight /= deviation[:, None, None]
    stem.bias -= stem.weight.sum(dim=(2, 3)) @ mean


@torch.no_grad()
def read_texts(model: LURE | LureFast) -> list[Tensor]:
    """Vectors (S,D) of the training sentences of each task."""
    bank = model.prompts
    return [model.encode_text((bank.canonical(key), *bank.sentences(key, 'train'))) for key in bank.keys]


def fit_text(model: LURE | LureFast, recipe: Recipe) -> list[Tensor]:
    """Train what reads the text, by itself and then no more: the gate and the shares of the jobs.

    The gate by a hinge loss, as that of :class:`lurefusion.models.losses.DetailLoss`, the jobs by cross entropy.

    Returns:
        Vectors (S,D) of the training sentences of each task.
    """
    tone, names = tone_of(model), [*recipe.tasks]
    texts = read_texts(model)
    opened, jobs = [], []
    for key, said in zip(model.prompts.keys, texts, strict=True):
        opened += [key in names] * len(said)
        jobs += [names.index(key)] * len(said) if key in names else []
    c, opens, job = torch.cat(texts), torch.tensor(opened), torch.tensor(jobs)
    layers = nn.ModuleList([tone.gate, tone.jobs])
    optimizer = torch.optim.Adam(layers.parameters(), 1e-3)
    for _ in range(recipe.text_steps):
        gates = tone.gate(c)[:, 0]
        loss = F.relu(1.5 - gates[opens]).mean() + F.relu(gates[~opens] + 0.5).mean()
        loss = loss + F.cross_entropy(tone.jobs(c[opens]), job)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    layers.requires_grad_(False)
    return texts


def _groups(model: LURE | LureFast, seen: Mapping[str, Tensor], recipe: Recipe) -> list[tuple[np.ndarray, int]]:
    """Row numbers, and how many of them go into a batch."""
    groups = []
    for key, counts in recipe.batch.items():
        own = seen['task'] == model.prompts.index(key)
        if not own.any():
            print_log(f'no picture of {key} was measured', logger='current', level=logging.WARNING)
            continue
        for made, count in zip((False, True), counts, strict=True):
            rows = (own & (seen['made'] == made)).nonzero()[:, 0]
            if count:
                groups.append(((rows if len(rows) else own.nonzero()[:, 0]).numpy(), count))
    if not groups:
        raise ValueError(f'no picture of {", ".join(recipe.batch)} was measured: measure some first (--pictures)')
    return groups


def windows(parts: Sequence[Tensor], rng: np.random.Generator, least: float) -> list[Tensor]:
    """The same random windows of all parts (B,C,h,w), half of them mirrored, each part at its own size.

    Args:
        parts: Pictures of one scene, as many rows in each.
        rng: Draws.
        least: Share of a side that a window has at least.
    """
    count = len(parts[0])
    size = rng.uniform(least, 1, count)
    theta = np.zeros((count, 2, 3), np.float32)
    theta[:, 0, 0] = size * rng.choice((-1, 1), count)
    theta[:, 1, 1] = size
    theta[:, :, 2] = rng.uniform(-1, 1, (count, 2)) * (1 - size)[:, None]
    out = []
    for part in parts:
        grid = F.affine_grid(torch.from_numpy(theta), list(part.shape), align_corners=False)
        out.append(F.grid_sample(part, grid, padding_mode='border', align_corners=False))
    return out


def _by_task(decibel: Tensor, task: Tensor, model: LURE | LureFast) -> str:
    return ', '.join(f'{model.prompts.keys[k]} {decibel[task == k].mean():.2f} dB' for k in task.unique().tolist())
