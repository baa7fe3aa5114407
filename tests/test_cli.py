"""The command `lurefusion`, as typed."""

import os
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import EntryPoint

import cv2
import numpy as np
import pytest

from lurefusion import apis, cli, plugins
from lurefusion.cli import exit_code, main
from lurefusion.io.images import write_image
from lurefusion.prompts.grammar import named_parts
from lurefusion.registry import REGISTRIES

MODEL = ['--model', 'lurefusion::lure/lure_demo.py', '--weights', 'random']


@pytest.fixture
def pair(tmp_path):
    rng = np.random.default_rng(0)
    for stem in 'ab':
        write_image(tmp_path / f'vi/{stem}.png', rng.integers(0, 256, (24, 32, 3), np.uint8))
        write_image(tmp_path / f'ir/{stem}.png', rng.integers(0, 256, (24, 32), np.uint8))
    return tmp_path


def test_fuse_a_pair(pair, capsys):
    arguments = ['fuse', '--vi', str(pair / 'vi/a.png'), '--ir', str(pair / 'ir/a.png'), '--out', str(pair / 'f.png')]
    assert main([*arguments, *MODEL, '--prompt', 'the', 'visible', 'image', 'is', 'dark']) == 0
    assert cv2.imread(str(pair / 'f.png')).shape == (24, 32, 3)
    assert 'vi: ll' in capsys.readouterr().out


def test_fuse_folders_with_a_prompt_for_each(pair, capsys):
    arguments = ['fuse', '--vi', str(pair / 'vi'), '--source', f'ir={pair / "ir"}', '--out', str(pair / 'out'), *MODEL]
    assert main([*arguments, '--prompt', 'vi=hz', 'ir=it has low contrast']) == 0
    out = capsys.readouterr().out
    assert 'vi: hz' in out
    assert 'ir: lc' in out
    assert '2 fused' in out
    assert sorted(p.name for p in (pair / 'out').glob('[!.]*')) == ['a.png', 'b.png']
    (pair / 'vi/a.png').write_text('text')
    assert main([*arguments, '--overwrite']) == 1
    assert '1 failed' in capsys.readouterr().out


def test_sixteen_bits_on_request(pair, capsys):
    arguments = ['fuse', '--vi', str(pair / 'vi'), '--ir', str(pair / 'ir'), *MODEL, '--bit-depth', '16']
    assert main([*arguments, '--out', str(pair / 'out'), '--batch-size', '2']) == 0
    assert cv2.imread(str(pair / 'out/b.png'), cv2.IMREAD_UNCHANGED).dtype == np.uint16
    one = ['fuse', '--vi', str(pair / 'vi/a.png'), '--ir', str(pair / 'ir/a.png'), *MODEL, '--bit-depth', '16']
    assert main([*one, '--out', str(pair / 'f.tif')]) == 0
    assert cv2.imread(str(pair / 'f.tif'), cv2.IMREAD_UNCHANGED).dtype == np.uint16
    assert main([*one, '--out', str(pair / 'f.jpg')]) == 1
    assert '.jpg files have 8 bits' in capsys.readouterr().err


def test_mistakes_end_in_one_line(pair, capsys):
    assert main(['fuse', '--vi', str(pair / 'vi'), '--ir', str(pair / 'ir/a.png'), '--out', 'x', *MODEL]) == 1
    assert main(['fuse', '--vi', str(pair / 'vi'), '--ir', str(pair / 'none'), '--out', 'x', *MODEL]) == 1
    one = ['fuse', '--vi', str(pair / 'vi/a.png'), '--ir', str(pair / 'ir/a.png'), '--out', str(pair / 'f.png'), *MODEL]
    assert main([*one, '--prompt', 'vii=hz']) == 1
    assert not (pair / 'f.png').exists()
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "'vii' is no modality. Did you mean 'vi'?" in line]
    assert [line for line in lines if line.startswith('error: give a picture of each modality or a folder of each')]


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['fuse', 'a.png', 'b.png'], 'unrecognized arguments: a.png b.png. Pictures, .* are named: --vi a.png'),
        (['fuse', '--overwritee'], "unrecognized arguments: --overwritee. Did you mean '--overwrite'"),
        (['train', 'x.py', '--sed', '3'], "unrecognized arguments: --sed 3. Did you mean '--seed'"),
    ],
)
def test_unknown_words_show_the_usage_of_the_command(capsys, words, message):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert re.search(message, said)
    assert f'usage: lurefusion {words[0]}' in said


