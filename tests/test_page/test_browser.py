"""The page in a real browser, headless; `make test-browser` runs these, an ordinary run of the tests does not.

Needs Playwright (extra `browser`) and a Chromium: `$LUREFUSION_CHROMIUM`, or `chromium` on the path. Pictures of the
page go into `$LUREFUSION_SCREENSHOTS` where that is set; those of docs/images/ were made so.
"""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.browser
CHROMIUM = os.environ.get('LUREFUSION_CHROMIUM') or shutil.which('chromium') or shutil.which('chromium-browser')
FLAGS = ('--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking')
OPTIONS = ('--model', 'lure-fast', '--picture-mb', '1', '--archive-mb', '2', '--megapixels', '1', '--files', '6')
# address of a page that was put up with these options, for those who run one test again and again
UP = os.environ.get('LUREFUSION_PAGE')
DESKTOP, PHONE, NARROW = dict(width=1280, height=900), dict(width=390, height=844), dict(width=360, height=640)
# milliseconds for a step, seconds until it is up: machines are slow now and then
PATIENCE, STARTING = 180_000, 900
DEMO = Path(__file__).resolve().parents[2] / 'demo'
NOISE = np.random.default_rng(0).integers(0, 256, (48, 64), np.uint8)


@pytest.fixture(scope='module')
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page of its own, with low limits."""
    if UP:
        yield UP
        return
    pytest.importorskip('gradio', reason='needs Gradio: pip install lurefusion[demo]')
    place = tmp_path_factory.mktemp('scratch')
    command = [sys.executable, '-u', '-m', 'lurefusion', 'demo', *OPTIONS]
    log = (place / 'log').open('w+')
    page = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, 'TMPDIR': str(place)})
    try:
        found, until = None, time.monotonic() + STARTING
        while found is None:
            text = (place / 'log').read_text()
            assert page.poll() is None, text
            assert time.monotonic() < until, text
            found = re.search(r'^(http://127\.0\.0\.1:\d+/) \(Ctrl\+C ends it\)$', text, flags=re.MULTILINE)
            time.sleep(0.2)
        assert list(place.glob('lurefusion-page-*'))
        yield found[1]
        text = (place / 'log').read_text()
        assert 'Traceback' not in text, text
    finally:
        page.terminate()
        page.wait(60)
        log.close()
    # nothing that anybody sent is left
    assert not list(place.glob('lurefusion-page-*'))


@pytest.fixture(scope='module')
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip('playwright.sync_api', reason='needs Playwright: pip install lurefusion[browser]')
    if CHROMIUM is None:
        pytest.skip('needs Chromium: install it, or name it in LUREFUSION_CHROMIUM')
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture
def user(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Opens the page for one user more; what it asks of other machines, and its errors, fail the test."""
    contexts, wrong = [], []

    def look(view: dict[str, int] = DESKTOP) -> Any:
        contexts.append(browser.new_context(viewport=view, has_touch=view is not DESKTOP))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.on('request', lambda r: None if r.url.startswith((address, 'data:', 'blob:')) else wrong.append(r.url))
        page.on('pageerror', lambda error: wrong.append(str(error)))
        page.goto(address)
        page.wait_for_selector('#lf-fuse')
        # the first answer of the server: handlers are bound
        page.wait_for_function('document.querySelectorAll("#lf-examples img").length === 6')
        return page

    yield look
    for context in contexts:
        context.close()
    assert wrong == []


def send(page: Any, name: str, path: Path) -> None:
    """Upload a file into the box of a modality, and wait for what comes of it."""
    page.locator(f'#lf-{name} input[type=file]').set_input_files(str(path))


def shown(page: Any, name: str) -> None:
    page.wait_for_selector(f'#lf-{name} img')


def send_pair(page: Any, scene: str = 'dark') -> None:
    for name, word in (('vi', 'visible'), ('ir', 'infrared')):
        send(page, name, DEMO / f'{scene}_{word}.png')
        shown(page, name)


