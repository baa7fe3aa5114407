"""The built-in tasks of infrared pictures."""

from __future__ import annotations

from lurefusion.prompts.phrases import ANY, BAD, FAULTS, LACK, NOT_GOOD, RAISE
from lurefusion.prompts.tasks import Task

LOW_CONTRAST = Task(
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
        rf'{LACK} {ANY}contrast\b(?! (?:problem|issue))|{RAISE} contrast\b|\bcontrast (?:problem|'
        rf'issue|boost)\b',
        rf'\bcontrast(?: \w+){{0,5}}? (?:is|was|looks|seems|being)(?: \w+){{0,2}} {BAD}\b|'
        rf'\b{BAD}[- ](?:in )?(?:\w+ )?contrast\b',
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
        rf'\bcontrast{NOT_GOOD}|{LACK} {ANY}(?:(?:temperature|thermal|grey|tonal|'
        rf'intensity) )(?:differences?|gradients?|variations?|separation|range)\b',
        r'\b(?:hard|difficult|impossible|tough) to (?:distinguish|separate|discern|pick out)\b|\b(?:close|'
        r'similar) to the background\b|\bcamouflag\w*|\bfaded tones\b',
        r'(?:差别|差异|区别)[^,]{0,2}(?:小|不大|不明显)',
        r"\b(?:in|un)distinguishable\b|\b(?:barely|hardly|not|scarcely|n't)(?: be)? distinguish(?:able|"
        r"ed)\b|\b(?:as warm|as hot|as cold|as bright) as\b|\b(?:weak|faint) gradients?\b",
        r'对比度?[^,]{0,4}?(?:(?<!不)低|差|弱|不足|不够|不高|不明显|太小|不强)|低对比度?|(?:缺乏|没有?|'
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
        rf'{LACK} {ANY}(?:bite|punch|depth|structure|texture|definition|tonal\w*|dynamics|modulation|'
        rf'relief)\b',
        r'灰|平淡|发白|泛白|单调|暗淡|对比|平坦|不清楚|均匀|拉伸',
    ),
)  # fmt: skip

_GRAIN = r'super[- ]?res\w*|\blow(?:er)?[- ]?res\w*|up-?(?:scal|sampl)\w*|\bpixelat\w*|\bpixeli[sz]ed\b|\blow-?res\b'
_SHARPER = (
    r'\b(?:increas|improv|enhanc|rais|boost)\w*(?: (?:the|its|image|spatial|infrared|thermal|ir)){0,3} resolution'
)
_FEW_PIXELS = (
    r'\bresolution(?: of (?:the |this )?[\w-]{1,20}(?: \w{1,20})?)? (?:is|looks|seems)(?: far| much| way)?(?: too)? '
    r'(?:low|poor|small|bad|coarse|insufficient)',
    r'\b(?:poor|coarse|insufficient|limited|small|higher|more) (?:spatial )?resolution\b|\btoo few pixels\b',
)

SUPER_RESOLUTION = Task(
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
        # small formats alone
        r'\b(?:\d{2}|[123]\d\d) ?(?:x|×|by|\*) ?(?:\d{2}|[12]\d\d)\b(?: pixels?| elements)?|'
        r'\b(?:up-?\w+|enlarg\w*|super-?resol\w*|(?:scal|blow|siz)\w*(?: \w+){0,4} up)(?: \w+){0,4} to '
        r'\d{3,4} ?(?:x|×|by|\*) ?\d',
        rf'{LACK} {ANY}(?:resolution|pixels?|resolved|resolving)\b|{RAISE} (?:resolution|pixels?)\b',
        rf'\bresolution(?: \w+){{0,5}}? (?:is|was|seems|looks|remains|being)(?: \w+){{0,2}} {BAD}\b',
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
        rf'\bresolution{NOT_GOOD}|\bunder-?(?:sized|resolved)\b|\b(?:double|triple|quadruple)(?: (?:the|its|'
        rf'number|of)){0,3} (?:size|resolution|pixels?)\b',
        r'分辨率?[^,]{0,5}?(?:(?<!不)低|差|不足|不够|不高|太小|有限|上不去)|低分辨率?|(?:提高|提升|增强|增加|改善|'
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
    hows = (f'x{factor}', f'{word} times')
    return Task(
        key=f'sr{factor}',
        modality='ir',
        canonical=f'The infrared image has {word} times too low a resolution, please super-resolve it by x{factor}.',
        defects=tuple(f'{phrase}, factor {factor}' for phrase in SUPER_RESOLUTION.defects),
        remedies=tuple(f'{phrase} by {how}' for phrase in SUPER_RESOLUTION.remedies for how in hows),
        states=tuple(f'{phrase} by a factor of {word}' for phrase in SUPER_RESOLUTION.states),
        patterns=patterns,
        hints=SUPER_RESOLUTION.hints,
    )


def _factor_patterns(factor: int, word: str) -> tuple[str, ...]:
    size = (
        rf'(?:[x×] ?{factor}\b|\b{factor} ?[x×](?!\w)|\b(?:{factor}|{word})(?: times|-?fold)\b|'
        rf'\bfactor (?:of )?(?:{factor}|{word})\b)'
    )
    return (rf'(?:{_GRAIN})(?: \S+){{0,4}} {size}', size)


SUPER_RESOLUTION_4 = _super_resolution(
    4, 'four', (*SUPER_RESOLUTION.patterns[:4], *SUPER_RESOLUTION.patterns[5:], *_factor_patterns(4, 'four'))
)
SUPER_RESOLUTION_8 = _super_resolution(8, 'eight', _factor_patterns(8, 'eight'))

STRIPES = Task(
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
)  # fmt: skip
