"""Names that a user gives: one of a few, or the nearest known one in the message."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from typing import Any, overload


@overload
def one_of(name: str, value: Any, known: Collection[str]) -> str: ...
@overload
def one_of(name: str, value: Any, known: Collection[str], optional: bool) -> str | None: ...
def one_of(name: str, value: Any, known: Collection[str], optional: bool = False) -> str | None:
    """`value`, if it is one of `known` (or None, where that is `optional`).

    Raises:
        ValueError: Otherwise; names the argument, the choices, and the nearest one.
    """
    if value not in known and not (optional and value is None):
        choices = ', '.join(known) + ' or None' * optional
        hint = did_you_mean(str(value), list(known))
        raise ValueError(f'{name} must be one of {choices}; got {value!r}{hint and "." + hint}')
    return value


def names_of(option: str, value: str | Iterable[str]) -> tuple[str, ...]:
    """Several names; one text is one name, as a forgotten comma leaves it: ``('Haze')``.

    Raises:
        TypeError: If it is neither.
    """
    names = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Iterable) else None
    if names is None or not all(isinstance(name, str) for name in names):
        raise TypeError(f'{option} must be a list of names, got {value!r}')
    return names


def unknown(kind: str, name: object, known: Collection[str]) -> str:
    """Message for a name that is no known `kind`: the name, its closest known one, all known ones."""
    return f'{name!r} is not a known {kind}.{did_you_mean(str(name), list(known))} Known: {", ".join(known)}'


def did_you_mean(name: str, known: list[str]) -> str:
    """The sentence `` Did you mean 'X'?`` for the nearest known name, or nothing when none is near."""

    def likeness(k: str) -> tuple[float, float]:
        folded, exact = (difflib.SequenceMatcher(None, a, b).ratio() for a, b in ((name.lower(), k.lower()), (name, k)))
        return folded, exact

    best = max(known, key=likeness, default=None)
    return f' Did you mean {best!r}?' if best is not None and likeness(best)[0] >= 0.5 else ''