@pytest.mark.parametrize(
    ('out', 'message'),
    [
        ('f', 'the suffix must be one of .png'),
        ('f.gif', 'the suffix must be one of .png'),
        ('vi', 'the suffix must be one of'),
        ('folder.png', 'it is a folder'),
        ('vi/a.png/b.png', 'a.png is a file, not a folder'),
        ('vi/a.png', 'is the input'),
        ('ir/../ir/a.png', 'is the input'),
        ('soft.png', 'is the input'),
        ('hard.png', 'is the input'),
    ],
)
def test_a_bad_output_is_refused_before_the_network_is_loaded(pair, capsys, monkeypatch, out, message):
    monkeypatch.setattr(apis, 'FusionInferencer', lambda *_, **__: pytest.fail('loaded'))
    (pair / 'folder.png').mkdir()
    (pair / 'soft.png').symlink_to(pair / 'vi/a.png')
    (pair / 'hard.png').hardlink_to(pair / 'ir/a.png')
    before = (pair / 'vi/a.png').read_bytes(), (pair / 'ir/a.png').read_bytes()
    assert main(['fuse', '--vi', str(pair / 'vi/a.png'), '--ir', str(pair / 'ir/a.png'), '--out', str(pair / out)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error: ')
    assert message in line
    assert ((pair / 'vi/a.png').read_bytes(), (pair / 'ir/a.png').read_bytes()) == before


def test_an_output_behind_a_link_to_nowhere(pair, capsys):
    (pair / 'gone').symlink_to(pair / 'nowhere')
    assert main(['fuse', '--vi', str(pair / 'vi'), '--ir', str(pair / 'ir'), '--out', str(pair / 'gone'), *MODEL]) == 1
    assert f'gone is a link to {pair / "nowhere"}, which is no folder' in capsys.readouterr().err


@pytest.mark.parametrize('out', ['vi', 'ir/.', 'link', 'vi/../vi'])
def test_folders_are_not_fused_into_their_sources(pair, capsys, out):
    (pair / 'link').symlink_to(pair / 'vi')
    before = {path: path.read_bytes() for path in pair.rglob('*.png')}
    assert main(['fuse', '--vi', str(pair / 'vi'), '--ir', str(pair / 'ir'), '--out', str(pair / out), *MODEL]) == 1
    assert 'is the input' in capsys.readouterr().err
    assert {path: path.read_bytes() for path in pair.rglob('*.png')} == before


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--device', 'foo'], "there is no device 'foo' here; there are: cpu"),
        (['--device', 'cuda:99'], "there is no device 'cuda:99' here; there are: cpu"),
        (['--range', 'irr=full'], "'irr' is no modality"),
        (['--range', 'ir=9:3'], 'the lower limit must be below'),
        (['--range', 'log'], "got 'log'"),
        (['--source', 'ir=x'], "the source 'ir' is named twice"),
        (['--source', 'ir'], '--source takes NAME=PATH'),
    ],
)
def test_options_that_make_no_sense_end_in_one_line(pair, capsys, options, message):
    arguments = ['fuse', '--vi', str(pair / 'vi'), '--ir', str(pair / 'ir'), '--out', str(pair / 'out'), *MODEL]
    assert main([*arguments, *options]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
    assert len(errors) == 1
    assert message in errors[0]
    assert not (pair / 'out').exists()


def test_ranges_and_warnings_of_the_command(pair, capsys):
    counts = np.full((24, 32), 29000, np.uint16)
    counts[:12] += np.arange(32, dtype=np.uint16) * 8
    counts[:2, :3] = 60000
    cv2.imwrite(str(pair / 'ir/a.png'), counts)
    arguments = ['fuse', '--vi', str(pair / 'vi'), '--ir', str(pair / 'ir'), '--out', str(pair / 'out'), *MODEL]
    assert main(arguments) == 0
    assert 'warning: a: ir (' in (errors := capsys.readouterr().err)
    assert errors.count('warning: ') == 1
    one = ['fuse', '--vi', str(pair / 'vi/a.png'), '--ir', str(pair / 'ir/a.png'), '--out', str(pair / 'f.png'), *MODEL]
    assert main(one) == 0
    assert 'warning: ir (' in capsys.readouterr().err
    assert main([*one, '--range', 'ir=29000:29300', 'vi=full']) == 0
    assert 'warning: ' not in capsys.readouterr().err
    # a bare range is for all, the 8-bit pictures too
    assert main([*one, '--range', '29000:29300']) == 1
    assert 'what uint8 pixels can hold; name the modality' in capsys.readouterr().err


@pytest.mark.parametrize('lines', [1, 100_000])
def test_a_reader_that_goes_away_is_no_error(lines):
    # one line is written when the command flushes at its end, many are written on the way
    code = (
        'import sys; from lurefusion.cli import exit_code\n'
        f'sys.exit(exit_code(lambda: [print("a line of a long table") for _ in range({lines})] and 0))'
    )
    run = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    run.stdout.close()
    assert run.stderr.read() == ''
    assert run.wait() == 141


@pytest.mark.parametrize(
    ('error', 'line'),
    [
        (KeyError('no such key'), 'error: no such key'),
        (KeyError(), 'error: KeyError'),
        (MemoryError('too large'), 'error: too large'),
        (MemoryError(), 'error: MemoryError'),
        (PermissionError(13, 'Permission denied', 'a.png'), "error: [Errno 13] Permission denied: 'a.png'"),
    ],
)
def test_errors_end_in_one_line_that_says_what(capsys, error, line):
    def fail():
        raise error

    assert exit_code(fail) == 1
    assert capsys.readouterr().err == f'{line}\n'


def test_a_process_that_is_asked_to_end_takes_back_what_is_unfinished(monkeypatch, tmp_path, capsys):
    left = []

    def run(args):
        assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, signal.SIG_IGN)
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            left.append('taken back')
        return 0

    monkeypatch.setattr(cli.info, 'run', run)
    assert main(['info']) == 128 + signal.SIGTERM
    assert left == ['taken back']
    assert capsys.readouterr().err == 'terminated\n'
    # afterwards, and in a program that has its own way, nothing is changed
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    before = signal.signal(signal.SIGTERM, lambda *_: left.append('its own'))
    try:
        monkeypatch.setattr(cli.info, 'run', lambda args: signal.raise_signal(signal.SIGTERM) or 0)
        assert main(['info']) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert left[1:] == ['its own']