def fuse(page: Any) -> np.ndarray:
    """Press the button, and give the picture that comes: another one than before."""
    before = page.locator('.lf-fused').get_attribute('src') if page.locator('.lf-fused').count() else ''
    page.locator('#lf-fuse').click()
    page.wait_for_function(
        'b => { const i = document.querySelector(".lf-fused"); return i && i.src !== b }', arg=before
    )
    return picture_of(page.locator('.lf-fused').get_attribute('src'))


def picture_of(url: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(',')[2])))).astype(np.float32)


def say(page: Any, text: str) -> None:
    page.get_by_label('Or say what is wrong').first.fill(text)
    # the switch goes off by itself
    page.wait_for_function('() => !document.querySelector(".lf-auto input").checked')


def told(page: Any) -> str:
    return page.locator('#lf-understood').inner_text()


def alert(page: Any, part: str) -> str:
    page.wait_for_function(
        'part => document.querySelector(".lf-alert")?.textContent.includes(part)', arg=part, timeout=PATIENCE
    )
    return page.locator('.lf-alert').first.inner_text()


def test_upload_fuse_save_and_another_prompt(user: Callable) -> None:
    page = user()
    send_pair(page)
    say(page, 'nothing is wrong')
    plain = fuse(page)
    assert plain.shape == (256, 336, 3)
    say(page, 'the visible image is too dark')
    bright = fuse(page)
    assert bright.mean() > plain.mean() + 10
    assert 'low light' in told(page)
    assert 'from your words' in told(page)
    assert page.locator('.lf-alert').count() == 0
    for bits, dtype in ((8, np.uint8), (16, np.uint16)):
        with page.expect_download() as saving:
            page.get_by_role('link', name=f'Save, {bits} bit').or_(
                page.get_by_role('button', name=f'Save, {bits} bit')
            ).first.click()
        picture = cv2.imread(str(saving.value.path()), cv2.IMREAD_UNCHANGED)
        assert picture.dtype == dtype
        assert picture.shape == (256, 336, 3)
    table = page.locator('.lf-metrics').inner_text()
    assert 'SSIM' in table
    assert re.search(r'\d\.\d{3}', table)


def test_auto_and_every_network(user: Callable) -> None:
    page = user()
    page.locator('#lf-examples button').first.click()
    shown(page, 'ir')
    # an example brings a sentence that fits
    page.wait_for_function('() => !document.querySelector(".lf-auto input").checked')
    page.locator('.lf-auto input').first.check()
    fuse(page)
    assert 'told from the picture' in told(page)
    assert '% sure' in told(page)
    box = page.get_by_label('Network').first
    box.click()
    page.get_by_role('option', name='average').click()
    fuse(page)
    assert told(page).strip() == ''


def test_bad_files_and_too_large_ones(user: Callable, tmp_path: Path) -> None:
    page = user()
    page.locator('#lf-fuse').click()
    assert alert(page, 'issing') == 'Missing: the visible and the infrared picture; choose a file, or an example'
    bad = tmp_path / 'bad.png'
    bad.write_bytes(b'no picture at all')
    send(page, 'vi', bad)
    alert(page, 'bad.png cannot be read as a picture')
    huge = tmp_path / 'huge.png'
    cv2.imwrite(str(huge), np.zeros((1100, 1000), np.uint8))
    send(page, 'vi', huge)
    assert alert(page, 'huge.png') == 'huge.png has 1000x1100 pixels; at most 1 million are taken'
    heavy = tmp_path / 'heavy.bmp'
    cv2.imwrite(str(heavy), np.zeros((700, 700, 3), np.uint8))
    send(page, 'vi', heavy)
    assert alert(page, 'heavy.bmp') == 'heavy.bmp has 1.4 MB; at most 1 MB are taken'
    # beyond what any part takes, it is stopped on its way
    enormous = tmp_path / 'enormous.png'
    enormous.write_bytes(bytes(3 << 20))
    send(page, 'vi', enormous)
    page.get_by_text('exceed the maximum allowed size').first.wait_for()
    same = DEMO / 'day_infrared.png'
    for name in ('vi', 'ir'):
        page = user() if name == 'vi' else page
        send(page, name, same)
        shown(page, name)
    page.locator('#lf-fuse').click()
    message = alert(page, 'same file')
    assert '/' not in message, 'no path of the server is told'
    # and it goes on
    page.locator('#lf-examples button').nth(1).click()
    page.wait_for_function('() => document.querySelector(".lf-alert") !== null')
    assert fuse(page).shape == (300, 400, 3)
    assert page.locator('.lf-alert').count() == 0


