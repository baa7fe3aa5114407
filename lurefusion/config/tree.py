"""Configs as trees of dicts and lists: what lies where, and what differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config


class _Absent:
    """The value that a key has where it does not exist."""

    def __repr__(self) -> str:
        return '(absent)'


ABSENT = _Absent()


def diff_configs(old: Config | Mapping[str, Any], new: Config | Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(key, old value, new value) of every leaf that differs, sorted by key; `ABSENT` where there is none."""
    before, after = dict(leaves(mapping_of(old))), dict(leaves(mapping_of(new)))
    return [
        (key, before.get(key, ABSENT), after.get(key, ABSENT))
        for key in sorted(before.keys() | after.keys())
        if not same(before.get(key, ABSENT), after.get(key, ABSENT))
    ]


def mapping_of(cfg: Config | Mapping[str, Any]) -> Mapping[str, Any]:
    return cfg._cfg_dict if isinstance(cfg, Config) else cfg


def children(node: Any) -> list[tuple[Any, Any]]:
    if isinstance(node, Mapping):
        return list(node.items())
    return list(enumerate(node)) if isinstance(node, (list, tuple)) else []


def paths(node: Any, prefix: str = '') -> Iterator[str]:
    """Dotted paths of everything inside `node`."""
    return (path for path, _ in nodes(node, prefix))


def nodes(node: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of everything inside `node`."""
    for key, value in children(node):
        yield f'{prefix}{key}', value
        yield from nodes(value, f'{prefix}{key}.')


def value_at(node: Any, key: str) -> Any:
    """The value at a dotted key, or `ABSENT`."""
    for part in key.split('.'):
        node = {str(name): value for name, value in children(node)}.get(part, ABSENT)
    return node


def leaves(node: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of all that is no container of containers; lists of plain values count as one leaf."""
    for key, value in children(node):
        inner = children(value)
        if inner and (isinstance(value, Mapping) or any(children(item) for _, item in inner)):
            yield from leaves(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value


def same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(a == b)
