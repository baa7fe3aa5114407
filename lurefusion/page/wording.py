"""Answers as HTML: one figure to compare in, what was understood, metrics, what went wrong. Every word is escaped."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from lurefusion.io.ranges import to_uint8

if TYPE_CHECKING:
    from lurefusion.page.desk import Answer, Job, Told

#: what pages call the modalities
TITLES = {'vi': 'Visible', 'ir': 'Infrared', 'mri': 'MRI', 'pet': 'PET', 'ct': 'CT', 'spect': 'SPECT'}
#: longest side of pictures on the page; files have all pixels
SHOWN = 1280
_SOURCES = {
    'key': 'you named it',
    'pattern': 'from your words',
    'classifier': 'guessed from your words',
    'auto': 'told from the picture',
    'default': 'nothing was said',
}
_QUALITY = 92
# a modality named in a message, and not a part of a file's name
_NAME = re.compile(rf"(?<![\w./='-])(?:{'|'.join(TITLES)})(?![\w=/-]|\.\w)")
# what the messages of the library say for programs and the command line
_FOR_PROGRAMS = (
    (re.compile(r'trust_pictures=True'), 'tick "Trust the pictures" in the options'),
    (re.compile(r' \((?:[a-z_]+=[^)]*, )?--[a-z][^)]*\)'), ''),
)


def title_of(modality: str) -> str:
    """What the page calls a modality."""
    return TITLES.get(modality, modality)


def sentence(error: BaseException, places: Sequence[str] = ()) -> str:
    """What went wrong, as one line for people; see :func:`plain`."""
    # str(KeyError) is the repr of its message
    message = str(error.args[0] if isinstance(error, KeyError) and error.args else error) or type(error).__name__
    message = plain(message, places)
    first = message.split(' ', 1)[0]
    # a file has the name that it has
    return message if '.' in first.rstrip('.') else message[:1].upper() + message[1:]


def plain(message: str, places: Sequence[str] = ()) -> str:
    """A message of the library as one line for people.

    Args:
        message: Its words.
        places: Folders whose paths are left out of it; a name of a file says enough, and a path is nobody's business.
    """
    for place in places:
        message = re.sub(rf'{re.escape(place)}/(?:[^\s:,()\'"]+/)*', '', message)
    for expression, said in _FOR_PROGRAMS:
        message = expression.sub(said, message)
    return _NAME.sub(lambda name: TITLES[name[0]].lower(), ' '.join(message.split()))


def shown(picture: np.ndarray, side: int = SHOWN) -> np.ndarray:
    """A picture (H,W,3), uint8 or float in [0,1], as uint8 of at most `side` pixels."""
    factor = side / max(picture.shape[:2])
    if factor < 1:
        size = [max(round(length * factor), 1) for length in picture.shape[1::-1]]
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(picture if picture.dtype == np.uint8 else to_uint8(picture))


def image_url(picture: np.ndarray) -> str:
    """A picture within the page itself: no file of it is left on the server."""
    data = io.BytesIO()
    Image.fromarray(shown(picture)).save(data, 'WEBP', quality=_QUALITY, method=2)
    return f'data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}'


def alert(message: str) -> str:
    """An error, which screen readers say at once; nothing for an empty one."""
    return f'<p class="lf-alert" role="alert">{escape(message)}</p>' if message else ''


def notes(remarks: Sequence[str], places: Sequence[str] = (), most: int = 8) -> str:
    """What has to be said beside a result; messages of the library, see :func:`plain`."""
    if not remarks:
        return ''
    more = [f'and {len(remarks) - most} more of these'] if len(remarks) > most else []
    items = ''.join(f'<li>{escape(plain(remark, places))}</li>' for remark in [*remarks[:most], *more])
    return f'<ul class="lf-notes" aria-label="Notes">{items}</ul>'


def understood(told: Sequence[Told], remarks: Sequence[str] = (), places: Sequence[str] = ()) -> str:
    """What was understood, modality by modality."""
    cards = ''.join(_card(one) for one in told)
    return f'<div class="lf-told">{cards}</div>{notes(remarks, places)}' if cards or remarks else ''


def _card(told: Told) -> str:
    what = f'{escape(told.fault)} <code>{escape(told.task)}</code>' if told.fault else 'kept as it is'
    how = _SOURCES.get(told.source, told.source)
    if told.foreign:
        how += f': {told.foreign}, which this network does not mend'
    elif told.probability is not None:
        how += f', {100 * told.probability:.0f} % sure'
    perhaps = ', '.join(f'{fault} {100 * share:.0f} %' for fault, share in told.guesses.items())
    rest = f'<small>also possible: {escape(perhaps)}</small>' if perhaps else ''
    said = f'<q>{escape(told.sentence)}</q>' if told.fault else ''
    return (
        f'<div><b>{escape(title_of(told.modality))}</b> <span class="lf-what">{what}</span>'
        f'<small>{escape(how)}</small>{said}{rest}</div>'
    )


def comparison(answer: Answer) -> str:
    """The fused picture under each of the others, with an edge that is moved by finger, mouse or arrow keys."""
    fused = image_url(answer.fused.picture)
    others = {title_of(name): image_url(picture) for name, picture in answer.pictures.items()}
    others |= {f'{title_of(name)}, restored': image_url(alone.picture) for name, alone in answer.restored.items()}
    choices = ''.join(
        f'<label><input type="radio" name="lf-other"{" checked" if number == 0 else ""} '
        f'data-src="{url}" data-title="{escape(title)}" onchange="{_CHOOSE}"> {escape(title)}</label>'
        for number, (title, url) in enumerate(others.items())
    )
    first, url = next(iter(others.items()))
    height, width = answer.fused.picture.shape[:2]
    return (
        f'<div class="lf-compare"><fieldset><legend>Compare the fused picture with</legend>{choices}</fieldset>'
        f'<figure style="--at:50%"><img class="lf-fused" src="{fused}" alt="Fused picture">'
        f'<img class="lf-other" src="{url}" alt="{escape(first)} picture">'
        f'<span class="lf-tag lf-left">{escape(first)}</span><span class="lf-tag lf-right">Fused</span>'
        f'<span class="lf-edge"></span>'
        f'<input type="range" min="0" max="100" value="50" aria-label="Edge between the two pictures" '
        f'oninput="{_MOVE}"></figure>'
        f'<p class="lf-small">{width} x {height} pixels</p></div>'
    )


_MOVE = "this.parentNode.style.setProperty('--at', this.value + '%')"
_CHOOSE = (
    "const box = this.closest('.lf-compare'); const image = box.querySelector('.lf-other'); "
    "image.src = this.dataset.src; image.alt = this.dataset.title + ' picture'; "
    "box.querySelector('.lf-left').textContent = this.dataset.title"
)


def gallery(pictures: Mapping[str, np.ndarray]) -> str:
    """Pictures with their titles, side by side where there is room."""
    figures = ''.join(
        f'<figure><img src="{image_url(picture)}" alt="{escape(title)}">'
        f'<figcaption>{escape(title)}</figcaption></figure>'
        for title, picture in pictures.items()
    )
    return f'<div class="lf-gallery">{figures}</div>' if figures else ''


def restored(answer: Answer) -> str:
    """The single pictures, restored."""
    return gallery({f'{title_of(name)}, restored alone': one.picture for name, one in answer.restored.items()})


def metrics_table(values: Mapping[str, float]) -> str:
    """Metrics with unit and direction."""
    from lurefusion.evaluation.cards import card_of

    if not values:
        return ''
    rows = ''
    for name, value in values.items():
        card = card_of(name)
        better = 'higher is better' if card.higher_is_better else 'lower is better'
        number = 'too small a picture' if math.isnan(value) else f'{value:.{card.decimals}f}'
        unit = f' {card.unit}' if card.unit and not math.isnan(value) else ''
        rows += (
            f'<tr><th scope="row"><abbr title="{escape(card.title)}">{escape(name)}</abbr> '
            f'<span role="img" title="{better}" aria-label="{better}">{card.arrow}</span></th>'
            f'<td>{escape(number + unit)}</td></tr>'
        )
    return f'<table class="lf-metrics"><caption>Metrics of the fused picture</caption><tbody>{rows}</tbody></table>'


def summary(job: Job, unit: str, places: Sequence[str] = ()) -> str:
    """What became of an archive or a clip."""
    done = f'<p><b>{job.done} {escape(unit)} fused</b> in {_seconds(job.seconds)}</p>'
    told = ''.join(
        f'<div><b>{escape(title_of(name))}</b> <span class="lf-what">{escape(", ".join(tasks))}</span></div>'
        for name, tasks in job.told.items()
    )
    failed = [f'{name}: {error}' for name, error in job.failed.items()]
    wrong = f'<p><b>{len(failed)} failed</b></p>{notes(failed, places)}' if failed else ''
    return f'{done}<div class="lf-told">{told}</div>{wrong}{notes(job.remarks, places)}'


def _seconds(value: float) -> str:
    return f'{value:.2f} s' if value < 10 else f'{value:.0f} s'
