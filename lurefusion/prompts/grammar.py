"""How prompts are read: clauses, negations, characters, of English and Chinese."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from lurefusion.choices import did_you_mean

MAX_PROMPT_CHARACTERS = 2000

CLAUSE_END = re.compile(
    r'[.,](?!\d)|[;:!?()/\u2013\u2014\u3001\u3002]|'
    r'\b(?:and|while|whilst|whereas|but|(?:al)?though|yet|as well as|plus|'
    r'(?<!flooded )(?<!filled )(?<!problem )(?<!problems )(?<!trouble )(?<!issues )with|alongside|along|'
    r'next to(?! nothing)|besides)\b|'
    r'而且|而|并且|同时|以及|另外|此外|还有|加上|但是|但|不过|(?<!饱)和|且'
)
ALL = re.compile(
    r'\b(?:both|two|all|either)(?: (?:the|of the|these|input|source)){0,2} '
    r'(?:images?|modalit(?:y|ies)|sources?|pictures?|inputs?|frames?|channels?|cameras?|recordings?)\b|两[张幅个路]|都'
)
_NEGATION = re.compile(
    r'(?:\b(?:no|not|without|never|(?:neither|none) of(?: \w+){1,4}? (?:is|are|has|have|shows?|looks?)|neither|'
    r'none(?! of\b)|nor|cannot|(?<!next to )(?<!almost )nothing(?! but)|nobody|isnt|dont|'
    r'(?:hardly|barely|scarcely) any|instead of|rather than|than|far from)\b|'
    r"n't\b|\bfree (?:of|from)\b)(?! (?:only|just|merely)\b)"
)
# 'I would not say that the air is hazy': the verb carries the negation to the end of the clause
_DENIED = re.compile(
    r"(?:\b(?:not|never|nobody|no one)|n't)(?: \w+)? (?:say|call|think|find (?:it|this|that)|claim|consider|"
    r'describe)\b|'
    r"(?:\bnot|n't) that\b|\b(?:expected|feared)\b|"
    # who forbids a treatment: 'do not make it brighter', but not 'do not make it so dark'
    r"(?:(?:^|please )(?:do not|don't)|\b(?:should|must)(?: not|n't)|\bneed not|\bnot to|\bno need to) make\b"
    r'(?!(?: \w+){0,3} out\b)(?!.* (?:so|too|this|that)\b)|'
    r"(?:\bnot|n't) want (?:it|you to make (?:it|the \w+(?: \w+)?)|the \w+(?: \w+)?)(?: to be)?(?: any)? ?$"
)
# a negation that complains: of what cannot be seen, of what ought not to be, or of what would be without the fault
_COMPLAINING = re.compile(
    r"\b(?:can|could|do|does|did|may)(?:not|n't| not)(?: \w+)? (?:see(?! (?:any|much|signs?|a trace)\b)|"
    r'make(?=(?: \w+){0,4} (?:out\b|readable\b|visible$))|read|recogni[sz]e|tell|separate|spot|identify|distinguish|'
    r'discern|detect|need it|'
    # who does not want a treatment does not complain
    r'leave it|accept|stand|(?:use|want|like)(?! (?:\w+ ){0,2}(?:de-?(?:haz|nois|fog|rain|strip|blur)\w*|super|'
    r'\w+ (?:removal|reduction|correction|enhancement)\b|'
    r'brighten\w*|darken\w*|up-?scal\w*|sharpen\w*)|(?: \w+){1,6} (?:bright|dark|sharp)er\b|'
    r'.*\b(?:removed|corrected|treated)\b))\b|'
    r"\b(?:should|must|ought)(?: not|n't)(?: to)? (?:be|look)\b|\b(?:if only|wish)\b|\b(?:see|saw|sees|seen|shows?|"
    r'makes? out|made out)(?: \w+)? (?:nothing|nobody)\b|'
    r'\b(?:like|want|prefer|love)\b.*\b(?:without|not (?:so|that|as|too))\b|'
    r'\b(?:nothing|nobody|no one)(?: \w+){0,2} (?:seen|visible|recogni[sz]able|readable|made out)\b|'
    r'^(?:if )?(?:it )?(?:were it )?(?:not for|without)\b(?=.*\bwould\b)'
)
LIKEWISE = re.compile(
    r'\b(?:as well|too|also|likewise|the same|equally|ditto)$|\bso (?:is|does|has)\b|也(?:是|一样)?$|同样$'
)
# what is done to a picture, as it was done or is being done
_DONE = (
    r'(?:de-?(?:haz|nois|fog|rain|strip|blur)e?|brighten|darken|sharpen|up-?scale?|enhanc|restor|correct|filter|'
    r'smooth|remov|stretch|treat)'
)
# no complaint, but who forbids a treatment: 'should not be dehazed'
_FORBIDS = re.compile(rf"\b(?:should|must|ought)(?: not|n't)(?: to)? be {_DONE}(?:d|ed)\b")
# directly before a word: what is to stay ('keep the fog', 'it should stay dark'), and what was done ('already dehazed')
_STAYS = re.compile(
    r'(?:^|please |just )(?:keep|preserve|leave)(?: (?:the|all|any|its|this|that|some|natural))* $|'
    r'\b(?:should|must|may|shall|has to|have to|needs? to|let (?:it|them)|supposed to) (?:stay|remain)'
    r'(?: (?:as|so|this|that))? $'
)
_AWAY = re.compile(r'(?: (?:of|in)(?: \w+){1,4}?)? (?:down|low|out|away|off|small|minimal|under|at bay|in check)\b')
_DONE_BEFORE = re.compile(r'\balready(?: been)? $')
_AVOIDED = re.compile(r'\b(?:avoid|prevent|skip|omit|refrain from)(?: (?:any|the|all|further|more))* $')
_DOING = re.compile(rf'{_DONE}(?:d|ed)\b')
_GERUND = re.compile(rf'{_DONE}ing\b')
# directly behind a word: it is said to do no harm
_HARMLESS = re.compile(
    r'(?: (?:of|in)(?: \w+){1,4}?| levels?)? (?:is|are|looks?|seems?)(?: (?!not\b|far\b|less\b|no\b)\w+)?? '
    r'(?:fine|ok|okay|acceptable|negligible|tolerable|harmless|minimal|absent|unobtrusive|wanted|intended|intentional|natural)\b'
)
_WEAK = re.compile(r'(?: levels?)? (?:is|are)(?: (?:very|rather|quite|pretty))? (?:low|weak|small|slight|faint)\b')
_WEAK_FAULT = re.compile(r'\b(?:noise|grain|haze|fog|mist|rain|stripes|blur)$')
_STRONG = re.compile(
    r'(?: of(?: \w+){1,4}?)? (?:is|are|looks?|seems?)(?: (?:very|rather|quite|pretty|too|already))? (?:high|good|fine|'
    r'sufficient|excellent|great|perfect|strong|ok|okay)\b(?! enough to\b)'
)
_STRONG_MERIT = re.compile(r'\b(?:contrast|resolution)$')
# within a fault's own words: 'contrast is not low'
_NOT_BAD = re.compile(
    r"\b(?:is|are|was|looks?|does)(?: not|n't)(?: (?:look|seem|too|so|that|very|really))* "
    r'(?:low|poor|weak|bad|flat|faint|coarse|small)$'
)
_NEGATION_REACH = 200  # characters around a word
_OVER = re.compile(
    r'[- ]free\b|(?: \w+){0,2}? (?:has|have|had|was|were|is)(?: already)?(?: been)?(?: already)? (?:removed|corrected|'
    r'filtered|taken out|repaired|compensated)\b|(?: \w+){0,2}? (?:is|are|was|has|have|had)(?: \w+)?? '
    r'(?:gone|lifted|cleared|vanished|dissolved|over|no (?:problem|issue|concern)|not (?:the|a) (?:problem|issue))\b|'
    r'已经?(?:散|没|消失)|[声点]?不(?:重|大|浓|严重|多|'
    r'厉害)|不是问题|没有?问题'
)
_NOT_CHINESE = re.compile(
    r'(?:不是|并非|并不|不算|不太|没有?|无|毫无|不用|不必|不需要?|无需|无须|别再?|不要|不|而不是|不存在)'
    r'(?:很|太|那么|什么|任何|存在|出现|是|觉得|显得|算|有|再|做|进行|对|给|它|明显|的|因为)*$'
)
# who forbids a treatment; 'why not' and 'shall we' ask for it
_FORBIDDEN = re.compile(
    r'(?:不希望|不想|(?<!要)不要|不用|不必|别|无需|无须|请勿)再?(?:(?:让|把|将|对|给)[^,这那太]{0,8})?(?:做|进行)?$'
)
_TREATMENT = re.compile(r'[变调提增去降减加恢复补除]')
FILLER = re.compile(
    r'(?:(?:please|thanks|thank|you|hi|hello|hey|ok|okay|so|now|then|the|a|an|is|it|also|for|me|my|our|this|that|in|'
    r'of|on|at|as|to|regarding|about|first|second|other|one|ones|image|images|picture|photo|frame|channel|view|'
    r'sensor|camera|'
    r'input|side|请|的|那|这|张|图像|图片|照片|图|画面|里|中|上|那张|这张|在|把|给|对|让) ?)*'
)
_CJK = r'\u3400-\u9fff'


def whole(phrase: str) -> str:
    """Expression of a phrase as a whole word; in Chinese, which has no spaces, anywhere."""
    return re.escape(phrase) if re.search(f'[{_CJK}]', phrase) else rf'(?<!\w){re.escape(phrase)}(?!\w)'


def compile_names(words: Sequence[str]) -> re.Pattern[str]:
    """Names of a modality: whole words; in Chinese, which has no spaces, anywhere."""
    plain = [word for word in words if not re.search(f'[{_CJK}]', word)]
    chinese = [word for word in words if word not in plain]
    return re.compile('|'.join([rf'\b(?:{"|".join(plain)})\b', *chinese]))


def is_negated(clause: str, start: int, end: int) -> bool:
    """Whether the words `clause[start:end]` are denied ('not hazy', 'the fog has lifted') and no complaint."""
    first = max(0, start - _NEGATION_REACH)
    before, after = clause[first:start], clause[end : end + _NEGATION_REACH]
    clause = before + clause[start:end] + after
    if _OVER.match(after) or _NOT_CHINESE.search(before.replace(' ', '')):
        return True
    if _FORBIDDEN.search(before.replace(' ', '')) and _TREATMENT.search(
        clause, len(before), len(before) + end - start + 3
    ):
        return True
    said = clause[len(before) : len(before) + end - start]
    if _is_harmless(before, said, after):
        return True
    if _COMPLAINING.search(clause) and not _FORBIDS.search(clause):
        return False
    words = before.split()
    while words[-2:-1] == ['or']:  # 'not too dark or too hazy'
        words = words[:-2]
    before = ' '.join(words)
    near = any(len(before[match.end() :].split()) <= 2 for match in _NEGATION.finditer(before))
    return near or bool(_DENIED.search(before))


def _is_harmless(before: str, said: str, after: str) -> bool:
    """Whether the words themselves, or those directly around them, say that nothing is to be mended."""
    stays = _STAYS.search(before) and not _AWAY.match(after)
    rest = said + after
    done = (_DONE_BEFORE.search(before) and _DOING.match(rest)) or (_AVOIDED.search(before) and _GERUND.match(rest))
    praised = _HARMLESS.match(after) or (_STRONG_MERIT.search(said) and _STRONG.match(after))
    weak = _WEAK_FAULT.search(said) and _WEAK.match(after)
    return bool(stays or done or praised or weak or _NOT_BAD.search(said))


def foreign_script(text: str) -> str:
    """The script of most letters, where that is neither Latin nor Chinese, else ''."""
    scripts = [unicodedata.name(c, 'UNKNOWN').split()[0] for c in text if c.isalpha()]
    others = [script for script in scripts if script not in ('LATIN', 'CJK', 'FULLWIDTH')]
    return max(others, key=others.count) if 2 * len(others) > len(scripts) else ''


# traditional characters of the router's words, and the simplified ones
_SIMPLIFIED = str.maketrans(
    '紅圖對過霧強亮時間無沒熱見濛蒙點邊晝夜線們燈發張個這裡裏車遠處層陽塵氣煙壓細節銳噪聲條紋雙兩僅沖淡偽顏錯雜鏡頭輪廓標從應該調質塊馬賽離開難辨認晨',
    '红图对过雾强亮时间无没热见蒙蒙点边昼夜线们灯发张个这里里车远处层阳尘气烟压细节锐噪声条纹双两仅冲淡伪颜错杂镜头轮廓标从应该调质块马赛离开难辨认晨',
)


def normalise(text: str) -> str:
    """Lower case, plain quotes and dashes, simplified Chinese, single spaces; refuses what is no text to read."""
    if not isinstance(text, str):
        raise TypeError(f'a prompt is None, a sentence or a dict of sentences; got {type(text).__name__}')
    if len(text) > MAX_PROMPT_CHARACTERS:
        raise ValueError(f'the prompt has {len(text):,} characters; at most {MAX_PROMPT_CHARACTERS:,} are accepted')
    for position, character in enumerate(text):
        if unicodedata.category(character) in ('Cc', 'Cs') and not character.isspace():
            raise ValueError(
                f'the prompt has the control character U+{ord(character):04X} at position {position}; give plain text'
            )
    # invisible format characters, such as soft hyphens and byte order marks, come along when text is copied
    text = ''.join(c for c in unicodedata.normalize('NFKC', text) if unicodedata.category(c) != 'Cf')
    if len(text) > MAX_PROMPT_CHARACTERS:
        # there are characters that stand for a whole sentence
        raise ValueError(
            f'the prompt has {len(text):,} characters, ligatures spelt out; at most {MAX_PROMPT_CHARACTERS:,}'
        )
    if not text.strip():
        raise ValueError('the prompt is blank; give a sentence such as "the visible image is too dark", or None')
    text = text.lower().translate({0x2019: "'", 0x2010: '-', 0x2011: '-'}).translate(_SIMPLIFIED)
    text = text.replace('解析度', '分辨率')
    text = re.sub(f'(?<=[{_CJK}])(?=[a-z0-9])|(?<=[a-z0-9])(?=[{_CJK}])', ' ', text)
    return ' '.join(text.split())


def named_parts(words: Sequence[str] | None, modalities: Sequence[str]) -> str | dict[str, str] | None:
    """The parts ``NAME=TEXT`` of a prompt by modality, or one sentence.

    Args:
        words: Of a command line; or a single text that has both, as in ``vi=haze ir=low contrast``. None: no prompt.
        modalities: That the model takes.

    Raises:
        ValueError: If parts and sentences are mixed, or a part names no modality of the model: as a sentence it would
            say nothing.
    """
    if words is None:
        return None
    sentence = ' '.join(words)
    if len(words) == 1:
        # split at one separator, not at a run of them, which would take the square of its length
        found = re.split(rf'[\s,;\uff0c\uff1b](?=(?:{"|".join(map(re.escape, modalities))})=)', sentence)
        words = [word for each in found if (word := each.strip(' \t\n,;\uff0c\uff1b'))]
    # longer names first: one may begin with another
    known = '|'.join(map(re.escape, sorted(modalities, key=len, reverse=True)))
    part_of = re.compile(rf'({known}|\w+)=(.*)', flags=re.DOTALL)
    parts, shown = [part_of.match(word) for word in words], sentence[:80]
    named = [part[1] for part in parts if part and part[1] in modalities]
    if not parts or not all(parts):
        if named:
            raise ValueError(
                f'a prompt is one sentence, or NAME=TEXT for each modality, not both: {shown!r}. Quote a text '
                f'of several words: vi="it is dark"'
            )
        return sentence
    for part in parts:
        if part[1] not in modalities:
            hint = did_you_mean(part[1], list(modalities))
            raise ValueError(f'prompt: {part[1][:80]!r} is no modality.{hint} The model takes {", ".join(modalities)}')
    if len(set(named)) < len(named):
        raise ValueError(f'the prompt names a modality twice: {shown}')
    return {part[1]: part[2] for part in parts}
