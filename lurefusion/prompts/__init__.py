"""Sentences for each degradation task (`PromptBank`), and free text to one task per modality (`PromptRouter`)."""

from lurefusion.prompts.bank import MODALITY_WORDS, SPLITS, PromptBank
from lurefusion.prompts.router import MAX_PROMPT_CHARACTERS, PromptRouter, Route
from lurefusion.prompts.tasks import PSEUDO_TASK, TASKS, Task

__all__ = [
    'MAX_PROMPT_CHARACTERS',
    'MODALITY_WORDS',
    'PSEUDO_TASK',
    'SPLITS',
    'TASKS',
    'PromptBank',
    'PromptRouter',
    'Route',
    'Task',
]
