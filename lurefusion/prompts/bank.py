"""Many different sentences for each task, from a template grammar or from files."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lurefusion.choices import names_of, one_of, unknown
from lurefusion.prompts.builtin_tasks import build_task
from lurefusion.prompts.tasks import PSEUDO_TASK, Task, compile_any

SPLITS = ('train', 'val', 'test')
# the last ones are no plain words, so that they are understood and not written into sentences
MODALITY_WORDS: dict[str, tuple[str, ...]] = {
    'vi': (
        'visible', 'vis', 'vi', 'rgb', 'color', 'colour', 'optical', 'daylight', 'colou?rs', '(?:可见光|彩色|白光)',
    ),
    'ir': (
        'infrared', 'infra-red', 'ir', 'thermal', 'lwir', 'heat', '[tms]w?ir',
        r'thermo(?:gram|graph)\w*|thermals|micro-?bolometers?|flir', '(?:红外|热成像|热像|热图|热力图)',
    ),
}  # fmt: skip

# {img}: with determiner; {noun}: without; {a}: with 'a' or 'an'; {remedy} acts on {img}, {remedy_it} on 'it'
_FRAMES_ANY = (
    '{img} has {defect}.', '{img} shows {defect}.', '{img} is {state}.', '{img} looks {state}.', '{remedy}.',
    '{opener}{remedy}{closer}', '{opener}{remedy_it}, because {img} is {state}.', '{noun}, {defect}', '{noun}: {state}',
    'task: {remedy_it}; input: {noun}', 'I have {a} with {defect}{closer}', 'There is {defect} in {img}.',
    'In {img} I see {defect}.', '{defect} in {img}', '{noun} with {defect}, {remedy_it}', '{defect}, {state}, {noun}',
    'Since {img} is {state}, {remedy_it}{closer}', 'As {img} has {defect}, {remedy_it}.', 'My request: {remedy}.',
    'What I want is simple: {remedy}.', 'Note that {img} is {state}.', 'For this input, {remedy}{closer}',
    'The camera delivered {a} that is {state}.', 'Instruction: {remedy}. Reason: {defect}.', '{noun} {state}',
    'Input condition: {defect}.', 'This is the image fusion task. {img} has {defect}.', '{remedy}',
    'Assessment of {img}: {defect}.', 'diagnosis: {defect}; action: {remedy_it}', 'You will notice {defect} in {img}.',
    '{opener}could you {remedy}?', 'Can you {remedy} for me?', 'Would it be possible to {remedy}?',
    'We need to {remedy} before fusion.', '{opener}I would like you to {remedy}{closer}',
    'It would be great to {remedy}.',
    'Your job is to {remedy}.', 'The goal here is to {remedy}.', 'Make sure to {remedy}.', 'Go ahead and {remedy}.',
    'Before merging the sources, {remedy}.', 'They told me that {img} is {state}.', '{img}, taken today, is {state}.',
    'The recording is {state}: {remedy_it}.', 'To me {img} appears {state}.', '{img}: {defect}, {remedy_it}.',
    'Observed condition of {img}: {state}.',
)  # fmt: skip
_FRAMES_CURE = (
    '{img} suffers from {defect}.', '{img} is degraded by {defect}.', 'Get rid of {defect} in {img}{closer}',
    'Fix {defect}.', '{opener}fix {defect} in {img}{closer}', 'Correct {defect} of {img}.', 'restore {noun}, {defect}',
    'I cannot use {img} because of {defect}.', 'Unfortunately {img} is {state}.', 'What a pity, {img} is {state}.',
    '{defect} makes {img} hard to read.', 'Details of {img} are lost due to {defect}.', '{img} turned out {state}.',
    'Compensate for {defect} in {img}.', 'The quality of {img} is reduced by {defect}; {remedy_it}.',
    'Is there a way to cure {defect}?', 'Can anything be done about {defect} in {img}?', 'It came out {state}!',
    'I am annoyed: {img} is {state} again.', 'You can hardly see anything, {img} is {state}.',
    'Mitigate {defect} prior to fusion.', 'Repair {img}, it is {state}.', 'The operator complains about {defect}.',
    'Our sensor produced {defect}.', 'Enhance {img} affected by {defect}.', '{remedy_it} against {defect}',
)  # fmt: skip
_FRAMES_KEEP = (
    'Nothing is wrong with {img}.', '{img} needs no restoration.', 'No enhancement is required for {img}.',
    'Simply fuse the sources, {img} is {state}.', 'There is nothing to fix in {img}{closer}', 'identity, {noun}',
    'Do not apply any correction to {img}.', '{img} passed the quality check.', 'Pass {img} through untouched.',
    'Only merge the two images; {remedy_it}.', 'This is the {noun} fusion task.', 'I am happy with {img}.',
    '{img} does not suffer from any degradation.', 'Spare {img} any processing.', 'no restoration for {noun}',
    'Nothing needs to change in {img}{closer}', 'plain fusion, {defect}', 'Everything is all right with {img}.',
    'You may skip restoration, {img} is {state}.', 'There is no reason to alter {img}.', 'fuse only, {noun} {state}',
    'image fusion task, {noun} {state}', 'Perform the fusion of {img} with the other one.',
    '{opener}just combine the inputs, {img} is {state}{closer}', '{img} satisfies me, {remedy_it}.',
)  # fmt: skip
_OPENERS = ('', '', 'please ', 'kindly ', 'hi, ', 'hello, ', 'now ', 'okay, ', 'if possible, ', 'first, ')
_CLOSERS = ('.', '.', '!', ', please.', ', thanks.', ', thank you.', ' for me.', ' as well as you can.', ' right away.')
_DETERMINERS = ('the', 'the', 'this', 'my', 'our', 'that', 'the second', 'the input')
_HEADS = ('image', 'image', 'picture', 'photo', 'frame', 'shot', 'scene', 'view', 'capture')
_NAMED_SHARE = 0.56  # a little over one half, since some sentences have no place for the modality


class PromptBank:
    """Tasks in a fixed order, with many different sentences for each, split by template into train, val and test.

    A template is a sentence frame; all sentences of one frame lie in one split (about 80/10/10), so that accuracy on
    'val' and 'test' is accuracy on unseen wording. About half of the sentences name the modality.

    Args:
        tasks: Built-in keys (`ll hz oe lc sr sr4 sr8 ns st bl rn pd`) or dicts of `Task` fields; their order gives the
            class index.
        modality_words: Words by which each modality is called, as regular expressions; laid over those of vi and ir.
            A modality without words is called by its name.
        modalities: Names of the modalities that sentences speak of; None: those that have words.
        folder: Folder with `<task>.txt`, one sentence a line, used instead of the grammar (split by a hash of the
            line; below ten lines all are 'train'). Only the file of the pseudo task may be absent.
        seed: Of the grammar's draws and of the split.
        per_template: Sentences drawn from one frame for one task.

    Raises:
        KeyError, TypeError, ValueError: On a bad task, or one of a modality that is not among `modalities`.
        KeyError: If `modality_words` names a modality that is not among `modalities`.
        FileNotFoundError, ValueError: On a missing or empty sentence file.
    """

    def __init__(
        self,
        tasks: Sequence[str | Mapping] = ('ll', 'hz', 'oe', 'lc', 'sr', 'pd'),
        modality_words: Mapping[str, Sequence[str]] | None = None,
        folder: str | None = None,
        seed: int = 0,
        per_template: int = 10,
        modalities: Sequence[str] | None = None,
    ) -> None:
        if isinstance(tasks, str) or not tasks:
            raise TypeError(f'tasks must be a list of keys or dicts, got {tasks!r}')
        built = [build_task(task) for task in tasks]
        self._tasks = {task.key: task for task in built}
        if len(self._tasks) < len(built):
            raise ValueError(f'each task may be given once, got {[task.key for task in built]}')
        if per_template < 1:
            raise ValueError(f'per_template must be at least 1, got {per_template}')
        known = {
            **MODALITY_WORDS,
            **{k: names_of(f'modality_words[{k!r}]', v) for k, v in (modality_words or {}).items()},
        }
        names = tuple(known) if modalities is None else tuple(modalities)
        for name in modality_words or {}:
            if name not in names:
                raise KeyError(f'modality_words: {unknown("modality", name, list(names))}')
        for task in built:
            if task.modality is not None and modalities is not None and task.modality not in names:
                raise ValueError(
                    f'task {task.key!r} belongs to modality {task.modality!r}, and the modalities are {names}; give it '
                    f'another: dict(key={task.key!r}, modality=..., canonical=...)'
                )
        self.modality_words = {name: known.get(name) or (re.escape(name.lower()),) for name in names}
        for modality, words in self.modality_words.items():
            compile_any(words, f'modality_words[{modality!r}]')
        self._seed = seed
        self._per_template = per_template
        self._sentences = {
            key: self._read(task, folder) if folder else self._write(task) for key, task in self._tasks.items()
        }

    @property
    def keys(self) -> tuple[str, ...]:
        """Task keys in the order of the class indices."""
        return tuple(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, task: object) -> bool:
        return task in self._tasks

    def task(self, key: str) -> Task:
        """The task called `key`; KeyError with the nearest name otherwise."""
        if key not in self._tasks:
            raise KeyError(unknown('task', key, list(self._tasks)))
        return self._tasks[key]

    def index(self, task: str) -> int:
        """Class index of a task."""
        return self.keys.index(self.task(task).key)

    def canonical(self, task: str) -> str:
        """The one sentence of a task that is embedded at inference."""
        return self.task(task).canonical

    def words(self, modality: str) -> tuple[str, ...]:
        """Regular expressions of the words that name a modality."""
        return self.modality_words.get(modality) or (re.escape(modality.lower()),)

    def sentences(self, task: str, split: str | None = None) -> tuple[str, ...]:
        """Different sentences of a task in one split, or in all (None). For 'pd' these are paraphrases."""
        by_split = self._sentences[self.task(task).key]
        if split is None:
            return tuple(sentence for name in SPLITS for sentence in by_split[name])
        return by_split[one_of('split', split, SPLITS, optional=True)]

    def sample(self, task: str, rng: np.random.Generator, split: str = 'train') -> str:
        """A random sentence of a task. 'pd' always gives its canonical one: c_pd is a constant (LURE, Eq. 5)."""
        if self.task(task).key == PSEUDO_TASK:
            return self.canonical(task)
        sentences = self.sentences(task, split)
        if not sentences:
            raise ValueError(f'task {task!r} has no sentence in split {split!r}; its file is too short')
        return sentences[int(rng.integers(len(sentences)))]

    def _read(self, task: Task, folder: str) -> dict[str, tuple[str, ...]]:
        path = Path(folder) / f'{task.key}.txt'
        if not path.is_file():
            if task.key == PSEUDO_TASK:
                return self._write(task)
            raise FileNotFoundError(f'no sentences for task {task.key!r}: {path} is missing (one sentence a line)')
        lines = list(dict.fromkeys(' '.join(line.split()) for line in path.read_text('utf-8-sig').splitlines()))
        lines = [line for line in lines if line]
        if not lines:
            raise ValueError(f'{path} is empty; task {task.key!r} needs at least one sentence, one a line')
        split: dict[str, list[str]] = {name: [] for name in SPLITS}
        split['train'].append(task.canonical)
        for line in lines:
            bucket = zlib.crc32(line.encode()) % 10 if len(lines) >= 10 else 9
            if line != task.canonical:
                split[{0: 'val', 1: 'test'}.get(bucket, 'train')].append(line)
        return {name: tuple(sentences) for name, sentences in split.items()}

    def _write(self, task: Task) -> dict[str, tuple[str, ...]]:
        split: dict[str, list[str]] = {name: [] for name in SPLITS}
        split['train'].append(task.canonical)
        seen = {task.canonical.lower()}
        groups = (_FRAMES_ANY, _FRAMES_KEEP if task.key == PSEUDO_TASK else _FRAMES_CURE)
        for group in groups:
            order = np.random.Generator(np.random.PCG64(self._seed)).permutation(len(group))
            held = max(1, round(0.1 * len(group)))
            for rank, position in enumerate(order):
                frame = group[position]
                name = 'val' if rank < held else 'test' if rank < 2 * held else 'train'
                key = zlib.crc32(f'{task.key}|{frame}'.encode())
                rng = np.random.Generator(np.random.PCG64([self._seed, key]))
                wanted = len(seen) + self._per_template
                for _ in range(8 * self._per_template):
                    if len(seen) >= wanted:
                        break
                    sentence = self._fill(frame, task, rng)
                    if sentence.lower() not in seen:
                        seen.add(sentence.lower())
                        split[name].append(sentence)
        return {name: tuple(sentences) for name, sentences in split.items()}

    def _fill(self, frame: str, task: Task, rng: np.random.Generator) -> str:
        def pick(options: Sequence[str]) -> str:
            return options[int(rng.integers(len(options)))]

        noun = pick(_HEADS)
        if rng.random() < _NAMED_SHARE:
            modality = task.modality or pick(tuple(self.modality_words))
            plain = [word for word in self.words(modality) if re.fullmatch(r'[\w -]+', word)]
            noun = f'{pick(plain or [modality])} {noun}'
        image = f'{pick(_DETERMINERS)} {noun}'
        defect = pick(task.defects)
        state = pick(task.states) if task.states else f'affected by {defect}'
        remedy = pick(task.remedies)
        sentence = frame.format(
            img=image,
            noun=noun,
            a=f'{"an" if noun[0] in "aeiou" else "a"} {noun}',
            defect=defect,
            state=state,
            remedy=remedy.replace('{image}', image),
            remedy_it=remedy.replace('{image}', 'it'),
            opener=pick(_OPENERS),
            closer=pick(_CLOSERS),
        )
        return sentence[0].upper() + sentence[1:] if frame[-1] in '.!?}' and '.' in sentence[-1:] else sentence
