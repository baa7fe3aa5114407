"""Overrides, `--cfg-options KEY=VALUE`: read, checked against what a config has, applied."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from lurefusion.choices import did_you_mean
from lurefusion.config.keys import GIVEN_OTHERWISE, OPEN_DICTS, OWN_KEYS, RUNNER_KEYS, has_effect
from lurefusion.config.length import length_of, scale_length, settle_length
from lurefusion.config.reading import instead, read
from lurefusion.config.tree import ABSENT, leaves, mapping_of, paths


def parse_options(options: Mapping[str, Any] | Sequence[str] | None) -> dict[str, Any]:
    """Overrides as a dict: `['a.b=1', 'c=[x,y]']` becomes `{'a.b': 1, 'c': ['x', 'y']}`, a dict is copied.

    Values are read as Python literals where they are any, else as MMEngine's `--cfg-options` does: bare words are
    strings, `x,y` and `[x,y]` lists, `(x,y)` a tuple. Spaces stay.

    Raises:
        TypeError: If `options` is neither a mapping nor a sequence of strings.
        ValueError: If an item has no `=`.
    """
    if options is None:
        return {}
    if isinstance(options, Mapping):
        return dict(options)
    if isinstance(options, str) or not all(isinstance(item, str) for item in options):
        raise TypeError(f'options: expected a dict or a list of KEY=VALUE strings, got {options!r}')
    parsed: dict[str, Any] = {}
    for item in options:
        key, equals, value = item.partition('=')
        if not equals or not key.strip():
            raise ValueError(f'options: expected KEY=VALUE, got {item!r}')
        parsed[key.strip()] = _parse_value(value)
    return parsed


def known_options(cfg: Config | Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The overrides that have a place in `cfg`; a pipeline gives each stage its own share with this."""
    return {key: value for key, value in options.items() if _objection(mapping_of(cfg), key, value) is None}


def check_options(options: Mapping[str, Any], *cfgs: Config | Mapping[str, Any]) -> None:
    """Refuse overrides that have a place in none of `cfgs`, or no effect.

    Raises:
        KeyError: Names the first such key and the nearest one that exists; for a helper of the config those that hold
            its value.
        TypeError: If the key goes into something that is not a dict or list.
    """
    for key, value in options.items():
        _check_option(key, value, [mapping_of(cfg) for cfg in cfgs], cfgs)


def _check_option(
    key: str, value: Any, contents: Sequence[Mapping[str, Any]], cfgs: Sequence[Config | Mapping[str, Any]]
) -> None:
    found = [_objection(content, key, value) for content in contents]
    objections = [objection for objection in found if objection is not None]
    if objections and len(objections) == len(found):
        head = key.removeprefix('+').partition('.')[0]
        for cfg in cfgs:
            if isinstance(cfg, Config) and cfg.filename and head not in cfg and not has_effect(head):
                _refuse_helper(cfg, key, head)
        # The most helpful answer comes from the config that has the longest part of the key.
        raise max(objections, key=lambda objection: objection[0])[1]


def _refuse_helper(cfg: Config, key: str, name: str) -> None:
    try:
        helpers = mapping_of(read(Path(cfg.filename))[0])
    except (OSError, ValueError, ImportError):
        return
    if name in helpers:
        raise KeyError(
            f'override {key!r} has no effect: {name} is a helper of {cfg.filename}, read while the file runs. '
            f'{instead(mapping_of(cfg), name, helpers[name])}'
        )


