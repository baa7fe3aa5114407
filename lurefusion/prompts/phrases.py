"""Parts of the expressions by which tasks are recognised, and the faults that users name."""

from __future__ import annotations

# Chinese words stand in lists of their own: they have no word boundaries.
LACK = (
    r'(?:\b(?:(?:hardly|barely|scarcely|almost|nearly|next to) (?:any|no|an?)|no|not (?:have |has )?(?:enough|much)|'
    r'(?:far |much |way )?too (?:little|few|low|small|weak)|'
    r'insufficient|lack(?:s|ed|ing)?|without|short of|little|few|poor|weak|low|missing|absent|scarce|'
    r"so little|very little|(?:far |much )?less)|n't (?:have |get )?(?:enough|much|any))(?: (?:of|in|a|any|an|the|"
    r'single|real|proper|decent)){0,2}'
)
ANY = r'(?:(?!low|poor|weak|lack|bad|over|excess|too)\w+ )?'
NOT_GOOD = (
    r"(?: \w+){0,3}? (?:(?:is|are|was|were) not|isn't|aren't|wasn't|weren't)"
    r'(?: (?:ok|okay|good|fine|right|clear|enough|sufficient|great|ideal|there))*$'
)
BAD = r'(?:low|poor|weak|bad|flat|faint|insufficient|terrible|awful|missing|lacking|small|limited|coarse|inadequate)'
RAISE = (
    r'\b(?:enhanc|increas|improv|boost|stretch|rais|expand|amplif|lift|push|strengthen|restor|pump|pep|crank|bump|turn|'
    r'step|sharpen|refin|add|bring|give|need|want|more|higher|better|stronger)(?:\w*)(?: \S+){0,4}?'
)
REDUCE = (
    r'\b(?:calm|ton|dim|soften|subdu|suppress|reduc|lower|decreas|weaken|mut|attenuat|curb|cut|tam)(?:e|es|m?ing|s)?'
)
RESCUE = rf'(?:{REDUCE}|\b(?:pull|bring|tak|turn|get|rein|hold|press|recover|restor|rescu|sav|dial|fix)(?:e|es|ing|s)?)'

# Faults that users name, and their words: said, and left as they are, unless the model has the task of MENDED, which
# takes the words over.
FAULTS: dict[str, tuple[str, ...]] = {
    'noise': (
        r'\b(?:de-?)?nois[eyi]\w*|\bgrain(?:y|s|iness)?\b|\bspeckl\w*|\bsalt[- ]and[- ]pepper\b|\bsnr\b|\bhiss\b|'
        r'\b(?:spots|dots|specks)\b',
        r'噪|颗粒感?|雪花点',
    ),
    'stripes': (
        r'\b(?:de-?)?strip(?:e|es|ed|ing|y)\b|\bband(?:s|ed|ing)\b|\bfixed[- ]pattern\b|'
        r'(?<!rain )\bstreak(?:s|y|ed|ing)?\b(?! of (?:the )?rain)|\bscan ?lines?\b|\bnon-?uniformit\w*',
        r'条纹|[横竖]纹|条带|非均匀',
    ),
    'blur': (
        # "blurred by fog" is about the fog
        r'\b(?:de-?)?blur\w*\b(?! by (?:the )?(?:fog|haze|mist|smoke|rain))|\bout of focus\b|'
        r'\b(?:de-?focus|unfocus|misfocus)\w*|\bunsharp\w*|\bfuzz\w*|'
        r'\bsmudg\w*|\b(?:not|isn.t) sharp\b|'
        r'\bshak(?:e|en|y|ing)\b|\bsmear\w*|\bmotion trails?\b',
        r'模糊|失焦|虚焦|没?对焦|拖影|抖动|糊',
    ),
    'rain': (
        r'\b(?:de-?)?rain(?:s|y|ed|ing|drops?|fall)?\b|\bdrops? on the (?:lens|window|glass)\b|'
        r'\b(?:remove|eliminate|clear|clean) the water\b',
        r'雨',
    ),
    'snow': (r'\bsnow(?:ing|fall|flakes?|storm|y)\b|\bblizzard\b|\bhail\b', r'下雪|雪花|大雪|暴雪'),
    'compression artefacts': (r'\bjpe?g\b|\bcompression\b|\barti?efacts?\b|\bartifacts?\b|\bringing\b', r'压缩|伪影'),
    'colours': (
        r'\b(?:improv|enhanc|correct|fix|enrich|boost)\w*(?: the| its)? colou?rs?\b|\b(?:wrong|false|pale|dull|'
        r'faded) colou?rs\b|'
        r'\bcolou?rs (?:is|are|look)(?: too)? (?:pale|dull|wrong|faded|off|unnatural)\b',
        r'颜色(?:不对|失真|太淡)',
    ),
    'a colour cast': (
        r'\b(?:colou?r|green|red|blue|yellow|purple|magenta)(?:ish)? (?:cast|tint)\b|\bwhite[- ]balance\b',
        r'偏色|色偏|白平衡|偏[红绿蓝黄]',
    ),
    'misalignment': (
        r'\bmis-?(?:align|regist)\w*|\b(?:not|un)[ -]?(?:aligned|registered)\b|\bparallax\b',
        r'错位|[没未](?:有)?(?:对齐|配准)|不对齐',
    ),
    'dead pixels': (r'\b(?:dead|hot|stuck|defective|bad|faulty) pixels?\b', r'坏[点元]|盲元|死点'),
    'distortion': (r'\bdistort\w*|\bvignett\w*|\bwarp(?:s|ed|ing)\b|\bfish-?eye\b', r'畸变|变形|暗角'),
    'ghosting': (
        r'\bghosting\b|\bghost images?\b|\bdouble images?\b|\bmoir[eé]\b|\bflicker\w*|\binterlac\w*',
        r'重影|鬼影|摩尔纹|闪烁',
    ),
    'overlays and damage': (r'\bwatermark\w*|\blogos?\b|\bscratch\w*|\btimestamps?\b|\bocclu\w*', r'水印|划痕|遮挡'),
}  # fmt: skip
MENDED = {'noise': 'ns', 'stripes': 'st', 'blur': 'bl', 'rain': 'rn'}
