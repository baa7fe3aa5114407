"""Clips: frames with their times, pairs of clips by time, videos that are whole or not there."""

from __future__ import annotations

import builtins
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lurefusion.io.clips import (
    Clip,
    Frame,
    TimeReport,
    VideoFile,
    is_video,
    open_clips,
    pair_by_time,
)  # fmt: skip
from lurefusion.io.codecs import choose_encoding, list_codecs
from lurefusion.io.images import write_image
from lurefusion.io.video import FrameFolderWriter, VideoWriter, open_writer

av = pytest.importorskip('av')

WIDTH, HEIGHT, COUNT = 48, 32, 10
SIZE = (WIDTH, HEIGHT)
COLOURS = np.array([[200, 30, 40], [20, 180, 60], [40, 50, 220], [120, 120, 120]], np.uint8)


def bars(shift: int = 0) -> np.ndarray:
    """Four bars of colour, 12 columns each."""
    return np.repeat(np.repeat(np.roll(COLOURS, shift, axis=0), 12, axis=0)[None], HEIGHT, axis=0)


def flat(level: int) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), level, np.uint8)


def make(path: Path, frames=None, times=None, rate=Fraction(25), audio=None, **encoding) -> Path:
    frames = [flat(20 * n) for n in range(COUNT)] if frames is None else frames
    times = [float(n / rate) for n in range(len(frames))] if times is None else times
    size = frames[0].shape[1::-1]
    with VideoWriter(path, size, choose_encoding(path, size, **encoding), rate, audio) as writer:
        for frame, at in zip(frames, times, strict=True):
            writer.write(frame, at)
    return path


