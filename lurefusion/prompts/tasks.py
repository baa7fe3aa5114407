"""What a degradation task is, and the built-in ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from lurefusion.registry import did_you_mean

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

    @classmethod
    def build(cls, cfg: str | Mapping) -> Task:
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
        known = [field.name for field in fields(cls)]
        for name in cfg:
            if name not in known:
                raise TypeError(f'task {cfg["key"]!r}: {unknown("field", name, known)}')
        if cfg['key'] in TASKS:
            return replace(TASKS[cfg['key']], **cfg)
        cfg = {'modality': None, 'patterns': (), **cfg}
        missing = [name for name in ('defects', 'remedies', 'canonical') if name not in cfg]
        if missing:
            raise TypeError(f'task {cfg["key"]!r} needs {", ".join(missing)} besides what is given: {sorted(cfg)}')
        return cls(**cfg)


def unknown(kind: str, name: object, known: list[str]) -> str:
    """Message for a name that is no known `kind`: the name, its closest known one, all known ones."""
    return f'{name!r} is not a known {kind}.{did_you_mean(str(name), known)} Known: {", ".join(known)}'


def compile_any(patterns: Sequence[str], owner: str) -> re.Pattern[str] | None:
    """One expression that matches where any pattern does, or None; ValueError names `owner` and the bad pattern."""
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f'{owner}: {pattern!r} is not a valid regular expression: {error}') from None
    return re.compile('|'.join(f'(?:{pattern})' for pattern in patterns)) if patterns else None


# Parts of the expressions below. Chinese words stand in lists of their own: they have no word boundaries.
_LACK = (
    r'(?:\b(?:(?:hardly|barely|scarcely|almost|nearly|next to) (?:any|no|an?)|no|not (?:have |has )?(?:enough|much)|'
    r'(?:far |much |way )?too (?:little|few|low|small|weak)|'
    r'insufficient|lack(?:s|ed|ing)?|without|short of|little|few|poor|weak|low|missing|absent|scarce|'
    r"so little|very little|(?:far |much )?less)|n't (?:have |get )?(?:enough|much|any))(?: (?:of|in|a|any|an|the|"
    r'single|real|proper|decent)){0,2}'
)
_ANY = r'(?:(?!low|poor|weak|lack|bad|over|excess|too)\w+ )?'
_NOT_GOOD = (
    r"(?: \w+){0,3}? (?:(?:is|are|was|were) not|isn't|aren't|wasn't|weren't)"
    r'(?: (?:ok|okay|good|fine|right|clear|enough|sufficient|great|ideal|there))*$'
)
_BAD = r'(?:low|poor|weak|bad|flat|faint|insufficient|terrible|awful|missing|lacking|small|limited|coarse|inadequate)'
_RAISE = (
    r'\b(?:enhanc|increas|improv|boost|stretch|rais|expand|amplif|lift|push|strengthen|restor|pump|pep|crank|bump|turn|'
    r'step|sharpen|refin|add|bring|give|need|want|more|higher|better|stronger)(?:\w*)(?: \S+){0,4}?'
)
_REDUCE = (
    r'\b(?:calm|ton|dim|soften|subdu|suppress|reduc|lower|decreas|weaken|mut|attenuat|curb|cut|tam)(?:e|es|m?ing|s)?'
)
_RESCUE = (
    rf'(?:{_REDUCE}|\b(?:pull|bring|tak|turn|get|rein|hold|press|recover|restor|rescu|sav|dial|fix)(?:e|es|ing|s)?)'
)

_GRAIN = r'super[- ]?res\w*|\blow(?:er)?[- ]?res\w*|up-?(?:scal|sampl)\w*|\bpixelat\w*|\bpixeli[sz]ed\b|\blow-?res\b'
_SHARPER = (
    r'\b(?:increas|improv|enhanc|rais|boost)\w*(?: (?:the|its|image|spatial|infrared|thermal|ir)){0,3} resolution'
)
_FEW_PIXELS = (
    r'\bresolution(?: of (?:the |this )?[\w-]{1,20}(?: \w{1,20})?)? (?:is|looks|seems)(?: far| much| way)?(?: too)? '
    r'(?:low|poor|small|bad|coarse|insufficient)',
    r'\b(?:poor|coarse|insufficient|limited|small|higher|more) (?:spatial )?resolution\b|\btoo few pixels\b',
)

_SR = Task(
    key='sr',
    modality='ir',
    canonical='The infrared image has low resolution, please super-resolve it.',
    defects=(
        'low resolution', 'a low spatial resolution', 'too few pixels', 'coarse pixels', 'pixelation',
        'blocky pixelated edges', 'missing fine detail from downsampling', 'insufficient resolution',
        'a small pixel count', 'a loss of resolution', 'strong downsampling', 'visible pixel blocks',
        'a tiny sensor array', 'jagged low-res edges', 'a poor sampling density', 'a resolution that is far too low',
        'very few pixels', 'single pixels that one can count', 'a format of only 160x120 pixels',
        'lost fine structures',
    ),
    remedies=(
        'super-resolve {image}', 'upscale {image}', 'upsample {image}', 'increase the resolution of {image}',
        'raise the pixel count of {image}', 'run super-resolution on {image}', 'enlarge {image} with sharp detail',
        'reconstruct {image} at high resolution', 'add the fine detail that low sampling removed from {image}',
        'turn {image} into a high-resolution one', 'refine the coarse pixels of {image}', 'improve the resolution',
        'remove the pixelation', 'make the resolution of {image} higher', 'magnify {image} without blocks',
        'enlarge {image} four times', 'make {image} larger and sharper', 'bring back the fine structures of {image}',
        'give {image} more pixels', 'produce a larger version of {image}', 'upscale {image} by a factor of 4',
    ),
    states=(
        'low-resolution', 'pixelated', 'too small', 'undersampled', 'blocky', 'too coarse', 'of low resolution',
        'downsampled', 'low-res', 'short of pixels', 'tiny', 'poorly resolved', 'made of large pixels',
    ),
    patterns=(
        _GRAIN, _SHARPER, *_FEW_PIXELS, r'(?<!\w)[x×] ?[48]\b|\b[48] ?[x×](?!\w)', r'\bsuper-?resolv\w*',
        r'\bdown-?(?:scal|sampl)\w*|\bunder-?sampled\b',
        r'\b(?:more|few|coarse|large) pixels\b|\bpixel (?:count\b|blocks?\b)|\bblocky\b|\bhigh[- ]resolution version\b',
        r'\b(?:enlarge|magnif)\w*|\bpoorly resolved\b',
        r'\b\d{2,3} ?(?:x|×|by|\*) ?\d{2,3}\b(?: pixels?| elements)?',
        rf'{_LACK} {_ANY}(?:resolution|pixels?|resolved|resolving)\b|{_RAISE} (?:resolution|pixels?)\b',
        rf'\bresolution(?: \w+){{0,5}}? (?:is|was|seems|looks|remains|being)(?: \w+){{0,2}} {_BAD}\b',
        r'\b(?:huge|big|large|fat|coarse|single|individual|handful of|only|just|merely|barely|covers?|spans?|fewer|'
        r'as many|two|'
        r'three|four|five|six|ten|dozen)(?: \w+){0,2} pixels?\b|\bpixels? (?:is|are|look)(?: \w+)? (?:few|large|'
        r'big|huge|'
        r'coarse|visible)\b|\bpixel(?:ly|ish|ed)\b|\bpixel art\b',
        r'\bblock(?:s|y|iness)?\b|\bmosaic\b|\bstair(?:s|case|cases|-?stepp?(?:s|ing|ed)?)?\b|\bjagg\w*|\blego\b|'
        r'\bthumbnail\b|\bstamp\b|\bchunky\b|\bwithout (?:the )?blocks\b|\bthe size of the\b',
        r'\bcoarse(?:r|ly|ness)?\b|\bfin(?:er|est) (?:detail|grid|structure|raster|mesh|sampling)\w*|\b(?:rough|'
        r'coarse) grid\b',
        r'\b(?:shr[aiu]nk|shrink)\w*|\bdown-?siz\w*|\bsub-?sampl\w*|\bbinn(?:ing|ed)\b|\bdecimated\b|\bscaled down\b|'
        r'\breduced to (?:a |one )?(?:half|third|quarter|tenth)\b|\bupsiz\w*|\bzoom\w*|\bblow(?:n)? (?:it |them )?up\b',
        r'\b(?:two|four|eight|2|4|8) times (?:as|the|more|larger|bigger|finer)\b|\blarger (?:format|version|size)\b|'
        r'\b(?:make|get|render)(?: \w+){1,4} (?:bigger|larger)\b|\bfew(?:er)? (?:\w+ )?(?:elements|dots|detectors)\b|'
        r'\blepton\b|\bbig dots\b|\bhigh(?:er)?[- ]def(?:inition)?\b',
        r'\bfine structures?\b|\b(?:small|tiny|little) (?:sensor|array|detector|matrix)\b|'
        r'\blow[- ]?def(?:inition)?\b|\bq{0,2}vga\b|'
        r'\blimited pixels\b|\bup-?res\b',
        rf'\bresolution{_NOT_GOOD}|\bunder-?(?:sized|resolved)\b|\b(?:double|triple|quadruple)(?: (?:the|its|'
        rf'number|of)){0,3} (?:size|resolution|pixels?)\b',
        r'分辨率?[^,]{0,5}?(?:低|差|不足|不够|不高|太小|有限|上不去)|低分辨率?|(?:提高|提升|增强|增加|改善|'
        r'恢复)[^,]{0,8}分辨率?|超分(?:辨率?)?|'
        r'像素[^,]{0,4}?(?:少|低|不足|不够|大|不多)|只有[^,]{0,8}像素|像素(?:块|化)|马赛克|锯齿|放大|[上下]采样|'
        r'粗糙|精细|高清|'
        r'尺寸[^,]{0,3}小|太小|格子|方块|块状|缩小|缩略|[四八]倍',
    ),
    hints=(
        r'\bresolution\b|\bpixels?\b|\btiny\b|\b(?:small|larger|bigger|the|of|lack\w*) size\b|\btoo little\b|'
        r'\bclarity\b|\b(?:too|very|so|quite|rather) small\b|\brough\b|\bsquares\b|'
        r'\bgrow\b|\bbigger\b',
        r'\bsharper\b|\bsharpen\w*|\b(?:more|finer|fine) details?\b|\bcrisp(?:er)?\b|\bupgrade\b|\bdefinition\b|'
        r'\bfiner\b|\blarger\b',
        r'分辨率|像素|细节|清晰|很小|小图|锐',
    ),
)  # fmt: skip


def _super_resolution(factor: int, word: str, patterns: tuple[str, ...]) -> Task:
    return Task(
        key=f'sr{factor}',
        modality='ir',
        canonical=f'The infrared image has {word} times too low a resolution, please super-resolve it by x{factor}.',
        defects=tuple(f'{phrase}, factor {factor}' for phrase in _SR.defects),
        remedies=tuple(f'{phrase} by {how}' for phrase in _SR.remedies for how in (f'x{factor}', f'{word} times')),
        states=tuple(f'{phrase} by a factor of {word}' for phrase in _SR.states),
        patterns=patterns,
        hints=_SR.hints,
    )


def _factor_patterns(factor: int, word: str) -> tuple[str, ...]:
    size = (
        rf'(?:[x×] ?{factor}\b|\b{factor} ?[x×](?!\w)|\b(?:{factor}|{word})(?: times|-?fold)\b|'
        rf'\bfactor (?:of )?(?:{factor}|{word})\b)'
    )
    return (rf'(?:{_GRAIN})(?: \S+){{0,4}} {size}', size)


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

TASKS: dict[str, Task] = {
    task.key: task
    for task in (
        Task(
            key='ll',
            modality='vi',
            canonical='The visible image has low light, please brighten it.',
            defects=(
                'low light', 'a lack of light', 'weak illumination', 'poor lighting', 'underexposure', 'deep shadows',
                'insufficient brightness', 'the darkness of the night', 'dim lighting', 'low illumination',
                'a low brightness level', 'black areas without any light', 'the low light degradation',
                'night-time darkness', 'an exposure that is far too short', 'dark regions', 'too little light',
                'blackness that hides the people', 'hardly any light', 'no street lamps',
                'a scene without lamps at midnight',
            ),
            remedies=(
                'brighten {image}', 'lift the shadows of {image}', 'increase the brightness of {image}',
                'turn up the light in {image}', 'light up {image}', 'make {image} brighter', 'illuminate {image}',
                'raise the exposure of {image}', 'apply low-light enhancement to {image}', 'bring light into {image}',
                'recover the detail hidden in the dark', 'make the dark areas visible', 'amplify the low brightness',
                'relight {image}', 'show what hides in the shadows', 'boost the illumination of {image}',
                'lighten {image}', 'give {image} more light', 'make everything in {image} brighter',
            ),
            states=(
                'too dark', 'underexposed', 'dim', 'poorly lit', 'very dark', 'shot at night', 'gloomy', 'dark',
                'almost black', 'badly illuminated', 'not bright enough', 'lost in darkness', 'under-exposed',
                'taken in low light', 'starved of light', 'murky from lack of light',
                'black', 'dark as night', 'lit by almost nothing', 'much too dark to see the people',
            ),
            patterns=(
                r'\blow(?:er)?[- ]?(?:light|illuminat\w*|brightness)|under-?expos\w*|\btoo dark\b|\bdark(?:er|ness)?\b',
                r'\bnight|\bdim(?:ly)?\b|\bbrighten\w*|\bbrighter\b|\bgloomy\b|\brelight\w*|\blow[- ]light\b',
                r'\bpoor(?:ly)? (?:lit|light\w*|illuminat\w*)|\b(?:dim|badly|weakly) (?:lit|illuminated)\b',
                r"(?:\bnot|n't) (?:well|properly|bright|sufficiently)[- ](?:lit|exposed|illuminated|enough)\b",
                r'\b(?:lack(?:s|ing)?(?: of)?|too little|not enough|insufficient|weak) (?:light|bright|illuminat)\w*',
                r'\b(?:lift|open|raise|lighten)\w*(?: up)?(?: the)? shadows?\b|\blight up\b',
                r'\b(?:more|hardly any) light\b',
                r'\b(?:increas|rais|boost|improv)\w*(?: the| its){0,2} (?:brightness|illumination)\b',
                rf'{_LACK} {_ANY}(?:light(?:ing|s)?|glimmer|gleam|illumination|brightness|photons?|lamps?|'
                rf'lanterns?|bulbs?|'
                rf'candles?|'
                rf'moon|flash|daylight|luminance|sunlight)\b(?! (?:problem|issue))',
                r'\b(?:one|single) (?:\w+ )?(?:bulb|lamp|candle|lantern|torch)\b|\bcandle(?:light|lit)?\b|'
                r'\bmissing light\b',
                r"\bnot? (?:very|so|that|all that|particularly|really) bright\b|\bdark(?!en(?:s|ing)?\b)\w*|"
                r"\bblackness\b|\bblack as\b",
                r'\b(?:pitch|jet)[- ]?(?:black|dark)\b|\b(?:all|almost|nearly|completely|totally|entirely|mostly|'
                r'just|pure|'
                r'practically|virtually|(?:is|are|looks?|turned|went|goes)) black\b|\bsee(?:s|ing)? (?:only |'
                r'nothing but )?black\b',
                r'\bshadow(?:s|y|ed)?\b|\bgloom\w*|\bsomb(?:er|re)\b|\bdusky?\b|\btwilight\b|\bmidnight\b|\bevening\b|'
                r'\bnocturn\w*|\bmoon(?:light|lit|less)\b|\bstarlight\b|\bdimness\b|\bdimmed\b|\bunlit\b|'
                r'\bill[- ]lit\b',
                r'\bafter (?:sunset|sundown|nightfall|hours)\b|\bbefore (?:sunrise|dawn|daybreak)\b|\bnightfall\b|'
                r'\bsun (?:\w+ ){0,3}(?:set|down|gone)\b|\bsunset\b|\bmoon (?:is |was )?(?:hidden|behind)\b',
                r'\b(?:one|two|three|four|five|1|2|3|4|5) (?:o.?clock )?(?:in the morning|a\.?m\b)|\bat (?:11|'
                r'eleven) p\.?m\b',
                rf'\b(?:light|lighting|illumination|brightness){_NOT_GOOD}|\bfooled by the (?:\w+ )?(?:lamp|light|'
                rf'sun|sky|snow|bright \w+)\b',
                r'\b(?:hardly|barely|scarcely|faintly|sparsely|weakly) (?:lit|illuminated)\b|'
                r'\bforg[eo]t\w*(?: \w+){0,4}? (?:flash|lights?|lamps?|torch)\b|'
                r'\bunder-?lit\b|\bunilluminated\b|\blights? out\b|\bcrushed (?:blacks|shadows)\b|\b(?:coal|'
                r'ink)[- ]?black\b|\blightless\b|\bstarry\b',
                r'没[开有]灯|关着?灯|灯[^,]{0,2}(?:没开|关了|坏了)',
                r'\b(?:car park|parking) (?:below|under)\b|\bunderground\b|\bdark(?:room|en?ed)\b|'
                r'\bblack of (?:the )?night\b|\bsee in the dark\b',
                r'\b(?:tunnel|cellar|basement|cave|mine shaft|dungeon|attic)\b|\bblack-?out\b|\bpower (?:cut|'
                r'failure|failed|outage)\b',
                r'\b(?:lamps?|lanterns?|lights?|headlights?|bulbs?|lighting)(?: (?:was|were|is|are|had|all)){0,2} '
                r'(?:off|out|broken|dead|failed|switched off|turned off)\b|\bblinds were\b',
                r'\b(?:shutter|exposure)(?: \w+){0,3} too (?:fast|short|brief|quick|low)\b|\blens cap\b|'
                r'\b(?:iris|aperture|diaphragm)(?: \w+){0,3} (?:closed|shut|too small|stopped|narrow)\b|'
                r'\bstopped down\b',
                r'\b(?:iso|gain|sensitivity)(?: \w+){0,4} (?:too|very|far) low\b|\blow (?:iso|gain)\b',
                r'\b(?:shed|throw|cast|bring|put|add|give|get|let|need)\w*(?: \w+){0,3}? (?:some |more |a little |'
                r'a bit of )+light\b|'
                r'\b(?:shed|throw|cast|needs?|let in|missing|wants?) light\b|\blighten\b|\blighter\b|'
                r'\billuminate\b|\blighten up\b',
                r'\b(?:push|rais|lift|increas|bump|crank|boost|turn|pull|step|bring)\w*(?: up)?(?: (?:the|its|my|'
                r'overall)){0,2} '
                r'(?:exposure|brightness|gamma|gain|luminance)(?: levels?)?(?!.{0,40}\bdown\b)\b|\b(?:exposure|'
                r'brightness) (?:\w+ ){0,3}?up\b',
                r'\b(?:look|appear)s? (?:like|as if it were|as in) (?:day\w*|noon|daytime)\b|\binto day\b|'
                r'\blamps were on\b',
                r'暗(?!角)|黑(?!白|体|热)|(?:光线|光照|亮度|照明|灯光|采光|照度|光)[^,过强]{0,4}?(?:不足|不够|弱|'
                r'差|低|缺|少)(?!一)|'
                r'(?:缺乏|缺少|没有?|无)(?:任何|什么|一点)?(?:光|路灯|灯|照明|月)|欠曝光?|曝光(?:严重)?(?:不足|'
                r'不够|太短|偏低)|'
                r'[低弱微]光照?|低照度|夜|凌晨|傍晚|黄昏|日落|天黑|[提增调打加照点]亮|补光|亮一[点些]|[更变]亮|亮起来|'
                r'(?:提高|提升|增加|增强|改善|加大)[^,]{0,6}?(?:亮度|光照|照明|曝光|照度)|不(?:太|够|怎么)?亮|隧道|'
                r'地下室|阴影|'
                r'快门[^,]{0,4}(?:太|过)[短快]|光圈[^,]{0,3}(?:太|过)小',
            ),
            hints=(
                r'\b(?:black|dusk|dim|light up|invisible|obscured?|sombre|late|dawn|murk|silhouettes?)\b|'
                r"(?:\b(?:not|never|hardly|barely|scarcely|nowhere near)|n't)(?: \w+){0,3} bright enough\b",
                r'看不[清见]|沉',
            ),
        ),
        Task(
            key='hz',
            modality='vi',
            canonical='The visible image is hazy, please remove the haze.',
            defects=(
                'haze', 'fog', 'a veil of haze', 'dense fog', 'mist', 'atmospheric scattering', 'smog', 'smoke',
                'a milky veil', 'thick haze in the distance', 'airlight', 'a foggy background', 'hazy weather',
                'the haze degradation', 'a grey layer of fog', 'misty air', 'fog that hides the distance',
                'bad visibility in the fog', 'smoke from a fire', 'morning mist', 'a foggy day', 'hills lost in haze',
            ),
            remedies=(
                'dehaze {image}', 'remove the haze from {image}', 'defog {image}', 'clear the fog from {image}',
                'take the mist out of {image}', 'apply haze removal to {image}', 'lift the veil of fog',
                'cut through the smoke in {image}', 'undo the atmospheric scattering in {image}', 'clear up the haze',
                'make the distant objects visible through the fog', 'restore the transmission of {image}',
                'wipe away the mist', 'strip the smog off {image}', 'suppress the airlight in {image}',
                'get the fog off {image}', 'clean the smoke out of {image}', 'give a clear view through the haze',
            ),
            states=(
                'hazy', 'foggy', 'misty', 'full of fog', 'covered by haze', 'veiled by mist', 'very hazy', 'smoky',
                'blurred by fog', 'milky from haze', 'hidden behind smoke', 'clouded by smog', 'fogged', 'haze-covered',
                'dull from the scattering air', 'shrouded in fog',
            ),
            patterns=(
                r'\b(?:de-?)?haz(?:e[sd]?|ier|y|iness|ing)\b|\b(?:de-?)?fog\w*|\bmist(?:s|y)?\b|\bsmog\w*|'
                r'\bsmok(?:e|y|ey)\b',
                r'\batmospheric scattering\b|\bairlight\b',
                r'\bblurr?\w* by (?:the )?(?:fog|haze|mist|smoke)\b|\b(?:unhaz|haz)\w*|\bsmok(?:ing|ed)\b',
                r'\b(?:vapou?r|steam|dust|aerosol|particulate|pollut|scatter|moist|humid)\w*|\bsand-? ?storm\b|'
                r'\b(?:veil|milk)\w*|'
                r'\bsea spray\b|\bdroplets\b|\bvolcanic ash\b|\bwisps?\b|\bwild-?fire|\b(?:bush|'
                r'forest)[- ]?fire\b|\bexhaust\b',
                r'\b(?:through|inside) (?:a |the )?clouds?\b|\btransmission\b',
                r'\b(?:turbid|brume|gauze|hazed|foggish|smothered|smokescreen)\b|\bfrosted glass\b',
                r'\b(?:thick|bad|dirty|moist|damp|murky|hot|turbid|heavy) air\b|\bair (?:is|was|'
                r'were)(?: \w+){0,3} (?:thick|bad|dirty|full|'
                r'heavy|damp|turbid)\b|\bdamp (?:morning|meadow|day|weather)\b|\bclear(?:er)? air\b',
                r'\b(?:poor|bad|low|limited|reduced|terrible|zero) visibility\b|\bvisibility (?:\w+ ){0,3}'
                r'(?:bad|poor|terrible|low|below|limited|reduced|awful|only)\b|\b(?:under|low|cloud of|in the|'
                r'bank of) clouds?\b|\bcloud (?:cover|bank)\b',
                r'\b(?:hills?|mountains?|horizon|skyline|towers?|ridges?|far bank|shore|coast|distance|'
                r'far end)(?: \w+){0,2} '
                r'(?:vanish|disappear|dissolv|fade|gone|lost|hidden|swallowed|drown)\w*|\bcut through the air\b',
                rf'\b(?:air|visibility|atmosphere|view){_NOT_GOOD}|\b(?:curtain|blanket|shroud)(?:ed|s)?\b|\bfilms?\b|'
                rf'\bmurk(?:y|iness)?\b(?= of)|\bfumes?\b|\bcloudburst\b',
                r'(?:[去除消])?[云水浓薄烟]?[雾霾]|烟|沙尘|扬尘|尘土|粉尘|灰尘|水汽|蒸汽|能见度|通透|一层[薄白]?纱|'
                r'大气散射|白茫茫|远山',
            ),
            hints=(
                r'\b(?:gr[ea]yish|whitish|pale|faded|flat|dull|milky|hidden|distant|distance|far off|murky|'
                r'visibility|opaque|'
                r'unclear|cloudy|muted|drizzle)\b',
                r'灰蒙蒙|朦胧|发灰|灰|不清晰|不清楚',
            ),
        ),
        Task(
            key='oe',
            modality='vi',
            canonical='The visible image is overexposed, please correct the exposure.',
            defects=(
                'overexposure', 'over-exposure', 'blown-out highlights', 'glare', 'saturated highlights',
                'excessive brightness', 'clipped whites', 'washed-out bright areas', 'too much light',
                'burnt highlights', 'an exposure that is far too long', 'the over-exposure degradation',
                'blinding brightness', 'white patches without texture', 'dazzling headlights', 'strong backlight glare',
                'a sky that is blown out', 'saturation by the sun', 'a blinding flash',
                'sunlight straight into the lens',
            ),
            remedies=(
                'correct the overexposure of {image}', 'tone down the highlights of {image}', 'darken {image} a little',
                'reduce the exposure of {image}', 'recover the blown-out highlights', 'lower the brightness of {image}',
                'remove the glare from {image}', 'bring back the clipped highlights', 'suppress the excessive light',
                'make {image} less bright', 'fix the over-exposed regions', 'restore the texture of the white areas',
                'compensate the overexposure', 'calm the dazzling lights in {image}', 'pull down the exposure',
                'take light away from {image}', 'get the burnt areas back', 'cut the strong sun in {image}',
            ),
            states=(
                'overexposed', 'over-exposed', 'too bright', 'washed out', 'blown out', 'far too bright', 'saturated',
                'burnt out', 'excessively bright', 'dazzling', 'clipped in the highlights', 'flooded with light',
                'almost white', 'full of glare', 'glaring', 'blinded by the light', 'white all over',
                'burned out by the sun',
            ),
            patterns=(
                r'\bover-?expos\w*|\bover exposed\b|\b(?:too|overly|excessively|very) bright\w*|\bwashed[- ]?out\b',
                r'\b(?:blown|burn(?:ed|t))[- ]?out\b|\bblown highlights\b|\bglar(?:e|ing)\b|\bexcessive bright\w*',
                r'\b(?:clipped|saturated|burnt) (?:highlights?|whites?)\b|\bhighlights are (?:clipped|burnt|blown)\b',
                r'\bdazzl\w*|\btoo much (?:light|exposure|brightness)\b',
                r'\b(?:reduc|lower|decreas)\w*(?: the| its){0,2} (?:exposure|brightness)\b|\bless bright\b',
                r'\b(?:tone|pull|bring) down the (?:highlights|exposure|brightness)\b|\brecover\w*(?: the)? highlights',
                r'\b(?:so|this|that|terribly|awfully|painfully|extremely|unbearably|blindingly|way|much|'
                r'really) bright\b|\bbleach\w*',
                r'\b(?:too|so) (?:much|strong|harsh|intense)(?: of)?(?: (?:a|the|direct|harsh)){0,2} (?:sun\w*|'
                r'light\w*|flash|exposure)\b|\bharsh (?:sun|light)\w*',
                r'\bburn(?:t|ed|s|ing)?(?: \w+)? (?:out|away)\b|\bblow(?:n|s|ing)?(?: \w+){0,2} out\b|\bburnt\b|'
                r'\bclipp(?:ed|ing)\b|'
                r'\bsaturat(?:ed|es|ing)\b|\bswamp(?:s|ed|ing)?\b|\bglar(?:es|ed|y)\b|\bblind(?:ed|s|ing)\b|'
                r'\bflar(?:e|es|ing)\b',
                r'\b(?:all|pure|completely|totally|entirely|just|nothing but|plain|turned|almost|nearly|one|goes|'
                r'went|solid)'
                r'(?: (?:big|single|large))?(?: (?:a|in))? white(?! (?:vapou?r|veil|fog|mist|haze|smoke|cloud|'
                r'wisp|curtain|blanket|shroud|film))\b|\bin white\b|\bwhite (?:blob|sheet|patch|area|hole)\w*|'
                r'\bwhite[- ]?out\b|'
                r'\bwhite all over\b',
                r'\b(?:sky|snow|shirts?|clouds?|whites?|window|lamp)(?: \w+){0,4} (?:no|lost|without|'
                r'lacks?)(?: \w+)? (?:texture|structure|detail)\b|'
                r'\bclouds? (?:is|are|has|have)(?: \w+)? gone\b|\bsky (?:is|has)(?: \w+)? gone\b',
                r'\b(?:into|against|towards?|facing) the (?:\w+ )?(?:sun|light|lamp|lamps|headlights?)\b|\b(?:spot|'
                r'flood|search)-?lights?\b|'
                r'\bback-?(?:lit|light\w*)\b|\bcontre[- ]jour\b|\b(?:high|full) beams?\b|\bhead-?lamps? (?:has|'
                r'have|is|are)\b',
                r'\b(?:sun|light|lamp|flash|beam)s?(?: \w+){0,6} (?:lens|sensor)\b|\bfull sun\w*|\bbright sun\w*|'
                r'\b(?:blazing|direct|low|strong|harsh|glaring) sun\w*|'
                r'\bsun (?:stood|burns?|blinds?|shone|shines|was shining|hits?|is too)\b|\bsun-?drenched\b|'
                r'\b(?:noon|midday)\b',
                r'\bflash (?:\w+ )?(?:fired|went off|was|hit|burn)\b|\bwelding\b|\breflections?\b|\blight meter\b|'
                r'\bspecular\b',
                r'\b(?:iris|aperture|diaphragm|shutter)(?: \w+){0,4} (?:open|too (?:large|wide|slow))\b|'
                r'\bexpos(?:ed|ure)(?: \w+){0,4} too (?:long|high|much)\b|\btoo long (?:an )?expos\w*',
                r'\b(?:iso|gain|sensitivity)(?: \w+){0,6} too high\b|\bsensor (?:at|beyond|past) its limit\b|'
                r'\bmore light than\b|\bthan the sensor can\b',
                rf'{_RESCUE}(?: \w+){{0,3}}? (?:highlights?|glare|whites?|sky|clouds?|sun\w*|headl\w+|'
                rf'bright (?:\w+))\b',
                rf'{_REDUCE}(?: \w+){{0,3}}? (?:bright\w*|lights?|exposure|luminance)\b|\b(?:turn|tone|dial|bring|'
                rf'pull|take) down(?: \w+){{0,2}} (?:lights?|brightness|exposure)\b',
                r'\b(?:drown|flood|bath|soak|swim)\w* (?:in|by|with) (?:(?:the|too much|bright|pure) )?(?:light|'
                r'white|sun\w*)\b|'
                r'\bsun(?:light|shine)?(?: \w+){0,5} (?:shone|shines?|shining|blazed|low|glared|at us|'
                r'at the camera)\b|\b(?:expos|shin|star|point|look|aim)\w*(?: \w+){0,2} (?:in|into|at|toward|'
                r'towards) the (?:\w+ )?sun\b',
                r'\btone(?: \w+){0,3}? down\b|\bdarken(?:s|ing)?\b|\b(?:make|render|turn|'
                r'get)(?: \w+){1,4} darker\b|\ba (?:bit|little|touch) darker\b|\bless (?:light|bright\w*|exposure|'
                r'sun)\b(?! than)|'
                r'\bexposure (?:\w+ ){0,2}down\b|\bdown (?:by )?(?:\w+ )?stops?\b|\bhurts? (?:the|my|your) eyes\b|'
                r'\bswallowed by (?:the )?(?:light|sun|lamp)\w*',
                r'\b(?:like|want|prefer|need|love)\b.{0,40}\bnot (?:so|that|as|too) bright\b|\bdim (?:the|it|this|'
                r'that|my|down)\b',
                r'\bat the (?:\w+ )?(?:sun|lamp|spotlight|headlights?)\b|\b(?:scorch|burn|bleach|drench|'
                r'blind)\w* by (?:the |a )?(?:\w+ )?(?:sun\w*|lights?|lamp|flash)\b|\bneutral density\b|'
                r'\bsaturation by\b|'
                r'\bnd filter\b',
                r'\bbright (?:clouds?|sky|skies|windows?|areas?|parts?|spots?|regions?|lights?|zones?|patch\w*)\b|'
                r'\b(?:blazing|glowing|incandescent|high-?key|overpowering|whitened)\b|\bstops? (?:too bright|'
                r'over)\b|'
                r'\bsun (?:is |was )?(?:in|inside) the (?:picture|frame|image|view|background|scene)\b',
                r'\bexcess(?:ive)?(?: of)? (?:light|bright\w*|illumination|exposure|sun\w*)\b|'
                r'\b(?:over-?)?luminous\b|\b(?:lost|drowned|drown|disappear|vanish)(?:s|ed)? in the (?:brightness|'
                r'light|glare|sun)\b',
                r'\b(?:turn|dial|bring|take|push|pull)\b.{0,50}? (?:brightness|exposure|light|'
                r'gain)\b.{0,40}?\bdown\b|\bfooled by the (?:dark \w+|shadows?)\b|\breflect(?:s|ing|ive)?\b|'
                r'\bmiddle of the day\b|\blight everywhere\b',
                r'\beaten away\b|\b(?:whites?|lights) (?:\w+ )?(?:eaten|eat)\b|\bsun-?(?:bleached|burnt|burned)\b|'
                r'\boverlit\b|\bover-?(?:bright|illuminated)\b|\btoo (?:white|luminous|shiny)\b',
                r'过曝光?|曝光[^,]{0,2}过[度强高长]|过度曝光|曝光(?:太|过于)[长强高]|(?:太|过|很|特别|非常|过于|'
                r'偏)亮|高光|[眩炫]光|强光|逆光|刺眼|晃眼|耀眼|反光|'
                r'(?:一片|[全纯死惨])白|溢出|饱和|光(?:线|照)?(?:太|过|过于)[强足]|(?:对着|正对着?|迎着|直射|面向|'
                r'朝着)[^,]{0,3}(?:太阳|阳光|灯)|太阳直射|阳光(?:太|直|强|过)|'
                r'快门[^,]{0,4}(?:太|过)[长慢]|光圈[^,]{0,3}(?:太|过|开)大|降低[^,]{0,6}(?:亮度|曝光)|(?:亮度|'
                r'曝光)[^,]{0,3}[降调减压]低?|[压调]暗|暗一[点些]|减[少弱][^,]{0,3}(?:光|亮度|曝光)',
            ),
            hints=(
                r'\b(?:pale|white|burned|bright|strong light|headlights?|headlamps?|texture|harsh)\b|\bwashed\b',
                r'发白|泛白|白',
            ),
        ),
        Task(
            key='lc',
            modality='ir',
            canonical='The infrared image has low contrast, please enhance it.',
            defects=(
                'low contrast', 'poor contrast', 'weak contrast', 'a narrow grey-level range', 'flat tones',
                'a compressed histogram', 'a lack of contrast', 'insufficient contrast', 'faint targets',
                'a small dynamic range', 'little difference between target and background', 'faded tones',
                'the low contrast degradation', 'uniform grey tones', 'contrast loss', 'a flat histogram',
                'people who hardly differ from the background', 'the same grey everywhere', 'one shade of grey',
                'a dynamic range that is too narrow',
            ),
            remedies=(
                'enhance the contrast of {image}', 'stretch the histogram of {image}', 'boost the contrast in {image}',
                'widen the dynamic range of {image}', 'increase the contrast of {image}', 'stretch the grey levels',
                'make the targets stand out from the background', 'apply contrast enhancement to {image}',
                'equalise the histogram of {image}', 'improve the contrast', 'give {image} more contrast',
                'separate target and background in {image}', 'expand the tonal range of {image}',
                'make the warm objects in {image} stand out', 'add punch to the flat tones',
                'use the full range of grey values', 'tell the people apart from the background',
                'make the contrast higher',
            ),
            states=(
                'low in contrast', 'flat', 'of low contrast', 'low-contrast', 'grey and flat', 'lacking contrast',
                'faded', 'dull and flat', 'weak in contrast', 'tonally compressed', 'all grey', 'uniformly grey',
                'poor in contrast', 'without punch', 'bland', 'all one shade', 'hard to tell from the background',
            ),
            patterns=(
                r'\b(?:low(?:er)?|poor|weak|insufficient|little|bad|no|faint|reduced)[- ](?:in )?contrast',
                r'\bcontrast[- ](?:enhanc|stretch|improv|boost|loss)\w*|\bcontrast (?:is|looks|seems)(?: far| much)?'
                r'(?: too)? (?:low|poor|weak|bad|flat|faint|insufficient|terrible|awful)',
                r'\b(?:enhanc|increas|improv|boost|stretch|rais|expand)\w*'
                r'(?: (?:the|its|their|local|global|overall|image|infrared|thermal|ir)){0,3} contrast',
                r"\black(?:s|ing)?(?: of| in)? contrast|(?:\bnot|n't)(?: have| has)? (?:enough|much) contrast",
                r'\b(?:more|higher|better|stronger|enough) contrast\b',
                r'\b(?:equali[sz]|stretch)\w*(?: the| its)? histogram',
                r'\bflat (?:tones?|histogram|contrast)\b|\b(?:narrow|small) (?:gr[ea]y|dynamic)|\bshade of gr[ea]y\b',
                r'\b(?:stretch|widen|expand)\w*(?: the| its)? (?:gr[ea]y|dynamic|tonal)|\bstand out\b',
                r'\bcontrast (?:strong|high)er\b|\bdynamic range\b|\bhistogram equali[sz]\w*|\bgr[ea]y on gr[ea]y\b',
                r'\b(?:low|poor|weak) (?:thermal|infrared|ir|image|overall) contrast\b',
                rf'{_LACK} {_ANY}contrast\b(?! (?:problem|issue))|{_RAISE} contrast\b|\bcontrast (?:problem|'
                rf'issue|boost)\b',
                rf'\bcontrast(?: \w+){{0,5}}? (?:is|was|looks|seems|being)(?: \w+){{0,2}} {_BAD}\b|'
                rf'\b{_BAD}[- ](?:in )?(?:\w+ )?contrast\b',
                r'\b(?:weak|low|poor|thin|short) (?:on|in) contrast\b|\bcontrast-?(?:less|poor)\b|\buncontrasty\b|'
                r'\bgr[ea]y mush\b',
                r'\b(?:same|uniform|one|identical|equal|similar)(?: \w+)? (?:gr[ea]y|temperatures?|tone|shade|'
                r'brightness)\b|\bequally (?:warm|hot|cold|bright)\b|\bgain(?: \w+){0,3} too (?:small|low)\b|'
                r'\b(?:as|equally) (?:warm|hot|cold) as\b|\blooks? (?:all |nearly |almost |much |just )?alike\b|'
                r'\ball look the same\b',
                r"\b(?:tell|told|set|separat|distinguish|pick|differentiat)\w*(?: \S+){0,4}? (?:apart|off|from)\b|"
                r"\bpull(?: \w+){0,3} apart\b|\b(?:no|more|better|little) separation\b",
                r'\b(?:merg|blend|melt|sink|drown|disappear|vanish|dissolv)\w*(?: \w+){0,2} (?:into|with|in|'
                r'against) (?:(?:the|its|their|one) )*(?:\w+ )?(?:background|gr[ea]y|surroundings?|backdrop)\b',
                r'\bdifferences?(?: \w+){0,3} (?:tiny|small|barely|hardly|low|faint|minimal|weak|imperceptible)\b|'
                r'\b(?:tiny|small|faint|minimal) (?:\w+ )?differences?\b',
                r"\b(?:nothing|not|n't|hardly|barely|scarcely)(?: \w+)? (?:stands? out|sticks? out|sets|"
                r"differs?)\b|\bst(?:and|ick)s? out\b|\bpop(?:s|ping)?\b|"
                r'\b(?:more|less) distinct\b|\bdiffer(?:s)? (?:more|little|hardly|barely)\b|\bhardly differs?\b|'
                r'\bset(?:s)? off\b',
                r'\b(?:targets?|people|objects?|hot-?spots?)(?: \w+){0,2} (?:faint|indistinct|hard to tell)\b|'
                r'\b(?:faint|indistinct) (?:\w+ )?(?:targets?|people|objects?)\b',
                r'\b(?:few|handful of|narrow|spread|stretch\w*|full|whole|entire|all|more|'
                r'expand)(?: \w+){0,3} (?:gr[ea]y(?:[- ](?:levels?|values?|scale|tones?|range))?|scale|range|'
                r'tones?|histogram)\b|\bblack to white\b',
                r'\b(?:temperature|thermal) (?:span|range|window|scale)\b|\b(?:up|narrows?|squeez\w*|crush\w*|'
                r'compress\w*) the range\b|\bsqueez\w*|\bcrossover\b|\bwarmed up\b|\bflatness\b',
                rf'\bcontrast{_NOT_GOOD}|{_LACK} {_ANY}(?:(?:temperature|thermal|grey|tonal|'
                rf'intensity) )(?:differences?|gradients?|variations?|separation|range)\b',
                r'\b(?:hard|difficult|impossible|tough) to (?:distinguish|separate|discern|pick out)\b|\b(?:close|'
                r'similar) to the background\b|\bcamouflag\w*|\bfaded tones\b',
                r'(?:差别|差异|区别)[^,]{0,2}(?:小|不大|不明显)',
                r"\b(?:in|un)distinguishable\b|\b(?:barely|hardly|not|scarcely|n't)(?: be)? distinguish(?:able|"
                r"ed)\b|\b(?:as warm|as hot|as cold|as bright) as\b|\b(?:weak|faint) gradients?\b",
                r'对比度?[^,]{0,4}?(?:低|差|弱|不足|不够|不高|不明显|太小|不强)|低对比度?|(?:缺乏|没有?|'
                r'缺少)对比度?|(?:增强|提高|提升|拉伸|加大|增加|拉开|改善|加强|调高|拉高|强化)[^,]{0,8}对比度?|'
                r'对比度?[^,]{0,3}[拉增提加强]|反差|直方图|灰度|层次|动态范围|分不[开清出]|(?:不够?|更)?(?:突出|'
                r'明显|显眼)|(?:混|融|连)[在为成进][^,]{0,2}(?:一|背景)|(?:温度|颜色|灰度|亮度)[^,]{0,2}(?:差不多|'
                r'一样|相同|接近|'
                r'相近)|温差|平平',
            ),
            hints=(
                r'\b(?:washed[- ]?out|flat\w*|dull\w*|fad(?:ed|ing)|pale|bland|mudd(?:y|ied)|murky|lifeless|'
                r'dead(?! pixels?)|gr[ea]y\w*|monoton\w*|uniform\w*|punch|depth|bleached|milky|whitish|insipid|'
                r'colou?rless|indistinct|weak|faint\w*|structure|stretch\w*|contrasts?|boring|bite|soup|drained|'
                r'thin|sapped|mid-?gr[ea]y|silhouettes?|tonality|anaemic|anemic|'
                r'feeble|lacklustre|drab|mushy|homogeneous)\b',
                rf'{_LACK} {_ANY}(?:bite|punch|depth|structure|texture|definition|tonal\w*|dynamics|modulation|'
                rf'relief)\b',
                r'灰|平淡|发白|泛白|单调|暗淡|对比|平坦|不清楚|均匀|拉伸',
            ),
        ),
        _SR,
        _super_resolution(4, 'four', (*_SR.patterns[:4], *_SR.patterns[5:], *_factor_patterns(4, 'four'))),
        _super_resolution(8, 'eight', _factor_patterns(8, 'eight')),
        Task(
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
        ),
        Task(
            key='st',
            modality='ir',
            canonical='The infrared image has stripe noise, please remove the stripes.',
            defects=(
                'stripe noise', 'stripes', 'vertical stripes', 'column noise', 'fixed-pattern noise', 'line noise',
                'striping', 'a striped pattern', 'stripes from the readout', 'non-uniform columns', 'non-uniformity',
                'streaky columns', 'vertical lines over everything', 'the stripe noise degradation', 'row noise',
                'a pattern of lines from the detector', 'uncorrected detector columns', 'lines in the readout',
            ),
            remedies=(
                'destripe {image}', 'remove the stripes from {image}', 'take the stripe noise out of {image}',
                'suppress the striping in {image}', 'correct the non-uniformity of {image}', 'level the columns',
                'filter the vertical stripes out of {image}', 'get rid of the stripes', 'even out the columns',
                'remove the fixed-pattern noise from {image}', 'run stripe removal on {image}', 'clear the stripes',
                'apply non-uniformity correction to {image}', 'erase the line pattern of {image}',
            ),
            states=(
                'striped', 'full of stripes', 'stripy', 'covered with vertical stripes', 'spoiled by stripe noise',
                'overlaid with stripes', 'lined by the detector', 'disturbed by column noise',
            ),
            patterns=(
                r'\b(?:de-?)?strip(?:e[sd]?|y|ing)\b(?:[- ]noise)?|\b(?:column|row|line|fixed[- ]pattern)[- ]noise\b',
                r'\bnon-?uniform(?:ity)?\b|\b(?:vertical|horizontal) (?:lines?|bands?|streaks?)\b|\bflat-?field\w*',
                r'\b(?:level|even out|non-uniform|streaky|detector) (?:the )?columns\b|\bline pattern\b',
                r'\bline[sd] (?:from|in|of|by) (?:the )?(?:detector|readout)\b',
                *FAULTS['stripes'],
            ),
        ),
        Task(
            key='bl',
            modality='vi',
            canonical='The visible image is blurred, please deblur it.',
            defects=(
                'blur', 'motion blur', 'camera shake', 'defocus', 'a blurry look', 'soft edges', 'a lack of focus',
                'smeared edges', 'defocus blur', 'unsharp contours', 'smeared motion', 'a wrong focus', 'Gaussian blur',
                'the blur degradation', 'a shaky camera', 'edges that are not sharp', 'a lens out of focus',
            ),
            remedies=(
                'deblur {image}', 'sharpen {image}', 'remove the blur from {image}', 'bring {image} into focus',
                'undo the camera shake in {image}', 'take the motion blur out of {image}', 'sharpen the edges',
                'make {image} sharp', 'refocus {image}', 'correct the defocus of {image}', 'sharpen the contours',
                'reverse the blur of {image}', 'run a deblurring step on {image}', 'make the edges of {image} crisp',
            ),
            states=(
                'blurred', 'blurry', 'out of focus', 'not sharp', 'unsharp', 'shaky', 'smeared', 'defocused',
                'blurred by motion', 'badly focused', 'motion-blurred', 'too soft', 'smeared by camera shake',
            ),
            patterns=(
                r'\b(?:out of|lack of|wrong|badly|poorly|bad|into) focus\w*|\brefocus\w*',
                r'\bmake (?:\w+ ){1,8}(?:sharp|crisp)\b',
                r"\b(?:re-?)?sharpen\w*|(?:\bnot|n't) (?:\w+ )?sharp\b|\bsoft edges\b|\b(?:is|too|very) soft\b",
                *FAULTS['blur'],
            ),
        ),
        Task(
            key='rn',
            modality='vi',
            canonical='The visible image was taken in rain, please remove the rain.',
            defects=(
                'rain', 'rain streaks', 'heavy rain', 'raindrops', 'drizzle', 'a downpour', 'streaks of rain',
                'rainfall', 'pouring rain', 'rainy weather', 'bright rain streaks', 'a rain shower',
                'the rain degradation', 'rain in front of the scene', 'a veil of rain', 'a rainy day',
            ),
            remedies=(
                'derain {image}', 'remove the rain from {image}', 'take the rain streaks out of {image}',
                'clear the rain from {image}', 'erase the raindrops in {image}', 'apply rain removal to {image}',
                'get rid of the rain', 'suppress the rain streaks of {image}', 'wipe the rain off {image}',
                'run a deraining step on {image}', 'make {image} look like it did before the rain', 'stop the rain',
                'see through the rain in {image}', 'filter the rain streaks out of {image}',
            ),
            states=(
                'rainy', 'full of rain', 'covered with rain streaks', 'taken in the rain', 'rained on',
                'shot in heavy rain', 'crossed by rain streaks', 'spoiled by rain', 'disturbed by raindrops',
            ),
            patterns=(
                r'\brain[- ]?(?:drop|fall|streak|storm)s?\b|\bveil of rain\b|\bdrizzl\w*|\bdownpour\b',
                *FAULTS['rain'],
            ),
        ),
        Task(
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
                r"action)\b|\bnothing (?:\w+ )?(?:needs?|wrong|amiss|to|is)\b|\bneeds? nothing\b",
                r'\b(?:has|have|with|shows?|offers?) (?:enough|sufficient|plenty of|ample) (?:\w+ )?(?:contrast|'
                r'light|resolution|pixels|detail)\b',
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
                r'良好|理想|合适',
            ),
        ),
    )
}  # fmt: skip