def test_info_lists_configs_and_plugins(capsys):
    assert main(['info']) == 0
    out = capsys.readouterr().out
    for word in ('lurefusion::lure/stage1_ir_vi.py', 'TGA', 'DistilBERT', 'CrossAttentionFuser', 'LowLight'):
        assert word in out


def test_info_lists_every_kind_and_where_plugins_come_from(forget_plugins, capsys):
    (forget_plugins / 'info_plugin.py').write_text(
        'from mmengine.hooks import Hook\nfrom torch import nn\n'
        'from lurefusion.models.fusion import FusionRule\n'
        'from lurefusion.registry import FUSION_RULES, HOOKS, MEASURES\n'
        "@FUSION_RULES.register_module(name='info_rule')\nclass Rule(FusionRule):\n    pass\n"
        '@HOOKS.register_module()\nclass InfoHook(Hook):\n    pass\n'
        "@MEASURES.register_module(name='InfoMetric', title='t', unit='', range=(0, 1), higher_is_better=True,"
        " needs='fused', source='s')\ndef f(fused):\n    return fused.mean((1, 2, 3))\n"
    )
    assert main(['info', '--import', 'info_plugin.py']) == 0
    out = capsys.readouterr().out
    for kept in REGISTRIES:
        assert f'\n{kept.name}s: ' in out or f'\n{kept.name}es: ' in out
    for part in ('info_rule', 'InfoHook', 'InfoMetric'):
        assert f'{part} (from info_plugin)' in out
    for word in ('FusionMetrics', 'MSRS', 'PackInputs', 'StripHook', 'Qabf', 'losses: '):
        assert word in out
    assert 'Qabf (from' not in out


