"""All built-in tasks: those of one modality, and the two of every modality that stand here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace

from lurefusion.choices import unknown
from lurefusion.prompts.grammar import whole
from lurefusion.prompts.infrared_tasks import (
    LOW_CONTRAST,
    STRIPES,
    SUPER_RESOLUTION,
    SUPER_RESOLUTION_4,
    SUPER_RESOLUTION_8,
)
from lurefusion.prompts.phrases import FAULTS
from lurefusion.prompts.tasks import PSEUDO_TASK, Task
from lurefusion.prompts.visible_tasks import BLUR, HAZE, LOW_LIGHT, OVER_EXPOSURE, RAIN

NOISE = Task(
    key='ns',
    modality=None,
    canonical='The image is noisy, please remove the noise.',
    defects=(
        'noise', 'sensor noise', 'strong noise', 'grain', 'random noise', 'Gaussian noise', 'shot noise',
        'a noisy signal', 'grainy speckles', 'high ISO noise', 'thermal noise', 'read noise', 'a lot of grain',
        'a bad signal-to-noise ratio', 'coloured noise', 'salt-and-pepper noise', 'the noise degradation',
        'noise all over', 'fine-grained noise',
    ),
    remedies=(
        'denoise {image}', 'remove the noise from {image}', 'reduce the noise in {image}', 'clean the grain',
        'suppress the noise of {image}', 'take the grain out of {image}', 'apply noise reduction to {image}',
        'filter the noise out of {image}', 'smooth the noise away', 'get rid of the grain in {image}',
        'run a denoising step on {image}', 'lower the noise level of {image}', 'make {image} less noisy',
        'improve the signal-to-noise ratio of {image}', 'free {image} of its noise', 'make {image} less grainy',
    ),
    states=(
        'noisy', 'grainy', 'full of noise', 'too noisy', 'very grainy', 'covered with noise', 'speckled',
        'corrupted by noise', 'spoiled by sensor noise', 'degraded by noise', 'buried in noise', 'rather noisy',
    ),
    patterns=(
        r'\bgrainier\b|\bsignal-to-noise\b|\bhigh iso\b',
        *FAULTS['noise'],
    ),
)  # fmt: skip

PSEUDO = Task(
    key=PSEUDO_TASK,
    modality=None,
    canonical='No degradation; keep the image as it is.',
    defects=(
        'no degradation', 'no visible defect', 'no artefact at all', 'good quality', 'a clean signal',
        'nothing to correct', 'normal quality', 'no problem', 'perfect quality', 'no flaw', 'no damage',
        'a faultless appearance', 'excellent quality', 'nothing wrong',
        'a good condition', 'nothing to do', 'nothing to repair',
    ),
    remedies=(
        'keep {image} as it is', 'leave {image} unchanged', 'do not change {image}', 'leave {image} alone',
        'preserve {image} exactly', 'skip the restoration of {image}', 'pass {image} on untouched',
        'copy {image} without correction', 'apply no enhancement to {image}', 'just fuse, change nothing',
        'maintain the original look of {image}', 'do nothing to {image}', 'retain {image} in its original form',
        'fuse {image} as it is', 'just merge the two sources', 'combine both inputs without changes',
        'only perform plain image fusion', 'do not touch {image}', 'simply fuse them',
    ),
    states=(
        'fine', 'clean', 'fine as it is', 'already good', 'in perfect condition', 'free of degradation',
        'undamaged', 'normal', 'of good quality', 'flawless', 'without any defect', 'all right', 'intact',
        'good enough already', 'pristine', 'okay', 'in order', 'correct already', 'in good condition',
    ),
    patterns=(
        r'\b(?:no|without|any|free of|free from) (?:visible |other |any )?(?:degradation|defect|artefact|'
        r'artifact|flaw|problem|damage|restoration|enhancement|correction|change)\w*',
        r'\bas (?:it|they) (?:is|are)\b|\bunchanged\b|\buntouched\b|\bas-is\b|\bnothing (?:is )?(?:wrong|to)\b',
        r"\b(?:do not|don't|nothing to|need not) (?:change|touch|alter|fix)\b|\bleave (?:it|them) alone\b",
        r'\bfusion(?: task)?$|\b(?:just|only|simply|plain) (?:fus|merg|combin)\w*',
        r'^(?:please )?(?:fuse|merge|combine)\b|\b(?:good|normal|perfect|excellent) quality\b',
        r'(?<!to )\b(?:is|are|looks?) (?:fine|clean|ok|okay|perfect|flawless)\b',
        r'(?<!to )(?<!it )\b(?:is|are|was|were|looks?|turned out)(?: (?:all|already|quite|perfectly|really|'
        r'both|just|very|'
        r'pretty|absolutely)){0,2} (?:fine|good|great|excellent|perfect|correct|right|'
        r'all right|alright|sharp|superb|faultless|impeccable|in order|as (?:i|it) (?:want|should)\w*|'
        r'satisfactory|splendid|normal)\b',
        r'\b(?:exposure|contrast|resolution|visibility|light(?:ing)?|brightness|sharpness|'
        r'quality)(?: \w+){0,2} (?:is|are|was|were|looks?)(?: \w+){0,2}? (?:fine|good|great|excellent|'
        r'perfect|correct|right|sufficient|ok|okay|normal|alright)\b',
        r'\b(?:good|perfect|excellent|fine|sufficient|great|nice|rich|correct|proper|ideal) (?:contrast|'
        r'exposure|light(?:ing)?|resolution|visibility|brightness|images?|pictures?)\b',
        r"\bno (?:\w+ )?(?:complaints?|issues?|need|objections?|treatment|processing|improvement|repair|"
        r"action)\b|\bnothing (?:\w+ )?(?:needs?|wrong|amiss|to|is(?! (?:\w+ )?(?:"
        r"visible|seen|recogni[sz]able|readable|there|clear|sharp)))\b|\bneeds? nothing\b",
        r'\b(?:has|have|with|shows?|offers?) (?:enough|sufficient|plenty of|ample) (?:\w+ )?(?:contrast|'
        r'light|resolution|pixels|detail)\b|\b(?:has|have|with|shows?|offers?) (?:an? )?(?:very |rather |quite )?'
        r'(?:high|strong|large|wide) (?:contrast|dynamic range|resolution|detail)\b|'
        r'(?<!up to )\b(?:[4-9]\d\d|\d{4}) ?(?:x|×|by) ?(?:[3-9]\d\d|\d{4})\b',
        r'\b(?:well|correctly|properly|nicely|perfectly)[- ](?:lit|exposed|resolved|contrasted)\b|'
        r'\bhigh[- ]quality\b|\bgreat job\b|\bcrisp\b|\bhappy with\b|\bsatisfied\b|\bi like\b',
        r'\b(?:leave|keep|let)(?: \S+){1,4}? (?:alone|be|the way|untouched|unchanged|as (?:is|they|it))\b|'
        r'\bwithout (?:touching|changing|altering|modifying)\b|\b(?:untouched|unaltered|unmodified)\b',
        r'\b(?:put|bring|blend|merge|fuse|combine|join|overlay|unite)(?:d|s)?(?: \w+){0,3} (?:together|'
        r'combined|one picture|into one)\b|\b(?:want|need|like)(?: \w+){0,2} (?:combined|merged|fused)\b|'
        r'\bclear day\b',
        r'没有?(?:什么|任何|明显)?(?:问题|毛病|退化|缺陷)|正常|(?:很|都|挺|非常|够|比较)(?:好|清楚|清晰|'
        r'不错)|不错|(?:不需要|不用|不必|无需|无须|别)[^,]{0,4}(?:处理|改动?|动|修复|增强|操作)|'
        r'保持(?:原样|不变)|原样|'
        r'(?:直接|只|仅|只要|只需|单纯)(?:做|要|需要?|进行)?[^,]{0,2}融合|质量[^,]{0,3}(?:好|不错)|完好|'
        r'良好|理想|合适|'
        r'^(?!.*[要望])[^,]*?(?:对比度|分辨率|动态范围)(?:(?:很|较|挺|非常|比较|足?够)?[高强](?![一点些不化的度])|并?不(?:低|差|弱))',
    ),
)  # fmt: skip

TASKS: dict[str, Task] = {
    task.key: task
    for task in (
        LOW_LIGHT, HAZE, OVER_EXPOSURE, LOW_CONTRAST, SUPER_RESOLUTION, SUPER_RESOLUTION_4, SUPER_RESOLUTION_8,
        NOISE, STRIPES, BLUR, RAIN, PSEUDO,
    )
}  # fmt: skip


def build_task(cfg: str | Mapping) -> Task:
    """Task from a built-in key or from a dict of fields; a dict with a built-in key changes only what it names.

    Raises:
        KeyError: On an unknown key.
        TypeError: On unknown or missing fields.
    """
    if isinstance(cfg, str):
        if cfg not in TASKS:
            raise KeyError(unknown('built-in task', cfg, list(TASKS)) + '. Another task is given as a dict.')
        return TASKS[cfg]
    if not isinstance(cfg, Mapping) or 'key' not in cfg:
        raise TypeError(f"a task is a built-in key or a dict with 'key', got {cfg!r}")
    known = [field.name for field in fields(Task)]
    for name in cfg:
        if name not in known:
            raise TypeError(f'task {cfg["key"]!r}: {unknown("field", name, known)}')
    if cfg['key'] in TASKS:
        return replace(TASKS[cfg['key']], **cfg)
    cfg = {'modality': None, 'patterns': (), **cfg}
    missing = [name for name in ('defects', 'remedies', 'canonical') if name not in cfg]
    if missing:
        raise TypeError(f'task {cfg["key"]!r} needs {", ".join(missing)} besides what is given: {sorted(cfg)}')
    return Task(**cfg)


def own_words(task: Task) -> tuple[list[str], list[str]]:
    """Patterns of a task that the config brings, and those of the built-in task of that key."""
    known = TASKS[task.key].patterns if task.key in TASKS else ()
    brought = [pattern for pattern in task.patterns if pattern not in known]
    if task.key not in TASKS:
        phrases = {*task.defects, *task.states}
        # 'thick smoke from a fire' also speaks of 'smoke'
        phrases |= {
            re.split(r' (?:of|from|in|on|at|by|with|behind|that|around|over) ', p)[0].split()[-1] for p in task.defects
        }
        phrases |= {task.key} if len(task.key) > 3 else set()
        brought += [whole(phrase.lower()) for phrase in sorted(phrases) if len(phrase) > 2]
    return brought, [pattern for pattern in task.patterns if pattern in known]