def apply_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Check overrides and write them into `cfg`, all or none; rules and errors as in `load_config`.

    Another `train_cfg.max_iters` takes with it what counts steps (`scale_length`) and is not overridden too.
    """
    content: Any = mapping_of(cfg)
    length = length_of(cfg)
    for key, value in options.items():
        _check_option(key, value, [content], [cfg])
        content = _assigned(content, key.removeprefix('+').split('.'), value)
    for head in dict.fromkeys(key.removeprefix('+').partition('.')[0] for key in options):
        cfg[head] = content[head]
    now = length_of(cfg)
    if length and now:
        stated = {key.removeprefix('+'): value for key, value in options.items()}
        scale_length(cfg, now / length, [key for key, _ in leaves(stated)])
    settle_length(cfg)


def _parse_value(text: str) -> Any:
    text = text.strip()
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        pass
    else:
        if isinstance(value, tuple) and not text.startswith('('):
            return list(value)
        if not isinstance(value, (set, bytes, complex)):
            return value
    if text.lower() in ('true', 'false'):
        return text.lower() == 'true'
    if text[:1] + text[-1:] in ('[]', '()'):
        items = [_parse_value(item) for item in _split_at_commas(text[1:-1])]
        return tuple(items) if text[0] == '(' else items
    parts = _split_at_commas(text)
    if len(parts) > 1:
        return [_parse_value(part) for part in parts]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _split_at_commas(text: str) -> list[str]:
    """Parts between the commas that lie outside of brackets and quotes."""
    parts, depth, quote = [''], 0, ''
    for character in text:
        if quote:
            quote = '' if character == quote else quote
        elif character in '"\'' and not parts[-1].strip():
            quote = character
        elif character in '[({':
            depth += 1
        elif character in '])}':
            depth -= 1
        elif character == ',' and depth == 0:
            parts.append('')
            continue
        parts[-1] += character
    if len(parts) > 1 and not parts[-1].strip():
        parts.pop()
    return parts if parts != [''] else []


def _objection(cfg: Mapping[str, Any], key: str, value: Any) -> tuple[int, Exception] | None:
    """Why `key` has no place in `cfg`, with the number of its parts that exist; None when it has one."""
    forced = key.startswith('+')
    keys = key.removeprefix('+').split('.')
    if not all(keys):
        return 0, KeyError(f'override {key!r}: empty part in the key')
    node: Any = cfg
    for depth, part in enumerate(keys):
        parent = '.'.join(keys[:depth])
        last = depth == len(keys) - 1
        if isinstance(node, (list, tuple)):
            if not part.isdigit() or int(part) >= len(node):
                expected = f'an index from 0 to {len(node) - 1}' if node else 'no index, the list is empty'
                return depth, KeyError(f'override {key!r}: {parent!r} is a list, expected {expected}, got {part!r}')
            node = node[int(part)]
        elif isinstance(node, Mapping):
            # files of MMSegmentation state resume, and mean the same
            given = {**GIVEN_OTHERWISE, 'resume': '--resume'}
            if depth == 0 and part in given:
                return depth, KeyError(f'override {key!r} has no effect: it is given by {given[part]}')
            if depth == 0 and forced and part not in node and not has_effect(part):
                return depth, KeyError(
                    f"override {key!r} has no effect: {part!r} is neither an argument of MMEngine's Runner nor an "
                    f'option of lurefusion.{did_you_mean(part, sorted(RUNNER_KEYS | OWN_KEYS))}'
                )
            if part not in node:
                named = (depth == 0 and part in RUNNER_KEYS) or (depth > 0 and keys[depth - 1] in OPEN_DICTS)
                if forced or (last and named):
                    return None
                return depth, _unknown_key(cfg, key, keys, depth, node)
            node = node[part]
        else:
            return depth, TypeError(
                f'override {key!r}: {parent!r} is {node!r}, neither a dict nor a list; '
                f'set it as a whole with {parent}=VALUE'
            )
    return _value_objection(key, node, value, forced, len(keys))


def _value_objection(key: str, node: Any, value: Any, forced: bool, depth: int) -> tuple[int, Exception] | None:
    """The same check for the keys inside a dict that is merged into a dict."""
    if forced or not isinstance(value, Mapping) or not isinstance(node, Mapping) or value.get('_delete_'):
        return None
    if key.rpartition('.')[2] in OPEN_DICTS:
        return None
    for inner, content in value.items():
        if inner not in node:
            hint = did_you_mean(str(inner), [str(k) for k in node])
            return depth, KeyError(
                f'override {key!r}: {inner!r} is not a key of the config.{hint} To add a new key write {"+" + key!r}; '
                f'to replace the whole dict give _delete_=True'
            )
        found = _value_objection(f'{key}.{inner}', node[inner], content, forced, depth + 1)
        if found is not None:
            return found
    return None


def _unknown_key(cfg: Mapping[str, Any], key: str, keys: list[str], depth: int, node: Mapping[str, Any]) -> KeyError:
    prefix = ''.join(f'{part}.' for part in keys[:depth])
    known = list(paths(cfg))
    longer = [path for path in known if path.endswith('.' + '.'.join(keys))]
    near = difflib.get_close_matches(keys[depth], [str(k) for k in node], n=1, cutoff=0.5)
    same = [path for path in known if path.rpartition('.')[2] == keys[-1]]
    if longer:
        best = longer[0]
    elif near:
        best = '.'.join([prefix + near[0], *keys[depth + 1 :]])
    else:
        best = max(same, key=lambda path: difflib.SequenceMatcher(None, path, key).ratio(), default='')
    hint = f' Did you mean {best!r}?' if best else ''
    place = f'{prefix[:-1]!r}' if prefix else 'the config'
    return KeyError(
        f'override {key!r}: {place} has no key {keys[depth]!r}.{hint} Known there: {", ".join(map(str, node))}. '
        f'To add a new key write {"+" + key.removeprefix("+")!r}'
    )


def _assigned(node: Any, keys: Sequence[str], value: Any) -> Any:
    """`node` with `value` at `keys`; containers on the way are copied, missing dicts made."""
    if not keys:
        if isinstance(value, Mapping):
            value = ConfigDict(value)
            if isinstance(node, Mapping) and not value.get('_delete_'):
                return Config._merge_a_into_b(value, node)
            value.pop('_delete_', None)
        return value
    head, rest = keys[0], keys[1:]
    if isinstance(node, (list, tuple)):
        items = list(node)
        items[int(head)] = _assigned(items[int(head)], rest, value)
        return type(node)(items)
    result = ConfigDict() if node is ABSENT else node.copy()
    result[head] = _assigned(result.get(head, ABSENT), rest, value)
    return result
