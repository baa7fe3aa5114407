"""The automatic prompt: what is wrong with a picture, told from the picture, for those who do not want to say it."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from lurefusion.choices import unknown
from lurefusion.ops.colour import LUMA
from lurefusion.prompts.statistics import checked, picture_statistics
from lurefusion.prompts.tasks import PSEUDO_TASK
from lurefusion.registry import PROMPTERS

AUTO = 'auto'
SHIPPED = Path(__file__).resolve().parent.parent / 'weights' / 'auto-prompt.safetensors'
# statistics further from the mean than this, in standard deviations, say no more than these
FAR = 4.0
# what is smaller (short side, pixels) or flatter (99th less 1st percentile of the luma) shows no fault to be sure of:
# of the pictures of low light and low contrast that are judged rightly, the flattest has four times as much
LEAST_SIDE, LEAST_RANGE = 32, 4 / 255


class Prompter(ABC):
    """Base of those who look at a picture and say what is wrong with it. Members set `tasks` and implement the call.

    Attributes:
        tasks: Modality -> keys of the tasks that it can tell there, without ``pd``, which all of them know. A task of
            several factors may be told factor by factor: ``sr4`` and ``sr8`` are ``sr`` to a model that has only this.
        thresholds: Modality -> least probability at which a task is believed.
    """

    tasks: Mapping[str, Sequence[str]]
    thresholds: Mapping[str, float] = {}

    @abstractmethod
    def __call__(self, picture: np.ndarray, modality: str) -> dict[str, float]:
        """How likely each task is.

        Args:
            picture: (H,W,3), uint8 or float in [0, 1], of at least 8x8 pixels.
            modality: One of `tasks`.

        Returns:
            Key -> probability of each of `tasks[modality]` and of ``pd``; they add up to 1.
        """


def says_little(picture: np.ndarray) -> bool:
    """Whether a picture, (H,W,3) uint8 or float in [0, 1], is too small or too flat to tell what is wrong with it."""
    if min(picture.shape[:2]) < LEAST_SIDE:
        return True
    luma = checked(picture) @ np.array(LUMA, np.float32)
    low, high = np.percentile(luma[:: max(1, luma.shape[0] // 256), :: max(1, luma.shape[1] // 256)], (1, 99))
    return float(high - low) < LEAST_RANGE


@PROMPTERS.register_module()
class StatisticsPrompter(Prompter):
    """Judges by `picture_statistics`, with small networks, one set for each modality, whose softmax is averaged.

    In a picture that is very small or nearly of one grey level, nothing is wrong.

    Args:
        weights: Safetensors file, see `tools/train_auto_prompt.py`; None: the one that is shipped.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or of other statistics than those of this version.
    """

    def __init__(self, weights: str | Path | None = None) -> None:
        path = SHIPPED if weights is None else Path(weights)
        if not path.is_file():
            raise FileNotFoundError(f'no such file of weights for the automatic prompt: {path}')
        try:
            with safe_open(path, 'np') as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}
                self._take(tensors, {key: json.loads(value) for key, value in (file.metadata() or {}).items()})
        except Exception as error:
            raise ValueError(
                f'{path} holds no weights of the automatic prompt ({type(error).__name__}: {error}); '
                f'tools/train_auto_prompt.py writes them'
            ) from error

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> StatisticsPrompter:
        """One of networks that are in no file yet: the tensors and the meta information of such a file."""
        made = cls.__new__(cls)
        made._take(tensors, meta)
        return made

    def _take(self, tensors: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
        self._tensors = dict(tensors)
        self._names = list(meta['statistics'])
        self._classes = {modality: tuple(keys) for modality, keys in meta['classes'].items()}
        self._members = int(meta['members'])
        self.thresholds = {modality: float(meta['thresholds'][modality]) for modality in self._classes}
        self.tasks = {name: tuple(k for k in keys if k != PSEUDO_TASK) for name, keys in self._classes.items()}

    def __call__(self, picture: np.ndarray, modality: str) -> dict[str, float]:
        """See :class:`Prompter`."""
        if modality not in self._classes:
            raise ValueError(unknown('modality of the automatic prompt', modality, list(self.tasks)))
        if says_little(picture):
            return {key: float(key == PSEUDO_TASK) for key in self._classes[modality]}
        statistics = picture_statistics(picture)
        if list(statistics) != self._names:
            raise ValueError('the weights of the automatic prompt are of other statistics: train them anew')
        row = np.fromiter(statistics.values(), np.float32)
        shares = self.probabilities(row[None], modality)[0]
        return dict(zip(self._classes[modality], shares.tolist(), strict=True))

    def probabilities(self, rows: np.ndarray, modality: str) -> np.ndarray:
        """(N,K) in the order of the file's classes, of (N,F) statistics."""
        mean, deviation = self._tensors[f'{modality}.mean'], self._tensors[f'{modality}.deviation']
        x = np.clip((rows - mean) / deviation, -FAR, FAR)
        members = [self._member(x, f'{modality}.{number}') for number in range(self._members)]
        return np.mean(members, axis=0)

    def _member(self, x: np.ndarray, name: str) -> np.ndarray:
        for layer in range(3):
            x = x @ self._tensors[f'{name}.{layer}.weight'].T + self._tensors[f'{name}.{layer}.bias']
            x = np.maximum(x, 0) if layer < 2 else x
        x = np.exp(x - x.max(axis=1, keepdims=True))
        return x / x.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Found:
    """What the automatic prompt found in one picture.

    Attributes:
        task: Key of the task to restore by, one of the model's; ``pd``: nothing is wrong, or nothing is sure.
        probability: Of this task.
        probabilities: Of everything that was looked for, also of faults that the model has no task for; most likely
            first.
    """

    task: str
    probability: float
    probabilities: Mapping[str, float]

    def __str__(self) -> str:
        best = next(iter(self.probabilities))
        also = '' if best == self.task else f', perhaps {best} {100 * self.probabilities[best]:.0f} %'
        return f'{self.task} {100 * self.probability:.0f} %{also}'