def with_sound(path: Path, codec: str = 'aac', seconds: float = 0.4) -> Path:
    """A clip of COUNT frames at 25 fps with a tone."""
    with av.open(str(path), 'w') as container:
        video = container.add_stream('mpeg4', rate=25)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, 'yuv420p'
        sound = container.add_stream(codec, rate=16000)
        for n in range(COUNT):
            container.mux(video.encode(av.VideoFrame.from_ndarray(flat(20 * n), format='rgb24')))
        tone = (8000 * np.sin(np.arange(int(16000 * seconds)) / 5)).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(tone, format='s16', layout='mono')
        frame.rate, frame.pts = 16000, 0
        resampler = av.AudioResampler(
            format=sound.format, layout='mono', rate=16000, frame_size=sound.frame_size or 1024
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(sound.encode(piece))
        container.mux(sound.encode(None))
        container.mux(video.encode(None))
    return path


def sound_of(path: Path) -> list[tuple[float, bytes]]:
    """(seconds after the first frame, packet) of the sound track."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux() if packet.size]
        start = min(float(p.pts * p.time_base) for p in packets if p.stream.type == 'video')
        return [(float(p.pts * p.time_base) - start, bytes(p)) for p in packets if p.stream.type == 'audio']


def damaged(path: Path, number: int) -> Path:
    """A clip of noise, one frame of which cannot be decoded."""
    rng = np.random.default_rng(0)
    make(path, [rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(COUNT)], codec='mjpeg')
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    data[places[number] + 8 : places[number] + 600] = bytes(592)
    path.write_bytes(data)
    return path


def levels(clip: Clip) -> list[int]:
    return [round(float(frame.picture.mean())) for frame in clip]


# reading and writing


@pytest.mark.parametrize(
    ('name', 'encoding', 'tolerance'),
    [
        ('a.mp4', {}, 5),
        ('a.mov', dict(codec='libx264', pixel_format='yuv444p'), 5),
        ('a.mkv', dict(codec='ffv1', pixel_format='bgr0'), 0),
        ('a.avi', {}, 5),
        ('a.avi', dict(codec='mjpeg'), 5),
        ('a.webm', {}, 5),
        ('a.mkv', dict(codec='ffv1', pixel_format='yuv444p16le'), 1),
    ],
)
def test_colours_and_times_come_back(tmp_path, name, encoding, tolerance):
    codec = encoding.get('codec') or choose_encoding(tmp_path / name, SIZE).codec
    if codec not in list_codecs():
        pytest.skip(f'this FFmpeg has no {codec}')
    rate = Fraction(30000, 1001)
    clip = VideoFile(make(tmp_path / name, [bars(n) for n in range(COUNT)], rate=rate, **encoding))
    frames = list(clip)
    assert clip.rate == rate
    assert len(frames) == COUNT
    assert clip.notes == []
    for n, frame in enumerate(frames):
        assert frame.time == pytest.approx(n / float(rate), abs=6e-4)
        pixels = frame.picture if frame.picture.dtype == np.uint8 else frame.picture * 255
        centres = pixels[HEIGHT // 2, 5::12].astype(float)
        assert np.abs(centres - np.roll(COLOURS, n, axis=0)).max() <= tolerance
    assert {p.name for p in tmp_path.iterdir()} == {name}


def test_untagged_hd_video_has_the_colours_of_bt709(tmp_path):
    # another program's file: 720 lines, BT.709, not said
    tall = np.broadcast_to(COLOURS[:1, None], (720, 16, 3)).copy()
    with av.open(str(tmp_path / 'hd.mkv'), 'w') as container:
        stream = container.add_stream('ffv1', rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 720, 'yuv444p'
        frame = av.VideoFrame.from_ndarray(tall, format='rgb24').reformat(format='yuv444p', dst_colorspace='ITU709')
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (frame,) = VideoFile(tmp_path / 'hd.mkv')
    assert np.abs(frame.picture[360, 8].astype(int) - COLOURS[0]).max() <= 2


@pytest.mark.parametrize(('form', 'top'), [('gray', 255), ('gray10le', 1023), ('gray12le', 4095), ('gray16le', 65535)])
def test_grey_clips_come_as_the_numbers_that_are_stored(tmp_path, form, top):
    counts = np.linspace(0, top, HEIGHT * WIDTH).round().reshape(HEIGHT, WIDTH).astype('u1' if top == 255 else 'u2')
    with av.open(str(tmp_path / 'counts.mkv'), 'w') as container:
        stream = container.add_stream('ffv1', rate=9)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, form
        container.mux(stream.encode(av.VideoFrame.from_ndarray(counts, format=form)))
        container.mux(stream.encode(None))
    (frame,) = VideoFile(tmp_path / 'counts.mkv')
    assert frame.picture.dtype == counts.dtype
    np.testing.assert_array_equal(frame.picture, counts)


def test_sixteen_bit_goes_in_and_out_without_a_detour(tmp_path):
    counts = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) * 40
    path = make(tmp_path / 'deep.mkv', [counts], codec='ffv1', pixel_format='gray16le')
    np.testing.assert_array_equal(next(iter(VideoFile(path))).picture, counts)
    rgb = np.stack([counts, counts[::-1], 60000 - counts // 2], axis=2)
    path = make(tmp_path / 'colour.mkv', [rgb / np.float32(65535)], codec='ffv1', pixel_format='gbrp16le')
    picture = next(iter(VideoFile(path))).picture
    assert picture.dtype == np.float32
    np.testing.assert_allclose(picture * 65535, rgb, atol=0.02)


@pytest.mark.parametrize(('degrees', 'turns'), [(90, 3), (180, 2), (270, 1)])
def test_a_clip_filmed_on_its_side_comes_upright(tmp_path, degrees, turns):
    path = make(tmp_path / 'phone.mp4', [bars()], codec='libx264', pixel_format='yuv444p')
    straight = next(iter(VideoFile(path))).picture
    # the matrix in the header of the track, as phones write it: clockwise by so many degrees
    cos, sin = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    data = bytearray(path.read_bytes())
    at = data.index(b'tkhd') + 44
    data[at : at + 20] = struct.pack('>5i', cos << 16, sin << 16, 0, -sin << 16, cos << 16)
    path.write_bytes(data)
    np.testing.assert_array_equal(next(iter(VideoFile(path))).picture, np.rot90(straight, turns))


@pytest.mark.parametrize('name', ['a.mp4', 'a.mkv', 'a.webm'])
def test_a_rate_that_varies_is_kept(tmp_path, name):
    times = [0, 0.04, 0.08, 0.2, 0.5, 0.51, 0.9]
    path = make(tmp_path / name, [flat(30 * n) for n in range(7)], times=[3 + t for t in times])
    # the first frame is shown at once, whatever its time was
    assert [frame.time for frame in VideoFile(path)] == pytest.approx(times, abs=1e-3)


@pytest.mark.parametrize(('codec', 'pixel_format'), [('libx264', 'gray'), ('libx264', 'gray10le'), ('ffv1', 'gray')])
def test_grey_keeps_its_levels(tmp_path, codec, pixel_format):
    if codec not in list_codecs():
        pytest.skip(f'this FFmpeg has no {codec}')
    given = [0, 16, 128, 240, 255]
    clip = VideoFile(make(tmp_path / 'a.mkv', [flat(n) for n in given], codec=codec, pixel_format=pixel_format))
    found = np.array([frame.picture.mean() for frame in clip])
    assert found / found[-1] * 255 == pytest.approx(given, abs=1.5)


@pytest.mark.parametrize('rate', [Fraction(200000, 6683), Fraction(14130000, 471013)])
def test_an_average_rate_is_written_to_avi(tmp_path, rate):
    frames = list(VideoFile(make(tmp_path / 'a.avi', rate=rate)))
    assert [frame.time for frame in frames] == pytest.approx([n / float(rate) for n in range(COUNT)], abs=1e-3)


@pytest.mark.parametrize('suffix', ['.mkv', '.mp4', '.avi'])
def test_titles_of_old_programs_do_not_matter(tmp_path, suffix):
    path = tmp_path / f'a{suffix}'
    with av.open(str(path), 'w') as container:
        container.metadata['title'] = 'Xmarkus'
        stream = container.add_stream('mpeg4', rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, 'yuv420p'
        container.mux(stream.encode(av.VideoFrame.from_ndarray(flat(90), format='rgb24')))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    assert b'Xmarkus' in data
    path.write_bytes(data.replace(b'Xmarkus', b'\xfcmarkus'))
    assert levels(VideoFile(path)) == pytest.approx([90], abs=3)


def test_two_frames_at_one_time_are_both_kept(tmp_path):
    path = make(tmp_path / 'a.mp4', [flat(50), flat(100), flat(150)], times=[0, 0, 0])
    assert levels(VideoFile(path)) == pytest.approx([50, 100, 150], abs=2)


# encodings


def test_odd_sides_get_a_format_that_can_have_them(tmp_path):
    path = make(tmp_path / 'odd.mp4', [np.full((31, 47), 90, np.uint8)])
    assert next(iter(VideoFile(path))).picture.shape == (31, 47, 3)
    assert choose_encoding('a.mp4', (47, 31)).pixel_format == 'yuv444p'
    assert choose_encoding('a.mp4', SIZE).pixel_format == 'yuv420p'


@pytest.mark.parametrize(
    ('name', 'size', 'options', 'message'),
    [
        ('a.mp4', SIZE, dict(codec='h266'), "cannot write the codec 'h266'. It can write .*ffv1"),
        ('a.mp4', SIZE, dict(pixel_format='pal8'), "has no pixel format 'pal8'; it has .*yuv420p"),
        ('a.webm', SIZE, dict(codec='mpeg4'), r"\.webm does not take the codec 'mpeg4'; it takes .*vp9"),
        ('a.mp4', SIZE, dict(codec='mpeg4', quality=50), r'quality of mpeg4 goes from 1 \(best\) to 31, got 50'),
        ('a.mkv', SIZE, dict(codec='ffv1', quality=3), "'ffv1' has no quality to choose"),
        ('a.mp4', (47, 32), dict(pixel_format='yuv420p'), 'yuv420p needs even sides .* 47x32'),
        ('a.gif', SIZE, {}, r'a\.gif: a video ends with one of \.mp4'),
    ],
)
def test_what_this_ffmpeg_or_format_cannot_is_refused(tmp_path, name, size, options, message):
    with pytest.raises(ValueError, match=message):
        choose_encoding(tmp_path / name, size, **options)


def test_a_lower_number_is_a_better_picture(tmp_path):
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(3)]
    for codec in ('mpeg4', 'libx264'):
        sizes = [make(tmp_path / f'{q}.mp4', noise, codec=codec, quality=q).stat().st_size for q in (2, 12, 30)]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[0] > 1.5 * sizes[2]


# sound


@pytest.mark.parametrize('name', ['out.mp4', 'out.mkv', 'out.mov'])
def test_sound_is_copied_bit_by_bit(tmp_path, name):
    clip = VideoFile(with_sound(tmp_path / 'in.mp4'))
    assert clip.has_audio
    before = sound_of(tmp_path / 'in.mp4')
    after = sound_of(make(tmp_path / name, audio=clip))
    # what sounds after the last frame is cut off
    kept = [(at, data) for at, data in before if at < COUNT / 25]
    assert len(kept) >= 6
    assert [data for _, data in after] == [data for _, data in kept]
    assert [at for at, _ in after] == pytest.approx([at for at, _ in kept], abs=2e-3)


def test_sound_follows_when_the_first_frames_are_left_out(tmp_path):
    clip = VideoFile(with_sound(tmp_path / 'in.mp4'))
    times = [0.2, 0.24, 0.28]
    after = sound_of(make(tmp_path / 'out.mkv', [flat(9)] * 3, times=times, audio=clip))
    before = {data: at for at, data in sound_of(tmp_path / 'in.mp4')}
    assert after
    for at, data in after:
        assert at == pytest.approx(before[data] - 0.2, abs=2e-3)
    assert after[-1][0] < 0.12


def test_sound_that_the_container_does_not_take_is_refused_at_once(tmp_path):
    clip = VideoFile(with_sound(tmp_path / 'in.mkv', 'pcm_s16le'))
    with pytest.raises(ValueError, match=r'\.webm does not take the sound of .*in\.mkv as it is \(pcm_s16le\): write'):
        make(tmp_path / 'out.webm', audio=clip)
    assert {p.name for p in tmp_path.iterdir()} == {'in.mkv'}


# clips that are broken


def test_files_that_are_no_videos(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no such video: .*gone\.mp4'):
        VideoFile(tmp_path / 'gone.mp4')
    for data in (b'', b'text' * 100, make(tmp_path / 'a.mp4').read_bytes()[:100]):
        (tmp_path / 'bad.mp4').write_bytes(data)
        with pytest.raises(
            ValueError, match=r'bad\.mp4 (is not a readable video|has no pictures \(it holds nothing\))'
        ):
            VideoFile(tmp_path / 'bad.mp4')
    (tmp_path / 'sound.mp4').write_bytes(b'')
    with av.open(str(tmp_path / 'sound.mp4'), 'w') as container:
        track = container.add_stream('aac', rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format='fltp', layout='mono')
        frame.rate = 16000
        container.mux(track.encode(frame))
        container.mux(track.encode(None))
    with pytest.raises(ValueError, match=r'sound\.mp4 has no pictures \(it holds audio\)'):
        VideoFile(tmp_path / 'sound.mp4')


def test_a_clip_that_is_cut_off_gives_what_is_there_and_says_so(tmp_path):
    whole = make(tmp_path / 'a.mkv', [bars(n) for n in range(100)], codec='mpeg4')
    cut = tmp_path / 'cut.mkv'
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    clip = VideoFile(cut)
    assert 20 < len(list(clip)) < 80
    assert any('it is cut off' in note for note in clip.notes)


def test_frames_that_are_damaged_are_left_out_and_counted(tmp_path):
    path = damaged(tmp_path / 'a.avi', 4)
    clip = VideoFile(path)
    frames = list(clip)
    assert len(frames) == COUNT - 1
    assert any('1 frames are damaged and left out' in note for note in clip.notes)
    # the others keep their times
    assert frames[4].time == pytest.approx(5 / 25)


# two clips


class Made(Clip):
    """A clip of given times; the picture of a frame is its number."""

    def __init__(self, times: list[float], rate: int) -> None:
        super().__init__('made')
        self.times, self.rate = times, Fraction(rate)

    def __iter__(self) -> Iterator[Frame]:
        for number, at in enumerate(self.times):
            yield Frame(at, np.array(number), str(number))


def paired(vi: Made, ir: Made, reference: str = 'vi', **options) -> tuple[list[tuple[int, int]], TimeReport]:
    report = TimeReport()
    found = list(pair_by_time(dict(vi=vi, ir=ir), reference, report=report, **options))
    return [(int(pair['vi'].picture), int(pair['ir'].picture)) for _, pair in found], report


def test_clips_of_two_rates_are_paired_by_the_nearest_time():
    vi, ir = Made([n / 30 for n in range(60)], 30), Made([n / 9 for n in range(18)], 9)
    pairs, report = paired(vi, ir)
    times = np.array(ir.times)
    assert [a for a, _ in pairs] == list(range(60))
    for a, b in pairs:
        assert abs(vi.times[a] - times[b]) == pytest.approx(np.abs(times - vi.times[a]).min())
    assert report.largest == pytest.approx(max(np.abs(times - t).min() for t in vi.times))
    assert report.pairs == 60
    # the other way round every frame of the slow one
    pairs, _ = paired(vi, ir, 'ir')
    assert [b for _, b in pairs] == list(range(18))
    assert pairs[5] == (17, 5)
    assert '60 frames paired by time' in str(report)


def test_frames_without_partner_at_the_ends_are_left_out_and_counted():
    vi, ir = Made([n / 10 for n in range(20)], 10), Made([n / 10 for n in range(10)], 10)
    pairs, report = paired(vi, ir, offsets=dict(ir=0.5))
    # up to one frame beside the other clip
    assert pairs[0] == (4, 0)
    assert pairs[-1] == (15, 9)
    assert (report.before, report.after) == (4, 4)
    assert '4 left out before the other clip starts; 4 left out after the other clip ends' in str(report)


def test_a_clip_that_stands_still_keeps_its_nearest_frame():
    vi = Made([n / 10 for n in range(30)], 10)
    ir = Made([t for t in vi.times if not 1 < t < 2], 10)
    pairs, report = paired(vi, ir)
    assert len(pairs) == 30
    assert pairs[12] == (12, 10)
    assert pairs[18] == (18, 11)
    assert report.largest == pytest.approx(0.5)


def test_equal_time_stamps_hold_nothing_up():
    vi, ir = Made([0, 0.1, 0.2, 0.3], 10), Made([0, 0, 0, 0.1, 0.1, 0.2, 0.3], 10)
    assert [ir.times[b] for _, b in paired(vi, ir)[0]] == vi.times
    assert paired(Made([0.0], 10), Made([0.0], 10))[0] == [(0, 0)]


def test_frames_are_read_as_they_are_needed():
    class Endless(Made):
        def __iter__(self):
            number = 0
            while True:
                yield Frame(number / 10, np.array(number), str(number))
                number += 1

    stream = pair_by_time(dict(vi=Endless([], 10), ir=Endless([], 10)), 'vi')
    for _ in range(1000):
        at, pair = next(stream)
    assert (at, int(pair['ir'].picture)) == (99.9, 999)


# folders of frames


def test_a_folder_of_frames_is_a_clip(tmp_path):
    for n in (1, 2, 10):
        write_image(tmp_path / 'v' / f'frame_{n}.png', flat(n))
        write_image(tmp_path / 'i' / f'{n:03}.png', flat(n))
    clips = open_clips(dict(vi=tmp_path / 'v', ir=tmp_path / 'i'))
    frames = list(clips['vi'])
    assert [frame.name for frame in frames] == ['frame_1', 'frame_2', 'frame_10']
    assert [frame.time for frame in frames] == pytest.approx([0, 0.04, 0.08])
    assert frames[2].picture == tmp_path / 'v/frame_10.png'
    assert [f.time for f in open_clips(dict(vi=tmp_path / 'v'), Fraction(2))['vi']] == [0, 0.5, 1]
    # beside a video: its rate if the numbers agree, else it has to be said
    video = make(tmp_path / 'a.mp4', [flat(1)] * 3, rate=Fraction(10))
    assert open_clips(dict(vi=video, ir=tmp_path / 'i'))['ir'].rate == 10
    make(video, rate=Fraction(10))
    with pytest.raises(ValueError, match=r'ir .* holds 3 frames, the video .*a\.mp4: 10\): give .* --fps'):
        open_clips(dict(vi=video, ir=tmp_path / 'i'))
    with pytest.raises(ValueError, match='must be positive, got 0'):
        open_clips(dict(vi=video), Fraction(0))


def test_a_folder_of_frames_as_result(tmp_path):
    with open_writer(tmp_path / 'frames', SIZE) as writer:
        assert isinstance(writer, FrameFolderWriter)
        writer.write(flat(9), 0.0, '000000')
    assert [p.name for p in (tmp_path / 'frames').iterdir()] == ['000000.png']
    with pytest.raises(ValueError, match='--pixel-format, --quality: only for videos'):
        open_writer(tmp_path / 'frames', SIZE, pixel_format='gray', quality=3)
    assert is_video('A.MP4')
    assert not is_video('frames')


# whole or not there


def test_an_error_in_the_middle_leaves_the_former_video(tmp_path):
    path = make(tmp_path / 'a.mp4')
    before = path.read_bytes()
    with pytest.raises(ZeroDivisionError), open_writer(path, SIZE) as writer:
        writer.write(flat(0), 1 / 0 if writer.write(flat(0), 0) is None else 0)
    with pytest.raises(ValueError, match='a frame of 8x8 pixels in a clip of'), open_writer(path, SIZE) as writer:
        writer.write(np.zeros((8, 8), np.uint8), 0)
    with pytest.raises(ValueError, match='no frame for'), open_writer(path, SIZE):
        pass
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ['a.mp4']


WRITE_SLOWLY = """
import sys, time
import numpy as np
from lurefusion.io.video import open_writer
rng = np.random.default_rng(0)
with open_writer(sys.argv[1], (64, 64)) as writer:
    for n in range(400):
        writer.write(rng.integers(0, 256, (64, 64, 3), np.uint8), n / 25, '')
        print(n, flush=True)
        time.sleep(0.001 if n <= 120 else 0.05)
print('done', flush=True)
"""


@pytest.mark.parametrize('kind', [signal.SIGKILL, signal.SIGINT])
def test_a_killed_writer_leaves_nothing_under_the_name_and_the_next_cleans_up(tmp_path, kind):
    path = tmp_path / 'a [1].mp4'
    run = subprocess.Popen(
        [sys.executable, '-c', WRITE_SLOWLY, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        # what shells start in the background ignores it, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for line in run.stdout:
        if line == '120\n':
            break
    with pytest.raises(ValueError, match='another process is writing'):
        open_writer(path, SIZE)
    run.send_signal(kind)
    assert run.wait() != 0
    run.stdout.close()
    assert not path.exists()
    left = [p.name for p in tmp_path.iterdir()]
    assert len(left) == (kind == signal.SIGKILL)
    assert all(name.startswith('.') for name in left)
    make(path)
    assert len(list(VideoFile(path))) == COUNT
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_without_pyav_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    original = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == 'av':
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', missing)
    with pytest.raises(ImportError, match=r'pip install "lurefusion\[video\]"'):
        VideoFile(tmp_path / 'a.mp4')


def test_the_offset_of_the_reference_counts_too():
    vi, ir = Made([n / 10 for n in range(20)], 10), Made([n / 10 for n in range(20)], 10)
    assert paired(vi, ir, offsets=dict(vi=0.5))[0] == paired(vi, ir, offsets=dict(ir=-0.5))[0]
    assert paired(vi, ir, offsets=dict(vi=0.5))[0][0] == (0, 5)
    assert paired(vi, ir, offsets=dict(vi=0.7, ir=0.7))[0] == paired(vi, ir)[0]


@pytest.mark.parametrize('form', ['yuvj420p', 'yuvj444p'])
def test_a_grey_clip_of_full_range_is_grey(tmp_path, form):
    luma = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH)
    frame = av.VideoFrame(WIDTH, HEIGHT, form)
    for plane, value in zip(frame.planes, (None, 128, 128), strict=True):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        rows[:, : plane.width] = luma if value is None else value
        plane.update(rows.tobytes())
    with av.open(str(tmp_path / 'grey.mkv'), 'w') as container:
        stream = container.add_stream('mjpeg', rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.color_range = WIDTH, HEIGHT, form, 2
        stream.options = dict(qmin='1', qmax='1')
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (found,) = VideoFile(tmp_path / 'grey.mkv')
    assert found.picture.shape == (HEIGHT, WIDTH)
    assert np.abs(found.picture.astype(int) - luma).mean() < 2


def test_a_clip_that_begins_between_two_key_frames_keeps_its_time_and_sound(tmp_path):
    whole, cut = with_sound(tmp_path / 'whole.mkv'), tmp_path / 'cut.mkv'
    # key frames at 0 and 5: of what begins with the third, nothing can be decoded before the second
    path = tmp_path / 'gop.mkv'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=25, options=dict(g='5', keyint_min='5', sc_threshold='0', bf='0'))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, 'yuv420p'
        for n in range(COUNT):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(flat(20 * n), format='rgb24')))
        container.mux(stream.encode(None))
    with av.open(str(path)) as pictures, av.open(str(whole)) as sounds, av.open(str(cut), 'w') as target:
        streams = [pictures.streams.video[0], sounds.streams.audio[0]]
        written = [target.add_stream_from_template(stream) for stream in streams]
        packets = [p for p in pictures.demux(streams[0]) if p.dts is not None][3:]
        packets += [p for p in sounds.demux(streams[1]) if p.dts is not None]
        for packet in sorted(packets, key=lambda p: float(p.dts * p.time_base)):
            packet.stream = written[packet.stream.type == 'audio']
            target.mux(packet)
    clip = VideoFile(cut)
    frames = list(clip)
    assert [frame.time for frame in frames] == pytest.approx([n / 25 for n in range(5, COUNT)], abs=2e-3)
    assert any('of its first 0.08 s no frame can be decoded' in note for note in clip.notes)
    other = Made([n / 25 for n in range(COUNT)], 25)
    found = [
        (round(time * 25), round(pair['ir'].time * 25)) for time, pair in pair_by_time(dict(vi=clip, ir=other), 'vi')
    ]
    assert found == [(n, n) for n in range(5, COUNT)]
    out = make(tmp_path / 'out.mkv', [flat(9)] * 5, [frame.time for frame in frames], audio=clip)
    # what sounded with the first picture that could be decoded does so still
    before = {packet: at for at, packet in sound_of(cut)}
    with av.open(str(cut)) as container:
        first = min(float(p.pts * p.time_base) for p in container.demux(video=0) if p.pts is not None)
    late = frames[0].time - first
    assert [at for at, _ in sound_of(out)] == pytest.approx(
        [before[packet] - late for _, packet in sound_of(out)], abs=2e-3
    )


def test_frames_beside_a_video_of_as_many_have_its_times(tmp_path):
    times = [*(n / 30 for n in range(6)), *(0.2 + n / 10 for n in range(4))]
    video = make(tmp_path / 'phone.mp4', times=times)
    with open_writer(tmp_path / 'ir', SIZE) as writer:
        for n in range(COUNT):
            writer.write(flat(20 * n), 0, f'{n:03}')
    clips = open_clips(dict(vi=video, ir=tmp_path / 'ir'))
    pairs = [(pair['vi'].name, pair['ir'].name) for _, pair in pair_by_time(clips, 'vi')]
    assert pairs == [(f'{n:06}', f'{n:03}') for n in range(COUNT)]


def test_sub_folders_are_no_part_of_a_clip_unless_they_are_meant_to_be(tmp_path):
    video = make(tmp_path / 'a.mp4')
    for folder in ('ir', 'ir/thumbs'):
        with open_writer(tmp_path / folder, SIZE) as writer:
            for n in range(COUNT):
                writer.write(flat(20 * n), 0, f'{n:03}')
    assert open_clips(dict(vi=video, ir=tmp_path / 'ir'), recursive=False)['ir'].frames == COUNT
    with pytest.raises(ValueError, match='holds 20 frames, the video beside it another number'):
        open_clips(dict(vi=video, ir=tmp_path / 'ir'))


def test_what_is_damaged_is_said_though_the_rest_is_not_read(tmp_path):
    path = damaged(tmp_path / 'a.avi', 2)
    clips = dict(vi=Made([n / 25 for n in range(5)], 25), ir=VideoFile(path))
    assert len(list(pair_by_time(clips, 'vi'))) == 5
    assert any('1 frames are damaged' in note for note in clips['ir'].notes)


@pytest.mark.parametrize(
    ('matrix', 'shown'),
    [
        ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
        ((1, 0, 0, -1), lambda p: p[::-1]),
        ((0, 1, 1, 0), lambda p: p.swapaxes(0, 1)),
        ((0, -1, -1, 0), lambda p: p[::-1, ::-1].swapaxes(0, 1)),
    ],
)
def test_a_mirrored_clip_comes_as_viewers_show_it(tmp_path, matrix, shown):
    rng = np.random.default_rng(0)
    picture = np.kron(rng.integers(0, 256, (4, 6, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    path = make(tmp_path / 'front.mp4', [picture], codec='libx264', pixel_format='yuv444p')
    straight = next(iter(VideoFile(path))).picture
    a, b, c, d = (value << 16 for value in matrix)
    data = bytearray(path.read_bytes())
    at = data.index(b'tkhd') + 44
    data[at : at + 20] = struct.pack('>5i', a, b, 0, c, d)
    path.write_bytes(data)
    np.testing.assert_array_equal(next(iter(VideoFile(path))).picture, shown(straight))


def test_pixels_that_are_no_squares_stay_so(tmp_path):
    encoding = choose_encoding(tmp_path / 'a.mkv', SIZE)
    with VideoWriter(tmp_path / 'a.mkv', SIZE, encoding, aspect=Fraction(16, 11)) as writer:
        writer.write(flat(9), 0.0)
    assert VideoFile(tmp_path / 'a.mkv').aspect == Fraction(16, 11)
    assert VideoFile(make(tmp_path / 'b.mkv')).aspect is None
