"""The page over HTTP, without a browser: what it says of itself, what it takes, what it removes."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lurefusion.cli import main
from lurefusion.io.images import write_image
from lurefusion.page.examples import MOVED, SIZE, examples_in, rendered_examples
from lurefusion.page.limits import Limits
from lurefusion.page.scratch import Scratch

NOISE = np.random.default_rng(0).integers(0, 256, (2, 24, 32), np.uint8)


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, Path]:
    paths = {name: tmp_path / name / '1.png' for name in ('vi', 'ir')}
    for path, picture in zip(paths.values(), NOISE, strict=True):
        write_image(path, picture)
    return paths


# ------------------------------------------------------------------ examples


def test_rendered_examples(tmp_path: Path) -> None:
    examples = rendered_examples(tmp_path)
    assert len(examples) == 6
    for example in examples:
        sizes = {cv2.imread(str(path)).shape[:2] for path in example.pictures.values()}
        assert sizes == {SIZE}
    assert [example.title for example in examples if example.register] == ['moved']
    # the last one is moved, by as much as is said
    moved = examples[-1].pictures
    assert MOVED == (9, 14)
    assert not np.array_equal(cv2.imread(str(moved['vi'])), cv2.imread(str(moved['ir'])))


def test_examples_of_ones_own(tmp_path: Path, pictures: dict[str, Path]) -> None:
    [example] = examples_in(tmp_path, ('vi', 'ir'))
    assert (example.title, example.pictures) == ('1', pictures)
    with pytest.raises(FileNotFoundError, match=r'has no folder pet/; it needs mri/, pet/|has no folder mri/'):
        examples_in(tmp_path, ('mri', 'pet'))


# ------------------------------------------------------------------- scratch


def test_scratch_removes_what_is_old_and_everything_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = Scratch(str(tmp_path))
    with scratch.folder() as first:
        (first / 'a.png').write_bytes(b'a')
    scratch.tidy()
    assert first.is_dir()
    with scratch.folder() as working:
        now = time.monotonic()
        monkeypatch.setattr('lurefusion.page.scratch.time.monotonic', lambda: now + 3600)
        scratch.tidy()
        assert not first.exists()
        # a request that takes an hour keeps its files
        assert working.is_dir()
    with pytest.raises(ValueError, match='a mistake'), scratch.folder() as failed:
        raise ValueError('a mistake')
    assert not failed.exists()
    scratch.close()
    assert list(tmp_path.iterdir()) == []


def test_scratch_removes_what_a_killed_process_left_and_nothing_else(tmp_path: Path) -> None:
    alive, dead, foreign = (
        Scratch(str(tmp_path)),
        tmp_path / 'lurefusion-page-dead',
        tmp_path / 'lurefusion-page-foreign',
    )
    for folder in (dead, foreign):
        folder.mkdir()
    (dead / '.lock').touch()
    other = Scratch(str(tmp_path))
    assert not dead.exists()
    assert foreign.exists()
    assert alive.root.exists()
    alive.close()
    other.close()


# ------------------------------------------------------------------- command


def test_without_gradio_one_clear_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, 'gradio', None)
    assert main(['demo']) == 1
    assert "error: the page needs Gradio: pip install 'lurefusion[demo]'" in capsys.readouterr().err


def test_mistakes_of_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip('gradio', reason='needs Gradio: pip install lurefusion[demo]')
    assert main(['demo', '--queue', '0']) == 1
    assert 'the limit --queue must be above 0, got 0' in capsys.readouterr().err
    assert main(['demo', '--model', 'lure-fst']) == 1
    assert "Did you mean 'lure-fast'?" in capsys.readouterr().err


# ---------------------------------------------------------------------- page


@pytest.fixture(scope='module')
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    pytest.importorskip('gradio', reason='needs Gradio: pip install lurefusion[demo]')
    from lurefusion.page.serve import open_page

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('tempfile.tempdir', str(tmp_path_factory.mktemp('scratch')))
        for name in ('GRADIO_TEMP_DIR', 'GRADIO_ANALYTICS_ENABLED', 'NO_PROXY', 'no_proxy', 'HF_HUB_DISABLE_TELEMETRY'):
            patch.setenv(name, '')
        own = tmp_path_factory.mktemp('examples')
        for name, picture in zip(('vi', 'ir'), NOISE, strict=True):
            write_image(own / name / 'a.png', picture)
        limits = Limits(picture_mb=1, archive_mb=1)
        opened = open_page(model='lure-fast', device='cpu', examples=str(own), limits=limits)
        yield opened
        opened.close()
        assert not opened.scratch.root.exists()


@pytest.fixture(scope='module')
def connected(page: Any) -> Any:
    from gradio_client import Client

    return Client(page.url, verbose=False, analytics_enabled=False, httpx_kwargs=dict(timeout=600))


@pytest.fixture
def client(connected: Any) -> Any:
    """Of a user who has not been here before."""
    connected.reset_session()
    return connected


def test_it_listens_to_this_machine_alone(page: Any) -> None:
    assert page.url.startswith('http://127.0.0.1:')


def test_nothing_comes_from_elsewhere(page: Any) -> None:
    with urllib.request.urlopen(page.url) as answer:
        policy = answer.headers['content-security-policy']
        text = answer.read().decode()
    assert "default-src 'self'" in policy
    assert 'http' not in policy
    assert answer.headers['x-content-type-options'] == 'nosniff'
    config = json.loads(urllib.request.urlopen(f'{page.url}config').read())
    assert config['analytics_enabled'] is False
    assert config['footer_links'] == []
    assert not config.get('is_space')
    assert 'fonts.googleapis' not in text + json.dumps(config)


def test_a_pair_over_the_wire(client: Any, pictures: dict[str, Path]) -> None:
    from gradio_client import handle_file

    sent = {name: handle_file(str(path)) for name, path in pictures.items()}
    for name, file in sent.items():
        problem, preview = client.predict(file, api_name=f'/picture_{name}')
        assert problem == ''
        assert preview
    problem, told, compared, eight, sixteen, metrics, alone, inside = client.predict(
        **sent, auto=False, prompt='it is too dark', api_name='/fuse'
    )
    assert problem == ''
    assert 'low light' in told
    assert 'data:image/webp;base64,' in compared
    assert 'SSIM' in metrics
    assert 'Visible, restored alone' in alone
    assert inside == ''
    assert cv2.imread(eight['value'], cv2.IMREAD_UNCHANGED).dtype == np.uint8
    assert cv2.imread(sixteen['value'], cv2.IMREAD_UNCHANGED).dtype == np.uint16


def test_remarks_name_no_place_of_the_server(page: Any, client: Any, pictures: dict[str, Path]) -> None:
    from gradio_client import handle_file

    coloured = pictures['vi'].with_name('coloured.png')
    write_image(coloured, np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8))
    files = [handle_file(str(path)) for path in (pictures['vi'], coloured)]
    problem, told, *_ = client.predict(*files, auto=False, trust=False, api_name='/fuse')
    assert problem == ''
    assert 'infrared (coloured.png): it is coloured' in told
    assert str(page.scratch.root) not in told


def test_the_file_is_fused_whose_preview_is_not_there_yet() -> None:
    pytest.importorskip('gradio', reason='needs Gradio: pip install lurefusion[demo]')
    from lurefusion.page.layout import _original

    known = ('preview_1.png', '/uploads/a.tif')
    assert _original('/cache/1/preview_1.png', known) == '/uploads/a.tif'
    # the next one, when the box already shows it and the answer to its upload is on the way
    assert _original('/uploads/b.png', known) == '/uploads/b.png'
    assert _original('/uploads/b.png', None) == '/uploads/b.png'
    assert _original(None, known) is None


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--port', '99999'], '--port 99999: ports are 1 to 65535'),
        (['--host', '300.1.1.1'], '--host 300.1.1.1: cannot listen there'),
        (['--host', '192.0.2.1', '--port', '8000'], '--host 192.0.2.1 --port 8000: cannot listen there'),
    ],
)
def test_an_address_that_cannot_be_had(capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    pytest.importorskip('gradio', reason='needs Gradio: pip install lurefusion[demo]')
    assert main(['demo', *words]) == 1
    assert message in capsys.readouterr().err


def test_a_port_that_is_taken(page: Any, capsys: pytest.CaptureFixture[str]) -> None:
    port = page.url.rstrip('/').rpartition(':')[2]
    assert main(['demo', '--port', port]) == 1
    error = capsys.readouterr().err
    assert f'--port {port}: cannot listen there' in error
    assert 'GRADIO' not in error


def test_a_mistake_is_an_answer(client: Any, tmp_path: Path) -> None:
    from gradio_client import handle_file

    problem, *_ = client.predict(None, None, api_name='/fuse')
    assert 'Missing: the visible and the infrared picture' in problem
    bad = tmp_path / 'bad.png'
    bad.write_bytes(b'no picture')
    problem, preview = client.predict(handle_file(str(bad)), api_name='/picture_vi')
    assert 'bad.png cannot be read as a picture' in problem
    assert str(tmp_path.parent) not in problem
    assert preview is None


def test_a_fault_of_ours_is_told_to_the_log_alone(
    page: Any, client: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: Any, **named: Any) -> None:
        raise RuntimeError('secret')

    monkeypatch.setattr(page.desk, 'fuse', broken)
    problem, *_ = client.predict(None, None, api_name='/fuse')
    assert 'That is a fault of this page' in problem
    assert 'secret' not in problem
    assert 'secret' in caplog.text


def answer_to(page: Any, path: str) -> str:
    """What the server streams back when it is told of a file, not sent one."""
    data = json.dumps({'data': [{'path': path, 'meta': {'_type': 'gradio.FileData'}}]}).encode()
    place = f'{page.url}gradio_api/call/picture_vi'
    with urllib.request.urlopen(urllib.request.Request(place, data, {'Content-Type': 'application/json'})) as answer:
        event = json.loads(answer.read())['event_id']
    with urllib.request.urlopen(f'{place}/{event}') as answer:
        return answer.read().decode()


@pytest.mark.parametrize(
    ('path', 'told'),
    [('http://localhost:9/a.png', 'Addresses are not taken'), ('/etc/passwd', ''), ('../../../etc/passwd', '')],
)
def test_neither_addresses_nor_files_of_the_server_are_taken(page: Any, path: str, told: str) -> None:
    answer = answer_to(page, path)
    assert answer.startswith('event: error')
    assert told in answer
    assert 'root:' not in answer


def test_no_file_of_the_server_is_given_away(page: Any) -> None:
    for path in ('/etc/passwd', str(page.scratch.root / '.lock'), str(Path(__file__))):
        with pytest.raises(urllib.error.HTTPError, match=r'403|404'):
            urllib.request.urlopen(f'{page.url}gradio_api/file={path}')


def test_an_upload_beyond_all_limits_is_stopped(client: Any, tmp_path: Path) -> None:
    from gradio_client import handle_file

    large = tmp_path / 'large.png'
    large.write_bytes(bytes(2 << 20))
    with pytest.raises(Exception, match=r'413|[Ss]ize'):
        client.predict(handle_file(str(large)), api_name='/picture_vi')


def test_files_of_users_are_removed_by_age(page: Any, client: Any, pictures: dict[str, Path]) -> None:
    from gradio.route_utils import delete_files_created_by_app
    from gradio_client import handle_file

    client.predict(handle_file(str(pictures['vi'])), api_name='/picture_vi')
    assert len([path for path in page.scratch.uploads.rglob('*') if path.is_file()]) > 1
    assert page._blocks.delete_cache == (60, 1800)
    delete_files_created_by_app(page._blocks, age=0)
    # the small picture of the example stays
    [path] = [path for path in page.scratch.uploads.rglob('*') if path.is_file()]
    assert cv2.imread(str(path)).shape == (24, 32, 3)
    problem, *_ = client.predict(handle_file(str(pictures['vi'])), None, api_name='/fuse')
    assert 'issing: the infrared picture' in problem
