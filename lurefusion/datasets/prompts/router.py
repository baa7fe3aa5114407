"""From free text to one task per modality."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from mmengine.logging import print_log

from lurefusion.datasets.prompts.bank import PromptBank
from lurefusion.datasets.prompts.tasks import PSEUDO_TASK, compile_any, unknown
from lurefusion.registry import did_you_mean

MAX_PROMPT_CHARACTERS = 2000


@dataclass(frozen=True)
class Route:
    """What one modality is restored from.

    Attributes:
        task: Task key.
        sentence: Text to embed.
        source: 'key' (named outright), 'pattern', 'classifier', or 'default' (nothing usable was said: pd).
    """

    task: str
    sentence: str
    source: str


_CLAUSE_END = re.compile(r'[.;,!?\u2013\u2014]|\b(?:and|while|whereas|but|as well as|plus|with)\b')
_ALL = re.compile(
    r'\b(?:both|two|all)(?: (?:the|of the|these|input|source)){0,2} '
    r'(?:images|modalities|sources|pictures|inputs|frames)\b'
)
_NEGATION = re.compile(r"(?:\b(?:no|not|without|never|neither|nor|cannot)\b|n't\b|\bfree (?:of|from)\b)(?! only\b)")
_COMPLAINT = re.compile(
    r'\bdegrad\w*|\b(?:de-?)?nois[eyi]\w*|\b(?:de-?)?blur\w*|\brain\w*|\bsnow\w*|\barti?efacts?\b|\bartifacts?\b|'
    r'\bstrip(?:e|es|ed|ing)\b|\bjpeg\b|\bcompress\w*|\bscratch\w*|\bdistort\w*|\bvignett\w*|\bghost\w*|\bmoire\b'
)
_FILLER = re.compile(r'(?:(?:please|thanks|thank|you|hi|hello|hey|ok|okay|so|now|then|the|a|is|it|also|for|me) ?)*')


class PromptRouter:
    """From a user's text to one task per modality, by patterns first and the text head second (LURE, Sec. 3).

    Args:
        bank: Tasks, their patterns and the words of the modalities. Must hold 'pd'.
        modalities: Names of the modalities of the model, in any order.
        classify: `list of N clauses -> (N, len(bank)) softmax`, asked only where no pattern of any task is found.
        threshold: Least softmax that is believed.
        use_user_text: Embed the user's own clause instead of the task's canonical sentence.

    Raises:
        ValueError: If `bank` lacks 'pd', modalities repeat or are empty, or threshold leaves [0, 1].
    """

    def __init__(
        self,
        bank: PromptBank,
        modalities: Sequence[str],
        classify: Callable[[list[str]], np.ndarray] | None = None,
        threshold: float = 0.6,
        use_user_text: bool = False,
    ) -> None:
        if PSEUDO_TASK not in bank:
            raise ValueError(f'the prompt bank has no task {PSEUDO_TASK!r}, which says "no degradation": {bank.keys}')
        if isinstance(modalities, str) or not modalities or len(set(modalities)) < len(modalities):
            raise ValueError(f'modalities must be a list of different names, got {modalities!r}')
        if not 0 <= threshold <= 1:
            raise ValueError(f'threshold is a probability in [0, 1], got {threshold}')
        self.bank = bank
        self.modalities = tuple(modalities)
        self.classify = classify
        self.threshold = threshold
        self.use_user_text = use_user_text
        self._words = {
            name: re.compile(rf'\b(?:{"|".join((re.escape(name.lower()), *bank.words(name)))})\b')
            for name in modalities
        }
        self._keys = {key.lower(): key for key in bank.keys}
        self._patterns = {key: compile_any(bank.task(key).patterns, key) for key in bank.keys}

    def route(self, text: str | Mapping[str, str | None] | None = None) -> dict[str, Route]:
        """Task and sentence of every modality, in the order of `modalities`.

        Args:
            text: None: no degradation anywhere. A sentence about any or all modalities, or a task key: routed. A dict
                `{modality: task key or sentence about that image}`: each taken for its modality, None or absent: pd.

        Raises:
            ValueError: On a blank text, or one of more than 2,000 characters.
            TypeError: On anything but None, str and dict.
            KeyError: On an unknown modality in a dict.
        """
        if text is None:
            return self._complete({})
        if isinstance(text, Mapping):
            for name in text:
                if name not in self.modalities:
                    raise KeyError(unknown('modality', name, list(self.modalities)))
            return self._complete({k: self._route_one(k, v) for k, v in text.items() if v is not None})
        return self._complete(self._route_sentence(text))

    def _route_one(self, modality: str, text: str) -> Route | None:
        clean = _normalise(text)
        task = self._keys.get(clean)
        if task:
            if self._is_foreign(task, modality):
                _warn(f'task {task!r} is not one that {modality!r} was trained on; it is used since it was asked for')
            return Route(task, self.bank.canonical(task), 'key')
        found = [(modality, *hit) for clause in self._clauses(clean) for hit in self._hits(clause)[0]]
        found = found or [(modality, *hit) for hit in self._classified(clean)]
        return self._assign(found, text).get(modality)

    def _route_sentence(self, text: str) -> dict[str, Route]:
        clean = _normalise(text)
        task = self._keys.get(clean)
        if task:
            return self._assign([(name, task, clean, 'key') for name in self._natural(task)], text)
        found = []
        for clause in self._clauses(clean):
            for hit in self._hits(clause)[0]:
                found += [(name, *hit) for name in self._named(clause) or self._natural(hit[0])]
        if not any(task != PSEUDO_TASK for _, task, _, _ in found):
            for hit in self._classified(clean):
                found += [(name, *hit) for name in self._named(hit[1]) or self._natural(hit[0])]
        return self._assign(found, text)

    def _clauses(self, text: str) -> list[str]:
        """Clauses of a text; one that only names a modality ('infrared | and | visible images ...') joins the next."""
        clauses, carried = [], ''
        for part in _CLAUSE_END.split(text):
            part = f'{carried} {part.strip()}'.strip()
            rest = part
            for words in self._words.values():
                rest = words.sub('', rest)
            carried = part if rest != part and _FILLER.fullmatch(rest.strip()) else ''
            if part and not carried:
                clauses.append(part)
        return [*clauses, carried] if carried else clauses

    def _named(self, clause: str) -> list[str]:
        """The one modality that a clause names; empty when it names none, several or all."""
        names = [name for name, words in self._words.items() if words.search(clause)]
        return names if len(names) == 1 and not _ALL.search(clause) else []

    def _natural(self, task: str) -> list[str]:
        modality = self.bank.task(task).modality
        return list(self.modalities) if modality is None else [modality]

    def _is_foreign(self, task: str, modality: str) -> bool:
        return self.bank.task(task).modality not in (None, modality)

    def _hits(self, clause: str) -> tuple[list[tuple[str, str, str]], bool]:
        """(task, clause, 'pattern') of every task named and not negated, leftmost longest first; any match at all?"""
        spans = [
            (match.start(), -match.end(), order, key)
            for order, (key, pattern) in enumerate(self._patterns.items())
            if pattern
            for match in pattern.finditer(clause)
        ]
        hits, end = [], -1
        for start, negative_end, _, key in sorted(spans):
            if start < end:
                continue
            end = -negative_end
            before = ' '.join(clause[:start].split()[-3:])
            negated = _NEGATION.search(before) or re.match(r'[- ]free\b', clause[end:])
            if (key == PSEUDO_TASK or not negated) and (key, clause, 'pattern') not in hits:
                hits.append((key, clause, 'pattern'))
        degradations = [hit for hit in hits if hit[0] != PSEUDO_TASK]
        return degradations or hits, bool(spans)

    def _classified(self, text: str) -> list[tuple[str, str, str]]:
        clauses: list[str] = []
        for clause in self._clauses(text):
            if self._hits(clause)[1] or _FILLER.fullmatch(clause):
                continue
            # the head learned from whole sentences: only what speaks of another modality stands for itself
            if clauses and not (self._named(clause) and self._named(clauses[-1])):
                clause = f'{clauses.pop()}, {clause}'
            clauses.append(clause)
        if self.classify is None or not clauses:
            return []
        scores = np.asarray(self.classify(clauses))
        if scores.shape != (len(clauses), len(self.bank)):
            raise ValueError(f'classify must return shape {(len(clauses), len(self.bank))}, got {scores.shape}')
        best = scores.argmax(1)
        return [
            (self.bank.keys[k], clause, 'classifier')
            for clause, k, row in zip(clauses, best, scores, strict=True)
            if row[k] >= self.threshold
        ]

    def _assign(self, found: list[tuple[str, str, str, str]], text: str) -> dict[str, Route]:
        routes: dict[str, Route] = {}
        for modality, task, clause, source in sorted(found, key=lambda item: item[1] == PSEUDO_TASK):
            if modality not in self.modalities:
                _warn(
                    f'{text!r:.200} asks for {task!r}, which belongs to {modality!r}; the model has {self.modalities}'
                )
            elif self._is_foreign(task, modality):
                _warn(
                    f'{text!r:.200} asks for {task!r} on {modality!r}, but that task belongs to '
                    f'{self.bank.task(task).modality!r}; {modality!r} is kept as it is'
                )
            elif modality not in routes:
                own = self.use_user_text and task != PSEUDO_TASK and source != 'key'
                routes[modality] = Route(task, clause if own else self.bank.canonical(task), source)
            elif task not in (routes[modality].task, PSEUDO_TASK):
                _warn(
                    f'{text!r:.200} names two tasks for {modality!r}: {routes[modality].task!r} is used, '
                    f'{task!r} is not (one degradation per modality)'
                )
        for clause in self._clauses(_normalise(text)):
            complaint = _COMPLAINT.search(clause)
            if complaint and not self._hits(clause)[1] and not _NEGATION.search(clause[: complaint.start()]):
                if not any(route.source == 'classifier' and route.task != PSEUDO_TASK for route in routes.values()):
                    _warn(f'{clause!r:.200} asks for something that no task covers; it is left out. {self._offer()}')
                    return routes
        if not found and not any(self._hits(clause)[1] for clause in self._clauses(_normalise(text))):
            hint = did_you_mean(text.strip(), list(self.bank.keys)) if len(text.split()) == 1 else ''
            _warn(f'no task recognised in {text!r:.200}; nothing is restored.{hint} {self._offer()}')
        return routes

    def _offer(self) -> str:
        return f'Tasks: {", ".join(self.bank.keys)}'

    def _complete(self, routes: Mapping[str, Route | None]) -> dict[str, Route]:
        default = Route(PSEUDO_TASK, self.bank.canonical(PSEUDO_TASK), 'default')
        return {name: routes.get(name) or default for name in self.modalities}


def _normalise(text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f'a prompt is None, a sentence or a dict of sentences; got {type(text).__name__}')
    if len(text) > MAX_PROMPT_CHARACTERS:
        raise ValueError(f'the prompt has {len(text):,} characters; at most {MAX_PROMPT_CHARACTERS:,} are accepted')
    if not text.strip():
        raise ValueError('the prompt is blank; give a sentence such as "the visible image is too dark", or None')
    text = unicodedata.normalize('NFKC', text).lower()
    return ' '.join(text.translate({0x2019: "'", 0x2010: '-', 0x2011: '-'}).split())


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)
