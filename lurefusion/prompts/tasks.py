"""What a degradation task is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

PSEUDO_TASK = 'pd'


@dataclass(frozen=True)
class Task:
    """One degradation that a prompt can name.

    Attributes:
        key: Short name, also the stem of its sentence file.
        modality: Modality in which the degradation occurs by nature; None when it belongs to every modality.
        defects: Noun phrases of the degradation ('a lack of light').
        remedies: Imperative phrases ('brighten {image}'); `{image}` stands for the object.
        patterns: Regular expressions, on lower-case text, by which `PromptRouter` recognises the task.
        canonical: The one sentence that is embedded at inference.
        states: Predicates of the image ('too dark'); may be empty.
        hints: Regular expressions of words that mean this task only in a picture of its modality ('washed out'), where
            they count if nothing plainer is said of it.
    """

    key: str
    modality: str | None
    defects: tuple[str, ...]
    remedies: tuple[str, ...]
    patterns: tuple[str, ...]
    canonical: str
    states: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.key, str) or not re.fullmatch(r'[A-Za-z0-9_-]+', self.key):
            raise ValueError(f'a task key is letters, digits, "_" and "-"; got {self.key!r}')
        if not isinstance(self.canonical, str) or not self.canonical.strip():
            raise ValueError(f'task {self.key!r}: canonical must be a sentence, got {self.canonical!r}')
        for name in ('defects', 'remedies', 'patterns', 'states', 'hints'):
            value = getattr(self, name)
            if isinstance(value, str) or not all(isinstance(phrase, str) and phrase.strip() for phrase in value):
                raise TypeError(f'task {self.key!r}: {name} must be a list of non-empty strings, got {value!r}')
            if not value and name in ('defects', 'remedies'):
                raise ValueError(f'task {self.key!r}: {name} must not be empty')
            object.__setattr__(self, name, tuple(value))
        compile_any((*self.patterns, *self.hints), f'task {self.key!r}')


def compile_any(patterns: Sequence[str], owner: str) -> re.Pattern[str] | None:
    """One expression that matches where any pattern does, or None; ValueError names `owner` and the bad pattern."""
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f'{owner}: {pattern!r} is not a valid regular expression: {error}') from None
    return re.compile('|'.join(f'(?:{pattern})' for pattern in patterns)) if patterns else None
