"""From free text to one task per modality."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from mmengine.logging import print_log

from lurefusion.choices import did_you_mean, unknown
from lurefusion.prompts.auto import AUTO, AutoPrompt, Found
from lurefusion.prompts.bank import PromptBank
from lurefusion.prompts.builtin_tasks import TASKS, own_words
from lurefusion.prompts.grammar import (
    ALL,
    CLAUSE_END,
    FILLER,
    LIKEWISE,
    compile_names,
    foreign_script,
    is_negated,
    named_parts,
    normalise,
)
from lurefusion.prompts.phrases import FAULTS, MENDED
from lurefusion.prompts.tasks import PSEUDO_TASK, compile_any


@dataclass(frozen=True)
class Route:
    """What one modality is restored from.

    Attributes:
        task: Task key.
        sentence: Text to embed.
        source: 'key' (named outright), 'pattern', 'classifier', 'auto' (told from the picture), or 'default' (nothing
            usable was said: pd).
        found: What was told from the picture, with its probability; None if that was not asked for.
    """

    task: str
    sentence: str
    source: str
    found: Found | None = None

    @property
    def pending(self) -> bool:
        """Whether the picture has yet to be looked at, see :meth:`PromptRouter.look`."""
        return self.source == AUTO and self.found is None


def is_automatic(prompt: object) -> bool:
    """Whether a prompt is ``auto``: to be told from the picture."""
    return isinstance(prompt, str) and prompt.strip().lower() == AUTO


@dataclass(frozen=True)
class _Claim:
    """Words `clause[start:end]` that speak of `task`; a smaller rank goes first."""

    rank: int
    start: int
    end: int
    task: str

    @property
    def span(self) -> tuple[int, int]:
        return self.start, self.end

    def overlaps(self, other: _Claim) -> bool:
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True)
class _Clause:
    """What one clause says, in the order of its words.

    Attributes:
        text: The clause.
        named: The one modality that it names, if any.
        about: The modality that it speaks of: its own, else the last one named before, else the next one after.
        claims: Words of tasks and faults, none overlapping, negated ones among them.
        hits: Of these, one for each task of the model that is not negated; 'pd' only where nothing else is said.
        faults: Of these, faults and tasks that the model lacks, not negated.
        hints: Words of `Task.hints` beside the claims, not negated.
        hinted: Whether there is any hint, negated ones too.
    """

    text: str
    named: str | None
    about: str | None
    claims: tuple[_Claim, ...]
    hits: tuple[_Claim, ...]
    faults: tuple[_Claim, ...]
    hints: tuple[_Claim, ...]
    hinted: bool


# whose words: of a task that the config brings, of a built-in one, of a built-in one that the model lacks, of no task
_BROUGHT, _BUILT_IN, _ABSENT, _FAULT = range(4)


class PromptRouter:
    """From a user's text to one task per modality, by patterns first and the text head second (LURE, Sec. 3).

    English and Chinese are read. A text is cut into clauses; each word list that matches claims its words for a task.
    Words of a task that the config brings go before those of a built-in one. A word that means different faults in
    different modalities (`Task.hints`) is read by the modality that its clause, or the nearest one, names. What no
    task of the model covers, is ambiguous, or is guessed by the text head is said in a warning.

    Args:
        bank: Tasks, their patterns and the words of the modalities. Must hold 'pd'.
        modalities: Names of the modalities of the model, in any order.
        classify: `list of N clauses -> (N, len(bank)) softmax`, asked only where no pattern of any task is found.
        threshold: Least softmax that is believed.
        use_user_text: Embed the user's own clause instead of the task's canonical sentence, unless `classify` reads
            another task in it.

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
        self._words = {name: compile_names((re.escape(name.lower()), *bank.words(name))) for name in modalities}
        self._keys = {key.lower(): key for key in bank.keys}
        self._patterns = list(self._vocabulary())
        self._hints = {key: compile_any(bank.task(key).hints, key) for key in bank.keys}

    def _vocabulary(self) -> Iterable[tuple[int, str, re.Pattern[str]]]:
        """(rank, task or name of a fault, expression) of everything that can be recognised."""
        for key in self.bank.keys:
            task = self.bank.task(key)
            brought, built_in = own_words(task)
            for rank, words in ((_BROUGHT, brought), (_BUILT_IN, built_in)):
                if words:
                    yield rank, key, compile_any(words, key)
        known = [compile_any(self.bank.task(key).patterns, key) for key in self.bank.keys]
        for key, task in TASKS.items():
            # sr8 is no news to a model with sr; 'sharpen' alone is no blur
            if key in self.bank or key in MENDED.values():
                continue
            if not any(p and p.search(task.canonical.lower()) for p in known):
                yield _ABSENT, task.defects[0], compile_any(task.patterns, key)
        for fault, patterns in FAULTS.items():
            if MENDED.get(fault) not in self.bank:
                yield _FAULT, fault, compile_any(patterns, fault)

    @cached_property
    def auto(self) -> AutoPrompt:
        """Tells the task of a picture, for ``auto``; may be replaced by one of other prompters."""
        return AutoPrompt(self.bank.keys)

    def look(self, routes: Mapping[str, Route], pictures: Mapping[str, np.ndarray]) -> dict[str, Route]:
        """The routes, with the task of those that are `pending` told from the picture.

        Args:
            routes: Of :meth:`route`.
            pictures: Modality -> (H,W,3), uint8 or float in [0, 1]; routes of other modalities stay as they are.

        Raises:
            ValueError: If no prompter can judge pictures of a modality.
        """
        seen = dict(routes)
        for name, route in routes.items():
            if route.pending and name in pictures:
                found = self.auto(pictures[name], name)
                seen[name] = Route(found.task, self.bank.canonical(found.task), AUTO, found)
        return seen

    def route(self, text: str | Mapping[str, str | None] | None = None) -> dict[str, Route]:
        """Task and sentence of every modality, in the order of `modalities`.

        Args:
            text: None: no degradation anywhere. A sentence about any or all modalities, or a task key: routed. A dict
                `{modality: task key or sentence about that image}`, or the same as one text (``vi=ll ir=lc``): each
                taken for its modality, None or absent: pd.
                ``auto``, alone or in a dict: the route is `pending`, until :meth:`look` sees the picture.

        Raises:
            ValueError: On a blank text, one of more than 2,000 characters, or one with control characters; on ``auto``
                for a modality that no prompter can judge.
            TypeError: On anything but None, str and dict.
            ValueError: On an unknown modality in a dict.
        """
        if text is None:
            return self._complete({})
        if isinstance(text, str):
            text = named_parts([text], self.modalities)
        if is_automatic(text):
            text = dict.fromkeys(self.modalities, AUTO)
        if isinstance(text, Mapping):
            for name in text:
                if name not in self.modalities:
                    known = unknown('modality', name, list(self.modalities))
                    raise ValueError(f'the prompt names a modality that the model does not take: {known}')
            return self._complete({k: self._route_one(k, v) for k, v in text.items() if v is not None})
        return self._complete(self._route_sentence(text))

    def _route_one(self, modality: str, text: str) -> Route | None:
        if is_automatic(text):
            self.auto.check(modality)
            return Route(AUTO, AUTO, AUTO)
        clean = normalise(text)
        task = self._keys.get(clean)
        if task:
            if self._is_foreign(task, modality):
                _warn(f'task {task!r} is not one that {modality!r} was trained on; it is used since it was asked for')
            return Route(task, self.bank.canonical(task), 'key')
        clauses = self._parse(clean)
        found = self._read(clauses, modality)
        found = found or [(modality, *hit) for hit in self._classified(clauses)]
        return self._assign(found, text, clauses, modality).get(modality)

    def _route_sentence(self, text: str) -> dict[str, Route]:
        clean = normalise(text)
        task = self._keys.get(clean)
        if task:
            return self._assign([(name, task, clean, 'key') for name in self._natural(task)], text, [])
        clauses = self._parse(clean)
        found = self._read(clauses)
        if not any(task != PSEUDO_TASK for _, task, _, _ in found):
            # where something was understood, only what is said of another modality is worth a guess
            for hit in self._classified([clause for clause in clauses if clause.named or not found]):
                named = self._named(hit[1])
                found += [(name, *hit) for name in ([named] if named else self._natural(hit[0]))]
        return self._assign(found, text, clauses)

    def _read(self, clauses: list[_Clause], only: str | None = None) -> list[tuple[str, str, str, str]]:
        """(modality, task, clause, 'pattern') of all that is said; `only`: the text is about this modality."""
        found: list[tuple[str, str, str, str]] = []
        for clause in clauses:
            for claim in clause.hits:
                modality = only or self._nearest(clause.text, claim) or clause.about
                task = self._meant(claim, clause.text, modality)
                names = [only or clause.named or modality] if only or clause.named or task != claim.task else []
                found += [(name, task, clause.text, 'pattern') for name in names or self._natural(task)]
        restored = {name for name, task, _, _ in found if task != PSEUDO_TASK}
        unclear: dict[tuple[str, str], tuple[str, str]] = {}
        for clause in clauses:
            for claim in clause.hints:
                modality = only or self._nearest(clause.text, claim) or clause.about
                if modality is None and not clause.faults:
                    for name in {*self._natural(claim.task)} & {*self.modalities}:
                        unclear[name, claim.task] = (clause.text[claim.start : claim.end], clause.text)
                elif modality and modality not in restored and not self._is_foreign(claim.task, modality):
                    found.append((modality, claim.task, clause.text, 'pattern'))
        if found or not unclear:
            return found
        if len(unclear) == 1:
            return [(name, task, clause, 'pattern') for (name, task), (_, clause) in unclear.items()]
        means = ' or '.join(f'{task!r} of {name!r}' for name, task in unclear)
        word, clause = next(iter(unclear.values()))
        _warn(f'{word!r} may mean {means}; nothing is restored: say which picture it is')
        return [(name, PSEUDO_TASK, clause, 'pattern') for name in self.modalities]

    def _parse(self, text: str) -> list[_Clause]:
        parts = self._clauses(text)
        named = [self._named(part) for part in parts]
        about = next((name for name in named if name), None)
        clauses = []
        for part, name in zip(parts, named, strict=True):
            if name and clauses and clauses[-1].named and LIKEWISE.search(part):
                part = self._words[clauses[-1].named].sub(name, clauses[-1].text)
            about = name or about
            claims = self._claims(part)
            said = [claim for claim in claims if claim.task == PSEUDO_TASK or not is_negated(part, *claim.span)]
            tasks = {claim.task: claim for claim in reversed(said) if claim.rank <= _BUILT_IN}
            hits = sorted(tasks.values(), key=lambda claim: claim.start)
            hints = [
                _Claim(_BUILT_IN, *match.span(), key)
                for key, words in self._hints.items()
                for match in (words.finditer(part) if words else ())
            ]
            taken = _covered(part, claims)
            free = [
                hint for hint in hints if not any(taken[hint.start : hint.end]) and not is_negated(part, *hint.span)
            ]
            clauses.append(
                _Clause(
                    text=part,
                    named=name,
                    about=about,
                    claims=tuple(claims),
                    hits=tuple([hit for hit in hits if hit.task != PSEUDO_TASK] or hits),
                    faults=tuple(claim for claim in said if claim.rank >= _ABSENT),
                    hints=tuple(free),
                    hinted=bool(hints),
                )
            )
        return clauses

    def _clauses(self, text: str) -> list[str]:
        """Clauses of a text; one that only names a modality ('infrared | and | visible images ...') joins the next."""
        clauses, carried = [], ''
        for words in self._words.values():  # 'hazy (visible)' is one clause
            text = re.sub(rf'\((?:the )?({words.pattern})(?: one| image)?\)', r' \1 ', text)
        for part in CLAUSE_END.split(text):
            part = f'{carried} {part.strip()}'.strip()
            rest = part
            for start, end, _ in reversed(self._names(part)):
                rest = rest[:start] + rest[end:]
            carried = part if rest != part and FILLER.fullmatch(' '.join(rest.split())) else ''
            if part and not carried:
                clauses.append(part)
        return [*clauses, carried] if carried else clauses

    def _named(self, clause: str) -> str | None:
        """The one modality that a clause names; None when it names none, several or all."""
        names = {name for _, _, name in self._names(clause)}
        return names.pop() if len(names) == 1 and not ALL.search(clause) else None

    def _names(self, clause: str) -> list[tuple[int, int, str]]:
        """Begin and end of every name of a modality, and which it is; a name within a longer one is none."""
        found = [(*match.span(), name) for name, words in self._words.items() for match in words.finditer(clause)]
        whole: list[tuple[int, int, str]] = []
        for start, end, name in sorted(found, key=lambda one: (one[0], -one[1])):
            if not whole or start >= whole[-1][1]:
                whole.append((start, end, name))
        return whole

    def _nearest(self, clause: str, claim: _Claim) -> str | None:
        """The modality whose name stands nearest to the words of a claim, within their clause."""
        gaps = [(max(start - claim.end, claim.start - end), name) for start, end, name in self._names(clause)]
        return min(gaps)[1] if gaps else None

    def _meant(self, claim: _Claim, clause: str, modality: str | None) -> str:
        """The task of a claim; where that is of another modality, the one of `modality` that has the same words."""
        if modality is None or not self._is_foreign(claim.task, modality):
            return claim.task
        for key in self.bank.keys:
            if self.bank.task(key).modality == modality:
                owned = [words for _, task, words in self._patterns if task == key] + [self._hints[key]]
                for match in (match for words in owned if words for match in words.finditer(clause)):
                    if claim.overlaps(_Claim(_BUILT_IN, match.start(), match.end(), key)):
                        return key
        return claim.task

    def _natural(self, task: str) -> list[str]:
        modality = self.bank.task(task).modality
        return list(self.modalities) if modality is None else [modality]

    def _is_foreign(self, task: str, modality: str) -> bool:
        return self.bank.task(task).modality not in (None, modality)

    def _claims(self, clause: str) -> list[_Claim]:
        """All words of tasks and faults, none overlapping: smaller ranks first, then leftmost longest."""
        spans = [
            _Claim(rank, *match.span(), task)
            for rank, task, words in self._patterns
            for match in words.finditer(clause)
            if match.group()
        ]
        taken = bytearray(len(clause))
        kept: list[_Claim] = []
        for claim in sorted(spans, key=lambda claim: (claim.rank, claim.start, -claim.end)):
            if not any(taken[claim.start : claim.end]):
                taken[claim.start : claim.end] = b'\1' * (claim.end - claim.start)
                kept.append(claim)
        return sorted(kept, key=lambda claim: claim.start)

    def _contested(self, clause: _Clause, named: bool) -> list[str]:
        """What to say of words that two tasks claim: one that the config brings, or one of a modality not `named`."""
        messages = []
        for claim in clause.hits:
            words = clause.text[claim.start : claim.end]
            if claim.rank == _BROUGHT:
                for rank, task, pattern in self._patterns:
                    if rank > _BUILT_IN or task in (claim.task, PSEUDO_TASK):
                        continue
                    if any(
                        claim.overlaps(_Claim(rank, *match.span(), task)) for match in pattern.finditer(clause.text)
                    ):
                        messages.append(
                            f'{words!r} is a word of {claim.task!r} and of {task!r}; {claim.task!r} is used'
                        )
            elif not named:
                for task, hints in self._hints.items():
                    owner = self.bank.task(task).modality
                    if owner in self.modalities and self._is_foreign(claim.task, owner):
                        if hints and hints.fullmatch(words):
                            messages.append(
                                f'{words!r} is taken for {claim.task!r}; of {owner!r} it would mean {task!r}'
                            )
        return messages

    def _classified(self, said: list[_Clause]) -> list[tuple[str, str, str]]:
        clauses: list[str] = []
        for clause in said:
            if clause.hinted or clause.claims or FILLER.fullmatch(clause.text):
                continue
            # the head learned from whole sentences: only what speaks of another modality stands for itself
            if clauses and not (clause.named and self._named(clauses[-1])):
                clauses.append(f'{clauses.pop()}, {clause.text}')
            else:
                clauses.append(clause.text)
        # the head knows only the tasks of the model, and would take a fault without a task for one of them
        faulty = any(clause.faults for clause in said)
        if self.classify is None or not clauses or faulty or foreign_script(' '.join(clauses)):
            return []
        best, sure = self._scores(clauses)
        return [
            (self.bank.keys[k], clause, 'classifier')
            for clause, k, probability in zip(clauses, best, sure, strict=True)
            if probability >= self.threshold
        ]

    def _scores(self, clauses: list[str]) -> tuple[np.ndarray, np.ndarray]:
        scores = np.asarray(self.classify(clauses))
        if scores.shape != (len(clauses), len(self.bank)):
            raise ValueError(f'classify must return shape {(len(clauses), len(self.bank))}, got {scores.shape}')
        return scores.argmax(1), scores.max(1)

    def _sentence(self, task: str, clause: str, source: str) -> str:
        """What is embedded: the canonical sentence, or on request the user's clause if the head reads `task` in it."""
        if not self.use_user_text or task == PSEUDO_TASK or source == 'key':
            return self.bank.canonical(task)
        if self.classify is not None:
            read = self.bank.keys[self._scores([clause])[0][0]]
            if read != task:
                _warn(
                    f'{clause!r:.200} asks for {task!r}, but the text head reads {read!r}; '
                    f'the sentence of {task!r} is embedded'
                )
                return self.bank.canonical(task)
        return clause

    def _assign(
        self, found: list[tuple[str, str, str, str]], text: str, clauses: list[_Clause], only: str | None = None
    ) -> dict[str, Route]:
        routes: dict[str, Route] = {}
        messages = []
        for modality, task, clause, source in sorted(found, key=lambda item: item[1] == PSEUDO_TASK):
            if modality not in self.modalities:
                messages.append(
                    f'{text!r:.200} asks for {task!r}, which belongs to {modality!r}; the model has {self.modalities}'
                )
            elif self._is_foreign(task, modality):
                messages.append(
                    f'{text!r:.200} asks for {task!r} on {modality!r}, but that task belongs to '
                    f'{self.bank.task(task).modality!r}; {modality!r} is kept as it is'
                )
            elif modality not in routes:
                routes[modality] = Route(task, self._sentence(task, clause, source), source)
                if source == 'classifier':
                    messages.append(f'no known words in {clause!r:.200}; the text head takes it for {task!r}')
            elif task not in (routes[modality].task, PSEUDO_TASK):
                messages.append(
                    f'{text!r:.200} names two tasks for {modality!r}: {routes[modality].task!r} is used, '
                    f'{task!r} is not (one degradation per modality)'
                )
        messages += self._remarks(text, clauses, bool(found), only)
        for message in dict.fromkeys(messages):
            _warn(message)
        return routes

    def _remarks(self, text: str, clauses: list[_Clause], understood: bool, only: str | None) -> list[str]:
        """What to say of words that two tasks share, of faults without a task, and of a text that nothing matches."""
        named = bool(only or (clauses and clauses[-1].about))
        messages = [message for clause in clauses for message in self._contested(clause, named)]
        known = ', '.join(self.bank.keys)
        faults = dict.fromkeys(claim.task for clause in clauses for claim in clause.faults)
        # what is only denied needs no answer
        denied = any(clause.claims or (clause.hinted and not clause.hints) for clause in clauses)
        if faults:
            messages.append(f'no task for {", ".join(faults)} in this model ({text!r:.200}); known: {known}')
        elif not understood and not denied:
            script = foreign_script(text)
            hint = did_you_mean(text.strip(), list(self.bank.keys)) if len(text.split()) == 1 else ''
            hint = f' It is written in {script}; prompts are read in English and Chinese.' if script else hint
            messages.append(f'no task recognised in {text!r:.200}; nothing is restored.{hint} Tasks: {known}')
        return messages

    def _complete(self, routes: Mapping[str, Route | None]) -> dict[str, Route]:
        default = Route(PSEUDO_TASK, self.bank.canonical(PSEUDO_TASK), 'default')
        return {name: routes.get(name) or default for name in self.modalities}


def _covered(clause: str, claims: Iterable[_Claim]) -> bytearray:
    taken = bytearray(len(clause))
    for claim in claims:
        taken[claim.start : claim.end] = b'\1' * (claim.end - claim.start)
    return taken


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)