class AutoPrompt:
    """One task for a picture, among those of a model.

    Several prompters are asked where one does not know all tasks of the model; of what they believe, the likeliest is
    taken. What a prompter finds and the model has no task for counts for nothing: it is not shared among the rest.

    Args:
        tasks: Keys of the model's tasks, ``pd`` among them.
        prompters: Names or configs of PROMPTERS. None: the built-in one, and of the others that are registered those
            that know a task of the model that no one before them knows.
        threshold: Least probability of a task that is believed, for all prompters; None: that of each.

    Raises:
        KeyError: If a prompter is unknown.
        ValueError: If `tasks` lacks ``pd``, there is no prompter, or the threshold leaves [0, 1].
    """

    def __init__(
        self,
        tasks: Sequence[str],
        prompters: Sequence[str | Mapping[str, Any]] | None = None,
        threshold: float | None = None,
    ) -> None:
        if PSEUDO_TASK not in tasks:
            raise ValueError(f'the automatic prompt needs the task {PSEUDO_TASK!r} to fall back to, got {list(tasks)}')
        if threshold is not None and not 0 <= threshold <= 1:
            raise ValueError(f'threshold is a probability in [0, 1], got {threshold}')
        if prompters is not None and (isinstance(prompters, (str, Mapping)) or not prompters):
            raise ValueError(f'prompters must be a list of at least one, got {prompters!r}')
        self.tasks = tuple(key for key in tasks if key != PSEUDO_TASK)
        self.threshold = threshold
        self.prompters: list[Prompter] = [PROMPTERS.build(p) for p in prompters or ()] or self._chosen()

    def _chosen(self) -> list[Prompter]:
        chosen: list[Prompter] = [StatisticsPrompter()]
        for name in PROMPTERS.known():
            member = PROMPTERS.require(name)
            if member is StatisticsPrompter:
                continue
            new = member()
            lacking = [
                key
                for modality, keys in new.tasks.items()
                for key in keys
                if _own(key, self.tasks) and not any(_own(key, p.tasks.get(modality, ())) for p in chosen)
            ]
            if lacking:
                chosen.append(new)
        return chosen

    def settings(self) -> list[Any]:
        """What its answers depend on beside the picture, for the records of a folder."""
        names = [f'{type(each).__module__}.{type(each).__qualname__}' for each in self.prompters]
        return [
            self.tasks,
            self.threshold,
            [[n, dict(p.thresholds)] for n, p in zip(names, self.prompters, strict=True)],
        ]

    def check(self, modality: str) -> list[Prompter]:
        """Those who can judge pictures of a modality; ValueError if there is none."""
        asked = [prompter for prompter in self.prompters if modality in prompter.tasks]
        if not asked:
            known = sorted({name for prompter in self.prompters for name in prompter.tasks})
            raise ValueError(
                f'the automatic prompt cannot judge pictures of {modality!r}, only of {", ".join(known)}; give it a '
                f'task or sentence, or register a prompter for it (lurefusion.registry.PROMPTERS)'
            )
        return asked

    def __call__(self, picture: np.ndarray, modality: str) -> Found:
        """Look at one picture.

        Args:
            picture: (H,W,3), uint8 or float in [0, 1], of at least 8x8 pixels; grey ones have three equal channels.
            modality: Its modality.

        Raises:
            ValueError: If no prompter knows the modality, or the picture is none.
            TypeError: On another type.
        """
        asked = self.check(modality)
        everything: dict[str, float] = {}
        believed: dict[str, float] = {}
        untouched = 1.0
        for prompter in asked:
            shares = prompter(picture, modality)
            everything = {**shares, **everything}
            untouched = min(untouched, shares[PSEUDO_TASK])
            least = prompter.thresholds.get(modality, 0.5) if self.threshold is None else self.threshold
            own: dict[str, float] = {}
            for key, share in shares.items():
                if task := _own(key, self.tasks):
                    own[task] = own.get(task, 0.0) + share
            # not sure is not wrong: what is likeliest must also be likelier than that nothing is wrong
            sure = {k: v for k, v in own.items() if v >= least and v > shares[PSEUDO_TASK]}
            believed = {**sure, **believed}
        everything[PSEUDO_TASK] = untouched
        found = dict(sorted(everything.items(), key=lambda item: -item[1]))
        if not believed:
            return Found(PSEUDO_TASK, untouched, found)
        task = max(believed, key=believed.__getitem__)
        return Found(task, believed[task], found)


def _own(key: str, tasks: Sequence[str]) -> str | None:
    """The task among `tasks` that a key stands for: itself, or itself without its factor."""
    plain = key.rstrip('0123456789')
    return key if key in tasks else plain if plain in tasks else None
