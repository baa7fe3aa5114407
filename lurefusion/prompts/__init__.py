"""Sentences for each degradation task (`PromptBank`), and what leads to one task per modality.

That is free text (`PromptRouter`), or the picture itself (`AutoPrompt`).
"""

from lurefusion.prompts.auto import AUTO, AutoPrompt, Found, Prompter
from lurefusion.prompts.bank import MODALITY_WORDS, SPLITS, PromptBank
from lurefusion.prompts.builtin_tasks import TASKS, build_task
from lurefusion.prompts.grammar import MAX_PROMPT_CHARACTERS
from lurefusion.prompts.router import PromptRouter, Route, is_automatic
from lurefusion.prompts.tasks import PSEUDO_TASK, Task

__all__ = [
    'AUTO',
    'MAX_PROMPT_CHARACTERS',
    'MODALITY_WORDS',
    'PSEUDO_TASK',
    'SPLITS',
    'TASKS',
    'AutoPrompt',
    'Found',
    'PromptBank',
    'PromptRouter',
    'Prompter',
    'Route',
    'Task',
    'build_task',
    'is_automatic',
]
