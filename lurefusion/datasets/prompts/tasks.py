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
    """

    key: str
    modality: str | None
    defects: tuple[str, ...]
    remedies: tuple[str, ...]
    patterns: tuple[str, ...]
    canonical: str
    states: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.key, str) or not re.fullmatch(r'[A-Za-z0-9_-]+', self.key):
            raise ValueError(f'a task key is letters, digits, "_" and "-"; got {self.key!r}')
        if not isinstance(self.canonical, str) or not self.canonical.strip():
            raise ValueError(f'task {self.key!r}: canonical must be a sentence, got {self.canonical!r}')
        for name in ('defects', 'remedies', 'patterns', 'states'):
            value = getattr(self, name)
            if isinstance(value, str) or not all(isinstance(phrase, str) and phrase.strip() for phrase in value):
                raise TypeError(f'task {self.key!r}: {name} must be a list of non-empty strings, got {value!r}')
            if not value and name in ('defects', 'remedies'):
                raise ValueError(f'task {self.key!r}: {name} must not be empty')
            object.__setattr__(self, name, tuple(value))
        compile_any(self.patterns, f'task {self.key!r}')

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
    )


def _factor_patterns(factor: int, word: str) -> tuple[str, ...]:
    size = (
        rf'(?:[x×] ?{factor}\b|\b{factor} ?[x×](?!\w)|\b(?:{factor}|{word})(?: times|-?fold)\b|'
        rf'\bfactor (?:of )?(?:{factor}|{word})\b)'
    )
    return (rf'(?:{_GRAIN})(?: \S+){{0,4}} {size}', size)


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
                r'\b(?:de-?)?haz(?:e[sd]?|ier|y|iness|ing)\b|\b(?:de-?)?fog\w*|\bmist(?:s|y)?\b|\bsmog\w*|\bsmok(?:e|y|ey)\b',
                r'\batmospheric scattering\b|\bairlight\b',
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
                r'\b(?:de-?)?nois(?:e[sd]?|y|ier|iness|ing)\b|\bgrain(?:s|y|ier|iness)?\b|\bspeckle[sd]?\b',
                r'\bsignal-to-noise\b|\bhigh iso\b',
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
                # "blurred by fog" is about the fog
                r'\b(?:de-?)?blur\w*\b(?! by (?:the )?(?:fog|haze|mist|smoke|rain))|\bde-?focus\w*|\bunsharp\b',
                r'\b(?:out of|lack of|wrong|badly|poorly|bad|into) focus\w*|\brefocus\w*',
                r'\bmake (?:\w+ ){1,8}(?:sharp|crisp)\b',
                r"\b(?:re-?)?sharpen\w*|(?:\bnot|n't) (?:\w+ )?sharp\b|\bsoft edges\b|\b(?:is|too|very) soft\b",
                r'\bsmear\w*|\bshak(?:e|y|en|ing)\b',
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
                r'\b(?:de-?)?rain(?:s|y|ed|ing)?\b|\brain[- ]?(?:drop|fall|streak|storm)s?\b|\bdrizzl\w*|\bdownpour\b',
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
                r'\b(?:is|are|looks?) (?:fine|clean|ok|okay|perfect|flawless)\b',
            ),
        ),
    )
}  # fmt: skip