def test_the_picture_in_the_box_is_the_one_that_is_fused(user: Callable, tmp_path: Path) -> None:
    """Also at once after another file was chosen, and no result stays beside pictures that it is not of."""
    page = user()
    send_pair(page)
    say(page, 'nothing is wrong')
    first = fuse(page)
    striped = tmp_path / 'striped.png'
    Image.fromarray((np.indices((256, 336)).sum(0) % 2 * 255).astype(np.uint8)).convert('RGB').save(striped)
    page.locator('#lf-vi [aria-label="Remove Image"]').click()
    page.wait_for_selector('.lf-fused', state='detached')
    send(page, 'vi', striped)
    page.wait_for_selector('#lf-vi img')
    page.locator('#lf-fuse').click()
    page.wait_for_selector('.lf-fused')
    second = picture_of(page.locator('.lf-fused').get_attribute('src'))
    assert second.shape == first.shape
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.9


def test_two_users_at_once(user: Callable) -> None:
    one, other = user(), user()
    for page, scene, text in ((one, 'dark', 'the visible image is too dark'), (other, 'day', 'it is hazy')):
        send_pair(page, scene)
        say(page, text)
    for page in (one, other):
        page.locator('#lf-fuse').click()
    pictures = []
    for page in (one, other):
        page.wait_for_selector('.lf-fused')
        pictures.append(picture_of(page.locator('.lf-fused').get_attribute('src')))
    assert 'low light' in told(one)
    assert 'haze' in told(other)
    # each has the picture of its own scene: a second request alone gives the same
    for page, picture in zip((one, other), pictures, strict=True):
        say(page, 'nothing is wrong')
        again = fuse(page)
        assert np.corrcoef(again.ravel(), picture.ravel())[0, 1] > 0.7
    assert abs(np.corrcoef(pictures[0].ravel(), pictures[1].ravel())[0, 1]) < 0.7


def tab_to(page: Any, selector: str, most: int = 80) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(most):
        if page.evaluate('s => document.activeElement?.matches(s)', selector):
            return
        page.keyboard.press('Tab')
    raise AssertionError(f'{selector} cannot be reached by the keyboard')


