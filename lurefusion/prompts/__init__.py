"""Sentences for each degradation task (`PromptBank`), and free text to one task per modality (`PromptRouter`)."""

from lurefusion.prompts.bank import MODALITY_WORDS, SPLITS, PromptBank
from lurefusion.prompts.builtin_tasks import TASKS, build_task
from lurefusion.prompts.grammar import MAX_PROMPT_CHARACTERS
from lurefusion.prompts.router import PromptRouter, Route
from lurefusion.prompts.tasks import PSEUDO_TASK, Task

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
    'build_task',
]
