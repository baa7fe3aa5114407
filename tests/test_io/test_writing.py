"""Files are whole or not there: leftovers of killed processes, full disks, other writers; and one process at a time."""

import errno
import os
import resource
import signal
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from lurefusion.io import images
from lurefusion.io.images import UNFINISHED, read_image, write_bytes, write_image
from lurefusion.io.locks import sole_process, take_lock


def in_a_child(work, *arguments) -> None:
    """Raises what `work` raised in a process of its own."""
    told, writer = get_context('fork').Pipe(duplex=False)

    def run() -> None:
        try:
            work(*arguments)
            writer.send(None)
        except BaseException as error:
            writer.send(error)

    process = get_context('fork').Process(target=run)
    process.start()
    error = told.recv()
    process.join()
    if error is not None:
        raise error


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_what_a_killed_process_left_is_written_anew(tmp_path):
    left = tmp_path / f'.a.txt{UNFINISHED}'
    left.write_bytes(b'half of something that was much longer')
    write_bytes(tmp_path / 'a.txt', b'whole')
    assert names(tmp_path) == ['a.txt']
    assert (tmp_path / 'a.txt').read_bytes() == b'whole'
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / 'a.txt').stat().st_mode & 0o777 == 0o666 & ~mask


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with (tmp_path / f'.a{UNFINISHED}').open('wb') as file:
        assert take_lock(file)
        file.write(b'of the other')
        file.flush()
        write_bytes(tmp_path / 'a', b'ours')
        assert (tmp_path / 'a').read_bytes() == b'ours'
        assert names(tmp_path) == [f'.a{UNFINISHED}', 'a']
        assert (tmp_path / f'.a{UNFINISHED}').read_bytes() == b'of the other'


@pytest.mark.parametrize('trap', ['link', 'second name', 'folder', 'pipe'])
def test_a_trap_under_the_hidden_name_is_not_written_to(tmp_path, trap):
    victim = tmp_path / 'victim'
    victim.write_bytes(b'mine')
    hidden = tmp_path / f'.a{UNFINISHED}'
    {
        'link': lambda: hidden.symlink_to(victim),
        'second name': lambda: os.link(victim, hidden),
        'folder': hidden.mkdir,
        'pipe': lambda: os.mkfifo(hidden),
    }[trap]()
    write_bytes(tmp_path / 'a', b'ours')
    assert (tmp_path / 'a').read_bytes() == b'ours'
    assert not (tmp_path / 'a').is_symlink()
    assert victim.read_bytes() == b'mine'


def test_names_as_long_as_they_may_be(tmp_path):
    for name in ('n' * 251 + '.png', 'ä' * 125 + '.png'):
        write_image(tmp_path / name, np.zeros((8, 8), np.uint8))
        assert read_image(tmp_path / name)[0].shape == (8, 8, 3)
    assert len(names(tmp_path)) == 2
    with pytest.raises(OSError, match='File name too long'):
        write_bytes(tmp_path / ('n' * 256), b'')


def no_room(*_) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_one_clear_error_and_the_former_file_stays(tmp_path, monkeypatch):
    path = tmp_path / 'a.png'
    write_image(path, np.zeros((8, 8), np.uint8))
    before = path.read_bytes()
    monkeypatch.setattr(images.os, 'replace', no_room)
    with pytest.raises(OSError, match=r'No space left on device.*a\.png') as caught:
        write_image(path, np.ones((8, 8), np.uint8))
    assert caught.value.errno == errno.ENOSPC
    assert names(tmp_path) == ['a.png']
    assert path.read_bytes() == before


def test_a_real_limit_of_bytes(tmp_path):
    """The kernel refuses, in the middle of a file."""
    path = tmp_path / 'a.bin'
    write_bytes(path, b'former')

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
        write_bytes(path, bytes(1 << 20))

    with pytest.raises(OSError, match='File too large'):
        in_a_child(limited)
    assert names(tmp_path) == ['a.bin']
    assert path.read_bytes() == b'former'


def test_one_process_at_a_time_and_the_next_one_after_a_kill(tmp_path):
    lock = tmp_path / 'run' / '.lock'

    def hold(say) -> None:
        with sole_process(lock, 'trains in'):
            # as a loader of data does, it outlives the one that started it
            child = os.fork()
            if child:
                say.send(child)
            time.sleep(60)

    told, writer = get_context('fork').Pipe(duplex=False)
    process = get_context('fork').Process(target=hold, args=(writer,))
    process.start()
    orphan = told.recv()
    try:
        with (
            pytest.raises(BlockingIOError, match=r'another process trains in .*run: wait'),
            sole_process(lock, 'trains in'),
        ):
            pass
        process.kill()
        process.join()
        with sole_process(lock, 'trains in'):
            pass
    finally:
        os.kill(orphan, signal.SIGKILL)


@pytest.mark.parametrize('moment', ['take_lock', 'ftruncate', 'write', 'fchmod', 'replace'])
def test_a_signal_between_two_steps_leaves_nothing(tmp_path, monkeypatch, moment):
    write_bytes(tmp_path / 'a', b'former')

    def interrupted(*_, **__) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(images if moment == 'take_lock' else images.os, moment, interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / 'a', b'new')
    monkeypatch.undo()
    assert names(tmp_path) == ['a']
    assert (tmp_path / 'a').read_bytes() == b'former'
    write_bytes(tmp_path / 'a', b'new')
    assert (tmp_path / 'a').read_bytes() == b'new'