def test_metric_of_an_installed_plugin(forget_plugins, monkeypatch, capsys):
    (forget_plugins / 'installed_plugin.py').write_text(
        'from lurefusion.registry import MEASURES\n'
        "@MEASURES.register_module(name='Installed', title='t', unit='', range=(0, 1), higher_is_better=False,"
        " needs='fused', source='s')\ndef f(fused):\n    return fused.mean((1, 2, 3))\n"
    )
    monkeypatch.syspath_prepend(str(forget_plugins))
    point = EntryPoint('mine', 'installed_plugin', 'lurefusion.plugins')
    monkeypatch.setattr(plugins, 'entry_points', lambda group: [point])
    monkeypatch.setattr(plugins, '_plugins_loaded', False)
    for folder, level in (('one', 51), ('two', 102), ('v', 0), ('i', 0)):
        write_image(forget_plugins / folder / 'a.png', np.full((16, 16), level, np.uint8))
    assert main(['eval', 'one', 'two', '--vi', 'v', '--ir', 'i', '--metrics', 'Installed', '--out', 'report']) == 0
    assert '| Installed ↓ |' in capsys.readouterr().out
    text = (forget_plugins / 'report/report.md').read_text(encoding='utf-8')
    assert '| one | **0.200** |' in text
    assert '**Installed ↓**: t; 0..1; ↓ better; s' in text


@pytest.mark.parametrize('words', [('--import', 'no_such_plugin'), ('--import', 'none.py'), ('--metrics', 'Nothing')])
def test_plugins_that_are_not_there_end_in_one_line(forget_plugins, capsys, words):
    for folder in 'fvi':
        write_image(forget_plugins / folder / 'a.png', np.zeros((16, 16), np.uint8))
    assert main(['eval', 'f', '--vi', 'v', '--ir', 'i', *words]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith('error: ')
    assert words[1] in errors
    assert errors.count('\n') == 1


@pytest.mark.parametrize('words', [(), ('stage1 stopped; --resume goes on',)])
def test_an_interrupted_command_says_so_in_one_line(capsys, words):
    def run():
        raise KeyboardInterrupt(*words)

    assert exit_code(run) == 130
    assert capsys.readouterr().err == 'interrupted' + ''.join(f': {word}' for word in words) + '\n'


@pytest.mark.parametrize(
    ('words', 'parts'),
    [
        (['vi=haze ir=low contrast'], {'vi': 'haze', 'ir': 'low contrast'}),
        (['vi=haze, ir=low contrast'], {'vi': 'haze', 'ir': 'low contrast'}),
        (['vi=haze', 'ir=low contrast'], {'vi': 'haze', 'ir': 'low contrast'}),
        (['vi=haze'], {'vi': 'haze'}),
        (['vi=有雾，ir=lc'], {'vi': '有雾', 'ir': 'lc'}),
        (['it is dark'], 'it is dark'),
        (['it', 'is', 'dark'], 'it is dark'),
    ],
)
def test_a_prompt_for_each_modality_may_be_one_string(words, parts):
    assert named_parts(words, ('vi', 'ir')) == parts


def test_a_file_that_cannot_be_written_is_named_as_it_was_asked_for(tmp_path):
    (tmp_path / 'closed').mkdir()
    long = tmp_path / 'closed' / ('x' * 300 + '.png')
    with pytest.raises(OSError, match='name too long') as caught:
        write_image(long, np.zeros((8, 8), np.uint8))
    assert caught.value.filename == str(long)
    with pytest.raises(OSError, match=r'/proc/o\.png'):
        write_image('/proc/o.png', np.zeros((8, 8), np.uint8))


@pytest.mark.parametrize('words', [['vi=ll', 'vi=hz'], ['vi=ll vi=hz'], ['ir=lc', 'vi=ll', 'ir=sr']])
def test_two_prompts_for_one_modality_are_refused(words):
    with pytest.raises(ValueError, match='names a modality twice'):
        named_parts(words, ('vi', 'ir'))


@pytest.mark.parametrize('inner', ['sub', 'a/b', '../ir/sub'])
def test_results_do_not_become_sources_of_the_next_run(pair, capsys, monkeypatch, inner):
    # said before the network is loaded
    monkeypatch.setattr('lurefusion.apis.FusionInferencer', None)
    arguments = ['fuse', '--vi', str(pair / 'vi'), '--ir', str(pair / 'ir'), '--out', str(pair / 'ir' / inner), *MODEL]
    assert main(arguments) == 1
    assert 'lies in the input' in capsys.readouterr().err
    assert len(list((pair / 'ir').rglob('*.png'))) == 2


def test_sigterm_ends_a_command_as_ctrl_c_does(capsys):
    def run() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            print('cleaned up')

    before = signal.getsignal(signal.SIGTERM)
    assert exit_code(run) == 143
    said = capsys.readouterr()
    assert 'cleaned up' in said.out
    assert said.err.startswith('terminated')
    assert signal.getsignal(signal.SIGTERM) == before
