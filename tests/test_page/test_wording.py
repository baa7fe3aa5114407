"""Words of the page: one sentence for each mistake, no path of the server, nothing that a name could run."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lurefusion.page.desk import Answer, Job, Told
from lurefusion.page.wording import (
    alert,
    comparison,
    gallery,
    image_url,
    metrics_table,
    notes,
    restored,
    sentence,
    shown,
    summary,
    understood,
)
from lurefusion.structures import Prediction

EVIL = '<img src=x onerror=alert(1)>'


@pytest.mark.parametrize(
    ('error', 'expected'),
    [
        (ValueError('/tmp/page/uploads/0af3/a.png is empty'), 'a.png is empty'),
        (ValueError('vi (/tmp/page/uploads/0af3/a.png): 4x4 pixels'), 'Visible (a.png): 4x4 pixels'),
        (ValueError('vi and ir are one file, /tmp/page/x/vi.png: no'), 'Visible and infrared are one file, vi.png: no'),
        (KeyError("'SIM' is not a registered metric"), "'SIM' is not a registered metric"),
        (ValueError('fuse them all the same: trust_pictures=True (--trust-pictures)'),
         'Fuse them all the same: tick "Trust the pictures" in the options'),
        (ValueError('a rate (--fps) is for folders'), 'A rate is for folders'),
        (ValueError('two\n lines'), 'Two lines'),
        (MemoryError(), 'MemoryError'),
    ],
)  # fmt: skip
def test_one_sentence(error: Exception, expected: str) -> None:
    assert sentence(error, ['/tmp/page']) == expected


def test_what_is_named_by_strangers_is_text() -> None:
    told = [Told('vi', EVIL, EVIL, EVIL, EVIL, 0.5, {EVIL: 0.5})]
    job = Job(Path('a'), 1, {EVIL: EVIL}, [EVIL], {EVIL: [EVIL]}, 1.0)
    pages = [alert(EVIL), notes([EVIL]), understood(told, [EVIL]), summary(job, 'pictures')]
    pages.append(gallery({EVIL: np.zeros((8, 8, 3), np.uint8)}))
    for page in pages:
        assert EVIL not in page
        assert '&lt;img src=x' in page


def test_alerts_are_said_at_once() -> None:
    assert 'role="alert"' in alert('no')
    assert alert('') == ''


def test_what_was_understood() -> None:
    page = understood(
        [
            Told('vi', 'll', 'low light', 'Brighten it.', 'auto', 0.934, {'haze': 0.06}),
            Told('x', 'pd', '', 'Keep it.', 'auto', 0.01, {}, 'noise'),
            Told('ir', 'pd', '', 'Keep it.', 'default'),
        ]
    )
    for words in (
        'Visible',
        'low light',
        'told from the picture, 93 % sure',
        'also possible: haze 6 %',
        'noise, which this network does not mend',
        'Brighten it.',
    ):
        assert words in page
    assert 'kept as it is' in page
    assert 'Keep it.' not in page
    assert understood([], []) == ''


def test_remarks_are_cut() -> None:
    page = notes([f'remark {number}' for number in range(11)])
    assert page.count('<li>') == 9
    assert 'and 3 more of these' in page


def answer_of(picture: np.ndarray) -> Answer:
    fused = Prediction('a', picture.astype(np.float32) / 255)
    return Answer(fused, dict(vi=picture, ir=255 - picture), dict(vi=fused), [], [], {}, 0.1)


def test_the_pictures_are_in_the_page_itself() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    page = comparison(answer_of(picture))
    assert page.count('type="radio"') == 3
    assert page.count(' checked') == 1
    assert 'type="range"' in page
    assert 'aria-label="Edge between the two pictures"' in page
    assert '32 x 24 pixels' in page
    assert 'Visible, restored alone' in restored(answer_of(picture))


def test_pictures_are_shown_small_and_nearly_as_they_are() -> None:
    rows, columns = np.mgrid[0:600, 0:1600] / 1600
    picture = np.stack([rows, columns, 1 - columns], 2).astype(np.float32)
    data = base64.b64decode(image_url(picture).removeprefix('data:image/webp;base64,'))
    found = np.asarray(Image.open(io.BytesIO(data)))
    assert found.shape == (480, 1280, 3)
    assert np.abs(found.astype(float) - shown(picture)).mean() < 2
    small = np.zeros((8, 8, 3), np.uint8)
    assert shown(small) is small


def test_metrics_have_unit_and_direction() -> None:
    page = metrics_table(dict(PSNR=13.589, SSIM=0.5, Qcv=214.26, VIF=float('nan')))
    for words in ('13.59 dB', '0.500', '214.3 grey levels squared', 'lower is better', 'too small a picture'):
        assert words in page
    assert metrics_table({}) == ''


def test_summaries() -> None:
    page = summary(Job(Path('a'), 3, {'x': 'y is bad'}, ['left out'], {'vi': ['ll (3)']}, 61.4), 'pictures')
    for words in ('3 pictures fused', 'in 61 s', '1 failed', 'x: y is bad', 'left out', 'Visible', 'll (3)'):
        assert words in page
