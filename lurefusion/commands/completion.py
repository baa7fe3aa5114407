"""The command `lurefusion completion`: a script that lets a shell complete commands, options and their values."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator

BASH = r"""# completion of lurefusion for bash; made by: lurefusion completion bash
_lurefusion() {
    local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= values= flags= i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} != -* ]] && command=${COMP_WORDS[i]} && break
    done
    # values of the option before; where there are none, names of files
    case "$command $before" in
@VALUES@
    esac
    case "$command" in
@WORDS@
    esac
    [[ $cur == -* ]] && values=$flags
    COMPREPLY=($(compgen -W "$values" -- "$cur"))
}
complete -o bashdefault -o default -F _lurefusion lurefusion
"""

ZSH = r"""#compdef lurefusion
# completion of lurefusion for zsh; made by: lurefusion completion zsh
_lurefusion() {
    local context state state_descr line
    typeset -A opt_args
    _arguments -C '1: :->command' '*:: :->rest'
    case $state in
        command)
            local -a commands
            commands=(
@COMMANDS@
            )
            _describe command commands
            ;;
        rest)
            case $line[1] in
@OPTIONS@
            esac
            ;;
    esac
}
if [[ $funcstack[1] == _lurefusion ]]; then
    _lurefusion "$@"
else
    compdef _lurefusion lurefusion
fi
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('shell', choices=tuple(SHELLS), help='prints the script for this shell')
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        'bash: echo \'eval "$(lurefusion completion bash)"\' >> ~/.bashrc\n'
        'zsh:  lurefusion completion zsh > a folder of $fpath/_lurefusion\n'
        'fish: lurefusion completion fish > ~/.config/fish/completions/lurefusion.fish'
    )


def run(args: argparse.Namespace) -> int:
    """Carry out `lurefusion completion`."""
    from lurefusion.cli import make_parser

    print(script(make_parser(), args.shell), end='')
    return 0


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script of a shell, for a parser with sub-commands."""
    return SHELLS[shell](parser)


def _commands(parser: argparse.ArgumentParser) -> dict[str, tuple[argparse.ArgumentParser, str]]:
    """Name -> parser and one line of help, of the sub-commands."""
    [group] = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    helps = {choice.dest: choice.help or '' for choice in group._choices_actions}
    return {name: (inner, helps.get(name, '')) for name, inner in group.choices.items()}


def _options(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    return (action for action in parser._actions if action.help is not argparse.SUPPRESS)


def _choices(action: argparse.Action) -> str:
    return ' '.join(map(str, action.choices or ()))


def _bash(parser: argparse.ArgumentParser) -> str:
    commands = _commands(parser)
    values, words = [], [f"        '') values='{' '.join(commands)}' flags='{' '.join(_flags(parser))}' ;;"]
    for name, (inner, _) in commands.items():
        positional = ' '.join(_choices(action) for action in _options(inner) if not action.option_strings)
        words.append(f"        {name}) values='{positional}' flags='{' '.join(_flags(inner))}' ;;")
        for action in _options(inner):
            if not action.option_strings or action.nargs == 0:
                continue
            patterns = ' | '.join(f"'{name} {flag}'" for flag in action.option_strings)
            chosen = f'COMPREPLY=($(compgen -W \'{_choices(action)}\' -- "$cur")); ' if action.choices else ''
            values.append(f'        {patterns}) {chosen}return ;;')
    return BASH.replace('@VALUES@', '\n'.join(values)).replace('@WORDS@', '\n'.join(words))


def _flags(parser: argparse.ArgumentParser) -> list[str]:
    return [flag for action in _options(parser) for flag in action.option_strings]


def _zsh(parser: argparse.ArgumentParser) -> str:
    lines, options = [], []
    for name, (inner, text) in _commands(parser).items():
        lines.append(f'                {_quoted(f"{name}:{_line(text)}")}')
        own = []
        for action in _options(inner):
            files = '_files' if not action.choices else f'({_choices(action)})'
            label = _line(str(action.metavar or action.dest)).translate({ord(c): '\\' + c for c in ':[]'})
            if not action.option_strings:
                own.append(_quoted(f'{"*" if action.nargs in ("*", "+") else ""}:{label}:{files}'))
                continue
            help_text = _line(_help(inner, action)).translate({ord(c): '\\' + c for c in ':[]'})
            many = '*' if isinstance(action, argparse._AppendAction) else ''
            value = '' if action.nargs == 0 else f':{label}:{files}'
            own += [_quoted(f'{many}{flag}[{help_text}]{value}') for flag in action.option_strings]
        body = ' \\\n'.join(f'                        {line}' for line in own)
        options.append(f'                {name})\n                    _arguments \\\n{body}\n                    ;;')
    return ZSH.replace('@COMMANDS@', '\n'.join(lines)).replace('@OPTIONS@', '\n'.join(options))


def _fish(parser: argparse.ArgumentParser) -> str:
    lines = ['# completion of lurefusion for fish; made by: lurefusion completion fish']
    for name, (inner, text) in _commands(parser).items():
        lines.append(f'complete -c lurefusion -n __fish_use_subcommand -f -a {name} -d {_fish_quoted(_line(text))}')
        seen = f"complete -c lurefusion -n '__fish_seen_subcommand_from {name}'"
        for action in _options(inner):
            values = f' -x -a {_fish_quoted(_choices(action))}' if action.choices else ' -r'
            if not action.option_strings:
                lines += [f'{seen} -f -a {_fish_quoted(_choices(action))}'] if action.choices else []
                continue
            flags = ' '.join(f'-l {f[2:]}' if f.startswith('--') else f'-s {f[1:]}' for f in action.option_strings)
            takes = '' if action.nargs == 0 else values
            lines.append(f'{seen} {flags}{takes} -d {_fish_quoted(_line(_help(inner, action)))}')
    return '\n'.join(lines) + '\n'


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """The help of an option as `--help` prints it."""
    return parser._get_formatter()._expand_help(action) if action.help else ''


def _line(text: str) -> str:
    """One short line: a list of completions is no manual."""
    line = re.sub(r'\s+', ' ', text).strip()
    return line if len(line) <= 72 else line[:71].rsplit(' ', 1)[0].rstrip(',;:') + ' ...'


def _quoted(text: str) -> str:
    """In single quotes for bash and zsh."""
    return "'" + text.replace("'", "'\\''") + "'"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace('\\', '\\\\').replace("'", "\\'") + "'"


SHELLS: dict[str, Callable[[argparse.ArgumentParser], str]] = dict(bash=_bash, zsh=_zsh, fish=_fish)