def test_by_keyboard_alone(user: Callable) -> None:
    page = user()
    # only with somebody listening is a file chooser caught, and that takes the browser a moment to set up
    page.on('filechooser', lambda chooser: None)
    tab_to(page, '[role=tab]')
    tab_to(page, '#lf-vi button')
    with page.expect_file_chooser() as chooser:
        page.keyboard.press('Enter')
    chooser.value.set_files(str(DEMO / 'dark_visible.png'))
    shown(page, 'vi')
    tab_to(page, '#lf-examples button')
    page.keyboard.press('Enter')
    shown(page, 'ir')
    tab_to(page, '.lf-auto input')
    tab_to(page, 'textarea')
    page.keyboard.press('Control+A')
    page.keyboard.type('it is too dark')
    tab_to(page, '#lf-fuse')
    page.keyboard.press('Enter')
    page.wait_for_selector('.lf-fused')
    tab_to(page, '.lf-compare input[type=radio]')
    page.keyboard.press('ArrowRight')
    assert page.locator('.lf-left').inner_text() == 'Infrared'
    assert page.locator('.lf-other').get_attribute('alt') == 'Infrared picture'
    tab_to(page, '.lf-compare input[type=range]')
    for _ in range(10):
        page.keyboard.press('ArrowLeft')
    assert page.locator('.lf-compare figure').evaluate('f => f.style.getPropertyValue("--at")') == '40%'
    # every box that can be filled in says what it is for
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('input:not([type=file]), textarea, select')]
        .filter(e => e.offsetParent && !e.labels?.length && !e.ariaLabel && !e.getAttribute('aria-labelledby'))
        .map(e => e.outerHTML)"""
    )
    assert unnamed == []


@pytest.mark.parametrize('view', [PHONE, NARROW], ids=['390', '360'])
def test_no_sideways_scrolling_on_a_phone(user: Callable, view: dict[str, int]) -> None:
    page = user(view)

    def width() -> int:
        return page.evaluate('Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)')

    assert width() <= view['width']
    page.locator('#lf-examples button').nth(1).click()
    shown(page, 'ir')
    fuse(page)
    assert width() <= view['width']
    box = page.locator('.lf-compare figure').bounding_box()
    assert 0 <= box['x']
    assert box['x'] + box['width'] <= view['width']
    page.get_by_text('For the curious').click()
    page.get_by_role('button', name='Draw them').click()
    page.wait_for_selector('#lf-inside img')
    assert page.locator('#lf-inside img').count() == 2, 'lure-fast has no latents to show'
    assert width() <= view['width']
    for tab in ('Folder', 'Video'):
        page.get_by_role('tab', name=tab).click()
        page.wait_for_timeout(500)
        assert width() <= view['width']


def archive_of(path: Path, names: list[str]) -> Path:
    with zipfile.ZipFile(path, 'w') as file:
        for number, name in enumerate(names):
            file.writestr(name, cv2.imencode('.png', np.roll(NOISE, number, axis=1))[1].tobytes())
    return path


def test_a_folder_in_and_out(user: Callable, tmp_path: Path) -> None:
    page = user()
    page.get_by_role('tab', name='Folder').click()
    tab = page.get_by_role('tabpanel').filter(has_text='ZIP archive')
    names = [f'{folder}/{number}.png' for folder in ('visible', 'thermal') for number in (1, 2)]
    tab.locator('input[type=file]').first.set_input_files(str(archive_of(tmp_path / 'set.zip', names)))
    tab.get_by_text('set.zip').first.wait_for()
    tab.get_by_role('button', name='Fuse the folder').click()
    tab.get_by_text('2 pictures fused').wait_for()
    with page.expect_download() as saving:
        tab.locator('a[download]').last.click()
    with zipfile.ZipFile(saving.value.path()) as file:
        assert sorted(file.namelist()) == ['1.png', '2.png', 'report.csv']


def test_an_archive_that_leads_out(user: Callable, tmp_path: Path) -> None:
    page = user()
    page.get_by_role('tab', name='Folder').click()
    tab = page.get_by_role('tabpanel').filter(has_text='ZIP archive')
    tab.locator('input[type=file]').first.set_input_files(str(archive_of(tmp_path / 'evil.zip', ['../../a.png'])))
    tab.get_by_text('evil.zip').first.wait_for()
    tab.get_by_role('button', name='Fuse the folder').click()
    assert alert(page, 'evil.zip') == "evil.zip: '../../a.png' leads out of the archive (..)"


@pytest.mark.parametrize(('name', 'view'), [('page_desktop', DESKTOP), ('page_phone', PHONE)])
def test_screenshots(user: Callable, tmp_path: Path, name: str, view: dict[str, int]) -> None:
    """What the documentation shows."""
    folder = Path(os.environ.get('LUREFUSION_SCREENSHOTS') or tmp_path)
    page = user(view)
    page.locator('#lf-examples button').first.click()
    shown(page, 'ir')
    page.get_by_label('Network').first.click()
    page.get_by_role('option', name='lure-tiny').click()
    fuse(page)
    page.mouse.move(0, 0)
    # what changed fades in
    page.wait_for_timeout(1500)
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True)))
    file = folder / f'{name}.webp'
    picture.save(file, quality=80, method=6)
    assert picture.width == view['width']
    assert file.stat().st_size < 150_000
