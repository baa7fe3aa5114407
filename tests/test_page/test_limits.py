"""Limits: what is refused, by headers alone, and in which words."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from lurefusion.commands import demo
from lurefusion.page.limits import CLIP_SUFFIXES, Limits, minutes

NOISE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)


def written(path: Path, picture: np.ndarray = NOISE) -> Path:
    assert cv2.imwrite(str(path), picture)
    return path


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.bmp', '.tif', '.tiff', '.webp'])
def test_every_kind_says_its_size(tmp_path: Path, suffix: str) -> None:
    assert Limits().check_picture(written(tmp_path / f'a{suffix}')) == (32, 24)


@pytest.mark.parametrize('dtype', [np.uint16, np.float32])
def test_measurements_say_their_size(tmp_path: Path, dtype: type) -> None:
    for channels in ((), (3,)):
        counts = np.random.default_rng(0).random((24, 32, *channels)).astype(np.float32) * 30000
        assert Limits().check_picture(written(tmp_path / 'a.tiff', counts.astype(dtype))) == (32, 24)


def test_too_many_pixels(tmp_path: Path) -> None:
    path = written(tmp_path / 'a.png')
    assert Limits(megapixels=32 * 24 / 1e6).check_picture(path)
    with pytest.raises(ValueError, match=r'^a\.png has 32x24 pixels; at most 0\.0007 million are taken$'):
        Limits(megapixels=0.0007).check_picture(path)


def test_a_header_that_promises_everything_is_not_decoded(tmp_path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))

    header = struct.pack('>IIBBBBB', 12_000, 12_000, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    data = b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', body) + chunk(b'IEND', b'')
    path = tmp_path / 'bomb.png'
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r'bomb\.png has 12000x12000 pixels; at most 16 million'):
        Limits().check_picture(path)


def test_too_many_bytes_none_and_gone(tmp_path: Path) -> None:
    path = tmp_path / 'a.png'
    path.write_bytes(bytes(2 << 20))
    with pytest.raises(ValueError, match=r'a\.png has 2\.0 MB; at most 1 MB are taken'):
        Limits(picture_mb=1).check_picture(path)
    path.write_bytes(b'')
    with pytest.raises(ValueError, match=r'a\.png is empty'):
        Limits().check_picture(path)
    with pytest.raises(FileNotFoundError, match=r'b\.png is no longer here \(files are kept for 30 minutes\)'):
        Limits().check_picture(tmp_path / 'b.png')


@pytest.mark.parametrize('data', [b'no picture', b'\x89PNG\r\n\x1a\n', b'%PDF-1.4', b'<svg/>', b'#!/bin/sh\n'])
def test_no_picture(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / 'a.png'
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r'^a\.png cannot be read as a picture'):
        Limits().check_picture(path)


@pytest.mark.parametrize('name', ['a.gif', 'a.dcm', 'a.nii.gz', 'a.pkl', 'a', 'a.png:3'])
def test_kinds_that_are_not_taken(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(written(tmp_path / 'good.png').read_bytes())
    with pytest.raises(ValueError, match=r'is no picture of a kind that is taken: \.png, '):
        Limits().check_picture(path)


def clip_of(path: Path, frames: int) -> Path:
    pytest.importorskip('av', reason='needs PyAV: pip install lurefusion[video]')
    from lurefusion.io.video import open_writer

    with open_writer(path, (32, 24)) as writer:
        for number in range(frames):
            writer.write(NOISE, number / 25, str(number))
    return path


def test_clips(tmp_path: Path) -> None:
    path = clip_of(tmp_path / 'a.mp4', 4)
    Limits(frames=4).check_clip(path)
    with pytest.raises(ValueError, match=r'a\.mp4 has 4 frames; at most 3'):
        Limits(frames=3).check_clip(path)
    with pytest.raises(ValueError, match=r'a\.mp4 has 32x24 pixels'):
        Limits(megapixels=0.0001).check_clip(path)
    short = tmp_path / 'b.mp4'
    short.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r'b\.mp4 cannot be read as a video'):
        Limits().check_clip(short)


@pytest.mark.parametrize(
    'data', [b'#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n', b'ffconcat version 1.0\nfile /etc/passwd\n', b'GIF89a' * 10]
)
@pytest.mark.parametrize('suffix', CLIP_SUFFIXES)
def test_lists_of_other_files_are_no_clips(tmp_path: Path, suffix: str, data: bytes) -> None:
    path = tmp_path / f'a{suffix}'
    path.write_bytes(data)
    with pytest.raises(ValueError, match='is no video of a kind that is taken'):
        Limits().check_clip(path)


def test_limits_are_above_zero() -> None:
    with pytest.raises(ValueError, match=r'the limit --picture-mb must be above 0, got 0'):
        Limits(picture_mb=0)


def test_the_command_has_them_all() -> None:
    import argparse

    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    args = parser.parse_args([])
    assert {name: getattr(args, name) for name in demo.LIMITS} == vars(Limits())
    assert args.host == '127.0.0.1'


def test_minutes() -> None:
    assert [minutes(seconds) for seconds in (20, 60, 1800)] == ['20 seconds', '1 minute', '30 minutes']
