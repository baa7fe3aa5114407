"""What shells complete: bash is asked itself, the scripts for others are read."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from lurefusion.cli import main, make_parser
from lurefusion.commands.completion import SHELLS, _commands, _options, script

COMMANDS = ['fuse', 'eval', 'train', 'test', 'export', 'demo', 'info', 'completion']


def completed(words: str) -> list[str]:
    """What bash offers for the last word of a line."""
    line = words.split(' ')
    quoted = ' '.join(f"'{word}'" for word in line)
    code = f'{script(make_parser(), "bash")}\nCOMP_WORDS=({quoted})\nCOMP_CWORD={len(line) - 1}\n_lurefusion\n'
    code += 'printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(['bash', '-c', code], capture_output=True, text=True, check=True)
    assert not done.stderr
    return done.stdout.split()


@pytest.mark.skipif(not shutil.which('bash'), reason='no bash')
@pytest.mark.parametrize(
    ('words', 'offered'),
    [
        ('lurefusion ', COMMANDS),
        ('lurefusion e', ['eval', 'export']),
        ('lurefusion -', ['-h', '--help']),
        ('lurefusion fuse --chr', ['--chroma']),
        ('lurefusion fuse --chroma ', ['fused', 'visible']),
        ('lurefusion fuse --chroma v', ['visible']),
        ('lurefusion fuse --overwrite --bit-depth ', ['8', '16']),
        ('lurefusion export --precision f', ['fp32', 'fp16']),
        # names of files are left to bash
        ('lurefusion fuse --vi ', []),
        ('lurefusion fuse --vi a.png ', []),
        ('lurefusion fuse --recursive ', []),
        ('lurefusion completion ', ['bash', 'zsh', 'fish']),
        ('lurefusion completion -', ['-h', '--help']),
    ],
)
def test_bash_offers(words: str, offered: list[str]) -> None:
    assert completed(words) == offered


@pytest.mark.parametrize('shell', SHELLS)
def test_every_option_of_every_command_is_in_the_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['completion', shell]) == 0
    text = capsys.readouterr().out
    for name, (parser, _) in _commands(make_parser()).items():
        assert name in text
        for action in _options(parser):
            flags = [f'-l {f[2:]} ' if shell == 'fish' else f for f in action.option_strings if f.startswith('--')]
            assert all(flag in text for flag in flags)
            assert all(str(choice) in text for choice in action.choices or ())


@pytest.mark.parametrize('shell', ['zsh', 'fish'])
def test_other_shells_read_it(shell: str) -> None:
    text = script(make_parser(), shell)
    # quotes are closed in every line; bash reads those of zsh alike
    for line in text.splitlines():
        if not line.startswith('#'):
            plain = line.replace("\\'", '') if shell == 'fish' else line.replace("'\\''", '')
            assert plain.count("'") % 2 == 0, line
    if shutil.which(shell):
        subprocess.run([shell, '-n'], input=text, text=True, check=True)
    if shell == 'zsh':
        # the colon and brackets of a help text end nothing
        assert r"'--device[cpu, cuda, cuda\:1; default\: cuda where there is any]:device:_files'" in text


def test_an_unknown_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(['completion', 'tcsh'])
    assert "invalid choice: 'tcsh'" in capsys.readouterr().err
